/*
 * move.h - all keys of one store into another, by the stores' drivers: for workers.
 *
 * What belongs to a cluster and not to what people keep in it does not go along: leases, who is alive, tokens, members.
 *
 * Errors:  those of the stores.
 * Threads: one per move.
 */
#ifndef SERVICE_CLUSTER_MOVE_H
#define SERVICE_CLUSTER_MOVE_H

#include "port/store.h"

struct move {
	const struct store_ops *ops;
	struct store_driver *to;
	VEC(struct store_txn *) txns;
	size_t bytes;			/* Of the values in 'txns'. */
	size_t count;			/* Keys put so far. */
};

int move_open(const struct store_ops *ops, const struct store_params *params, struct move *move, struct err *err);
/* A store_kv_fn: 'data' is the move. Skips what does not go along. */
int move_put_kv(void *data, const struct store_kv *kv, struct err *err);
int move_put(struct move *move, const char *key, const char *value, size_t size, struct err *err);
int move_clear(struct move *move, struct err *err);		/* Everything that would go along. */
int move_flush(struct move *move, struct err *err);
/* Are there as many keys as were put? */
int move_verify(struct move *move, struct err *err);
void move_close(struct move *move);				/* Also half open. */

/* From another store: opens, reads and closes it. */
int move_all_from(struct move *move, const struct store_ops *ops, const struct store_params *params, struct err *err);

bool move_takes(const char *key);

#endif
