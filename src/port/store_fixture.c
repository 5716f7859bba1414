#include "port/store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

static void see(void *data, const struct store_event *event)
{
	struct store_fixture *fixture = data;

	store_events_add(&fixture->seen, event->is_delete, &event->kv);
}

static uint64_t last_seen_revision(const struct store_fixture *fixture)
{
	size_t count = fixture->seen.items.count;

	return count ? fixture->seen.items.items[count - 1].kv.mod_revision : 0;
}

void store_fixture_open(struct store_fixture *fixture)
{
	struct store_params params = { .path = fixture->subject->path, .etcd = fixture->subject->etcd, .shared = fixture->shared };
	struct err err = { 0 };

	if (store_open(fixture->subject->ops, &params, fixture->loop, &fixture->store, &err) < 0)
		fail_msg("open: %s", err.msg);
}

void store_fixture_watch(struct store_fixture *fixture, uint64_t after_revision)
{
	struct err err = { 0 };

	if (store_watch(fixture->store, "", after_revision, see, fixture, &err) < 0)
		fail_msg("watch: %s", err.msg);
}

int store_fixture_setup(void **state)
{
	const struct store_conformance *subject = *state;
	struct store_fixture *fixture = alloc(sizeof(*fixture));
	struct err err;

	if (subject->reset)
		subject->reset(subject);
	fixture->subject = subject;
	if (loop_new(subject->clock, 1000000, &fixture->loop, &err) < 0)
		return -1;
	*state = fixture;
	if (subject->share)
		fixture->shared = subject->share(fixture->loop);
	store_fixture_open(fixture);
	store_fixture_watch(fixture, 0);
	return 0;
}

int store_fixture_teardown(void **state)
{
	struct store_fixture *fixture = *state;

	store_close(fixture->store);
	if (fixture->shared)
		fixture->subject->unshare(fixture->shared);
	loop_free(fixture->loop);
	store_events_done(&fixture->seen);
	free(fixture);
	return 0;
}

void store_fixture_reopen(struct store_fixture *fixture)
{
	store_close(fixture->store);
	store_fixture_open(fixture);
}

static void keep_answer(void *data, const struct store_result *result)
{
	struct store_answer *answer = data;

	answer->result = *result;
	answer->seen_revision = last_seen_revision(answer->fixture);
	answer->is_done = true;
}

void store_fixture_submit(struct store_fixture *fixture, struct store_txn *txn, struct store_answer *answer)
{
	*answer = (struct store_answer){ .fixture = fixture };
	store_submit(fixture->store, txn, keep_answer, answer);
}

void store_fixture_wait(struct store_fixture *fixture, const struct store_answer *answer)
{
	while (!answer->is_done)
		loop_step(fixture->loop, -1);
}

struct store_result store_fixture_run(struct store_fixture *fixture, struct store_txn *txn)
{
	struct store_answer answer;

	store_fixture_submit(fixture, txn, &answer);
	store_fixture_wait(fixture, &answer);
	return answer.result;
}

struct store_txn *store_fixture_txn_put(const char *key, const char *value, uint64_t lease)
{
	struct store_txn *txn = store_txn_new();

	store_txn_put(txn, key, value, strlen(value), lease);
	return txn;
}

struct store_txn *store_fixture_txn_delete(const char *key)
{
	struct store_txn *txn = store_txn_new();

	store_txn_delete(txn, key);
	return txn;
}

uint64_t store_fixture_put(struct store_fixture *fixture, const char *key, const char *value, uint64_t lease)
{
	struct store_result result = store_fixture_run(fixture, store_fixture_txn_put(key, value, lease));

	if (result.err.code)
		fail_msg("put '%s': %s", key, result.err.msg);
	return result.revision;
}

void store_fixture_assert_later(const struct store_fixture *fixture, uint64_t revision, uint64_t before, uint64_t count)
{
	if (fixture->subject->is_shared)
		assert_true(revision > before);
	else
		assert_int_equal(revision, before + count);
}

static int list_kv(void *data, const struct store_kv *kv, struct err *err)
{
	struct store_listing *listing = data;

	(void)err;
	store_kv_copy(vec_push(&listing->items), kv);
	return 0;
}

uint64_t store_fixture_list(struct store_fixture *fixture, const char *prefix, struct store_listing *listing)
{
	struct err err = { 0 };
	uint64_t revision = 0;

	*listing = (struct store_listing){ 0 };
	if (store_range(fixture->store, prefix, list_kv, listing, &revision, &err) < 0)
		fail_msg("range '%s': %s", prefix, err.msg);
	return revision;
}

void store_listing_done(struct store_listing *listing)
{
	for (size_t i = 0; i < listing->items.count; i++)
		store_kv_done(&listing->items.items[i]);
	vec_done(&listing->items);
}

void store_fixture_assert_content(struct store_fixture *fixture, const char *prefix, const char *expected)
{
	struct store_listing listing;
	auto_str struct str text = { 0 };

	store_fixture_list(fixture, prefix, &listing);
	for (size_t i = 0; i < listing.items.count; i++)
		str_printf(&text, "%s%s=%s", i ? " " : "", listing.items.items[i].key, listing.items.items[i].value);
	store_listing_done(&listing);
	assert_string_equal(str_text(&text), expected);
}

void store_fixture_assert_seen(struct store_fixture *fixture, const char *expected)
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

uint64_t store_fixture_grant(struct store_fixture *fixture, uint64_t ttl_ms)
{
	struct err err = { 0 };
	uint64_t lease = 0;

	if (store_lease_grant(fixture->store, ttl_ms, &lease, &err) < 0)
		fail_msg("grant: %s", err.msg);
	assert_true(lease > 0);
	return lease;
}
