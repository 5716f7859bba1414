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
#include "base/str.h"
#include "port/store_fixture.h"
#include "port/store_model.h"

/* Reading and writing */

static void test_range_is_in_byte_order_and_keeps_to_its_prefix(void **state)
{
	struct store_fixture *fixture = *state;

	store_fixture_put(fixture, "b/2", "two", 0);
	store_fixture_put(fixture, "b/10", "ten", 0);
	store_fixture_put(fixture, "b", "just b", 0);
	store_fixture_put(fixture, "a", "before", 0);
	store_fixture_put(fixture, "c", "behind", 0);
	store_fixture_put(fixture, "b/\xc3\xa4", "umlaut", 0);
	store_fixture_put(fixture, "b\x7f", "delete sign", 0);
	store_fixture_assert_content(fixture, "b/", "b/10=ten b/2=two b/\xc3\xa4=umlaut");
	store_fixture_assert_content(fixture, "b", "b=just b b/10=ten b/2=two b/\xc3\xa4=umlaut b\x7f=delete sign");
	store_fixture_assert_content(fixture, "b/3", "");
	store_fixture_assert_content(fixture, "",
				     "a=before b=just b b/10=ten b/2=two b/\xc3\xa4=umlaut b\x7f=delete sign c=behind");
}

static void test_a_key_knows_its_revisions_and_version(void **state)
{
	struct store_fixture *fixture = *state;
	uint64_t created = store_fixture_put(fixture, "k", "1", 0);
	uint64_t changed = store_fixture_put(fixture, "k", "2", 0);
	uint64_t other = store_fixture_put(fixture, "other", "x", 0), revision;
	struct store_listing listing;

	assert_true(created < changed && changed < other);
	revision = store_fixture_list(fixture, "k", &listing);
	assert_true(revision == other || (fixture->subject->is_shared && revision > other));
	assert_int_equal(listing.items.count, 1);
	assert_int_equal(listing.items.items[0].create_revision, created);
	assert_int_equal(listing.items.items[0].mod_revision, changed);
	assert_int_equal(listing.items.items[0].version, 2);
	store_listing_done(&listing);

	assert_int_equal(store_fixture_run(fixture, store_fixture_txn_delete("k")).err.code, 0);
	created = store_fixture_put(fixture, "k", "3", 0);
	store_fixture_list(fixture, "k", &listing);
	assert_int_equal(listing.items.items[0].create_revision, created);
	assert_int_equal(listing.items.items[0].version, 1);
	store_listing_done(&listing);
}

static void test_values_are_bytes(void **state)
{
	enum { BIG = 300 << 10 };
	struct store_fixture *fixture = *state;
	struct store_txn *txn = store_txn_new();
	auto_free char *big = alloc(BIG);
	struct store_listing listing;

	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)(i * 7);
	store_txn_put(txn, "big", big, BIG, 0);
	store_txn_put(txn, "empty", "", 0, 0);
	store_txn_put(txn, "zero", "a\0b", 3, 0);
	assert_int_equal(store_fixture_run(fixture, txn).err.code, 0);

	store_fixture_list(fixture, "", &listing);
	assert_int_equal(listing.items.count, 3);
	assert_int_equal(listing.items.items[0].value_size, BIG);
	assert_memory_equal(listing.items.items[0].value, big, BIG);
	assert_int_equal(listing.items.items[1].value_size, 0);
	assert_string_equal(listing.items.items[1].value, "");
	assert_int_equal(listing.items.items[2].value_size, 3);
	assert_memory_equal(listing.items.items[2].value, "a\0b", 4);
	store_listing_done(&listing);
}

static int stop_at_second(void *data, const struct store_kv *kv, struct err *err)
{
	unsigned *count = data;

	(void)kv;
	return ++*count < 2 ? 0 : err_set(err, -ECANCELED, "enough");
}

static void test_range_ends_with_the_callbacks_error(void **state)
{
	struct store_fixture *fixture = *state;
	unsigned count = 0;
	struct err err = { 0 };

	store_fixture_put(fixture, "a", "1", 0);
	store_fixture_put(fixture, "b", "2", 0);
	store_fixture_put(fixture, "c", "3", 0);
	assert_int_equal(store_range(fixture->store, "", stop_at_second, &count, NULL, &err), -ECANCELED);
	assert_string_equal(err.msg, "enough");
	assert_int_equal(count, 2);
	store_fixture_assert_content(fixture, "", "a=1 b=2 c=3");
}

