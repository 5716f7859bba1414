#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"

enum { CAPTURE_BYTES = 8192 };

/* Logs one line into a pipe instead of stderr. */
static void capture(char text[CAPTURE_BYTES], enum log_level level, const char *message)
{
	int saved = dup(STDERR_FILENO), ends[2];
	ssize_t size;

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	log_line(level, "%s", message);
	dup2(saved, STDERR_FILENO);
	close(saved);
	size = read(ends[0], text, CAPTURE_BYTES - 1);
	close(ends[0]);
	assert_true(size > 0);
	text[size] = '\0';
}

static void test_line_has_its_level(void **state)
{
	char text[CAPTURE_BYTES];

	(void)state;
	capture(text, LOG_WARNING, "disk is full");
	assert_string_equal(text, "<4>disk is full\n");
}

static void test_one_call_is_one_line(void **state)
{
	char text[CAPTURE_BYTES], longest[5000];

	(void)state;
	capture(text, LOG_INFO, "a\n<3>forged\x1b[0m");
	assert_string_equal(text, "<6>a <3>forged [0m\n");

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	capture(text, LOG_ERROR, longest);
	assert_true(strlen(text) < 2100);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_has_its_level),
		cmocka_unit_test(test_one_call_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
