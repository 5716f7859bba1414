/*
 * Three members that are killed, started, cut off and joined again in a seeded order, most of the time with a majority
 * left, while one process writes and another watches; and the whole conformance suite under kills.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/vec.h"
#include "driver/store/etcd/etcd_fixture.h"
#include "port/store_conformance.h"

enum { SEED = 20261130, ACTIONS = 20, ACTION_MS = 250, KEYS = 20, WRITERS = 6 };

/* What happens to the members */

struct trouble {
	struct etcd_cluster *cluster;
	struct rng rng;
	bool is_cut[ETCD_MAX_MEMBERS];
};

static bool is_well(const struct trouble *trouble, size_t member)
{
	return trouble->cluster->members[member].pid && !trouble->is_cut[member];
}

static void heal(struct trouble *trouble, size_t member)
{
	if (trouble->is_cut[member])
		etcd_member_cut(trouble->cluster, member, false);
	trouble->is_cut[member] = false;
	if (!trouble->cluster->members[member].pid)
		etcd_member_start(trouble->cluster, member);
}

static void hurt(struct trouble *trouble, size_t member)
{
	if (trouble->cluster->how.has_cables && rng_below(&trouble->rng, 2)) {
		etcd_member_cut(trouble->cluster, member, true);
		trouble->is_cut[member] = true;
	} else {
		etcd_member_kill(trouble->cluster, member);
	}
}

/* One that is unwell gets well, or another unwell; in one of six cases so that no majority is left. */
static void act(struct trouble *trouble)
{
	size_t member = (size_t)rng_below(&trouble->rng, trouble->cluster->how.count), unwell = 0;

	for (size_t i = 0; i < trouble->cluster->how.count; i++)
		unwell += !is_well(trouble, i);
	if (!is_well(trouble, member))
		heal(trouble, member);
	else if (unwell == 0 || (unwell == 1 && rng_below(&trouble->rng, 6) == 0))
		hurt(trouble, member);
	else
		for (size_t i = 0; i < trouble->cluster->how.count; i++)
			heal(trouble, i);
}

/* Writing and watching */

struct log { VEC(struct store_event) events; };

static void see(void *data, const struct store_event *event)
{
	struct log *log = data;
	struct store_event *copy = vec_push(&log->events);

	copy->is_delete = event->is_delete;
	store_kv_copy(&copy->kv, &event->kv);
}

static void log_done(struct log *log)
{
	for (size_t i = 0; i < log->events.count; i++)
		store_kv_done(&log->events.items[i].kv);
	vec_done(&log->events);
}

struct write { char key[16], value[16]; uint64_t revision; };

struct world {
	struct loop *loop;
	struct store *writer, *watcher;
	struct log written, watched;
	VEC(struct write) acknowledged;
	unsigned submitted, done, refused, unknown;
	unsigned actions;
	bool is_over;
	struct trouble trouble;
};

struct request { struct world *world; struct write write; };

static void submit(struct world *world);

static void written(void *data, const struct store_result *result)
{
	auto_free struct request *request = data;
	struct world *world = request->world;

	world->done++;
	if (result->err.code == 0) {
		request->write.revision = result->revision;
		*vec_push(&world->acknowledged) = request->write;
	} else if (result->err.code == -ETIMEDOUT) {
		world->unknown++;
	} else {
		/* Not reachable at all; and guards of ours that fail because of what was not known to be written. */
		if (result->err.code != -EAGAIN && result->err.code != -ESTALE)
			fail_msg("%s", result->err.msg);
		world->refused++;
	}
	if (!world->is_over)
		submit(world);
}

/* Each value is written once. Every other transaction demands that its key is as its last event said. */
static void submit(struct world *world)
{
	struct request *request = alloc(sizeof(*request));
	struct store_txn *txn = store_txn_new();
	unsigned number = world->submitted++;
	uint64_t known = 0;

	request->world = world;
	snprintf(request->write.key, sizeof(request->write.key), "k%u", number % KEYS);
	snprintf(request->write.value, sizeof(request->write.value), "%u", number);
	for (size_t i = world->written.events.count; i-- > 0 && !known;)
		if (strcmp(world->written.events.items[i].kv.key, request->write.key) == 0)
			known = world->written.events.items[i].kv.mod_revision;
	if (number % 2)
		store_txn_guard(txn, STORE_UNCHANGED, request->write.key, known);
	store_txn_put(txn, request->write.key, request->write.value, strlen(request->write.value), 0);
	store_submit(world->writer, txn, written, request);
}

