/*
 * The store in memory: for simulation and tests; nothing survives it.
 *
 * A lease knows the keys that were ever put with it, so that its end need not look at all others.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/ordered.h"
#include "base/str.h"
#include "port/store.h"

struct lease {
	uint64_t id;
	uint64_t ttl_ms;
	int64_t ends_at_ms;
	VEC(char *) keys;			/* Some of them may be another's by now. */
};

struct memory {
	struct store_driver driver;
	struct ordered keys;			/* struct store_kv */
	struct store_events history;
	VEC(struct lease) leases;		/* By id. */
	uint64_t revision;
	uint64_t compacted;			/* The history up to here is gone. */
	uint64_t last_lease;
};

static struct memory *memory_of(struct store_driver *driver)
{
	return container_of(driver, struct memory, driver);
}

static int memory_open(const struct store_params *params, struct store_driver **ret_driver, struct err *err)
{
	struct memory *memory = alloc(sizeof(*memory));

	(void)params;
	(void)err;
	memory->driver.ops = &store_memory;
	*ret_driver = &memory->driver;
	return 0;
}

static void key_free(struct store_kv *kv)
{
	store_kv_done(kv);
	free(kv);
}

static void lease_done(struct lease *lease)
{
	for (size_t i = 0; i < lease->keys.count; i++)
		free(lease->keys.items[i]);
	vec_done(&lease->keys);
}

static void memory_close(struct store_driver *driver)
{
	struct memory *memory;

	if (!driver)
		return;
	memory = memory_of(driver);
	for (struct ordered_place at = ordered_from(&memory->keys, ""); ordered_at(&memory->keys, at); at = ordered_next(&memory->keys, at))
		key_free(ordered_at(&memory->keys, at)->value);
	ordered_done(&memory->keys);
	store_events_done(&memory->history);
	for (size_t i = 0; i < memory->leases.count; i++)
		lease_done(&memory->leases.items[i]);
	vec_done(&memory->leases);
	free(memory);
}

static struct store_kv *find(const struct memory *memory, const char *key)
{
	return ordered_get(&memory->keys, key);
}

/* Numbers rise, so they are in order. */
static struct lease *find_lease(struct memory *memory, uint64_t id)
{
	size_t low = 0, high = memory->leases.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memory->leases.items[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < memory->leases.count && memory->leases.items[low].id == id ? &memory->leases.items[low] : NULL;
}

static void forget_history(struct memory *memory, uint64_t revision)
{
	size_t dropped = 0;

	while (dropped < memory->history.items.count &&
	       memory->history.items.items[dropped].kv.mod_revision <= revision)
		store_kv_done(&memory->history.items.items[dropped++].kv);
	memory->compacted = revision;
	if (!dropped)
		return;
	memory->history.items.count -= dropped;
	memmove(memory->history.items.items, memory->history.items.items + dropped,
		memory->history.items.count * sizeof(memory->history.items.items[0]));
}

/* By half, so that each event moves at most once. */
static void trim_history(struct memory *memory)
{
	if (memory->revision - memory->compacted >= 2 * STORE_HISTORY_REVISIONS)
		forget_history(memory, memory->revision - STORE_HISTORY_REVISIONS);
}

/* Null 'events': nobody asks. */
static void record(struct memory *memory, bool is_delete, const struct store_kv *kv, struct store_events *events)
{
	store_events_add(&memory->history, is_delete, kv);
	if (events)
		store_events_add(events, is_delete, kv);
}

static void put(struct memory *memory, const struct store_change *change, uint64_t revision,
		struct store_events *events)
{
	const struct store_kv kv = {
		.key = change->key, .value = change->value, .value_size = change->value_size,
		.create_revision = revision, .mod_revision = revision, .version = 1, .lease = change->lease,
	};
	struct store_kv *before, *present = alloc(sizeof(*present));

	store_kv_copy(present, &kv);
	before = ordered_put(&memory->keys, present->key, present);
	if (before) {
		present->create_revision = before->create_revision;
		present->version = before->version + 1;
		key_free(before);
	}
	if (change->lease)
		*vec_push(&find_lease(memory, change->lease)->keys) = text_copy(change->key);
	record(memory, false, present, events);
}

static void delete_key(struct memory *memory, const char *key, uint64_t revision, struct store_events *events)
{
	struct store_kv *kv = ordered_remove(&memory->keys, key);

	kv->mod_revision = revision;
	record(memory, true, kv, events);
	key_free(kv);
}

static bool guard_holds(const struct memory *memory, const struct store_guard *guard)
{
	const struct store_kv *kv = find(memory, guard->key);

	switch (guard->kind) {
	case STORE_ABSENT:
		return !kv;
	case STORE_EXISTS:
		return kv;
	case STORE_UNCHANGED:
		return (kv ? kv->mod_revision : 0) == guard->revision;
	}
	abort();
}

static int check(struct memory *memory, const struct store_txn *txn, struct store_result *result)
{
	for (size_t i = 0; i < txn->guards.count; i++)
		if (!guard_holds(memory, &txn->guards.items[i]))
			return store_guard_failed(txn, i, result);
	for (size_t i = 0; i < txn->changes.count; i++) {
		uint64_t lease = txn->changes.items[i].lease;

		if (lease && !find_lease(memory, lease))
			return store_lease_ended(lease, &result->err);
	}
	return 0;
}

static void apply(struct memory *memory, const struct store_txn *txn, struct store_result *result,
		  struct store_events *events)
{
	size_t count_before = memory->history.items.count;

