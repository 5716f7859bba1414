#include "4-service/cluster/move.h"

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

bool move_takes(const char *key)
{
	static const char *const others[] = { "alive/", "leader", "member/", "token/", "joining/", "gone/", "cluster/" };

	for (size_t i = 0; i < ARRAY_COUNT(others); i++)
		if (text_starts_with(key, others[i]))
			return false;
	return true;
}

int move_open(const struct store_ops *ops, const struct store_params *params, struct move *move, struct err *err)
{
	*move = (struct move){ .ops = ops };
	return ops->open(params, &move->to, err);
}

static void drop_txns(struct move *move)
{
	for (size_t i = 0; i < move->txns.count; i++)
		store_txn_free(move->txns.items[i]);
	vec_done(&move->txns);
	move->bytes = 0;
}

void move_close(struct move *move)
{
	drop_txns(move);
	if (move->to)
		move->ops->close(move->to);
	*move = (struct move){ 0 };
}

int move_flush(struct move *move, struct err *err)
{
	auto_free struct store_result *results = alloc((move->txns.count + 1) * sizeof(*results));
	struct store_events events = { 0 };
	int r = 0;

	if (move->txns.count)
		r = move->ops->commit(move->to, move->txns.items, move->txns.count, results, &events, err);
	for (size_t i = 0; i < move->txns.count && r == 0; i++)
		if (results[i].err.code < 0) {
			*err = results[i].err;
			r = err->code;
		}
	store_events_done(&events);
	drop_txns(move);
	return r;
}

static int add(struct move *move, const char *key, const char *value, size_t size, struct err *err)
{
	struct store_txn *last = move->txns.count ? move->txns.items[move->txns.count - 1] : NULL;
	int r = 0;

	if (move->txns.count == TXNS_PER_BATCH || move->bytes > BYTES_PER_BATCH) {
		r = move_flush(move, err);
		last = NULL;
	}
	if (!last || last->changes.count == KEYS_PER_TXN)
		*vec_push(&move->txns) = last = store_txn_new();
	if (value)
		store_txn_put(last, key, value, size, 0);
	else
		store_txn_delete(last, key);
	move->bytes += size;
	return r;
}

int move_put(struct move *move, const char *key, const char *value, size_t size, struct err *err)
{
	move->count++;
	return add(move, key, value, size, err);
}

int move_put_kv(void *data, const struct store_kv *kv, struct err *err)
{
	return kv->lease || !move_takes(kv->key) ? 0 : move_put(data, kv->key, kv->value, kv->value_size, err);
}

struct keys { VEC(char *) list; };

static int collect(void *data, const struct store_kv *kv, struct err *err)
{
	struct keys *keys = data;

	(void)err;
	if (move_takes(kv->key))
		*vec_push(&keys->list) = text_copy(kv->key);
	return 0;
}

static int list_keys(struct move *move, struct keys *keys, struct err *err)
{
	uint64_t revision;

	return move->ops->range(move->to, "", collect, keys, &revision, err);
}

static void keys_done(struct keys *keys)
{
	for (size_t i = 0; i < keys->list.count; i++)
		free(keys->list.items[i]);
	vec_done(&keys->list);
}

int move_clear(struct move *move, struct err *err)
{
	struct keys keys = { 0 };
	int r = list_keys(move, &keys, err);

	for (size_t i = 0; i < keys.list.count && r == 0; i++)
		r = add(move, keys.list.items[i], NULL, 0, err);
	keys_done(&keys);
	return r < 0 ? r : move_flush(move, err);
}

int move_verify(struct move *move, struct err *err)
{
	struct keys keys = { 0 };
	int r = list_keys(move, &keys, err);

	if (r == 0 && keys.list.count != move->count)
		r = err_set(err, -EIO, "%zu keys were copied, but %zu have arrived: is something else writing there?", move->count, keys.list.count);
	keys_done(&keys);
	return r;
}

int move_all_from(struct move *move, const struct store_ops *ops, const struct store_params *params, struct err *err)
{
	struct store_driver *from = NULL;
	uint64_t revision;
	int r = ops->open(params, &from, err);

	if (r == 0)
		r = ops->range(from, "", move_put_kv, move, &revision, err);
	if (from)
		ops->close(from);
	return r < 0 ? r : move_flush(move, err);
}