static void next_action(void *data)
{
	struct world *world = data;

	if (world->actions++ == ACTIONS) {
		world->is_over = true;
		for (size_t i = 0; i < world->trouble.cluster->how.count; i++)
			heal(&world->trouble, i);
		return;
	}
	act(&world->trouble);
	loop_add_timer(world->loop, ACTION_MS, next_action, world, NULL);
}

/* Checking */

static void assert_in_order_and_once(const struct log *log)
{
	for (size_t i = 1; i < log->events.count; i++) {
		const struct store_kv *before = &log->events.items[i - 1].kv, *kv = &log->events.items[i].kv;

		assert_true(kv->mod_revision >= before->mod_revision);
		for (size_t k = i; k-- > 0 && log->events.items[k].kv.mod_revision == kv->mod_revision;)
			assert_string_not_equal(log->events.items[k].kv.key, kv->key);
	}
}

static void assert_logs_equal(const struct log *a, const struct log *b)
{
	assert_int_equal(a->events.count, b->events.count);
	for (size_t i = 0; i < a->events.count; i++) {
		assert_string_equal(a->events.items[i].kv.key, b->events.items[i].kv.key);
		assert_string_equal(a->events.items[i].kv.value, b->events.items[i].kv.value);
		assert_int_equal(a->events.items[i].kv.mod_revision, b->events.items[i].kv.mod_revision);
	}
}

static void assert_was_seen(const struct log *log, const struct write *write)
{
	size_t count = 0;

	for (size_t i = 0; i < log->events.count; i++) {
		const struct store_kv *kv = &log->events.items[i].kv;

		if (strcmp(kv->value, write->value) != 0)
			continue;
		count++;
		assert_string_equal(kv->key, write->key);
		assert_int_equal(kv->mod_revision, write->revision);
	}
	if (count != 1)
		fail_msg("%s=%s, acknowledged at revision %llu, was seen %zu times", write->key, write->value,
			 (unsigned long long)write->revision, count);
}

static int check_present(void *data, const struct store_kv *kv, struct err *err)
{
	const struct log *log = data;
	size_t i = log->events.count;

	(void)err;
	while (i-- > 0 && strcmp(log->events.items[i].kv.key, kv->key) != 0)
		;
	assert_true(i != SIZE_MAX);
	assert_string_equal(log->events.items[i].kv.value, kv->value);
	assert_int_equal(log->events.items[i].kv.mod_revision, kv->mod_revision);
	return 0;
}

