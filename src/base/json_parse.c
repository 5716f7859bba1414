/*
 * Why json-c's own tokener is not used: it accepts duplicate keys, "NaN", raw control characters
 * and lone surrogates, and saturates numbers.  A scan in front of it that refuses all these has
 * to know the whole grammar, and then two parsers would have to agree for ever.  So the scan
 * builds the values as it goes: one pass, one opinion, half the time.
 *
 * A recursive descent over RFC 8259; the depth of the recursion is limited by LIMIT_JSON_DEPTH.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Functions of the parser return false with the reason in parser->err. */

struct parser {
	const char *start, *at, *end;
	unsigned depth;
	struct str text;		/* The string just read, decoded, when it had to be. */
	struct str keys;		/* Of the members we are inside of, outermost first, each with its zero. */
	struct err *err;
};

struct slice { const char *bytes; size_t size; };

/* "line 2, column 5: " before the message in parser->err; always false. */
static bool fail_at(struct parser *parser, const char *where)
{
	size_t line = 1, column = 1;

	for (const char *p = parser->start; p < where; p++) {
		if (*p == '\n') {
			line++;
			column = 1;
		} else if ((*p & 0xc0) != 0x80) {	/* Continuation bytes are part of a character. */
			column++;
		}
	}
	err_prefix(parser->err, "line %zu, column %zu", line, column);
	return false;
}

static bool fail_expected(struct parser *parser, const char *expected)
{
	char found[8] = "";

	if (parser->at == parser->end) {
		err_set(parser->err, -EINVAL, "expected %s, but the text ends here", expected);
		return fail_at(parser, parser->at);
	}
	for (size_t i = 0; i < 4 && parser->at + i < parser->end; i++)
		found[i] = parser->at[i];
	found[found[0] & 0x80 ? utf8_length(found, 4) : 1] = '\0';
	if (found[0])
		err_set(parser->err, -EINVAL, "expected %s, not '%s'", expected, shown(found));
	else
		err_set(parser->err, -EINVAL, "expected %s, not byte 0x%02x", expected, (unsigned char)*parser->at);
	return fail_at(parser, parser->at);
}

static void skip_space(struct parser *parser)
{
	while (parser->at < parser->end &&
	       (*parser->at == ' ' || *parser->at == '\n' || *parser->at == '\t' || *parser->at == '\r'))
		parser->at++;
}

/* The next byte, or 0 at the end: a zero byte is nowhere allowed either. */
static char peek(const struct parser *parser)
{
	return parser->at < parser->end ? *parser->at : '\0';
}

static bool accept(struct parser *parser, char c)
{
	if (peek(parser) != c || !c)
		return false;
	parser->at++;
	return true;
}

/* Four hex digits at parser->at. */
static bool parse_hex(struct parser *parser, unsigned *ret_unit)
{
	unsigned unit = 0;

	for (int i = 0; i < 4; i++, parser->at++) {
		char c = peek(parser);

		if (c >= '0' && c <= '9')
			unit = unit * 16 + (unsigned)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			unit = unit * 16 + (unsigned)((c | 0x20) - 'a') + 10;
		else
			return fail_expected(parser, "four hexadecimal digits after '\\u'");
	}
	*ret_unit = unit;
	return true;
}

static void append_code_point(struct str *out, unsigned point)
{
	if (point < 0x80) {
		str_append_char(out, (char)point);
	} else if (point < 0x800) {
		str_append_bytes(out, (char[]){ (char)(0xc0 | point >> 6), (char)(0x80 | (point & 0x3f)) }, 2);
	} else if (point < 0x10000) {
		str_append_bytes(out, (char[]){ (char)(0xe0 | point >> 12), (char)(0x80 | (point >> 6 & 0x3f)),
						(char)(0x80 | (point & 0x3f)) }, 3);
	} else {
		str_append_bytes(out, (char[]){ (char)(0xf0 | point >> 18), (char)(0x80 | (point >> 12 & 0x3f)),
						(char)(0x80 | (point >> 6 & 0x3f)), (char)(0x80 | (point & 0x3f)) }, 4);
	}
}

/* After "\u": one code point, which may take a second escape (a surrogate pair, RFC 8259 section 7). */
static bool parse_unicode_escape(struct parser *parser)
{
	const char *begin = parser->at - 2;
	unsigned high, low = 0;

	if (!parse_hex(parser, &high))
		return false;
	if (high == 0) {
		err_set(parser->err, -EINVAL, "'\\u0000' is not allowed in a string: remove it");
		return fail_at(parser, begin);
	}
	if (high < 0xd800 || high > 0xdfff) {
		append_code_point(&parser->text, high);
		return true;
	}
	if (high <= 0xdbff && accept(parser, '\\') && accept(parser, 'u') && !parse_hex(parser, &low))
		return false;
	if (low < 0xdc00 || low > 0xdfff) {
		err_set(parser->err, -EINVAL, "'%.6s' is half of a surrogate pair: give both halves or neither", begin);
		return fail_at(parser, begin);
	}
	append_code_point(&parser->text, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
	return true;
}

static bool parse_escape(struct parser *parser)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	char c = peek(parser);
	const char *name = c ? strchr(names, c) : NULL;

	if (c != 'u' && !name)
		return fail_expected(parser, "one of \" \\ / b f n r t u after '\\'");
	parser->at++;
	if (c == 'u')
		return parse_unicode_escape(parser);
	str_append_char(&parser->text, values[name - names]);
	return true;
}

