/*
 * The front of the store port, on a driver that the test holds in its hand: "gate" keeps its keys in a memory
 * store, stops in commit until the test lets it pass, fails when told to, and may be written to from elsewhere.
 */
#include "port/store.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

struct gate {
	struct store_driver driver;
	struct store_driver *inner;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_shut;
	unsigned begun, finished;	/* Commits. */
	unsigned waits;			/* Of the follower. */
	size_t sizes[64];		/* Of their batches. */
	int fail_code;			/* Of commits; 0: none. */
	unsigned failing_lease_ends;
	unsigned failing_histories;
	bool is_deaf;			/* Does not hear of what others write. */
	bool is_awake;
	uint64_t revision;
};

static struct gate *gate_of(struct store_driver *driver)
{
	return (struct gate *)driver;
}

static int gate_fail(struct gate *gate, struct store_result *results, size_t count, struct err *err)
{
	err_set(err, gate->fail_code, "store: the gate fails");
	for (size_t i = 0; i < count; i++)
		results[i] = (struct store_result){ .err = *err };
	return gate->fail_code;
}

static int gate_commit(struct store_driver *driver, struct store_txn *const *txns, size_t count,
		       struct store_result *results, struct store_events *events, struct err *err)
{
	struct gate *gate = gate_of(driver);
	int r;

	pthread_mutex_lock(&gate->lock);
	gate->sizes[gate->begun++ % ARRAY_COUNT(gate->sizes)] = count;
	pthread_cond_broadcast(&gate->changed);
	while (gate->is_shut)
		pthread_cond_wait(&gate->changed, &gate->lock);
	if (gate->fail_code) {
		r = gate_fail(gate, results, count, err);
	} else {
		r = store_memory.commit(gate->inner, txns, count, results, events, err);
		gate->revision = results[count - 1].revision;
	}
	gate->finished++;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
	return r;
}

static int gate_range(struct store_driver *driver, const char *prefix, store_kv_fn *fn, void *data,
		      uint64_t *ret_revision, struct err *err)
{
	struct gate *gate = gate_of(driver);
	int r;

	pthread_mutex_lock(&gate->lock);
	r = store_memory.range(gate->inner, prefix, fn, data, ret_revision, err);
	pthread_mutex_unlock(&gate->lock);
	return r;
}

static int gate_history(struct store_driver *driver, const char *prefix, uint64_t after_revision,
			struct store_events *events, struct err *err)
{
	struct gate *gate = gate_of(driver);
	int r;

	pthread_mutex_lock(&gate->lock);
	if (gate->failing_histories) {
		gate->failing_histories--;
		r = err_set(err, -EIO, "the gate fails");
	} else {
		r = store_memory.history(gate->inner, prefix, after_revision, events, err);
	}
	pthread_mutex_unlock(&gate->lock);
	return r;
}

static int gate_lease_grant(struct store_driver *driver, uint64_t ttl_ms, int64_t now_ms, uint64_t *ret_lease,
			    struct err *err)
{
	return store_memory.lease_grant(gate_of(driver)->inner, ttl_ms, now_ms, ret_lease, err);
}

static int gate_lease_end(struct store_driver *driver, uint64_t lease, int64_t now_ms, struct store_events *events,
			  int64_t *ret_next_ms, struct err *err)
{
	struct gate *gate = gate_of(driver);

	/* The question at open is not meant: it ends nothing. */
	if (gate->failing_lease_ends && now_ms > INT64_MIN) {
		gate->failing_lease_ends--;
		return err_set(err, -ENOSPC, "store: disk full");
	}
	return store_memory.lease_end(gate->inner, lease, now_ms, events, ret_next_ms, err);
}

static int gate_compact(struct store_driver *driver, uint64_t revision, struct err *err)
{
	return store_memory.compact(gate_of(driver)->inner, revision, err);
}

static bool gate_wait_events(struct store_driver *driver, uint64_t after_revision, uint32_t timeout_ms)
{
	struct gate *gate = gate_of(driver);
	struct timespec deadline;
	bool has_events;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += timeout_ms / 1000;
	pthread_mutex_lock(&gate->lock);
	gate->waits++;
	pthread_cond_broadcast(&gate->changed);
	while ((gate->is_deaf || gate->revision <= after_revision) && !gate->is_awake && r == 0)
		r = pthread_cond_timedwait(&gate->changed, &gate->lock, &deadline);
	has_events = !gate->is_deaf && gate->revision > after_revision;
	pthread_mutex_unlock(&gate->lock);
	return has_events;
}

