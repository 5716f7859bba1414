/*
 * How a change is made once, although requests are repeated and answers are lost.
 *
 * Every process has a key of its own, the writer's key. Each transaction of etcd is bound to the revision at which that key
 * was last changed, and changes it to "SESSION SEQUENCE". So a request takes effect at most once, however often and
 * wherever it is sent, and one that wanders about for long comes to nothing as soon as the next is made. When etcd
 * answers that the key was changed already, its value says what has happened:
 *
 *	SESSION and SEQUENCE are of this request: it was made before and the answer was lost; what became of each of its
 *	transactions is found by looking at the store as it was just before (recover.c), as for those whose guards fail;
 *	only SESSION is ours: one that was given up was made late; this one is sent again, bound to the new revision;
 *	neither: another process has taken over, because it was started with the same name. We stop writing.
 *
 * Transactions of a batch that have nothing to do with each other go together (group.c), those with guards each as a
 * transaction within that of etcd, so that one whose guards fail does not disturb the others.
 */
#include "driver/store/etcd/etcd.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "driver/store/etcd/group.h"
#include "driver/store/etcd/reply.h"
#include "driver/store/etcd/request.h"

enum { MARK_SIZE = 48, MAX_REPETITIONS = 8 };

struct holder { uint64_t revision, sequence; bool is_ours; };

/* Who has the writer's key, as the failed request has read it. */
static int read_holder(const struct etcd *etcd, const struct json *json, struct holder *ret_holder, struct err *err)
{
	const struct json *kv = json_at(json_path(json_at(json_get(json, "responses"), 0), "response_range.kvs"), 0);
	struct store_kv read = { 0 };
	bool is_found = false;
	char *end;
	int r = kv ? etcd_reply_kv(kv, etcd->members.settings.prefix, &read, &is_found, err) : 0;

	*ret_holder = (struct holder){ .revision = read.mod_revision };
	if (r == 0 && is_found && text_starts_with(read.value, etcd->session)) {
		ret_holder->sequence = strtoull(read.value + strlen(etcd->session), &end, 10);
		ret_holder->is_ours = *end == '\0';
	}
	store_kv_done(&read);
	return r;
}

/*
 * Which guard has failed is asked for only when one has: to ask in every request would make each a quarter larger, and etcd's time goes
 * into reading them. When it cannot be found out they fail with that: nothing of them was made.
 */
static void explain_refusal(struct etcd *etcd, struct store_txn *txn, uint64_t revision, struct store_result *result)
{
	struct err err = { 0 };
	int r = etcd_recover(etcd, &txn, 1, revision, result, &err);

	if (r == 0 && result->err.code == 0)
		r = err_set(&err, -EPROTO, "etcd has refused a transaction whose guards hold");
	if (r < 0)
		*result = (struct store_result){ .err = err };
}

static int read_results(struct etcd *etcd, const struct json *json, struct store_txn *const *txns, size_t count, struct store_result *results,
			struct err *err)
{
	const struct json *responses = json_get(json, "responses");
	uint64_t revision = etcd->writer_revision;
	bool is_refused = false;
	size_t at = 1;			/* The first is that of the writer's key. */
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		r = etcd_reply_txn(responses, &at, txns[i], revision, &results[i], &is_refused, err);
		if (r == 0 && is_refused)
			explain_refusal(etcd, txns[i], revision, &results[i]);
	}
	return r;
}

static int send_once(struct etcd *etcd, struct store_txn *const *txns, size_t count, struct json **ret_json, struct err *err)
{
	auto_str struct str body = { 0 };
	char mark[MARK_SIZE];

	snprintf(mark, sizeof(mark), "%s %" PRIu64, etcd->session, etcd->sequence);
	etcd_request_commit(&etcd->members.settings,
		       &(struct request_commit){ .writer_revision = etcd->writer_revision, .mark = mark, .txns = txns, .count = count }, &body);
	return etcd_link_call(&etcd->link, "kv/txn", &body, ret_json, err);
}

/* Restored from a snapshot, for example: what was told since is not true any more. */
static int check_not_set_back(const struct etcd *etcd, const struct json *json, struct err *err)
{
	uint64_t revision = etcd_reply_number(json, "header.revision");

	if (revision >= etcd->committed)
		return 0;
	return err_set(err, -EUCLEAN, "etcd was set back from revision %" PRIu64 " to %" PRIu64 ": start the daemon anew", etcd->committed, revision);
}

