/*
 * store.h - the store port: ordered keys with revisions, guarded transactions, watches, leases.
 *
 * The model is etcd's (v3 API, "KV", "Watch", "Lease"), so that sqlite, memory and etcd mean
 * the same.  Every committed transaction that changes something gets the next revision; a key
 * knows the revision of its creation and of its last change, and its version (1 after creation).
 * A transaction either passes all guards and makes all changes, or changes nothing.
 * A store that others may write to as well (etcd) leaves numbers out between its revisions, and gives
 * transactions that are committed together and have no key in common the same one.
 *
 * Two headers in one: the first half is for callers (the core thread), the second for drivers.
 * port/store.c stands between them: it owns one thread that collects submitted transactions and
 * hands them to the driver in batches (group commit: one fsync for all that wait), and brings
 * results and watch events back to the loop as messages.  With a virtual loop there is no
 * thread: commits happen in the loop, as messages, in order.
 *
 * Order:   a watch sees the events of a transaction before the transaction's 'done' runs, each
 *          revision exactly once and in order; so a caller who is told "done" finds its cache current.
 *          Within a revision, events have the order of the changes; keys of a lease go in key order.
 *          Who was cut off from such a store until its history was compacted is told what is: the keys that
 *          were changed, once, and those that are gone, and not what was in between.
 * Errors:  -ESTALE a guard failed (result.failed_guard says which); -ENOENT a lease has ended;
 *          -ENOSPC, -EIO, -EROFS the store cannot be written, -EAGAIN not be reached (nothing was
 *          changed); -ETIMEDOUT it has not answered: whether the transaction was made is not known, the
 *          watch may tell later; -E2BIG more at once than it takes; -EACCES it does not let us; -ERANGE the
 *          revision asked for is compacted; -EBUSY another process has this store open; -EPROTO
 *          written by a newer version; -EUCLEAN the integrity check failed.
 * Memory:  values are bytes with a size, followed by a zero byte that it does not count; what a
 *          callback is given is borrowed for the call.
 * Threads: all caller functions from the loop's thread, except where said.
 */
#ifndef PORT_STORE_H
#define PORT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/vec.h"

struct store_kv {
	char *key;
	char *value;
	size_t value_size;
	uint64_t create_revision;
	uint64_t mod_revision;
	uint64_t version;
	uint64_t lease;			/* 0: none. */
};

struct store_event {
	bool is_delete;			/* kv.value is null; kv.mod_revision is that of the deletion. */
	struct store_kv kv;
};

/* At least so many revisions are kept for watches that begin in the past; older ones are compacted in passing. */
enum { STORE_HISTORY_REVISIONS = 5000 };

#define STORE_NO_REVISION INT64_MAX		/* No key has it: STORE_UNCHANGED with it always fails. */

enum store_guard_kind { STORE_ABSENT, STORE_EXISTS, STORE_UNCHANGED /* mod_revision equals; 0: absent */ };

struct store_guard {
	enum store_guard_kind kind;
	char *key;
	uint64_t revision;
};

struct store_change {
	char *key;
	char *value;			/* Null: delete. Deleting an absent key is no change and no event. */
	size_t value_size;
	uint64_t lease;			/* The key goes when the lease ends; 0: it stays. */
};

struct store_txn {
	VEC(struct store_guard) guards;
	VEC(struct store_change) changes;	/* Each key at most once. */
	/* How long the commit may wait for company: 0 for what a person waits for, more for
	 * observed state that can be seen again after a crash. */
	uint32_t delay_ms;
};

struct store_result {
	struct err err;			/* err.code 0: committed. */
	uint64_t revision;		/* Of this commit; if nothing was to be changed, the last one before. */
	size_t failed_guard;		/* Index, when err.code is -ESTALE. */
};

struct store_txn *store_txn_new(void);
void store_txn_free(struct store_txn *txn);		/* Null is fine. */
void store_txn_guard(struct store_txn *txn, enum store_guard_kind kind, const char *key, uint64_t revision);
void store_txn_put(struct store_txn *txn, const char *key, const char *value, size_t size, uint64_t lease);
void store_txn_delete(struct store_txn *txn, const char *key);

struct store;
struct store_ops;

