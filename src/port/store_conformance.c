#include "port/store_conformance.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

/* One test's world: a loop, an open store, and all it told a watch on everything. */
struct fixture {
	const struct store_conformance *subject;
	struct loop *loop;
	struct store *store;
	struct store_events seen;
	unsigned done_count;
};

struct answer {
	struct fixture *fixture;
	struct store_result result;
	uint64_t seen_revision;		/* The newest event told before the answer. */
	bool is_done;
};

static void see(void *data, const struct store_event *event)
{
	struct fixture *fixture = data;

	store_events_add(&fixture->seen, event->is_delete, &event->kv);
}

static uint64_t last_seen_revision(const struct fixture *fixture)
{
	size_t count = fixture->seen.items.count;

	return count ? fixture->seen.items.items[count - 1].kv.mod_revision : 0;
}

static void open_store(struct fixture *fixture)
{
	struct store_params params = { .path = fixture->subject->path };
	struct err err = { 0 };

	if (store_open(fixture->subject->ops, &params, fixture->loop, &fixture->store, &err) < 0)
		fail_msg("open: %s", err.msg);
}

static void watch_all(struct fixture *fixture, uint64_t after_revision)
{
	struct err err = { 0 };

	if (store_watch(fixture->store, "", after_revision, see, fixture, &err) < 0)
		fail_msg("watch: %s", err.msg);
}

static int setup(void **state)
{
	const struct store_conformance *subject = *state;
	struct fixture *fixture = alloc(sizeof(*fixture));
	struct err err;

	if (subject->reset)
		subject->reset(subject);
	fixture->subject = subject;
	if (loop_new(subject->clock, 1000000, &fixture->loop, &err) < 0)
		return -1;
	*state = fixture;
	open_store(fixture);
	watch_all(fixture, 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	store_close(fixture->store);
	loop_free(fixture->loop);
	store_events_done(&fixture->seen);
	free(fixture);
	return 0;
}

static void reopen(struct fixture *fixture)
{
	store_close(fixture->store);
	open_store(fixture);
}

static void keep_answer(void *data, const struct store_result *result)
{
	struct answer *answer = data;

	answer->result = *result;
	answer->seen_revision = last_seen_revision(answer->fixture);
	answer->is_done = true;
	answer->fixture->done_count++;
}

static void submit(struct fixture *fixture, struct store_txn *txn, struct answer *answer)
{
	*answer = (struct answer){ .fixture = fixture };
	store_submit(fixture->store, txn, keep_answer, answer);
}

static void wait_for(struct fixture *fixture, const struct answer *answer)
{
	while (!answer->is_done)
		loop_step(fixture->loop, -1);
}

/* Takes 'txn'; waits for its end. */
static struct store_result run(struct fixture *fixture, struct store_txn *txn)
{
	struct answer answer;

	submit(fixture, txn, &answer);
	wait_for(fixture, &answer);
	return answer.result;
}

static struct store_txn *txn_put(const char *key, const char *value, uint64_t lease)
{
	struct store_txn *txn = store_txn_new();

	store_txn_put(txn, key, value, strlen(value), lease);
	return txn;
}

static struct store_txn *txn_delete(const char *key)
{
	struct store_txn *txn = store_txn_new();

	store_txn_delete(txn, key);
	return txn;
}

static uint64_t put(struct fixture *fixture, const char *key, const char *value, uint64_t lease)
{
	struct store_result result = run(fixture, txn_put(key, value, lease));

	if (result.err.code)
		fail_msg("put '%s': %s", key, result.err.msg);
	return result.revision;
}

struct listing { VEC(struct store_kv) items; };

static int list_kv(void *data, const struct store_kv *kv, struct err *err)
{
	struct listing *listing = data;

	(void)err;
	store_kv_copy(vec_push(&listing->items), kv);
	return 0;
}

static uint64_t list(struct fixture *fixture, const char *prefix, struct listing *listing)
{
	struct err err = { 0 };
	uint64_t revision = 0;

	*listing = (struct listing){ 0 };
	if (store_range(fixture->store, prefix, list_kv, listing, &revision, &err) < 0)
		fail_msg("range '%s': %s", prefix, err.msg);
	return revision;
}

static void listing_done(struct listing *listing)
{
	for (size_t i = 0; i < listing->items.count; i++)
		store_kv_done(&listing->items.items[i]);
	vec_done(&listing->items);
}

/* The keys with this prefix as "a=1 b=2". */
static void assert_content(struct fixture *fixture, const char *prefix, const char *expected)
{
	struct listing listing;
	auto_str struct str text = { 0 };

	list(fixture, prefix, &listing);
	for (size_t i = 0; i < listing.items.count; i++)
		str_printf(&text, "%s%s=%s", i ? " " : "", listing.items.items[i].key, listing.items.items[i].value);
	listing_done(&listing);
	assert_string_equal(str_text(&text), expected);
}

/* All events seen so far as "a=1 -b", oldest first; then forgets them. */
static void assert_seen(struct fixture *fixture, const char *expected)
{
	auto_str struct str text = { 0 };

	for (size_t i = 0; i < fixture->seen.items.count; i++) {
		const struct store_event *event = &fixture->seen.items.items[i];

		str_append(&text, i ? " " : "");
		if (event->is_delete)
			str_printf(&text, "-%s", event->kv.key);
		else
			str_printf(&text, "%s=%s", event->kv.key, event->kv.value);
	}
	store_events_done(&fixture->seen);
	assert_string_equal(str_text(&text), expected);
}

/* Reading and writing */

static void test_range_is_in_byte_order_and_keeps_to_its_prefix(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, "b/2", "two", 0);
	put(fixture, "b/10", "ten", 0);
	put(fixture, "b", "just b", 0);
	put(fixture, "a", "before", 0);
	put(fixture, "c", "behind", 0);
	put(fixture, "b/\xc3\xa4", "umlaut", 0);
	put(fixture, "b\x7f", "delete sign", 0);
	assert_content(fixture, "b/", "b/10=ten b/2=two b/\xc3\xa4=umlaut");
	assert_content(fixture, "b", "b=just b b/10=ten b/2=two b/\xc3\xa4=umlaut b\x7f=delete sign");
	assert_content(fixture, "b/3", "");
	assert_content(fixture, "", "a=before b=just b b/10=ten b/2=two b/\xc3\xa4=umlaut b\x7f=delete sign c=behind");
}

