#include "4-service/view.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/ordered.h"
#include "base/vec.h"

struct entry {
	char *name;
	struct view_text *text;
};

struct folder {
	struct ordered entries;		/* struct entry, by name. */
	size_t size_bytes;		/* Of all texts. */
	uint64_t revision;		/* The view's, at the last change here. */
};

struct view_event {
	int64_t id;
	struct view_text *text;
};

struct view {
	pthread_mutex_t lock;		/* Over everything below; held for lookups and copies only. */
	struct map folders;		/* struct folder */
	uint64_t revision;
	struct view_event *events;	/* A ring of LIMIT_EVENTS_KEPT, allocated at the first event. */
	size_t event_first, event_count;
	bool has_notified;		/* Until somebody reads again. */

	pthread_mutex_t listen_lock;	/* Over the listener and each call of it. */
	void (*changed)(void *data);
	void *changed_data;
};

struct view_text *view_text_ref(struct view_text *text)
{
	atomic_fetch_add_explicit(&text->references, 1, memory_order_relaxed);
	return text;
}

void view_text_unref(struct view_text *text)
{
	if (text && atomic_fetch_sub_explicit(&text->references, 1, memory_order_acq_rel) == 1)
		free(text);
}

static struct view_text *text_new(const char *json, size_t size)
{
	struct view_text *text = alloc(sizeof(*text) + size + 1);

	atomic_init(&text->references, 1);
	text->size = size;
	memcpy(text->bytes, json, size);
	return text;
}

/*
 * "revision" as a member with a number occurs first in meta, which is written before
 * spec and status; inside a string the quotes would be escaped, and labels are strings.
 */
static uint64_t revision_in(const struct view_text *text, uint64_t fallback)
{
	static const char key[] = "\"revision\":";

	for (const char *at = strstr(text->bytes, key); at; at = strstr(at, key)) {
		at += sizeof(key) - 1;
		at += strspn(at, " ");
		if (*at >= '0' && *at <= '9')
			return strtoull(at, NULL, 10);
	}
	return fallback;
}

struct view *view_new(void)
{
	struct view *view = alloc(sizeof(*view));

	pthread_mutex_init(&view->lock, NULL);
	pthread_mutex_init(&view->listen_lock, NULL);
	view->revision = 1;		/* So that 'after=0' never waits. */
	return view;
}

static void entry_free(struct entry *entry)
{
	view_text_unref(entry->text);
	free(entry->name);
	free(entry);
}

static void folder_free(struct folder *folder)
{
	if (!folder)
		return;
	for (struct ordered_place at = ordered_from(&folder->entries, ""); ordered_at(&folder->entries, at); at = ordered_next(&folder->entries, at))
		entry_free(ordered_at(&folder->entries, at)->value);
	ordered_done(&folder->entries);
	free(folder);
}

void view_free(struct view *view)
{
	if (!view)
		return;
	for (size_t i = 0; i < view->folders.count; i++)
		folder_free(view->folders.entries[i].value);
	map_done(&view->folders);
	for (size_t i = 0; i < view->event_count; i++)
		view_text_unref(view->events[(view->event_first + i) % LIMIT_EVENTS_KEPT].text);
	free(view->events);
	pthread_mutex_destroy(&view->lock);
	pthread_mutex_destroy(&view->listen_lock);
	free(view);
}

/* Counts the change and unlocks; then tells the listener, outside the lock so that it may read. */
static void changed(struct view *view)
{
	bool must_tell = !view->has_notified;

	view->has_notified = true;
	pthread_mutex_unlock(&view->lock);
	if (!must_tell)
		return;
	pthread_mutex_lock(&view->listen_lock);
	if (view->changed)
		view->changed(view->changed_data);
	pthread_mutex_unlock(&view->listen_lock);
}

static void lock_to_read(struct view *view)
{
	pthread_mutex_lock(&view->lock);
	view->has_notified = false;
}

static struct folder *folder_get_or_add(struct view *view, const char *name)
{
	struct folder *folder = map_get(&view->folders, name);

	if (!folder) {
		folder = alloc(sizeof(*folder));
		map_put(&view->folders, name, folder);
	}
	return folder;
}

static struct entry *entry_get_or_add(struct folder *folder, const char *name)
{
	struct entry *entry = ordered_get(&folder->entries, name);

	if (!entry) {
		entry = alloc(sizeof(*entry));
		entry->name = text_copy(name);
		ordered_put(&folder->entries, entry->name, entry);
	}
	return entry;
}

