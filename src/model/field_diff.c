#include <string.h>

#include "model/field_value.h"

struct diff {
	field_diff_fn *fn;
	void *data;
	struct str place;
	size_t count;
};

/* Appends to the place; 'return_to' takes it back. */
static size_t enter(struct diff *diff, const char *name)
{
	size_t before = diff->place.size;

	str_printf(&diff->place, "%s%s", before ? "." : "", name);
	return before;
}

static size_t enter_element(struct diff *diff, size_t index)
{
	size_t before = diff->place.size;

	str_printf(&diff->place, "[%zu]", index);
	return before;
}

static void return_to(struct diff *diff, size_t before)
{
	diff->place.size = before;
	diff->place.data[before] = '\0';
}

/* Null: absent there. */
static void diff_text(struct diff *diff, const char *from, const char *to)
{
	if (text_equal(from, to))
		return;
	diff->fn(diff->data, str_text(&diff->place), from, to);
	diff->count++;
}

/* Null where there is no object, or where the value is what "absent" looks like. */
static const char *scalar_text(const struct field *field, const void *value, struct str *out)
{
	if (!value || ((field->type == FIELD_STRING || field->type == FIELD_TIME) && field_value_is_empty(field, value)))
		return NULL;
	field_value_text(field, value, out);
	return str_text(out);
}

static void diff_scalar(struct diff *diff, const struct field *field, const void *a, const void *b)
{
	auto_str struct str from = { 0 }, to = { 0 };

	if (a && b && field_value_equal(field, a, b))
		return;
	diff->fn(diff->data, str_text(&diff->place), scalar_text(field, a, &from), scalar_text(field, b, &to));
	diff->count++;
}

static void diff_object(struct diff *diff, const struct field_table *table, const void *a, const void *b);

static void diff_list(struct diff *diff, const struct field *field, const struct field_list *a,
		      const struct field_list *b)
{
	for (size_t i = 0; i < a->count || i < b->count; i++) {
		size_t before = enter_element(diff, i);
		bool in_a = i < a->count, in_b = i < b->count;

		if (field->type == FIELD_LIST)
			diff_object(diff, field->table, in_a ? field_element(field, a, i) : NULL,
				    in_b ? field_element(field, b, i) : NULL);
		else
			diff_text(diff, in_a ? *field_list_at(a, char *, i) : NULL,
				  in_b ? *field_list_at(b, char *, i) : NULL);
		return_to(diff, before);
	}
}

static void diff_map(struct diff *diff, const struct field_list *a, const struct field_list *b)
{
	for (size_t i = 0; i < a->count; i++) {
		const struct field_pair *pair = field_list_at(a, struct field_pair, i);
		size_t before = enter(diff, pair->key);

		diff_text(diff, pair->value, field_map_get(b, pair->key));
		return_to(diff, before);
	}
	for (size_t i = 0; i < b->count; i++) {
		const struct field_pair *pair = field_list_at(b, struct field_pair, i);
		size_t before = enter(diff, pair->key);

		if (!field_map_get(a, pair->key))
			diff_text(diff, NULL, pair->value);
		return_to(diff, before);
	}
}

static void diff_value(struct diff *diff, const struct field *field, const void *a, const void *b)
{
	static const struct field_list nothing;

	switch (field->type) {
	case FIELD_OBJECT: diff_object(diff, field->table, a, b); break;
	case FIELD_LIST:
	case FIELD_STRINGS: diff_list(diff, field, a ? a : &nothing, b ? b : &nothing); break;
	case FIELD_MAP: diff_map(diff, a ? a : &nothing, b ? b : &nothing); break;
	default: diff_scalar(diff, field, a, b); break;
	}
}

/* 'a' or 'b' may be null: then all that the other says is a difference, but what it says by being empty. */
static void diff_object(struct diff *diff, const struct field_table *table, const void *a, const void *b)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];
		const void *in_a = a ? field_const_value(field, a) : NULL;
		const void *in_b = b ? field_const_value(field, b) : NULL;
		size_t before;

		if ((!in_a || !in_b) && field_value_is_omitted(field, in_a ? in_a : in_b))
			continue;
		before = enter(diff, field->name);
		diff_value(diff, field, in_a, in_b);
		return_to(diff, before);
	}
}

size_t field_diff(const struct field_table *table, const char *place, const void *a, const void *b,
		  field_diff_fn *fn, void *data)
{
	struct diff diff = { .fn = fn, .data = data };

	str_append(&diff.place, place);
	diff_object(&diff, table, a, b);
	str_done(&diff.place);
	return diff.count;
}