static void test_a_key_knows_its_revisions_and_version(void **state)
{
	struct fixture *fixture = *state;
	uint64_t created = put(fixture, "k", "1", 0);
	uint64_t changed = put(fixture, "k", "2", 0);
	uint64_t other = put(fixture, "other", "x", 0), revision;
	struct listing listing;

	assert_true(created < changed && changed < other);
	revision = list(fixture, "k", &listing);
	assert_int_equal(revision, other);
	assert_int_equal(listing.items.count, 1);
	assert_int_equal(listing.items.items[0].create_revision, created);
	assert_int_equal(listing.items.items[0].mod_revision, changed);
	assert_int_equal(listing.items.items[0].version, 2);
	listing_done(&listing);

	assert_int_equal(run(fixture, txn_delete("k")).err.code, 0);
	created = put(fixture, "k", "3", 0);
	list(fixture, "k", &listing);
	assert_int_equal(listing.items.items[0].create_revision, created);
	assert_int_equal(listing.items.items[0].version, 1);
	listing_done(&listing);
}

static void test_values_are_bytes(void **state)
{
	enum { BIG = 300 << 10 };
	struct fixture *fixture = *state;
	struct store_txn *txn = store_txn_new();
	auto_free char *big = alloc(BIG);
	struct listing listing;

	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)(i * 7);
	store_txn_put(txn, "big", big, BIG, 0);
	store_txn_put(txn, "empty", "", 0, 0);
	store_txn_put(txn, "zero", "a\0b", 3, 0);
	assert_int_equal(run(fixture, txn).err.code, 0);

	list(fixture, "", &listing);
	assert_int_equal(listing.items.count, 3);
	assert_int_equal(listing.items.items[0].value_size, BIG);
	assert_memory_equal(listing.items.items[0].value, big, BIG);
	assert_int_equal(listing.items.items[1].value_size, 0);
	assert_string_equal(listing.items.items[1].value, "");
	assert_int_equal(listing.items.items[2].value_size, 3);
	assert_memory_equal(listing.items.items[2].value, "a\0b", 4);
	listing_done(&listing);
}

static int stop_at_second(void *data, const struct store_kv *kv, struct err *err)
{
	unsigned *count = data;

	(void)kv;
	return ++*count < 2 ? 0 : err_set(err, -ECANCELED, "enough");
}

static void test_range_ends_with_the_callbacks_error(void **state)
{
	struct fixture *fixture = *state;
	unsigned count = 0;
	struct err err = { 0 };

	put(fixture, "a", "1", 0);
	put(fixture, "b", "2", 0);
	put(fixture, "c", "3", 0);
	assert_int_equal(store_range(fixture->store, "", stop_at_second, &count, NULL, &err), -ECANCELED);
	assert_string_equal(err.msg, "enough");
	assert_int_equal(count, 2);
	assert_content(fixture, "", "a=1 b=2 c=3");
}

/* Guards */

static int try_guard(struct fixture *fixture, enum store_guard_kind kind, const char *key, uint64_t revision)
{
	struct store_txn *txn = txn_put("mark", "x", 0);

	store_txn_guard(txn, kind, key, revision);
	return run(fixture, txn).err.code;
}

static void test_every_kind_of_guard(void **state)
{
	struct fixture *fixture = *state;
	uint64_t revision = put(fixture, "k", "1", 0);

	assert_int_equal(try_guard(fixture, STORE_EXISTS, "k", 0), 0);
	assert_int_equal(try_guard(fixture, STORE_ABSENT, "k", 0), -ESTALE);
	assert_int_equal(try_guard(fixture, STORE_UNCHANGED, "k", revision), 0);
	assert_int_equal(try_guard(fixture, STORE_UNCHANGED, "k", 0), -ESTALE);
	put(fixture, "k", "1", 0);
	assert_int_equal(try_guard(fixture, STORE_UNCHANGED, "k", revision), -ESTALE);

	assert_int_equal(run(fixture, txn_delete("k")).err.code, 0);
	assert_int_equal(try_guard(fixture, STORE_EXISTS, "k", 0), -ESTALE);
	assert_int_equal(try_guard(fixture, STORE_ABSENT, "k", 0), 0);
	assert_int_equal(try_guard(fixture, STORE_UNCHANGED, "k", revision), -ESTALE);
	assert_int_equal(try_guard(fixture, STORE_UNCHANGED, "k", 0), 0);
}

