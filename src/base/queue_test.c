#include "base/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "base/mem.h"

static void *number(uintptr_t n)
{
	return (void *)n;
}

static void test_full_queue_says_so(void **state)
{
	struct queue *queue = queue_new(2);
	void *items[4];

	(void)state;
	assert_int_equal(queue_push(queue, number(1)), 0);
	assert_int_equal(queue_push(queue, number(2)), 0);
	assert_int_equal(queue_push(queue, number(3)), -EAGAIN);
	assert_int_equal(queue_pop_all(queue, items, 4, 0), 2);
	assert_ptr_equal(items[0], number(1));
	assert_ptr_equal(items[1], number(2));
	assert_int_equal(queue_pop_all(queue, items, 4, 0), 0);
	queue_free(queue);
}

static void test_ring_wraps_in_order(void **state)
{
	struct queue *queue = queue_new(3);
	uintptr_t pushed = 1, popped = 1;
	void *items[2];

	(void)state;
	for (int round = 0; round < 20; round++) {
		size_t count;

		while (queue_push(queue, number(pushed)) == 0)
			pushed++;
		count = queue_pop_all(queue, items, ARRAY_COUNT(items), -1);
		assert_int_equal(count, 2);
		for (size_t i = 0; i < count; i++)
			assert_ptr_equal(items[i], number(popped++));
	}
	assert_int_equal(queue_pop_all(queue, items, 2, -1), 1);
	queue_free(queue);
}

static void test_wait_ends_at_its_time(void **state)
{
	struct queue *queue = queue_new(1);
	void *item;

	(void)state;
	assert_int_equal(queue_pop_all(queue, &item, 1, 5), 0);
	assert_false(queue_is_closed(queue));
	queue_free(queue);
}

static void test_closed_queue_gives_what_it_has_and_takes_nothing(void **state)
{
	struct queue *queue = queue_new(2);
	void *item;

	(void)state;
	assert_int_equal(queue_push(queue, number(1)), 0);
	queue_close(queue);
	assert_true(queue_is_closed(queue));
	assert_int_equal(queue_push(queue, number(2)), -ESHUTDOWN);
	assert_int_equal(queue_pop_all(queue, &item, 1, -1), 1);
	assert_int_equal(queue_pop_all(queue, &item, 1, -1), 0);
	queue_free(queue);
}

enum { PRODUCERS = 4, ITEMS = 20000 };

struct producer {
	struct queue *queue;
	pthread_t thread;
	uintptr_t index;
	uintptr_t next;			/* The consumer's: what it expects of this producer. */
};

static void *produce(void *data)
{
	struct producer *producer = data;

	for (uintptr_t i = 0; i < ITEMS; i++)
		while (queue_push(producer->queue, number(i * PRODUCERS + producer->index + 1)) == -EAGAIN)
			sched_yield();
	return NULL;
}

static void test_many_producers_lose_nothing(void **state)
{
	struct queue *queue = queue_new(64);
	struct producer producers[PRODUCERS];
	size_t total = 0;
	void *items[16];

	(void)state;
	for (uintptr_t i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){ .queue = queue, .index = i };
		assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
	}
	while (total < PRODUCERS * ITEMS) {
		size_t count = queue_pop_all(queue, items, ARRAY_COUNT(items), -1);

		for (size_t i = 0; i < count; i++) {
			uintptr_t n = (uintptr_t)items[i] - 1;

			assert_int_equal(n / PRODUCERS, producers[n % PRODUCERS].next++);
		}
		total += count;
	}
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i].thread, NULL);
	queue_free(queue);
}

static void *close_it(void *data)
{
	queue_close(data);
	return NULL;
}

static void test_close_wakes_the_consumer(void **state)
{
	struct queue *queue = queue_new(1);
	pthread_t thread;
	void *item;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, close_it, queue), 0);
	assert_int_equal(queue_pop_all(queue, &item, 1, -1), 0);
	pthread_join(thread, NULL);
	queue_free(queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_queue_says_so),
		cmocka_unit_test(test_ring_wraps_in_order),
		cmocka_unit_test(test_wait_ends_at_its_time),
		cmocka_unit_test(test_closed_queue_gives_what_it_has_and_takes_nothing),
		cmocka_unit_test(test_many_producers_lose_nothing),
		cmocka_unit_test(test_close_wakes_the_consumer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
