#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

/* From the authors' reference code with this state. */
static void test_numbers_match_the_reference(void **state)
{
	struct rng rng = { { 1, 2, 3, 4 } };
	const uint64_t expected[] = { 11520, 0, 1509978240, 1215971899390074240 };

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(expected); i++)
		assert_true(rng_next(&rng) == expected[i]);
}

static void test_same_seed_same_numbers(void **state)
{
	struct rng a, b, c;

	(void)state;
	rng_init(&a, 42);
	rng_init(&b, 42);
	rng_init(&c, 43);
	for (int i = 0; i < 100; i++) {
		uint64_t number = rng_next(&a);

		assert_true(number == rng_next(&b));
		assert_true(number != rng_next(&c));
	}
}

static void test_below_is_even(void **state)
{
	enum { BOUND = 10, ROUNDS = 100000 };
	int counts[BOUND] = { 0 };
	struct rng rng;

	(void)state;
	rng_init(&rng, 1);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t number = rng_below(&rng, BOUND);

		assert_true(number < BOUND);
		counts[number]++;
	}
	/* Five standard deviations. */
	for (int i = 0; i < BOUND; i++)
		assert_in_range(counts[i], ROUNDS / BOUND - 475, ROUNDS / BOUND + 475);
	assert_int_equal(rng_below(&rng, 1), 0);
}

static void test_uuid_has_its_form(void **state)
{
	char text[37], other[37];
	struct rng rng;

	(void)state;
	rng_init_random(&rng);
	rng_uuid(&rng, text);
	rng_uuid(&rng, other);
	assert_string_not_equal(text, other);
	assert_int_equal(strlen(text), 36);
	assert_int_equal(strspn(text, "0123456789abcdef-"), 36);
	assert_true(text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-');
	assert_int_equal(text[14], '4');
	assert_non_null(strchr("89ab", text[19]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_match_the_reference),
		cmocka_unit_test(test_same_seed_same_numbers),
		cmocka_unit_test(test_below_is_even),
		cmocka_unit_test(test_uuid_has_its_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