static void test_a_failed_guard_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	uint64_t revision = put(fixture, "k", "1", 0);
	struct store_txn *txn = store_txn_new();
	struct store_result result;

	store_txn_guard(txn, STORE_EXISTS, "k", 0);
	store_txn_guard(txn, STORE_ABSENT, "k", 0);
	store_txn_put(txn, "k", "2", 1, 0);
	store_txn_put(txn, "new", "3", 1, 0);
	result = run(fixture, txn);
	assert_int_equal(result.err.code, -ESTALE);
	assert_int_equal(result.failed_guard, 1);
	assert_non_null(strstr(result.err.msg, "'k'"));
	assert_content(fixture, "", "k=1");
	assert_seen(fixture, "k=1");
	assert_int_equal(put(fixture, "k", "4", 0), revision + 1);
}

static void test_deleting_what_is_absent_is_no_change(void **state)
{
	struct fixture *fixture = *state;
	uint64_t revision = put(fixture, "k", "1", 0);
	struct store_result result = run(fixture, txn_delete("absent"));

	assert_int_equal(result.err.code, 0);
	assert_int_equal(result.revision, revision);
	assert_seen(fixture, "k=1");
	assert_int_equal(put(fixture, "k", "2", 0), revision + 1);
}

/* Batches: submitted together, so that they share a commit where the front collects. */

static void test_transactions_submitted_together_stay_apart(void **state)
{
	struct fixture *fixture = *state;
	struct store_txn *txns[4];
	struct answer answers[ARRAY_COUNT(txns)];

	txns[0] = txn_put("name", "first", 0);
	store_txn_guard(txns[0], STORE_ABSENT, "name", 0);
	txns[1] = txn_put("name", "second", 0);
	store_txn_guard(txns[1], STORE_ABSENT, "name", 0);
	txns[2] = txn_put("other", "third", 0);
	store_txn_guard(txns[2], STORE_EXISTS, "name", 0);
	txns[3] = txn_delete("name");
	for (size_t i = 0; i < ARRAY_COUNT(txns); i++)
		submit(fixture, txns[i], &answers[i]);
	for (size_t i = 0; i < ARRAY_COUNT(txns); i++)
		wait_for(fixture, &answers[i]);

	assert_int_equal(answers[0].result.err.code, 0);
	assert_int_equal(answers[1].result.err.code, -ESTALE);
	assert_int_equal(answers[2].result.err.code, 0);
	assert_int_equal(answers[3].result.err.code, 0);
	assert_int_equal(answers[2].result.revision, answers[0].result.revision + 1);
	assert_int_equal(answers[3].result.revision, answers[0].result.revision + 2);
	assert_seen(fixture, "name=first other=third -name");
	assert_content(fixture, "", "other=third");
}

static void test_more_than_fit_into_one_batch_keep_their_order(void **state)
{
	enum { COUNT = 2 * LIMIT_STORE_BATCH + 10 };
	struct fixture *fixture = *state;
	struct answer *answers = alloc(COUNT * sizeof(*answers));
	char key[16];

	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(key, sizeof(key), "k%u", i % 100);
		submit(fixture, txn_put(key, key, 0), &answers[i]);
	}
	for (unsigned i = 0; i < COUNT; i++)
		wait_for(fixture, &answers[i]);
	assert_int_equal(fixture->seen.items.count, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(key, sizeof(key), "k%u", i % 100);
		assert_int_equal(answers[i].result.err.code, 0);
		assert_int_equal(answers[i].result.revision, answers[0].result.revision + i);
		assert_true(answers[i].seen_revision >= answers[i].result.revision);
		assert_string_equal(fixture->seen.items.items[i].kv.key, key);
	}
	free(answers);
}

static void test_a_delayed_transaction_comes_with_the_next(void **state)
{
	enum { LONG_MS = 3600 * 1000 };
	struct fixture *fixture = *state;
	struct store_txn *txn = txn_put("observed", "1", 0);
	struct answer delayed;

	txn->delay_ms = LONG_MS;
	submit(fixture, txn, &delayed);
	put(fixture, "desired", "2", 0);
	wait_for(fixture, &delayed);
	assert_seen(fixture, "observed=1 desired=2");

	txn = txn_put("observed", "3", 0);
	txn->delay_ms = 5;
	assert_int_equal(run(fixture, txn).err.code, 0);
}

/* Watches */

static void test_a_watch_is_told_before_the_answer(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer;

	submit(fixture, txn_put("k", "1", 0), &answer);
	wait_for(fixture, &answer);
	assert_int_equal(answer.seen_revision, answer.result.revision);
	assert_int_equal(store_revision(fixture->store), answer.result.revision);
}

