/*
 * events.c - events, numbered as the store orders them.
 *
 * Several nodes write events, with clocks that differ. The key of an event is unique and begins with the wall clock, so that keys
 * are roughly in the order of time; its id follows from the revision in which it was stored and its place there, so all
 * nodes give it the same one and ids rise for whoever follows.
 */
#include "2-virtualization/objects/objects_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

enum { EVENTS_PER_REVISION = 4096 };

static int64_t next_id(struct event_log *log, uint64_t revision)
{
	int64_t id = (int64_t)revision * EVENTS_PER_REVISION;

	return log->last_id = id > log->last_id ? id : log->last_id + 1;
}

/* With the id that is not stored. */
static int tell(struct objects *objects, const char *bytes, size_t size, uint64_t revision, objects_event_fn *fn, void *data, struct err *err)
{
	auto_json struct json *json = NULL;
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	struct event event = { 0 };
	int r = json_parse(bytes, size, &json, err);

	if (r == 0)
		r = field_decode(&event_table, json, FIELD_STORED, "event", &event, err);
	if (r == 0) {
		event.id = next_id(&objects->events, revision);
		field_encode(&event_table, &event, &writer, NULL);
		if (fn)
			fn(data, &event, text.data, text.size);
		for (size_t i = 0; !fn && i < objects->listeners.count; i++)
			if (objects->listeners.items[i].event)
				objects->listeners.items[i].event(objects->listeners.items[i].data, &event, text.data, text.size);
	}
	field_done(&event_table, &event);
	return r;
}

static void keep(struct objects *objects, const struct store_kv *kv, bool has_text)
{
	*vec_push(&objects->events.items) = (struct kept_event){
		.key = text_copy(kv->key), .json = has_text ? text_copy_length(kv->value, kv->value_size) : NULL, .size = kv->value_size,
		.revision = kv->mod_revision,
	};
}

int events_load(struct objects *objects, const struct store_kv *kv)
{
	keep(objects, kv, true);
	return 0;
}

int events_take(struct objects *objects, const struct store_kv *kv, struct err *err)
{
	keep(objects, kv, false);
	return tell(objects, kv->value, kv->value_size, kv->mod_revision, NULL, NULL, err);
}

static int compare(const void *a, const void *b)
{
	const struct kept_event *one = a, *two = b;

	if (one->revision != two->revision)
		return one->revision < two->revision ? -1 : 1;
	return strcmp(one->key, two->key);
}

void objects_take_events(struct objects *objects, objects_event_fn *fn, void *data)
{
	struct event_log *log = &objects->events;
	struct err ignored;

	if (log->items.count)
		qsort(log->items.items, log->items.count, sizeof(log->items.items[0]), compare);
	for (size_t i = 0; i < log->items.count; i++) {
		struct kept_event *event = &log->items.items[i];

		if (event->json)
			tell(objects, event->json, event->size, event->revision, fn, data, &ignored);
		free(event->json);
		event->json = NULL;
	}
}

/* The oldest beyond the limit. */
static void put_trim(struct event_log *log, struct store_txn *txn)
{
	struct kept_event *oldest;

	if (log->items.count - log->first < LIMIT_EVENTS_KEPT)
		return;
	oldest = &log->items.items[log->first++];
	store_txn_delete(txn, oldest->key);
	free(take(oldest->key));
	if (log->first < LIMIT_EVENTS_KEPT)
		return;
	memmove(log->items.items, log->items.items + log->first, (log->items.count - log->first) * sizeof(log->items.items[0]));
	log->items.count -= log->first;
	log->first = 0;
}

void objects_put_event(struct objects *objects, struct store_txn *txn, const struct kind *kind, const struct meta *meta,
		       const char *type, bool is_warning, const char *format, ...)
{
	char text[400], key[64];
	struct event event = {
		.at = loop_wall_ms(objects->loop), .kind = (char *)kind->name,
		.uid = meta->uid, .name = meta->name, .type = (char *)type, .text = text, .is_warning = is_warning,
	};
	auto_str struct str json = { 0 };
	struct json_writer writer = { .out = &json };
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	field_encode(&event_table, &event, &writer, NULL);
	snprintf(key, sizeof(key), "event/%020" PRId64 "-%.8s-%04x", event.at, objects->node, objects->events.counter++);
	store_txn_put(txn, key, json.data, json.size, 0);
	put_trim(&objects->events, txn);
}

void events_done(struct objects *objects)
{
	for (size_t i = 0; i < objects->events.items.count; i++) {
		free(objects->events.items.items[i].key);
		free(objects->events.items.items[i].json);
	}
	vec_done(&objects->events.items);
}