/* 'is_opening': whoever has the writer's key loses it. */
static int commit_together(struct etcd *etcd, struct store_txn *const *txns, size_t count, bool is_opening, struct store_result *results,
			   struct err *err)
{
	etcd->sequence++;
	for (int i = 0; i < MAX_REPETITIONS; i++) {
		auto_json struct json *json = NULL;
		struct holder holder;
		int r = send_once(etcd, txns, count, &json, err);

		if (r == 0)
			r = check_not_set_back(etcd, json, err);
		if (r < 0)
			return r;
		if (json_bool(json_get(json, "succeeded"), false)) {
			etcd->writer_revision = etcd_reply_number(json, "header.revision");
			return read_results(etcd, json, txns, count, results, err);
		}
		r = read_holder(etcd, json, &holder, err);
		if (r < 0)
			return r;
		if (holder.revision && !holder.is_ours && !is_opening)
			return err_set(err, -EBUSY, "another process writes to this store as '%s': stop one of them",
				       shown(etcd->members.settings.writer));
		etcd->writer_revision = holder.revision;
		if (holder.is_ours && holder.sequence == etcd->sequence)
			return etcd_recover(etcd, txns, count, holder.revision, results, err);
	}
	return err_set(err, -EBUSY, "'%s' in etcd is changed over and over by somebody else", shown(etcd->members.settings.writer));
}

int etcd_take_over(struct etcd *etcd, struct err *err)
{
	struct rng rng;

	rng_init_random(&rng);
	snprintf(etcd->session, sizeof(etcd->session), "%016" PRIx64, rng_next(&rng));
	return commit_together(etcd, NULL, 0, true, NULL, err);
}

int etcd_touch(struct etcd *etcd, uint64_t *ret_revision, struct err *err)
{
	int r = commit_together(etcd, NULL, 0, false, NULL, err);

	if (r == 0)
		*ret_revision = etcd->writer_revision;
	return r;
}

/* The only error of a whole request that one of its transactions is guilty of. */
static void fail_alone(const struct store_txn *txn, struct store_result *result)
{
	for (size_t i = 0; i < txn->changes.count; i++) {
		if (!txn->changes.items[i].lease)
			continue;
		store_lease_ended(txn->changes.items[i].lease, &result->err);
		return;
	}
}

static int commit_one(struct etcd *etcd, struct store_txn *const *txn, struct store_result *result, struct err *err)
{
	int r;

	*result = (struct store_result){ 0 };
	if (!etcd_request_fits(*txn, 2)) {
		err_set(&result->err, -E2BIG, "a transaction of %zu guards and %zu changes is more than etcd takes", (*txn)->guards.count,
			(*txn)->changes.count);
		return 0;
	}
	r = commit_together(etcd, txn, 1, false, result, err);
	if (r == -ENOENT)
		fail_alone(*txn, result);
	if (r == -E2BIG || r == -EINVAL)
		result->err = *err;
	return result->err.code ? 0 : r;
}

/* When one of several is refused as a whole, and the others with it: each alone. */
static int commit_group(struct etcd *etcd, struct store_txn *const *txns, size_t count, struct store_result *results, struct err *err)
{
	int r = count > 1 ? commit_together(etcd, txns, count, false, results, err) : -ENOENT;

	if (r != -ENOENT && r != -E2BIG && r != -EINVAL)
		return r;
	r = 0;
	for (size_t i = 0; i < count && r == 0; i++) {
		r = commit_one(etcd, &txns[i], &results[i], err);
		for (size_t k = i; k < count && r < 0; k++)
			results[k] = (struct store_result){ .err = *err };
	}
	return r;
}

/* Every process that writes does it; etcd takes the later revision. */
static void compact_in_passing(struct etcd *etcd)
{
	auto_json struct json *json = NULL;
	auto_str struct str body = { 0 };
	uint64_t revision = etcd->writer_revision - STORE_HISTORY_REVISIONS;
	struct err err;

	if (etcd->writer_revision < etcd->trimmed + UINT64_C(2) * STORE_HISTORY_REVISIONS)
		return;
	etcd_request_number("revision", revision, &body);
	etcd_link_call(&etcd->link, "kv/compaction", &body, &json, &err);
	etcd->trimmed = revision;
}

int etcd_commit(struct store_driver *driver, struct store_txn *const *txns, size_t count, struct store_result *results,
		struct store_events *events, struct err *err)
{
	struct etcd *etcd = etcd_of(driver);
	int r = 0;

	(void)events;			/* They come with the stream. */
	for (size_t done = 0; done < count;) {
		size_t size = etcd_group_size(txns + done, count - done);

		if (r == 0)
			r = commit_group(etcd, txns + done, size, results + done, err);
		/* What was not tried for that fails alike; those of a group that was cut short have their results. */
		for (size_t i = 0; i < size && r < 0; i++)
			if (!results[done + i].revision && !results[done + i].err.code)
				results[done + i] = (struct store_result){ .err = *err };
		done += size;
	}
	etcd->committed = etcd->writer_revision;
	if (r == 0)
		compact_in_passing(etcd);
	return r;
}