static void test_events_carry_the_whole_key(void **state)
{
	struct fixture *fixture = *state;
	struct store_txn *txn = store_txn_new();
	const struct store_event *events;
	uint64_t revision = put(fixture, "a", "1", 0);

	store_txn_put(txn, "z", "26", 2, 0);
	store_txn_delete(txn, "a");
	store_txn_put(txn, "b", "2", 1, 0);
	assert_int_equal(run(fixture, txn).err.code, 0);

	events = fixture->seen.items.items;
	assert_int_equal(fixture->seen.items.count, 4);
	for (size_t i = 1; i < 4; i++)
		assert_int_equal(events[i].kv.mod_revision, revision + 1);
	assert_int_equal(events[1].kv.create_revision, revision + 1);
	assert_int_equal(events[1].kv.version, 1);
	assert_int_equal(events[1].kv.value_size, 2);
	assert_true(events[2].is_delete);
	assert_null(events[2].kv.value);
	assert_seen(fixture, "a=1 z=26 -a b=2");
}

struct second_watch {
	struct fixture *fixture;
	struct store_events seen;
	bool is_begun;
};

static void see_second(void *data, const struct store_event *event)
{
	struct second_watch *watch = data;

	store_events_add(&watch->seen, event->is_delete, &event->kv);
}

static void test_a_watch_sees_its_prefix_from_its_revision_on(void **state)
{
	struct fixture *fixture = *state;
	struct second_watch past = { 0 }, future = { 0 };
	struct err err = { 0 };
	uint64_t revision;

	put(fixture, "a/1", "1", 0);
	revision = put(fixture, "a/2", "2", 0);
	put(fixture, "b/1", "3", 0);
	put(fixture, "a/1", "4", 0);
	assert_int_equal(store_watch(fixture->store, "a/", revision, see_second, &past, &err), 0);
	assert_int_equal(past.seen.items.count, 1);
	assert_int_equal(store_watch(fixture->store, "a/", revision + 3, see_second, &future, &err), 0);
	put(fixture, "a/3", "5", 0);
	put(fixture, "b/3", "6", 0);
	assert_int_equal(run(fixture, txn_delete("a/3")).err.code, 0);

	assert_int_equal(past.seen.items.count, 3);
	assert_string_equal(past.seen.items.items[0].kv.value, "4");
	assert_string_equal(past.seen.items.items[1].kv.value, "5");
	assert_true(past.seen.items.items[2].is_delete);
	assert_int_equal(future.seen.items.count, 1);
	assert_true(future.seen.items.items[0].is_delete);
	store_events_done(&past.seen);
	store_events_done(&future.seen);
}

static void begin_second_watch(void *data, const struct store_event *event)
{
	struct second_watch *watch = data;
	struct err err = { 0 };

	if (watch->is_begun)
		return;
	watch->is_begun = true;
	assert_int_equal(store_watch(watch->fixture->store, "", event->kv.mod_revision - 1, see_second, watch, &err), 0);
}

static void test_a_watch_begun_by_a_watch_misses_and_repeats_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct second_watch watch = { .fixture = fixture };
	struct answer answers[3];
	struct err err = { 0 };
	struct store_txn *txn = txn_put("a", "1", 0);

	put(fixture, "before", "0", 0);
	store_txn_put(txn, "b", "2", 1, 0);
	assert_int_equal(store_watch(fixture->store, "", 0, begin_second_watch, &watch, &err), 0);
	submit(fixture, txn, &answers[0]);
	submit(fixture, txn_put("c", "3", 0), &answers[1]);
	submit(fixture, txn_put("d", "4", 0), &answers[2]);
	for (size_t i = 0; i < ARRAY_COUNT(answers); i++)
		wait_for(fixture, &answers[i]);
	assert_int_equal(watch.seen.items.count, 4);
	assert_string_equal(watch.seen.items.items[0].kv.key, "a");
	assert_string_equal(watch.seen.items.items[1].kv.key, "b");
	assert_string_equal(watch.seen.items.items[2].kv.key, "c");
	assert_string_equal(watch.seen.items.items[3].kv.key, "d");
	store_events_done(&watch.seen);
}

static void test_history_ends_where_it_was_compacted(void **state)
{
	struct fixture *fixture = *state;
	struct second_watch watch = { 0 };
	struct err err = { 0 };
	uint64_t first = put(fixture, "a", "1", 0);
	uint64_t second = put(fixture, "a", "2", 0);

	put(fixture, "b", "3", 0);
	assert_int_equal(store_compact(fixture->store, second, &err), 0);
	assert_int_equal(store_compact(fixture->store, first, &err), 0);
	assert_int_equal(store_compact(fixture->store, second + 100, &err), -EINVAL);
	assert_int_equal(store_watch(fixture->store, "", first, see_second, &watch, &err), -ERANGE);
	assert_int_equal(store_watch(fixture->store, "", second, see_second, &watch, &err), 0);
	assert_int_equal(watch.seen.items.count, 1);
	assert_string_equal(watch.seen.items.items[0].kv.key, "b");
	assert_content(fixture, "", "a=2 b=3");
	store_events_done(&watch.seen);
}

static void test_a_watch_goes_on_after_a_restart(void **state)
{
	struct fixture *fixture = *state;
	uint64_t revision;

	if (!fixture->subject->is_persistent)
		skip();
	revision = put(fixture, "a", "1", 0);
	put(fixture, "b", "2", 0);
	assert_int_equal(run(fixture, txn_delete("a")).err.code, 0);
	store_events_done(&fixture->seen);

	reopen(fixture);
	assert_int_equal(store_revision(fixture->store), revision + 2);
	watch_all(fixture, revision);
	assert_seen(fixture, "b=2 -a");
	assert_int_equal(put(fixture, "c", "3", 0), revision + 3);
	assert_seen(fixture, "c=3");
	assert_content(fixture, "", "b=2 c=3");
}

