#include "4-service/cluster/store_copy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum {
	KEYS_PER_TXN = 8,		/* So few need no transaction of their own in etcd. */
	TXNS_PER_BATCH = 64,
	BYTES_PER_BATCH = 512 << 10,	/* etcd takes 1.5 MiB at once. */
};

bool store_copy_takes(const char *key)
{
	static const char *const others[] = { "alive/", "leader", "member/", "token/", "joining/", "gone/", "cluster/" };

	for (size_t i = 0; i < ARRAY_COUNT(others); i++)
		if (text_starts_with(key, others[i]))
			return false;
	return true;
}

int store_copy_open(const struct store_ops *ops, const struct store_params *params, struct store_copy *copy, struct err *err)
{
	*copy = (struct store_copy){ .ops = ops };
	return ops->open(params, &copy->to, err);
}

static void drop_txns(struct store_copy *copy)
{
	for (size_t i = 0; i < copy->txns.count; i++)
		store_txn_free(copy->txns.items[i]);
	vec_done(&copy->txns);
	copy->bytes = 0;
}

void store_copy_close(struct store_copy *copy)
{
	drop_txns(copy);
	if (copy->to)
		copy->ops->close(copy->to);
	*copy = (struct store_copy){ 0 };
}

int store_copy_flush(struct store_copy *copy, struct err *err)
{
	auto_free struct store_result *results = alloc((copy->txns.count + 1) * sizeof(*results));
	struct store_events events = { 0 };
	int r = 0;

	if (copy->txns.count)
		r = copy->ops->commit(copy->to, copy->txns.items, copy->txns.count, results, &events, err);
	for (size_t i = 0; i < copy->txns.count && r == 0; i++)
		if (results[i].err.code < 0) {
			*err = results[i].err;
			r = err->code;
		}
	store_events_done(&events);
	drop_txns(copy);
	return r;
}

static int add(struct store_copy *copy, const char *key, const char *value, size_t size, struct err *err)
{
	struct store_txn *last = copy->txns.count ? copy->txns.items[copy->txns.count - 1] : NULL;
	int r = 0;

	if (copy->txns.count == TXNS_PER_BATCH || copy->bytes > BYTES_PER_BATCH) {
		r = store_copy_flush(copy, err);
		last = NULL;
	}
	if (!last || last->changes.count == KEYS_PER_TXN)
		*vec_push(&copy->txns) = last = store_txn_new();
	if (value)
		store_txn_put(last, key, value, size, 0);
	else
		store_txn_delete(last, key);
	copy->bytes += size;
	return r;
}

int store_copy_put(struct store_copy *copy, const char *key, const char *value, size_t size, struct err *err)
{
	copy->count++;
	return add(copy, key, value, size, err);
}

int store_copy_put_kv(void *data, const struct store_kv *kv, struct err *err)
{
	return kv->lease || !store_copy_takes(kv->key) ? 0 : store_copy_put(data, kv->key, kv->value, kv->value_size, err);
}

struct keys { VEC(char *) list; };

static int collect(void *data, const struct store_kv *kv, struct err *err)
{
	struct keys *keys = data;

	(void)err;
	if (store_copy_takes(kv->key))
		*vec_push(&keys->list) = text_copy(kv->key);
	return 0;
}

static int list_keys(struct store_copy *copy, struct keys *keys, struct err *err)
{
	uint64_t revision;

	return copy->ops->range(copy->to, "", collect, keys, &revision, err);
}

static void keys_done(struct keys *keys)
{
	for (size_t i = 0; i < keys->list.count; i++)
		free(keys->list.items[i]);
	vec_done(&keys->list);
}

int store_copy_clear(struct store_copy *copy, struct err *err)
{
	struct keys keys = { 0 };
	int r = list_keys(copy, &keys, err);

	for (size_t i = 0; i < keys.list.count && r == 0; i++)
		r = add(copy, keys.list.items[i], NULL, 0, err);
	keys_done(&keys);
	return r < 0 ? r : store_copy_flush(copy, err);
}

int store_copy_verify(struct store_copy *copy, struct err *err)
{
	struct keys keys = { 0 };
	int r = list_keys(copy, &keys, err);

	if (r == 0 && keys.list.count != copy->count)
		r = err_set(err, -EIO, "%zu keys were copied, but %zu have arrived: is something else writing there?", copy->count, keys.list.count);
	keys_done(&keys);
	return r;
}

int store_copy_all_from(struct store_copy *copy, const struct store_ops *ops, const struct store_params *params, struct err *err)
{
	struct store_driver *from = NULL;
	uint64_t revision;
	int r = ops->open(params, &from, err);

	if (r == 0)
		r = ops->range(from, "", store_copy_put_kv, copy, &revision, err);
	if (from)
		ops->close(from);
	return r < 0 ? r : store_copy_flush(copy, err);
}
