/*
 * How it works: one walk over the members of the JSON object, each looked up in the table and
 * given to the decoder of its type.  Nested objects and elements recurse; the parser has limited
 * the depth.  Scalars are in field_decode_scalar.c.
 *
 * What a person may not change (READ_ONLY, FIXED) is decoded into a scratch value and compared.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "model/field_decode.h"

enum { FIELDS_MAX = 128 };		/* Of one table. */

static int decode_object(const struct decoder *decoder, const struct field_table *table, const struct json *json,
			 const struct place *place, void *object);

static int decode_object_value(const struct decoder *decoder, const struct field *field, const struct json *json,
			       const struct place *place, void *value)
{
	return decode_object(decoder, field->table, json, place, value) ?: decode_check(decoder, field, value, place);
}

static int decode_value(const struct decoder *decoder, const struct field *field, const struct json *json,
			const struct place *place, void *value);

/* Does 'json' say exactly what 'value' already is? */
static bool is_repeated(const struct field *field, const struct json *json, const struct place *place,
			const void *value)
{
	struct err ignored;
	const struct decoder quiet = { FIELD_STORED, &ignored };
	auto_free void *scratch = alloc(field_value_size(field));
	bool is_equal;

	field_value_copy(field, value, scratch);
	is_equal = decode_value(&quiet, field, json, place, scratch) == 0 && field_value_equal(field, value, scratch);
	field_value_done(field, scratch);
	return is_equal;
}

/* Are the READ_ONLY members of the element in 'json' those of 'element', and are there any? */
static bool is_same_element(const struct field_table *table, const struct json *json, const struct place *place,
			    const void *element)
{
	bool is_any = false;

	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];
		const struct json *member = json_get(json, field->name);

		if (!(field->flags & FIELD_READ_ONLY) || !member)
			continue;
		if (!is_repeated(field, member, place, field_const_value(field, element)))
			return false;
		is_any = true;
	}
	return is_any;
}

static void keep_read_only(const struct field_table *table, const void *from, void *to)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];

		if (!(field->flags & FIELD_READ_ONLY))
			continue;
		field_value_done(field, field_value(field, to));
		field_value_copy(field, field_const_value(field, from), field_value(field, to));
	}
}

/*
 * A list is replaced as a whole (RFC 7396), so its elements are created, not changed.  The one
 * thing they take over: an element that repeats the READ_ONLY members of an old one keeps them.
 */
static int decode_element(const struct decoder *decoder, const struct field *field, const struct json *json,
			  const struct place *place, const struct field_list *old, void *element)
{
	struct decoder creation = *decoder;
	int r;

	field_defaults(field->table, element);
	if (decoder->mode == FIELD_PATCH) {
		creation.mode = FIELD_CREATE;
		/* Mostly it is still where it was. */
		for (size_t i = 0; i < old->count; i++) {
			const void *other = field_element(field, old, (place->index + i) % old->count);

			if (!is_same_element(field->table, json, place, other))
				continue;
			keep_read_only(field->table, other, element);
			break;
		}
	}
	r = decode_object(&creation, field->table, json, place, element);
	return r ?: decode_check(decoder, field, element, place);
}

static int decode_string_element(const struct decoder *decoder, const struct field *field, const struct json *json,
				 const struct place *place, char **ret_text)
{
	const char *text = json_string(json, NULL);
	int r;

	if (!text)
		return decode_fail_expected(decoder, "a string", json, place);
	r = decode_check_length(decoder, text, 0, LIMIT_TEXT_BYTES, place) ?: decode_check(decoder, field, text, place);
	if (r == 0)
		*ret_text = text_copy(text);
	return r;
}

static int decode_list(const struct decoder *decoder, const struct field *field, const struct json *json,
		       const struct place *place, void *value)
{
	size_t size = field->type == FIELD_LIST ? field->table->size : sizeof(char *);
	struct field_list old = *(struct field_list *)value, *list = value;
	int r;

	if (json_type(json) != JSON_ARRAY)
		return decode_fail_type(decoder, field, json, place);
	r = decode_check_count(decoder, field, json_count(json), place);
	if (r < 0)
		return r;
	*list = (struct field_list){ 0 };
	for (size_t i = 0; r == 0 && i < json_count(json); i++) {
		const struct place here = { .parent = place, .index = i };
		void *element = field_list_push(list, size);

		if (field->type == FIELD_LIST)
			r = decode_element(decoder, field, json_at(json, i), &here, &old, element);
		else
			r = decode_string_element(decoder, field, json_at(json, i), &here, element);
	}
	field_value_done(field, &old);
	return r;
}

static int decode_pair(const struct decoder *decoder, const struct json *json, const char *key,
		       const struct place *place, struct field_list *map)
{
	const char *text = json_string(json, NULL);
	int r;

	if (json_type(json) != JSON_NULL && !text)
		return decode_fail_expected(decoder, "a string (in quotes)", json, place);
	r = decode_check_length(decoder, key, 1, LIMIT_LABEL_LENGTH, place) ?:
	    decode_check_length(decoder, text ? text : "", 0, LIMIT_LABEL_LENGTH, place);
	if (r < 0)
		return r;
	field_map_set(map, key, text);
	return 0;
}

/* Merged like any object: null removes a key. */
static int decode_map(const struct decoder *decoder, const struct field *field, const struct json *json,
		      const struct place *place, void *value)
{
	struct field_list *map = value;

	if (json_type(json) != JSON_OBJECT)
		return decode_fail_type(decoder, field, json, place);
	for (struct json_cursor at = { 0 }; json_next(json, &at); ) {
		const struct place here = { .parent = place, .name = at.key };
		int r = decode_pair(decoder, at.value, at.key, &here, map);

		if (r < 0)
			return r;
	}
	return decode_check_count(decoder, field, map->count, place);
}

