/*
 * field_decode.h - between the two halves of decoding; private to field_decode*.c.
 *
 * Errors:  as in field.h.
 * Threads: as in field.h.
 */
#ifndef MODEL_FIELD_DECODE_H
#define MODEL_FIELD_DECODE_H

#include "model/field_value.h"

/* Where we are: a chain on the stack, made into text only for a message. */
struct place {
	const struct place *parent;	/* Null: 'name' is what the caller gave. */
	const char *name;		/* Null: an element. */
	size_t index;
};

struct decoder {
	enum field_mode mode;
	struct err *err;
};

/* decoder->err holds what is wrong: puts the place before it. Returns -EINVAL. */
int decode_fail(const struct decoder *decoder, const struct place *place);
int decode_fail_expected(const struct decoder *decoder, const char *expected, const struct json *json,
			 const struct place *place);
int decode_fail_type(const struct decoder *decoder, const struct field *field, const struct json *json,
		     const struct place *place);

int decode_check_count(const struct decoder *decoder, const struct field *field, size_t count,
		       const struct place *place);
/* For texts whose length the field's own range is not about. */
int decode_check_length(const struct decoder *decoder, const char *text, size_t min, size_t max,
			const struct place *place);
/* What the table's own function says about a value. */
int decode_check(const struct decoder *decoder, const struct field *field, const void *value,
		 const struct place *place);

/* BOOL to ENUM. 'json' is not null. */
int decode_scalar(const struct decoder *decoder, const struct field *field, const struct json *json,
		  const struct place *place, void *value);

#endif
