/*
 * json.h - JSON texts (RFC 8259), strictly.
 *
 * json_parse() refuses, with line and column: anything but one value, duplicate
 * keys, nesting beyond LIMIT_JSON_DEPTH, whole numbers that fit neither int64 nor
 * uint64, other numbers that are no finite double, text that is not UTF-8, zero
 * bytes ("\u0000") in strings.  json-c is used inside json.c and nowhere else.
 *
 * Two halves: 'struct json' is a parsed, read-only value (borrowed children live
 * as long as the root); 'struct json_writer' writes into a 'struct str'.
 *
 * Errors:  -EINVAL: "line 3, column 7: key 'cpus' appears twice: remove one".
 *          Columns count characters. The caller limits the size of the text.
 * Memory:  a root is freed with json_free(); everything got from it is borrowed.
 * Threads: a parsed value may be read by several threads; a writer belongs to one.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct json;			/* Opaque; a null pointer reads as "absent". */

enum json_type { JSON_ABSENT, JSON_NULL, JSON_BOOL, JSON_INT, JSON_UINT /* above INT64_MAX */,
		 JSON_DOUBLE, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

int json_parse(const char *text, size_t size, struct json **ret_json, struct err *err);
void json_free(struct json *json);		/* The root only. Null is fine. */
static inline void json_freep(struct json **json) { json_free(*json); }
#define auto_json __attribute__((cleanup(json_freep)))

enum json_type json_type(const struct json *json);
const char *json_type_name(enum json_type type);	/* "a number", "a list", ... for messages. */

/* Wrong types read as 'fallback', so that tolerant readers stay short. */
bool json_bool(const struct json *json, bool fallback);
int64_t json_int(const struct json *json, int64_t fallback);
uint64_t json_uint(const struct json *json, uint64_t fallback);
double json_double(const struct json *json, double fallback);
const char *json_string(const struct json *json, const char *fallback);

const struct json *json_get(const struct json *object, const char *key);
/* "return.arguments.reason": a path of keys. */
const struct json *json_path(const struct json *object, const char *path);
size_t json_count(const struct json *json);		/* Elements or members. */
const struct json *json_at(const struct json *array, size_t index);
/* Member 'index' of an object, in the order of the text. Walks there: for all members use json_next(). */
const struct json *json_member(const struct json *object, size_t index, const char **ret_key);

/* for (struct json_cursor at = { 0 }; json_next(object, &at); ) use(at.key, at.value); */
struct json_cursor {
	const char *key;
	const struct json *value;
	const void *position;			/* Private. */
	bool is_begun;				/* Private. */
};
bool json_next(const struct json *object, struct json_cursor *cursor);

/* Building a value by hand (YAML, command line): each takes ownership of what it is given. Keys are UTF-8. */
struct json *json_new_object(void);
struct json *json_new_array(void);
struct json *json_new_string(const char *text);	/* Broken UTF-8 becomes U+FFFD. */
struct json *json_new_string_size(const char *bytes, size_t size);	/* Must be UTF-8 without zero bytes. */
struct json *json_new_int(int64_t number);
struct json *json_new_uint(uint64_t number);
struct json *json_new_double(double number);
struct json *json_new_bool(bool value);
struct json *json_new_null(void);
/* -EINVAL when 'text' is no JSON number, -ERANGE when it fits no type we have. */
int json_new_number(const char *text, size_t size, struct json **ret_json, struct err *err);
void json_set(struct json *object, const char *key, struct json *value);	/* Replaces. */
bool json_add(struct json *object, const char *key, struct json *value);	/* False: was there; 'value' is not taken. */
void json_push(struct json *array, struct json *value);

/*
 * The writer appends to 'out' and cannot fail: broken UTF-8 becomes U+FFFD, numbers that
 * are not finite become null.  { .out = &text } begins one value.  Keys are null in arrays and at the top.
 */
struct json_writer {
	struct str *out;
	bool needs_comma;		/* Private. */
	int indent;			/* 0: compact; n: pretty with n spaces. */
	int depth;			/* Private. */
};

void json_write_object(struct json_writer *writer, const char *key);	/* Begins one. */
void json_write_array(struct json_writer *writer, const char *key);
void json_write_end_object(struct json_writer *writer);
void json_write_end_array(struct json_writer *writer);
void json_write_string(struct json_writer *writer, const char *key, const char *text); /* null: JSON null */
void json_write_string_size(struct json_writer *writer, const char *key, const char *bytes, size_t size);
void json_write_int(struct json_writer *writer, const char *key, int64_t number);
void json_write_uint(struct json_writer *writer, const char *key, uint64_t number);
void json_write_double(struct json_writer *writer, const char *key, double number);
void json_write_bool(struct json_writer *writer, const char *key, bool value);
void json_write_null(struct json_writer *writer, const char *key);
void json_write_value(struct json_writer *writer, const char *key, const struct json *value);
/* 'text' must be valid JSON already. */
void json_write_raw(struct json_writer *writer, const char *key, const char *text);

#endif