/* Guards */

static int try_guard(struct store_fixture *fixture, enum store_guard_kind kind, const char *key, uint64_t revision)
{
	struct store_txn *txn = store_fixture_txn_put("mark", "x", 0);

	store_txn_guard(txn, kind, key, revision);
	return store_fixture_run(fixture, txn).err.code;
}

static void test_every_kind_of_guard(void **state)
{
	struct store_fixture *fixture = *state;
	uint64_t revision = store_fixture_put(fixture, "k", "1", 0);

	assert_int_equal(try_guard(fixture, STORE_EXISTS, "k", 0), 0);
	assert_int_equal(try_guard(fixture, STORE_ABSENT, "k", 0), -ESTALE);
	assert_int_equal(try_guard(fixture, STORE_UNCHANGED, "k", revision), 0);
	assert_int_equal(try_guard(fixture, STORE_UNCHANGED, "k", 0), -ESTALE);
	store_fixture_put(fixture, "k", "1", 0);
	assert_int_equal(try_guard(fixture, STORE_UNCHANGED, "k", revision), -ESTALE);

	assert_int_equal(store_fixture_run(fixture, store_fixture_txn_delete("k")).err.code, 0);
	assert_int_equal(try_guard(fixture, STORE_EXISTS, "k", 0), -ESTALE);
	assert_int_equal(try_guard(fixture, STORE_ABSENT, "k", 0), 0);
	assert_int_equal(try_guard(fixture, STORE_UNCHANGED, "k", revision), -ESTALE);
	assert_int_equal(try_guard(fixture, STORE_UNCHANGED, "k", 0), 0);
}

static void test_a_failed_guard_changes_nothing(void **state)
{
	struct store_fixture *fixture = *state;
	uint64_t revision = store_fixture_put(fixture, "k", "1", 0);
	struct store_txn *txn = store_txn_new();
	struct store_result result;

	store_txn_guard(txn, STORE_EXISTS, "k", 0);
	store_txn_guard(txn, STORE_ABSENT, "k", 0);
	store_txn_put(txn, "k", "2", 1, 0);
	store_txn_put(txn, "new", "3", 1, 0);
	result = store_fixture_run(fixture, txn);
	assert_int_equal(result.err.code, -ESTALE);
	assert_int_equal(result.failed_guard, 1);
	assert_non_null(strstr(result.err.msg, "'k'"));
	store_fixture_assert_content(fixture, "", "k=1");
	store_fixture_assert_seen(fixture, "k=1");
	store_fixture_assert_later(fixture, store_fixture_put(fixture, "k", "4", 0), revision, 1);
}

static void test_deleting_what_is_absent_is_no_change(void **state)
{
	struct store_fixture *fixture = *state;
	uint64_t revision = store_fixture_put(fixture, "k", "1", 0);
	struct store_result result = store_fixture_run(fixture, store_fixture_txn_delete("absent"));

	assert_int_equal(result.err.code, 0);
	assert_true(result.revision == revision || (fixture->subject->is_shared && result.revision > revision));
	store_fixture_assert_seen(fixture, "k=1");
	store_fixture_assert_later(fixture, store_fixture_put(fixture, "k", "2", 0), revision, 1);
}

/* Batches: submitted together, so that they share a commit where the front collects. */

static void test_transactions_submitted_together_stay_apart(void **state)
{
	struct store_fixture *fixture = *state;
	struct store_txn *txns[4];
	struct store_answer answers[ARRAY_COUNT(txns)];

	txns[0] = store_fixture_txn_put("name", "first", 0);
	store_txn_guard(txns[0], STORE_ABSENT, "name", 0);
	txns[1] = store_fixture_txn_put("name", "second", 0);
	store_txn_guard(txns[1], STORE_ABSENT, "name", 0);
	txns[2] = store_fixture_txn_put("other", "third", 0);
	store_txn_guard(txns[2], STORE_EXISTS, "name", 0);
	txns[3] = store_fixture_txn_delete("name");
	for (size_t i = 0; i < ARRAY_COUNT(txns); i++)
		store_fixture_submit(fixture, txns[i], &answers[i]);
	for (size_t i = 0; i < ARRAY_COUNT(txns); i++)
		store_fixture_wait(fixture, &answers[i]);

	assert_int_equal(answers[0].result.err.code, 0);
	assert_int_equal(answers[1].result.err.code, -ESTALE);
	assert_int_equal(answers[2].result.err.code, 0);
	assert_int_equal(answers[3].result.err.code, 0);
	store_fixture_assert_later(fixture, answers[2].result.revision, answers[0].result.revision, 1);
	store_fixture_assert_later(fixture, answers[3].result.revision, answers[0].result.revision, 2);
	store_fixture_assert_seen(fixture, "name=first other=third -name");
	store_fixture_assert_content(fixture, "", "other=third");
}

