/* What commits bring - events, results, the next lease to end - on its way to the loop. */
#include "port/store_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void store_unref(struct store *store)
{
	if (atomic_fetch_sub(&store->references, 1) > 1)
		return;
	store_queue_done(&store->queue);
	map_done(&store->told);
	fair_lock_done(&store->driver_lock);
	free(store);
}

struct store_delivery *store_delivery_new(struct store *store)
{
	struct store_delivery *delivery = alloc(sizeof(*delivery));

	atomic_fetch_add(&store->references, 1);
	delivery->store = store;
	return delivery;
}

void store_delivery_free(void *data)
{
	struct store_delivery *delivery = data;

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
		struct store_watch watch = store->watches.items[i];	/* A callback may add watches and move them. */

		if (event->kv.mod_revision > watch.after_revision && text_starts_with(event->kv.key, watch.prefix))
			watch.fn(watch.data, event);
	}
}

static void end_leases_now(void *data)
{
	struct store *store = data;

	if (store->is_threaded)
		store_queue_nudge(&store->queue);
	else
		store_end_leases(store);
}

void store_arm_lease_timer(struct store *store, int64_t due_ms)
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
	struct store_delivery *delivery = data;
	struct store *store = delivery->store;

	for (size_t i = 0; i < delivery->events.items.count && !store->is_closed; i++)
		tell_watches(store, &delivery->events.items.items[i]);
	for (size_t i = 0; i < delivery->batch.list.count && !store->is_closed; i++) {
		const struct store_submission *submission = &delivery->batch.list.items[i];

		if (submission->done)
			submission->done(submission->data, &delivery->results[i]);
	}
	if (delivery->has_next_lease && delivery->next_lease_ms < INT64_MAX && !store->is_closed)
		store_arm_lease_timer(store, delivery->next_lease_ms);
	store_delivery_free(delivery);
}

int store_delivery_read(struct store_delivery *delivery, struct err *err)
{
	struct store *store = delivery->store;
	int r;

	if (!store_is_shared(store))
		return 0;
	store_events_done(&delivery->events);
	/* Who does not watch is not told of others' changes, and need not read them. */
	if (store->ops->listen && !store->watches.count)
		return 0;
	r = store->ops->history(store->driver, "", store->posted_revision, &delivery->events, err);
	if (r < 0)
		store_events_done(&delivery->events);
	return r == -ERANGE ? store_resync(store, &delivery->events, err) : r;
}

/* ---- Lag ---- */

static void late_due(void *data);

static void arm_late(struct store *store)
{
	uint64_t now_ms = loop_now_ms(store->loop), due_ms;

	if (!store->late.count || store->late_timer)
		return;
	due_ms = store->late.items[0].due_ms;
	loop_add_timer(store->loop, due_ms > now_ms ? due_ms - now_ms : 0, late_due, store, &store->late_timer);
}

static void late_due(void *data)
{
	struct store *store = data;
	uint64_t now_ms = loop_now_ms(store->loop);
	size_t count = 0;

	while (count < store->late.count && store->late.items[count].due_ms <= now_ms)
		loop_post(store->loop, deliver, store_delivery_free, store->late.items[count++].delivery);
	memmove(store->late.items, store->late.items + count, (store->late.count - count) * sizeof(store->late.items[0]));
	store->late.count -= count;
	arm_late(store);
}

/* None overtakes another. */
static void post_late(struct store *store, struct store_delivery *delivery, uint32_t lag_ms)
{
	uint64_t due_ms = loop_now_ms(store->loop) + lag_ms;

	if (store->late.count && store->late.items[store->late.count - 1].due_ms > due_ms)
		due_ms = store->late.items[store->late.count - 1].due_ms;
	*vec_push(&store->late) = (struct store_late){ delivery, due_ms };
	arm_late(store);
}

void store_delivery_drop_late(struct store *store)
{
	loop_remove(store->late_timer);
	while (store->late.count)
		store_delivery_free(store->late.items[--store->late.count].delivery);
	vec_done(&store->late);
}

void store_delivery_post(struct store_delivery *delivery)
{
	struct store *store = delivery->store;
	size_t count = delivery->events.items.count;
	uint32_t lag_ms;

	for (size_t i = 0; i < count; i++)
		store_note_told(store, delivery->events.items.items[i].is_delete, delivery->events.items.items[i].kv.key);
	if (count)
		store->posted_revision = delivery->events.items.items[count - 1].kv.mod_revision;
	atomic_fetch_add(&store->events, count);
	lag_ms = store->ops->lag_ms ? store->ops->lag_ms(store->driver) : 0;
	if (lag_ms || store->late.count)
		post_late(store, delivery, lag_ms);
	else
		loop_post(store->loop, deliver, store_delivery_free, delivery);
}
