/* What the etcd driver makes of answers that are lost, requests that come late, and links that are cut for long. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/store/etcd/etcd_fixture.h"
#include "driver/store/etcd/etcd_proxy_fixture.h"
#include "port/store_fixture.h"

enum { TIMEOUT_MS = 250 };		/* Four of these, then a call gives up. */

struct world {
	struct etcd_cluster *cluster;
	struct etcd_proxy *proxy;
	const char *endpoint;
	struct store_etcd_params params, direct_params;
	struct store_conformance subject, direct_subject;
	struct store_fixture *fixture;		/* Its store goes through the proxy ... */
	struct store_fixture direct;		/* ... and this one does not. */
};

static int setup(void **state)
{
	struct etcd_cluster *cluster = *state;
	struct world *world = alloc(sizeof(*world));
	void *fixture;

	etcd_cluster_new_prefix(cluster);
	world->cluster = cluster;
	world->proxy = etcd_proxy_start(cluster->members[0].url);
	world->endpoint = etcd_proxy_url(world->proxy);
	world->params = world->direct_params = cluster->params;
	world->params.endpoints = &world->endpoint;
	world->params.timeout_ms = TIMEOUT_MS;
	world->direct_params.writer = "direct";
	world->subject = (struct store_conformance){ .ops = &store_etcd, .etcd = &world->params, .clock = LOOP_CLOCK_REAL, .is_shared = true };
	world->direct_subject = world->subject;
	world->direct_subject.etcd = &world->direct_params;
	fixture = &world->subject;
	if (store_fixture_setup(&fixture) < 0)
		return -1;
	world->fixture = fixture;
	world->direct = (struct store_fixture){ .subject = &world->direct_subject, .loop = world->fixture->loop };
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	void *fixture = world->fixture;

	store_close(take(world->direct.store));
	store_fixture_teardown(&fixture);
	etcd_proxy_stop(world->proxy);
	free(world);
	return 0;
}

/* For what is slow through the proxy. */
static void go_direct(struct world *world)
{
	world->params.endpoints = &world->cluster->endpoints[0];
	world->params.timeout_ms = 0;
	store_fixture_reopen(world->fixture);
}

static void test_a_lost_answer_is_found_out(void **state)
{
	struct world *world = *state;
	struct store_fixture *fixture = world->fixture;
	struct store_answer answers[5];
	struct store_txn *txns[ARRAY_COUNT(answers)];
	uint64_t before = store_fixture_put(fixture, "old", "1", 0);

	/* Independent of each other, so that one request has them all. */
	txns[0] = store_fixture_txn_put("new", "2", 0);
	store_txn_guard(txns[0], STORE_ABSENT, "new", 0);
	txns[1] = store_fixture_txn_put("refused", "3", 0);
	store_txn_guard(txns[1], STORE_EXISTS, "old", 0);
	store_txn_guard(txns[1], STORE_UNCHANGED, "absent", 17);
	txns[2] = store_fixture_txn_delete("old");
	store_txn_guard(txns[2], STORE_UNCHANGED, "old", before);
	txns[3] = store_fixture_txn_delete("absent");
	txns[4] = store_fixture_txn_put("plain", "4", 0);
	etcd_proxy_drop_answers(world->proxy, 3);
	for (size_t i = 0; i < ARRAY_COUNT(txns); i++) {
		txns[i]->delay_ms = 20;
		store_fixture_submit(fixture, txns[i], &answers[i]);
	}
	for (size_t i = 0; i < ARRAY_COUNT(txns); i++)
		store_fixture_wait(fixture, &answers[i]);

	assert_int_equal(etcd_proxy_left(world->proxy), 0);
	assert_int_equal(answers[0].result.err.code, 0);
	assert_int_equal(answers[1].result.err.code, -ESTALE);
	assert_int_equal(answers[1].result.failed_guard, 1);
	assert_int_equal(answers[2].result.err.code, 0);
	assert_int_equal(answers[3].result.err.code, 0);
	assert_int_equal(answers[4].result.err.code, 0);
	assert_int_equal(answers[0].result.revision, answers[2].result.revision);
	assert_int_equal(answers[0].result.revision, answers[4].result.revision);
	assert_int_equal(fixture->seen.items.items[1].kv.mod_revision, answers[0].result.revision);
	assert_true(answers[3].result.revision < answers[0].result.revision);
	store_fixture_assert_seen(fixture, "old=1 new=2 -old plain=4");
	store_fixture_assert_content(fixture, "", "new=2 plain=4");
}

