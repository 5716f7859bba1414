/* What became of transactions whose answer was lost: their guards and deletions, asked of the past. */
#include "driver/store/etcd/etcd.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "driver/store/etcd/reply.h"
#include "driver/store/etcd/request.h"

/* 'keys' are told in the order of their questions: when each was last changed, before the transactions. */
struct past_keys {
	VEC(const char *) keys;
	VEC(uint64_t) revisions;
};

static void add_questions(const struct store_txn *txn, struct past_keys *past)
{
	for (size_t i = 0; i < txn->guards.count; i++)
		*vec_push(&past->keys) = txn->guards.items[i].key;
	for (size_t i = 0; i < txn->changes.count; i++)
		if (!txn->changes.items[i].value)
			*vec_push(&past->keys) = txn->changes.items[i].key;
}

static int ask(struct etcd *etcd, uint64_t revision, struct past_keys *past, struct err *err)
{
	for (size_t done = 0; done < past->keys.count; done += REQUEST_MAX_OPERATIONS) {
		size_t left = past->keys.count - done, count = left < REQUEST_MAX_OPERATIONS ? left : REQUEST_MAX_OPERATIONS;
		auto_json struct json *json = NULL;
		auto_str struct str body = { 0 };
		int r;

		etcd_request_look_back(&etcd->members.settings, past->keys.items + done, count, revision, &body);
		r = etcd_link_call(&etcd->link, "kv/txn", &body, &json, err);
		if (r < 0)
			return err_prefix(err, "a commit was answered too late");
		for (size_t i = 0; i < count; i++) {
			const struct json *response = json_at(json_get(json, "responses"), i);

			*vec_push(&past->revisions) = etcd_reply_number(json_at(json_path(response, "response_range.kvs"), 0), "mod_revision");
		}
	}
	return 0;
}

/* Takes the answers to the questions of 'txn', from 'at' on. */
static void judge(const struct store_txn *txn, const uint64_t *at, uint64_t revision, struct store_result *result)
{
	const uint64_t *deleted = at + txn->guards.count;
	bool has_changed = false;

	*result = (struct store_result){ .revision = revision };
	for (size_t i = 0; i < txn->guards.count; i++) {
		if (!etcd_reply_guard_holds(&txn->guards.items[i], at[i])) {
			store_guard_failed(txn, i, result);
			return;
		}
	}
	for (size_t i = 0; i < txn->changes.count; i++)
		has_changed |= txn->changes.items[i].value || *deleted++ > 0;
	result->revision -= !has_changed;
}

int etcd_recover(struct etcd *etcd, struct store_txn *const *txns, size_t count, uint64_t revision, struct store_result *results,
		 struct err *err)
{
	struct past_keys past = { 0 };
	size_t at = 0;
	int r;

	for (size_t i = 0; i < count; i++)
		add_questions(txns[i], &past);
	r = ask(etcd, revision - 1, &past, err);
	for (size_t i = 0; i < count && r == 0; i++) {
		judge(txns[i], past.revisions.items + at, revision, &results[i]);
		at += txns[i]->guards.count;
		for (size_t k = 0; k < txns[i]->changes.count; k++)
			at += !txns[i]->changes.items[k].value;
	}
	vec_done(&past.keys);
	vec_done(&past.revisions);
	return r;
}
