/*
 * group.h - which transactions of a batch may go to etcd as one.
 *
 * etcd evaluates the guards of all transactions within one against what was there before, and gives all of them one
 * revision. So a transaction joins those before it only if they change neither what its guards are about nor
 * what it changes itself.
 *
 * Threads: any.
 */
#ifndef DRIVER_STORE_ETCD_GROUP_H
#define DRIVER_STORE_ETCD_GROUP_H

#include "port/store.h"

/* How many from the front of 'txns', at least one. */
size_t etcd_group_size(struct store_txn *const *txns, size_t count);

#endif
