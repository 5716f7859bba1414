#include <ctype.h>
#include <string.h>

#include "5-interface/cli/output.h"
#include "base/str.h"

enum { SECTION_INDENT = 2 };

/* "created_at" is shown as "created at". */
static char *label_of(const char *name)
{
	char *label = text_copy(name);

	for (char *c = label; *c; c++)
		if (*c == '_')
			*c = ' ';
	return label;
}

static bool is_unset(const struct field *field, const char *text)
{
	return !text[0] || ((field->flags & FIELD_OMIT_EMPTY) && (text_equal(text, "0") || text_equal(text, "false") ||
								   text_equal(text, "0B")));
}

/* One element of a list of objects: "network default, ipv4 10.1.2.3, mac ...". */
static void element_text(const struct field_table *fields, const void *object, struct str *out)
{
	for (size_t i = 0; i < fields->count; i++) {
		auto_free char *label = label_of(fields->fields[i].name);
		auto_str struct str text = { 0 };

		field_text(fields, fields->fields[i].name, object, &text);
		if (is_unset(&fields->fields[i], str_text(&text)))
			continue;
		str_printf(out, "%s%s %s", out->size ? ", " : "", label, text.data);
	}
}

static void add_line(struct table *table, const char *label, const char *text)
{
	table_cell(table, "%s", label);
	if (strchr(text, '\n'))
		table_cell(table, "%zu bytes of text: see it with -o yaml", strlen(text));
	else
		table_cell(table, "%s", text);
}

static void add_fields(struct table *table, const struct field_table *fields, const char *prefix, const void *object);

static void add_field(struct table *table, const struct field *field, const struct field_table *fields, const char *label,
		      const void *object)
{
	const void *value = (const char *)object + field->offset;
	auto_str struct str text = { 0 };

	if (field->type == FIELD_OBJECT) {
		add_fields(table, field->table, label, value);
		return;
	}
	if (field->type == FIELD_LIST || field->type == FIELD_STRINGS) {
		const struct field_list *list = value;

		for (size_t i = 0; i < list->count; i++) {
			str_clear(&text);
			if (field->type == FIELD_STRINGS)
				str_append(&text, field_list_at(list, char *, i)[0]);
			else
				element_text(field->table, (const char *)list->items + i * field->table->size, &text);
			add_line(table, i ? "" : label, str_text(&text));
		}
		return;
	}
	field_text(fields, field->name, object, &text);
	if (!is_unset(field, str_text(&text)))
		add_line(table, label, text.data);
}

static void add_fields(struct table *table, const struct field_table *fields, const char *prefix, const void *object)
{
	for (size_t i = 0; i < fields->count; i++) {
		auto_free char *name = label_of(fields->fields[i].name);
		auto_free char *label = prefix ? text_format("%s %s", prefix, name) : NULL;

		add_field(table, &fields->fields[i], fields, label ? label : name, object);
	}
}

/* One line per field. */
static char *fields_text(const struct field_table *fields, const void *object, int indent)
{
	struct table table = { .columns = 2 };
	auto_free char *plain = NULL;
	struct str text = { 0 };
	size_t size = 0;
	FILE *memory = open_memstream(&plain, &size);

	if (!memory)
		abort();
	table_cell(&table, "%s", "");		/* In place of the header. */
	table_cell(&table, "%s", "");
	add_fields(&table, fields, NULL, object);
	table_print(&table, false, memory);
	table_done(&table);
	fclose(memory);
	str_append(&text, "");
	for (char *line = plain, *end; (end = strchr(line, '\n')); line = end + 1)
		str_printf(&text, "%*s%.*s\n", indent, "", (int)(end - line), line);
	return text.data;
}

void show_fields(const struct field_table *fields, const void *object, FILE *out)
{
	auto_free char *text = fields_text(fields, object, 0);

	fputs(text, out);
}

static void show_section(const char *title, const struct field_table *fields, const void *object, FILE *out)
{
	auto_free char *text = fields_text(fields, object, SECTION_INDENT);

	if (text[0])
		fprintf(out, "%s\n%s", title, text);
}

void show_object(const struct kind *kind, const void *object, FILE *out)
{
	const struct meta *meta = object;
	auto_str struct str state = { 0 };
	auto_free char *facts = fields_text(&meta_table, meta, SECTION_INDENT);

	field_text(kind->status, "state", (const char *)object + kind->status_offset, &state);
	if (state.size)
		fprintf(out, "%s %s: %s\n%s", kind->name, shown(meta->name ? meta->name : ""), state.data, facts);
	else
		fprintf(out, "%s %s\n%s", kind->name, shown(meta->name ? meta->name : ""), facts);
	show_section("as it should be", kind->spec, (const char *)object + kind->spec_offset, out);
	show_section("as it is now", kind->status, (const char *)object + kind->status_offset, out);
}
