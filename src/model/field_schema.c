#include <stdlib.h>

#include "base/mem.h"
#include "model/field_value.h"

static void write_object(const struct field_table *table, struct json_writer *writer);

/* Members of the schema of one value, by type. */
static void write_type(const struct field *field, struct json_writer *writer)
{
	static const char *const names[] = {
		[FIELD_BOOL] = "boolean", [FIELD_INT] = "integer", [FIELD_TIME] = "string",
		[FIELD_DOUBLE] = "number", [FIELD_STRING] = "string", [FIELD_ENUM] = "string",
		[FIELD_OBJECT] = "object", [FIELD_LIST] = "array", [FIELD_STRINGS] = "array",
		[FIELD_MAP] = "object",
	};

	if (field->type != FIELD_SIZE && field->type != FIELD_DURATION) {
		json_write_string(writer, "type", names[field->type]);
		return;
	}
	json_write_array(writer, "type");	/* 536870912 or "512MiB", 30000 or "30s" */
	json_write_string(writer, NULL, "integer");
	json_write_string(writer, NULL, "string");
	json_write_end_array(writer);
}

static void write_details(const struct field *field, struct json_writer *writer)
{
	switch (field->type) {
	case FIELD_INT:
	case FIELD_DURATION: json_write_string(writer, "format", "int64"); break;
	case FIELD_TIME: json_write_string(writer, "format", "date-time"); break;
	case FIELD_ENUM:
		json_write_array(writer, "enum");
		for (size_t i = 0; field->choices[i]; i++)
			json_write_string(writer, NULL, field->choices[i]);
		json_write_end_array(writer);
		break;
	case FIELD_LIST:
		json_write_object(writer, "items");
		write_object(field->table, writer);
		json_write_end_object(writer);
		break;
	case FIELD_STRINGS:
		json_write_raw(writer, "items", "{\"type\":\"string\"}");
		break;
	case FIELD_MAP:
		json_write_raw(writer, "additionalProperties", "{\"type\":\"string\"}");
		break;
	default: break;
	}
}

static void write_range(const struct field *field, struct json_writer *writer)
{
	struct field_range range = field_range(field);

	switch (field->type) {
	case FIELD_INT:
	case FIELD_SIZE:
	case FIELD_DURATION:
	case FIELD_DOUBLE:
		if (range.has_min)
			json_write_int(writer, "minimum", range.min);
		if (range.has_max)
			json_write_int(writer, "maximum", range.max);
		break;
	case FIELD_STRING:	/* Our lengths are bytes, the schema's are characters of up to 4 bytes. */
		if (range.has_min)
			json_write_int(writer, "minLength", (range.min + 3) / 4);
		json_write_int(writer, "maxLength", range.max);
		break;
	case FIELD_LIST:
	case FIELD_STRINGS:
		if (range.has_min)
			json_write_int(writer, "minItems", range.min);
		json_write_int(writer, "maxItems", range.max);
		break;
	case FIELD_MAP: json_write_int(writer, "maxProperties", range.max); break;
	default: break;
	}
}

static void write_default(const struct field *field, struct json_writer *writer)
{
	auto_free void *value = alloc(field_value_size(field));

	if (!field->fallback)
		return;
	field_value_default(field, value);
	field_value_encode(field, value, true, writer, "default");
	field_value_done(field, value);
}

static void write_field(const struct field *field, struct json_writer *writer)
{
	json_write_object(writer, field->name);
	if (field->type == FIELD_OBJECT) {
		write_object(field->table, writer);
	} else {
		write_type(field, writer);
		json_write_string(writer, "description", field->doc);
		write_details(field, writer);
		write_range(field, writer);
		write_default(field, writer);
	}
	if (field->flags & FIELD_READ_ONLY)
		json_write_bool(writer, "readOnly", true);
	json_write_end_object(writer);
}

static void write_required(const struct field_table *table, struct json_writer *writer)
{
	bool is_any = false;

	for (size_t i = 0; i < table->count; i++) {
		if (!(table->fields[i].flags & FIELD_REQUIRED))
			continue;
		if (!is_any)
			json_write_array(writer, "required");
		is_any = true;
		json_write_string(writer, NULL, table->fields[i].name);
	}
	if (is_any)
		json_write_end_array(writer);
}

static void write_object(const struct field_table *table, struct json_writer *writer)
{
	json_write_string(writer, "type", "object");
	json_write_string(writer, "description", table->doc);
	json_write_bool(writer, "additionalProperties", false);
	write_required(table, writer);
	json_write_object(writer, "properties");
	for (size_t i = 0; i < table->count; i++)
		write_field(&table->fields[i], writer);
	json_write_end_object(writer);
}

void field_schema(const struct field_table *table, struct json_writer *writer, const char *key)
{
	json_write_object(writer, key);
	write_object(table, writer);
	json_write_end_object(writer);
}
