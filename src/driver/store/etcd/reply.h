/*
 * reply.h - what etcd's JSON gateway answers (etcd 3.4 and 3.5, rpc.proto; 64-bit numbers are text, bytes are base64,
 * what is zero is left out).
 *
 * Errors:  those of etcd become ours: -ENOSPC its quota is used up, -EACCES not allowed, -ENOENT no such lease, -ERANGE
 *          compacted, -E2BIG more than etcd takes, -EUCLEAN its members disagree, -EAGAIN only this member, only now;
 *          -EPROTO what is no such answer. The message is etcd's, with the remedy.
 * Memory:  what is filled in belongs to the caller, also after a failure; begin with { 0 }.
 * Threads: any.
 */
#ifndef DRIVER_STORE_ETCD_REPLY_H
#define DRIVER_STORE_ETCD_REPLY_H

#include "base/json.h"
#include "port/store.h"

/* 'status' is that of HTTP. Streams carry their errors with status 200. */
int etcd_reply_parse(const char *text, size_t size, long status, struct json **ret_json, struct err *err);

uint64_t etcd_reply_number(const struct json *object, const char *path);	/* 0: absent, or no number. */

/* One key and value; keys that are not below 'data' (others' in the same etcd, ours that are not the store's) give false. */
int etcd_reply_kv(const struct json *object, const char *data, struct store_kv *kv, bool *ret_is_ours, struct err *err);

/* The answer to what etcd_request_commit() wrote for 'txn', which was committed at 'revision': it begins at '*at' of
 * 'responses', which is moved on behind it. Refused: one of its guards has failed; which one, the answer does not say. */
int etcd_reply_txn(const struct json *responses, size_t *at, const struct store_txn *txn, uint64_t revision, struct store_result *result,
		   bool *ret_is_refused, struct err *err);
/* Does the guard hold for a key last changed at 'mod_revision' (0: absent)? */
bool etcd_reply_guard_holds(const struct store_guard *guard, uint64_t mod_revision);

/* One message of a watch. */
struct watch_message {
	uint64_t cluster;
	bool is_canceled, has_more;	/* More: the revision of the last event is not complete yet. */
	uint64_t compact_revision;	/* When canceled for that: what was asked for is gone. */
	uint64_t idle_revision;		/* Progress: there is nothing up to here that was not told. 0: no such message. */
	uint64_t last_revision;		/* Of the last event, whosever it is. */
	struct store_events events;	/* Ours. */
};

int etcd_watch_message_parse(const char *text, size_t size, const char *data, struct watch_message *message, struct err *err);

#endif
