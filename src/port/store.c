/*
 * Theory of operation.
 *
 * 'driver_lock' is held around every call of the driver, and what the call brought - results and
 * events - is posted to the loop before it is released. So messages reach the loop in the order of
 * revisions, whoever caused them: the commit thread, or a lease revoked from the loop's thread.
 *
 * One thread commits what store_queue.c collects; it sleeps when there is nothing.
 *
 * With a virtual loop there is no thread: a commit is a message (or, with a delay, a timer) in the
 * loop and its delivery the next message, in an order that depends on nothing but the calls made.
 *
 * A delivery may be in the loop's queue when the store is closed, so the struct lives until the
 * last one has passed; 'is_closed' keeps the callbacks quiet.
 */
#include "port/store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "port/store_queue.h"

enum { LEASE_RETRY_MS = 1000 };		/* When the end of a lease could not be written. */

/* What one driver call brings to the loop. */
struct delivery {
	struct store *store;
	struct store_batch batch;
	struct store_result *results;	/* One per transaction of the batch. */
	struct store_events events;
	bool has_next_lease;
	int64_t next_lease_ms;
};

struct watch {
	char *prefix;
	uint64_t after_revision;	/* Has seen everything up to here. */
	store_watch_fn *fn;
	void *data;
};

struct store {
	const struct store_ops *ops;
	struct store_driver *driver;
	bool owns_driver;
	bool is_threaded;
	struct loop *loop;

	/* The loop's thread only. */
	bool is_closed;
	uint64_t revision;
	VEC(struct watch) watches;
	struct loop_source *lease_timer;
	int64_t lease_due_ms;			/* Of the timer, when there is one. */
	struct loop_source *commit_timer;	/* Virtual loop only, as the next two. */
	uint64_t commit_due_ms;
	bool is_commit_posted;

	pthread_mutex_t driver_lock;
	pthread_t thread;
	struct store_queue queue;

	atomic_uint_fast64_t transactions, commits, events;
	atomic_size_t references;		/* The owner and the deliveries under way. */
};

static void store_unref(struct store *store)
{
	if (atomic_fetch_sub(&store->references, 1) > 1)
		return;
	store_queue_done(&store->queue);
	pthread_mutex_destroy(&store->driver_lock);
	free(store);
}

/* Delivery to the loop */

static struct delivery *delivery_new(struct store *store)
{
	struct delivery *delivery = alloc(sizeof(*delivery));

	atomic_fetch_add(&store->references, 1);
	delivery->store = store;
	return delivery;
}

static void delivery_free(void *data)
{
	struct delivery *delivery = data;

	store_batch_done(&delivery->batch);
	store_events_done(&delivery->events);
	free(delivery->results);
	store_unref(delivery->store);
	free(delivery);
}

static void tell_watches(struct store *store, const struct store_event *event)
{
	/* Before the callbacks: a watch that one of them begins must not see this event twice. */
	if (event->kv.mod_revision > store->revision)
		store->revision = event->kv.mod_revision;
	for (size_t i = 0; i < store->watches.count && !store->is_closed; i++) {
		struct watch watch = store->watches.items[i];	/* A callback may add watches and move them. */

		if (event->kv.mod_revision > watch.after_revision && text_starts_with(event->kv.key, watch.prefix))
			watch.fn(watch.data, event);
	}
}

static void end_leases_now(void *data);

static void arm_lease_timer(struct store *store, int64_t due_ms)
{
	int64_t delay_ms = due_ms - loop_wall_ms(store->loop);

	if (store->lease_timer && store->lease_due_ms <= due_ms)
		return;
	loop_remove(store->lease_timer);
	store->lease_due_ms = due_ms;
	loop_add_timer(store->loop, delay_ms > 0 ? (uint64_t)delay_ms : 0, end_leases_now, store, &store->lease_timer);
}

static void deliver(void *data)
{
	struct delivery *delivery = data;
	struct store *store = delivery->store;

	for (size_t i = 0; i < delivery->events.items.count && !store->is_closed; i++)
		tell_watches(store, &delivery->events.items.items[i]);
	for (size_t i = 0; i < delivery->batch.list.count && !store->is_closed; i++) {
		const struct store_submission *submission = &delivery->batch.list.items[i];

		if (submission->done)
			submission->done(submission->data, &delivery->results[i]);
	}
	if (delivery->has_next_lease && delivery->next_lease_ms < INT64_MAX && !store->is_closed)
		arm_lease_timer(store, delivery->next_lease_ms);
	delivery_free(delivery);
}

/* With the driver locked, so that deliveries are in the order of revisions. */
static void post(struct delivery *delivery)
{
	atomic_fetch_add(&delivery->store->events, delivery->events.items.count);
	loop_post(delivery->store->loop, deliver, delivery_free, delivery);
}

/* Commit */