static bool fail_byte(struct parser *parser)
{
	unsigned char c = (unsigned char)*parser->at;

	if (c < 0x20)
		err_set(parser->err, -EINVAL, "control character 0x%02x in a string: write it as '\\u%04x'", c, c);
	else
		err_set(parser->err, -EINVAL, "byte 0x%02x is not UTF-8: save the text as UTF-8", c);
	return fail_at(parser, parser->at);
}

/* Moves over what stands for itself, to the next '"' or '\'; false when there is none or something may not be there. */
static bool skip_plain(struct parser *parser)
{
	static const bool is_plain[256] = { [' ' ... '!'] = true, ['#' ... '['] = true, [']' ... 0x7f] = true };

	while (true) {
		size_t length;

		while (parser->at < parser->end && is_plain[(unsigned char)*parser->at])
			parser->at++;
		if (parser->at == parser->end)
			return fail_expected(parser, "'\"' at the end of the string");
		if (*parser->at == '"' || *parser->at == '\\')
			return true;
		length = utf8_length(parser->at, (size_t)(parser->end - parser->at));
		if ((unsigned char)*parser->at < 0x80 || !length)
			return fail_byte(parser);
		parser->at += length;
	}
}

/* 'ret_text' lies in the source when nothing in it was escaped, else in parser->text. */
static bool parse_string(struct parser *parser, struct slice *ret_text)
{
	const char *plain = ++parser->at;

	str_clear(&parser->text);
	while (true) {
		if (!skip_plain(parser))
			return false;
		if (*parser->at == '"' && !parser->text.size) {
			*ret_text = (struct slice){ plain, (size_t)(parser->at++ - plain) };
			return true;
		}
		str_append_bytes(&parser->text, plain, (size_t)(parser->at - plain));
		if (*parser->at++ == '"')
			break;
		if (!parse_escape(parser))
			return false;
		plain = parser->at;
	}
	*ret_text = (struct slice){ parser->text.data, parser->text.size };
	return true;
}

/* Numbers. */

static const char *skip_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

/* The grammar of RFC 8259, section 6. */
static bool is_number(const char *text, size_t size, bool *ret_is_whole)
{
	const char *p = text, *end = text + size, *digits;

	p += p < end && *p == '-';
	digits = p;
	p = skip_digits(p, end);
	if (p == digits || (*digits == '0' && p - digits > 1))
		return false;
	*ret_is_whole = p == end;
	if (p < end && *p == '.') {
		digits = ++p;
		p = skip_digits(p, end);
		if (p == digits)
			return false;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < end && (*p == '+' || *p == '-');
		digits = p;
		p = skip_digits(p, end);
		if (p == digits)
			return false;
	}
	return p == end;
}

/* Null when the number fits neither int64 nor uint64. */
static struct json *new_whole(const char *text, size_t size)
{
	bool is_negative = text[0] == '-';
	uint64_t number = 0;

	for (size_t i = is_negative; i < size; i++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number))
			return NULL;
	if (!is_negative)
		return number > INT64_MAX ? json_new_uint(number) : json_new_int((int64_t)number);
	if (number > (uint64_t)INT64_MAX + 1)
		return NULL;
	return json_new_int((int64_t)(0 - number));
}

/* Null when the number is beyond the largest double. */
static struct json *new_real(const char *text, size_t size)
{
	auto_free char *copy = text_copy_length(text, size);
	double number = strtod(copy, NULL);

	return isfinite(number) ? json_new_double(number) : NULL;
}

int json_new_number(const char *text, size_t size, struct json **ret_json, struct err *err)
{
	struct json *json;
	bool is_whole;
	char head[80];

	if (!is_number(text, size, &is_whole)) {
		snprintf(head, sizeof(head), "%.*s", (int)(size < sizeof(head) ? size : sizeof(head)), text);
		return err_set(err, -EINVAL, "'%s' is not a number", shown(head));
	}
	json = is_whole ? new_whole(text, size) : new_real(text, size);
	if (!json) {
		snprintf(head, sizeof(head), "%.*s", (int)(size < sizeof(head) ? size : sizeof(head)), text);
		return err_set(err, -ERANGE, "number %s is too large: use at most %s", shown(head),
			       is_whole ? "64 bits" : "1.7e308");
	}
	*ret_json = json;
	return 0;
}

