#include "driver/store/sim/sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "port/store_conformance.h"

/* ---- The port ---- */

struct shared { struct sim_store *world; struct sim_link *link; };

static struct shared conformance;

static struct store_driver *share(struct loop *loop)
{
	conformance.world = sim_store_new(loop, 1);
	conformance.link = sim_link_new(conformance.world);
	return sim_link_driver(conformance.link);
}

static void unshare(struct store_driver *driver)
{
	(void)driver;
	sim_link_free(conformance.link);
	sim_store_free(conformance.world);
}

/* ---- Several hosts ---- */

enum { HOSTS = 2 };

struct host { struct sim_link *link; struct store *store; VEC(char *) seen; };

struct bench { struct loop *loop; struct sim_store *world; struct host hosts[HOSTS]; };

static void see(void *data, const struct store_event *event)
{
	struct host *host = data;

	*vec_push(&host->seen) = text_format("%s%s", event->is_delete ? "-" : "", event->kv.key);
}

static int setup(void **state)
{
	struct bench *bench = alloc(sizeof(*bench));
	struct err err;

	assert_int_equal(loop_new(LOOP_CLOCK_VIRTUAL, 0, &bench->loop, &err), 0);
	bench->world = sim_store_new(bench->loop, 7);
	for (size_t i = 0; i < HOSTS; i++) {
		struct host *host = &bench->hosts[i];
		struct store_params params = { 0 };

		host->link = sim_link_new(bench->world);
		params.shared = sim_link_driver(host->link);
		assert_int_equal(store_open(&store_sim, &params, bench->loop, &host->store, &err), 0);
		assert_true(store_is_shared(host->store));
		assert_int_equal(store_watch(host->store, "", 0, see, host, &err), 0);
	}
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	for (size_t i = 0; i < HOSTS; i++) {
		struct host *host = &bench->hosts[i];

		store_close(host->store);
		sim_link_free(host->link);
		for (size_t k = 0; k < host->seen.count; k++)
			free(host->seen.items[k]);
		vec_done(&host->seen);
	}
	sim_store_free(bench->world);
	loop_free(bench->loop);
	free(bench);
	return 0;
}

struct answer { bool has_come; int code; size_t seen; struct host *host; };

static void keep(void *data, const struct store_result *result)
{
	struct answer *answer = data;

	*answer = (struct answer){ true, result->err.code, answer->host->seen.count, answer->host };
}

static void put(struct host *host, const char *key, uint64_t lease, struct answer *answer)
{
	struct store_txn *txn = store_txn_new();

	*answer = (struct answer){ .host = host };
	store_txn_put(txn, key, "x", 1, lease);
	store_submit(host->store, txn, keep, answer);
}

static void pass(void *data)
{
	*(bool *)data = true;
}

/* Everything that happens within so long. */
static void run(struct bench *bench, uint64_t ms)
{
	bool is_over = false;

	loop_add_timer(bench->loop, ms, pass, &is_over, NULL);
	while (!is_over)
		assert_true(loop_step(bench->loop, 0));
}

static void test_others_are_told(void **state)
{
	struct bench *bench = *state;
	struct answer answer;

	put(&bench->hosts[0], "a", 0, &answer);
	run(bench, 1);
	assert_true(answer.has_come && answer.code == 0);
	assert_int_equal(answer.seen, 1);		/* Its own watch came first. */
	assert_int_equal(bench->hosts[1].seen.count, 1);
	assert_string_equal(bench->hosts[1].seen.items[0], "a");
}

static void test_a_cut_link_holds_back_and_heals(void **state)
{
	struct bench *bench = *state;
	struct answer cut, other, later;

	sim_link_cut(bench->hosts[0].link, true);
	put(&bench->hosts[0], "lost", 0, &cut);
	put(&bench->hosts[1], "b", 0, &other);
	run(bench, 1000);
	assert_true(other.has_come && other.code == 0);
	assert_false(cut.has_come);			/* As a thread that waits for its cache to be current. */
	assert_int_equal(bench->hosts[0].seen.count, 0);
	put(&bench->hosts[0], "later", 0, &later);
	run(bench, 1000);
	sim_link_cut(bench->hosts[0].link, false);
	run(bench, 1);
	assert_true(cut.has_come && cut.code == -EAGAIN);
	assert_true(later.has_come && later.code == 0);
	assert_int_equal(bench->hosts[0].seen.count, 2);
	assert_string_equal(bench->hosts[0].seen.items[0], "b");
	assert_string_equal(bench->hosts[0].seen.items[1], "later");
}

