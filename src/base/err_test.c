#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/str.h"

static void test_message_explains_the_code(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set(&err, -ENOENT, "open '%s': %m", "x"), -ENOENT);
	assert_int_equal(err.code, -ENOENT);
	assert_string_equal(err.msg, "open 'x': No such file or directory");
	assert_int_equal(err_prefix(&err, "instance '%s'", "web"), -ENOENT);
	assert_string_equal(err.msg, "instance 'web': open 'x': No such file or directory");
}

static void test_long_messages_are_cut(void **state)
{
	char text[1000];
	struct err err;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	err_set(&err, -EIO, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	err_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

static void test_a_cut_leaves_whole_characters(void **state)
{
	struct err err;

	(void)state;
	for (int before = 0; before < 3; before++) {
		auto_str struct str text = { 0 };

		str_append_bytes(&text, "xxx", (size_t)before);
		for (int i = 0; i < 400; i++)
			str_append(&text, "\xe4\xb8\xad");
		err_set(&err, -EIO, "%s", str_text(&text));
		assert_true(text_is_utf8(err.msg, strlen(err.msg)));
		assert_true(strlen(err.msg) > sizeof(err.msg) - 4);
		err_prefix(&err, "%s", "y");
		assert_true(text_is_utf8(err.msg, strlen(err.msg)));
	}
	err_set(&err, -EIO, "%s", "\xe4\xb8\xad");
	assert_string_equal(err.msg, "\xe4\xb8\xad");
}

static void test_codes_map_to_the_outside_and_back(void **state)
{
	(void)state;
	assert_int_equal(err_http_status(-ENOENT), 404);
	assert_int_equal(err_http_status(-ENOTTY), 500);
	assert_int_equal(err_exit_code(-EAGAIN), 75);
	assert_int_equal(err_exit_code(-EINVAL), 1);
	assert_int_equal(err_from_http_status(404), -ENOENT);
	assert_int_equal(err_from_http_status(418), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message_explains_the_code),
		cmocka_unit_test(test_long_messages_are_cut),
		cmocka_unit_test(test_a_cut_leaves_whole_characters),
		cmocka_unit_test(test_codes_map_to_the_outside_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
