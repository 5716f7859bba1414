/*
 * What json_parse() takes, the writer must write so that it is taken again and means the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_value(const struct json *json, int indent, struct str *out)
{
	json_write_value(&(struct json_writer){ .out = out, .indent = indent }, NULL, json);
}

static struct json *parse_again(const struct str *text)
{
	struct json *json;
	struct err err;

	if (json_parse(text->data, text->size, &json, &err) < 0)
		abort();
	return json;
}

static void check_round_trip(const struct json *json)
{
	auto_str struct str compact = { 0 }, pretty = { 0 }, again = { 0 };
	auto_json struct json *second = NULL, *third = NULL;

	write_value(json, 0, &compact);
	write_value(json, 2, &pretty);
	second = parse_again(&compact);
	third = parse_again(&pretty);
	write_value(second, 0, &again);
	if (strcmp(compact.data, again.data) != 0)
		abort();
	str_clear(&again);
	write_value(third, 0, &again);
	if (strcmp(compact.data, again.data) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json struct json *json = NULL;
	struct err err = { 0 };

	if (json_parse((const char *)data, size, &json, &err) == 0)
		check_round_trip(json);
	else if (!err.code || !text_is_utf8(err.msg, strlen(err.msg)) || strchr(err.msg, '\n'))
		abort();
	return 0;
}
