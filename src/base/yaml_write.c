#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "base/mem.h"
#include "base/yaml.h"

/* Would some version of YAML read it as something else than this text?  Rather once too often. */
static bool is_ambiguous(const char *text)
{
	static const char *const words[] = { "", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n",
					     "=", "<<" };

	/* Numbers of all kinds, times, dates, infinities. */
	if (*text && strchr("0123456789+-.", *text))
		return true;
	for (size_t i = 0; i < ARRAY_COUNT(words); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

/* Line breaks that only YAML knows, or that it would change: they are safe only as escapes. */
static bool has_odd_breaks(const char *text)
{
	return strstr(text, "\r") || strstr(text, "\xc2\x85") || strstr(text, "\xe2\x80\xa8") ||
	       strstr(text, "\xe2\x80\xa9") || strstr(text, "\xef\xbb\xbf");
}

static yaml_scalar_style_t string_style(const char *text)
{
	if (has_odd_breaks(text))
		return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	if (strchr(text, '\n'))
		return YAML_LITERAL_SCALAR_STYLE;	/* libyaml quotes it where that cannot be. */
	return is_ambiguous(text) ? YAML_SINGLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
}

/* What we emit is always in order, so only memory can fail. */
static void emit(yaml_emitter_t *emitter, yaml_event_t *event, int is_made)
{
	if (!is_made || !yaml_emitter_emit(emitter, event))
		abort();
}

static void emit_scalar(yaml_emitter_t *emitter, const char *text, yaml_scalar_style_t style)
{
	yaml_event_t event;

	emit(emitter, &event, yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
							   (int)strlen(text), 1, 1, style));
}

static void emit_value(yaml_emitter_t *emitter, const struct json *value);

static void emit_array(yaml_emitter_t *emitter, const struct json *array)
{
	yaml_event_t event;

	emit(emitter, &event, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE));
	for (size_t i = 0; i < json_count(array); i++)
		emit_value(emitter, json_at(array, i));
	emit(emitter, &event, yaml_sequence_end_event_initialize(&event));
}

static void emit_object(yaml_emitter_t *emitter, const struct json *object)
{
	yaml_event_t event;

	emit(emitter, &event, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
	for (struct json_cursor at = { 0 }; json_next(object, &at); ) {
		emit_scalar(emitter, at.key, string_style(at.key));
		emit_value(emitter, at.value);
	}
	emit(emitter, &event, yaml_mapping_end_event_initialize(&event));
}

static void emit_value(yaml_emitter_t *emitter, const struct json *value)
{
	auto_str struct str text = { 0 };

	switch (json_type(value)) {
	case JSON_ARRAY: emit_array(emitter, value); break;
	case JSON_OBJECT: emit_object(emitter, value); break;
	case JSON_STRING: emit_scalar(emitter, json_string(value, ""), string_style(json_string(value, ""))); break;
	default:
		json_write_value(&(struct json_writer){ .out = &text }, NULL, value);
		emit_scalar(emitter, text.data, YAML_PLAIN_SCALAR_STYLE);
		break;
	}
}

static int append_output(void *data, unsigned char *bytes, size_t size)
{
	str_append_bytes(data, bytes, size);
	return 1;
}

void yaml_write(const struct json *value, struct str *out)
{
	yaml_emitter_t emitter;
	yaml_event_t event;

	if (!yaml_emitter_initialize(&emitter))
		abort();
	yaml_emitter_set_output(&emitter, append_output, out);
	yaml_emitter_set_encoding(&emitter, YAML_UTF8_ENCODING);
	yaml_emitter_set_unicode(&emitter, 1);
	yaml_emitter_set_width(&emitter, -1);
	emit(&emitter, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
	emit(&emitter, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
	emit_value(&emitter, value);
	emit(&emitter, &event, yaml_document_end_event_initialize(&event, 1));
	emit(&emitter, &event, yaml_stream_end_event_initialize(&event));
	yaml_emitter_delete(&emitter);
}
