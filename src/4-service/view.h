/*
 * view.h - what readers see: every object as ready-made JSON, shared between threads.
 *
 * The core thread writes it as objects change; the HTTP thread answers GET and watches from it
 * without asking the core.  So a read costs a lookup and a copy, and one stuck guest
 * or busy core delays no reader.
 *
 * Memory:  a 'struct view_text' is shared by reference count and never changes.
 * Threads: all functions from any thread.
 */
#ifndef SERVICE_VIEW_H
#define SERVICE_VIEW_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct view_text {
	atomic_uint references;
	uint64_t revision;		/* meta.revision of the object; without one, the view's at the change. */
	size_t size;
	char bytes[];			/* JSON, zero-terminated. */
};

struct view_text *view_text_ref(struct view_text *text);
void view_text_unref(struct view_text *text);		/* Null is fine. */
static inline void view_text_unrefp(struct view_text **text) { view_text_unref(*text); }
#define auto_view_text __attribute__((cleanup(view_text_unrefp)))

struct view;

struct view *view_new(void);
void view_free(struct view *view);

/*
 * Objects lie in folders: "instances", "images", ..., "instances/<name>/snapshots", and singles
 * ("node", "config", "doctor", "version") under the folder "".  Within a folder they are sorted by name.
 * Putting what is there already changes nothing and wakes nobody.
 */
void view_put(struct view *view, const char *folder, const char *name, const char *json, size_t size);
void view_remove(struct view *view, const char *folder, const char *name);
#define VIEW_GONE "gone"		/* The folder with the uids of hosts that were removed from the cluster. Not of the API. */

struct view_text *view_get(struct view *view, const char *folder, const char *name);	/* Null: does not exist. */
/* Appends the objects of the folder as a JSON array; returns the revision of the folder's last change
 * (of an empty folder: the view's). 'out' may be null. */
uint64_t view_list(struct view *view, const char *folder, struct str *out);

/* Events: the newest LIMIT_EVENTS_KEPT, each one JSON object; ids rise. */
void view_add_event(struct view *view, int64_t id, const char *json, size_t size);
/* Appends events with an id above 'after' as lines of JSON (at most 'max'), returns the last id written or 'after'. */
int64_t view_events(struct view *view, int64_t after, size_t max, struct str *out);

uint64_t view_revision(struct view *view);		/* Rises with every change of anything. */

/* Called after changes, in the writer's thread, at most once until view_revision() or another reading function
 * has been called again: a reader uses it to wake its own loop. One listener; null ends it, and
 * then 'changed' is neither running nor called again. */
void view_listen(struct view *view, void (*changed)(void *data), void *data);

#endif
