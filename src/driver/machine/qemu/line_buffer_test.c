#include "driver/machine/qemu/line_buffer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void add(struct line_buffer *buffer, const char *text)
{
	struct err err;

	assert_int_equal(line_buffer_add(buffer, text, strlen(text), &err), 0);
}

static void expect(struct line_buffer *buffer, const char *line)
{
	const char *found;
	size_t size;

	assert_true(line_buffer_next(buffer, &found, &size));
	assert_int_equal(size, strlen(line));
	assert_memory_equal(found, line, size);
}

static void expect_none(struct line_buffer *buffer)
{
	const char *found;
	size_t size;

	assert_false(line_buffer_next(buffer, &found, &size));
}

static void lines_come_in_any_pieces(void **state)
{
	struct line_buffer buffer = { .max_bytes = 16 };

	(void)state;
	expect_none(&buffer);
	add(&buffer, "on");
	expect_none(&buffer);
	add(&buffer, "e\n\ntw");
	expect(&buffer, "one");
	expect(&buffer, "");
	expect_none(&buffer);
	add(&buffer, "o\nthree\n");
	expect(&buffer, "two");
	add(&buffer, "f");
	expect(&buffer, "three");
	expect_none(&buffer);
	line_buffer_done(&buffer);
}

static void long_lines_are_refused(void **state)
{
	struct line_buffer buffer = { .max_bytes = 4 };
	struct err err;

	(void)state;
	add(&buffer, "1234");
	assert_int_equal(line_buffer_add(&buffer, "5", 1, &err), -EFBIG);
	line_buffer_done(&buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_in_any_pieces), cmocka_unit_test(long_lines_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