static void count_results(struct store *store, const struct delivery *delivery)
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
	struct delivery *delivery = delivery_new(store);
	auto_free struct store_txn **txns = alloc_array(NULL, batch->list.count, sizeof(*txns));
	struct err err;

	delivery->batch = *batch;
	*batch = (struct store_batch){ 0 };
	delivery->results = alloc(delivery->batch.list.count * sizeof(delivery->results[0]));
	for (size_t i = 0; i < delivery->batch.list.count; i++)
		txns[i] = delivery->batch.list.items[i].txn;

	pthread_mutex_lock(&store->driver_lock);
	/* A failure is in every result as well. */
	store->ops->commit(store->driver, txns, delivery->batch.list.count, delivery->results, &delivery->events, &err);
	count_results(store, delivery);
	post(delivery);
	pthread_mutex_unlock(&store->driver_lock);
}

static void end_leases(struct store *store)
{
	struct delivery *delivery = delivery_new(store);
	int64_t now_ms = loop_wall_ms(store->loop);
	struct err err;

	delivery->has_next_lease = true;
	pthread_mutex_lock(&store->driver_lock);
	if (store->ops->lease_end(store->driver, 0, now_ms, &delivery->events, &delivery->next_lease_ms, &err) < 0)
		delivery->next_lease_ms = now_ms + LEASE_RETRY_MS;
	post(delivery);
	pthread_mutex_unlock(&store->driver_lock);
}

static void *run_thread(void *data)
{
	struct store *store = data;
	struct store_batch batch;
	bool must_end_leases;

	while (store_queue_wait(&store->queue, &batch, &must_end_leases)) {
		if (batch.list.count)
			commit(store, &batch);
		if (must_end_leases)
			end_leases(store);
	}
	return NULL;
}

