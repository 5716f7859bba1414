#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

enum { NUMBER_SIZE = 32 };		/* "-9223372036854775808", "-1.7976931348623157e+308" fit. */

static void new_line(struct json_writer *writer)
{
	size_t spaces = (size_t)writer->indent * (size_t)writer->depth;

	str_reserve(writer->out, spaces + 1);
	str_append_char(writer->out, '\n');
	memset(writer->out->data + writer->out->size, ' ', spaces);
	writer->out->size += spaces;
	writer->out->data[writer->out->size] = '\0';
}

/* Bytes that stand in a JSON string as they are, beside UTF-8. */
static const bool is_plain[256] = { [' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true };

/* Has one of the eight bytes to be looked at alone?  A borrow or carry comes only from one that has. */
static bool is_word_special(const char *text)
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t word;

	memcpy(&word, text, sizeof(word));
	return ((word | (word - ' ' * ones) | ((word ^ '"' * ones) - ones) | ((word ^ '\\' * ones) - ones) | (word + ones)) & 0x80 * ones) != 0;
}

/* The length of what at the front of 'text' needs no escape. */
static size_t plain_length(const char *text, size_t size)
{
	size_t i = 0, length;

	do {
		while (size - i >= sizeof(uint64_t) && !is_word_special(text + i))
			i += sizeof(uint64_t);
		while (i < size && is_plain[(unsigned char)text[i]])
			i++;
		length = i < size && (unsigned char)text[i] >= 0x80 ? utf8_length(text + i, size - i) : 0;
		i += length;
	} while (length);
	return i;
}

static void append_escaped(struct str *out, unsigned char c)
{
	static const char names[] = "\"\\\b\f\n\r\t", values[] = "\"\\bfnrt";
	const char *name = c ? strchr(names, c) : NULL;

	if (c >= 0x80)
		str_append(out, UTF8_REPLACEMENT);
	else if (name)
		str_append_bytes(out, (char[]){ '\\', values[name - names] }, 2);
	else
		str_printf(out, "\\u%04x", c);
}

static void append_quoted(struct str *out, const char *text, size_t size)
{
	size_t length = plain_length(text, size);
	char *to;

	str_reserve(out, size + 2);
	to = out->data + out->size;
	*to++ = '"';
	if (length)
		memcpy(to, text, length);
	to[length] = '\0';
	out->size += 1 + length;
	while (length < size) {
		size_t plain;

		append_escaped(out, (unsigned char)text[length++]);
		plain = plain_length(text + length, size - length);
		str_append_bytes(out, text + length, plain);
		length += plain;
	}
	str_append_char(out, '"');
}

/* What comes before every value: the comma, the place, the key. */
static void begin_value(struct json_writer *writer, const char *key)
{
	if (writer->needs_comma)
		str_append_char(writer->out, ',');
	if (writer->indent && writer->depth)
		new_line(writer);
	writer->needs_comma = true;
	if (!key)
		return;
	append_quoted(writer->out, key, strlen(key));
	str_append_bytes(writer->out, ": ", writer->indent ? 2 : 1);
}

static void begin_container(struct json_writer *writer, const char *key, char bracket)
{
	begin_value(writer, key);
	str_append_char(writer->out, bracket);
	writer->needs_comma = false;
	writer->depth++;
}

static void end_container(struct json_writer *writer, char bracket)
{
	writer->depth--;
	if (writer->indent && writer->needs_comma)
		new_line(writer);
	str_append_char(writer->out, bracket);
	writer->needs_comma = true;
}

void json_write_object(struct json_writer *writer, const char *key)
{
	begin_container(writer, key, '{');
}

void json_write_array(struct json_writer *writer, const char *key)
{
	begin_container(writer, key, '[');
}

void json_write_end_object(struct json_writer *writer)
{
	end_container(writer, '}');
}

void json_write_end_array(struct json_writer *writer)
{
	end_container(writer, ']');
}

void json_write_string_size(struct json_writer *writer, const char *key, const char *bytes, size_t size)
{
	begin_value(writer, key);
	append_quoted(writer->out, bytes, size);
}

void json_write_string(struct json_writer *writer, const char *key, const char *text)
{
	if (text)
		json_write_string_size(writer, key, text, strlen(text));
	else
		json_write_null(writer, key);
}

/* By hand, for printf takes three times as long and most fields are numbers. */
static void append_uint(struct str *out, uint64_t number)
{
	char digits[NUMBER_SIZE];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	str_append_bytes(out, digits + at, sizeof(digits) - at);
}

void json_write_int(struct json_writer *writer, const char *key, int64_t number)
{
	begin_value(writer, key);
	if (number < 0)
		str_append_char(writer->out, '-');
	append_uint(writer->out, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

void json_write_uint(struct json_writer *writer, const char *key, uint64_t number)
{
	begin_value(writer, key);
	append_uint(writer->out, number);
}

/* The shortest of 15 to 17 digits that reads back as the same number; never mistaken for a whole one. */
static void append_double(struct str *out, double number)
{
	char text[NUMBER_SIZE];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, number);
		if (strtod(text, NULL) == number)
			break;
	}
	str_append(out, text);
	if (!strpbrk(text, ".e"))
		str_append(out, ".0");
}

void json_write_double(struct json_writer *writer, const char *key, double number)
{
	begin_value(writer, key);
	if (isfinite(number))
		append_double(writer->out, number);
	else
		str_append(writer->out, "null");
}

void json_write_bool(struct json_writer *writer, const char *key, bool value)
{
	begin_value(writer, key);
	str_append(writer->out, value ? "true" : "false");
}

void json_write_null(struct json_writer *writer, const char *key)
{
	begin_value(writer, key);
	str_append(writer->out, "null");
}

void json_write_raw(struct json_writer *writer, const char *key, const char *text)
{
	begin_value(writer, key);
	str_append(writer->out, text);
}

static void write_children(struct json_writer *writer, const char *key, const struct json *value)
{
	if (json_type(value) == JSON_ARRAY) {
		json_write_array(writer, key);
		for (size_t i = 0; i < json_count(value); i++)
			json_write_value(writer, NULL, json_at(value, i));
		json_write_end_array(writer);
		return;
	}
	json_write_object(writer, key);
	for (struct json_cursor at = { 0 }; json_next(value, &at); )
		json_write_value(writer, at.key, at.value);
	json_write_end_object(writer);
}

void json_write_value(struct json_writer *writer, const char *key, const struct json *value)
{
	switch (json_type(value)) {
	case JSON_ABSENT:
	case JSON_NULL: json_write_null(writer, key); break;
	case JSON_BOOL: json_write_bool(writer, key, json_bool(value, false)); break;
	case JSON_INT: json_write_int(writer, key, json_int(value, 0)); break;
	case JSON_UINT: json_write_uint(writer, key, json_uint(value, 0)); break;
	case JSON_DOUBLE: json_write_double(writer, key, json_double(value, 0)); break;
	case JSON_STRING: json_write_string(writer, key, json_string(value, "")); break;
	case JSON_ARRAY:
	case JSON_OBJECT: write_children(writer, key, value); break;
	}
}
