#include "2-virtualization/objects/objects.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/vec.h"

struct listener {
	objects_changed_fn *changed;
	objects_event_fn *event;
	void *data;
};

struct objects {
	struct store *store;
	struct loop *loop;
	struct map all[KIND_COUNT];		/* uid -> object, owned. */
	struct map names[KIND_COUNT];		/* "<parent>/<name>" -> object. */
	struct map claims;			/* Key of each claim -> objects. */
	struct map revisions;			/* uid -> (void *) mod_revision of its desired key. */
	VEC(struct listener) listeners;
	int64_t last_event, first_event;
};

static void notify(struct objects *objects, const struct kind *kind, void *object, enum objects_change change)
{
	for (size_t i = 0; i < objects->listeners.count; i++) {
		struct listener *listener = &objects->listeners.items[i];

		if (listener->changed)
			listener->changed(listener->data, kind, object, change);
	}
}

static char *name_key(const char *parent, const char *name)
{
	return text_format("%s/%s", parent ? parent : "", name);
}

static void index_name(struct objects *objects, const struct kind *kind, void *object)
{
	struct meta *meta = kind_meta(object);
	auto_free char *key = name_key(meta->parent, meta->name);

	map_put(&objects->names[kind->id], key, object);
}

static void unindex_name(struct objects *objects, const struct kind *kind, void *object)
{
	struct meta *meta = kind_meta(object);
	auto_free char *key = name_key(meta->parent, meta->name);

	/* A new object may have taken the name already, in the same transaction. */
	if (map_get(&objects->names[kind->id], key) == object)
		map_remove(&objects->names[kind->id], key);
}

/* "desired/instance/<uid>" -> kind and uid; null when it is none of these. */
static const struct kind *split_key(const char *key, const char **ret_uid, bool *ret_is_desired)
{
	const char *kind_text, *slash;
	char name[32];

	*ret_is_desired = text_starts_with(key, "desired/");
	if (!*ret_is_desired && !text_starts_with(key, "observed/"))
		return NULL;
	kind_text = strchr(key, '/') + 1;
	slash = strchr(kind_text, '/');
	if (!slash || (size_t)(slash - kind_text) >= sizeof(name))
		return NULL;
	memcpy(name, kind_text, (size_t)(slash - kind_text));
	name[slash - kind_text] = '\0';
	*ret_uid = slash + 1;
	return kind_find(name);
}

static void remove_object(struct objects *objects, const struct kind *kind, const char *uid)
{
	void *object = map_remove(&objects->all[kind->id], uid);

	if (!object)
		return;
	map_remove(&objects->revisions, uid);
	unindex_name(objects, kind, object);
	notify(objects, kind, object, OBJECTS_REMOVED);
	kind_free(kind, object);
}

/* Meta and spec come anew; status and what points at the object stay. */
static int take_desired(struct objects *objects, const struct kind *kind, const char *uid, const struct store_kv *kv,
			const struct json *json, struct err *err)
{
	void *object = map_get(&objects->all[kind->id], uid);
	void *fresh = kind_new(kind);
	int r = kind_decode(kind, json, FIELD_STORED, fresh, err);

	if (r < 0) {
		kind_free(kind, fresh);
		return err_prefix(err, "%s", kv->key);
	}
	if (object) {
		unindex_name(objects, kind, object);
		field_done(&meta_table, kind_meta(object));
		field_done(kind->spec, kind_spec(kind, object));
		field_copy(&meta_table, kind_meta(fresh), kind_meta(object));
		field_copy(kind->spec, kind_spec(kind, fresh), kind_spec(kind, object));
		kind_free(kind, fresh);
	} else {
		object = fresh;
		map_put(&objects->all[kind->id], uid, object);
	}
	kind_meta(object)->revision = (int64_t)kv->mod_revision;
	map_put(&objects->revisions, uid, (void *)(uintptr_t)kv->mod_revision);
	index_name(objects, kind, object);
	return 0;
}

static int take_observed(struct objects *objects, const struct kind *kind, const char *uid, const struct store_kv *kv,
			 const struct json *json, struct err *err)
{
	void *object = map_get(&objects->all[kind->id], uid);
	int r;

	if (!object)
		return 0;
	field_done(kind->status, kind_status(kind, object));
	field_defaults(kind->status, kind_status(kind, object));
	r = field_decode(kind->status, json, FIELD_STORED, "status", kind_status(kind, object), err);
	if (r < 0)
		return err_prefix(err, "%s", kv->key);
	kind_meta(object)->revision = (int64_t)kv->mod_revision;
	return 0;
}

