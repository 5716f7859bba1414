/* Commits: by a thread with a real loop, by messages and timers with a virtual one. */
#include "port/store_private.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

static const struct timespec read_pause = { .tv_nsec = 100 * 1000000 };	/* When there are events, but they cannot be read. */

enum {
	LEASE_RETRY_MS = 1000,		/* When the end of a lease could not be written. */
	FOLLOW_MS = 1000,		/* How long the follower may take to notice that the store is closed, ... */
	FOLLOW_UNTIL_WOKEN_MS = 60000,	/* ... unless the driver wakes it. */
};

static void count_results(struct store *store, const struct store_delivery *delivery)
{
	size_t committed = 0;

	for (size_t i = 0; i < delivery->batch.list.count; i++)
		committed += delivery->results[i].err.code == 0;
	atomic_fetch_add(&store->transactions, committed);
	atomic_fetch_add(&store->commits, committed > 0);
}

/* Takes the content of 'batch'. */
static void commit(struct store *store, struct store_batch *batch)
{
	struct store_delivery *delivery = store_delivery_new(store);
	auto_free struct store_txn **txns = alloc_array(NULL, batch->list.count, sizeof(*txns));
	struct err err;
	int r;

	delivery->batch = *batch;
	*batch = (struct store_batch){ 0 };
	delivery->results = alloc(delivery->batch.list.count * sizeof(delivery->results[0]));
	for (size_t i = 0; i < delivery->batch.list.count; i++)
		txns[i] = delivery->batch.list.items[i].txn;

	fair_lock_take(&store->driver_lock);
	/* A failure is in every result as well. */
	store->ops->commit(store->driver, txns, delivery->batch.list.count, delivery->results, &delivery->events, &err);
	count_results(store, delivery);
	store_queue_committed(&store->queue);
	/* The answers wait for the events, so that no cache is behind what was answered. */
	while ((r = store_delivery_read(delivery, &err)) < 0 && store->is_threaded && !atomic_load(&store->is_stopping))
		nanosleep(&read_pause, NULL);
	if (r < 0 && !store->is_threaded)
		store->held = delivery;
	else
		store_delivery_post(delivery);
	fair_lock_give(&store->driver_lock);
}

void store_end_leases(struct store *store)
{
	struct store_delivery *delivery = store_delivery_new(store);
	int64_t now_ms = loop_wall_ms(store->loop);
	struct err err;

	delivery->has_next_lease = true;
	fair_lock_take(&store->driver_lock);
	if (store->ops->lease_end(store->driver, 0, now_ms, &delivery->events, &delivery->next_lease_ms, &err) < 0)
		delivery->next_lease_ms = now_ms + LEASE_RETRY_MS;
	/* What others did as well: if it cannot be read now, the follower comes later. */
	store_delivery_read(delivery, &err);
	store_delivery_post(delivery);
	fair_lock_give(&store->driver_lock);
}

/* The threads */

static void *run_thread(void *data)
{
	struct store *store = data;
	struct store_batch batch;
	bool must_end_leases;

	while (store_queue_wait(&store->queue, &batch, &must_end_leases)) {
		if (batch.list.count)
			commit(store, &batch);
		if (must_end_leases)
			store_end_leases(store);
	}
	return NULL;
}

/* Returns the revision of the last event posted. */
static uint64_t post_new_events(struct store *store)
{
	struct store_delivery *delivery = store_delivery_new(store);
	uint64_t revision;
	struct err err;

	fair_lock_take(&store->driver_lock);
	if (store_delivery_read(delivery, &err) == 0 && delivery->events.items.count)
		store_delivery_post(delivery);
	else
		store_delivery_free(delivery);
	revision = store->posted_revision;
	fair_lock_give(&store->driver_lock);
	return revision;
}

static void *run_follower(void *data)
{
	struct store *store = data;
	uint32_t timeout_ms = store->ops->wake ? FOLLOW_UNTIL_WOKEN_MS : FOLLOW_MS;
	uint64_t revision = post_new_events(store);

	while (!atomic_load(&store->is_stopping)) {
		uint64_t before = revision;

		if (!store->ops->wait_events(store->driver, revision, timeout_ms))
			continue;
		revision = post_new_events(store);
		if (revision == before)
			nanosleep(&read_pause, NULL);
	}
	return NULL;
}

static int start_thread(pthread_t *thread, void *(*run)(void *), const char *name, struct store *store, struct err *err)
{
	sigset_t all, old;
	int r;

	/* Signals are for the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(thread, NULL, run, store);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return err_set(err, -r, "start the store's thread: %m");
	pthread_setname_np(*thread, name);
	return 0;
}

int store_start_threads(struct store *store, struct err *err)
{
	int r = start_thread(&store->thread, run_thread, "store", store, err);

	if (r < 0)
		return r;
	store->is_threaded = true;
	if (!store->ops->wait_events)
		return 0;
	r = start_thread(&store->follower, run_follower, "store-follow", store, err);
	store->has_follower = r == 0;
	return r;
}

void store_stop_threads(struct store *store)
{
	store_queue_stop(&store->queue);
	atomic_store(&store->is_stopping, true);
	pthread_join(store->thread, NULL);
	if (store->has_follower && store->ops->wake)
		store->ops->wake(store->driver);
	if (store->has_follower)
		pthread_join(store->follower, NULL);
}

/* Messages and timers; with a virtual loop */

void store_commit_queue(struct store *store)
{
	struct store_batch batch;

	while (!store->held && store_queue_take(&store->queue, &batch))
		commit(store, &batch);
}

static int post_held(struct store *store)
{
	struct err ignored;
	int r;

	fair_lock_take(&store->driver_lock);
	r = store_delivery_read(store->held, &ignored);
	if (r == 0)
		store_delivery_post(take(store->held));
	fair_lock_give(&store->driver_lock);
	return r;
}

void store_poked(void *data)
{
	struct store *store = data;

	if (!store->held)
		post_new_events(store);
	else if (post_held(store) == 0)
		store_schedule_commit(store, 0);
}

static void commit_by_message(void *data)
{
	struct store *store = data;

	store->is_commit_posted = false;
	if (!store->is_closed)
		store_commit_queue(store);
	store_unref(store);
}

static void drop_commit(void *data)
{
	store_unref(data);
}

static void commit_by_timer(void *data)
{
	store_commit_queue(data);
}

void store_schedule_commit(struct store *store, uint32_t delay_ms)
{
	uint64_t due_ms;

	if (store->is_commit_posted)
		return;
	delay_ms += store->ops->lag_ms ? store->ops->lag_ms(store->driver) : 0;
	due_ms = loop_now_ms(store->loop) + delay_ms;
	if (delay_ms == 0) {
		store->is_commit_posted = true;
		atomic_fetch_add(&store->references, 1);
		loop_post(store->loop, commit_by_message, drop_commit, store);
	} else if (!store->commit_timer || store->commit_due_ms > due_ms) {
		loop_remove(store->commit_timer);
		store->commit_due_ms = due_ms;
		loop_add_timer(store->loop, delay_ms, commit_by_timer, store, &store->commit_timer);
	}
}
