/*
 * objects_private.h - what the files of the cache share: objects.c reads the store, owner.c says whose an object is,
 * index.c finds instances, notes.c and events.c keep what is no object, put.c builds transactions.
 */
#ifndef OBJECTS_PRIVATE_H
#define OBJECTS_PRIVATE_H

#include "2-virtualization/objects/objects.h"
#include "base/hash_set.h"
#include "base/str.h"
#include "base/vec.h"

enum { NODE_NAME_SIZE = 64 };

struct listener {
	objects_changed_fn *changed;
	objects_event_fn *event;
	void *data;
};

struct node_listener { objects_changed_fn *changed; void *data; };

struct note_listener { char *prefix; objects_note_fn *fn; void *data; };

/* Whom an object concerns: at most where an instance is and where it should be. */
struct concern {
	bool is_everyones;
	char nodes[2][NODE_NAME_SIZE];		/* "": none. */
};

struct kept_event { char *key, *json; size_t size; uint64_t revision; };

/* Keys of the events that are kept, oldest first; 'json' only of those that were there at the start. */
struct event_log {
	VEC(struct kept_event) items;
	size_t first;				/* Those before it are gone, or on their way. */
	uint64_t revision;			/* Of the newest ... */
	int64_t last_id;			/* ... and its id. */
	uint16_t counter;			/* Of those that were written here. */
};

struct objects {
	struct store *store;
	struct loop *loop;
	char *node;
	struct map all[KIND_COUNT];		/* uid -> object, owned. */
	struct map names[KIND_COUNT];		/* "<parent>/<name>" -> object. */
	struct hash_set claims;			/* Keys; a hint, the store decides. */
	struct map parts;			/* uid -> struct map of the nodes that have a part of it -> objects */
	struct map orphans;			/* Keys of this node's parts of objects that are no more -> objects. */
	struct map at, users;			/* See index.c. */
	struct map notes;			/* key -> struct note */
	VEC(struct listener) listeners;
	struct map node_listeners;		/* node -> struct node_listener */
	VEC(struct note_listener) note_listeners;
	struct event_log events;
};

/* owner.c */
void node_name_copy(char to[NODE_NAME_SIZE], const char *name);	/* Cut off where it does not fit. */
void concern_of(struct objects *objects, const struct kind *kind, const void *object, struct concern *ret_concern);
void parts_note(struct objects *objects, const char *uid, const char *node, bool is_there);
void parts_forget(struct objects *objects, const char *uid);
bool parts_is_key_of_everyone(const char *rest, char ret_uid[NODE_NAME_SIZE], const char **ret_node);
/* Tells all listeners; 'before' (may be null): whom it concerned until now. */
void objects_notify(struct objects *objects, const struct kind *kind, void *object, enum objects_change change,
		    const struct concern *before);

/* index.c: the instance is, or is not any more, at the node; uses what its spec says. */
void index_at(struct objects *objects, const char *node, void *instance, bool is_there);
void index_users(struct objects *objects, void *instance, bool is_there);
void indexes_done(struct objects *objects);

/* notes.c */
bool notes_is_key(const char *key);
void notes_take(struct objects *objects, const struct store_kv *kv, bool is_starting);
void notes_remove(struct objects *objects, const char *key);
void notes_unlisten(struct objects *objects, const void *data);
void notes_done(struct objects *objects);

/* events.c */
int events_load(struct objects *objects, const struct store_kv *kv);
int events_take(struct objects *objects, const struct store_kv *kv, struct err *err);
void events_done(struct objects *objects);

#endif