/* Leases */

static uint64_t grant(struct fixture *fixture, uint64_t ttl_ms)
{
	struct err err = { 0 };
	uint64_t lease = 0;

	if (store_lease_grant(fixture->store, ttl_ms, &lease, &err) < 0)
		fail_msg("grant: %s", err.msg);
	assert_true(lease > 0);
	return lease;
}

static size_t count_deletes(const struct fixture *fixture)
{
	size_t count = 0;

	for (size_t i = 0; i < fixture->seen.items.count; i++)
		count += fixture->seen.items.items[i].is_delete;
	return count;
}

static void wait_for_deletes(struct fixture *fixture, size_t count)
{
	while (count_deletes(fixture) < count)
		loop_step(fixture->loop, -1);
}

static void test_a_lease_takes_its_keys_with_it(void **state)
{
	struct fixture *fixture = *state;
	uint64_t lease = grant(fixture, fixture->subject->lease_ms), revision;
	struct err err = { 0 };

	put(fixture, "node/b", "2", lease);
	put(fixture, "node/a", "1", lease);
	revision = put(fixture, "stays", "3", 0);
	assert_int_equal(fixture->seen.items.items[0].kv.lease, lease);
	wait_for_deletes(fixture, 2);
	assert_int_equal(fixture->seen.items.items[3].kv.mod_revision, revision + 1);
	assert_int_equal(fixture->seen.items.items[4].kv.mod_revision, revision + 1);
	assert_seen(fixture, "node/b=2 node/a=1 stays=3 -node/a -node/b");
	assert_content(fixture, "", "stays=3");
	assert_int_equal(store_lease_renew(fixture->store, lease, &err), -ENOENT);
	assert_int_equal(store_lease_revoke(fixture->store, lease, &err), -ENOENT);
	assert_int_equal(run(fixture, txn_put("node/a", "4", lease)).err.code, -ENOENT);
	assert_content(fixture, "", "stays=3");
}

static void test_leases_end_each_at_its_time(void **state)
{
	struct fixture *fixture = *state;
	uint64_t ttl_ms = fixture->subject->lease_ms;
	uint64_t late = grant(fixture, 3 * ttl_ms), early = grant(fixture, ttl_ms);
	int64_t begin_ms = loop_wall_ms(fixture->loop);

	put(fixture, "late", "1", late);
	put(fixture, "early", "2", early);
	wait_for_deletes(fixture, 1);
	assert_true(loop_wall_ms(fixture->loop) - begin_ms >= (int64_t)ttl_ms - 1);
	assert_seen(fixture, "late=1 early=2 -early");
	wait_for_deletes(fixture, 1);
	assert_true(loop_wall_ms(fixture->loop) - begin_ms >= 3 * (int64_t)ttl_ms - 1);
	assert_seen(fixture, "-late");
}

static void renew_by_timer(void *data)
{
	uint64_t *renewals = data;

	++*renewals;
}

static void test_a_renewed_lease_lives_longer(void **state)
{
	struct fixture *fixture = *state;
	uint64_t ttl_ms = fixture->subject->lease_ms, lease = grant(fixture, ttl_ms), renewals = 0;
	int64_t begin_ms = loop_wall_ms(fixture->loop);
	struct err err = { 0 };

	put(fixture, "k", "1", lease);
	while (renewals < 4) {
		uint64_t before = renewals;

		loop_add_timer(fixture->loop, ttl_ms / 2, renew_by_timer, &renewals, NULL);
		while (renewals == before)
			loop_step(fixture->loop, -1);
		assert_int_equal(store_lease_renew(fixture->store, lease, &err), 0);
	}
	assert_content(fixture, "", "k=1");
	wait_for_deletes(fixture, 1);
	assert_true(loop_wall_ms(fixture->loop) - begin_ms >= 3 * (int64_t)ttl_ms - 1);
}

static void test_a_revoked_lease_ends_at_once(void **state)
{
	struct fixture *fixture = *state;
	uint64_t lease = grant(fixture, 1000 * fixture->subject->lease_ms);
	uint64_t other = grant(fixture, 1000 * fixture->subject->lease_ms);
	struct err err = { 0 };

	assert_true(lease != other);
	put(fixture, "a", "1", lease);
	put(fixture, "b", "2", other);
	put(fixture, "c", "3", lease);
	put(fixture, "c", "4", 0);
	put(fixture, "d", "5", lease);
	put(fixture, "d", "6", other);
	assert_int_equal(store_lease_revoke(fixture->store, lease, &err), 0);
	wait_for_deletes(fixture, 1);
	assert_seen(fixture, "a=1 b=2 c=3 c=4 d=5 d=6 -a");
	assert_content(fixture, "", "b=2 c=4 d=6");
	assert_int_equal(store_lease_renew(fixture->store, lease, &err), -ENOENT);
	assert_int_equal(store_lease_renew(fixture->store, other, &err), 0);
}

