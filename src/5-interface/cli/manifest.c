#include "5-interface/cli/manifest.h"

#include <errno.h>
#include <string.h>

#include "5-interface/cli/request.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/yaml.h"

/* Order of creation; what is not here cannot be applied. */
static const enum kind_id order[] = { KIND_NETWORK, KIND_POOL, KIND_IMAGE, KIND_VOLUME, KIND_INSTANCE };

static int rank_of(const struct kind *kind)
{
	for (size_t i = 0; i < ARRAY_COUNT(order); i++)
		if (order[i] == kind->id)
			return (int)i;
	return -1;
}

void manifest_done(struct manifest *manifest)
{
	for (size_t i = 0; i < manifest->objects.count; i++)
		json_free(manifest->objects.items[i].json);
	vec_done(&manifest->objects);
}

static bool is_written_by_system(const struct field_table *table, const char *name)
{
	const struct field *field = table ? field_find(table, name) : NULL;

	return field && (field->flags & FIELD_READ_ONLY);
}

static void write_value(struct json_writer *writer, const char *key, const struct field_table *table, const struct json *value);

static void write_object(struct json_writer *writer, const char *key, const struct field_table *table, const struct json *object)
{
	struct json_cursor cursor = { 0 };

	json_write_object(writer, key);
	while (json_next(object, &cursor)) {
		const struct field *field = table ? field_find(table, cursor.key) : NULL;

		if (!is_written_by_system(table, cursor.key))
			write_value(writer, cursor.key, field ? field->table : NULL, cursor.value);
	}
	json_write_end_object(writer);
}

/* A copy without the fields that only the system writes. */
static void write_value(struct json_writer *writer, const char *key, const struct field_table *table, const struct json *value)
{
	if (table && json_type(value) == JSON_OBJECT) {
		write_object(writer, key, table, value);
	} else if (table && json_type(value) == JSON_ARRAY) {
		json_write_array(writer, key);
		for (size_t i = 0; i < json_count(value); i++)
			write_value(writer, NULL, table, json_at(value, i));
		json_write_end_array(writer);
	} else {
		json_write_value(writer, key, value);
	}
}

static int check_members(const struct json *document, struct err *err)
{
	static const char *const known[] = { "kind", "meta", "spec", "status" };
	struct json_cursor cursor = { 0 };

	if (json_type(document) != JSON_OBJECT)
		return err_set(err, -EINVAL, "is %s, not an object with kind, meta and spec", json_type_name(json_type(document)));
	while (json_next(document, &cursor)) {
		const char *nearest;
		bool is_known = false;

		for (size_t i = 0; i < ARRAY_COUNT(known); i++)
			is_known = is_known || text_equal(cursor.key, known[i]);
		if (is_known)
			continue;
		nearest = field_nearest(cursor.key, known, ARRAY_COUNT(known));
		if (nearest)
			return err_set(err, -EINVAL, "%s: unknown field, did you mean '%s'?", shown(cursor.key), nearest);
		return err_set(err, -EINVAL, "%s: unknown field: use kind, meta and spec", shown(cursor.key));
	}
	return 0;
}

static int check_kind(const struct json *document, const struct kind **ret_kind, struct err *err)
{
	const char *name = json_string(json_get(document, "kind"), NULL), *nearest;
	const char *names[ARRAY_COUNT(order)];
	const struct kind *kind = name ? kind_find(name) : NULL;

	if (!name)
		return err_set(err, -EINVAL, "kind is missing: use network, pool, image, volume or instance");
	if (kind && rank_of(kind) >= 0) {
		*ret_kind = kind;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_COUNT(order); i++)
		names[i] = kinds[order[i]].name;
	nearest = field_nearest(name, names, ARRAY_COUNT(names));
	if (nearest && !kind)
		return err_set(err, -EINVAL, "kind: '%s' is unknown, did you mean '%s'?", shown(name), nearest);
	return err_set(err, -EINVAL, "kind: '%s' cannot be applied: use network, pool, image, volume or instance", shown(name));
}