/* Of an etcd (v3 API, its JSON gateway). */
struct store_etcd_params {
	const char *const *endpoints;	/* "https://192.0.2.1:2379", members of one cluster: any that answers will do. */
	size_t endpoint_count;
	const char *prefix;		/* All keys are below it: "/strata/house/". Who shares it shares the store. */
	const char *writer;		/* This process among those who share the prefix; stays the same over restarts. */
	const char *ca, *certificate, *key;	/* TLS: PEM files, or null; without a CA the system's are trusted. */
	uint32_t timeout_ms;		/* How long one member may take for one answer; 0: 5 s. All together four times that. */
};

struct store_params {
	const char *path;		/* File (sqlite) or null. */
	const struct store_etcd_params *etcd;	/* etcd only, else null. */
	struct store_driver *shared;	/* memory and sim: an existing driver to use, which outlives the store (tests
					 * that crash the daemon keep their "disk" this way); else null. */
};

/* Blocking; checks integrity. */
int store_open(const struct store_ops *ops, const struct store_params *params, struct loop *loop,
	       struct store **ret_store, struct err *err);
/* Commits what was submitted, drops the callbacks. Null is fine; also from within a callback. */
void store_close(struct store *store);
/* As kill -9 would: what was not handed to the driver yet is lost. For crash tests. */
void store_abandon(struct store *store);

/* Takes 'txn'. 'done' runs once, in the loop, with what became of it; it may be null. */
typedef void store_done_fn(void *data, const struct store_result *result);
void store_submit(struct store *store, struct store_txn *txn, store_done_fn *done, void *data);

/* Blocking, for start-up: every key with this prefix, in byte order, at one revision. 'fn' returns 0 to go on, else
 * the error to return; it must not call the store. */
typedef int store_kv_fn(void *data, const struct store_kv *kv, struct err *err);
int store_range(struct store *store, const char *prefix, store_kv_fn *fn, void *data,
		uint64_t *ret_revision, struct err *err);

/* Events of keys with 'prefix' after 'after_revision' (0: from now), for as long as the store is open. What has
 * already happened is told before store_watch() returns. */
typedef void store_watch_fn(void *data, const struct store_event *event);
int store_watch(struct store *store, const char *prefix, uint64_t after_revision,
		store_watch_fn *fn, void *data, struct err *err);

/* A lease ends 'ttl_ms' after its last renewal and takes its keys with it (as one transaction, watched as deletes).
 * Blocking: durable not later than the next commit. Where the store is shared it may take as long as asking does: then
 * these, and only these, may be called from a worker. */
int store_lease_grant(struct store *store, uint64_t ttl_ms, uint64_t *ret_lease, struct err *err);
int store_lease_renew(struct store *store, uint64_t lease, struct err *err);	/* -ENOENT: it has ended. */
int store_lease_revoke(struct store *store, uint64_t lease, struct err *err);

/* Forgets history up to and including 'revision'; present values stay. Blocking. */
int store_compact(struct store *store, uint64_t revision, struct err *err);
/* Do others write to it as well? Then leases are renewed by asking somebody, and may be from a worker. */
bool store_is_shared(const struct store *store);
uint64_t store_revision(const struct store *store);	/* Of the last commit delivered to watches. */

/* A consistent copy of the whole store in a new file, taken while in use. Blocking: call from a worker (any thread).
 * -EEXIST: never overwrites; -EOPNOTSUPP: this driver has no file. */
int store_backup(struct store *store, const char *path, struct err *err);

/*
 * For a move to another store: waits for the commit under way, then holds all others back until store_release(), which the
 * same thread calls; meanwhile the loop's thread must not read. store_tell() reads from within. Blocking, from a worker.
 */
void store_freeze(struct store *store);
int store_tell(struct store *store, const char *prefix, store_kv_fn *fn, void *data, struct err *err);
void store_release(struct store *store);

/* Where the members of its cluster are from now on, as in store_etcd_params. -EOPNOTSUPP: it is in one place. Any thread. */
int store_set_endpoints(struct store *store, const char *const *endpoints, size_t count, struct err *err);

