/*
 * field_value.h - one value of one field; private to the field_*.c files.
 *
 * 'value' is the address of the member itself, not of the struct around it.
 *
 * Threads: as in field.h.
 */
#ifndef MODEL_FIELD_VALUE_H
#define MODEL_FIELD_VALUE_H

#include "model/field.h"

static inline void *field_value(const struct field *field, void *object)
{
	return (char *)object + field->offset;
}

static inline const void *field_const_value(const struct field *field, const void *object)
{
	return (const char *)object + field->offset;
}

/* Element 'index' of a LIST. */
static inline void *field_element(const struct field *field, const struct field_list *list, size_t index)
{
	return (char *)list->items + index * field->table->size;
}

/* The field whose name is the first 'length' bytes of 'name', or null. */
const struct field *field_find_length(const struct field_table *table, const char *name, size_t length);

size_t field_value_size(const struct field *field);
void field_value_default(const struct field *field, void *value);	/* 'value' is all zero before. */
void field_value_done(const struct field *field, void *value);
void field_value_copy(const struct field *field, const void *from, void *to);
bool field_value_equal(const struct field *field, const void *a, const void *b);
bool field_value_is_empty(const struct field *field, const void *value);	/* 0, false, null, "", nothing. */

/* 'is_public': secrets as "***". */
void field_value_encode(const struct field *field, const void *value, bool is_public,
			struct json_writer *writer, const char *key);
bool field_value_is_omitted(const struct field *field, const void *value);

/* As people read it; lists joined with ", ". */
void field_value_text(const struct field *field, const void *value, struct str *out);

const char *field_choice(const struct field *field, int index);	/* Asserts that there is one. */

/* The range that applies. Counts and lengths have the limits of base/limits.h when they have none of their own. */
struct field_range {
	int64_t min, max;
	bool has_min, has_max;
};
struct field_range field_range(const struct field *field);
/* "1 to 512", "16MiB or more": numbers in the field's own unit. */
void field_range_text(const struct field *field, struct str *out);

#define FIELD_SECRET_TEXT "***"

#endif
