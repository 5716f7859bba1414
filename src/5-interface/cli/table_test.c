#include "5-interface/cli/table.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Fills the table row by row and compares what is printed. */
static void check(struct table *table, bool has_header, const char *const *cells, const char *expected)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (; *cells; cells++)
		table_cell(table, "%s", *cells);
	table_print(table, has_header, out);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
	table_done(table);
}

#define CELLS(...) (const char *const[]){ __VA_ARGS__, NULL }

static void columns_are_aligned_without_trailing_spaces(void **state)
{
	struct table table = { 0 };

	(void)state;
	table_header(&table, "NAME", "STATE", "REASON", NULL);
	check(&table, true, CELLS("web", "running", "", "database", "failed", "disk full"),
	      "NAME      STATE    REASON\nweb       running\ndatabase  failed   disk full\n");
}

static void headers_can_be_left_out_and_do_not_widen(void **state)
{
	struct table table = { 0 };

	(void)state;
	table_header(&table, "A-VERY-LONG-TITLE", "B", NULL);
	check(&table, false, CELLS("x", "y"), "x  y\n");
}

static void empty_columns_vanish_but_an_empty_table_keeps_its_header(void **state)
{
	struct table table = { 0 }, empty = { 0 };

	(void)state;
	table_header(&table, "A", "B", "C", NULL);
	check(&table, true, CELLS("1", "", "3", "4", "", "6"), "A  C\n1  3\n4  6\n");
	table_header(&empty, "A", "B", NULL);
	check(&empty, true, CELLS(NULL), "A  B\n");
}

static void width_is_that_of_the_terminal(void **state)
{
	struct table table = { 0 };

	(void)state;
	assert_int_equal(text_width("web"), 3);
	assert_int_equal(text_width("日本"), 4);
	assert_int_equal(text_width("e\xcc\x81"), 1);		/* A combining accent. */
	assert_int_equal(text_width("\xff\xfe"), 2);		/* Broken UTF-8 is shown as it is counted. */
	table_header(&table, "N", "S", NULL);
	check(&table, true, CELLS("日本", "1", "web", "2"), "N     S\n日本  1\nweb   2\n");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
	struct table table = { 0 };

	(void)state;
	table_header(&table, "N", NULL);
	check(&table, false, CELLS("a\033[31mb\nc"), "a?[31mb?c\n");
}

static void ages_have_one_unit(void **state)
{
	static const struct { int64_t seconds; const char *text; } cases[] = {
		{ 0, "0s" }, { -5, "0s" }, { 119, "119s" }, { 120, "2m" }, { 7199, "119m" }, { 7200, "2h" },
		{ 172799, "47h" }, { 172800, "2d" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		auto_free char *age = text_age(1000000000, 1000000000 + cases[i].seconds * 1000);

		assert_string_equal(age, cases[i].text);
	}
	auto_free char *never = text_age(0, 5000);
	assert_string_equal(never, "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_aligned_without_trailing_spaces),
		cmocka_unit_test(headers_can_be_left_out_and_do_not_widen),
		cmocka_unit_test(empty_columns_vanish_but_an_empty_table_keeps_its_header),
		cmocka_unit_test(width_is_that_of_the_terminal),
		cmocka_unit_test(control_characters_do_not_reach_the_terminal),
		cmocka_unit_test(ages_have_one_unit),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