static void test_more_than_fit_into_one_batch_keep_their_order(void **state)
{
	enum { COUNT = 2 * LIMIT_STORE_BATCH + 10 };
	struct store_fixture *fixture = *state;
	struct store_answer *answers = alloc(COUNT * sizeof(*answers));
	char key[16];

	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(key, sizeof(key), "k%u", i % 100);
		store_fixture_submit(fixture, store_fixture_txn_put(key, key, 0), &answers[i]);
	}
	for (unsigned i = 0; i < COUNT; i++)
		store_fixture_wait(fixture, &answers[i]);
	assert_int_equal(fixture->seen.items.count, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(key, sizeof(key), "k%u", i % 100);
		assert_int_equal(answers[i].result.err.code, 0);
		if (!fixture->subject->is_shared)
			assert_int_equal(answers[i].result.revision, answers[0].result.revision + i);
		else if (i >= 100)	/* The same key again. */
			assert_true(answers[i].result.revision > answers[i - 100].result.revision);
		assert_true(answers[i].seen_revision >= answers[i].result.revision);
		assert_string_equal(fixture->seen.items.items[i].kv.key, key);
	}
	free(answers);
}

static void test_a_transaction_may_be_large(void **state)
{
	enum { COUNT = 1000, GUARDS = 90 };
	struct store_fixture *fixture = *state;
	struct store_txn *txn = store_txn_new();
	struct store_result result;
	char key[16];

	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		if (i < GUARDS)
			store_txn_guard(txn, STORE_ABSENT, key, 0);
		store_txn_put(txn, key, key, strlen(key), 0);
	}
	result = store_fixture_run(fixture, txn);
	assert_int_equal(result.err.code, 0);
	assert_int_equal(fixture->seen.items.count, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		assert_string_equal(fixture->seen.items.items[i].kv.key, key);
		assert_int_equal(fixture->seen.items.items[i].kv.mod_revision, result.revision);
	}
	store_events_done(&fixture->seen);

	txn = store_txn_new();
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		store_txn_delete(txn, key);
		if (i < GUARDS)
			store_txn_guard(txn, i == GUARDS - 1 ? STORE_ABSENT : STORE_EXISTS, key, 0);
	}
	result = store_fixture_run(fixture, txn);
	assert_int_equal(result.err.code, -ESTALE);
	assert_int_equal(result.failed_guard, GUARDS - 1);
	assert_int_equal(fixture->seen.items.count, 0);
}

static void test_a_delayed_transaction_comes_with_the_next(void **state)
{
	enum { LONG_MS = 3600 * 1000 };
	struct store_fixture *fixture = *state;
	struct store_txn *txn = store_fixture_txn_put("observed", "1", 0);
	struct store_answer delayed;

	txn->delay_ms = LONG_MS;
	store_fixture_submit(fixture, txn, &delayed);
	store_fixture_put(fixture, "desired", "2", 0);
	store_fixture_wait(fixture, &delayed);
	store_fixture_assert_seen(fixture, "observed=1 desired=2");

	txn = store_fixture_txn_put("observed", "3", 0);
	txn->delay_ms = 5;
	assert_int_equal(store_fixture_run(fixture, txn).err.code, 0);
}

/* Watches */

static void test_a_watch_is_told_before_the_answer(void **state)
{
	struct store_fixture *fixture = *state;
	struct store_answer answer;

	store_fixture_submit(fixture, store_fixture_txn_put("k", "1", 0), &answer);
	store_fixture_wait(fixture, &answer);
	assert_int_equal(answer.seen_revision, answer.result.revision);
	assert_int_equal(store_revision(fixture->store), answer.result.revision);
}