static void test_events_of_a_revoked_lease_keep_their_place(void **state)
{
	struct fixture *fixture = *state;
	uint64_t lease = grant(fixture, 1000 * fixture->subject->lease_ms);
	struct err err = { 0 };
	struct answer answer;

	put(fixture, "leased", "1", lease);
	submit(fixture, txn_put("k", "1", 0), &answer);
	assert_int_equal(store_lease_revoke(fixture->store, lease, &err), 0);
	wait_for(fixture, &answer);
	wait_for_deletes(fixture, 1);
	assert_int_equal(fixture->seen.items.count, 3);
	assert_true(fixture->seen.items.items[1].kv.mod_revision < fixture->seen.items.items[2].kv.mod_revision);
}

static void test_a_lease_survives_a_restart(void **state)
{
	struct fixture *fixture = *state;
	uint64_t lease;
	struct err err = { 0 };

	if (!fixture->subject->is_persistent)
		skip();
	lease = grant(fixture, fixture->subject->lease_ms);
	put(fixture, "k", "1", lease);
	reopen(fixture);
	watch_all(fixture, 0);
	assert_int_equal(store_lease_renew(fixture->store, lease, &err), 0);
	assert_true(grant(fixture, fixture->subject->lease_ms) != lease);
	wait_for_deletes(fixture, 1);
	assert_content(fixture, "", "");
}

/* Life cycle */

static void test_close_commits_and_drops_the_callbacks(void **state)
{
	struct fixture *fixture = *state;
	struct answer answer;

	submit(fixture, txn_put("k", "1", 0), &answer);
	store_close(take(fixture->store));
	while (loop_step(fixture->loop, 0))
		;
	assert_false(answer.is_done);
	assert_int_equal(fixture->seen.items.count, 0);
	if (!fixture->subject->is_persistent)
		return;
	open_store(fixture);
	assert_content(fixture, "", "k=1");
}

static void close_by_answer(void *data, const struct store_result *result)
{
	struct fixture *fixture = data;

	assert_int_equal(result->err.code, 0);
	store_close(take(fixture->store));
}

static void test_a_callback_may_close_the_store(void **state)
{
	struct fixture *fixture = *state;
	struct answer after;

	store_submit(fixture->store, txn_put("k", "1", 0), close_by_answer, fixture);
	submit(fixture, txn_put("k", "2", 0), &after);
	while (fixture->store)
		loop_step(fixture->loop, -1);
	while (loop_step(fixture->loop, 0))
		;
	assert_false(after.is_done);
}

static void test_an_abandoned_store_forgets_what_was_not_begun(void **state)
{
	struct fixture *fixture = *state;
	struct store_txn *txn = txn_put("lost", "2", 0);
	struct answer answer;

	put(fixture, "kept", "1", 0);
	txn->delay_ms = 3600 * 1000;
	submit(fixture, txn, &answer);
	store_abandon(take(fixture->store));
	while (loop_step(fixture->loop, 0))
		;
	assert_false(answer.is_done);
	if (!fixture->subject->is_persistent)
		return;
	open_store(fixture);
	assert_content(fixture, "", "kept=1");
}

static void test_counters_count(void **state)
{
	struct fixture *fixture = *state;
	struct store_stats stats;

	put(fixture, "a", "1", 0);
	put(fixture, "a", "2", 0);
	assert_int_equal(try_guard(fixture, STORE_ABSENT, "a", 0), -ESTALE);
	store_get_stats(fixture->store, &stats);
	assert_int_equal(stats.transactions, 2);
	assert_int_equal(stats.commits, 2);
	assert_int_equal(stats.events, 2);
}

static void test_a_backup_opens_as_a_store(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = text_format("%s.backup", fixture->subject->path);
	struct store_conformance copied = *fixture->subject;
	struct fixture copy = { .subject = &copied, .loop = fixture->loop };
	struct err err = { 0 };

	put(fixture, "a", "1", 0);
	if (!fixture->subject->ops->backup) {
		assert_int_equal(store_backup(fixture->store, path, &err), -EOPNOTSUPP);
		return;
	}
	if (store_backup(fixture->store, path, &err) < 0)
		fail_msg("backup: %s", err.msg);
	put(fixture, "a", "2", 0);
	assert_int_equal(store_backup(fixture->store, path, &err), -EEXIST);

	copied.path = path;
	open_store(&copy);
	assert_content(&copy, "", "a=1");
	assert_int_equal(store_revision(copy.store), store_revision(fixture->store) - 1);
	store_close(copy.store);
	unlink(path);
}

/* A model: the simplest thing that could be a store, and random transactions to compare with it. */

enum { MODEL_KEYS = 16, MODEL_LEASES = 4, MODEL_BURST = 6 };

struct model_key {
	bool is_present;
	unsigned value;
	uint64_t create_revision, mod_revision, version, lease;
};

struct model {
	struct fixture *fixture;
	struct rng rng;
	struct model_key keys[MODEL_KEYS];
	uint64_t leases[MODEL_LEASES];
	uint64_t revision;
	unsigned next_value;
	struct store_events expected;
};

static const char *model_key_name(size_t i)
{
	static const char *const names[MODEL_KEYS] = {
		"a", "a/", "a/b", "a/b/c", "aa", "b", "b/1", "b/10", "b/2", "b0", "c", "c/z", "c/\xc3\xa9", "d", "z", "zz",
	};

	return names[i];
}

static size_t model_pick(struct model *model, size_t bound)
{
	return (size_t)rng_below(&model->rng, bound);
}

