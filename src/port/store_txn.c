/* The values of the store port: transactions, keys, events. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "port/store.h"

struct store_txn *store_txn_new(void)
{
	return alloc(sizeof(struct store_txn));
}

void store_txn_free(struct store_txn *txn)
{
	if (!txn)
		return;
	for (size_t i = 0; i < txn->guards.count; i++)
		free(txn->guards.items[i].key);
	for (size_t i = 0; i < txn->changes.count; i++) {
		free(txn->changes.items[i].key);
		free(txn->changes.items[i].value);
	}
	vec_done(&txn->guards);
	vec_done(&txn->changes);
	free(txn);
}

void store_txn_guard(struct store_txn *txn, enum store_guard_kind kind, const char *key, uint64_t revision)
{
	*vec_push(&txn->guards) = (struct store_guard){ .kind = kind, .key = text_copy(key), .revision = revision };
}

/* With the zero byte that every value has behind it. */
static char *copy_value(const char *value, size_t size)
{
	return text_copy_length(size ? value : "", size);
}

static void add_change(struct store_txn *txn, struct store_change change)
{
	assert(change.key && change.key[0]);
	for (size_t i = 0; i < txn->changes.count; i++)
		assert(strcmp(txn->changes.items[i].key, change.key) != 0);
	*vec_push(&txn->changes) = change;
}

void store_txn_put(struct store_txn *txn, const char *key, const char *value, size_t size, uint64_t lease)
{
	add_change(txn, (struct store_change){
		.key = text_copy(key), .value = copy_value(value, size), .value_size = size, .lease = lease,
	});
}

void store_txn_delete(struct store_txn *txn, const char *key)
{
	add_change(txn, (struct store_change){ .key = text_copy(key) });
}

void store_kv_done(struct store_kv *kv)
{
	free(kv->key);
	free(kv->value);
	*kv = (struct store_kv){ 0 };
}

void store_kv_copy(struct store_kv *to, const struct store_kv *from)
{
	*to = *from;
	to->key = text_copy(from->key);
	to->value = from->value ? copy_value(from->value, from->value_size) : NULL;
}

void store_events_add(struct store_events *events, bool is_delete, const struct store_kv *kv)
{
	struct store_event *event = vec_push(&events->items);

	event->is_delete = is_delete;
	if (is_delete) {
		event->kv.key = text_copy(kv->key);
		event->kv.mod_revision = kv->mod_revision;
	} else {
		store_kv_copy(&event->kv, kv);
	}
}

void store_events_done(struct store_events *events)
{
	for (size_t i = 0; i < events->items.count; i++)
		store_kv_done(&events->items.items[i].kv);
	vec_done(&events->items);
}

int store_guard_failed(const struct store_txn *txn, size_t guard, struct store_result *result)
{
	static const char *const reasons[] = {
		[STORE_ABSENT] = "exists already",
		[STORE_EXISTS] = "does not exist",
		[STORE_UNCHANGED] = "was changed meanwhile: read it again and repeat",
	};
	const struct store_guard *failed = &txn->guards.items[guard];

	result->failed_guard = guard;
	return err_set(&result->err, -ESTALE, "'%s' %s", shown(failed->key), reasons[failed->kind]);
}

int store_lease_ended(uint64_t lease, struct err *err)
{
	return err_set(err, -ENOENT, "lease %" PRIu64 " has ended", lease);
}

int store_compacted(uint64_t after_revision, struct err *err)
{
	return err_set(err, -ERANGE, "the history after revision %" PRIu64 " is compacted: read everything anew",
		       after_revision);
}

int store_future_revision(uint64_t revision, uint64_t last_revision, struct err *err)
{
	return err_set(err, -EINVAL, "revision %" PRIu64 " does not exist yet: the last one is %" PRIu64,
		       revision, last_revision);
}
