#include "base/str.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { DISTANCE_MAX = 64 };

void str_reserve(struct str *str, size_t more_bytes)
{
	size_t needed = str->size + more_bytes + 1;

	if (needed <= str->capacity)
		return;
	str->capacity = needed < 2 * str->capacity ? 2 * str->capacity : needed < 64 ? 64 : needed;
	str->data = alloc_array(str->data, str->capacity, 1);
}

void str_append_bytes(struct str *str, const void *bytes, size_t size)
{
	str_reserve(str, size);
	if (size)
		memcpy(str->data + str->size, bytes, size);
	str->size += size;
	str->data[str->size] = '\0';
}

void str_append(struct str *str, const char *text)
{
	str_append_bytes(str, text, strlen(text));
}

void str_append_char(struct str *str, char c)
{
	str_reserve(str, 1);
	str->data[str->size++] = c;
	str->data[str->size] = '\0';
}

void str_append_url(struct str *str, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c < 0x80 && isalnum(c)) || strchr("-._~:", c))
			str_append_char(str, *text);
		else
			str_printf(str, "%%%02X", c);
	}
}

void str_printf(struct str *str, const char *format, ...)
{
	va_list args, again;
	int length;

	va_start(args, format);
	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0)
		abort();
	str_reserve(str, (size_t)length);
	vsnprintf(str->data + str->size, (size_t)length + 1, format, again);
	va_end(again);
	str->size += (size_t)length;
}

void str_clear(struct str *str)
{
	str->size = 0;
	if (str->data)
		str->data[0] = '\0';
}

void str_remove_front(struct str *str, size_t size)
{
	if (size >= str->size) {
		str_clear(str);
		return;
	}
	memmove(str->data, str->data + size, str->size - size + 1);
	str->size -= size;
}

const char *str_text(const struct str *str)
{
	return str->data ? str->data : "";
}

void str_done(struct str *str)
{
	free(str->data);
	*str = (struct str){ 0 };
}

bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool text_starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The length of the well-formed UTF-8 sequence at 'bytes', or 0 (RFC 3629, section 4). */
static size_t utf8_sequence(const unsigned char *bytes, size_t size)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t length;

	if (bytes[0] == 0)
		return 0;
	if (bytes[0] < 0x80)
		return 1;
	if (bytes[0] >= 0xc2 && bytes[0] <= 0xdf)
		length = 2;
	else if (bytes[0] >= 0xe0 && bytes[0] <= 0xef)
		length = 3;
	else if (bytes[0] >= 0xf0 && bytes[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (size < length)
		return 0;

	switch (bytes[0]) {		/* Overlong forms, surrogates, beyond U+10FFFF. */
	case 0xe0: low = 0xa0; break;
	case 0xed: high = 0x9f; break;
	case 0xf0: low = 0x90; break;
	case 0xf4: high = 0x8f; break;
	default: break;
	}
	if (bytes[1] < low || bytes[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

bool text_is_utf8(const char *bytes, size_t size)
{
	const unsigned char *p = (const unsigned char *)bytes;

	for (size_t i = 0; i < size; ) {
		size_t length = utf8_sequence(p + i, size - i);

		if (!length)
			return false;
		i += length;
	}
	return true;
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

size_t text_distance(const char *a, const char *b)
{
	size_t a_length = strlen(a), b_length = strlen(b);
	size_t row[DISTANCE_MAX + 1];

	if (a_length > DISTANCE_MAX || b_length > DISTANCE_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_length];
}

/* C0, DEL and C1: xterm obeys the last ones in UTF-8, too. */
static bool is_control(const unsigned char *bytes, size_t length)
{
	return (length == 1 && (bytes[0] < ' ' || bytes[0] == 0x7f)) ||
	       (length == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0);
}

const char *text_shown(const char *text, size_t max_length, char *buffer, size_t buffer_size)
{
	size_t size = strlen(text), out = 0, in = 0;

	while (in < size) {
		const unsigned char *p = (const unsigned char *)text + in;
		size_t length = utf8_sequence(p, size - in);
		bool is_plain = length && !is_control(p, length);

		if (!length)
			length = 1;
		if (in + length > max_length || out + length + sizeof("...") > buffer_size) {
			memcpy(buffer + out, "...", 3);
			out += 3;
			break;
		}
		if (is_plain)
			memcpy(buffer + out, text + in, length);
		else
			memset(buffer + out, '?', length);
		out += length;
		in += length;
	}
	buffer[out] = '\0';
	return buffer;
}