static void test_a_request_that_comes_late_does_nothing(void **state)
{
	struct world *world = *state;
	struct store_fixture *fixture = world->fixture;

	etcd_proxy_hold(world->proxy, 1);
	store_fixture_put(fixture, "k", "1", 0);
	assert_int_equal(etcd_proxy_left(world->proxy), 0);
	store_fixture_put(fixture, "k", "2", 0);
	etcd_proxy_release(world->proxy);
	store_fixture_put(fixture, "k", "3", 0);
	store_fixture_assert_seen(fixture, "k=1 k=2 k=3");
}

static void test_what_was_given_up_may_come_true_once(void **state)
{
	struct world *world = *state;
	struct store_fixture *fixture = world->fixture;
	struct store_result result;

	store_fixture_put(fixture, "k", "0", 0);
	etcd_proxy_hold(world->proxy, 1000);
	result = store_fixture_run(fixture, store_fixture_txn_put("k", "1", 0));
	assert_int_equal(result.err.code, -ETIMEDOUT);
	assert_non_null(strstr(result.err.msg, world->endpoint));
	assert_non_null(strstr(result.err.msg, "not known"));
	etcd_proxy_hold(world->proxy, 0);
	etcd_proxy_release(world->proxy);
	store_fixture_put(fixture, "k", "2", 0);
	etcd_proxy_release(world->proxy);
	store_fixture_put(fixture, "k", "3", 0);
	store_fixture_assert_seen(fixture, "k=0 k=1 k=2 k=3");
}

static void test_who_is_not_reached_has_changed_nothing(void **state)
{
	struct world *world = *state;
	struct store_etcd_params params = world->params;
	const char *const endpoints[] = { "http://127.0.0.1:1", "http://127.0.0.1:2" };
	struct store *store;
	struct err err = { 0 };

	params.endpoints = endpoints;
	params.endpoint_count = ARRAY_COUNT(endpoints);
	assert_int_equal(store_open(&store_etcd, &(struct store_params){ .etcd = &params }, world->fixture->loop, &store, &err), -EAGAIN);
	assert_non_null(strstr(err.msg, "http://127.0.0.1:1, http://127.0.0.1:2"));
	assert_non_null(strstr(err.msg, "127.0.0.1 port 2"));
}

static void test_a_member_that_is_gone_is_passed_over(void **state)
{
	struct world *world = *state;
	const char *const endpoints[] = { "http://127.0.0.1:1", world->endpoint, world->cluster->members[0].url };
	struct store_fixture *fixture = world->fixture;

	world->params.endpoints = endpoints;
	world->params.endpoint_count = ARRAY_COUNT(endpoints);
	store_fixture_reopen(fixture);
	store_fixture_watch(fixture, 0);
	store_fixture_put(fixture, "k", "1", 0);
	etcd_proxy_cut(world->proxy, true);
	store_fixture_put(fixture, "k", "2", 0);
	store_fixture_assert_seen(fixture, "k=1 k=2");
}

static void test_a_stream_that_was_cut_goes_on(void **state)
{
	struct world *world = *state;
	struct store_fixture *fixture = world->fixture;
	char expected[256] = "before=1";

	store_fixture_open(&world->direct);
	store_fixture_put(fixture, "before", "1", 0);
	etcd_proxy_cut(world->proxy, true);
	for (int i = 0; i < 9; i++) {
		char key[2] = { (char)('a' + i), '\0' };

		store_fixture_put(&world->direct, key, "2", 0);
		snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), " %s=2", key);
	}
	etcd_proxy_cut(world->proxy, false);
	while (fixture->seen.items.count < 10)
		loop_step(fixture->loop, -1);
	store_fixture_assert_seen(fixture, expected);
}