static void test_a_lost_answer_was_stored(void **state)
{
	struct bench *bench = *state;
	struct answer answer;

	sim_link_lose_answers(bench->hosts[0].link, 1000);
	put(&bench->hosts[0], "a", 0, &answer);
	run(bench, 1);
	assert_int_equal(answer.code, -ETIMEDOUT);
	assert_int_equal(answer.seen, 1);
	assert_int_equal(bench->hosts[1].seen.count, 1);
}

static void test_a_slow_link_keeps_the_order(void **state)
{
	struct bench *bench = *state;
	struct answer answers[50];

	sim_link_set_lag(bench->hosts[0].link, 200);
	for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
		auto_free char *key = text_format("%02zu", i);

		put(&bench->hosts[0], key, 0, &answers[i]);
		run(bench, 20);
	}
	assert_false(answers[49].has_come && bench->hosts[0].seen.count == 50);
	run(bench, 1000);
	for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
		assert_true(answers[i].has_come && answers[i].code == 0 && answers[i].seen > i);
		assert_int_equal(atoi(bench->hosts[0].seen.items[i]), i);
	}
}

static void test_a_lease_ends_while_its_host_is_cut_off(void **state)
{
	struct bench *bench = *state;
	struct answer answer;
	uint64_t lease;
	struct err err;

	assert_int_equal(store_lease_grant(bench->hosts[0].store, 5000, &lease, &err), 0);
	put(&bench->hosts[0], "alive", lease, &answer);
	run(bench, 4000);
	assert_int_equal(store_lease_renew(bench->hosts[0].store, lease, &err), 0);
	run(bench, 4000);
	sim_link_cut(bench->hosts[0].link, true);
	assert_int_equal(store_lease_renew(bench->hosts[0].store, lease, &err), -EAGAIN);
	assert_int_equal(bench->hosts[1].seen.count, 1);
	run(bench, 1001);
	assert_string_equal(bench->hosts[1].seen.items[1], "-alive");
	sim_link_cut(bench->hosts[0].link, false);
	run(bench, 1);
	assert_string_equal(bench->hosts[0].seen.items[1], "-alive");
	assert_int_equal(store_lease_renew(bench->hosts[0].store, lease, &err), -ENOENT);
}

/* What was missed is more than the history keeps. */
static void test_a_link_that_was_cut_for_long_is_told_what_is(void **state)
{
	struct bench *bench = *state;
	struct answer answer;

	put(&bench->hosts[0], "gone", 0, &answer);
	run(bench, 1);
	sim_link_cut(bench->hosts[0].link, true);
	for (size_t i = 0; i < 3 * STORE_HISTORY_REVISIONS; i++) {
		struct store_txn *txn = store_txn_new();

		store_txn_put(txn, "often", "x", 1, 0);
		if (i == 0)
			store_txn_delete(txn, "gone");
		store_submit(bench->hosts[1].store, txn, NULL, NULL);
	}
	run(bench, 1);
	sim_link_cut(bench->hosts[0].link, false);
	run(bench, 1);
	assert_int_equal(bench->hosts[0].seen.count, 3);
	assert_string_equal(bench->hosts[0].seen.items[1], "often");
	assert_string_equal(bench->hosts[0].seen.items[2], "-gone");
}

int main(void)
{
	const struct store_conformance subject = {
		.name = "sim, by a link", .ops = &store_sim, .clock = LOOP_CLOCK_VIRTUAL, .lease_ms = 1000, .is_persistent = true,
		.random_steps = 10000, .share = share, .unshare = unshare,
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_others_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_cut_link_holds_back_and_heals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_lost_answer_was_stored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_slow_link_keeps_the_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_lease_ends_while_its_host_is_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_link_that_was_cut_for_long_is_told_what_is, setup, teardown),
	};

	return store_conformance_run(&subject) + cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
