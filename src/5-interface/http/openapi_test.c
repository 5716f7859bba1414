#include "5-interface/http/openapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#include "5-interface/http/routes.h"
#include "base/json.h"

static struct json *description(void)
{
	auto_str struct str text = { 0 };
	struct json *json = NULL;
	struct err err;

	openapi_write(&text);
	if (json_parse(text.data, text.size, &json, &err) < 0)
		fail_msg("%s", err.msg);
	return json;
}

static void test_every_route_is_described(void **state)
{
	auto_json struct json *json = description();

	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		const struct json *path = json_get(json_get(json, "paths"), routes[i].pattern);
		bool is_described = false;

		for (size_t k = 0; k < json_count(path); k++) {
			const char *method;
			const struct json *operation = json_member(path, k, &method);

			is_described |= strcasecmp(method, method_names[routes[i].method]) == 0 &&
					text_equal(json_string(json_get(operation, "summary"), ""), routes[i].doc);
		}
		assert_true(is_described);
	}
}

/* Each "$ref" anywhere leads to something. */
static void check_references(const struct json *root, const struct json *value)
{
	const char *reference = json_type(value) == JSON_OBJECT ? json_string(json_get(value, "$ref"), NULL) : NULL;
	const char *key;

	if (reference) {
		assert_true(text_starts_with(reference, "#/components/"));
		const char *name = strrchr(reference, '/') + 1;
		const char *group = strstr(reference, "/schemas/") ? "components.schemas" : "components.responses";

		if (!json_get(json_path(root, group), name))
			fail_msg("%s leads nowhere", reference);
	}
	for (size_t i = 0; json_type(value) == JSON_OBJECT && i < json_count(value); i++)
		check_references(root, json_member(value, i, &key));
	for (size_t i = 0; json_type(value) == JSON_ARRAY && i < json_count(value); i++)
		check_references(root, json_at(value, i));
}

static void test_references_lead_somewhere(void **state)
{
	auto_json struct json *json = description();

	(void)state;
	check_references(json, json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_route_is_described),
		cmocka_unit_test(test_references_lead_somewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