static int take_event(struct objects *objects, const struct store_kv *kv, const struct json *json, struct err *err)
{
	struct event event = { 0 };
	int r = field_decode(&event_table, json, FIELD_STORED, "event", &event, err);

	if (r == 0) {
		objects->last_event = event.id > objects->last_event ? event.id : objects->last_event;
		if (!objects->first_event)
			objects->first_event = event.id;
		for (size_t i = 0; i < objects->listeners.count; i++) {
			struct listener *listener = &objects->listeners.items[i];

			if (listener->event)
				listener->event(listener->data, &event, kv->value, kv->value_size);
		}
	}
	field_done(&event_table, &event);
	return r;
}

static int take_kv(struct objects *objects, const struct store_kv *kv, bool is_starting, struct err *err)
{
	auto_json struct json *json = NULL;
	const struct kind *kind;
	const char *uid;
	bool is_desired, is_event = text_starts_with(kv->key, "event/");
	int r;

	if (text_starts_with(kv->key, "claim/"))
		map_put(&objects->claims, kv->key, objects);
	kind = split_key(kv->key, &uid, &is_desired);
	if (!kind && !is_event)
		return 0;
	r = json_parse(kv->value, kv->value_size, &json, err);
	if (r < 0)
		return err_prefix(err, "%s", kv->key);
	if (is_event)
		return take_event(objects, kv, json, err);
	r = is_desired ? take_desired(objects, kind, uid, kv, json, err) : take_observed(objects, kind, uid, kv, json, err);
	if (r == 0 && !is_starting) {
		void *object = map_get(&objects->all[kind->id], uid);

		if (object)
			notify(objects, kind, object, is_desired ? OBJECTS_DESIRED : OBJECTS_OBSERVED);
	}
	return r;
}

static void store_changed(void *data, const struct store_event *event)
{
	struct objects *objects = data;
	struct err err = { 0 };
	const struct kind *kind;
	const char *uid;
	bool is_desired;

	if (!event->is_delete) {
		/* What cannot be read was not written by this version: its owner keeps it. */
		take_kv(objects, &event->kv, false, &err);
		return;
	}
	if (text_starts_with(event->kv.key, "claim/"))
		map_remove(&objects->claims, event->kv.key);
	kind = split_key(event->kv.key, &uid, &is_desired);
	if (kind && is_desired)
		remove_object(objects, kind, uid);
}

static int load_kv(void *data, const struct store_kv *kv, struct err *err)
{
	return take_kv(data, kv, true, err);
}

int objects_open(struct store *store, struct loop *loop, struct objects **ret_objects, struct err *err)
{
	static const char *const prefixes[] = { "claim/", "desired/", "observed/", "event/" };
	struct objects *objects = alloc(sizeof(*objects));
	uint64_t revision = 0;
	int r = 0;

	*objects = (struct objects){ .store = store, .loop = loop };
	for (size_t i = 0; i < ARRAY_COUNT(prefixes) && r == 0; i++)
		r = store_range(store, prefixes[i], load_kv, objects, &revision, err);
	if (r == 0)
		r = store_watch(store, "", revision, store_changed, objects, err);
	if (r < 0) {
		objects_close(objects);
		return r;
	}
	*ret_objects = objects;
	return 0;
}

void objects_close(struct objects *objects)
{
	if (!objects)
		return;
	for (size_t k = 0; k < KIND_COUNT; k++) {
		for (size_t i = 0; i < objects->all[k].count; i++)
			kind_free(&kinds[k], objects->all[k].entries[i].value);
		map_done(&objects->all[k]);
		map_done(&objects->names[k]);
	}
	map_done(&objects->claims);
	map_done(&objects->revisions);
	vec_done(&objects->listeners);
	free(objects);
}

void objects_listen(struct objects *objects, objects_changed_fn *changed, objects_event_fn *event, void *data)
{
	*vec_push(&objects->listeners) = (struct listener){ changed, event, data };
}

void *objects_get(struct objects *objects, enum kind_id kind, const char *uid)
{
	return uid ? map_get(&objects->all[kind], uid) : NULL;
}

void *objects_find(struct objects *objects, enum kind_id kind, const char *parent, const char *name)
{
	auto_free char *key = NULL;

	if (!name)
		return NULL;
	key = name_key(parent, name);
	return map_get(&objects->names[kind], key);
}