static void model_record(struct model *model, size_t i)
{
	const struct model_key *key = &model->keys[i];
	char value[16];

	snprintf(value, sizeof(value), "%u", key->value);
	store_events_add(&model->expected, !key->is_present, &(struct store_kv){
		.key = (char *)model_key_name(i), .value = value, .value_size = strlen(value),
		.create_revision = key->create_revision, .mod_revision = key->mod_revision,
		.version = key->version, .lease = key->lease,
	});
}

static void model_put(struct model *model, size_t i, unsigned value, uint64_t lease, uint64_t revision)
{
	struct model_key *key = &model->keys[i];

	if (!key->is_present)
		*key = (struct model_key){ .is_present = true, .create_revision = revision };
	key->value = value;
	key->mod_revision = revision;
	key->version++;
	key->lease = lease;
	model_record(model, i);
}

static void model_delete(struct model *model, size_t i, uint64_t revision)
{
	model->keys[i] = (struct model_key){ .mod_revision = revision };
	model_record(model, i);
	model->keys[i].mod_revision = 0;
}

/* Adds a random guard; returns whether it holds. */
static bool model_guard(struct model *model, struct store_txn *txn)
{
	size_t i = model_pick(model, MODEL_KEYS);
	const struct model_key *key = &model->keys[i];
	enum store_guard_kind kind = model_pick(model, 4) ? STORE_UNCHANGED :
				     key->is_present == model_pick(model, 4) ? STORE_ABSENT : STORE_EXISTS;
	uint64_t revision = key->mod_revision;

	if (kind == STORE_UNCHANGED && model_pick(model, 6) == 0)
		revision = model->revision / 2;
	store_txn_guard(txn, kind, model_key_name(i), revision);
	switch (kind) {
	case STORE_ABSENT:
		return !key->is_present;
	case STORE_EXISTS:
		return key->is_present;
	case STORE_UNCHANGED:
		return revision == key->mod_revision;
	}
	abort();
}

/* Adds a random change and, if the guards hold, makes it in the model; returns whether it changed something. */
static bool model_change(struct model *model, struct store_txn *txn, size_t i, bool is_applied)
{
	char value[16];
	uint64_t lease;

	if (model_pick(model, 3) == 0) {
		store_txn_delete(txn, model_key_name(i));
		if (!is_applied || !model->keys[i].is_present)
			return false;
		model_delete(model, i, model->revision + 1);
		return true;
	}
	lease = model_pick(model, 3) ? 0 : model->leases[model_pick(model, MODEL_LEASES)];
	snprintf(value, sizeof(value), "%u", ++model->next_value);
	store_txn_put(txn, model_key_name(i), value, strlen(value), lease);
	if (is_applied)
		model_put(model, i, model->next_value, lease, model->revision + 1);
	return is_applied;
}

static struct store_txn *model_txn(struct model *model, struct store_result *ret_expected)
{
	struct store_txn *txn = store_txn_new();
	size_t guards = model_pick(model, 3), first = model_pick(model, MODEL_KEYS), changes = model_pick(model, 5);
	bool has_changed = false;

	*ret_expected = (struct store_result){ 0 };
	for (size_t i = 0; i < guards; i++) {
		if (!model_guard(model, txn) && !ret_expected->err.code) {
			ret_expected->err.code = -ESTALE;
			ret_expected->failed_guard = i;
		}
	}
	for (size_t i = 0; i < changes; i++)
		has_changed |= model_change(model, txn, (first + 5 * i) % MODEL_KEYS, !ret_expected->err.code);
	model->revision += has_changed;
	ret_expected->revision = model->revision;
	return txn;
}

static void model_burst(struct model *model)
{
	struct store_result expected[MODEL_BURST];
	struct answer answers[MODEL_BURST];
	size_t count = 1 + model_pick(model, MODEL_BURST);

	for (size_t i = 0; i < count; i++)
		submit(model->fixture, model_txn(model, &expected[i]), &answers[i]);
	for (size_t i = 0; i < count; i++) {
		wait_for(model->fixture, &answers[i]);
		assert_int_equal(answers[i].result.err.code, expected[i].err.code);
		assert_int_equal(answers[i].result.failed_guard, expected[i].failed_guard);
		if (!expected[i].err.code)
			assert_int_equal(answers[i].result.revision, expected[i].revision);
	}
}

static void model_revoke(struct model *model)
{
	uint64_t *lease = &model->leases[model_pick(model, MODEL_LEASES)];
	struct err err = { 0 };
	bool has_changed = false;

	assert_int_equal(store_lease_revoke(model->fixture->store, *lease, &err), 0);
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		if (!model->keys[i].is_present || model->keys[i].lease != *lease)
			continue;
		model_delete(model, i, model->revision + 1);
		has_changed = true;
	}
	model->revision += has_changed;
	*lease = grant(model->fixture, 1000000 * model->fixture->subject->lease_ms);
}

static void model_restart(struct model *model)
{
	if (!model->fixture->subject->is_persistent)
		return;
	reopen(model->fixture);
	watch_all(model->fixture, model->revision);
}

