/*
 * Lists may be long: each object is scanned for what its row needs, never decoded as a whole.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "5-interface/cli/output.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"

enum { COLUMNS_MAX = 12 };

struct cell {
	const struct output_column *column;
	const struct field *field;	/* How its value is shown; null: as it is. */
	bool is_age;
	struct scan_pick *pick, *otherwise;	/* Into the array of picks; 'otherwise' may be null. */
};

struct listing {
	const struct output_list *list;
	enum output_form form;
	struct output_column columns[COLUMNS_MAX];
	struct cell cells[COLUMNS_MAX];
	size_t cell_count;
	struct scan_pick picks[SCAN_PICKS];	/* First the conditions', then the name, then the cells'. */
	char *paths[SCAN_PICKS];	/* What the picks borrow. Owned. */
	size_t pick_count;
	struct scan_pick *name;
	struct table table;
	struct str kept;		/* For JSON: the objects, with commas between them. */
	int64_t now_ms;
};

static struct scan_pick *add_pick(struct listing *listing, const char *path)
{
	size_t i = listing->pick_count++;

	listing->paths[i] = text_copy(path);
	scan_path(&listing->picks[i], listing->paths[i]);
	return &listing->picks[i];
}

static const struct field *field_of(const struct kind *kind, const char *path)
{
	const char *dot = strchr(path, '.');

	if (text_starts_with(path, "meta."))
		return field_find(&meta_table, dot + 1);
	return field_find(text_starts_with(path, "spec.") ? kind->spec : kind->status, dot + 1);
}

/* "status.has_memory" becomes "HAS MEMORY". */
static char *title_of(const struct output_column *column)
{
	const char *dot = strrchr(column->path, '.');
	char *title;

	if (column->title)
		return text_copy(column->title);
	if (text_equal(column->path, "meta.created_at"))
		return text_copy("AGE");
	title = text_copy(dot ? dot + 1 : column->path);
	for (char *c = title; *c; c++)
		*c = *c == '_' ? ' ' : (char)toupper((unsigned char)*c);
	return title;
}

static void add_column(struct listing *listing, const struct output_column *column)
{
	auto_free char *title = title_of(column);

	table_title(&listing->table, title);
	listing->cells[listing->cell_count++] = (struct cell){
		.column = column,
		.field = field_of(listing->list->kind, column->path),
		.is_age = text_equal(column->path, "meta.created_at"),
		.pick = add_pick(listing, column->path),
		.otherwise = column->otherwise ? add_pick(listing, column->otherwise) : NULL,
	};
}

static void listing_init(struct listing *listing, const struct output_list *list, enum output_form form)
{
	*listing = (struct listing){ .list = list, .form = form, .now_ms = clock_wall_ms() };
	for (size_t i = 0; i < list->condition_count; i++)
		memcpy(listing->picks[listing->pick_count++].words, list->conditions[i].words, sizeof(list->conditions[i].words));
	listing->name = add_pick(listing, "meta.name");
	if (list->columns) {
		for (size_t i = 0; list->columns[i].path; i++)
			add_column(listing, &list->columns[i]);
		return;
	}
	for (size_t i = 0; list->kind->columns[i]; i++) {
		listing->columns[i] = (struct output_column){ .path = list->kind->columns[i] };
		add_column(listing, &listing->columns[i]);
	}
}

static void listing_done(struct listing *listing)
{
	for (size_t i = 0; i < listing->pick_count; i++)
		free(listing->paths[i]);
	table_done(&listing->table);
	str_done(&listing->kept);
}

static bool is_wanted(const struct listing *listing)
{
	for (size_t i = 0; i < listing->list->condition_count; i++) {
		const char *value = listing->list->conditions[i].value;
		auto_str struct str text = { 0 };

		scan_text(&listing->picks[i], &text);
		if (!listing->picks[i].text || (value && !text_equal(value, str_text(&text))))
			return false;
	}
	return true;
}

