#include "5-interface/cli/manifest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "5-interface/cli/request.h"
#include "base/str.h"

static const char several[] =
	"kind: instance\nmeta: { name: web, uid: 1f, created_at: '2026-11-23T10:00:00.000Z' }\n"
	"spec: { image: tiny, memory: 512MiB, start_serial: 3 }\nstatus: { state: running }\n"
	"---\nkind: volume\nmeta: { name: data }\nspec: { size: 1GiB }\n"
	"---\n---\nkind: networks\nmeta: { name: lab }\n";

static void documents_are_ordered_and_freed_of_what_the_system_writes(void **state)
{
	auto_manifest struct manifest manifest = { 0 };
	auto_free char *text = NULL;
	struct err err;

	(void)state;
	assert_int_equal(manifest_parse(several, strlen(several), &manifest, &err), 0);
	assert_int_equal(manifest.objects.count, 3);
	assert_string_equal(manifest.objects.items[0].name, "lab");
	assert_string_equal(manifest.objects.items[1].name, "data");
	assert_string_equal(manifest.objects.items[2].name, "web");
	text = json_text(manifest.objects.items[2].json, 0);
	assert_string_equal(text, "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"memory\":\"512MiB\"}}");
}

static void json_and_lists_are_manifests_too(void **state)
{
	static const char json[] = " [{\"kind\":\"volume\",\"meta\":{\"name\":\"a\"},\"spec\":{\"size\":1048576}},"
				   "{\"kind\":\"volume\",\"meta\":{\"name\":\"b\"},\"spec\":{\"size\":1048576}}]";
	static const char yaml[] = "- kind: volume\n  meta: {name: a}\n  spec: {size: 1MiB}\n";
	auto_manifest struct manifest first = { 0 }, second = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(manifest_parse(json, strlen(json), &first, &err), 0);
	assert_int_equal(first.objects.count, 2);
	assert_int_equal(manifest_parse(yaml, strlen(yaml), &second, &err), 0);
	assert_int_equal(second.objects.count, 1);
}

static void wrong_manifests_name_place_and_remedy(void **state)
{
	static const struct { const char *text, *message; } cases[] = {
		{ "", "empty" },
		{ "kind: instance\nmeta: {name: web}\nspec: {memroy: 1}\n",
		  "document 1 ('web'): spec.memroy: unknown field, did you mean 'memory'?" },
		{ "kind: instnace\n", "did you mean 'instance'" },
		{ "kind: node\nmeta: {name: x}\n", "cannot be applied" },
		{ "meta: {name: x}\n", "kind is missing" },
		{ "kind: volume\nmeta: {name: x}\nspce: {}\n", "did you mean 'spec'" },
		{ "- 3\n", "document 1: is" },
		{ "kind: volume\nkind: volume\n", "twice" },
		{ "kind: volume\nmeta: {name: a}\nspec: {size: 1MiB}\n---\nkind: volume\nmeta: {name: a}\nspec: {size: 1MiB}\n", "twice" },
		{ "kind: volume\nmeta: {name: a}\nspec: {size: 12x}\n", "spec.size" },
		{ "{\"kind\": \"volume\"", "line 1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct manifest manifest = { 0 };
		struct err err = { 0 };

		assert_int_equal(manifest_parse(cases[i].text, strlen(cases[i].text), &manifest, &err), -EINVAL);
		assert_non_null(strstr(err.msg, cases[i].message));
	}
}

static void add_change(void *data, const char *place, const char *from, const char *to)
{
	str_printf(data, "%s: %s -> %s; ", place, from ? from : "nothing", to ? to : "nothing");
}

static size_t changes_of(const char *text, const char *present, struct str *changes)
{
	auto_manifest struct manifest manifest = { 0 };
	auto_json struct json *json = NULL, *patch = NULL;
	struct err err;
	int count;

	assert_int_equal(manifest_parse(text, strlen(text), &manifest, &err), 0);
	assert_int_equal(json_parse(present, strlen(present), &json, &err), 0);
	patch = manifest_patch(&manifest.objects.items[0], json);
	count = manifest_diff(&manifest.objects.items[0], patch, json, add_change, changes, &err);
	assert_true(count >= 0);
	return (size_t)count;
}

static void differences_are_those_of_the_patch(void **state)
{
	auto_str struct str changes = { 0 };

	(void)state;
	assert_int_equal(changes_of("kind: volume\nmeta: { name: data, labels: { tier: front } }\nspec: { size: 2GiB }\n",
				    "{\"kind\":\"volume\",\"meta\":{\"uid\":\"x\",\"name\":\"data\",\"project\":\"default\"},"
				    "\"spec\":{\"size\":1073741824},\"status\":{\"state\":\"ready\",\"size\":1073741824}}", &changes), 2);
	assert_non_null(strstr(changes.data, "spec.size: 1GiB -> 2GiB"));
	assert_non_null(strstr(changes.data, "tier"));
}

#define PRESENT "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"nics\":[{\"network\":\"lab\",\"network_uid\":\"u\"," \
	"\"ipv4\":\"10.1.2.3\",\"number\":4}],\"volumes\":[{\"volume\":\"a\",\"volume_uid\":\"1\"}]}}"

static void what_the_daemon_filled_in_stays(void **state)
{
	auto_str struct str changes = { 0 };

	(void)state;
	assert_int_equal(changes_of("kind: instance\nmeta: {name: web}\n"
				    "spec: {image: tiny, nics: [{network: lab}], volumes: [{volume: a}]}\n",
				    PRESENT, &changes), 0);
	assert_int_equal(changes_of("kind: instance\nmeta: {name: web}\nspec: {volumes: [{volume: b}]}\n", PRESENT, &changes), 2);
	assert_null(strstr(changes.data, "nics"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_are_ordered_and_freed_of_what_the_system_writes),
		cmocka_unit_test(json_and_lists_are_manifests_too),
		cmocka_unit_test(wrong_manifests_name_place_and_remedy),
		cmocka_unit_test(differences_are_those_of_the_patch),
		cmocka_unit_test(what_the_daemon_filled_in_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
