/*
 * The values: json-c supplies typed nodes, hashed objects and arrays.  It spells JSON null as
 * a null pointer; here that means "absent", so null is the address of a constant that never
 * reaches json-c.  Texts are read in json_parse.c and written in json_write.c.
 */
#include "base/json.h"

#include <assert.h>
/* Two of json-c's names are also ours. */
#define json_bool json_c_bool
#define json_type json_c_type
#include <json-c/json.h>
#undef json_bool
#undef json_type
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

static const char json_null_value;

static struct json *null_json(void)
{
	return (struct json *)(uintptr_t)&json_null_value;
}

static bool is_null(const struct json *json)
{
	return (const char *)json == &json_null_value;
}

/* To and from json-c's view; 'inside' is for pointers stored in a container. */
static struct json_object *outside(const struct json *json)
{
	return (struct json_object *)(uintptr_t)json;
}

static struct json_object *to_inside(struct json *json)
{
	return is_null(json) ? NULL : outside(json);
}

static struct json *from_inside(struct json_object *object)
{
	return object ? (struct json *)object : null_json();
}

static struct json *new_value(struct json_object *object)
{
	if (!object)
		abort();		/* json-c says so when memory has run out. */
	return (struct json *)object;
}

/* Reading. */

void json_free(struct json *json)
{
	if (json && !is_null(json))
		json_object_put(outside(json));
}

enum json_type json_type(const struct json *json)
{
	if (!json)
		return JSON_ABSENT;
	if (is_null(json))
		return JSON_NULL;
	switch (json_object_get_type(outside(json))) {
	case json_type_boolean: return JSON_BOOL;
	case json_type_double: return JSON_DOUBLE;
	case json_type_string: return JSON_STRING;
	case json_type_array: return JSON_ARRAY;
	case json_type_object: return JSON_OBJECT;
	case json_type_int:
		return json_object_get_uint64(outside(json)) > INT64_MAX ? JSON_UINT : JSON_INT;
	case json_type_null: break;
	}
	return JSON_NULL;
}

const char *json_type_name(enum json_type type)
{
	switch (type) {
	case JSON_ABSENT: return "nothing";
	case JSON_NULL: return "null";
	case JSON_BOOL: return "a boolean";
	case JSON_INT:
	case JSON_UINT:
	case JSON_DOUBLE: return "a number";
	case JSON_STRING: return "a string";
	case JSON_ARRAY: return "a list";
	case JSON_OBJECT: return "an object";
	}
	return "nothing";
}

bool json_bool(const struct json *json, bool fallback)
{
	return json_type(json) == JSON_BOOL ? json_object_get_boolean(outside(json)) : fallback;
}

int64_t json_int(const struct json *json, int64_t fallback)
{
	return json_type(json) == JSON_INT ? json_object_get_int64(outside(json)) : fallback;
}

uint64_t json_uint(const struct json *json, uint64_t fallback)
{
	enum json_type type = json_type(json);

	if (type == JSON_UINT || (type == JSON_INT && json_object_get_int64(outside(json)) >= 0))
		return json_object_get_uint64(outside(json));
	return fallback;
}

double json_double(const struct json *json, double fallback)
{
	switch (json_type(json)) {
	case JSON_DOUBLE: return json_object_get_double(outside(json));
	case JSON_INT: return (double)json_object_get_int64(outside(json));
	case JSON_UINT: return (double)json_object_get_uint64(outside(json));
	default: return fallback;
	}
}

const char *json_string(const struct json *json, const char *fallback)
{
	return json_type(json) == JSON_STRING ? json_object_get_string(outside(json)) : fallback;
}

const struct json *json_get(const struct json *object, const char *key)
{
	struct json_object *value;

	if (json_type(object) != JSON_OBJECT || !json_object_object_get_ex(outside(object), key, &value))
		return NULL;
	return from_inside(value);
}

const struct json *json_path(const struct json *object, const char *path)
{
	auto_free char *key = text_copy(path);
	char *rest = key, *name;

	while (object && (name = strsep(&rest, ".")))
		object = json_get(object, name);
	return object;
}

size_t json_count(const struct json *json)
{
	switch (json_type(json)) {
	case JSON_ARRAY: return json_object_array_length(outside(json));
	case JSON_OBJECT: return (size_t)json_object_object_length(outside(json));
	default: return 0;
	}
}

const struct json *json_at(const struct json *array, size_t index)
{
	if (json_type(array) != JSON_ARRAY || index >= json_count(array))
		return NULL;
	return from_inside(json_object_array_get_idx(outside(array), index));
}

bool json_next(const struct json *object, struct json_cursor *cursor)
{
	struct json_object_iterator iterator, end;

	if (json_type(object) != JSON_OBJECT)
		return false;
	if (!cursor->is_begun)
		iterator = json_object_iter_begin(outside(object));
	else
		iterator.opaque_ = cursor->position;
	cursor->is_begun = true;
	end = json_object_iter_end(outside(object));
	if (json_object_iter_equal(&iterator, &end))
		return false;
	cursor->key = json_object_iter_peek_name(&iterator);
	cursor->value = from_inside(json_object_iter_peek_value(&iterator));
	json_object_iter_next(&iterator);
	cursor->position = iterator.opaque_;
	return true;
}

const struct json *json_member(const struct json *object, size_t index, const char **ret_key)
{
	struct json_cursor cursor = { 0 };

	for (size_t i = 0; json_next(object, &cursor); i++) {
		if (i < index)
			continue;
		*ret_key = cursor.key;
		return cursor.value;
	}
	return NULL;
}

/* Building. */

struct json *json_new_object(void)
{
	return new_value(json_object_new_object());
}

struct json *json_new_array(void)
{
	return new_value(json_object_new_array());
}

struct json *json_new_string_size(const char *bytes, size_t size)
{
	assert(size <= INT32_MAX);
	return new_value(json_object_new_string_len(bytes, (int)size));
}

struct json *json_new_string(const char *text)
{
	auto_str struct str clean = { 0 };
	size_t size = strlen(text);

	if (text_is_utf8(text, size))
		return json_new_string_size(text, size);
	for (size_t i = 0; i < size; ) {
		size_t length = utf8_length(text + i, size - i);

		str_append_bytes(&clean, length ? text + i : UTF8_REPLACEMENT, length ? length : strlen(UTF8_REPLACEMENT));
		i += length ? length : 1;
	}
	return json_new_string_size(clean.data, clean.size);
}

struct json *json_new_int(int64_t number)
{
	return new_value(json_object_new_int64(number));
}

struct json *json_new_uint(uint64_t number)
{
	return new_value(json_object_new_uint64(number));
}

struct json *json_new_double(double number)
{
	return new_value(json_object_new_double(number));
}

struct json *json_new_bool(bool value)
{
	return new_value(json_object_new_boolean(value));
}

struct json *json_new_null(void)
{
	return null_json();
}

void json_set(struct json *object, const char *key, struct json *value)
{
	assert(json_type(object) == JSON_OBJECT);
	if (json_object_object_add(outside(object), key, to_inside(value)) < 0)
		abort();
}

bool json_add(struct json *object, const char *key, struct json *value)
{
	assert(json_type(object) == JSON_OBJECT);
	if (json_object_object_get_ex(outside(object), key, NULL))
		return false;
	if (json_object_object_add_ex(outside(object), key, to_inside(value), JSON_C_OBJECT_ADD_KEY_IS_NEW) < 0)
		abort();
	return true;
}

void json_push(struct json *array, struct json *value)
{
	assert(json_type(array) == JSON_ARRAY);
	if (json_object_array_add(outside(array), to_inside(value)) < 0)
		abort();
}
