#include "5-interface/cli/spec_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "5-interface/cli/request.h"

typedef int parse_fn(const char *text, struct json **ret_json, struct err *err);

static void check(parse_fn *parse, const char *text, const char *expected)
{
	auto_json struct json *json = NULL;
	struct err err;
	int result = parse(text, &json, &err);

	if (!expected) {
		assert_int_equal(result, CLI_USAGE);
		assert_non_null(strstr(err.msg, text));
		return;
	}
	assert_int_equal(result, 0);
	auto_free char *written = json_text(json, 0);
	assert_string_equal(written, expected);
}

static void short_forms_become_json(void **state)
{
	(void)state;
	check(spec_nic, "default", "{\"network\":\"default\"}");
	check(spec_nic, "lab,address=10.1.2.3,address=fd00::3,mac=52:54:00:00:00:01",
	      "{\"network\":\"lab\",\"ipv4\":\"10.1.2.3\",\"ipv6\":\"fd00::3\",\"mac\":\"52:54:00:00:00:01\"}");
	check(spec_nic, "lab,speed=3", NULL);
	check(spec_publish, "8080:80", "{\"host_port\":8080,\"guest_port\":80}");
	check(spec_publish, "127.0.0.1:53:53/udp",
	      "{\"protocol\":\"udp\",\"host_address\":\"127.0.0.1\",\"host_port\":53,\"guest_port\":53}");
	check(spec_publish, "[::1]:8080:80", "{\"host_address\":\"::1\",\"host_port\":8080,\"guest_port\":80}");
	check(spec_publish, "8080", NULL);
	check(spec_publish, "web:80", NULL);
	check(spec_publish, ":80", NULL);
	check(spec_volume, "data", "{\"volume\":\"data\"}");
	check(spec_volume, "data:ro", "{\"volume\":\"data\",\"read_only\":true}");
	check(spec_volume, "data:rx", NULL);
}

static void assignments_become_a_merge_patch(void **state)
{
	static const char *const texts[] = {
		"cpus=2", "memory=512MiB", "restart=always", "autostart=false", "label.tier=front", "label.old=",
		"publish=8080:80,53:53/udp",
		"user_data=", "ssh_keys=a b,c d", "spec.vnc=true",
	};
	auto_json struct json *patch = json_new_object();
	auto_free char *text = NULL;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		assert_int_equal(spec_assign(&kinds[KIND_INSTANCE], texts[i], patch, &err), 0);
	text = json_text(patch, 0);
	assert_string_equal(text, "{\"spec\":{\"cpus\":2,\"memory\":\"512MiB\",\"restart\":\"always\",\"autostart\":false,"
			    "\"publish\":[{\"host_port\":8080,\"guest_port\":80},"
			    "{\"protocol\":\"udp\",\"host_port\":53,\"guest_port\":53}],"
			    "\"user_data\":null,\"ssh_keys\":[\"a b\",\"c d\"],\"vnc\":true},"
			    "\"meta\":{\"labels\":{\"tier\":\"front\",\"old\":null}}}");
}

static void wrong_assignments_are_explained(void **state)
{
	static const struct { const char *text, *message; } cases[] = {
		{ "memroy=1", "did you mean 'memory'" }, { "cpus", "not FIELD=VALUE" }, { "=2", "not FIELD=VALUE" },
		{ "nics=default", "manifest" }, { "source=x", "fields of its own" }, { "label.=x", "not KEY=VALUE" },
	};
	auto_json struct json *patch = json_new_object();

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct err err;

		assert_int_equal(spec_assign(&kinds[KIND_INSTANCE], cases[i].text, patch, &err), CLI_USAGE);
		assert_non_null(strstr(err.msg, cases[i].message));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_forms_become_json),
		cmocka_unit_test(assignments_become_a_merge_patch),
		cmocka_unit_test(wrong_assignments_are_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