static void test_events_carry_the_whole_key(void **state)
{
	struct store_fixture *fixture = *state;
	struct store_txn *txn = store_txn_new();
	const struct store_event *events;
	uint64_t before = store_fixture_put(fixture, "a", "1", 0);
	struct store_result result;

	store_txn_put(txn, "z", "26", 2, 0);
	store_txn_delete(txn, "a");
	store_txn_put(txn, "b", "2", 1, 0);
	result = store_fixture_run(fixture, txn);
	assert_int_equal(result.err.code, 0);
	store_fixture_assert_later(fixture, result.revision, before, 1);

	events = fixture->seen.items.items;
	assert_int_equal(fixture->seen.items.count, 4);
	for (size_t i = 1; i < 4; i++)
		assert_int_equal(events[i].kv.mod_revision, result.revision);
	assert_int_equal(events[1].kv.create_revision, result.revision);
	assert_int_equal(events[1].kv.version, 1);
	assert_int_equal(events[1].kv.value_size, 2);
	assert_true(events[2].is_delete);
	assert_null(events[2].kv.value);
	store_fixture_assert_seen(fixture, "a=1 z=26 -a b=2");
}

struct second_watch {
	struct store_fixture *fixture;
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
	struct store_fixture *fixture = *state;
	struct second_watch past = { 0 }, future = { 0 };
	struct err err = { 0 };
	uint64_t revision;

	store_fixture_put(fixture, "a/1", "1", 0);
	revision = store_fixture_put(fixture, "a/2", "2", 0);
	store_fixture_put(fixture, "b/1", "3", 0);
	store_fixture_put(fixture, "a/1", "4", 0);
	assert_int_equal(store_watch(fixture->store, "a/", revision, see_second, &past, &err), 0);
	assert_int_equal(past.seen.items.count, 1);
	/* Between the next two changes, where revisions can be told in advance. */
	assert_int_equal(store_watch(fixture->store, "a/", revision + (fixture->subject->is_shared ? 1000 : 3), see_second, &future, &err), 0);
	store_fixture_put(fixture, "a/3", "5", 0);
	store_fixture_put(fixture, "b/3", "6", 0);
	assert_int_equal(store_fixture_run(fixture, store_fixture_txn_delete("a/3")).err.code, 0);

	assert_int_equal(past.seen.items.count, 3);
	assert_string_equal(past.seen.items.items[0].kv.value, "4");
	assert_string_equal(past.seen.items.items[1].kv.value, "5");
	assert_true(past.seen.items.items[2].is_delete);
	assert_int_equal(future.seen.items.count, fixture->subject->is_shared ? 0 : 1);
	if (!fixture->subject->is_shared)
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
	struct store_fixture *fixture = *state;
	struct second_watch watch = { .fixture = fixture };
	struct store_answer answers[3];
	struct err err = { 0 };
	struct store_txn *txn = store_fixture_txn_put("a", "1", 0);

	store_fixture_put(fixture, "before", "0", 0);
	store_txn_put(txn, "b", "2", 1, 0);
	assert_int_equal(store_watch(fixture->store, "", 0, begin_second_watch, &watch, &err), 0);
	store_fixture_submit(fixture, txn, &answers[0]);
	store_fixture_submit(fixture, store_fixture_txn_put("c", "3", 0), &answers[1]);
	store_fixture_submit(fixture, store_fixture_txn_put("d", "4", 0), &answers[2]);
	for (size_t i = 0; i < ARRAY_COUNT(answers); i++)
		store_fixture_wait(fixture, &answers[i]);
	assert_int_equal(watch.seen.items.count, 4);
	assert_string_equal(watch.seen.items.items[0].kv.key, "a");
	assert_string_equal(watch.seen.items.items[1].kv.key, "b");
	assert_string_equal(watch.seen.items.items[2].kv.key, "c");
	assert_string_equal(watch.seen.items.items[3].kv.key, "d");
	store_events_done(&watch.seen);
}