/* The form as the daemon will check it for a new object. */
static int check_form(const struct kind *kind, const struct json *json, struct err *err)
{
	void *object = kind_new(kind);
	int result = kind_decode(kind, json, FIELD_CREATE, object, err);

	kind_free(kind, object);
	return result;
}

static int add_document(struct manifest *manifest, const struct json *document, struct err *err)
{
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	auto_json struct json *json = NULL;
	const struct kind *kind = NULL;
	int result = check_members(document, err);

	if (result == 0)
		result = check_kind(document, &kind, err);
	if (result < 0)
		return result;
	json_write_object(&writer, NULL);
	if (json_get(document, "meta"))
		write_value(&writer, "meta", &meta_table, json_get(document, "meta"));
	if (json_get(document, "spec"))
		write_value(&writer, "spec", kind->spec, json_get(document, "spec"));
	json_write_end_object(&writer);
	result = json_parse(text.data, text.size, &json, err);
	if (result == 0)
		result = check_form(kind, json, err);
	if (result < 0)
		return result;
	*vec_push(&manifest->objects) = (struct manifest_object){ .kind = kind, .name = json_string(json_path(json, "meta.name"), ""),
		.json = take(json) };
	return 0;
}

static int add_numbered(struct manifest *manifest, const struct json *document, size_t number, struct err *err)
{
	const char *name = json_string(json_path(document, "meta.name"), NULL);
	int result = add_document(manifest, document, err);

	if (result < 0 && name)
		return err_prefix(err, "document %zu ('%s')", number, shown(name));
	return result < 0 ? err_prefix(err, "document %zu", number) : 0;
}

static int check_repeats(const struct manifest *manifest, struct err *err)
{
	const struct manifest_object *objects = manifest->objects.items;

	for (size_t i = 0; i < manifest->objects.count; i++)
		for (size_t j = i + 1; j < manifest->objects.count && objects[j].kind == objects[i].kind; j++)
			if (text_equal(objects[i].name, objects[j].name))
				return err_set(err, -EINVAL, "%s '%s' is there twice: remove one", objects[i].kind->name,
					       shown(objects[i].name));
	return 0;
}

/* By kind, in the order of creation; within a kind as written. */
static void sort(struct manifest *manifest)
{
	struct manifest_object *objects = manifest->objects.items;

	for (size_t i = 1; i < manifest->objects.count; i++)
		for (size_t j = i; j > 0 && rank_of(objects[j].kind) < rank_of(objects[j - 1].kind); j--) {
			struct manifest_object swap = objects[j];

			objects[j] = objects[j - 1];
			objects[j - 1] = swap;
		}
}

static int add_documents(struct manifest *manifest, const struct yaml_documents *documents, struct err *err)
{
	size_t number = 0;

	for (size_t i = 0; i < documents->values.count; i++) {
		const struct json *value = documents->values.items[i];
		bool is_list = json_type(value) == JSON_ARRAY;

		for (size_t j = 0; j < (is_list ? json_count(value) : 1); j++) {
			int result = add_numbered(manifest, is_list ? json_at(value, j) : value, ++number, err);

			if (result < 0)
				return result;
		}
	}
	if (number == 0)
		return err_set(err, -EINVAL, "the manifest is empty: see 'strata explain instance'");
	if (number > LIMIT_INSTANCES_PER_NODE)
		return err_set(err, -EFBIG, "the manifest has %zu documents: at most %d are allowed", number, LIMIT_INSTANCES_PER_NODE);
	sort(manifest);
	return check_repeats(manifest, err);
}

int manifest_parse(const char *text, size_t size, struct manifest *ret_manifest, struct err *err)
{
	auto_yaml struct yaml_documents documents = { 0 };
	auto_manifest struct manifest manifest = { 0 };
	int result;

	/* JSON is nearly YAML; its own parser is stricter and knows more numbers. */
	if (text[strspn(text, " \t\r\n")] == '{' || text[strspn(text, " \t\r\n")] == '[') {
		struct json *json = NULL;

		result = json_parse(text, size, &json, err);
		if (result == 0)
			*vec_push(&documents.values) = json;
	} else {
		result = yaml_parse(text, size, &documents, err);
	}
	if (result == 0)
		result = add_documents(&manifest, &documents, err);
	if (result < 0)
		return result;
	*ret_manifest = manifest;
	manifest = (struct manifest){ 0 };
	return 0;
}

