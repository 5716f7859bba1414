#include "base/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

struct counts {
	struct loop *loop;
	int run, done, dropped;		/* 'run' atomically; the others in the loop's thread. */
	int expected;
	char text[64];
	pthread_barrier_t barrier;
};

static struct loop *new_loop(enum loop_clock clock)
{
	struct loop *loop = NULL;
	struct err err;

	assert_int_equal(loop_new(clock, 0, &loop, &err), 0);
	return loop;
}

static void count_run(void *data)
{
	struct counts *counts = data;

	__atomic_add_fetch(&counts->run, 1, __ATOMIC_RELAXED);
}

static void count_done(void *data)
{
	struct counts *counts = data;

	if (++counts->done == counts->expected)
		loop_stop(counts->loop);
}

static void count_dropped(void *data)
{
	struct counts *counts = data;

	counts->dropped++;
}

static void test_every_job_is_run_and_done_once(void **state)
{
	enum { JOBS = 5000 };
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct work *work = work_new(loop, 4);
	struct counts counts = { .loop = loop, .expected = JOBS };

	(void)state;
	for (int i = 0; i < JOBS; i++)
		work_submit(work, count_run, count_done, count_dropped, &counts);
	assert_int_equal(work_pending(work), JOBS);
	loop_run(loop);
	assert_int_equal(counts.run, JOBS);
	assert_int_equal(counts.dropped, 0);
	assert_int_equal(work_pending(work), 0);
	work_free(work);
	loop_free(loop);
}

static void wait_for_others(void *data)
{
	struct counts *counts = data;

	pthread_barrier_wait(&counts->barrier);
}

/* Three jobs that wait for each other end only if they have three threads. */
static void test_blocked_jobs_get_threads_of_their_own(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct work *work = work_new(loop, 3);
	struct counts counts = { .loop = loop, .expected = 3 };

	(void)state;
	for (int round = 0; round < 50; round++) {
		counts.done = 0;
		pthread_barrier_init(&counts.barrier, NULL, 3);
		for (int i = 0; i < 3; i++)
			work_submit(work, wait_for_others, count_done, NULL, &counts);
		loop_run(loop);
		pthread_barrier_destroy(&counts.barrier);
	}
	work_free(work);
	loop_free(loop);
}

static void test_free_drops_what_is_not_done(void **state)
{
	enum { JOBS = 1000 };
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct work *work = work_new(loop, 2);
	struct counts counts = { .loop = loop };

	(void)state;
	for (int i = 0; i < JOBS; i++)
		work_submit(work, count_run, count_done, count_dropped, &counts);
	work_free(work);
	assert_int_equal(counts.dropped, JOBS);
	/* The messages of jobs that had been run are still there and must be harmless. */
	loop_step(loop, 0);
	assert_int_equal(counts.done, 0);
	loop_free(loop);
}

static void test_loop_may_end_with_messages_of_a_freed_pool(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_VIRTUAL);
	struct work *work = work_new(loop, 0);
	struct counts counts = { .loop = loop };

	(void)state;
	work_submit(work, count_run, count_done, count_dropped, &counts);
	work_free(work);
	loop_free(loop);
	assert_int_equal(counts.run, 0);
	assert_int_equal(counts.dropped, 1);
}

/* Inline: the order is part of the contract. */

struct step {
	struct counts *counts;
	const char *run, *done;
};

static void step_run(void *data)
{
	struct step *step = data;

	strcat(step->counts->text, step->run);
}

static void step_done(void *data)
{
	struct step *step = data;

	strcat(step->counts->text, step->done);
}

static void test_without_threads_the_order_is_fixed(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_VIRTUAL);
	struct work *work = work_new(loop, 0);
	struct counts counts = { .loop = loop };
	struct step first = { &counts, "a", "A" }, second = { &counts, "b", "B" };

	(void)state;
	work_submit(work, step_run, step_done, NULL, &first);
	work_submit(work, step_run, step_done, NULL, &second);
	assert_string_equal(counts.text, "");
	while (loop_step(loop, -1))
		;
	assert_string_equal(counts.text, "abAB");
	assert_int_equal(work_pending(work), 0);
	work_free(work);
	loop_free(loop);
}

static uint32_t lag_of_5(void *data)
{
	(void)data;
	return 5;
}

static void test_without_threads_jobs_may_take_time(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_VIRTUAL);
	struct work *work = work_new(loop, 0);
	struct counts counts = { .loop = loop };
	struct step step = { &counts, "a", "A" };

	(void)state;
	work_set_lag(work, lag_of_5, NULL);
	work_submit(work, step_run, step_done, NULL, &step);
	while (!counts.text[0])
		assert_true(loop_step(loop, -1));
	assert_int_equal(loop_now_ms(loop), 5);
	while (loop_step(loop, -1))
		;
	assert_string_equal(counts.text, "aA");
	assert_int_equal(loop_now_ms(loop), 10);
	work_submit(work, count_run, count_done, count_dropped, &counts);
	work_free(work);
	assert_int_equal(counts.dropped, 1);
	assert_false(loop_step(loop, -1));
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_threads_jobs_may_take_time),
		cmocka_unit_test(test_every_job_is_run_and_done_once),
		cmocka_unit_test(test_blocked_jobs_get_threads_of_their_own),
		cmocka_unit_test(test_free_drops_what_is_not_done),
		cmocka_unit_test(test_loop_may_end_with_messages_of_a_freed_pool),
		cmocka_unit_test(test_without_threads_the_order_is_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
