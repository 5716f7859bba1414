#include "base/fair_lock.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

enum { ROUNDS = 1000 };

struct pair { struct fair_lock lock; atomic_uint turns; };

static void *take_often(void *data)
{
	struct pair *pair = data;

	for (int i = 0; i < ROUNDS; i++) {
		fair_lock_take(&pair->lock);
		atomic_fetch_add(&pair->turns, 1);
		fair_lock_give(&pair->lock);
	}
	return NULL;
}

/* By another than who has it. */
static bool is_waited_for(struct fair_lock *lock)
{
	bool is_waited;

	pthread_mutex_lock(&lock->lock);
	is_waited = lock->asked - lock->served > 1;
	pthread_mutex_unlock(&lock->lock);
	return is_waited;
}

static void test_who_asks_first_has_it_first(void **state)
{
	struct pair pair = { .turns = 0 };
	unsigned before = 0;
	pthread_t thread;

	(void)state;
	fair_lock_init(&pair.lock);
	fair_lock_take(&pair.lock);
	assert_int_equal(pthread_create(&thread, NULL, take_often, &pair), 0);
	while (before < ROUNDS) {
		while (!is_waited_for(&pair.lock) && atomic_load(&pair.turns) < ROUNDS)
			sched_yield();
		before = atomic_load(&pair.turns);
		/* The next turn is the other's, however soon this thread asks again. */
		fair_lock_give(&pair.lock);
		fair_lock_take(&pair.lock);
		assert_true(before == ROUNDS || atomic_load(&pair.turns) > before);
	}
	fair_lock_give(&pair.lock);
	pthread_join(thread, NULL);
	fair_lock_done(&pair.lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_who_asks_first_has_it_first) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
