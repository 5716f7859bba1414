#include "base/ordered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/str.h"

enum { KEYS = 2000, STEPS = 60000 };

struct model { char keys[KEYS][20]; bool is_there[KEYS]; size_t count; };

static void init(struct model *model)
{
	*model = (struct model){ 0 };
	/* Some differ early, some late, some end where others go on; no byte is special. */
	for (unsigned i = 0; i < KEYS; i++)
		snprintf(model->keys[i], sizeof(model->keys[i]), "%02u%.*s%02u%s", i / 100, (int)(i / 100 % 3) * 6, "\xff\xff-\x01/aaaaaaa",
			 i % 100 / 2, i % 2 ? "\x01" : "");
}

static void check_order(const struct model *model, const struct ordered *ordered, unsigned from)
{
	struct ordered_place at = ordered_from(ordered, model->keys[from]);

	assert_int_equal(ordered->count, model->count);
	for (unsigned i = from; i < KEYS; i++) {
		if (!model->is_there[i])
			continue;
		assert_non_null(ordered_at(ordered, at));
		assert_string_equal(ordered_at(ordered, at)->key, model->keys[i]);
		at = ordered_next(ordered, at);
	}
	assert_null(ordered_at(ordered, at));
}

static void test_random_changes_keep_the_order(void **state)
{
	static struct model model;
	struct ordered ordered = { 0 };
	struct rng rng;

	(void)state;
	rng_init(&rng, 3);
	init(&model);
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)rng_below(&rng, KEYS);
		bool is_put = rng_below(&rng, 100) < (step / 10000 % 2 ? 30 : 70);
		void *old = is_put ? ordered_put(&ordered, model.keys[i], model.keys[i]) : ordered_remove(&ordered, model.keys[i]);

		assert_ptr_equal(old, model.is_there[i] ? model.keys[i] : NULL);
		model.count += (size_t)is_put - (size_t)model.is_there[i];
		model.is_there[i] = is_put;
		assert_ptr_equal(ordered_get(&ordered, model.keys[i]), is_put ? model.keys[i] : NULL);
		if (step % 1000 == 0)
			check_order(&model, &ordered, (unsigned)rng_below(&rng, KEYS));
	}
	ordered_done(&ordered);
}

/* Keys that come in order leave no piece half empty. */
static void test_rising_keys_fill_the_pieces(void **state)
{
	static struct model model;
	struct ordered ordered = { 0 };

	(void)state;
	init(&model);
	for (unsigned i = 0; i < KEYS; i++) {
		ordered_put(&ordered, model.keys[i], model.keys[i]);
		model.is_there[i] = true;
		model.count++;
	}
	check_order(&model, &ordered, 0);
	assert_int_equal(ordered.pieces.count, (KEYS + ORDERED_PIECE - 1) / ORDERED_PIECE);
	ordered_done(&ordered);
}

static void test_empty(void **state)
{
	struct ordered ordered = { 0 };

	(void)state;
	assert_null(ordered_get(&ordered, "a"));
	assert_null(ordered_remove(&ordered, "a"));
	assert_null(ordered_at(&ordered, ordered_from(&ordered, "")));
	ordered_done(&ordered);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_changes_keep_the_order),
		cmocka_unit_test(test_rising_keys_fill_the_pieces),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