static void check(struct world *world)
{
	struct err err = { 0 };

	assert_in_order_and_once(&world->watched);
	assert_logs_equal(&world->written, &world->watched);
	for (size_t i = 0; i < world->acknowledged.count; i++)
		assert_was_seen(&world->watched, &world->acknowledged.items[i]);
	if (store_range(world->watcher, "", check_present, &world->watched, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

/* Impatient: some changes shall be given up, and some of those come true. Then the first elections may take too long. */
static void open_store(struct world *world, const struct etcd_cluster *cluster, const char *name, struct log *log, struct store **ret_store)
{
	struct store_etcd_params params = cluster->params;
	struct err err = { 0 };
	int r;

	params.writer = name;
	params.timeout_ms = 150;
	do
		r = store_open(&store_etcd, &(struct store_params){ .etcd = &params }, world->loop, ret_store, &err);
	while (r == -ETIMEDOUT || r == -EAGAIN);
	if (r < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(store_watch(*ret_store, "", 0, see, log, &err), 0);
}

static void finish(void *data, const struct store_result *result)
{
	*(uint64_t *)data = result->revision;
}

/* A last write that goes through; then both have seen everything. */
static void settle(struct world *world)
{
	uint64_t last = 0;

	while (world->done < world->submitted)
		loop_step(world->loop, -1);
	while (!last) {
		struct store_txn *txn = store_txn_new();

		last = UINT64_MAX;
		store_txn_put(txn, "last", "last", 4, 0);
		store_submit(world->writer, txn, finish, &last);
		while (last == UINT64_MAX)
			loop_step(world->loop, -1);
	}
	while (store_revision(world->watcher) < last || store_revision(world->writer) < last)
		loop_step(world->loop, -1);
}

static void test_nothing_acknowledged_is_lost(void **state)
{
	struct etcd_cluster cluster;
	struct world world = { .trouble.cluster = &cluster };
	struct err err = { 0 };

	(void)state;
	rng_init(&world.trouble.rng, SEED);
	assert_int_equal(loop_new(LOOP_CLOCK_REAL, 0, &world.loop, &err), 0);
	etcd_cluster_start(&cluster, &(struct etcd_cluster_params){ .count = 3, .has_cables = etcd_can_cut() });
	open_store(&world, &cluster, "writer", &world.written, &world.writer);
	open_store(&world, &cluster, "watcher", &world.watched, &world.watcher);
	loop_add_timer(world.loop, ACTION_MS, next_action, &world, NULL);
	for (int i = 0; i < WRITERS; i++)
		submit(&world);
	while (!world.is_over)
		loop_step(world.loop, -1);
	settle(&world);
	check(&world);
	printf("# %zu acknowledged, %u refused, %u unknown, %zu events; links %s cut\n", world.acknowledged.count, world.refused, world.unknown,
	       world.watched.events.count, cluster.how.has_cables ? "were" : "could not be");
	assert_true(world.acknowledged.count > 100);
	store_close(world.writer);
	store_close(world.watcher);
	loop_free(world.loop);
	log_done(&world.written);
	log_done(&world.watched);
	vec_done(&world.acknowledged);
	etcd_cluster_stop(&cluster);
}

/* The conformance suite under kills */

struct subject {
	struct store_conformance conformance;
	struct etcd_cluster cluster;
	struct rng rng;
	atomic_bool is_over;
};

static void reset(const struct store_conformance *conformance)
{
	struct subject *subject = container_of(conformance, struct subject, conformance);

	etcd_cluster_new_prefix(&subject->cluster);
}

/* It listens when it has joined the others. */
static void wait_for_member(const struct etcd_member *member)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strrchr(member->url, ':') + 1)) };

	inet_pton(AF_INET, member->address, &address.sin_addr);
	for (;;) {
		auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return;
		poll(NULL, 0, 10);
	}
}

static void *kill_in_turn(void *data)
{
	struct subject *subject = data;

	while (!atomic_load(&subject->is_over)) {
		size_t member = (size_t)rng_below(&subject->rng, subject->cluster.how.count);

		etcd_member_kill(&subject->cluster, member);
		etcd_member_start(&subject->cluster, member);
		wait_for_member(&subject->cluster.members[member]);
		poll(NULL, 0, 2000);
	}
	return NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_nothing_acknowledged_is_lost) };
	struct subject subject = {
		.conformance = {
			.name = "etcd, three members that are killed", .ops = &store_etcd, .clock = LOOP_CLOCK_REAL, .lease_ms = 3000,
			.is_shared = true, .is_persistent = true, .random_steps = 100, .reset = reset,
		},
	};
	pthread_t killer;
	int failed;

	etcd_require();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rng_init(&subject.rng, SEED);
	subject.conformance.etcd = &subject.cluster.params;
	etcd_cluster_start(&subject.cluster, &(struct etcd_cluster_params){ .count = 3 });
	if (pthread_create(&killer, NULL, kill_in_turn, &subject) != 0)
		return 1;
	failed += store_conformance_run(&subject.conformance);
	atomic_store(&subject.is_over, true);
	pthread_join(killer, NULL);
	etcd_cluster_stop(&subject.cluster);
	return failed;
}
