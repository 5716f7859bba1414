#include "model/field_value.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/units.h"

size_t field_value_size(const struct field *field)
{
	switch (field->type) {
	case FIELD_BOOL: return sizeof(bool);
	case FIELD_INT:
	case FIELD_DURATION:
	case FIELD_TIME: return sizeof(int64_t);
	case FIELD_SIZE: return sizeof(uint64_t);
	case FIELD_DOUBLE: return sizeof(double);
	case FIELD_STRING: return sizeof(char *);
	case FIELD_ENUM: return sizeof(int);
	case FIELD_OBJECT: return field->table->size;
	case FIELD_LIST:
	case FIELD_STRINGS:
	case FIELD_MAP: return sizeof(struct field_list);
	}
	abort();
}

static int choice_index(const struct field *field, const char *name)
{
	for (int i = 0; field->choices[i]; i++)
		if (strcmp(field->choices[i], name) == 0)
			return i;
	return -1;
}

const char *field_choice(const struct field *field, int index)
{
	for (int i = 0; i < index; i++)
		assert(field->choices[i]);
	assert(index >= 0 && field->choices[index]);
	return field->choices[index];
}

/* Defaults come from our own tables: one that does not parse is a mistake of the programmer. */
void field_value_default(const struct field *field, void *value)
{
	const char *text = field->fallback;
	struct err err = { 0 };
	int failed = 0;

	if (field->type == FIELD_OBJECT)
		field_defaults(field->table, value);
	if (!text)
		return;
	switch (field->type) {
	case FIELD_BOOL: *(bool *)value = strcmp(text, "true") == 0; break;
	case FIELD_INT: *(int64_t *)value = strtoll(text, NULL, 10); break;
	case FIELD_SIZE: failed = units_parse_size(text, value, &err); break;
	case FIELD_DURATION: failed = units_parse_duration(text, value, &err); break;
	case FIELD_TIME: failed = units_parse_time(text, value, &err); break;
	case FIELD_DOUBLE: *(double *)value = strtod(text, NULL); break;
	case FIELD_STRING: *(char **)value = text_copy(text); break;
	case FIELD_ENUM: failed = *(int *)value = choice_index(field, text); break;
	default: failed = -1; break;	/* Lists and objects begin empty. */
	}
	assert(failed >= 0);
}

void field_defaults(const struct field_table *table, void *object)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];

		if (field->fallback || field->type == FIELD_OBJECT)
			field_value_default(field, field_value(field, object));
	}
}

static void list_done(const struct field *field, struct field_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (field->type == FIELD_LIST) {
			field_done(field->table, field_element(field, list, i));
		} else if (field->type == FIELD_STRINGS) {
			free(*field_list_at(list, char *, i));
		} else {
			free(field_list_at(list, struct field_pair, i)->key);
			free(field_list_at(list, struct field_pair, i)->value);
		}
	}
	free(list->items);
	*list = (struct field_list){ 0 };
}

void field_value_done(const struct field *field, void *value)
{
	switch (field->type) {
	case FIELD_BOOL: *(bool *)value = false; break;
	case FIELD_INT:
	case FIELD_DURATION:
	case FIELD_TIME: *(int64_t *)value = 0; break;
	case FIELD_SIZE: *(uint64_t *)value = 0; break;
	case FIELD_DOUBLE: *(double *)value = 0; break;
	case FIELD_ENUM: *(int *)value = 0; break;
	case FIELD_STRING: free(take(*(char **)value)); break;
	case FIELD_OBJECT: field_done(field->table, value); break;
	case FIELD_LIST:
	case FIELD_STRINGS:
	case FIELD_MAP: list_done(field, value); break;
	}
}

void field_done(const struct field_table *table, void *object)
{
	for (size_t i = 0; i < table->count; i++)
		field_value_done(&table->fields[i], field_value(&table->fields[i], object));
}