static void assert_kv_equal(const struct store_kv *a, const struct store_kv *b)
{
	assert_string_equal(a->key, b->key);
	assert_int_equal(a->mod_revision, b->mod_revision);
	assert_int_equal(a->create_revision, b->create_revision);
	assert_int_equal(a->version, b->version);
	assert_int_equal(a->lease, b->lease);
	assert_int_equal(a->value_size, b->value_size);
	if (a->value && b->value)
		assert_memory_equal(a->value, b->value, a->value_size + 1);
	else
		assert_true(!a->value && !b->value);
}

static void model_compare_events(struct model *model)
{
	struct fixture *fixture = model->fixture;

	/* The events of a revoked lease have no answer to wait for. */
	while (fixture->seen.items.count < model->expected.items.count)
		loop_step(fixture->loop, -1);
	assert_int_equal(fixture->seen.items.count, model->expected.items.count);
	for (size_t i = 0; i < model->expected.items.count; i++) {
		assert_int_equal(fixture->seen.items.items[i].is_delete, model->expected.items.items[i].is_delete);
		assert_kv_equal(&fixture->seen.items.items[i].kv, &model->expected.items.items[i].kv);
	}
	store_events_done(&fixture->seen);
	store_events_done(&model->expected);
}

/* The names above are in byte order, and so must be the answer. */
static void model_compare_range(struct model *model)
{
	static const char *const prefixes[] = { "", "a", "a/", "b", "b/1", "c/", "nothing", "z" };
	const char *prefix = prefixes[model_pick(model, ARRAY_COUNT(prefixes))];
	struct listing listing;
	size_t found = 0;

	assert_int_equal(list(model->fixture, prefix, &listing), model->revision);
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		const struct model_key *key = &model->keys[i];
		char value[16];

		if (!key->is_present || !text_starts_with(model_key_name(i), prefix))
			continue;
		assert_true(found < listing.items.count);
		snprintf(value, sizeof(value), "%u", key->value);
		assert_kv_equal(&listing.items.items[found++], &(struct store_kv){
			.key = (char *)model_key_name(i), .value = value, .value_size = strlen(value),
			.create_revision = key->create_revision, .mod_revision = key->mod_revision,
			.version = key->version, .lease = key->lease,
		});
	}
	assert_int_equal(found, listing.items.count);
	listing_done(&listing);
}

static void test_random_transactions_agree_with_a_model(void **state)
{
	struct fixture *fixture = *state;
	struct model model = { .fixture = fixture, .revision = store_revision(fixture->store) };

	rng_init(&model.rng, 20261123);
	for (size_t i = 0; i < MODEL_LEASES; i++)
		model.leases[i] = grant(fixture, 1000000 * fixture->subject->lease_ms);
	for (unsigned step = 0; step < fixture->subject->random_steps; step++) {
		size_t choice = model_pick(&model, 100);

		if (choice < 5)
			model_revoke(&model);
		else
			model_burst(&model);
		model_compare_events(&model);
		if (choice < 30)
			model_compare_range(&model);
		if (choice == 99)
			model_restart(&model);
	}
}

#define STORE_TEST(function) { #function, function, setup, teardown, NULL }

static const struct CMUnitTest suite[] = {
	STORE_TEST(test_range_is_in_byte_order_and_keeps_to_its_prefix),
	STORE_TEST(test_a_key_knows_its_revisions_and_version),
	STORE_TEST(test_values_are_bytes),
	STORE_TEST(test_range_ends_with_the_callbacks_error),
	STORE_TEST(test_every_kind_of_guard),
	STORE_TEST(test_a_failed_guard_changes_nothing),
	STORE_TEST(test_deleting_what_is_absent_is_no_change),
	STORE_TEST(test_transactions_submitted_together_stay_apart),
	STORE_TEST(test_more_than_fit_into_one_batch_keep_their_order),
	STORE_TEST(test_a_delayed_transaction_comes_with_the_next),
	STORE_TEST(test_a_watch_is_told_before_the_answer),
	STORE_TEST(test_events_carry_the_whole_key),
	STORE_TEST(test_a_watch_sees_its_prefix_from_its_revision_on),
	STORE_TEST(test_a_watch_begun_by_a_watch_misses_and_repeats_nothing),
	STORE_TEST(test_history_ends_where_it_was_compacted),
	STORE_TEST(test_a_watch_goes_on_after_a_restart),
	STORE_TEST(test_a_lease_takes_its_keys_with_it),
	STORE_TEST(test_leases_end_each_at_its_time),
	STORE_TEST(test_a_renewed_lease_lives_longer),
	STORE_TEST(test_a_revoked_lease_ends_at_once),
	STORE_TEST(test_events_of_a_revoked_lease_keep_their_place),
	STORE_TEST(test_a_lease_survives_a_restart),
	STORE_TEST(test_close_commits_and_drops_the_callbacks),
	STORE_TEST(test_a_callback_may_close_the_store),
	STORE_TEST(test_an_abandoned_store_forgets_what_was_not_begun),
	STORE_TEST(test_counters_count),
	STORE_TEST(test_a_backup_opens_as_a_store),
	STORE_TEST(test_random_transactions_agree_with_a_model),
};

int store_conformance_run(const struct store_conformance *subject)
{
	struct CMUnitTest tests[ARRAY_COUNT(suite)];

	memcpy(tests, suite, sizeof(suite));
	for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
		tests[i].initial_state = (void *)subject;
	return _cmocka_run_group_tests(subject->name, tests, ARRAY_COUNT(tests), NULL, NULL);
}