static void gate_wake(struct store_driver *driver)
{
	struct gate *gate = gate_of(driver);

	pthread_mutex_lock(&gate->lock);
	gate->is_awake = true;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

static const struct store_ops gate_ops = {
	.name = "gate", .commit = gate_commit, .range = gate_range, .history = gate_history,
	.lease_grant = gate_lease_grant, .lease_end = gate_lease_end,
};
static const struct store_ops gate_shared_ops = {
	.name = "gate, shared", .commit = gate_commit, .range = gate_range, .history = gate_history,
	.lease_grant = gate_lease_grant, .lease_end = gate_lease_end, .compact = gate_compact, .wait_events = gate_wait_events, .wake = gate_wake,
};

static void gate_set(struct gate *gate, bool is_shut)
{
	pthread_mutex_lock(&gate->lock);
	gate->is_shut = is_shut;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

static void gate_wait(struct gate *gate, const unsigned *counter, unsigned value)
{
	pthread_mutex_lock(&gate->lock);
	while (*counter < value)
		pthread_cond_wait(&gate->changed, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

struct fixture {
	struct gate gate;
	struct loop *loop;
	struct store *store;
	unsigned done, failed, events;
	uint64_t last_revision;
	bool has_gap;
};

static void see(void *data, const struct store_event *event)
{
	struct fixture *fixture = data;

	fixture->has_gap |= event->kv.mod_revision != fixture->last_revision + 1;
	fixture->last_revision = event->kv.mod_revision;
	fixture->events++;
}

static void open_fixture(struct fixture *fixture, const struct store_ops *ops, enum loop_clock clock)
{
	struct store_params params = { .shared = &fixture->gate.driver };
	struct err err = { 0 };

	*fixture = (struct fixture){ .gate.driver.ops = ops };
	pthread_mutex_init(&fixture->gate.lock, NULL);
	pthread_cond_init(&fixture->gate.changed, NULL);
	assert_int_equal(store_memory.open(&(struct store_params){ 0 }, &fixture->gate.inner, &err), 0);
	assert_int_equal(loop_new(clock, 0, &fixture->loop, &err), 0);
	assert_int_equal(store_open(ops, &params, fixture->loop, &fixture->store, &err), 0);
	assert_int_equal(store_watch(fixture->store, "", 0, see, fixture, &err), 0);
}

static void close_fixture(struct fixture *fixture)
{
	store_close(fixture->store);
	loop_free(fixture->loop);
	store_memory.close(fixture->gate.inner);
	pthread_cond_destroy(&fixture->gate.changed);
	pthread_mutex_destroy(&fixture->gate.lock);
}

static void count_done(void *data, const struct store_result *result)
{
	struct fixture *fixture = data;

	fixture->done++;
	fixture->failed += result->err.code != 0;
}

static struct store_txn *put_txn(uint64_t lease)
{
	struct store_txn *txn = store_txn_new();

	store_txn_put(txn, "k", "v", 1, lease);
	return txn;
}

static int count_kv(void *data, const struct store_kv *kv, struct err *err)
{
	(void)kv;
	(void)err;
	++*(unsigned *)data;
	return 0;
}

static void put(struct fixture *fixture)
{
	store_submit(fixture->store, put_txn(0), count_done, fixture);
}

static void step_until(struct fixture *fixture, const unsigned *counter, unsigned value)
{
	while (*counter < value)
		loop_step(fixture->loop, -1);
}

static void test_those_who_come_during_a_commit_share_the_next(void **state)
{
	struct fixture fixture;

	(void)state;
	open_fixture(&fixture, &gate_ops, LOOP_CLOCK_REAL);
	gate_set(&fixture.gate, true);
	put(&fixture);
	gate_wait(&fixture.gate, &fixture.gate.begun, 1);
	for (int i = 0; i < 10; i++)
		put(&fixture);
	gate_set(&fixture.gate, false);
	step_until(&fixture, &fixture.done, 11);
	assert_int_equal(fixture.gate.begun, 2);
	assert_int_equal(fixture.gate.sizes[0], 1);
	assert_int_equal(fixture.gate.sizes[1], 10);
	assert_int_equal(fixture.events, 11);
	assert_false(fixture.has_gap);
	close_fixture(&fixture);
}

static void test_a_store_that_cannot_be_written_says_so_and_recovers(void **state)
{
	struct fixture fixture;
	struct store_stats stats;

	(void)state;
	open_fixture(&fixture, &gate_ops, LOOP_CLOCK_REAL);
	fixture.gate.fail_code = -ENOSPC;
	put(&fixture);
	put(&fixture);
	step_until(&fixture, &fixture.done, 2);
	assert_int_equal(fixture.failed, 2);
	assert_int_equal(fixture.events, 0);
	fixture.gate.fail_code = 0;
	put(&fixture);
	step_until(&fixture, &fixture.done, 3);
	assert_int_equal(fixture.failed, 2);
	assert_int_equal(fixture.events, 1);
	store_get_stats(fixture.store, &stats);
	assert_int_equal(stats.transactions, 1);
	assert_int_equal(stats.commits, 1);
	close_fixture(&fixture);
}

static void count_event(void *data, const struct store_event *event)
{
	unsigned *count = data;

	assert_int_equal(event->kv.mod_revision, *count + 2);
	++*count;
}

/* The third commit is in the driver's history, but not yet delivered, when the watch begins. */
static void test_a_watch_begun_before_a_delivery_repeats_nothing(void **state)
{
	struct fixture fixture;
	struct err err = { 0 };
	unsigned count = 0;

	(void)state;
	open_fixture(&fixture, &gate_ops, LOOP_CLOCK_REAL);
	put(&fixture);
	step_until(&fixture, &fixture.done, 1);
	put(&fixture);
	step_until(&fixture, &fixture.done, 2);
	put(&fixture);
	gate_wait(&fixture.gate, &fixture.gate.finished, 3);
	assert_int_equal(store_watch(fixture.store, "", 1, count_event, &count, &err), 0);
	assert_int_equal(count, 1);
	step_until(&fixture, &fixture.done, 3);
	assert_int_equal(count, 2);
	assert_int_equal(store_revision(fixture.store), 3);
	close_fixture(&fixture);
}

static void test_the_end_of_a_lease_is_repeated_until_it_is_written(void **state)
{
	enum { TTL_MS = 5000 };
	struct fixture fixture;
	struct err err = { 0 };
	uint64_t lease;

	(void)state;
	open_fixture(&fixture, &gate_ops, LOOP_CLOCK_VIRTUAL);
	fixture.gate.failing_lease_ends = 3;
	assert_int_equal(store_lease_grant(fixture.store, TTL_MS, &lease, &err), 0);
	store_submit(fixture.store, put_txn(lease), count_done, &fixture);
	step_until(&fixture, &fixture.events, 2);
	assert_int_equal(loop_wall_ms(fixture.loop), TTL_MS + 3000);
	assert_false(loop_step(fixture.loop, 0));	/* No lease, no timer. */
	close_fixture(&fixture);
}

static void test_a_delay_holds_in_virtual_time_too(void **state)
{
	struct fixture fixture;
	struct store_txn *txn = put_txn(0), *sooner = put_txn(0);

	(void)state;
	open_fixture(&fixture, &gate_ops, LOOP_CLOCK_VIRTUAL);
	txn->delay_ms = 500;
	sooner->delay_ms = 200;
	store_submit(fixture.store, txn, count_done, &fixture);
	store_submit(fixture.store, sooner, count_done, &fixture);
	step_until(&fixture, &fixture.done, 2);
	assert_int_equal(loop_wall_ms(fixture.loop), 200);
	assert_int_equal(fixture.gate.begun, 1);
	put(&fixture);
	step_until(&fixture, &fixture.done, 3);
	assert_int_equal(loop_wall_ms(fixture.loop), 200);
	close_fixture(&fixture);
}

static void test_a_loop_may_end_before_its_store(void **state)
{
	struct fixture fixture;

	(void)state;
	open_fixture(&fixture, &gate_ops, LOOP_CLOCK_REAL);
	put(&fixture);
	gate_wait(&fixture.gate, &fixture.gate.finished, 1);
	store_close(take(fixture.store));
	assert_int_equal(fixture.done, 0);
	close_fixture(&fixture);
}

/* Others write to the store as well. */

static void commit_elsewhere(struct gate *gate, struct store_txn *txn)
{
	struct store_result result;
	struct store_events events = { 0 };
	struct err err;

	pthread_mutex_lock(&gate->lock);
	store_memory.commit(gate->inner, &txn, 1, &result, &events, &err);
	gate->revision = result.revision;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
	store_events_done(&events);
	store_txn_free(txn);
}

static void put_elsewhere(struct gate *gate)
{
	commit_elsewhere(gate, put_txn(0));
}

static void *write_elsewhere(void *data)
{
	for (int i = 0; i < 500; i++)
		put_elsewhere(data);
	return NULL;
}

static void test_events_of_others_come_in_order_with_ours(void **state)
{
	struct fixture fixture;
	pthread_t other;

	(void)state;
	open_fixture(&fixture, &gate_shared_ops, LOOP_CLOCK_REAL);
	put_elsewhere(&fixture.gate);
	step_until(&fixture, &fixture.events, 1);
	put(&fixture);
	step_until(&fixture, &fixture.done, 1);
	assert_int_equal(fixture.events, 2);

	assert_int_equal(pthread_create(&other, NULL, write_elsewhere, &fixture.gate), 0);
	for (unsigned i = 0; i < 200; i++) {
		put(&fixture);
		step_until(&fixture, &fixture.done, i + 2);
	}
	pthread_join(other, NULL);
	step_until(&fixture, &fixture.events, 702);
	assert_int_equal(fixture.events, 702);
	assert_false(fixture.has_gap);
	close_fixture(&fixture);
}

/* From now on only what is committed here brings events. */
static void make_deaf(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->is_deaf = true;
	pthread_mutex_unlock(&gate->lock);
	gate_wait(gate, &gate->waits, 1);
}

static void note(void *data, const struct store_event *event)
{
	struct str *text = data;

	str_printf(text, "%s%s@%u ", event->is_delete ? "-" : "", event->kv.key, (unsigned)event->kv.mod_revision);
}

static struct store_txn *one_key(const char *key, bool is_delete)
{
	struct store_txn *txn = store_txn_new();

	if (is_delete)
		store_txn_delete(txn, key);
	else
		store_txn_put(txn, key, "v", 1, 0);
	return txn;
}

/* What was told before: "range" by a range, "watch" by the watch. */
static void test_who_was_cut_off_for_too_long_is_told_what_is(void **state)
{
	struct fixture fixture;
	auto_str struct str text = { 0 };
	struct err err = { 0 };
	unsigned count = 0;

	(void)state;
	open_fixture(&fixture, &gate_shared_ops, LOOP_CLOCK_REAL);
	make_deaf(&fixture.gate);
	commit_elsewhere(&fixture.gate, one_key("range", false));
	assert_int_equal(store_range(fixture.store, "", count_kv, &count, NULL, &err), 0);
	assert_int_equal(count, 1);
	store_submit(fixture.store, one_key("watch", false), count_done, &fixture);
	step_until(&fixture, &fixture.done, 1);
	assert_int_equal(store_watch(fixture.store, "", 0, note, &text, &err), 0);

	commit_elsewhere(&fixture.gate, one_key("range", true));
	commit_elsewhere(&fixture.gate, one_key("fleeting", false));
	commit_elsewhere(&fixture.gate, one_key("b", false));
	commit_elsewhere(&fixture.gate, one_key("fleeting", true));
	commit_elsewhere(&fixture.gate, one_key("a", false));
	commit_elsewhere(&fixture.gate, one_key("watch", true));
	assert_int_equal(store_compact(fixture.store, 8, &err), 0);
	gate_set(&fixture.gate, false);
	store_submit(fixture.store, one_key("c", false), count_done, &fixture);
	step_until(&fixture, &fixture.done, 2);
	assert_string_equal(str_text(&text), "b@5 a@7 c@9 -range@9 -watch@9 ");
	store_submit(fixture.store, one_key("d", false), count_done, &fixture);
	step_until(&fixture, &fixture.done, 3);
	assert_string_equal(str_text(&text), "b@5 a@7 c@9 -range@9 -watch@9 d@10 ");
	close_fixture(&fixture);
}

static void test_an_answer_waits_for_its_events(void **state)
{
	struct fixture fixture;

	(void)state;
	open_fixture(&fixture, &gate_shared_ops, LOOP_CLOCK_REAL);
	make_deaf(&fixture.gate);
	fixture.gate.failing_histories = 2;
	put(&fixture);
	step_until(&fixture, &fixture.done, 1);
	assert_int_equal(fixture.events, 1);
	assert_int_equal(fixture.gate.failing_histories, 0);
	close_fixture(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_those_who_come_during_a_commit_share_the_next),
		cmocka_unit_test(test_a_store_that_cannot_be_written_says_so_and_recovers),
		cmocka_unit_test(test_a_watch_begun_before_a_delivery_repeats_nothing),
		cmocka_unit_test(test_the_end_of_a_lease_is_repeated_until_it_is_written),
		cmocka_unit_test(test_a_delay_holds_in_virtual_time_too),
		cmocka_unit_test(test_a_loop_may_end_before_its_store),
		cmocka_unit_test(test_events_of_others_come_in_order_with_ours),
		cmocka_unit_test(test_who_was_cut_off_for_too_long_is_told_what_is),
		cmocka_unit_test(test_an_answer_waits_for_its_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
