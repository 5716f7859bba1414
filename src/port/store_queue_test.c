#include "port/store_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/limits.h"

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void push(struct store_queue *queue, uint32_t delay_ms)
{
	struct store_submission submission = { .txn = store_txn_new() };

	submission.txn->delay_ms = delay_ms;
	store_queue_push(queue, &submission);
}

/* Waits once; returns the size of the batch. */
static size_t wait_once(struct store_queue *queue)
{
	struct store_batch batch;
	bool is_nudged;
	size_t count;

	assert_true(store_queue_wait(queue, &batch, &is_nudged));
	assert_false(is_nudged);
	count = batch.list.count;
	store_batch_done(&batch);
	store_queue_committed(queue);
	return count;
}

static int setup(void **state)
{
	struct store_queue *queue = alloc(sizeof(*queue));

	store_queue_init(queue);
	*state = queue;
	return 0;
}

static int teardown(void **state)
{
	store_queue_done(*state);
	free(*state);
	return 0;
}

static void test_everything_pending_is_one_batch(void **state)
{
	struct store_queue *queue = *state;

	for (int i = 0; i < 10; i++)
		push(queue, 0);
	assert_int_equal(wait_once(queue), 10);
}

static void test_a_batch_has_a_limit(void **state)
{
	struct store_queue *queue = *state;

	for (int i = 0; i < LIMIT_STORE_BATCH + 3; i++)
		push(queue, 1000000);
	assert_int_equal(wait_once(queue), LIMIT_STORE_BATCH);
	push(queue, 0);
	assert_int_equal(wait_once(queue), 4);
}

static void test_a_delay_is_waited_for(void **state)
{
	struct store_queue *queue = *state;
	double begin = now_ms();

	push(queue, 20);
	assert_int_equal(wait_once(queue), 1);
	assert_true(now_ms() - begin >= 20);
}

static void test_an_urgent_one_takes_the_delayed_along(void **state)
{
	struct store_queue *queue = *state;

	push(queue, 1000000);
	push(queue, 0);
	assert_int_equal(wait_once(queue), 2);
}

static void test_company_is_waited_for_once_in_vain(void **state)
{
	struct store_queue *queue = *state;
	double begin;

	push(queue, 0);
	push(queue, 0);
	assert_int_equal(wait_once(queue), 2);

	begin = now_ms();
	push(queue, 0);
	assert_int_equal(wait_once(queue), 1);
	assert_true(now_ms() - begin >= 0.5);
	assert_int_equal(queue->expected_count, 1);
}

static void test_delayed_ones_are_no_company(void **state)
{
	struct store_queue *queue = *state;

	push(queue, 1000000);
	push(queue, 1000000);
	push(queue, 0);
	assert_int_equal(wait_once(queue), 3);
	assert_int_equal(queue->expected_count, 1);
}

static void test_who_misses_a_commit_is_expected_with_its_members(void **state)
{
	struct store_queue *queue = *state;
	struct store_batch batch;
	bool is_nudged;

	push(queue, 0);
	push(queue, 0);
	assert_true(store_queue_wait(queue, &batch, &is_nudged));
	push(queue, 0);				/* While the batch is being committed. */
	store_queue_committed(queue);
	store_batch_done(&batch);
	push(queue, 0);				/* The members have been told and come again. */
	push(queue, 0);
	assert_int_equal(queue->expected_count, 3);
	assert_int_equal(wait_once(queue), 3);
}

static void *push_from_thread(void *data)
{
	for (int i = 0; i < 1000; i++)
		push(data, i % 3 ? 0 : 1);
	return NULL;
}

static void test_nothing_is_lost_between_threads(void **state)
{
	struct store_queue *queue = *state;
	pthread_t threads[2];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, push_from_thread, queue), 0);
	while (count < 2000)
		count += wait_once(queue);
	for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(count, 2000);
}

static void test_nudge_stop_and_drop(void **state)
{
	struct store_queue *queue = *state;
	struct store_batch batch;
	bool is_nudged;

	store_queue_nudge(queue);
	assert_true(store_queue_wait(queue, &batch, &is_nudged));
	assert_true(is_nudged);
	assert_int_equal(batch.list.count, 0);

	push(queue, 1000000);
	store_queue_drop(queue);
	assert_false(store_queue_take(queue, &batch));
	push(queue, 1000000);
	store_queue_stop(queue);
	assert_int_equal(wait_once(queue), 1);
	assert_false(store_queue_wait(queue, &batch, &is_nudged));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_everything_pending_is_one_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_batch_has_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_delay_is_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_urgent_one_takes_the_delayed_along, setup, teardown),
		cmocka_unit_test_setup_teardown(test_company_is_waited_for_once_in_vain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delayed_ones_are_no_company, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_misses_a_commit_is_expected_with_its_members, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_lost_between_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nudge_stop_and_drop, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
