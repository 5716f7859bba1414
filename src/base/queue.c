#include "base/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t has_changed;
	size_t capacity;
	size_t first;			/* Index of the oldest item in the ring. */
	size_t count;
	bool is_closed;
	void *items[];
};

struct queue *queue_new(size_t capacity)
{
	struct queue *queue;
	pthread_condattr_t attributes;

	assert(capacity > 0);

	queue = alloc(sizeof(*queue) + capacity * sizeof(queue->items[0]));
	queue->capacity = capacity;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&queue->has_changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return queue;
}

void queue_free(struct queue *queue)
{
	if (!queue)
		return;
	assert(queue->count == 0);
	pthread_cond_destroy(&queue->has_changed);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

int queue_push(struct queue *queue, void *item)
{
	bool was_empty;
	int r = 0;

	assert(item);

	pthread_mutex_lock(&queue->lock);
	was_empty = queue->count == 0;
	if (queue->is_closed)
		r = -ESHUTDOWN;
	else if (queue->count == queue->capacity)
		r = -EAGAIN;
	else
		queue->items[(queue->first + queue->count++) % queue->capacity] = item;
	pthread_mutex_unlock(&queue->lock);

	/* The consumer waits only on an empty queue. */
	if (r == 0 && was_empty)
		pthread_cond_signal(&queue->has_changed);
	return r;
}

static struct timespec after_ms(int ms)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += ms / 1000;
	time.tv_nsec += (long)(ms % 1000) * 1000000;
	if (time.tv_nsec >= 1000000000) {
		time.tv_sec++;
		time.tv_nsec -= 1000000000;
	}
	return time;
}

static void wait_for_item(struct queue *queue, int timeout_ms)
{
	struct timespec deadline;
	int r = 0;

	if (timeout_ms > 0)
		deadline = after_ms(timeout_ms);
	while (!queue->count && !queue->is_closed && timeout_ms != 0 && r != ETIMEDOUT)
		r = timeout_ms < 0 ? pthread_cond_wait(&queue->has_changed, &queue->lock) :
				     pthread_cond_timedwait(&queue->has_changed, &queue->lock, &deadline);
}

size_t queue_pop_all(struct queue *queue, void **items, size_t max, int timeout_ms)
{
	size_t count;

	pthread_mutex_lock(&queue->lock);
	wait_for_item(queue, timeout_ms);
	count = queue->count < max ? queue->count : max;
	for (size_t i = 0; i < count; i++)
		items[i] = queue->items[(queue->first + i) % queue->capacity];
	queue->first = (queue->first + count) % queue->capacity;
	queue->count -= count;
	pthread_mutex_unlock(&queue->lock);
	return count;
}

void queue_close(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->is_closed = true;
	pthread_mutex_unlock(&queue->lock);
	pthread_cond_broadcast(&queue->has_changed);
}

bool queue_is_closed(struct queue *queue)
{
	bool is_closed;

	pthread_mutex_lock(&queue->lock);
	is_closed = queue->is_closed;
	pthread_mutex_unlock(&queue->lock);
	return is_closed;
}