int manifest_read(const char *path, struct manifest *ret_manifest, struct err *err)
{
	auto_str struct str text = { 0 };
	int result = file_read_all(text_equal(path, "-") ? "/dev/stdin" : path, LIMIT_MANIFEST_BYTES, &text, err);

	if (result < 0)
		return result;
	result = manifest_parse(str_text(&text), text.size, ret_manifest, err);
	return result < 0 ? err_prefix(err, "%s", shown(path)) : 0;
}


/* The element of 'present' that has the same first field (its name) at the same place. */
static const struct json *same_element(const struct field_table *table, const struct json *element, const struct json *present, size_t i)
{
	const struct json *there = json_at(present, i);
	const char *key = table->fields[0].name;
	auto_free char *wanted = NULL, *found = NULL;

	if (!there || !json_get(element, key))
		return there;
	wanted = json_text(json_get(element, key), 0);
	found = json_get(there, key) ? json_text(json_get(there, key), 0) : NULL;
	return text_equal(wanted, found) ? there : NULL;
}

static void write_completed(struct json_writer *writer, const struct json *element, const struct json *there)
{
	struct json_cursor cursor = { 0 }, rest = { 0 };

	json_write_object(writer, NULL);
	while (json_next(element, &cursor))
		json_write_value(writer, cursor.key, cursor.value);
	while (there && json_next(there, &rest))
		if (!json_get(element, rest.key))
			json_write_value(writer, rest.key, rest.value);
	json_write_end_object(writer);
}

static void write_list(struct json_writer *writer, const char *key, const struct field_table *table, const struct json *list,
		       const struct json *present)
{
	json_write_array(writer, key);
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *element = json_at(list, i);

		write_completed(writer, element, same_element(table, element, present, i));
	}
	json_write_end_array(writer);
}

struct json *manifest_patch(const struct manifest_object *object, const struct json *present)
{
	const struct json *spec = json_get(object->json, "spec");
	struct json_cursor cursor = { 0 };
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	struct json *patch = NULL;
	struct err err;

	json_write_object(&writer, NULL);
	json_write_value(&writer, "meta", json_get(object->json, "meta"));
	json_write_object(&writer, "spec");
	while (spec && json_next(spec, &cursor)) {
		const struct field *field = field_find(object->kind->spec, cursor.key);

		if (field->type == FIELD_LIST && json_type(cursor.value) == JSON_ARRAY)
			write_list(&writer, cursor.key, field->table, cursor.value, json_get(json_get(present, "spec"), cursor.key));
		else
			json_write_value(&writer, cursor.key, cursor.value);
	}
	json_write_end_object(&writer);
	json_write_end_object(&writer);
	if (json_parse(text.data, text.size, &patch, &err) < 0)
		abort();		/* We wrote it. */
	return patch;
}

int manifest_diff(const struct manifest_object *object, const struct json *patch, const struct json *present,
		  field_diff_fn *change, void *data, struct err *err)
{
	const struct kind *kind = object->kind;
	void *before = kind_new(kind), *after = NULL;
	size_t count = 0;
	int result = kind_decode(kind, present, FIELD_STORED, before, err);

	if (result == 0) {
		after = kind_copy(kind, before);
		result = kind_decode(kind, patch, FIELD_PATCH, after, err);
	}
	if (result == 0) {
		count = field_diff(&meta_table, "meta", before, after, change, data);
		count += field_diff(kind->spec, "spec", kind_spec(kind, before), kind_spec(kind, after), change, data);
	}
	kind_free(kind, before);
	kind_free(kind, after);
	return result < 0 ? err_prefix(err, "%s '%s'", kind->name, shown(object->name)) : (int)count;
}
