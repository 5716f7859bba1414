/*
 * field.h - one table per noun drives everything that is said about it.
 *
 * A 'struct field_table' describes a plain C struct. From it come: decoding and
 * encoding of JSON, defaults, validation, diff, `strata explain`, table
 * columns, shell completion and the schemas of openapi.json. No resource has
 * JSON code of its own.
 *
 * C type of each field type:
 *	FIELD_BOOL bool        FIELD_INT int64_t      FIELD_SIZE uint64_t (bytes)
 *	FIELD_DURATION int64_t (ms)                   FIELD_TIME int64_t (ms since 1970; 0: never)
 *	FIELD_STRING char * (owned; null when unset, "" reads as unset)
 *	FIELD_ENUM int (index into choices)
 *	FIELD_DOUBLE double
 *	FIELD_OBJECT the struct itself, inline        FIELD_LIST struct field_list of table's struct
 *	FIELD_STRINGS struct field_list of char *     FIELD_MAP struct field_list of struct field_pair
 *
 * JSON form: SIZE is a number of bytes or text with units ("2GiB") when read, a
 * number when written; DURATION likewise ("30s"; ms); TIME is RFC 3339 text;
 * ENUM is its name. Unset strings, times that are 0 and whatever is empty with OMIT_EMPTY
 * are left out when written, unless the field has a default: then "empty" has to be said.
 *
 * Errors:  -EINVAL; the message names the place, the value and the remedy:
 *          "spec.cpus: 0 is too small: use 1 to 512",
 *          "spec.memroy: unknown field, did you mean 'memory'?"
 * Threads: tables are const; everything else belongs to its caller.
 */
#ifndef MODEL_FIELD_H
#define MODEL_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

enum field_type {
	FIELD_BOOL, FIELD_INT, FIELD_SIZE, FIELD_DURATION, FIELD_TIME, FIELD_DOUBLE, FIELD_STRING,
	FIELD_ENUM, FIELD_OBJECT, FIELD_LIST, FIELD_STRINGS, FIELD_MAP,
};

enum field_flag {
	FIELD_REQUIRED = 1 << 0,	/* Must be given at creation. */
	FIELD_READ_ONLY = 1 << 1,	/* Written by the system; given by a person it is an error
					 * unless equal to what is there (so that GET | edit | PUT works).
					 * An element of a list that repeats those of an old element is that
					 * element: it keeps them. */
	FIELD_FIXED = 1 << 2,		/* Given at creation, cannot change afterwards. */
	FIELD_OMIT_EMPTY = 1 << 3,	/* Left out of JSON when 0, false, null, empty. */
	FIELD_SECRET = 1 << 4,		/* Written as "***" to people; a PATCH with "***" leaves it as it is. */
	FIELD_DERIVED = 1 << 5,		/* Measured, or follows from other objects: shown to people, never stored. */
};

struct field_list { void *items; size_t count; };
struct field_pair { char *key; char *value; };

struct field_table;

struct field {
	const char *name;		/* JSON name: lower case words with '_'. */
	enum field_type type;
	size_t offset;
	unsigned flags;
	int64_t min, max;		/* INT, SIZE, DURATION: inclusive range. STRING: length in bytes.
					 * LIST, STRINGS, MAP: count. Both 0: no range but the limits of base/limits.h. */
	const char *fallback;		/* Default as text ("1", "256MiB", "true", "tiny"), or null. */
	const char *const *choices;	/* ENUM: null-terminated names. */
	const struct field_table *table;	/* OBJECT, LIST. */
	const char *unit;		/* For explain: "bytes", "ms", or null. */
	const char *doc;		/* One or two sentences. */
	/* Optional: checks one string (STRING, each of STRINGS) or the whole struct (OBJECT, each of LIST).
	 * Sets err to what is wrong and the remedy, without the place. */
	int (*check)(const void *value, struct err *err);
};

struct field_table {
	const char *name;		/* "instance_spec" */
	const char *doc;
	size_t size;			/* sizeof the struct */
	const struct field *fields;
	size_t count;
};

