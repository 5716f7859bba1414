#include "base/units.h"
#include "model/field_value.h"

static void encode_object(const struct field_table *table, const void *object, bool is_public,
			  struct json_writer *writer, const char *key)
{
	json_write_object(writer, key);
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];
		const void *value = field_const_value(field, object);
		bool is_kept = is_public || !(field->flags & FIELD_DERIVED);

		if (is_kept && !field_value_is_omitted(field, value))
			field_value_encode(field, value, is_public, writer, field->name);
	}
	json_write_end_object(writer);
}

static void encode_time(int64_t time, struct json_writer *writer, const char *key)
{
	char buffer[UNITS_TEXT_SIZE];

	json_write_string(writer, key, time ? units_format_time(time, buffer) : NULL);
}

static void encode_list(const struct field *field, const struct field_list *list, bool is_public,
			struct json_writer *writer, const char *key)
{
	json_write_array(writer, key);
	for (size_t i = 0; i < list->count; i++) {
		if (field->type == FIELD_LIST)
			encode_object(field->table, field_element(field, list, i), is_public, writer, NULL);
		else
			json_write_string(writer, NULL, *field_list_at(list, char *, i));
	}
	json_write_end_array(writer);
}

static void encode_map(const struct field_list *map, struct json_writer *writer, const char *key)
{
	json_write_object(writer, key);
	for (size_t i = 0; i < map->count; i++) {
		const struct field_pair *pair = field_list_at(map, struct field_pair, i);

		json_write_string(writer, pair->key, pair->value);
	}
	json_write_end_object(writer);
}

/*
 * What is left out reads back as empty, so nothing may be that has another default.
 */
bool field_value_is_omitted(const struct field *field, const void *value)
{
	if (field->fallback)
		return false;
	if (!(field->flags & FIELD_OMIT_EMPTY) && field->type != FIELD_STRING && field->type != FIELD_TIME)
		return false;
	return field_value_is_empty(field, value);
}

void field_value_encode(const struct field *field, const void *value, bool is_public,
			struct json_writer *writer, const char *key)
{
	if (is_public && (field->flags & FIELD_SECRET)) {
		json_write_string(writer, key, field_value_is_empty(field, value) ? NULL : FIELD_SECRET_TEXT);
		return;
	}
	switch (field->type) {
	case FIELD_BOOL: json_write_bool(writer, key, *(const bool *)value); break;
	case FIELD_INT:
	case FIELD_DURATION: json_write_int(writer, key, *(const int64_t *)value); break;
	case FIELD_SIZE: json_write_uint(writer, key, *(const uint64_t *)value); break;
	case FIELD_TIME: encode_time(*(const int64_t *)value, writer, key); break;
	case FIELD_DOUBLE: json_write_double(writer, key, *(const double *)value); break;
	case FIELD_STRING: json_write_string(writer, key, *(char *const *)value); break;
	case FIELD_ENUM: json_write_string(writer, key, field_choice(field, *(const int *)value)); break;
	case FIELD_OBJECT: encode_object(field->table, value, is_public, writer, key); break;
	case FIELD_LIST:
	case FIELD_STRINGS: encode_list(field, value, is_public, writer, key); break;
	case FIELD_MAP: encode_map(value, writer, key); break;
	}
}

void field_encode(const struct field_table *table, const void *object, struct json_writer *writer, const char *key)
{
	encode_object(table, object, false, writer, key);
}

void field_encode_public(const struct field_table *table, const void *object, struct json_writer *writer,
			 const char *key)
{
	encode_object(table, object, true, writer, key);
}