static void test_history_ends_where_it_was_compacted(void **state)
{
	struct store_fixture *fixture = *state;
	struct second_watch watch = { 0 };
	struct err err = { 0 };
	uint64_t first = store_fixture_put(fixture, "a", "1", 0);
	uint64_t second = store_fixture_put(fixture, "a", "2", 0);

	store_fixture_put(fixture, "b", "3", 0);
	assert_int_equal(store_compact(fixture->store, second, &err), 0);
	assert_int_equal(store_compact(fixture->store, first, &err), 0);
	assert_int_equal(store_compact(fixture->store, second + 100, &err), -EINVAL);
	assert_int_equal(store_watch(fixture->store, "", first, see_second, &watch, &err), -ERANGE);
	assert_int_equal(store_watch(fixture->store, "", second, see_second, &watch, &err), 0);
	assert_int_equal(watch.seen.items.count, 1);
	assert_string_equal(watch.seen.items.items[0].kv.key, "b");
	store_fixture_assert_content(fixture, "", "a=2 b=3");
	store_events_done(&watch.seen);
}

static void test_a_watch_goes_on_after_a_restart(void **state)
{
	struct store_fixture *fixture = *state;
	uint64_t revision;

	if (!fixture->subject->is_persistent)
		skip();
	revision = store_fixture_put(fixture, "a", "1", 0);
	store_fixture_put(fixture, "b", "2", 0);
	assert_int_equal(store_fixture_run(fixture, store_fixture_txn_delete("a")).err.code, 0);
	store_events_done(&fixture->seen);

	store_fixture_reopen(fixture);
	store_fixture_assert_later(fixture, store_revision(fixture->store), revision, 2);
	store_fixture_watch(fixture, revision);
	store_fixture_assert_seen(fixture, "b=2 -a");
	store_fixture_assert_later(fixture, store_fixture_put(fixture, "c", "3", 0), revision, 3);
	store_fixture_assert_seen(fixture, "c=3");
	store_fixture_assert_content(fixture, "", "b=2 c=3");
}

/* Leases */

static size_t count_deletes(const struct store_fixture *fixture)
{
	size_t count = 0;

	for (size_t i = 0; i < fixture->seen.items.count; i++)
		count += fixture->seen.items.items[i].is_delete;
	return count;
}

static void wait_for_deletes(struct store_fixture *fixture, size_t count)
{
	while (count_deletes(fixture) < count)
		loop_step(fixture->loop, -1);
}

static void test_a_lease_takes_its_keys_with_it(void **state)
{
	struct store_fixture *fixture = *state;
	uint64_t lease = store_fixture_grant(fixture, fixture->subject->lease_ms), revision;
	struct err err = { 0 };

	store_fixture_put(fixture, "node/b", "2", lease);
	store_fixture_put(fixture, "node/a", "1", lease);
	revision = store_fixture_put(fixture, "stays", "3", 0);
	assert_int_equal(fixture->seen.items.items[0].kv.lease, lease);
	wait_for_deletes(fixture, 2);
	store_fixture_assert_later(fixture, fixture->seen.items.items[3].kv.mod_revision, revision, 1);
	assert_int_equal(fixture->seen.items.items[4].kv.mod_revision, fixture->seen.items.items[3].kv.mod_revision);
	store_fixture_assert_seen(fixture, "node/b=2 node/a=1 stays=3 -node/a -node/b");
	store_fixture_assert_content(fixture, "", "stays=3");
	assert_int_equal(store_lease_renew(fixture->store, lease, &err), -ENOENT);
	assert_int_equal(store_lease_revoke(fixture->store, lease, &err), -ENOENT);
	assert_int_equal(store_fixture_run(fixture, store_fixture_txn_put("node/a", "4", lease)).err.code, -ENOENT);
	store_fixture_assert_content(fixture, "", "stays=3");
}

static void test_leases_end_each_at_its_time(void **state)
{
	struct store_fixture *fixture = *state;
	uint64_t ttl_ms = fixture->subject->lease_ms;
	int64_t begin_ms = loop_wall_ms(fixture->loop);

	store_fixture_put(fixture, "late", "1", store_fixture_grant(fixture, 3 * ttl_ms));
	store_fixture_put(fixture, "early", "2", store_fixture_grant(fixture, ttl_ms));
	wait_for_deletes(fixture, 1);
	assert_true(loop_wall_ms(fixture->loop) - begin_ms >= (int64_t)ttl_ms - 1);
	store_fixture_assert_seen(fixture, "late=1 early=2 -early");
	wait_for_deletes(fixture, 1);
	assert_true(loop_wall_ms(fixture->loop) - begin_ms >= 3 * (int64_t)ttl_ms - 1);
	store_fixture_assert_seen(fixture, "-late");
}

