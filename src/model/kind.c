#include "model/kind.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/image.h"
#include "model/instance.h"
#include "model/network.h"
#include "model/node.h"
#include "model/pool.h"
#include "model/snapshot.h"
#include "model/volume.h"

#define COLUMNS(...) (const char *const[]){ __VA_ARGS__, NULL }
#define KIND(ID_, name_, plural_, check_, doc_, ...) \
	[KIND_##ID_] = { .id = KIND_##ID_, .name = #name_, .plural = plural_, .doc = doc_, \
		.size = sizeof(struct name_), .spec_offset = offsetof(struct name_, spec), \
		.status_offset = offsetof(struct name_, status), .spec = &name_##_spec_table, \
		.status = &name_##_status_table, .name_check = check_, .columns = COLUMNS(__VA_ARGS__) }

const struct kind kinds[KIND_COUNT] = {
	KIND(INSTANCE, instance, "instances", name_check, "A virtual server.",
	     "meta.name", "status.state", "spec.kind", "spec.image", "spec.cpus", "spec.memory", "spec.nics", "meta.created_at"),
	KIND(IMAGE, image, "images", image_name_check, "What instances are made from.",
	     "meta.name", "status.state", "spec.kind", "status.size", "status.allocated", "meta.created_at"),
	KIND(VOLUME, volume, "volumes", name_check, "An extra disk.",
	     "meta.name", "status.state"),
	KIND(NETWORK, network, "networks", name_check, "A network of instances.",
	     "meta.name", "status.state", "spec.ipv4", "spec.ipv6", "spec.nat", "meta.created_at"),
	KIND(SNAPSHOT, snapshot, "snapshots", name_check, "An instance's disks, and memory, at one instant.",
	     "meta.name", "status.state", "status.has_memory", "status.taken_at"),
	KIND(POOL, pool, "pools", name_check, "A place for volumes, images and the roots of instances.",
	     "meta.name", "status.state"),
	KIND(NODE, node, "nodes", name_check, "A host.",
	     "meta.name", "status.state"),
};

const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (text_equal(kinds[i].name, name) || text_equal(kinds[i].plural, name))
			return &kinds[i];
	return NULL;
}

void *kind_new(const struct kind *kind)
{
	void *object = alloc(kind->size);

	field_defaults(&meta_table, kind_meta(object));
	field_defaults(kind->spec, kind_spec(kind, object));
	field_defaults(kind->status, kind_status(kind, object));
	return object;
}

void kind_free(const struct kind *kind, void *object)
{
	if (!object)
		return;
	field_done(&meta_table, kind_meta(object));
	field_done(kind->spec, kind_spec(kind, object));
	field_done(kind->status, kind_status(kind, object));
	free(object);
}

void *kind_copy_with_status(const struct kind *kind, const void *object, const void *status)
{
	void *copy = alloc(kind->size);

	field_copy(&meta_table, object, kind_meta(copy));
	field_copy(kind->spec, (const char *)object + kind->spec_offset, kind_spec(kind, copy));
	field_copy(kind->status, status, kind_status(kind, copy));
	return copy;
}

void *kind_copy(const struct kind *kind, const void *object)
{
	return kind_copy_with_status(kind, object, (const char *)object + kind->status_offset);
}

void kind_encode(const struct kind *kind, const void *object, struct json_writer *writer, const char *key)
{
	json_write_object(writer, key);
	json_write_string(writer, "kind", kind->name);
	field_encode_public(&meta_table, object, writer, "meta");
	field_encode_public(kind->spec, (const char *)object + kind->spec_offset, writer, "spec");
	field_encode_public(kind->status, (const char *)object + kind->status_offset, writer, "status");
	json_write_end_object(writer);
}

static int check_kind_name(const struct kind *kind, const struct json *json, struct err *err)
{
	const char *name;

	if (json_type(json) == JSON_ABSENT)
		return 0;
	name = json_string(json, NULL);
	if (!name)
		return err_set(err, -EINVAL, "kind: must be text, is %s", json_type_name(json_type(json)));
	if (!text_equal(name, kind->name))
		return err_set(err, -EINVAL, "kind: '%s' does not fit here: use '%s'", shown(name), kind->name);
	return 0;
}

static int check_members(const struct json *json, struct err *err)
{
	static const char *const names[] = { "kind", "meta", "spec", "status" };

	if (json_type(json) != JSON_OBJECT)
		return err_set(err, -EINVAL, "the body must be an object, is %s", json_type_name(json_type(json)));
	for (size_t i = 0; i < json_count(json); i++) {
		const char *key, *near;
		bool is_known = false;

		json_member(json, i, &key);
		for (size_t n = 0; n < ARRAY_COUNT(names); n++)
			is_known |= text_equal(key, names[n]);
		if (is_known)
			continue;
		near = field_nearest(key, names, ARRAY_COUNT(names));
		return near ? err_set(err, -EINVAL, "%s: unknown field, did you mean '%s'?", shown(key), near)
			    : err_set(err, -EINVAL, "%s: unknown field: a resource has kind, meta, spec and status", shown(key));
	}
	return 0;
}

/* Before the length that any name may have: the rule of the kind says more. */
static int check_name(const struct kind *kind, const char *name, struct err *err)
{
	return name && kind->name_check(name, err) < 0 ? err_prefix(err, "meta.name") : 0;
}

int kind_decode(const struct kind *kind, const struct json *json, enum field_mode mode, void *object, struct err *err)
{
	static const char *const places[] = { "meta", "spec", "status" };
	int r;

	r = check_members(json, err);
	if (r < 0)
		return r;
	r = check_kind_name(kind, json_get(json, "kind"), err);
	if (r == 0 && mode != FIELD_STORED)
		r = check_name(kind, json_string(json_path(json, "meta.name"), NULL), err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
		const struct field_table *tables[] = { &meta_table, kind->spec, kind->status };
		void *parts[] = { kind_meta(object), kind_spec(kind, object), kind_status(kind, object) };
		const struct json *part = json_get(json, places[i]);
		/* A person may send back the status that GET showed, in whatever state it is by now. */
		bool is_ignored = i == 2 && mode != FIELD_STORED;
		struct json *empty = NULL;

		if (is_ignored)
			continue;
		if (json_type(part) == JSON_ABSENT) {
			if (mode != FIELD_CREATE)
				continue;
			part = empty = json_new_object();	/* So that required fields are missed. */
		}
		r = field_decode(tables[i], part, mode, places[i], parts[i], err);
		json_free(empty);
		if (r < 0)
			return r;
	}
	return 0;
}