/* A scalar as JSON has it becomes what people read: field_text() for one value that was never decoded. */
static void humanize(const struct cell *cell, int64_t now_ms, struct str *text)
{
	char buffer[UNITS_TEXT_SIZE];
	struct err ignored;
	int64_t then_ms = 0;

	if (cell->is_age) {
		bool is_time = units_parse_time(str_text(text), &then_ms, &ignored) == 0;
		auto_free char *age = text_age(is_time ? then_ms : 0, now_ms);

		str_clear(text);
		str_append(text, age);
	} else if (cell->field && cell->field->type == FIELD_SIZE) {
		units_format_size(strtoull(str_text(text), NULL, 10), buffer);
		str_clear(text);
		str_append(text, buffer);
	} else if (cell->field && cell->field->type == FIELD_DURATION) {
		units_format_duration(strtoll(str_text(text), NULL, 10), buffer);
		str_clear(text);
		str_append(text, buffer);
	}
}

static bool is_unset(const struct scan_pick *pick)
{
	return !pick->text || (pick->size == 1 && pick->text[0] == '0') || pick->size == 2 * (pick->text[0] == '"');
}

static void add_cell(struct listing *listing, const struct cell *cell, struct str *text)
{
	str_clear(text);
	scan_text(is_unset(cell->pick) && cell->otherwise ? cell->otherwise : cell->pick, text);
	if (cell->column->has_no_zero && text_equal(str_text(text), "0"))
		str_clear(text);
	/* What is left out because it is empty: no bytes are a number, no text is none. */
	if (!text->size && cell->field && cell->field->type == FIELD_SIZE && !cell->column->has_no_zero)
		str_append_char(text, '0');
	if (!text->size && cell->field && cell->field->type == FIELD_BOOL)
		str_append(text, "false");
	if (text->size)
		humanize(cell, listing->now_ms, text);
	table_text(&listing->table, text->size || cell->column->may_be_empty ? str_text(text) : "-");
}

static void keep(struct listing *listing, const char *item, size_t size)
{
	str_append_char(&listing->kept, listing->kept.size ? ',' : '[');
	str_append_bytes(&listing->kept, item, size);
}

static void add_item(struct cli *cli, struct listing *listing, const char *item, size_t size, struct str *text)
{
	if (!is_wanted(listing))
		return;
	if (listing->form == OUTPUT_NAME) {
		str_clear(text);
		scan_text(listing->name, text);
		fprintf(cli->out, "%s\n", shown(str_text(text)));
	} else if (listing->form != OUTPUT_TABLE) {
		keep(listing, item, size);
	} else {
		for (size_t i = 0; i < listing->cell_count; i++)
			add_cell(listing, &listing->cells[i], text);
	}
}

static int add_items(struct cli *cli, struct listing *listing, const char *answer, size_t size, struct err *err)
{
	struct scan_pick items = { .words = { "items" } };
	auto_str struct str text = { 0 };
	size_t at = 0, used;
	int result = scan_object(answer, size, &items, 1, &used);

	if (result == 0 && !items.text)
		result = -EINVAL;
	while (result >= 0 && (result = scan_element(items.text, items.size, &at)) > 0) {
		result = scan_object(items.text + at, items.size - at, listing->picks, listing->pick_count, &used);
		if (result == 0)
			add_item(cli, listing, items.text + at, used, &text);
		at += used;
	}
	return result < 0 ? err_set(err, -EPROTO, "the daemon's answer is no list of objects") : 0;
}

static int print_kept(struct cli *cli, struct listing *listing, struct err *err)
{
	auto_json struct json *json = NULL;
	int result;

	str_append(&listing->kept, listing->kept.size ? "]" : "[]");
	result = json_parse(listing->kept.data, listing->kept.size, &json, err);
	if (result < 0)
		return err_prefix(err, "the daemon's answer");
	listing->form == OUTPUT_JSON ? output_json(cli, json) : output_yaml(cli, json);
	return 0;
}

int output_list(struct cli *cli, const struct output_list *list, struct err *err)
{
	auto_str struct str answer = { 0 };
	struct listing listing;
	enum output_form form;
	int result = output_form(cli, OUTPUT_TABLE, &form, err);

	if (result == 0)
		result = request_plain(cli, list->path, &answer, err);
	if (result < 0)
		return result;
	listing_init(&listing, list, form);
	result = add_items(cli, &listing, str_text(&answer), answer.size, err);
	if (result == 0 && form == OUTPUT_TABLE)
		table_print(&listing.table, !cli_has(cli, "no-headers"), cli->out);
	else if (result == 0 && form != OUTPUT_NAME)
		result = print_kept(cli, &listing, err);
	listing_done(&listing);
	return result;
}