static void renew_by_timer(void *data)
{
	uint64_t *renewals = data;

	++*renewals;
}

static void test_a_renewed_lease_lives_longer(void **state)
{
	struct store_fixture *fixture = *state;
	int64_t begin_ms = loop_wall_ms(fixture->loop);
	uint64_t ttl_ms = fixture->subject->lease_ms, lease = store_fixture_grant(fixture, ttl_ms), renewals = 0;
	struct err err = { 0 };

	store_fixture_put(fixture, "k", "1", lease);
	while (renewals < 4) {
		uint64_t before = renewals;

		loop_add_timer(fixture->loop, ttl_ms / 2, renew_by_timer, &renewals, NULL);
		while (renewals == before)
			loop_step(fixture->loop, -1);
		assert_int_equal(store_lease_renew(fixture->store, lease, &err), 0);
	}
	store_fixture_assert_content(fixture, "", "k=1");
	wait_for_deletes(fixture, 1);
	assert_true(loop_wall_ms(fixture->loop) - begin_ms >= 3 * (int64_t)ttl_ms - 1);
}

static void test_a_revoked_lease_ends_at_once(void **state)
{
	struct store_fixture *fixture = *state;
	uint64_t lease = store_fixture_grant(fixture, 1000 * fixture->subject->lease_ms);
	uint64_t other = store_fixture_grant(fixture, 1000 * fixture->subject->lease_ms);
	struct err err = { 0 };

	assert_true(lease != other);
	store_fixture_put(fixture, "a", "1", lease);
	store_fixture_put(fixture, "b", "2", other);
	store_fixture_put(fixture, "c", "3", lease);
	store_fixture_put(fixture, "c", "4", 0);
	store_fixture_put(fixture, "d", "5", lease);
	store_fixture_put(fixture, "d", "6", other);
	assert_int_equal(store_lease_revoke(fixture->store, lease, &err), 0);
	wait_for_deletes(fixture, 1);
	store_fixture_assert_seen(fixture, "a=1 b=2 c=3 c=4 d=5 d=6 -a");
	store_fixture_assert_content(fixture, "", "b=2 c=4 d=6");
	assert_int_equal(store_lease_renew(fixture->store, lease, &err), -ENOENT);
	assert_int_equal(store_lease_renew(fixture->store, other, &err), 0);
}

static void test_events_of_a_revoked_lease_keep_their_place(void **state)
{
	struct store_fixture *fixture = *state;
	uint64_t lease = store_fixture_grant(fixture, 1000 * fixture->subject->lease_ms);
	struct err err = { 0 };
	struct store_answer answer;

	store_fixture_put(fixture, "leased", "1", lease);
	store_fixture_submit(fixture, store_fixture_txn_put("k", "1", 0), &answer);
	assert_int_equal(store_lease_revoke(fixture->store, lease, &err), 0);
	store_fixture_wait(fixture, &answer);
	wait_for_deletes(fixture, 1);
	assert_int_equal(fixture->seen.items.count, 3);
	assert_true(fixture->seen.items.items[1].kv.mod_revision < fixture->seen.items.items[2].kv.mod_revision);
}

static void test_a_lease_survives_a_restart(void **state)
{
	struct store_fixture *fixture = *state;
	uint64_t lease;
	struct err err = { 0 };

	if (!fixture->subject->is_persistent)
		skip();
	lease = store_fixture_grant(fixture, fixture->subject->lease_ms);
	store_fixture_put(fixture, "k", "1", lease);
	store_fixture_reopen(fixture);
	store_fixture_watch(fixture, 0);
	assert_int_equal(store_lease_renew(fixture->store, lease, &err), 0);
	assert_true(store_fixture_grant(fixture, fixture->subject->lease_ms) != lease);
	wait_for_deletes(fixture, 1);
	store_fixture_assert_content(fixture, "", "");
}

/* Life cycle */

