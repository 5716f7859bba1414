#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_map_agrees_with_a_plain_array(void **state)
{
	enum { KEYS = 500, ROUNDS = 20000 };
	struct map map = { 0 };
	void *expected[KEYS] = { 0 };
	uint32_t random = 12345;
	size_t count = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		char key[16];
		size_t i;

		random = random * 1664525 + 1013904223;
		i = (random >> 8) % KEYS;
		snprintf(key, sizeof(key), "key-%zu", i);
		if (random >> 31) {
			void *value = (void *)(uintptr_t)(round + 1);

			assert_ptr_equal(map_put(&map, key, value), expected[i]);
			count += !expected[i];
			expected[i] = value;
		} else {
			assert_ptr_equal(map_remove(&map, key), expected[i]);
			count -= !!expected[i];
			expected[i] = NULL;
		}
		assert_int_equal(map.count, count);
	}
	for (size_t i = 0; i < KEYS; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key-%zu", i);
		assert_ptr_equal(map_get(&map, key), expected[i]);
	}
	map_done(&map);
}

/* Vector of the SipHash paper, appendix A. */
static void test_hash_matches_the_paper(void **state)
{
	const uint64_t seed[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	unsigned char bytes[15];

	(void)state;
	for (unsigned char i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	assert_true(map_hash(seed, bytes, sizeof(bytes)) == 0xa129ca6149be45e5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_agrees_with_a_plain_array),
		cmocka_unit_test(test_hash_matches_the_paper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