void view_put(struct view *view, const char *folder_name, const char *name, const char *json, size_t size)
{
	struct view_text *text = text_new(json, size);
	struct view_text *old = NULL;
	struct folder *folder;
	struct entry *entry;

	pthread_mutex_lock(&view->lock);
	folder = folder_get_or_add(view, folder_name);
	entry = entry_get_or_add(folder, name);
	old = entry->text;
	if (old && old->size == size && memcmp(old->bytes, json, size) == 0) {
		pthread_mutex_unlock(&view->lock);
		view_text_unref(text);
		return;
	}
	folder->size_bytes += size - (old ? old->size : 0);
	folder->revision = ++view->revision;
	text->revision = revision_in(text, view->revision);
	entry->text = text;
	changed(view);
	view_text_unref(old);
}

void view_remove(struct view *view, const char *folder_name, const char *name)
{
	struct folder *folder;
	struct entry *old;

	pthread_mutex_lock(&view->lock);
	folder = map_get(&view->folders, folder_name);
	old = folder ? ordered_remove(&folder->entries, name) : NULL;
	if (!old) {
		pthread_mutex_unlock(&view->lock);
		return;
	}
	folder->size_bytes -= old->text->size;
	folder->revision = ++view->revision;
	if (!folder->entries.count)	/* Folders of deleted instances must not pile up. */
		folder_free(map_remove(&view->folders, folder_name));
	changed(view);
	entry_free(old);
}

struct view_text *view_get(struct view *view, const char *folder_name, const char *name)
{
	struct view_text *text = NULL;
	struct folder *folder;
	struct entry *entry;

	lock_to_read(view);
	folder = map_get(&view->folders, folder_name);
	entry = folder ? ordered_get(&folder->entries, name) : NULL;
	if (entry)
		text = view_text_ref(entry->text);
	pthread_mutex_unlock(&view->lock);
	return text;
}

static void append_all(const struct folder *folder, struct str *out)
{
	struct ordered_place begin = folder ? ordered_from(&folder->entries, "") : (struct ordered_place){ 0, 0 };
	const struct ordered_entry *entry;
	bool is_first = true;

	str_reserve(out, 2 + (folder ? folder->size_bytes + folder->entries.count : 0));
	str_append_char(out, '[');
	for (struct ordered_place at = begin; folder && (entry = ordered_at(&folder->entries, at)); at = ordered_next(&folder->entries, at)) {
		const struct view_text *text = ((const struct entry *)entry->value)->text;

		if (!is_first)
			str_append_char(out, ',');
		is_first = false;
		str_append_bytes(out, text->bytes, text->size);
	}
	str_append_char(out, ']');
}

uint64_t view_list(struct view *view, const char *folder_name, struct str *out)
{
	struct folder *folder;
	uint64_t revision;

	lock_to_read(view);
	folder = map_get(&view->folders, folder_name);
	if (out)
		append_all(folder, out);
	/* A reader who saw the folder before its last object went must not wait for another change. */
	revision = folder ? folder->revision : view->revision;
	pthread_mutex_unlock(&view->lock);
	return revision;
}

void view_add_event(struct view *view, int64_t id, const char *json, size_t size)
{
	struct view_text *text = text_new(json, size);
	struct view_text *old = NULL;
	size_t at;

	pthread_mutex_lock(&view->lock);
	if (!view->events)
		view->events = alloc_array(NULL, LIMIT_EVENTS_KEPT, sizeof(*view->events));
	at = (view->event_first + view->event_count) % LIMIT_EVENTS_KEPT;
	if (view->event_count == LIMIT_EVENTS_KEPT) {
		old = view->events[at].text;
		view->event_first = (at + 1) % LIMIT_EVENTS_KEPT;
	} else {
		view->event_count++;
	}
	view->events[at] = (struct view_event){ .id = id, .text = text };
	text->revision = ++view->revision;
	changed(view);
	view_text_unref(old);
}

static const struct view_event *event_at(const struct view *view, size_t index)
{
	return &view->events[(view->event_first + index) % LIMIT_EVENTS_KEPT];
}

static size_t first_event_after(const struct view *view, int64_t after)
{
	size_t low = 0, high = view->event_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (event_at(view, middle)->id <= after)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int64_t view_events(struct view *view, int64_t after, size_t max, struct str *out)
{
	lock_to_read(view);
	for (size_t i = first_event_after(view, after); i < view->event_count && max; i++, max--) {
		const struct view_event *event = event_at(view, i);

		str_append_bytes(out, event->text->bytes, event->text->size);
		str_append_char(out, '\n');
		after = event->id;
	}
	pthread_mutex_unlock(&view->lock);
	return after;
}

uint64_t view_revision(struct view *view)
{
	uint64_t revision;

	lock_to_read(view);
	revision = view->revision;
	pthread_mutex_unlock(&view->lock);
	return revision;
}

void view_listen(struct view *view, void (*listener)(void *data), void *data)
{
	pthread_mutex_lock(&view->listen_lock);
	view->changed = listener;
	view->changed_data = data;
	pthread_mutex_unlock(&view->listen_lock);
}
