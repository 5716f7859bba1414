/*
 * What yaml_parse() takes, yaml_write() must write so that it reads back the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct json *json)
{
	auto_yaml struct yaml_documents documents = { 0 };
	auto_str struct str yaml = { 0 }, before = { 0 }, after = { 0 };
	struct err err;

	yaml_write(json, &yaml);
	if (yaml_parse(yaml.data, yaml.size, &documents, &err) < 0 || documents.values.count != 1)
		abort();
	json_write_value(&(struct json_writer){ .out = &before }, NULL, json);
	json_write_value(&(struct json_writer){ .out = &after }, NULL, documents.values.items[0]);
	if (strcmp(before.data, after.data) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_yaml struct yaml_documents documents = { 0 };
	struct err err = { 0 };

	if (yaml_parse((const char *)data, size, &documents, &err) == 0) {
		for (size_t i = 0; i < documents.values.count; i++)
			check_round_trip(documents.values.items[i]);
	} else if (!err.code || !text_is_utf8(err.msg, strlen(err.msg)) || strchr(err.msg, '\n')) {
		abort();
	}
	return 0;
}
