#include "driver/store/etcd/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "driver/store/etcd/request.h"

/* Errors */

/* Of gRPC (google.golang.org/grpc/codes). */
enum {
	GRPC_CANCELED = 1, GRPC_UNKNOWN = 2, GRPC_INVALID = 3, GRPC_DEADLINE = 4, GRPC_NOT_FOUND = 5, GRPC_DENIED = 7, GRPC_EXHAUSTED = 8,
	GRPC_PRECONDITION = 9, GRPC_OUT_OF_RANGE = 11, GRPC_UNAVAILABLE = 14, GRPC_DATA_LOSS = 15, GRPC_UNAUTHENTICATED = 16,
};

struct failure {
	int64_t grpc_code;
	const char *words;		/* In etcd's message; null: any. */
	int code;
	const char *remedy;
};

static const struct failure failures[] = {
	{ GRPC_EXHAUSTED, "database space exceeded", -ENOSPC,
	  "compact and defragment it ('etcdctl compact', 'etcdctl defrag') or raise --quota-backend-bytes, then 'etcdctl alarm disarm'" },
	{ GRPC_EXHAUSTED, "too many requests", -EAGAIN, NULL },
	{ GRPC_EXHAUSTED, "larger than max", -E2BIG, "raise etcd's --max-request-bytes" },
	{ GRPC_INVALID, "too large", -E2BIG, "raise etcd's --max-request-bytes" },
	{ GRPC_INVALID, "too many operations", -E2BIG, "set etcd's --max-txn-ops to 128, its default, or more" },
	{ GRPC_INVALID, "user name is empty", -EACCES, "etcd demands users, whose certificates its JSON gateway does not read: use an etcd of its own" },
	{ GRPC_INVALID, NULL, -EINVAL, NULL },
	{ GRPC_NOT_FOUND, "lease", -ENOENT, NULL },
	{ GRPC_NOT_FOUND, "member", -ENOENT, NULL },
	{ GRPC_NOT_FOUND, NULL, -EPROTO, "is this etcd 3.4 or newer, with its JSON gateway enabled?" },
	{ GRPC_DENIED, NULL, -EACCES, "allow reading and writing below the prefix" },
	{ GRPC_UNAUTHENTICATED, NULL, -EACCES, "allow reading and writing below the prefix" },
	{ GRPC_PRECONDITION, "lease already exists", -EEXIST, NULL },
	{ GRPC_PRECONDITION, "learner", -EBUSY, NULL },
	{ GRPC_PRECONDITION, "eer URLs already exists", -EEXIST, NULL },
	{ GRPC_PRECONDITION, "not enough started members", -EBUSY, NULL },
	{ GRPC_OUT_OF_RANGE, "compacted", -ERANGE, NULL },
	{ GRPC_OUT_OF_RANGE, "future", -EINVAL, NULL },
	{ GRPC_DATA_LOSS, NULL, -EUCLEAN, "its members disagree: restore it from a snapshot" },
	{ GRPC_UNKNOWN, "corrupt", -EUCLEAN, "its members disagree: restore it from a snapshot" },
	{ GRPC_CANCELED, NULL, -EAGAIN, NULL },
	{ GRPC_UNKNOWN, NULL, -EAGAIN, NULL },
	{ GRPC_DEADLINE, NULL, -EAGAIN, NULL },
	{ GRPC_UNAVAILABLE, NULL, -EAGAIN, NULL },
};

static int fail(int64_t grpc_code, const char *message, struct err *err)
{
	char buffer[160];
	const char *text = text_shown(message, sizeof(buffer) - 4, buffer, sizeof(buffer));

	for (size_t i = 0; i < ARRAY_COUNT(failures); i++) {
		const struct failure *each = &failures[i];

		if (each->grpc_code == grpc_code && (!each->words || strstr(message, each->words)))
			return err_set(err, each->code, "etcd says '%s'%s%s", text, each->remedy ? ": " : "", each->remedy ? each->remedy : "");
	}
	return err_set(err, -EIO, "etcd says '%s' (code %lld)", text, (long long)grpc_code);
}

