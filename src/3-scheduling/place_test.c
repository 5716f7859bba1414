#include "3-scheduling/place.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { GIB = 1 << 30 };

static const struct place_node nodes[] = {
	{ .name = "small", .memory_bytes = 2ull * GIB },
	{ .name = "full", .memory_bytes = 8ull * GIB, .promised_bytes = 8ull * GIB },
	{ .name = "free", .memory_bytes = 4ull * GIB },
	{ .name = "cordoned", .memory_bytes = 64ull * GIB, .is_cordoned = true },
};

static void test_most_free_memory_wins(void **state)
{
	struct err err = { 0 };
	size_t index = 99;

	(void)state;
	assert_int_equal(place_instance(GIB, nodes, 4, &index, &err), 0);
	assert_string_equal(nodes[index].name, "free");
}

static void test_overcommitted_node_is_better_than_none(void **state)
{
	struct err err = { 0 };
	size_t index = 99;

	(void)state;
	assert_int_equal(place_instance(6ull * GIB, nodes, 4, &index, &err), 0);
	assert_string_equal(nodes[index].name, "full");
}

static void test_too_large_is_refused_in_words(void **state)
{
	struct err err = { 0 };
	size_t index = 99;

	(void)state;
	assert_int_equal(place_instance(100ull * GIB, nodes, 3, &index, &err), -ENOSPC);
	assert_int_equal(index, 99);
	assert_string_equal(err.msg, "spec.memory: 100GiB is more than the host has (8GiB): use less");
}

static void test_all_cordoned(void **state)
{
	struct err err = { 0 };
	size_t index;

	(void)state;
	assert_int_equal(place_instance(GIB, nodes + 3, 1, &index, &err), -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_most_free_memory_wins),
		cmocka_unit_test(test_overcommitted_node_is_better_than_none),
		cmocka_unit_test(test_too_large_is_refused_in_words),
		cmocka_unit_test(test_all_cordoned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