/* More than etcd sends at once: a revision may come in several messages. */
static void test_what_comes_in_parts_is_put_together(void **state)
{
	enum { TXNS = 5, KEYS = 4, SIZE = 250 << 10 };
	struct world *world = *state;
	struct store_fixture *fixture = world->fixture;
	auto_free char *value = alloc(SIZE);
	uint64_t revisions[TXNS];

	world->direct_params.timeout_ms = 0;
	store_fixture_open(&world->direct);
	etcd_proxy_cut(world->proxy, true);
	for (int i = 0; i < TXNS; i++) {
		struct store_txn *txn = store_txn_new();

		for (int k = 0; k < KEYS; k++)
			store_txn_put(txn, ((const char *[KEYS]){ "a", "b", "c", "d" })[k], value, SIZE, 0);
		revisions[i] = store_fixture_run(&world->direct, txn).revision;
	}
	etcd_proxy_cut(world->proxy, false);
	while (fixture->seen.items.count < TXNS * KEYS)
		loop_step(fixture->loop, -1);
	for (size_t i = 0; i < TXNS * KEYS; i++) {
		assert_int_equal(fixture->seen.items.items[i].kv.mod_revision, revisions[i / KEYS]);
		assert_int_equal(fixture->seen.items.items[i].kv.value_size, SIZE);
	}
}

/* What happened is forgotten; what is, is told. */
static void test_a_stream_that_was_cut_for_too_long_is_made_good(void **state)
{
	struct world *world = *state;
	struct store_fixture *fixture = world->fixture;
	struct err err = { 0 };
	uint64_t last;

	store_fixture_open(&world->direct);
	store_fixture_put(fixture, "goes", "1", 0);
	store_fixture_put(fixture, "stays", "1", 0);
	store_fixture_put(fixture, "changes", "1", 0);
	store_fixture_assert_seen(fixture, "goes=1 stays=1 changes=1");
	etcd_proxy_cut(world->proxy, true);
	store_fixture_put(&world->direct, "changes", "2", 0);
	store_fixture_put(&world->direct, "comes", "1", 0);
	assert_int_equal(store_fixture_run(&world->direct, store_fixture_txn_delete("goes")).err.code, 0);
	store_fixture_put(&world->direct, "changes", "3", 0);
	last = store_fixture_put(&world->direct, "fleeting", "1", 0);
	assert_int_equal(store_fixture_run(&world->direct, store_fixture_txn_delete("fleeting")).err.code, 0);
	last = store_fixture_put(&world->direct, "comes", "2", 0);
	assert_int_equal(store_compact(world->direct.store, last, &err), 0);
	etcd_proxy_cut(world->proxy, false);
	while (fixture->seen.items.count < 3)
		loop_step(fixture->loop, -1);
	store_fixture_assert_seen(fixture, "changes=3 comes=2 -goes");
	store_fixture_put(fixture, "after", "1", 0);
	store_fixture_put(&world->direct, "after", "2", 0);
	while (fixture->seen.items.count < 2)
		loop_step(fixture->loop, -1);
	store_fixture_assert_seen(fixture, "after=1 after=2");
}

static void test_a_second_process_of_the_same_name_takes_over(void **state)
{
	struct world *world = *state;
	struct store_result result;

	store_fixture_put(world->fixture, "k", "1", 0);
	world->direct_params.writer = world->params.writer;
	store_fixture_open(&world->direct);
	store_fixture_put(&world->direct, "k", "2", 0);
	result = store_fixture_run(world->fixture, store_fixture_txn_put("k", "3", 0));
	assert_int_equal(result.err.code, -EBUSY);
	assert_non_null(strstr(result.err.msg, "another process"));
	store_fixture_assert_content(&world->direct, "", "k=2");
}

