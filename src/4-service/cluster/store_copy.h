/*
 * store_copy.h - all keys of one store into another, by the stores' drivers: for workers.
 *
 * What belongs to a cluster and not to what people keep in it does not go along: leases, who is alive, tokens, members.
 *
 * Errors:  those of the stores.
 * Threads: one per copy.
 */
#ifndef SERVICE_CLUSTER_STORE_COPY_H
#define SERVICE_CLUSTER_STORE_COPY_H

#include "port/store.h"

struct store_copy {
	const struct store_ops *ops;
	struct store_driver *to;
	VEC(struct store_txn *) txns;
	size_t bytes;			/* Of the values in 'txns'. */
	size_t count;			/* Keys put so far. */
};

int store_copy_open(const struct store_ops *ops, const struct store_params *params, struct store_copy *copy, struct err *err);
/* A store_kv_fn: 'data' is the copy. Skips what does not go along. */
int store_copy_put_kv(void *data, const struct store_kv *kv, struct err *err);
int store_copy_put(struct store_copy *copy, const char *key, const char *value, size_t size, struct err *err);
int store_copy_clear(struct store_copy *copy, struct err *err);		/* Everything that would go along. */
int store_copy_flush(struct store_copy *copy, struct err *err);
/* Are there as many keys as were put? */
int store_copy_verify(struct store_copy *copy, struct err *err);
void store_copy_close(struct store_copy *copy);				/* Also half open. */

/* From another store: opens, reads and closes it. */
int store_copy_all_from(struct store_copy *copy, const struct store_ops *ops, const struct store_params *params, struct err *err);

bool store_copy_takes(const char *key);

#endif