const struct map *objects_all(struct objects *objects, enum kind_id kind)
{
	return &objects->all[kind];
}

void objects_touch(struct objects *objects, const struct kind *kind, void *object)
{
	notify(objects, kind, object, OBJECTS_TOUCHED);
}

void objects_guard(struct objects *objects, struct store_txn *txn, const struct kind *kind, const char *uid)
{
	auto_free char *key = text_format("desired/%s/%s", kind->name, uid);

	store_txn_guard(txn, STORE_UNCHANGED, key, (uint64_t)(uintptr_t)map_get(&objects->revisions, uid));
}

void objects_put_desired(struct store_txn *txn, const struct kind *kind, const void *object)
{
	const struct meta *meta = object;
	auto_free char *key = text_format("desired/%s/%s", kind->name, meta->uid);
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	struct meta stored = *meta;

	stored.revision = 0;			/* The store itself says it. */
	json_write_object(&writer, NULL);
	field_encode(&meta_table, &stored, &writer, "meta");
	field_encode(kind->spec, (const char *)object + kind->spec_offset, &writer, "spec");
	json_write_end_object(&writer);
	store_txn_put(txn, key, text.data, text.size, 0);
}

void objects_put_status(struct store_txn *txn, const struct kind *kind, const void *object)
{
	const struct meta *meta = object;
	auto_free char *key = text_format("observed/%s/%s", kind->name, meta->uid);
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };

	field_encode(kind->status, (const char *)object + kind->status_offset, &writer, NULL);
	store_txn_put(txn, key, text.data, text.size, 0);
}

void objects_put_claims(struct store_txn *txn, const struct kind *kind, const void *old, const void *next)
{
	struct claims before = { 0 }, after = { 0 };
	const struct meta *meta = next;

	if (old)
		claims_of(kind, old, &before);
	if (next)
		claims_of(kind, next, &after);
	for (size_t i = 0; i < after.items.count; i++) {
		const char *key = after.items.items[i].key;

		if (claims_have(&before, key))
			continue;
		store_txn_guard(txn, STORE_ABSENT, key, 0);
		store_txn_put(txn, key, meta->uid, strlen(meta->uid), 0);
	}
	for (size_t i = 0; i < before.items.count; i++)
		if (!claims_have(&after, before.items.items[i].key))
			store_txn_delete(txn, before.items.items[i].key);
	claims_done(&before);
	claims_done(&after);
}

void objects_delete(struct store_txn *txn, const struct kind *kind, const void *object)
{
	const struct meta *meta = object;
	auto_free char *desired = text_format("desired/%s/%s", kind->name, meta->uid);
	auto_free char *observed = text_format("observed/%s/%s", kind->name, meta->uid);

	store_txn_delete(txn, desired);
	store_txn_delete(txn, observed);
	objects_put_claims(txn, kind, object, NULL);
}

void objects_put_event(struct objects *objects, struct store_txn *txn, const struct kind *kind, const struct meta *meta,
		       const char *type, bool is_warning, const char *format, ...)
{
	char text[400], key[64];
	struct event event = {
		.id = ++objects->last_event, .at = loop_wall_ms(objects->loop), .kind = (char *)kind->name,
		.uid = meta->uid, .name = meta->name, .type = (char *)type, .text = text, .is_warning = is_warning,
	};
	auto_str struct str json = { 0 };
	struct json_writer writer = { .out = &json };
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	field_encode(&event_table, &event, &writer, NULL);
	snprintf(key, sizeof(key), "event/%020" PRId64, event.id);
	store_txn_put(txn, key, json.data, json.size, 0);

	if (objects->first_event && event.id - objects->first_event >= LIMIT_EVENTS_KEPT) {
		snprintf(key, sizeof(key), "event/%020" PRId64, objects->first_event++);
		store_txn_delete(txn, key);
	}
}

const char *objects_claim_text(const struct kind *kind, const void *object, const char *key, char *buffer, size_t buffer_size)
{
	const char *text = NULL;
	struct claims claims;

	claims_of(kind, object, &claims);
	for (size_t i = 0; i < claims.items.count; i++)
		if (text_equal(claims.items.items[i].key, key)) {
			snprintf(buffer, buffer_size, "%s", claims.items.items[i].what);
			text = buffer;
		}
	claims_done(&claims);
	return text;
}

bool objects_is_claimed(struct objects *objects, const char *key)
{
	return map_get(&objects->claims, key) != NULL;
}