	*result = (struct store_result){ .revision = memory->revision };
	if (check(memory, txn, result) < 0)
		return;
	for (size_t i = 0; i < txn->changes.count; i++) {
		const struct store_change *change = &txn->changes.items[i];

		if (change->value)
			put(memory, change, memory->revision + 1, events);
		else if (find(memory, change->key))
			delete_key(memory, change->key, memory->revision + 1, events);
	}
	if (memory->history.items.count > count_before)
		result->revision = ++memory->revision;
}

static int memory_commit(struct store_driver *driver, struct store_txn *const *txns, size_t count,
			 struct store_result *results, struct store_events *events, struct err *err)
{
	(void)err;
	for (size_t i = 0; i < count; i++)
		apply(memory_of(driver), txns[i], &results[i], events);
	trim_history(memory_of(driver));
	return 0;
}

static int memory_range(struct store_driver *driver, const char *prefix, store_kv_fn *fn, void *data,
			uint64_t *ret_revision, struct err *err)
{
	const struct memory *memory = memory_of(driver);

	const struct ordered_entry *entry;

	for (struct ordered_place at = ordered_from(&memory->keys, prefix); (entry = ordered_at(&memory->keys, at)); at = ordered_next(&memory->keys, at)) {
		int r;

		if (!text_starts_with(entry->key, prefix))
			break;
		r = fn(data, entry->value, err);
		if (r < 0)
			return r;
	}
	*ret_revision = memory->revision;
	return 0;
}

/* Index in the history. */
static size_t first_after(const struct memory *memory, uint64_t revision)
{
	size_t low = 0, high = memory->history.items.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memory->history.items.items[middle].kv.mod_revision <= revision)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int memory_history(struct store_driver *driver, const char *prefix, uint64_t after_revision,
			  struct store_events *events, struct err *err)
{
	const struct memory *memory = memory_of(driver);

	if (after_revision < memory->compacted)
		return store_compacted(after_revision, err);
	for (size_t i = first_after(memory, after_revision); i < memory->history.items.count; i++) {
		const struct store_event *event = &memory->history.items.items[i];

		if (text_starts_with(event->kv.key, prefix))
			store_events_add(events, event->is_delete, &event->kv);
	}
	return 0;
}

static int memory_lease_grant(struct store_driver *driver, uint64_t ttl_ms, int64_t now_ms, uint64_t *ret_lease,
			      struct err *err)
{
	struct memory *memory = memory_of(driver);

	(void)err;
	*vec_push(&memory->leases) = (struct lease){
		.id = ++memory->last_lease, .ttl_ms = ttl_ms, .ends_at_ms = now_ms + (int64_t)ttl_ms,
	};
	*ret_lease = memory->last_lease;
	return 0;
}

static int memory_lease_renew(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct err *err)
{
	struct lease *found = find_lease(memory_of(driver), lease);

	if (!found || found->ends_at_ms <= now_ms)
		return store_lease_ended(lease, err);
	found->ends_at_ms = now_ms + (int64_t)found->ttl_ms;
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lease at this index ends: its keys go in one revision. */
static void end_lease(struct memory *memory, size_t index, struct store_events *events)
{
	struct lease lease = memory->leases.items[index];
	size_t count_before = memory->history.items.count;

	vec_remove(&memory->leases, index);
	if (lease.keys.count)
		qsort(lease.keys.items, lease.keys.count, sizeof(lease.keys.items[0]), compare_keys);
	for (size_t i = 0; i < lease.keys.count; i++) {
		const struct store_kv *kv = find(memory, lease.keys.items[i]);

		if (kv && kv->lease == lease.id)
			delete_key(memory, lease.keys.items[i], memory->revision + 1, events);
	}
	lease_done(&lease);
	if (memory->history.items.count > count_before)
		memory->revision++;
}

static int memory_lease_end(struct store_driver *driver, uint64_t lease, int64_t now_ms,
			    struct store_events *events, int64_t *ret_next_ms, struct err *err)
{
	struct memory *memory = memory_of(driver);
	int64_t next_ms = INT64_MAX;

	if (lease && !find_lease(memory, lease))
		return store_lease_ended(lease, err);
	for (size_t i = 0; i < memory->leases.count;) {
		const struct lease *each = &memory->leases.items[i];

		if (lease ? each->id == lease : each->ends_at_ms <= now_ms) {
			end_lease(memory, i, events);
			continue;
		}
		next_ms = each->ends_at_ms < next_ms ? each->ends_at_ms : next_ms;
		i++;
	}
	if (ret_next_ms)
		*ret_next_ms = next_ms;
	return 0;
}

static int memory_compact(struct store_driver *driver, uint64_t revision, struct err *err)
{
	struct memory *memory = memory_of(driver);

	if (revision > memory->revision)
		return store_future_revision(revision, memory->revision, err);
	if (revision > memory->compacted)
		forget_history(memory, revision);
	return 0;
}

const struct store_ops store_memory = {
	.name = "memory",
	.open = memory_open,
	.close = memory_close,
	.commit = memory_commit,
	.range = memory_range,
	.history = memory_history,
	.lease_grant = memory_lease_grant,
	.lease_renew = memory_lease_renew,
	.lease_end = memory_lease_end,
	.compact = memory_compact,
};