static int start_thread(struct store *store, struct err *err)
{
	sigset_t all, old;
	int r;

	/* Signals are for the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&store->thread, NULL, run_thread, store);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return err_set(err, -r, "start the store's thread: %m");
	pthread_setname_np(store->thread, "store");
	store->is_threaded = true;
	return 0;
}

/* Messages and timers; with a virtual loop */

static void commit_queue(struct store *store)
{
	struct store_batch batch;

	while (store_queue_take(&store->queue, &batch))
		commit(store, &batch);
}

static void commit_by_message(void *data)
{
	struct store *store = data;

	store->is_commit_posted = false;
	if (!store->is_closed)
		commit_queue(store);
	store_unref(store);
}

static void drop_commit(void *data)
{
	store_unref(data);
}

static void commit_by_timer(void *data)
{
	commit_queue(data);
}

static void schedule_commit(struct store *store, uint32_t delay_ms)
{
	uint64_t due_ms = loop_now_ms(store->loop) + delay_ms;

	if (store->is_commit_posted)
		return;
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

/* For callers */

static void end_leases_now(void *data)
{
	struct store *store = data;

	if (store->is_threaded)
		store_queue_nudge(&store->queue);
	else
		end_leases(store);
}

void store_submit(struct store *store, struct store_txn *txn, store_done_fn *done, void *data)
{
	uint32_t delay_ms = txn->delay_ms;

	assert(!store->is_closed);
	store_queue_push(&store->queue, &(struct store_submission){ .txn = txn, .done = done, .data = data });
	if (!store->is_threaded)
		schedule_commit(store, delay_ms);
}

int store_range(struct store *store, const char *prefix, store_kv_fn *fn, void *data,
		uint64_t *ret_revision, struct err *err)
{
	uint64_t revision;
	int r;

	pthread_mutex_lock(&store->driver_lock);
	r = store->ops->range(store->driver, prefix, fn, data, &revision, err);
	pthread_mutex_unlock(&store->driver_lock);
	if (r == 0 && ret_revision)
		*ret_revision = revision;
	return r;
}

static int read_history(struct store *store, const char *prefix, uint64_t after_revision,
			struct store_events *events, struct err *err)
{
	int r;

	pthread_mutex_lock(&store->driver_lock);
	r = store->ops->history(store->driver, prefix, after_revision, events, err);
	pthread_mutex_unlock(&store->driver_lock);
	return r;
}

int store_watch(struct store *store, const char *prefix, uint64_t after_revision,
		store_watch_fn *fn, void *data, struct err *err)
{
	struct store_events past = { 0 };
	uint64_t delivered = store->revision;

	assert(!store->is_closed);
	if (after_revision == 0)
		after_revision = delivered;
	if (after_revision < delivered) {
		int r = read_history(store, prefix, after_revision, &past, err);

		if (r < 0)
			return r;
	}
	*vec_push(&store->watches) = (struct watch){
		.prefix = text_copy(prefix), .fn = fn, .data = data,
		.after_revision = after_revision > delivered ? after_revision : delivered,
	};
	/* What is committed but not delivered yet comes with its delivery. */
	for (size_t i = 0; i < past.items.count && !store->is_closed; i++)
		if (past.items.items[i].kv.mod_revision <= delivered)
			fn(data, &past.items.items[i]);
	store_events_done(&past);
	return 0;
}

int store_lease_grant(struct store *store, uint64_t ttl_ms, uint64_t *ret_lease, struct err *err)
{
	int64_t now_ms = loop_wall_ms(store->loop);
	int r;

	assert(!store->is_closed && ttl_ms > 0 && ttl_ms < INT64_MAX / 2);
	pthread_mutex_lock(&store->driver_lock);
	r = store->ops->lease_grant(store->driver, ttl_ms, now_ms, ret_lease, err);
	pthread_mutex_unlock(&store->driver_lock);
	if (r == 0)
		arm_lease_timer(store, now_ms + (int64_t)ttl_ms);
	return r;
}

int store_lease_renew(struct store *store, uint64_t lease, struct err *err)
{
	int r;

	assert(!store->is_closed && lease);
	pthread_mutex_lock(&store->driver_lock);
	r = store->ops->lease_renew(store->driver, lease, loop_wall_ms(store->loop), err);
	pthread_mutex_unlock(&store->driver_lock);
	return r;
}

int store_lease_revoke(struct store *store, uint64_t lease, struct err *err)
{
	struct delivery *delivery = delivery_new(store);
	int r;

	assert(!store->is_closed && lease);
	pthread_mutex_lock(&store->driver_lock);
	r = store->ops->lease_end(store->driver, lease, loop_wall_ms(store->loop), &delivery->events, NULL, err);
	if (r == 0)
		post(delivery);
	pthread_mutex_unlock(&store->driver_lock);
	if (r < 0)
		delivery_free(delivery);
	return r;
}

int store_compact(struct store *store, uint64_t revision, struct err *err)
{
	int r;

	pthread_mutex_lock(&store->driver_lock);
	r = store->ops->compact(store->driver, revision, err);
	pthread_mutex_unlock(&store->driver_lock);
	return r;
}

uint64_t store_revision(const struct store *store)
{
	return store->revision;
}

int store_backup(struct store *store, const char *path, struct err *err)
{
	if (!store->ops->backup)
		return err_set(err, -EOPNOTSUPP, "a store of kind '%s' has no file to back up", store->ops->name);
	return store->ops->backup(store->driver, path, err);
}

void store_get_stats(const struct store *store, struct store_stats *ret_stats)
{
	*ret_stats = (struct store_stats){
		.transactions = atomic_load(&store->transactions),
		.commits = atomic_load(&store->commits),
		.events = atomic_load(&store->events),
	};
}

/* Life cycle */

static int visit_nothing(void *data, const struct store_kv *kv, struct err *err)
{
	(void)data, (void)kv, (void)err;
	return 0;
}

/* Where the store stands, and when its next lease ends. */
static int read_state(struct store *store, struct err *err)
{
	struct store_events none = { 0 };
	int64_t next_lease_ms;
	int r;

	/* No key begins with these bytes: they do not occur in UTF-8. Only the revision is wanted. */
	r = store_range(store, "\xff\xff", visit_nothing, NULL, &store->revision, err);
	if (r < 0)
		return r;
	r = store->ops->lease_end(store->driver, 0, INT64_MIN, &none, &next_lease_ms, err);
	store_events_done(&none);
	if (r == 0 && next_lease_ms < INT64_MAX)
		arm_lease_timer(store, next_lease_ms);
	return r;
}

int store_open(const struct store_ops *ops, const struct store_params *params, struct loop *loop,
	       struct store **ret_store, struct err *err)
{
	struct store *store;
	struct store_driver *driver = params->shared;
	int r = driver ? 0 : ops->open(params, &driver, err);

	if (r < 0)
		return r;
	store = alloc(sizeof(*store));
	store->ops = ops;
	store->driver = driver;
	store->owns_driver = !params->shared;
	store->loop = loop;
	store->references = 1;
	pthread_mutex_init(&store->driver_lock, NULL);
	store_queue_init(&store->queue);
	r = read_state(store, err);
	if (r == 0 && loop_clock_kind(loop) == LOOP_CLOCK_REAL)
		r = start_thread(store, err);
	if (r < 0) {
		store_abandon(store);
		return r;
	}
	*ret_store = store;
	return 0;
}

static void shut(struct store *store)
{
	assert(!store->is_closed);
	store->is_closed = true;
	if (store->is_threaded) {
		store_queue_stop(&store->queue);
		pthread_join(store->thread, NULL);
	} else {
		commit_queue(store);
	}
	loop_remove(store->lease_timer);
	loop_remove(store->commit_timer);
	if (store->owns_driver)
		store->ops->close(store->driver);
	/* Only emptied: a callback that is running may hold an index into it. */
	for (size_t i = 0; i < store->watches.count; i++)
		free(store->watches.items[i].prefix);
	vec_done(&store->watches);
	store_unref(store);
}

void store_close(struct store *store)
{
	if (store)
		shut(store);
}

void store_abandon(struct store *store)
{
	if (!store)
		return;
	store_queue_drop(&store->queue);
	shut(store);
}
