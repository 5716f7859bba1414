/*
 * How it works: libyaml's events drive a recursive descent that builds JSON values; its depth
 * is limited here, so libyaml's own stacks stay small too.  'reader->event' is always the
 * event to be looked at next.
 */
#include "base/yaml.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "base/limits.h"
#include "base/mem.h"

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	const char *text;
	unsigned depth;
	struct err *err;
};

static int fail_at(struct reader *reader, size_t line, size_t column)
{
	reader->err->code = -EINVAL;
	return err_prefix(reader->err, "line %zu, column %zu", line, column);
}

/* For 'return fail(...)' after err_set(): puts the place of the present event before the message. */
static int fail(struct reader *reader)
{
	return fail_at(reader, reader->event.start_mark.line + 1, reader->event.start_mark.column + 1);
}

/* The reader of bytes knows only an offset. */
static int fail_bytes(struct reader *reader)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < reader->parser.problem_offset; i++) {
		if (reader->text[i] == '\n') {
			line++;
			column = 1;
		} else if ((reader->text[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	err_set(reader->err, -EINVAL, "byte 0x%02x is not UTF-8 text: save the file as UTF-8",
		(unsigned)reader->parser.problem_value & 0xff);
	return fail_at(reader, line, column);
}

static int fail_syntax(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;

	if (parser->error == YAML_MEMORY_ERROR)
		abort();
	if (parser->error == YAML_READER_ERROR)
		return fail_bytes(reader);
	err_set(reader->err, -EINVAL, "%s%s%s", parser->context ? parser->context : "", parser->context ? ": " : "",
		parser->problem ? parser->problem : "not YAML");
	return fail_at(reader, parser->problem_mark.line + 1, parser->problem_mark.column + 1);
}

static int advance(struct reader *reader)
{
	yaml_event_delete(&reader->event);
	return yaml_parser_parse(&reader->parser, &reader->event) ? 0 : fail_syntax(reader);
}

/* Anchors are half of the billion laughs, and tags ask for types that JSON does not have. */
static int check_plain(struct reader *reader)
{
	const yaml_event_t *event = &reader->event;
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (event->type) {
	case YAML_ALIAS_EVENT: anchor = event->data.alias.anchor; break;
	case YAML_SCALAR_EVENT:
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
		break;
	default: break;
	}
	if (anchor)
		err_set(reader->err, -EINVAL, "anchors and aliases ('%s') are not allowed: write the value out",
			shown((const char *)anchor));
	else if (tag)
		err_set(reader->err, -EINVAL, "tags ('%s') are not allowed: remove it", shown((const char *)tag));
	else
		return 0;
	return fail(reader);
}

/* 0 and '*ret_json' untouched: it is a string. */
static int read_plain_scalar(struct reader *reader, const char *text, size_t size, struct json **ret_json)
{
	int r;

	if (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0)
		*ret_json = json_new_null();
	else if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
		*ret_json = json_new_bool(*text == 't');
	if (!strchr("-0123456789", *text))
		return 0;
	r = json_new_number(text, size, ret_json, reader->err);
	return r == -ERANGE ? fail(reader) : 0;
}

static int read_scalar(struct reader *reader, struct json **ret_json)
{
	const char *text = (const char *)reader->event.data.scalar.value;
	size_t size = reader->event.data.scalar.length;
	struct json *json = NULL;
	int r = 0;

	if (strlen(text) != size) {
		err_set(reader->err, -EINVAL, "a zero byte ('\\0') is not allowed in a string: remove it");
		return fail(reader);
	}
	if (reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		r = read_plain_scalar(reader, text, size, &json);
	if (r == 0)
		*ret_json = json ? json : json_new_string_size(text, size);
	return r;
}

static int read_node(struct reader *reader, struct json **ret_json);

static int read_sequence(struct reader *reader, struct json *array)
{
	int r;

	while ((r = advance(reader)) == 0 && reader->event.type != YAML_SEQUENCE_END_EVENT) {
		struct json *value;

		r = read_node(reader, &value);
		if (r < 0)
			return r;
		json_push(array, value);
	}
	return r;
}

/* The event is the key. */
static int read_member(struct reader *reader, struct json *object)
{
	yaml_mark_t mark = reader->event.start_mark;
	auto_free char *key = NULL;
	struct json *value;
	int r;

	r = check_plain(reader);
	if (r < 0)
		return r;
	if (reader->event.type != YAML_SCALAR_EVENT ||
	    strlen((char *)reader->event.data.scalar.value) != reader->event.data.scalar.length) {
		err_set(reader->err, -EINVAL, "a key must be plain text, not a list or an object");
		return fail(reader);
	}
	key = text_copy((char *)reader->event.data.scalar.value);
	r = advance(reader) ?: read_node(reader, &value);
	if (r < 0)
		return r;
	if (json_add(object, key, value))
		return 0;
	json_free(value);
	err_set(reader->err, -EINVAL, "key '%s' appears twice: remove one", shown(key));
	return fail_at(reader, mark.line + 1, mark.column + 1);
}

static int read_mapping(struct reader *reader, struct json *object)
{
	int r;

	while ((r = advance(reader)) == 0 && reader->event.type != YAML_MAPPING_END_EVENT) {
		r = read_member(reader, object);
		if (r < 0)
			return r;
	}
	return r;
}

static int read_container(struct reader *reader, struct json **ret_json)
{
	bool is_mapping = reader->event.type == YAML_MAPPING_START_EVENT;
	auto_json struct json *json = NULL;
	int r;

	if (reader->depth == LIMIT_YAML_DEPTH) {
		err_set(reader->err, -EINVAL, "lists and objects are nested more than %d deep: flatten them",
			LIMIT_YAML_DEPTH);
		return fail(reader);
	}
	reader->depth++;
	json = is_mapping ? json_new_object() : json_new_array();
	r = is_mapping ? read_mapping(reader, json) : read_sequence(reader, json);
	reader->depth--;
	if (r == 0)
		*ret_json = take(json);
	return r;
}

/* The event begins the node, and ends it when this returns. */
static int read_node(struct reader *reader, struct json **ret_json)
{
	int r = check_plain(reader);

	if (r < 0)
		return r;
	return reader->event.type == YAML_SCALAR_EVENT ? read_scalar(reader, ret_json)
						       : read_container(reader, ret_json);
}

static int read_stream(struct reader *reader, struct yaml_documents *documents)
{
	int r = advance(reader);			/* The start of the stream. */

	while (r == 0 && (r = advance(reader)) == 0 && reader->event.type != YAML_STREAM_END_EVENT) {
		struct json *value;

		r = advance(reader) ?: read_node(reader, &value);
		if (r < 0)
			return r;
		if (json_type(value) != JSON_NULL)
			*vec_push(&documents->values) = value;
		r = advance(reader);			/* The end of the document. */
	}
	return r;
}

int yaml_parse(const char *text, size_t size, struct yaml_documents *ret_documents, struct err *err)
{
	struct reader reader = { .text = text, .err = err };
	struct yaml_documents documents = { 0 };
	int r;

	if (size > LIMIT_MANIFEST_BYTES)
		return err_set(err, -EFBIG, "the file has %zu bytes: use at most %d", size, LIMIT_MANIFEST_BYTES);
	if (!yaml_parser_initialize(&reader.parser))
		abort();
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
	r = read_stream(&reader, &documents);
	yaml_event_delete(&reader.event);
	yaml_parser_delete(&reader.parser);
	if (r < 0)
		yaml_documents_done(&documents);
	else
		*ret_documents = documents;
	return r;
}

void yaml_documents_done(struct yaml_documents *documents)
{
	for (size_t i = 0; i < documents->values.count; i++)
		json_free(documents->values.items[i]);
	vec_done(&documents->values);
}
