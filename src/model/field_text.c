/*
 * field_text.c - values and ranges as people read them.
 */
#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/units.h"
#include "model/field_value.h"

struct field_range field_range(const struct field *field)
{
	struct field_range range = { field->min, field->max, true, field->max >= field->min };

	if (!field->min && !field->max)
		range.has_min = range.has_max = false;
	switch (field->type) {
	case FIELD_DURATION:
		range.has_min = true;		/* There is no time before now to wait for. */
		return range;
	case FIELD_STRING: range.max = range.has_max ? range.max : LIMIT_TEXT_BYTES; break;
	case FIELD_MAP: range.max = range.has_max ? range.max : LIMIT_LABELS; break;
	case FIELD_LIST:
	case FIELD_STRINGS: range.max = range.has_max ? range.max : LIMIT_LIST_ITEMS; break;
	default: return range;
	}
	range.has_min = field->min > 0;			/* A count is never less than 0. */
	range.has_max = true;
	return range;
}

static void append_number(const struct field *field, int64_t number, struct str *out)
{
	char buffer[UNITS_TEXT_SIZE];

	if (field->type == FIELD_SIZE)
		str_append(out, units_format_size((uint64_t)number, buffer));
	else if (field->type == FIELD_DURATION)
		str_append(out, units_format_duration(number, buffer));
	else
		str_printf(out, "%" PRId64, number);
}

void field_range_text(const struct field *field, struct str *out)
{
	struct field_range range = field_range(field);

	if (!range.has_min && range.has_max)
		str_append(out, "at most ");
	if (range.has_min)
		append_number(field, range.min, out);
	if (range.has_min && range.has_max)
		str_append(out, " to ");
	if (range.has_max)
		append_number(field, range.max, out);
	if (range.has_min && !range.has_max)
		str_append(out, " or more");
}

static void list_text(const struct field *field, const struct field_list *list, struct str *out)
{
	for (size_t i = 0; i < list->count; i++) {
		if (i)
			str_append(out, ", ");
		if (field->type == FIELD_STRINGS) {
			str_append(out, *field_list_at(list, char *, i));
		} else if (field->type == FIELD_MAP) {
			const struct field_pair *pair = field_list_at(list, struct field_pair, i);

			str_printf(out, "%s=%s", pair->key, pair->value);
		} else {
			const struct field *first = &field->table->fields[0];

			field_value_text(first, field_const_value(first, field_element(field, list, i)), out);
		}
	}
}

void field_value_text(const struct field *field, const void *value, struct str *out)
{
	char buffer[UNITS_TEXT_SIZE];

	if (field->flags & FIELD_SECRET) {
		str_append(out, field_value_is_empty(field, value) ? "" : FIELD_SECRET_TEXT);
		return;
	}
	switch (field->type) {
	case FIELD_BOOL: str_append(out, *(const bool *)value ? "true" : "false"); break;
	case FIELD_INT: str_printf(out, "%" PRId64, *(const int64_t *)value); break;
	case FIELD_SIZE: str_append(out, units_format_size(*(const uint64_t *)value, buffer)); break;
	case FIELD_DURATION: str_append(out, units_format_duration(*(const int64_t *)value, buffer)); break;
	case FIELD_TIME:
		if (*(const int64_t *)value)
			str_append(out, units_format_time(*(const int64_t *)value, buffer));
		break;
	case FIELD_DOUBLE: str_printf(out, "%.6g", *(const double *)value); break;
	case FIELD_STRING:
		if (*(char *const *)value)
			str_append(out, *(char *const *)value);
		break;
	case FIELD_ENUM: str_append(out, field_choice(field, *(const int *)value)); break;
	case FIELD_LIST:
	case FIELD_STRINGS:
	case FIELD_MAP: list_text(field, value, out); break;
	case FIELD_OBJECT: break;		/* Its members have texts of their own. */
	}
}

void field_text(const struct field_table *table, const char *path, const void *object, struct str *out)
{
	size_t length = strcspn(path, ".");
	const struct field *field = field_find_length(table, path, length);
	const void *value = field ? field_const_value(field, object) : NULL;

	if (!field)
		return;
	if (!path[length]) {
		field_value_text(field, value, out);
	} else if (field->type == FIELD_OBJECT) {
		field_text(field->table, path + length + 1, value, out);
	} else if (field->type == FIELD_LIST) {
		const struct field_list *list = value;

		for (size_t i = 0; i < list->count; i++) {
			if (i)
				str_append(out, ", ");
			field_text(field->table, path + length + 1, field_element(field, list, i), out);
		}
	}
}
