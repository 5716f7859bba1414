#include "5-interface/cli/scan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void assert_pick(const char *text, const char *path, const char *expected)
{
	char copy[64];
	struct scan_pick pick;
	size_t used;
	auto_str struct str found = { 0 };

	strcpy(copy, path);
	scan_path(&pick, copy);
	assert_int_equal(scan_object(text, strlen(text), &pick, 1, &used), 0);
	scan_text(&pick, &found);
	assert_string_equal(str_text(&found), expected);
}

static void values_are_found_where_they_are(void **state)
{
	static const char text[] = " { \"meta\" : {\"name\":\"a\\\"b\\u00e9\",\"x\":{\"name\":\"no\"}} , \"name\":\"top\",\n"
		"\"spec\":{\"n\":-1.5e3,\"t\":true,\"z\":null,\"s\":\"}]{[\","
		"\"nics\":[{\"mac\":\"m\"},{\"ipv4\":\"1.2.3.4\"},{\"ipv4\":\"5.6.7.8\"}]}}";

	(void)state;
	assert_pick(text, "meta.name", "a\"b\xc3\xa9");
	assert_pick(text, "name", "top");
	assert_pick(text, "spec.n", "-1.5e3");
	assert_pick(text, "spec.t", "true");
	assert_pick(text, "spec.z", "");
	assert_pick(text, "spec.s", "}]{[");
	assert_pick(text, "spec.nics.ipv4", "1.2.3.4");
	assert_pick(text, "spec.nics.absent", "");
	assert_pick(text, "spec.n.deeper", "");
	assert_pick(text, "meta.nam", "");
	assert_pick(text, "meta.names", "");
	assert_pick("{}", "meta", "");
}

static void elements_come_one_by_one(void **state)
{
	static const char list[] = " [ {\"a\":[1,2]}, {} ,{\"x\":\"]}\"} ] ";
	static const char *const expected[] = { "{\"a\":[1,2]}", "{}", "{\"x\":\"]}\"}" };
	size_t at = 0, used;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(scan_element(list, strlen(list), &at), 1);
		assert_int_equal(scan_object(list + at, strlen(list) - at, NULL, 0, &used), 0);
		assert_int_equal(used, strlen(expected[i]));
		assert_memory_equal(list + at, expected[i], used);
		at += used;
	}
	assert_int_equal(scan_element(list, strlen(list), &at), 0);
	at = 0;
	assert_int_equal(scan_element("[]", 2, &at), 0);
	at = 0;
	assert_int_equal(scan_element("{}", 2, &at), -EINVAL);
}

/* Every beginning of a text is broken, and none is read beyond its end. */
static void broken_texts_are_refused(void **state)
{
	static const char text[] = "{\"meta\":{\"name\":\"a\\\"b\"},\"l\":[1,{\"x\":2}]}";
	char deep[200];
	struct scan_pick pick = { .words = { "l", "x" } };
	size_t used;

	(void)state;
	for (size_t size = 0; size < strlen(text); size++) {
		char *exact = strndup(text, size);	/* So that a sanitizer sees any step beyond. */

		assert_int_equal(scan_object(exact, size, &pick, 1, &used), -EINVAL);
		free(exact);
	}
	assert_int_equal(scan_object("[]", 2, &pick, 1, &used), -EINVAL);
	assert_int_equal(scan_object("{\"l\" 1}", 7, &pick, 1, &used), -EINVAL);
	assert_int_equal(scan_object("{\"l\":}", 6, &pick, 1, &used), -EINVAL);
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"l\":", 5);
	memset(deep + 100, ']', 95);
	deep[195] = '}';
	assert_int_equal(scan_object(deep, 196, &pick, 1, &used), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_found_where_they_are),
		cmocka_unit_test(elements_come_one_by_one),
		cmocka_unit_test(broken_texts_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