static void test_a_large_store_comes_in_pages(void **state)
{
	enum { COUNT = 2000 };
	struct world *world = *state;
	struct store_fixture *fixture = world->fixture;
	struct store_answer *answers = alloc(COUNT * sizeof(*answers));
	struct store_listing listing;

	for (unsigned i = 0; i < COUNT; i++) {
		char key[16];

		snprintf(key, sizeof(key), "p/%04u", i);
		store_fixture_submit(fixture, store_fixture_txn_put(key, "v", 0), &answers[i]);
	}
	store_fixture_put(fixture, "q", "v", 0);
	for (unsigned i = 0; i < COUNT; i++)
		store_fixture_wait(fixture, &answers[i]);
	store_fixture_list(fixture, "p/", &listing);
	assert_int_equal(listing.items.count, COUNT);
	for (unsigned i = 1; i < COUNT; i++)
		assert_true(strcmp(listing.items.items[i - 1].key, listing.items.items[i].key) < 0);
	store_listing_done(&listing);
	free(answers);
}

/* Together they are longer in base64 than one answer may be: then it is asked for less. */
static void test_values_that_do_not_fit_into_one_answer(void **state)
{
	enum { COUNT = 13, SIZE = 1 << 20 };
	struct world *world = *state;
	struct store_fixture *fixture = world->fixture;
	auto_free char *value = alloc(SIZE);
	struct store_listing listing;

	go_direct(world);
	for (unsigned i = 0; i < COUNT; i++) {
		struct store_txn *txn = store_txn_new();
		char key[16];

		snprintf(key, sizeof(key), "%02u", i);
		store_txn_put(txn, key, value, SIZE, 0);
		assert_int_equal(store_fixture_run(fixture, txn).err.code, 0);
	}
	store_fixture_list(fixture, "", &listing);
	assert_int_equal(listing.items.count, COUNT);
	store_listing_done(&listing);
}

static void test_what_etcd_does_not_take_names_the_remedy(void **state)
{
	struct world *world = *state;
	struct store_fixture *fixture = world->fixture;
	auto_free char *value = alloc(4 << 20);
	struct store_txn *large = store_txn_new();
	struct store_answer answers[2];

	go_direct(world);
	store_fixture_watch(fixture, 0);
	store_txn_put(large, "large", value, 4 << 20, 0);
	store_fixture_submit(fixture, large, &answers[0]);
	store_fixture_submit(fixture, store_fixture_txn_put("small", "1", 0), &answers[1]);
	store_fixture_wait(fixture, &answers[0]);
	store_fixture_wait(fixture, &answers[1]);
	assert_int_equal(answers[0].result.err.code, -E2BIG);
	assert_non_null(strstr(answers[0].result.err.msg, "--max-request-bytes"));
	assert_int_equal(answers[1].result.err.code, 0);
	store_fixture_assert_seen(fixture, "small=1");
}

#define TEST(function) { #function, function, setup, teardown, &cluster }

int main(void)
{
	struct etcd_cluster cluster;
	const struct CMUnitTest tests[] = {
		TEST(test_a_lost_answer_is_found_out),
		TEST(test_a_request_that_comes_late_does_nothing),
		TEST(test_what_was_given_up_may_come_true_once),
		TEST(test_who_is_not_reached_has_changed_nothing),
		TEST(test_a_member_that_is_gone_is_passed_over),
		TEST(test_a_stream_that_was_cut_goes_on),
		TEST(test_what_comes_in_parts_is_put_together),
		TEST(test_a_stream_that_was_cut_for_too_long_is_made_good),
		TEST(test_a_second_process_of_the_same_name_takes_over),
		TEST(test_a_large_store_comes_in_pages),
		TEST(test_values_that_do_not_fit_into_one_answer),
		TEST(test_what_etcd_does_not_take_names_the_remedy),
	};
	int failed;

	etcd_require();
	etcd_cluster_start(&cluster, &(struct etcd_cluster_params){ .count = 1 });
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	etcd_cluster_stop(&cluster);
	return failed;
}
