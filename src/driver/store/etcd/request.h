/*
 * request.h - what is asked of etcd's JSON gateway: bodies of requests (rpc.proto). See reply.h.
 *
 * Threads: any.
 */
#ifndef DRIVER_STORE_ETCD_REQUEST_H
#define DRIVER_STORE_ETCD_REQUEST_H

#include "base/json.h"
#include "driver/store/etcd/settings.h"

/* What etcd allows a transaction and those within it together (--max-txn-ops). */
enum { REQUEST_MAX_OPERATIONS = 128 };

/* The range of all keys that begin with 'prefix', which is not empty and not all 0xff. */
void etcd_request_prefix_end(const char *prefix, struct str *out);

/* How many operations of etcd's transaction 'txn' is: each of its changes, when there are few and nothing guards them;
 * else one, a transaction within. 'ret_is_within' says which. */
size_t etcd_request_width(const struct store_txn *txn, bool *ret_is_within);

/* May 'txn' go into a request with 'outer' operations around it? */
bool etcd_request_fits(const struct store_txn *txn, size_t outer);

/*
 * One transaction of etcd: if the writer's key was last changed at 'writer_revision' (0: absent), then put 'mark'
 * there and do each of 'txns', with guards of its own; else read the writer's key.
 */
struct request_commit {
	uint64_t writer_revision;
	const char *mark;
	struct store_txn *const *txns;
	size_t count;
};
void etcd_request_commit(const struct etcd_settings *settings, const struct request_commit *commit, struct str *out);

/* A transaction that reads 'keys' (of the store) as they were at 'revision', without values. */
void etcd_request_look_back(const struct etcd_settings *settings, const char *const *keys, size_t count, uint64_t revision, struct str *out);

/* One page. 'from' and 'end' are whole keys as bytes; 'end' may be null: only 'from'. 0: the present revision. */
void etcd_request_range(const struct str *from, const struct str *end, uint64_t revision, uint64_t limit, struct str *out);

/* Of all below the prefix, with what happened at 'from_revision' itself. */
void etcd_request_watch(const struct etcd_settings *settings, uint64_t from_revision, struct str *out);

void etcd_request_number(const char *name, uint64_t number, struct str *out);	/* {"name":"number"} */

#endif