static bool parse_number(struct parser *parser, struct json **ret_json)
{
	const char *begin = parser->at;

	while (parser->at < parser->end && *parser->at && strchr("+-.0123456789eE", *parser->at))
		parser->at++;
	if (json_new_number(begin, (size_t)(parser->at - begin), ret_json, parser->err) == 0)
		return true;
	return fail_at(parser, begin);
}

/* Values. */

static bool parse_value(struct parser *parser, struct json **ret_json);

/* At the key's end: its value, and the two into 'object'. The key lies at 'key' in parser->keys. */
static bool parse_member_value(struct parser *parser, struct json *object, size_t key, const char *begin)
{
	struct json *value;

	if (!parse_value(parser, &value))
		return false;
	if (json_add(object, parser->keys.data + key, value))
		return true;
	json_free(value);
	err_set(parser->err, -EINVAL, "key '%s' appears twice in one object: remove one", shown(parser->keys.data + key));
	return fail_at(parser, begin);
}

static bool parse_member(struct parser *parser, struct json *object)
{
	const char *begin = parser->at;
	size_t key = parser->keys.size;
	struct slice name;

	if (peek(parser) != '"')
		return fail_expected(parser, "a key in '\"'");
	if (!parse_string(parser, &name))
		return false;
	skip_space(parser);
	if (!accept(parser, ':'))
		return fail_expected(parser, "':' after the key");
	str_append_bytes(&parser->keys, name.bytes, name.size);
	str_append_char(&parser->keys, '\0');
	if (!parse_member_value(parser, object, key, begin))
		return false;
	parser->keys.size = key;
	return true;
}

static bool parse_members(struct parser *parser, struct json *object)
{
	skip_space(parser);
	if (accept(parser, '}'))
		return true;
	while (true) {
		skip_space(parser);
		if (!parse_member(parser, object))
			return false;
		skip_space(parser);
		if (accept(parser, '}'))
			return true;
		if (!accept(parser, ','))
			return fail_expected(parser, "',' or '}'");
	}
}

static bool parse_elements(struct parser *parser, struct json *array)
{
	struct json *value;

	skip_space(parser);
	if (accept(parser, ']'))
		return true;
	while (true) {
		if (!parse_value(parser, &value))
			return false;
		json_push(array, value);
		skip_space(parser);
		if (accept(parser, ']'))
			return true;
		if (!accept(parser, ','))
			return fail_expected(parser, "',' or ']'");
	}
}

static bool parse_container(struct parser *parser, struct json **ret_json)
{
	bool is_object = *parser->at == '{';
	auto_json struct json *json = NULL;

	if (parser->depth == LIMIT_JSON_DEPTH) {
		err_set(parser->err, -EINVAL, "lists and objects are nested more than %d deep: flatten them",
			LIMIT_JSON_DEPTH);
		return fail_at(parser, parser->at);
	}
	parser->at++;
	parser->depth++;
	json = is_object ? json_new_object() : json_new_array();
	if (!(is_object ? parse_members(parser, json) : parse_elements(parser, json)))
		return false;
	parser->depth--;
	*ret_json = take(json);
	return true;
}

static bool parse_word(struct parser *parser, struct json **ret_json)
{
	static const char *const words[] = { "true", "false", "null" };
	size_t left = (size_t)(parser->end - parser->at);

	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		size_t size = strlen(words[i]);

		if (left < size || memcmp(parser->at, words[i], size) != 0)
			continue;
		parser->at += size;
		*ret_json = i == 2 ? json_new_null() : json_new_bool(i == 0);
		return true;
	}
	return fail_expected(parser, "a value");
}

static bool parse_value(struct parser *parser, struct json **ret_json)
{
	struct slice text;

	skip_space(parser);
	switch (peek(parser)) {
	case '{':
	case '[':
		return parse_container(parser, ret_json);
	case '"':
		if (!parse_string(parser, &text))
			return false;
		*ret_json = json_new_string_size(text.bytes, text.size);
		return true;
	case '-': case '0': case '1': case '2': case '3': case '4':
	case '5': case '6': case '7': case '8': case '9':
		return parse_number(parser, ret_json);
	default:
		return parse_word(parser, ret_json);
	}
}

static bool parse_document(struct parser *parser, struct json **ret_json)
{
	auto_json struct json *json = NULL;

	if (!parse_value(parser, &json))
		return false;
	skip_space(parser);
	if (parser->at < parser->end)
		return fail_expected(parser, "the end after the value");
	*ret_json = take(json);
	return true;
}

int json_parse(const char *text, size_t size, struct json **ret_json, struct err *err)
{
	struct parser parser = { .start = text, .at = text, .end = text + size, .err = err };
	bool is_valid = parse_document(&parser, ret_json);

	str_done(&parser.text);
	str_done(&parser.keys);
	/* A number too large is -ERANGE inside; to the caller it is a text that is not valid. */
	return is_valid ? 0 : (err->code = -EINVAL);
}