/* Counters since open, for the benchmarks and `strata node show`. Any thread. */
struct store_stats { uint64_t transactions, commits, events; };
void store_get_stats(const struct store *store, struct store_stats *ret_stats);

/*
 * ---- For drivers ----
 *
 * Life: open -> (commit | range | history | lease_* | compact | backup)* -> close.  Calls come from one
 * thread at a time, except backup, wait_events, wake and set_endpoints, which may run beside the others.
 */
struct store_driver { const struct store_ops *ops; };	/* Embedded first in the driver's own struct. */

struct store_events { VEC(struct store_event) items; };
void store_events_done(struct store_events *events);
/* Appends a copy of 'kv'; a delete is told by its key and mod_revision only. */
void store_events_add(struct store_events *events, bool is_delete, const struct store_kv *kv);
void store_kv_done(struct store_kv *kv);
void store_kv_copy(struct store_kv *to, const struct store_kv *from);	/* 'to' is overwritten. */
/* What is answered in every driver alike; they return the code. */
int store_guard_failed(const struct store_txn *txn, size_t guard, struct store_result *result);
int store_lease_ended(uint64_t lease, struct err *err);
int store_compacted(uint64_t after_revision, struct err *err);
int store_future_revision(uint64_t revision, uint64_t last_revision, struct err *err);

struct store_ops {
	const char *name;
	int (*open)(const struct store_params *params, struct store_driver **ret_driver, struct err *err);
	void (*close)(struct store_driver *driver);
	/*
	 * Applies 'count' transactions in order, each with its own guards, result and revision, and makes
	 * them durable together before it returns.  Appends their events, in order (with wait_events they are read
	 * from history instead).  When durability fails every result carries the error, nothing has changed, and the
	 * error is returned; a driver that needs several steps leaves what it has made before, with its results.
	 */
	int (*commit)(struct store_driver *driver, struct store_txn *const *txns, size_t count,
		      struct store_result *results, struct store_events *events, struct err *err);
	int (*range)(struct store_driver *driver, const char *prefix, store_kv_fn *fn, void *data,
		     uint64_t *ret_revision, struct err *err);
	/* Events after 'after_revision' in order; -ERANGE when compacted. */
	int (*history)(struct store_driver *driver, const char *prefix, uint64_t after_revision,
		       struct store_events *events, struct err *err);
	int (*lease_grant)(struct store_driver *driver, uint64_t ttl_ms, int64_t now_ms, uint64_t *ret_lease, struct err *err);
	int (*lease_renew)(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct err *err);
	/* Ends 'lease', or with 0 all that are over at 'now_ms'; events as from commit. '*ret_next_ms' (may be null) is
	 * when the next one ends, INT64_MAX: none. */
	int (*lease_end)(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct store_events *events,
			 int64_t *ret_next_ms, struct err *err);
	int (*compact)(struct store_driver *driver, uint64_t revision, struct err *err);
	/* Optional: null when the store has no file. */
	int (*backup)(struct store_driver *driver, const char *path, struct err *err);
	/*
	 * Optional: null when every change passes through this process (then a loop with a virtual clock will do).
	 * Waits until there are events after 'after_revision', whoever made them, and says whether there are; they
	 * are then read from history. A lost connection is waited out like silence.
	 */
	bool (*wait_events)(struct store_driver *driver, uint64_t after_revision, uint32_t timeout_ms);
	/* Optional: from now on wait_events returns at once. Called before close. */
	void (*wake)(struct store_driver *driver);
	/* Optional: null when there is only one place. May run beside the others. */
	int (*set_endpoints)(struct store_driver *driver, const char *const *endpoints, size_t count, struct err *err);
	/*
	 * In place of wait_events where the loop's clock is virtual: 'changed' is called, in the loop's thread, after each change by others and
	 * when what could not be reached can be; the events are then read from history. Null 'changed' ends it.
	 */
	void (*listen)(struct store_driver *driver, void (*changed)(void *data), void *data);
	/* Optional, with listen: how long the next call, or its answer, is under way. */
	uint32_t (*lag_ms)(struct store_driver *driver);
};

extern const struct store_ops store_sqlite;
extern const struct store_ops store_memory;
extern const struct store_ops store_sim;
extern const struct store_ops store_etcd;

#endif