static int decode_value(const struct decoder *decoder, const struct field *field, const struct json *json,
			const struct place *place, void *value)
{
	if (json_type(json) != JSON_NULL) {
		switch (field->type) {
		case FIELD_OBJECT: return decode_object_value(decoder, field, json, place, value);
		case FIELD_LIST:
		case FIELD_STRINGS: return decode_list(decoder, field, json, place, value);
		case FIELD_MAP: return decode_map(decoder, field, json, place, value);
		default: return decode_scalar(decoder, field, json, place, value);
		}
	}
	field_value_done(field, value);
	/* We ourselves write null for what is empty; people write it for what is as usual. */
	if (decoder->mode != FIELD_STORED)
		field_value_default(field, value);
	return 0;
}

/* Whole objects. */

static int fail_unknown(const struct decoder *decoder, const struct field_table *table, const struct place *place)
{
	const char *names[FIELDS_MAX], *near;
	auto_str struct str known = { 0 };

	for (size_t i = 0; i < table->count; i++) {
		names[i] = table->fields[i].name;
		str_printf(&known, "%s%s", i ? ", " : "", names[i]);
	}
	near = field_nearest(place->name, names, table->count);
	if (near)
		err_set(decoder->err, -EINVAL, "unknown field, did you mean '%s'?", near);
	else
		err_set(decoder->err, -EINVAL, "unknown field: use one of %s", known.data);
	return decode_fail(decoder, place);
}

static int fail_guarded(const struct decoder *decoder, const struct field *field, const struct place *place,
			const void *value)
{
	auto_str struct str text = { 0 };

	field_value_text(field, value, &text);
	if (field->flags & FIELD_READ_ONLY)
		err_set(decoder->err, -EINVAL, "is set by the system: leave it out");
	else if (text.size)
		err_set(decoder->err, -EINVAL, "cannot change after creation: leave it at '%s'", shown(text.data));
	else
		err_set(decoder->err, -EINVAL, "cannot change after creation: leave it out");
	return decode_fail(decoder, place);
}

static bool is_guarded(const struct decoder *decoder, const struct field *field)
{
	return (decoder->mode != FIELD_STORED && (field->flags & FIELD_READ_ONLY)) ||
	       (decoder->mode == FIELD_PATCH && (field->flags & FIELD_FIXED));
}

/* A secret that comes back as it was shown. */
static bool is_hidden(const struct decoder *decoder, const struct field *field, const struct json *json)
{
	return decoder->mode == FIELD_PATCH && (field->flags & FIELD_SECRET) &&
	       text_equal(json_string(json, NULL), FIELD_SECRET_TEXT);
}

static int decode_member(const struct decoder *decoder, const struct field *field, const struct json *json,
			 const struct place *place, void *value)
{
	if (is_hidden(decoder, field, json))
		return 0;
	if (!is_guarded(decoder, field))
		return decode_value(decoder, field, json, place, value);
	if (is_repeated(field, json, place, value))
		return 0;
	return fail_guarded(decoder, field, place, value);
}

static bool is_missing(const struct decoder *decoder, const struct field *field, bool is_seen, const void *value)
{
	if (!(field->flags & FIELD_REQUIRED) || decoder->mode == FIELD_STORED)
		return false;
	switch (field->type) {
	case FIELD_STRING:
	case FIELD_LIST:
	case FIELD_STRINGS:
	case FIELD_MAP: return field_value_is_empty(field, value);
	default: return decoder->mode == FIELD_CREATE && !is_seen;
	}
}

static int check_required(const struct decoder *decoder, const struct field_table *table, const bool *is_seen,
			  const struct place *place, const void *object)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];
		const struct place here = { .parent = place, .name = field->name };

		if (!is_missing(decoder, field, is_seen[i], field_const_value(field, object)))
			continue;
		err_set(decoder->err, -EINVAL, "is required: %s", field->doc);
		return decode_fail(decoder, &here);
	}
	return 0;
}

/* Mostly members come in the order of the table: the search goes on where the last one ended. */
static size_t find_member(const struct field_table *table, const char *name, size_t from)
{
	for (size_t i = 0; i < table->count; i++) {
		size_t index = from + i < table->count ? from + i : from + i - table->count;

		if (strcmp(table->fields[index].name, name) == 0)
			return index;
	}
	return table->count;
}

static int decode_object(const struct decoder *decoder, const struct field_table *table, const struct json *json,
			 const struct place *place, void *object)
{
	bool is_seen[FIELDS_MAX] = { false };
	size_t next = 0;

	assert(table->count <= FIELDS_MAX);
	if (json_type(json) != JSON_OBJECT)
		return decode_fail_expected(decoder, "an object", json, place);
	for (struct json_cursor at = { 0 }; json_next(json, &at); next++) {
		const struct place here = { .parent = place, .name = at.key };
		int r;

		next = find_member(table, at.key, next);
		if (next == table->count)
			return fail_unknown(decoder, table, &here);
		is_seen[next] = json_type(at.value) != JSON_NULL;
		r = decode_member(decoder, &table->fields[next], at.value, &here,
				  field_value(&table->fields[next], object));
		if (r < 0)
			return r;
	}
	return check_required(decoder, table, is_seen, place, object);
}

int field_decode(const struct field_table *table, const struct json *json, enum field_mode mode,
		 const char *place, void *object, struct err *err)
{
	const struct decoder decoder = { mode, err };
	const struct place root = { .name = place };

	return decode_object(&decoder, table, json, &root, object);
}