static void list_copy(const struct field *field, const struct field_list *from, struct field_list *to)
{
	for (size_t i = 0; i < from->count; i++) {
		if (field->type == FIELD_LIST) {
			field_copy(field->table, field_element(field, from, i),
				   field_list_push(to, field->table->size));
		} else if (field->type == FIELD_STRINGS) {
			*(char **)field_list_push(to, sizeof(char *)) = text_copy(*field_list_at(from, char *, i));
		} else {
			const struct field_pair *pair = field_list_at(from, struct field_pair, i);

			*(struct field_pair *)field_list_push(to, sizeof(*pair)) =
				(struct field_pair){ text_copy(pair->key), text_copy(pair->value) };
		}
	}
}

void field_value_copy(const struct field *field, const void *from, void *to)
{
	switch (field->type) {
	case FIELD_BOOL: *(bool *)to = *(const bool *)from; break;
	case FIELD_INT:
	case FIELD_DURATION:
	case FIELD_TIME: *(int64_t *)to = *(const int64_t *)from; break;
	case FIELD_SIZE: *(uint64_t *)to = *(const uint64_t *)from; break;
	case FIELD_DOUBLE: *(double *)to = *(const double *)from; break;
	case FIELD_ENUM: *(int *)to = *(const int *)from; break;
	case FIELD_STRING: *(char **)to = text_copy(*(char *const *)from); break;
	case FIELD_OBJECT: field_copy(field->table, from, to); break;
	case FIELD_LIST:
	case FIELD_STRINGS:
	case FIELD_MAP: list_copy(field, from, to); break;
	}
}

void field_copy(const struct field_table *table, const void *from, void *to)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];

		field_value_copy(field, field_const_value(field, from), field_value(field, to));
	}
}

/* Null and "" both mean unset. */
static bool string_equal(const char *a, const char *b)
{
	return text_equal(a ? a : "", b ? b : "");
}

static bool list_equal(const struct field *field, const struct field_list *a, const struct field_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		bool is_equal;

		if (field->type == FIELD_LIST) {
			is_equal = field_equal(field->table, field_element(field, a, i), field_element(field, b, i));
		} else if (field->type == FIELD_STRINGS) {
			is_equal = string_equal(*field_list_at(a, char *, i), *field_list_at(b, char *, i));
		} else {
			const struct field_pair *pair = field_list_at(a, struct field_pair, i);

			is_equal = text_equal(pair->value, field_map_get(b, pair->key));
		}
		if (!is_equal)
			return false;
	}
	return true;
}

bool field_value_equal(const struct field *field, const void *a, const void *b)
{
	switch (field->type) {
	case FIELD_STRING: return string_equal(*(char *const *)a, *(char *const *)b);
	case FIELD_DOUBLE: return *(const double *)a == *(const double *)b;
	case FIELD_OBJECT: return field_equal(field->table, a, b);
	case FIELD_LIST:
	case FIELD_STRINGS:
	case FIELD_MAP: return list_equal(field, a, b);
	default: return memcmp(a, b, field_value_size(field)) == 0;
	}
}

bool field_equal(const struct field_table *table, const void *a, const void *b)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];

		if (!field_value_equal(field, field_const_value(field, a), field_const_value(field, b)))
			return false;
	}
	return true;
}

static bool object_is_empty(const struct field_table *table, const void *object)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];

		/* Where 0 differs from the default, 0 is something said. */
		if (field->fallback || !field_value_is_empty(field, field_const_value(field, object)))
			return false;
	}
	return true;
}

bool field_value_is_empty(const struct field *field, const void *value)
{
	switch (field->type) {
	case FIELD_BOOL: return !*(const bool *)value;
	case FIELD_INT:
	case FIELD_DURATION:
	case FIELD_TIME: return *(const int64_t *)value == 0;
	case FIELD_SIZE: return *(const uint64_t *)value == 0;
	case FIELD_DOUBLE: return *(const double *)value == 0;
	case FIELD_STRING: return !*(char *const *)value || !**(char *const *)value;
	case FIELD_ENUM: return *(const int *)value == 0;
	case FIELD_OBJECT: return object_is_empty(field->table, value);
	case FIELD_LIST:
	case FIELD_STRINGS:
	case FIELD_MAP: return ((const struct field_list *)value)->count == 0;
	}
	abort();
}
