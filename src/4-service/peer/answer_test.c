#include "4-service/peer/answer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "base/mem.h"

static int read_text(const char *text, struct answer_head *ret_head)
{
	struct err err;

	return answer_read_head(text, strlen(text), ret_head, &err);
}

static void test_heads(void **state)
{
	static const char whole[] = "HTTP/1.1 404 Not Found\r\nContent-Type: a\r\nContent-Length:      12\r\n\r\nbody";
	struct answer_head head = { 0 };
	struct err err;

	(void)state;
	for (size_t i = 0; i < strlen(whole) - 4; i++)
		assert_int_equal(answer_read_head(whole, i, &head, &err), 0);
	assert_int_equal(read_text(whole, &head), 1);
	assert_int_equal(head.status, 404);
	assert_int_equal(head.content_length, 12);
	assert_int_equal(head.size, strlen(whole) - 4);
	assert_int_equal(read_text("HTTP/1.1 101\r\n\r\n", &head), 1);
	assert_int_equal(head.content_length, -1);
}

static void test_no_http(void **state)
{
	static const char *const bad[] = {
		"SSH-2.0-x\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n", "\r\n\r\n",
	};
	auto_str struct str endless = { 0 };
	struct answer_head head;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		if (read_text(bad[i], &head) != -EPROTO)
			fail_msg("'%s' is taken", bad[i]);
	while (endless.size < ANSWER_HEAD_BYTES_MAX)
		str_append(&endless, "HTTP/1.1 ");
	assert_int_equal(answer_read_head(endless.data, endless.size, &head, &err), -EPROTO);
	assert_int_equal(answer_read_head("HTTP/1.1 200\0 OK\r\n\r\n", 20, &head, &err), -EPROTO);
}

static void test_errors(void **state)
{
	static const char body[] = "{\"error\": {\"code\": 409, \"message\": \"instance 'web' is busy\"}}";
	static const char empty[] = "{\"error\": {\"code\": 404, \"message\": \"\"}}";
	struct err err;

	(void)state;
	assert_int_equal(answer_error(409, body, strlen(body), &err), -EEXIST);
	assert_string_equal(err.msg, "instance 'web' is busy");
	assert_int_equal(answer_error(503, "", 0, &err), -EAGAIN);
	assert_non_null(strstr(err.msg, "without saying why"));
	assert_int_equal(answer_error(404, "<html>", 6, &err), -ENOENT);
	assert_int_equal(answer_error(404, empty, strlen(empty), &err), -ENOENT);
	assert_non_null(strstr(err.msg, "without saying why"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_heads), cmocka_unit_test(test_no_http), cmocka_unit_test(test_errors) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