/* {"error":"...","code":5,"message":"..."}, or of streams {"error":{"grpc_code":14,"message":"...",...}} */
static int find_failure(const struct json *json, struct err *err)
{
	const struct json *error = json_get(json, "error"), *at = json_type(error) == JSON_OBJECT ? error : json;
	const char *message = json_string(json_get(at, "message"), json_string(error, NULL));

	if (!error && !json_get(json, "code"))
		return 0;
	return fail(json_int(json_get(at, at == error ? "grpc_code" : "code"), GRPC_UNKNOWN), message ? message : "an error without a reason", err);
}

int etcd_reply_parse(const char *text, size_t size, long status, struct json **ret_json, struct err *err)
{
	auto_json struct json *json = NULL;
	int r = json_parse(text, size, &json, err);

	/* Proxies and those who are no etcd answer in HTML. */
	if (r < 0 && (status == 502 || status == 503 || status == 504))
		return err_set(err, -EAGAIN, "HTTP status %ld", status);
	if (r < 0 && status != 200)
		return err_set(err, -EPROTO, "HTTP status %ld: is this etcd 3.4 or newer, with its JSON gateway enabled?", status);
	if (r < 0) {
		err->code = -EPROTO;
		return err_prefix(err, "what came is no answer of etcd");
	}
	r = find_failure(json, err);
	if (r < 0)
		return r;
	if (status != 200 || json_type(json) != JSON_OBJECT)
		return err_set(err, -EPROTO, "HTTP status %ld with an answer that is not etcd's", status);
	*ret_json = take(json);
	return 0;
}

/* Values */

