#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_empty_string_is_text(void **state)
{
	auto_str struct str str = { 0 };

	(void)state;
	assert_string_equal(str_text(&str), "");
	str_append(&str, "");
	assert_string_equal(str.data, "");
	assert_int_equal(str.size, 0);
}

static void test_appending_grows(void **state)
{
	auto_str struct str str = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++) {
		str_printf(&str, "%d,", i % 10);
		str_append_char(&str, ';');
		str_append_bytes(&str, "\0", 1);
	}
	assert_int_equal(str.size, 4000);
	assert_memory_equal(str.data + 3996, "9,;\0", 5);
}

static void test_front_is_removed(void **state)
{
	auto_str struct str str = { 0 };

	(void)state;
	str_append(&str, "abcdef");
	str_remove_front(&str, 2);
	assert_string_equal(str_text(&str), "cdef");
	str_remove_front(&str, 100);
	assert_string_equal(str_text(&str), "");
}

static void test_utf8_is_checked(void **state)
{
	static const char *const good[] = { "", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = {
		"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80",
		"\xff", "a\xe2\x82", "\xf5\x80\x80\x80", "\xc3(",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(good); i++)
		assert_true(text_is_utf8(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_false(text_is_utf8(bad[i], strlen(bad[i])));
	assert_false(text_is_utf8("a\0b", 3));
}

static void test_distance(void **state)
{
	char longest[80];

	(void)state;
	assert_int_equal(text_distance("", ""), 0);
	assert_int_equal(text_distance("kitten", "sitting"), 3);
	assert_int_equal(text_distance("memory", "memry"), 1);
	assert_int_equal(text_distance("", "abc"), 3);
	memset(longest, 'x', sizeof(longest));
	longest[79] = '\0';
	assert_true(text_distance(longest, "x") == SIZE_MAX);
}

static void test_shown_text_is_harmless(void **state)
{
	char buffer[16];

	(void)state;
	assert_string_equal(shown("plain"), "plain");
	assert_string_equal(shown("\xc3\xa9t\xc3\xa9"), "\xc3\xa9t\xc3\xa9");
	assert_string_equal(shown("a\nb\x1b[31m\x7f"), "a?b?[31m?");
	assert_string_equal(shown("\xc2\x9b" "31m"), "??31m");		/* CSI as one character. */
	assert_string_equal(shown("\xff\xc3"), "??");
	assert_string_equal(text_shown("abcdefgh", 4, buffer, sizeof(buffer)), "abcd...");
	assert_string_equal(text_shown("abcdefghijklmnopqrstuvw", 64, buffer, sizeof(buffer)), "abcdefghijkl...");
	/* Never half a character. */
	assert_string_equal(text_shown("abc\xc3\xa9", 4, buffer, sizeof(buffer)), "abc...");
}

static void test_shown_fits_every_size(void **state)
{
	(void)state;
	for (size_t size = 4; size < 40; size++) {
		auto_free char *buffer = alloc(size);

		text_shown("0123456789012345678901234567890123456789", 64, buffer, size);
		assert_true(strlen(buffer) < size);
		assert_string_equal(buffer + strlen(buffer) - 3, "...");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_string_is_text),
		cmocka_unit_test(test_appending_grows),
		cmocka_unit_test(test_front_is_removed),
		cmocka_unit_test(test_utf8_is_checked),
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_shown_text_is_harmless),
		cmocka_unit_test(test_shown_fits_every_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
