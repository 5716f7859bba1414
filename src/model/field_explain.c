#include "model/field_value.h"

static const char *const type_names[] = {
	[FIELD_BOOL] = "true or false",
	[FIELD_INT] = "whole number",
	[FIELD_SIZE] = "size",
	[FIELD_DURATION] = "duration",
	[FIELD_TIME] = "time (RFC 3339)",
	[FIELD_DOUBLE] = "number",
	[FIELD_STRING] = "string",
	[FIELD_ENUM] = "one of",
	[FIELD_OBJECT] = "object",
	[FIELD_LIST] = "list of objects",
	[FIELD_STRINGS] = "list of strings",
	[FIELD_MAP] = "object of strings",
};

static void append_range(const struct field *field, struct str *out)
{
	if (!field->min && !field->max)
		return;
	str_append(out, ", ");
	field_range_text(field, out);
	if (field->type == FIELD_STRING)
		str_append(out, " bytes");
	else if (field->type == FIELD_LIST || field->type == FIELD_STRINGS || field->type == FIELD_MAP)
		str_append(out, " elements");
}

/* "size, 32MiB to 16TiB, default 256MiB" */
static void append_facts(const struct field *field, struct str *out)
{
	str_append(out, type_names[field->type]);
	if (field->type == FIELD_ENUM)
		for (size_t i = 0; field->choices[i]; i++)
			str_printf(out, "%s%s", i ? ", " : " ", field->choices[i]);
	append_range(field, out);
	if (field->fallback)
		str_printf(out, "%s default %s", field->type == FIELD_ENUM ? ";" : ",", field->fallback);
	if (field->flags & FIELD_REQUIRED)
		str_append(out, ", required");
	if (field->flags & FIELD_FIXED)
		str_append(out, ", cannot change after creation");
	if (field->flags & FIELD_READ_ONLY)
		str_append(out, ", set by the system");
}

static void explain_fields(const struct field_table *table, int indent, struct str *out)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];

		str_printf(out, "%*s%s  (", indent, "", field->name);
		append_facts(field, out);
		str_printf(out, ")\n%*s%s\n", indent + 4, "", field->doc);
		if (field->table)
			explain_fields(field->table, indent + 4, out);
	}
}

void field_explain(const struct field_table *table, const char *title, struct str *out)
{
	str_printf(out, "%s: %s\n\n", title, table->doc);
	explain_fields(table, 2, out);
}

void field_explain_one(const struct field *field, const char *title, struct str *out)
{
	str_printf(out, "%s  (", title);
	append_facts(field, out);
	str_printf(out, ")\n    %s\n", field->doc);
	if (!field->table)
		return;
	str_append_char(out, '\n');
	explain_fields(field->table, 2, out);
}