#define FIELD(type_, struct_, member_, ...) \
	{ .name = #member_, .type = FIELD_##type_, .offset = offsetof(struct struct_, member_), __VA_ARGS__ }
#define FIELD_TABLE(variable_, struct_, doc_, ...) \
	static const struct field variable_##_fields[] = { __VA_ARGS__ }; \
	const struct field_table variable_ = { .name = #struct_, .doc = doc_, \
		.size = sizeof(struct struct_), .fields = variable_##_fields, \
		.count = sizeof(variable_##_fields) / sizeof(variable_##_fields[0]) }

/* Sets every field to its default. 'object' is all zero before. */
void field_defaults(const struct field_table *table, void *object);

enum field_mode {
	FIELD_CREATE,			/* From a person: required fields must be there, read-only ones must not. */
	FIELD_PATCH,			/* From a person, onto an object that exists: RFC 7396 merge; null resets to
					 * the default; FIXED and READ_ONLY fields may only repeat their value. */
	FIELD_STORED,			/* From our own store: REQUIRED, READ_ONLY, ranges and checks do not apply; null is
					 * empty, not the default. Unknown fields and wrong types are still errors. */
};

/* 'object' holds defaults (CREATE, STORED) or the present state (PATCH).  On failure it is
 * left partly changed: decode into a copy and throw that away. 'place' ("spec", "") goes before names. */
int field_decode(const struct field_table *table, const struct json *json, enum field_mode mode,
		 const char *place, void *object, struct err *err);

/* Writes the fields as members of one JSON object with this key (null at top or in arrays). */
void field_encode(const struct field_table *table, const void *object, struct json_writer *writer, const char *key);
/* The same for people: SECRET values are "***". */
void field_encode_public(const struct field_table *table, const void *object, struct json_writer *writer,
			 const char *key);

void field_done(const struct field_table *table, void *object);		/* Frees what the fields own; zeroes. */
void field_copy(const struct field_table *table, const void *from, void *to);	/* 'to' is zero before. */
bool field_equal(const struct field_table *table, const void *a, const void *b);

/* Calls 'fn' for each leaf that differs, with "spec.cpus", "1", "2" as text (null: absent). Returns the count. */
typedef void field_diff_fn(void *data, const char *place, const char *from, const char *to);
size_t field_diff(const struct field_table *table, const char *place, const void *a, const void *b,
		  field_diff_fn *fn, void *data);

/* The field at "nics.network" inside the table, or null. */
const struct field *field_find(const struct field_table *table, const char *path);

/* Value of the field at 'path' in 'object' as people read it ("512MiB", "running"); "" when unset. Lists are
 * joined with ", ", and show the first field of each element unless the path names another ("nics.ipv4"). */
void field_text(const struct field_table *table, const char *path, const void *object, struct str *out);

/* What `strata explain` prints: all of a table ("instance.spec"), or one field ("instance.spec.cpus") and what is in it. */
void field_explain(const struct field_table *table, const char *title, struct str *out);
void field_explain_one(const struct field *field, const char *title, struct str *out);

/* JSON Schema (OpenAPI 3.1 dialect) of the table, as an object value under 'key'. */
void field_schema(const struct field_table *table, struct json_writer *writer, const char *key);

/* Grows a list by one zeroed element and returns it; valid until the next push. 'size' is the element's. */
void *field_list_push(struct field_list *list, size_t size);
#define field_list_at(list, type, i) (&((type *)(list)->items)[i])

/* Pairs are kept in the order of their keys: change a map only with field_map_set(). */
const char *field_map_get(const struct field_list *map, const char *key);	/* Null when absent. */
void field_map_set(struct field_list *map, const char *key, const char *value);	/* Null value removes. */

/* "unknown field 'x', did you mean 'y'?": nearest of 'count' names within distance 3, or null. */
const char *field_nearest(const char *name, const char *const *names, size_t count);

#endif