static uint64_t number_of(const struct json *json)
{
	const char *text = json_string(json, NULL);
	uint64_t number;
	char *end;

	if (!text)
		return json_uint(json, 0);
	if (text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	number = strtoull(text, &end, 10);
	return *end || errno ? 0 : number;
}

uint64_t etcd_reply_number(const struct json *object, const char *path)
{
	return number_of(json_path(object, path));
}

static int decode(const struct json *object, const char *key, struct str *out, struct err *err)
{
	/* So that there is something, with its zero byte, even when it is empty. */
	str_reserve(out, 1);
	out->data[out->size] = '\0';
	return base64_decode(json_string(json_get(object, key), ""), out, err);
}

int etcd_reply_kv(const struct json *object, const char *data, struct store_kv *kv, bool *ret_is_ours, struct err *err)
{
	auto_str struct str key = { 0 }, value = { 0 };
	int r = decode(object, "key", &key, err);

	if (r < 0)
		return err_prefix(err, "a key");
	*ret_is_ours = text_starts_with(key.data, data) && strlen(key.data) == key.size;
	if (!*ret_is_ours)
		return 0;
	r = decode(object, "value", &value, err);
	if (r < 0)
		return err_prefix(err, "the value of '%s'", shown(key.data));
	*kv = (struct store_kv){
		.key = text_copy(key.data + strlen(data)), .value_size = value.size, .value = take(value.data),
		.create_revision = etcd_reply_number(object, "create_revision"), .mod_revision = etcd_reply_number(object, "mod_revision"),
		.version = etcd_reply_number(object, "version"), .lease = etcd_reply_number(object, "lease"),
	};
	return 0;
}

/* Transactions */

bool etcd_reply_guard_holds(const struct store_guard *guard, uint64_t mod_revision)
{
	switch (guard->kind) {
	case STORE_ABSENT:
		return mod_revision == 0;
	case STORE_EXISTS:
		return mod_revision != 0;
	case STORE_UNCHANGED:
		return mod_revision == guard->revision;
	}
	abort();
}

static bool has_deleted(const struct json *response)
{
	const struct json *within = json_path(response, "response_txn.responses");

	for (size_t i = 0; i < json_count(within); i++)
		if (has_deleted(json_at(within, i)))
			return true;
	return etcd_reply_number(response, "response_delete_range.deleted") > 0;
}

static bool has_put(const struct store_txn *txn)
{
	for (size_t i = 0; i < txn->changes.count; i++)
		if (txn->changes.items[i].value)
			return true;
	return false;
}

/* The answer has read the keys of the guards. */
static int find_failed_guard(const struct json *outcome, const struct store_txn *txn, struct store_result *result, struct err *err)
{
	const struct json *responses = json_get(outcome, "responses");

	for (size_t i = 0; i < txn->guards.count; i++) {
		const struct json *kv = json_at(json_path(json_at(responses, i), "response_range.kvs"), 0);

		if (!etcd_reply_guard_holds(&txn->guards.items[i], etcd_reply_number(kv, "mod_revision"))) {
			store_guard_failed(txn, i, result);
			return 0;
		}
	}
	return err_set(err, -EPROTO, "etcd has refused a transaction whose guards hold");
}

int etcd_reply_txn(const struct json *responses, size_t *at, const struct store_txn *txn, uint64_t revision, struct store_result *result,
		   struct err *err)
{
	bool is_within, has_changed = has_put(txn);
	size_t begin = *at, end = begin + etcd_request_width(txn, &is_within);
	const struct json *outcome = json_get(json_at(responses, begin), "response_txn");

	if (end > json_count(responses) || revision == 0 || (is_within && json_type(outcome) != JSON_OBJECT))
		return err_set(err, -EPROTO, "etcd's answer lacks that of a transaction");
	*at = end;
	*result = (struct store_result){ .revision = revision };
	if (is_within && !json_bool(json_get(outcome, "succeeded"), false))
		return find_failed_guard(outcome, txn, result, err);
	for (size_t i = begin; i < end; i++)
		has_changed |= has_deleted(json_at(responses, i));
	result->revision -= !has_changed;
	return 0;
}

/* Watches */

static int take_event(const struct json *event, const char *data, struct watch_message *message, struct err *err)
{
	const struct json *json = json_get(event, "kv");
	bool is_delete = strcmp(json_string(json_get(event, "type"), "PUT"), "DELETE") == 0, is_ours = false;
	uint64_t revision = etcd_reply_number(json, "mod_revision");
	struct store_kv kv = { 0 };
	int r;

	if (revision < message->last_revision || revision == 0)
		return err_set(err, -EPROTO, "the revisions of a watch go back");
	message->last_revision = revision;
	r = etcd_reply_kv(json, data, &kv, &is_ours, err);
	if (r < 0 || !is_ours)
		return r;
	if (is_delete) {
		free(take(kv.value));
		kv = (struct store_kv){ .key = kv.key, .mod_revision = revision };
	}
	*vec_push(&message->events.items) = (struct store_event){ .is_delete = is_delete, .kv = kv };
	return 0;
}

int etcd_watch_message_parse(const char *text, size_t size, const char *data, struct watch_message *message, struct err *err)
{
	auto_json struct json *json = NULL;
	const struct json *body, *events;
	int r = etcd_reply_parse(text, size, 200, &json, err);

	if (r < 0)
		return r;
	body = json_get(json, "result");
	if (json_type(body) != JSON_OBJECT)
		return err_set(err, -EPROTO, "a message of a watch has no result");
	events = json_get(body, "events");
	message->cluster = etcd_reply_number(body, "header.cluster_id");
	message->is_canceled = json_bool(json_get(body, "canceled"), false);
	message->has_more = json_bool(json_get(body, "fragment"), false);
	message->compact_revision = etcd_reply_number(body, "compact_revision");
	if (message->is_canceled && !message->compact_revision)
		return err_set(err, -EAGAIN, "etcd has ended the watch: %s", shown(json_string(json_get(body, "cancel_reason"), "without a reason")));
	if (!json_count(events) && !message->is_canceled && !json_bool(json_get(body, "created"), false))
		message->idle_revision = etcd_reply_number(body, "header.revision");
	for (size_t i = 0; i < json_count(events) && r == 0; i++)
		r = take_event(json_at(events, i), data, message, err);
	return r;
}
