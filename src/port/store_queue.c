#include "port/store_queue.h"

#include <time.h>

#include "base/clock.h"
#include "base/limits.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define COMPANY_NS (NS_PER_MS / 2)	/* How long a commit waits for the next of those who took part lately ... */
#define COMPANY_MAX_NS (2 * NS_PER_MS)	/* ... and for all of them. */
#define LATELY_NS (10 * NS_PER_MS)	/* After that they are not expected any more. */

void store_batch_done(struct store_batch *batch)
{
	for (size_t i = 0; i < batch->list.count; i++)
		store_txn_free(batch->list.items[i].txn);
	vec_done(&batch->list);
}

void store_queue_init(struct store_queue *queue)
{
	pthread_condattr_t attributes;

	*queue = (struct store_queue){ 0 };
	pthread_mutex_init(&queue->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&queue->wake, &attributes);
	pthread_condattr_destroy(&attributes);
}

void store_queue_done(struct store_queue *queue)
{
	store_batch_done(&queue->pending);
	pthread_cond_destroy(&queue->wake);
	pthread_mutex_destroy(&queue->lock);
}

void store_queue_push(struct store_queue *queue, const struct store_submission *submission)
{
	uint64_t now = clock_monotonic_ns(), due_ns = now + submission->txn->delay_ms * NS_PER_MS;
	struct store_submission *added;

	pthread_mutex_lock(&queue->lock);
	queue->last_push_ns = now;
	added = vec_push(&queue->pending.list);
	*added = *submission;
	added->due_ns = due_ns;
	queue->urgent_count += submission->txn->delay_ms == 0;
	if (queue->pending.list.count >= queue->wake_at_count || due_ns < queue->wake_before_ns) {
		/* Once is enough: the thread will say anew what it waits for. */
		queue->wake_at_count = SIZE_MAX;
		queue->wake_before_ns = 0;
		pthread_cond_signal(&queue->wake);
	}
	pthread_mutex_unlock(&queue->lock);
}

void store_queue_nudge(struct store_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->is_nudged = true;
	pthread_cond_signal(&queue->wake);
	pthread_mutex_unlock(&queue->lock);
}

void store_queue_stop(struct store_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->is_stopped = true;
	pthread_cond_signal(&queue->wake);
	pthread_mutex_unlock(&queue->lock);
}

void store_queue_drop(struct store_queue *queue)
{
	struct store_batch dropped;

	pthread_mutex_lock(&queue->lock);
	dropped = queue->pending;
	queue->pending = (struct store_batch){ 0 };
	queue->urgent_count = 0;
	pthread_mutex_unlock(&queue->lock);
	store_batch_done(&dropped);
}

static size_t count_urgent(const struct store_batch *batch)
{
	size_t count = 0;

	for (size_t i = 0; i < batch->list.count; i++)
		count += batch->list.items[i].txn->delay_ms == 0;
	return count;
}

static void take_locked(struct store_queue *queue, struct store_batch *ret_batch)
{
	size_t count = queue->pending.list.count;

	*ret_batch = (struct store_batch){ 0 };
	if (count <= LIMIT_STORE_BATCH) {
		*ret_batch = queue->pending;
		queue->pending = (struct store_batch){ 0 };
	} else {
		for (size_t i = 0; i < LIMIT_STORE_BATCH; i++)
			*vec_push(&ret_batch->list) = queue->pending.list.items[i];
		queue->pending.list.count -= LIMIT_STORE_BATCH;
		memmove(queue->pending.list.items, queue->pending.list.items + LIMIT_STORE_BATCH,
			queue->pending.list.count * sizeof(queue->pending.list.items[0]));
	}
	queue->expected_count = count_urgent(ret_batch);
	queue->urgent_count -= queue->expected_count;
}

void store_queue_committed(struct store_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->expected_count += queue->urgent_count;
	pthread_mutex_unlock(&queue->lock);
}

bool store_queue_take(struct store_queue *queue, struct store_batch *ret_batch)
{
	pthread_mutex_lock(&queue->lock);
	take_locked(queue, ret_batch);
	pthread_mutex_unlock(&queue->lock);
	return ret_batch->list.count > 0;
}

static void sleep_until(struct store_queue *queue, uint64_t deadline_ns, size_t wake_at_count, uint64_t wake_before_ns)
{
	struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = (long)(deadline_ns % NS_PER_S),
	};

	queue->wake_at_count = wake_at_count;
	queue->wake_before_ns = wake_before_ns;
	if (deadline_ns == UINT64_MAX)
		pthread_cond_wait(&queue->wake, &queue->lock);
	else
		pthread_cond_timedwait(&queue->wake, &queue->lock, &deadline);
	queue->wake_at_count = SIZE_MAX;
	queue->wake_before_ns = 0;
}

static uint64_t earliest_due_ns(const struct store_queue *queue)
{
	uint64_t earliest = UINT64_MAX;

	for (size_t i = 0; i < queue->pending.list.count; i++)
		if (queue->pending.list.items[i].due_ns < earliest)
			earliest = queue->pending.list.items[i].due_ns;
	return earliest;
}

/* Until when a commit that could begin at 'ready_ns' should wait for those who took part lately. */
static uint64_t company_deadline_ns(const struct store_queue *queue, uint64_t ready_ns)
{
	uint64_t last_ns = queue->last_push_ns > ready_ns ? queue->last_push_ns : ready_ns;

	if (queue->urgent_count >= queue->expected_count || ready_ns > queue->idle_since_ns + LATELY_NS)
		return ready_ns;
	if (last_ns + COMPANY_NS > ready_ns + COMPANY_MAX_NS)
		return ready_ns + COMPANY_MAX_NS;
	return last_ns + COMPANY_NS;
}

/* Returns when there is something to do. */
static void wait_locked(struct store_queue *queue)
{
	while (!queue->is_stopped && !queue->is_nudged && queue->pending.list.count < LIMIT_STORE_BATCH) {
		uint64_t due_ns = earliest_due_ns(queue), now = clock_monotonic_ns(), ready_ns, deadline_ns;

		if (due_ns > now) {
			sleep_until(queue, due_ns, LIMIT_STORE_BATCH, due_ns);
			continue;
		}
		ready_ns = due_ns > queue->idle_since_ns ? due_ns : queue->idle_since_ns;
		deadline_ns = company_deadline_ns(queue, ready_ns);
		if (deadline_ns <= now)
			return;
		sleep_until(queue, deadline_ns, queue->expected_count, 0);
	}
}

bool store_queue_wait(struct store_queue *queue, struct store_batch *ret_batch, bool *ret_is_nudged)
{
	bool has_work;

	pthread_mutex_lock(&queue->lock);
	queue->idle_since_ns = clock_monotonic_ns();
	wait_locked(queue);
	*ret_is_nudged = queue->is_nudged;
	queue->is_nudged = false;
	take_locked(queue, ret_batch);
	has_work = ret_batch->list.count || !queue->is_stopped;
	pthread_mutex_unlock(&queue->lock);
	return has_work;
}
