/*
 * str.h - a growing byte string, and questions about text.
 *
 * 'struct str' is always terminated by a zero byte that 'size' does not
 * count; { 0 } is a valid empty one (its 'data' is then null: use str_text()).
 *
 * Memory: the owner calls str_done(), or takes 'data' with take().
 * Threads: one at a time per string.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
	char *data;
	size_t size;
	size_t capacity;
};

void str_append(struct str *str, const char *text);
void str_append_bytes(struct str *str, const void *bytes, size_t size);
void str_append_char(struct str *str, char c);
void str_append_url(struct str *str, const char *text);	/* Percent-encoded, as a segment of a path (RFC 3986). */
void str_printf(struct str *str, const char *format, ...) __attribute__((format(printf, 2, 3)));
void str_clear(struct str *str);			/* Keeps the memory. */
void str_remove_front(struct str *str, size_t size);
void str_reserve(struct str *str, size_t more_bytes);	/* Room for that many after 'size'. */
const char *str_text(const struct str *str);		/* "" when empty. */
void str_done(struct str *str);
#define auto_str __attribute__((cleanup(str_done)))

bool text_equal(const char *a, const char *b);		/* Two nulls are equal. */
bool text_starts_with(const char *text, const char *prefix);
bool text_is_utf8(const char *bytes, size_t size);	/* RFC 3629; no zero bytes. */

/* Levenshtein distance, for "did you mean"; texts over 64 bytes are never near. */
size_t text_distance(const char *a, const char *b);

/*
 * Writes 'text' for a terminal or log line: control characters and broken
 * UTF-8 become '?', at most 'max_length' bytes and then "...".  Use it for
 * every value from outside that goes into a message.
 */
const char *text_shown(const char *text, size_t max_length, char *buffer, size_t buffer_size);
#define shown(text) text_shown((text), 64, (char[80]){ 0 }, 80)

#endif
