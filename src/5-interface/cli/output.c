#include "5-interface/cli/output.h"

#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "base/yaml.h"

int output_form(const struct cli *cli, enum output_form fallback, enum output_form *ret_form, struct err *err)
{
	static const char *const names[] = { "table", "json", "yaml", "name" };
	const char *text = cli_value(cli, "output");

	*ret_form = fallback;
	if (!text)
		return 0;
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (text_equal(text, names[i])) {
			*ret_form = (enum output_form)i;
			return 0;
		}
	}
	return err_set(err, CLI_USAGE, "--output: '%s' is not a form of output: use table, json, yaml or name", shown(text));
}

void output_json(struct cli *cli, const struct json *json)
{
	auto_free char *text = json_text(json, 2);

	fprintf(cli->out, "%s\n", text);
}

void output_yaml(struct cli *cli, const struct json *json)
{
	auto_str struct str text = { 0 };

	yaml_write(json, &text);
	fputs(str_text(&text), cli->out);
}

/* "status.state" becomes "STATE"; "meta.created_at" "AGE". */
static char *column_title(const char *path)
{
	const char *dot = strrchr(path, '.');
	char *title = text_copy(text_equal(path, "meta.created_at") ? "age" : dot ? dot + 1 : path);

	for (char *c = title; *c; c++)
		*c = *c == '_' ? ' ' : (char)toupper((unsigned char)*c);
	return title;
}

/* The part of 'object' and its table that the first word of 'path' means. */
static const struct field_table *part_of(const struct kind *kind, const char **path, const void **object)
{
	if (text_starts_with(*path, "meta.")) {
		*path += strlen("meta.");
		return &meta_table;
	}
	if (text_starts_with(*path, "spec.")) {
		*path += strlen("spec.");
		*object = (const char *)*object + kind->spec_offset;
		return kind->spec;
	}
	*path += strlen("status.");
	*object = (const char *)*object + kind->status_offset;
	return kind->status;
}

static void add_cell(struct table *table, const struct kind *kind, const char *path, const void *object)
{
	auto_str struct str text = { 0 };
	const struct field_table *fields;

	if (text_equal(path, "meta.created_at")) {
		auto_free char *age = text_age(((const struct meta *)object)->created_at, wall_ms());

		table_cell(table, "%s", age);
		return;
	}
	fields = part_of(kind, &path, &object);
	field_text(fields, path, object, &text);
	table_cell(table, "%s", text.size ? text.data : "-");
}

static void add_titles(struct table *table, const struct kind *kind)
{
	for (size_t i = 0; kind->columns[i]; i++) {
		auto_free char *title = column_title(kind->columns[i]);

		table_cell(table, "%s", title);
		table->columns++;
	}
}

static void add_row(struct table *table, const struct output_list *list, const void *object)
{
	if (list->row) {
		list->row(table, object);
		return;
	}
	for (size_t i = 0; list->kind->columns[i]; i++)
		add_cell(table, list->kind, list->kind->columns[i], object);
}

static int print_rows(struct cli *cli, const struct output_list *list, const struct json *items, enum output_form form,
		      struct err *err)
{
	struct table table = { 0 };
	int result = 0;

	if (list->header)
		list->header(&table);
	else
		add_titles(&table, list->kind);
	for (size_t i = 0; i < json_count(items) && result == 0; i++) {
		void *object = NULL;

		result = object_decode(list->kind, json_at(items, i), &object, err);
		if (result == 0 && (!list->filter || list->filter(list->data, object))) {
			if (form == OUTPUT_NAME)
				fprintf(cli->out, "%s\n", kind_meta(object)->name);
			else
				add_row(&table, list, object);
		}
		kind_free(list->kind, object);
	}
	if (result == 0 && form == OUTPUT_TABLE)
		table_print(&table, !cli_has(cli, "no-headers"), cli->out);
	table_done(&table);
	return result;
}

static int is_wanted(const struct output_list *list, const struct json *item, bool *ret_wanted, struct err *err)
{
	void *object;
	int result;

	*ret_wanted = true;
	if (!list->filter)
		return 0;
	result = object_decode(list->kind, item, &object, err);
	if (result < 0)
		return result;
	*ret_wanted = list->filter(list->data, object);
	kind_free(list->kind, object);
	return 0;
}

/* The items that pass the filter, as a list. */
static int print_values(struct cli *cli, const struct output_list *list, const struct json *items, enum output_form form,
			struct err *err)
{
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text, .indent = 2 };
	auto_json struct json *kept = NULL;
	int result = 0;

	json_write_array(&writer, NULL);
	for (size_t i = 0; i < json_count(items) && result == 0; i++) {
		bool wanted = false;

		result = is_wanted(list, json_at(items, i), &wanted, err);
		if (wanted)
			json_write_value(&writer, NULL, json_at(items, i));
	}
	json_write_end_array(&writer);
	if (result < 0)
		return result;
	if (form == OUTPUT_JSON) {
		fprintf(cli->out, "%s\n", text.data);
		return 0;
	}
	result = json_parse(text.data, text.size, &kept, err);
	if (result == 0)
		output_yaml(cli, kept);
	return result;
}

int output_list(struct cli *cli, const struct output_list *list, struct err *err)
{
	auto_json struct json *json = NULL;
	const struct json *items;
	enum output_form form;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result == 0)
		result = request_json(cli, "GET", list->path, NULL, &json, err);
	if (result < 0)
		return result;
	items = json_get(json, "items");
	if (form == OUTPUT_JSON || form == OUTPUT_YAML)
		return print_values(cli, list, items, form, err);
	return print_rows(cli, list, items, form, err);
}

int output_object(struct cli *cli, const struct kind *kind, const char *path, struct err *err)
{
	auto_json struct json *json = NULL;
	enum output_form form;
	void *object = NULL;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result == 0)
		result = request_json(cli, "GET", path, NULL, &json, err);
	if (result < 0)
		return result;
	if (form == OUTPUT_JSON || form == OUTPUT_YAML) {
		form == OUTPUT_JSON ? output_json(cli, json) : output_yaml(cli, json);
		return 0;
	}
	result = object_decode(kind, json, &object, err);
	if (result < 0)
		return result;
	if (form == OUTPUT_NAME)
		fprintf(cli->out, "%s\n", kind_meta(object)->name);
	else
		show_object(kind, object, cli->out);
	kind_free(kind, object);
	return 0;
}
