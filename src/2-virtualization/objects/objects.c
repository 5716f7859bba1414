#include "2-virtualization/objects/objects_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

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
	unindex_name(objects, kind, object);
	if (kind->id == KIND_INSTANCE) {
		index_users(objects, object, false);
		index_at(objects, objects_owner(objects, kind, object), object, false);
	}
	objects_notify(objects, kind, object, OBJECTS_REMOVED, NULL);
	parts_forget(objects, uid);
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
		if (kind->id == KIND_INSTANCE)
			index_users(objects, object, false);
		field_done(&meta_table, kind_meta(object));
		field_done(kind->spec, kind_spec(kind, object));
		field_copy(&meta_table, kind_meta(fresh), kind_meta(object));
		field_copy(kind->spec, kind_spec(kind, fresh), kind_spec(kind, object));
		kind_free(kind, fresh);
	} else {
		object = fresh;
		map_put(&objects->all[kind->id], uid, object);
	}
	kind_meta(object)->revision = kind_meta(object)->desired_revision = (int64_t)kv->mod_revision;
	index_name(objects, kind, object);
	if (kind->id == KIND_INSTANCE)
		index_users(objects, object, true);
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

/* Of what every node has a part of, only this node's own is shown. */
static bool is_other_part(struct objects *objects, const char *rest, char uid[NODE_NAME_SIZE], bool is_there)
{
	const char *node;

	if (!parts_is_key_of_everyone(rest, uid, &node)) {
		node_name_copy(uid, rest);
		return false;
	}
	parts_note(objects, uid, node, is_there);
	return !text_equal(node, objects->node);
}

static int take_object(struct objects *objects, const struct store_kv *kv, bool is_starting, struct err *err)
{
	auto_json struct json *json = NULL;
	struct concern before = { 0 };
	char uid[NODE_NAME_SIZE], owner[NODE_NAME_SIZE];
	const struct kind *kind;
	const char *rest;
	bool is_desired, is_known;
	void *object;
	int r;

	kind = split_key(kv->key, &rest, &is_desired);
	if (!kind || is_other_part(objects, rest, uid, true))
		return 0;
	object = map_get(&objects->all[kind->id], uid);
	if (!object && !is_desired && is_starting && !text_equal(rest, uid))
		map_put(&objects->orphans, kv->key, objects);
	is_known = object != NULL;
	if (is_known && !is_starting)
		concern_of(objects, kind, object, &before);
	if (is_known && kind->id == KIND_INSTANCE)
		node_name_copy(owner, objects_owner(objects, kind, object));
	r = json_parse(kv->value, kv->value_size, &json, err);
	if (r < 0)
		return err_prefix(err, "%s", kv->key);
	r = is_desired ? take_desired(objects, kind, uid, kv, json, err) : take_observed(objects, kind, uid, kv, json, err);
	object = map_get(&objects->all[kind->id], uid);
	if (object && kind->id == KIND_INSTANCE && !(is_known && text_equal(owner, objects_owner(objects, kind, object)))) {
		if (is_known)
			index_at(objects, owner, object, false);
		index_at(objects, objects_owner(objects, kind, object), object, true);
	}
	if (r == 0 && !is_starting && object)
		objects_notify(objects, kind, object, is_desired ? OBJECTS_DESIRED : OBJECTS_OBSERVED, is_known ? &before : NULL);
	return r;
}

static int take_kv(struct objects *objects, const struct store_kv *kv, bool is_starting, struct err *err)
{
	if (text_starts_with(kv->key, "event/"))
		return is_starting ? events_load(objects, kv) : events_take(objects, kv, err);
	if (text_starts_with(kv->key, "claim/"))
		hash_set_add(&objects->claims, kv->key);
	else if (notes_is_key(kv->key))
		notes_take(objects, kv, is_starting);
	else
		return take_object(objects, kv, is_starting, err);
	return 0;
}

/* A part of another node has gone: who waits for it may look again. */
static void part_gone(struct objects *objects, const struct kind *kind, const char *rest)
{
	char uid[NODE_NAME_SIZE];
	void *object;

	is_other_part(objects, rest, uid, false);
	object = text_equal(rest, uid) ? NULL : map_get(&objects->all[kind->id], uid);
	if (object)
		objects_notify(objects, kind, object, OBJECTS_OBSERVED, NULL);
}

static void store_changed(void *data, const struct store_event *event)
{
	struct objects *objects = data;
	const char *key = event->kv.key, *rest;
	struct err err = { 0 };
	const struct kind *kind;
	bool is_desired;

	if (!event->is_delete) {
		/* What cannot be read was not written by this version: its owner keeps it. */
		take_kv(objects, &event->kv, false, &err);
		return;
	}
	kind = split_key(key, &rest, &is_desired);
	if (text_starts_with(key, "claim/"))
		hash_set_remove(&objects->claims, key);
	else if (kind && is_desired)
		remove_object(objects, kind, rest);
	else if (kind)
		part_gone(objects, kind, rest);
	else if (notes_is_key(key))
		notes_remove(objects, key);
}

static int load_kv(void *data, const struct store_kv *kv, struct err *err)
{
	return take_kv(data, kv, true, err);
}

int objects_open(struct store *store, struct loop *loop, const char *node, struct objects **ret_objects, struct err *err)
{
	struct objects *objects = alloc(sizeof(*objects));
	uint64_t revision = 0;
	int r;

	/* All at one revision, in the order of keys: "desired/" comes before "observed/". */
	*objects = (struct objects){ .store = store, .loop = loop, .node = text_copy(node) };
	r = store_range(store, "", load_kv, objects, &revision, err);
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
	while (objects->parts.count)
		parts_forget(objects, objects->parts.entries[objects->parts.count - 1].key);
	map_done(&objects->parts);
	map_done(&objects->orphans);
	indexes_done(objects);
	hash_set_done(&objects->claims);
	vec_done(&objects->listeners);
	while (objects->node_listeners.count)
		objects_listen_node(objects, objects->node_listeners.entries[0].key, NULL, NULL);
	map_done(&objects->node_listeners);
	notes_done(objects);
	events_done(objects);
	free(objects->node);
	free(objects);
}

void objects_listen(struct objects *objects, objects_changed_fn *changed, objects_event_fn *event, void *data)
{
	*vec_push(&objects->listeners) = (struct listener){ changed, event, data };
}

void objects_unlisten(struct objects *objects, const void *data)
{
	size_t kept = 0;

	for (size_t i = 0; i < objects->listeners.count; i++)
		if (objects->listeners.items[i].data != data)
			objects->listeners.items[kept++] = objects->listeners.items[i];
	objects->listeners.count = kept;
	notes_unlisten(objects, data);
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
	objects_notify(objects, kind, object, OBJECTS_TOUCHED, NULL);
}

bool objects_is_claimed(struct objects *objects, const char *key)
{
	return hash_set_has(&objects->claims, key);
}
