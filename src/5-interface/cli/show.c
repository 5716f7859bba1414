#include <ctype.h>
#include <string.h>

#include "5-interface/cli/output.h"
#include "base/str.h"
#include "base/units.h"
#include "model/image.h"
#include "model/instance.h"

enum { SECTION_INDENT = 2 };

/* Fields of spec and status that are a section of their own: they are long, or read apart from the rest. */
static const struct { const char *field, *title; } sections[] = {
	{ "container", "the container" }, { "isolation", "isolation in force" }, { "config", "how it wants to be run" },
	{ "layers", "layers, top first" }, { "usage", "what it uses" },
};

/* "created_at" is shown as "created at". */
static char *label_of(const char *name)
{
	char *label = text_copy(name);

	for (char *c = label; *c; c++)
		if (*c == '_')
			*c = ' ';
	return label;
}

/* The first of choices that may be left out is "none" or the like. */
static bool is_unset(const struct field *field, const char *text)
{
	bool is_first = field->type == FIELD_ENUM && (field->flags & FIELD_OMIT_EMPTY) && text_equal(text, field->choices[0]);

	return !text[0] || is_first || ((field->flags & FIELD_OMIT_EMPTY) && (text_equal(text, "0") || text_equal(text, "false") ||
								   text_equal(text, "0B") || text_equal(text, "0s")));
}

/* "volume data at /srv, read-only" */
static void mount_text(const struct instance_mount *mount, struct str *out)
{
	static const char *const kinds_of_mount[] = { "volume", "bind", "tmpfs" };
	char size[UNITS_TEXT_SIZE];

	str_append(out, kinds_of_mount[mount->kind]);
	if (mount->source)
		str_printf(out, " %s", mount->source);
	str_printf(out, " at %s", mount->target ? mount->target : "");
	if (mount->size)
		str_printf(out, ", %s", units_format_size(mount->size, size));
	if (mount->read_only)
		str_append(out, ", read-only");
}

/* "b94d27b9934d 4.2MiB RUN make install" */
static void layer_text(const struct image_layer *layer, struct str *out)
{
	char size[UNITS_TEXT_SIZE];

	str_printf(out, "%.12s %s %s", layer->diff_id ? layer->diff_id : "", units_format_size(layer->size, size),
		   layer->created_by ? layer->created_by : "");
}

/* As one would type it. */
static void words_text(const struct field_list *words, struct str *out)
{
	for (size_t i = 0; i < words->count; i++) {
		const char *word = *field_list_at(words, char *, i);
		bool is_plain = word[0] && !word[strcspn(word, " \t\n'\"\\$&|;<>()*?[]{}`#~!")];

		str_append(out, i ? " " : "");
		if (is_plain) {
			str_append(out, word);
			continue;
		}
		str_append_char(out, '\'');
		for (; *word; word++)
			str_append(out, *word == '\'' ? "'\\''" : (char[]){ *word, '\0' });
		str_append_char(out, '\'');
	}
}

static bool is_words(const struct field *field)
{
	return field->type == FIELD_STRINGS && (text_equal(field->name, "command") || text_equal(field->name, "entrypoint"));
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

static void list_element_text(const struct field *field, const struct field_list *list, size_t i, struct str *out)
{
	if (field->type == FIELD_STRINGS)
		str_append(out, field_list_at(list, char *, i)[0]);
	else if (text_equal(field->table->name, "image_layer"))
		layer_text(field_list_at(list, struct image_layer, i), out);
	else if (text_equal(field->table->name, "instance_mount"))
		mount_text(field_list_at(list, struct instance_mount, i), out);
	else
		element_text(field->table, (const char *)list->items + i * field->table->size, out);
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
	if (is_words(field)) {
		words_text(value, &text);
		if (text.size)
			add_line(table, label, text.data);
		return;
	}
	if (field->type == FIELD_LIST || field->type == FIELD_STRINGS) {
		const struct field_list *list = value;

		for (size_t i = 0; i < list->count; i++) {
			str_clear(&text);
			list_element_text(field, list, i, &text);
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

static bool is_section(const struct field *field)
{
	for (size_t i = 0; i < ARRAY_COUNT(sections); i++)
		if (text_equal(field->name, sections[i].field))
			return true;
	return false;
}

/* What has a default but means nothing for a container. */
static bool is_foreign(const struct field_table *fields, const struct field *field, const void *object)
{
	return fields == &instance_spec_table && ((const struct instance_spec *)object)->kind == INSTANCE_CONTAINER &&
		(text_equal(field->name, "machine") || text_equal(field->name, "boot"));
}

enum part { PART_ALL, PART_PLAIN };	/* PLAIN: without the sections. */

/* One line per field. */
static char *fields_text(const struct field_table *fields, const void *object, enum part part, int indent)
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
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->fields[i];
		auto_free char *label = label_of(field->name);

		if (part == PART_ALL || (!is_section(field) && !is_foreign(fields, field, object)))
			add_field(&table, field, fields, label, object);
	}
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
	auto_free char *text = fields_text(fields, object, PART_ALL, 0);

	fputs(text, out);
}

static void show_section(const char *title, const struct field_table *fields, const void *object, FILE *out)
{
	auto_free char *text = fields_text(fields, object, PART_PLAIN, SECTION_INDENT);

	if (text[0])
		fprintf(out, "%s\n%s", title, text);
}

static void show_list(const char *title, const struct field *field, const struct field_list *list, FILE *out)
{
	fprintf(out, "%s\n", title);
	for (size_t i = 0; i < list->count; i++) {
		auto_str struct str text = { 0 };
		char buffer[512];

		list_element_text(field, list, i, &text);
		fprintf(out, "%*s%s\n", SECTION_INDENT, "", text_shown(str_text(&text), 500, buffer, sizeof(buffer)));
	}
}

static bool is_empty(const struct field *field, const void *value)
{
	auto_free void *nothing = alloc(field->table->size);

	return field_equal(field->table, value, nothing);
}

/* The sections among these fields: of an object its fields, of a list its elements. */
static void show_own_sections(const struct field_table *fields, const void *object, FILE *out)
{
	for (size_t i = 0; i < ARRAY_COUNT(sections); i++) {
		const struct field *field = field_find(fields, sections[i].field);
		const char *value = (const char *)object + (field ? field->offset : 0);

		if (field && field->type == FIELD_OBJECT && !is_empty(field, value))
			show_section(sections[i].title, field->table, value, out);
		else if (field && field->type != FIELD_OBJECT && ((const struct field_list *)(const void *)value)->count)
			show_list(sections[i].title, field, (const struct field_list *)(const void *)value, out);
	}
}

void show_object(const struct kind *kind, const void *object, FILE *out)
{
	const struct meta *meta = object;
	auto_str struct str state = { 0 };
	auto_free char *facts = fields_text(&meta_table, meta, PART_ALL, SECTION_INDENT);

	field_text(kind->status, "state", (const char *)object + kind->status_offset, &state);
	if (state.size)
		fprintf(out, "%s %s: %s\n%s", kind->name, shown(meta->name ? meta->name : ""), state.data, facts);
	else
		fprintf(out, "%s %s\n%s", kind->name, shown(meta->name ? meta->name : ""), facts);
	show_section("as it should be", kind->spec, (const char *)object + kind->spec_offset, out);
	show_own_sections(kind->spec, (const char *)object + kind->spec_offset, out);
	show_section("as it is now", kind->status, (const char *)object + kind->status_offset, out);
	show_own_sections(kind->status, (const char *)object + kind->status_offset, out);
}
