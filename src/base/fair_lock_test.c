#include "base/fair_lock.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

enum { ROUNDS = 1000 };

struct pair { struct fair_lock lock; atomic_uint turns; };

/* Each time once after the other has given it back. */
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

static uint64_t count_asked(struct fair_lock *lock)
{
	uint64_t asked;

	pthread_mutex_lock(&lock->lock);
	asked = lock->asked;
	pthread_mutex_unlock(&lock->lock);
	return asked;
}

static void test_who_asks_first_has_it_first(void **state)
{
	struct pair pair = { .turns = 0 };
	pthread_t thread;

	(void)state;
	fair_lock_init(&pair.lock);
	fair_lock_take(&pair.lock);
	assert_int_equal(pthread_create(&thread, NULL, take_often, &pair), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		/* The other waits: its is the next turn, even when this thread asks again at once. */
		while (count_asked(&pair.lock) < 2 * i + 2)
			sched_yield();
		fair_lock_give(&pair.lock);
		fair_lock_take(&pair.lock);
		assert_int_equal(atomic_load(&pair.turns), i + 1);
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
