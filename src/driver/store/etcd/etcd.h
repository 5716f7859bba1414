/*
 * etcd.h - the store in an etcd, through its JSON gateway: what the files of this driver share.
 *
 * Threads: as of struct store_ops.
 */
#ifndef DRIVER_STORE_ETCD_ETCD_H
#define DRIVER_STORE_ETCD_ETCD_H

#include "driver/store/etcd/link.h"
#include "driver/store/etcd/stream.h"

struct etcd {
	struct store_driver driver;
	struct members members;
	struct link link;
	struct stream *stream;

	/* commit.c */
	char session[17];		/* Random: who holds the writer's key. */
	uint64_t sequence;		/* Of the last transaction of etcd that was tried. */
	uint64_t writer_revision;	/* When the writer's key was last changed, as far as is known. */

	uint64_t committed;		/* The stream must have come here before events are told. */
	uint64_t trimmed;		/* What is older was forgotten in passing. */
	uint64_t compacted;		/* Was asked for by the caller. */
};

struct etcd *etcd_of(struct store_driver *driver);

/* Takes over the writer's key: whatever an earlier process of this name has sent comes to nothing from now on. */
int etcd_take_over(struct etcd *etcd, struct err *err);
/* Changes nothing but the writer's key; returns its revision. */
int etcd_touch(struct etcd *etcd, uint64_t *ret_revision, struct err *err);
int etcd_commit(struct store_driver *driver, struct store_txn *const *txns, size_t count, struct store_result *results,
		struct store_events *events, struct err *err);

/* What became of 'txns', which were committed together at 'revision' while the answer was lost (recover.c). */
int etcd_recover(struct etcd *etcd, struct store_txn *const *txns, size_t count, uint64_t revision, struct store_result *results,
		 struct err *err);

int etcd_lease_grant(struct store_driver *driver, uint64_t ttl_ms, int64_t now_ms, uint64_t *ret_lease, struct err *err);
int etcd_lease_renew(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct err *err);
int etcd_lease_end(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct store_events *events, int64_t *ret_next_ms,
		   struct err *err);

#endif
