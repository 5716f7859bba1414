#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

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
	char text[500];
	struct err err;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	err_set(&err, -EIO, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	err_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
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
		cmocka_unit_test(test_codes_map_to_the_outside_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
