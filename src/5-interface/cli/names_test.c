#include "5-interface/cli/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "model/meta.h"

static void every_name_is_valid_and_they_differ(void **state)
{
	char names[200][NAMES_BYTES];
	struct rng rng;
	int repeats = 0;

	(void)state;
	rng_init(&rng, 1);
	for (int i = 0; i < 200; i++) {
		struct err err;

		names_make(&rng, i % 20 == 19 ? 8 : 0, names[i]);
		assert_int_equal(name_check(names[i], &err), 0);
		assert_non_null(strchr(names[i], '-'));
		for (int j = 0; j < i; j++)
			repeats += strcmp(names[i], names[j]) == 0;
	}
	assert_true(repeats < 20);
}

static void after_many_tries_a_number_helps(void **state)
{
	char name[NAMES_BYTES];
	struct rng rng;

	(void)state;
	rng_init(&rng, 2);
	names_make(&rng, 8, name);
	assert_true(strpbrk(name, "0123456789") != NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_is_valid_and_they_differ),
		cmocka_unit_test(after_many_tries_a_number_helps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