static void test_close_commits_and_drops_the_callbacks(void **state)
{
	struct store_fixture *fixture = *state;
	struct store_answer answer;

	store_fixture_submit(fixture, store_fixture_txn_put("k", "1", 0), &answer);
	store_close(take(fixture->store));
	while (loop_step(fixture->loop, 0))
		;
	assert_false(answer.is_done);
	assert_int_equal(fixture->seen.items.count, 0);
	if (!fixture->subject->is_persistent)
		return;
	store_fixture_open(fixture);
	store_fixture_assert_content(fixture, "", "k=1");
}

static void close_by_answer(void *data, const struct store_result *result)
{
	struct store_fixture *fixture = data;

	assert_int_equal(result->err.code, 0);
	store_close(take(fixture->store));
}

static void test_a_callback_may_close_the_store(void **state)
{
	struct store_fixture *fixture = *state;
	struct store_answer after;

	store_submit(fixture->store, store_fixture_txn_put("k", "1", 0), close_by_answer, fixture);
	store_fixture_submit(fixture, store_fixture_txn_put("k", "2", 0), &after);
	while (fixture->store)
		loop_step(fixture->loop, -1);
	while (loop_step(fixture->loop, 0))
		;
	assert_false(after.is_done);
}

static void test_an_abandoned_store_forgets_what_was_not_begun(void **state)
{
	struct store_fixture *fixture = *state;
	struct store_txn *txn = store_fixture_txn_put("lost", "2", 0);
	struct store_answer answer;

	store_fixture_put(fixture, "kept", "1", 0);
	txn->delay_ms = 3600 * 1000;
	store_fixture_submit(fixture, txn, &answer);
	store_abandon(take(fixture->store));
	while (loop_step(fixture->loop, 0))
		;
	assert_false(answer.is_done);
	if (!fixture->subject->is_persistent)
		return;
	store_fixture_open(fixture);
	store_fixture_assert_content(fixture, "", "kept=1");
}

static void test_counters_count(void **state)
{
	struct store_fixture *fixture = *state;
	struct store_stats stats;

	store_fixture_put(fixture, "a", "1", 0);
	store_fixture_put(fixture, "a", "2", 0);
	assert_int_equal(try_guard(fixture, STORE_ABSENT, "a", 0), -ESTALE);
	store_get_stats(fixture->store, &stats);
	assert_int_equal(stats.transactions, 2);
	assert_int_equal(stats.commits, 2);
	assert_int_equal(stats.events, 2);
}

static void test_a_backup_opens_as_a_store(void **state)
{
	struct store_fixture *fixture = *state;
	auto_free char *path = text_format("%s.backup", fixture->subject->path);
	struct store_conformance copied = *fixture->subject;
	struct store_fixture copy = { .subject = &copied, .loop = fixture->loop };
	struct err err = { 0 };

	store_fixture_put(fixture, "a", "1", 0);
	if (!fixture->subject->ops->backup) {
		assert_int_equal(store_backup(fixture->store, path, &err), -EOPNOTSUPP);
		return;
	}
	if (store_backup(fixture->store, path, &err) < 0)
		fail_msg("backup: %s", err.msg);
	store_fixture_put(fixture, "a", "2", 0);
	assert_int_equal(store_backup(fixture->store, path, &err), -EEXIST);

	copied.path = path;
	store_fixture_open(&copy);
	store_fixture_assert_content(&copy, "", "a=1");
	assert_int_equal(store_revision(copy.store), store_revision(fixture->store) - 1);
	store_close(copy.store);
	unlink(path);
}

#define STORE_TEST(function) { #function, function, store_fixture_setup, store_fixture_teardown, NULL }

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
	STORE_TEST(test_a_transaction_may_be_large),
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
	{ "test_random_transactions_agree_with_a_model", store_model_test, store_fixture_setup, store_fixture_teardown, NULL },
};

int store_conformance_run(const struct store_conformance *subject)
{
	struct CMUnitTest tests[ARRAY_COUNT(suite)];

	memcpy(tests, suite, sizeof(suite));
	for (size_t i = 0; i < ARRAY_COUNT(tests); i++)
		tests[i].initial_state = (void *)subject;
	return _cmocka_run_group_tests(subject->name, tests, ARRAY_COUNT(tests), NULL, NULL);
}
