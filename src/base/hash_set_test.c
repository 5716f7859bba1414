#include "base/hash_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"

enum { KEYS = 500, STEPS = 200000 };

static void test_an_empty_set_has_nothing(void **state)
{
	struct hash_set set = { 0 };

	(void)state;
	assert_false(hash_set_has(&set, "a"));
	hash_set_remove(&set, "a");
	hash_set_done(&set);
}

/* Against an array, through many sizes. */
static void test_it_has_what_was_added_and_not_removed(void **state)
{
	struct hash_set set = { 0 };
	bool is_there[KEYS] = { false };
	size_t count = 0;
	struct rng rng;
	char text[16];

	(void)state;
	rng_init(&rng, 1);
	for (int i = 0; i < STEPS; i++) {
		size_t key = rng_next(&rng) % KEYS;

		snprintf(text, sizeof(text), "claim/%zu", key);
		assert_int_equal(hash_set_has(&set, text), is_there[key]);
		count -= is_there[key];
		is_there[key] = rng_next(&rng) % 2;
		count += is_there[key];
		if (is_there[key])
			hash_set_add(&set, text);
		else
			hash_set_remove(&set, text);
		assert_int_equal(set.count, count);
	}
	assert_in_range(count, 1, KEYS - 1);
	hash_set_done(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_empty_set_has_nothing),
		cmocka_unit_test(test_it_has_what_was_added_and_not_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
