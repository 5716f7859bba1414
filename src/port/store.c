/*
 * Theory of operation.
 *
 * 'driver_lock' is held around every call of the driver, and what the call brought - results and
 * events - is posted to the loop before it is released. So messages reach the loop in the order of
 * revisions, whoever caused them: the commit thread, or a lease revoked from the loop's thread.
 *
 * One thread commits what store_queue.c collects; it sleeps when there is nothing.
 *
 * A second thread runs only for drivers whose store others write to as well (wait_events). Then the
 * events of a commit of ours may follow upon some of others, so they are read from the history: all
 * that came after those posted last.
 *
 * With a virtual loop there is no thread: a commit is a message (or, with a delay, a timer) in the
 * loop and its delivery the next message, in an order that depends on nothing but the calls made.
 *
 * Several fronts may share one driver there, as daemons share an etcd (listen): each is called when
 * another has changed something, and reads what is new. What was committed while the store could not be
 * read is held until it can be, and nothing is committed behind it, as the thread would wait.
 *
 * A delivery may be in the loop's queue when the store is closed, so the struct lives until the
 * last one has passed; 'is_closed' keeps the callbacks quiet.
 */
#include "port/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "port/store_private.h"

/* For callers */

void store_submit(struct store *store, struct store_txn *txn, store_done_fn *done, void *data)
{
	uint32_t delay_ms = txn->delay_ms;

	assert(!store->is_closed);
	store_queue_push(&store->queue, &(struct store_submission){ .txn = txn, .done = done, .data = data });
	if (!store->is_threaded)
		store_schedule_commit(store, delay_ms);
}

struct telling { struct store *store; store_kv_fn *fn; void *data; };

static int tell_kv(void *data, const struct store_kv *kv, struct err *err)
{
	const struct telling *telling = data;

	store_note_told(telling->store, false, kv->key);
	return telling->fn(telling->data, kv, err);
}

int store_range(struct store *store, const char *prefix, store_kv_fn *fn, void *data,
		uint64_t *ret_revision, struct err *err)
{
	struct telling telling = { store, fn, data };
	uint64_t revision;
	int r;

	pthread_mutex_lock(&store->driver_lock);
	r = store->ops->range(store->driver, prefix, tell_kv, &telling, &revision, err);
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
	if (store->ops->listen && !store->watches.count)
		store->ops->listen(store->driver, store_poked, store);
	*vec_push(&store->watches) = (struct store_watch){
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
	/* A shared store ends its leases by itself. */
	if (r == 0 && !store_is_shared(store))
		store_arm_lease_timer(store, now_ms + (int64_t)ttl_ms);
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
	struct store_delivery *delivery = store_delivery_new(store);
	struct err ignored;
	int r;

	assert(!store->is_closed && lease);
	pthread_mutex_lock(&store->driver_lock);
	r = store->ops->lease_end(store->driver, lease, loop_wall_ms(store->loop), &delivery->events, NULL, err);
	if (r == 0) {
		/* What others did as well: if it cannot be read now, the follower comes later. */
		store_delivery_read(delivery, &ignored);
		store_delivery_post(delivery);
	}
	pthread_mutex_unlock(&store->driver_lock);
	if (r < 0)
		store_delivery_free(delivery);
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

bool store_is_shared(const struct store *store)
{
	return store->ops->wait_events || store->ops->listen;
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

void store_freeze(struct store *store)
{
	pthread_mutex_lock(&store->driver_lock);
}

int store_tell(struct store *store, const char *prefix, store_kv_fn *fn, void *data, struct err *err)
{
	uint64_t revision;

	return store->ops->range(store->driver, prefix, fn, data, &revision, err);
}

void store_release(struct store *store)
{
	pthread_mutex_unlock(&store->driver_lock);
}

int store_set_endpoints(struct store *store, const char *const *endpoints, size_t count, struct err *err)
{
	if (!store->ops->set_endpoints)
		return err_set(err, -EOPNOTSUPP, "a store of kind '%s' has no endpoints", store->ops->name);
	return store->ops->set_endpoints(store->driver, endpoints, count, err);
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
	store->posted_revision = store->revision;
	r = store->ops->lease_end(store->driver, 0, INT64_MIN, &none, &next_lease_ms, err);
	store_events_done(&none);
	if (r == 0 && next_lease_ms < INT64_MAX)
		store_arm_lease_timer(store, next_lease_ms);
	return r;
}

int store_open(const struct store_ops *ops, const struct store_params *params, struct loop *loop,
	       struct store **ret_store, struct err *err)
{
	struct store *store;
	struct store_driver *driver = params->shared;
	int r = driver ? 0 : ops->open(params, &driver, err);

	assert(!ops->wait_events || loop_clock_kind(loop) == LOOP_CLOCK_REAL);
	assert(!ops->listen || loop_clock_kind(loop) == LOOP_CLOCK_VIRTUAL);
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
		r = store_start_threads(store, err);
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
	if (store->is_threaded)
		store_stop_threads(store);
	else
		store_commit_queue(store);
	if (store->ops->listen)
		store->ops->listen(store->driver, NULL, NULL);
	if (store->held)
		store_delivery_free(store->held);
	store_delivery_drop_late(store);
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
