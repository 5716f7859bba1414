/* What several hosts make of one store, told in virtual time: who leads, what is started again elsewhere, and that nothing ever runs twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "cluster.h"

/* A process that is killed frees nothing: here the leak checker would tell of every crash. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}

enum { HOSTS = 3 };

static struct cluster cluster;

#define RUN(name) "{\"meta\":{\"name\":\"" name "\"},\"spec\":{\"root_size\":\"1GiB\",\"memory\":\"1GiB\",\"nics\":[],\"pool\":\"shared\",\"ha\":\"restart\"}}"

static bool all_ready(struct cluster *all, void *data)
{
	(void)data;
	for (size_t i = 0; i < all->count; i++) {
		auto_free char *name = text_format("node-%zu", i), *state = cluster_state(all, "nodes", name);

		if (!text_equal(state, "ready"))
			return false;
	}
	return cluster_leader(all) >= 0;
}

static bool pool_is_ready(struct cluster *all, void *data)
{
	auto_free char *state = cluster_state(all, "pools", data);

	return text_equal(state, "ready");
}

static bool runs(struct cluster *all, void *data)
{
	auto_free char *state = cluster_state(all, "instances", data);

	return text_equal(state, "running") && cluster_where(all, data) >= 0;
}

static void begin(size_t hosts, uint64_t seed)
{
	cluster_init(&cluster, hosts, seed);
	assert_true(cluster_run_until(&cluster, all_ready, NULL, 20000));
	cluster_do(&cluster, CALL_CREATE, "pool", NULL, "{\"meta\":{\"name\":\"shared\"},\"spec\":{\"shared\":true,\"source\":\"/pool\"}}");
	assert_true(cluster_run_until(&cluster, pool_is_ready, "shared", 20000));
}

static int setup(void **state)
{
	(void)state;
	begin(HOSTS, 7);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_string_equal(cluster.house.witness.broken, "");
	cluster_done(&cluster);
	return 0;
}

static void run_web(void)
{
	cluster_do(&cluster, CALL_CREATE, "instance", NULL, RUN("web"));
	assert_true(cluster_run_until(&cluster, runs, "web", 20000));
}

static bool others_lead(struct cluster *all, void *data)
{
	int leader = cluster_leader(all), *old = data;

	return leader >= 0 && leader != *old;
}

/* The lease of the key "leader" and a second. */
static void a_lost_leader_is_followed_within_its_lease(void **state)
{
	int leader = cluster_leader(&cluster);
	uint64_t begin_ms = cluster_now(&cluster);

	(void)state;
	cluster_power_off(&cluster, (size_t)leader);
	assert_true(cluster_run_until(&cluster, others_lead, &leader, 60000));
	print_message("a new leader after %u ms\n", (unsigned)(cluster_now(&cluster) - begin_ms));
	assert_in_range(cluster_now(&cluster) - begin_ms, 0, 4000);
}

struct sight { size_t by; const char *folder, *name, *has; uint64_t revision; };

static bool is_seen(struct cluster *all, void *data)
{
	struct sight *sight = data;
	auto_view_text struct view_text *text = view_get(all->members[sight->by].view, sight->folder, sight->name);

	if (!text || !strstr(text->bytes, sight->has))
		return false;
	sight->revision = text->revision;
	return true;
}

/* Readers wait for a higher revision, also of what follows from notes. */
static void a_state_that_follows_from_others_has_a_revision_of_its_own(void **state)
{
	struct sight node = { .folder = "nodes", .has = "\"state\":\"ready\"" }, web = { .folder = "instances", .name = "web", .has = "running" };
	auto_free char *name = NULL;
	uint64_t revision;
	int at;

	(void)state;
	run_web();
	assert_true(cluster_run(&cluster, 2000));
	at = cluster_where(&cluster, "web");
	node.name = name = text_format("node-%d", at);
	node.by = web.by = (size_t)(at + 1) % HOSTS;
	assert_true(is_seen(&cluster, &node) && is_seen(&cluster, &web));
	cluster_power_off(&cluster, (size_t)at);
	revision = node.revision;
	node.has = "\"state\":\"unreachable\"";
	assert_true(cluster_run_until(&cluster, is_seen, &node, 30000));
	assert_true(node.revision > revision);
	revision = web.revision;
	web.has = "\"lost\":";
	assert_true(is_seen(&cluster, &web));
	assert_true(web.revision > revision);
	cluster_start(&cluster, (size_t)at);
	revision = node.revision;
	node.has = "\"state\":\"ready\"";
	assert_true(cluster_run_until(&cluster, is_seen, &node, 60000));
	assert_true(node.revision > revision);
	/* All hosts show the same one, also who has begun anew: what was shown by one may be sent back to another. */
	assert_true(cluster_run(&cluster, 2000));
	web.has = "running";
	assert_true(is_seen(&cluster, &node) && is_seen(&cluster, &web));
	for (size_t i = 0; i < HOSTS; i++) {
		struct sight same_node = node, same_web = web;

		same_node.by = same_web.by = i;
		assert_true(is_seen(&cluster, &same_node) && is_seen(&cluster, &same_web));
		assert_int_equal(same_node.revision, node.revision);
		assert_int_equal(same_web.revision, web.revision);
	}
}

static bool is_elsewhere(struct cluster *all, void *data)
{
	auto_json struct json *json = cluster_get(all, "instances", "web");
	int at = cluster_where(all, "web"), *from = data;

	return at >= 0 && at != *from && runs(all, "web") &&
	       text_equal(json_string(json_path(json, "spec.node"), ""), json_string(json_path(json, "status.node"), "-"));
}

static void an_instance_moves_and_is_started_over_there(void **state)
{
	int from;

	(void)state;
	run_web();
	from = cluster_where(&cluster, "web");
	cluster_do(&cluster, CALL_MOVE, NULL, "web", "{\"cold\":true}");
	assert_true(cluster_run_until(&cluster, is_elsewhere, &from, 60000));
	assert_int_equal(sim_machines_count(cluster.members[from].host.machines), 0);
}

static void a_machine_moves_while_it_runs(void **state)
{
	uint64_t started;
	int from;

	(void)state;
	run_web();
	started = cluster.house.witness.started;
	from = cluster_where(&cluster, "web");
	cluster_do(&cluster, CALL_MOVE, NULL, "web", "{}");
	assert_true(cluster_run_until(&cluster, is_elsewhere, &from, 60000));
	assert_true(cluster_run(&cluster, 10000));
	assert_int_equal(cluster.house.witness.started, started + 1);		/* It goes on there. */
	assert_int_equal(sim_machines_count(cluster.members[from].host.machines), 0);
}

static bool has_left(struct cluster *all, void *data)
{
	auto_json struct json *json = cluster_get(all, "instances", "web");

	return !text_equal(json_string(json_path(json, "status.node"), NULL), data);
}

static uint32_t slow_disk_ms(void *data)
{
	(void)data;
	return 1200;			/* Its lease lives through that. */
}

static void send_web(int to)
{
	auto_free char *body = text_format("{\"cold\":true,\"node\":\"node-%d\"}", to);

	cluster_do(&cluster, CALL_MOVE, NULL, "web", body);
}

/* The disk was slow when it left, so something of it is still there when it comes back. */
static void an_instance_that_comes_back_at_once_waits_for_what_it_has_left(void **state)
{
	auto_free char *uid = NULL;
	uint64_t started;
	int from, other;

	(void)state;
	run_web();
	from = cluster_where(&cluster, "web");
	other = (from + 1) % HOSTS;
	uid = text_format("node-%d", from);
	send_web(other);
	cluster_run(&cluster, 5);
	work_set_lag(cluster.members[from].host.work, slow_disk_ms, NULL);
	assert_true(cluster_run_until(&cluster, has_left, uid, 60000));
	work_set_lag(cluster.members[from].host.work, NULL, NULL);
	send_web(from);
	assert_true(cluster_run_until(&cluster, is_elsewhere, &other, 60000));
	started = cluster.house.witness.started;
	assert_true(cluster_run(&cluster, 10000));
	assert_int_equal(cluster_where(&cluster, "web"), from);
	assert_int_equal(cluster.house.witness.started, started);
}

static void a_node_that_is_drained_gets_empty(void **state)
{
	auto_free char *name = NULL;
	int from;

	(void)state;
	run_web();
	from = cluster_where(&cluster, "web");
	name = text_format("node-%d", from);
	/* Live moves are for the real thing; a container is always stopped. */
	cluster_do(&cluster, CALL_STOP, NULL, "web", "{\"force\":true}");
	assert_true(cluster_run(&cluster, 5000));
	cluster_do(&cluster, CALL_UPDATE, "node", name, "{\"spec\":{\"draining\":true,\"cordoned\":true}}");
	assert_true(cluster_run(&cluster, 20000));
	cluster_do(&cluster, CALL_START, NULL, "web", NULL);
	assert_true(cluster_run_until(&cluster, is_elsewhere, &from, 60000));
}

static void the_instances_of_a_lost_host_are_started_elsewhere(void **state)
{
	uint64_t begin_ms;
	int at;

	(void)state;
	run_web();
	at = cluster_where(&cluster, "web");
	begin_ms = cluster_now(&cluster);
	cluster_power_off(&cluster, (size_t)at);
	assert_true(cluster_run_until(&cluster, runs, "web", 60000));
	print_message("runs elsewhere after %u ms\n", (unsigned)(cluster_now(&cluster) - begin_ms));
	assert_in_range(cluster_now(&cluster) - begin_ms, 0, 15000);
	assert_int_not_equal(cluster_where(&cluster, "web"), at);
	/* Who was lost comes back, and has nothing of it any more. */
	cluster_start(&cluster, (size_t)at);
	assert_true(cluster_run_until(&cluster, all_ready, NULL, 60000));
	assert_true(cluster_run(&cluster, 20000));
	assert_true(runs(&cluster, "web"));
}

/* The daemon is killed and does not come back: the watchdog ends what it guards. */
static void the_watchdog_ends_what_a_dead_daemon_leaves(void **state)
{
	int at;

	(void)state;
	run_web();
	at = cluster_where(&cluster, "web");
	cluster_kill(&cluster, (size_t)at);
	assert_true(cluster_run(&cluster, 3000));
	assert_int_equal(sim_machines_count(cluster.members[at].host.machines), 1);
	assert_true(cluster_run(&cluster, 2001));
	assert_int_equal(sim_machines_count(cluster.members[at].host.machines), 0);
	assert_true(cluster_run_until(&cluster, runs, "web", 10000));
	assert_int_not_equal(cluster_where(&cluster, "web"), at);
}

static void a_daemon_that_is_back_in_time_keeps_its_instances(void **state)
{
	uint64_t started;
	int at;

	(void)state;
	run_web();
	at = cluster_where(&cluster, "web");
	started = cluster.house.witness.started;
	cluster_kill(&cluster, (size_t)at);
	assert_true(cluster_run(&cluster, 2000));
	cluster_start(&cluster, (size_t)at);
	assert_true(cluster_run(&cluster, 30000));
	assert_int_equal(cluster_where(&cluster, "web"), at);
	assert_int_equal(cluster.house.witness.started, started);
}

static void a_cut_off_host_ends_its_instances_before_others_start_them(void **state)
{
	struct sim_host *host;
	int at;

	(void)state;
	run_web();
	at = cluster_where(&cluster, "web");
	host = &cluster.members[at].host;
	sim_link_cut(host->link, true);
	assert_true(cluster_run(&cluster, 5001));
	assert_int_equal(sim_machines_count(host->machines), 0);
	assert_true(cluster_run_until(&cluster, runs, "web", 15000));
	assert_int_not_equal(cluster_where(&cluster, "web"), at);
	sim_link_cut(host->link, false);
	assert_true(cluster_run_until(&cluster, all_ready, NULL, 60000));
	assert_true(cluster_run(&cluster, 10000));
	assert_true(runs(&cluster, "web"));
}

static void a_clock_that_is_set_ends_nothing(void **state)
{
	uint64_t started;

	(void)state;
	run_web();
	started = cluster.house.witness.started;
	for (size_t i = 0; i < cluster.count; i++)
		sim_host_jump(&cluster.members[i].host, i % 2 ? -86400000 : 3600000);
	assert_true(cluster_run(&cluster, 60000));
	assert_int_equal(cluster.house.witness.started, started);
	assert_true(runs(&cluster, "web"));
	assert_true(all_ready(&cluster, NULL));
}

/* ---- Any history ---- */

enum { CHAOS_MS = 45000, QUIET_MS = 90000, INSTANCES = 4 };

static const char *const instances[INSTANCES] = { "a", "b", "c", "d" };

static int dying = -1;			/* The host whose daemon dies after this turn of the loop. */

static bool one_dies(struct cluster *all, void *data)
{
	(void)all;
	(void)data;
	return dying >= 0;
}

/* So much time, or until a daemon dies. */
static void go_on(uint64_t ms)
{
	if (!cluster_run_until(&cluster, one_dies, NULL, ms))
		return;
	cluster_kill(&cluster, (size_t)dying);
	cluster.members[dying].host.fault.has_crashed = false;
	dying = -1;
}

/* In the middle of a move from host to host the link breaks, or the source's daemon dies: before the step, or when all is done. */
static void in_the_middle(void *data, const char *uid, const char *step)
{
	int at = witness_where(&cluster.house.witness, uid);
	uint64_t chance = rng_below(data, 12);

	(void)step;
	sim_network_cut(cluster.house.network, chance == 0);
	if (at >= 0 && (chance == 1 || chance == 2)) {
		cluster.members[at].host.fault.has_crashed = chance == 1;
		dying = at;
	}
}

static void heal(size_t i)
{
	struct sim_host *host = &cluster.members[i].host;

	sim_link_set_lag(host->link, 0);
	sim_link_lose_answers(host->link, 0);
	host->lag_ms = 0;
	host->fault.fail_permille = 0;
	cluster_start(&cluster, i);		/* Its link too. */
}

static void ask_something(struct rng *rng)
{
	const char *name = instances[rng_below(rng, INSTANCES)];

	switch (rng_below(rng, 8)) {
	case 6:
	case 7: cluster_send(&cluster, CALL_MOVE, NULL, name, "{}", NULL); break;
	case 4: cluster_send(&cluster, CALL_MOVE, NULL, name, "{\"cold\":true}", NULL); break;
	case 5: cluster_send(&cluster, CALL_MOVE, NULL, name, "{\"cancel\":true}", NULL); break;
	case 0: cluster_send(&cluster, CALL_START, NULL, name, NULL, NULL); break;
	case 1: cluster_send(&cluster, CALL_STOP, NULL, name, "{\"force\":true}", NULL); break;
	case 2: cluster_send(&cluster, CALL_RESTART, NULL, name, "{\"force\":true}", NULL); break;
	case 3: cluster_send(&cluster, CALL_UPDATE, "instance", name, "{\"meta\":{\"labels\":{\"a\":\"b\"}}}", NULL); break;
	}
}

static void fault(struct rng *rng)
{
	size_t i = rng_below(rng, cluster.count);
	struct sim_host *host = &cluster.members[i].host;

	switch (rng_below(rng, 12)) {
	case 0:
	case 1:
	case 2: sim_link_cut(host->link, true); break;
	case 3: sim_link_cut(host->link, false); break;
	case 4: sim_link_set_lag(host->link, (uint32_t)rng_below(rng, 3000)); break;
	case 5: sim_link_lose_answers(host->link, (uint32_t)rng_below(rng, 500)); break;
	case 6: cluster_kill(&cluster, i); break;
	case 7: cluster_power_off(&cluster, i); break;
	case 8: heal(i); break;
	case 9: sim_host_jump(host, (int64_t)rng_below(rng, 7200000) - 3600000); break;
	case 10: host->lag_ms = (uint32_t)rng_below(rng, 8000); break;
	case 11: host->fault.fail_permille = (unsigned)rng_below(rng, 100); break;
	}
}

static void chaos(struct rng *rng)
{
	uint64_t end_ms = cluster_now(&cluster) + CHAOS_MS;

	while (cluster_now(&cluster) < end_ms && !cluster.house.witness.broken[0]) {
		if (rng_below(rng, 3))
			fault(rng);
		else
			ask_something(rng);
		go_on(1 + rng_below(rng, 3000));
	}
}

static bool is_quiet(struct cluster *all, void *data)
{
	(void)data;
	if (!all_ready(all, NULL))
		return false;
	for (size_t i = 0; i < INSTANCES; i++) {
		auto_json struct json *json = cluster_get(all, "instances", instances[i]);
		const char *power = json_string(json_path(json, "spec.power"), ""), *state = json_string(json_path(json, "status.state"), "");
		bool is_up = cluster_where(all, instances[i]) >= 0;

		if (strcmp(power, "running") == 0 ? strcmp(state, "running") != 0 || !is_up : is_up)
			return false;
	}
	return true;
}

static void print_folder(const char *folder)
{
	int leader = cluster_leader(&cluster);
	auto_str struct str json = { 0 };

	view_list(cluster.members[leader < 0 ? 0 : leader].view, folder, &json);
	fprintf(stderr, "%s at host %d: %s\n", folder, leader, json.data);		/* cmocka would cut it. */
}

static void tell_what_is(void)
{
	print_folder("nodes");
	print_folder("instances");
	for (size_t i = 0; i < INSTANCES; i++)
		print_error("%s runs on %d\n", instances[i], cluster_where(&cluster, instances[i]));
}

/* Whatever happened: once it is over all runs that should, what was promised is what runs, and nothing was lost. */
static void one_history(uint64_t seed)
{
	struct rng rng;
	struct err err;

	rng_init(&rng, seed);
	begin(3 + (size_t)rng_below(&rng, 3), seed);
	cluster_do(&cluster, CALL_CREATE, "volume", NULL, "{\"meta\":{\"name\":\"v\"},\"spec\":{\"size\":\"1GiB\",\"pool\":\"shared\"}}");
	cluster_run(&cluster, 3000);
	cluster_do(&cluster, CALL_CREATE, "instance", NULL, RUN("a"));
	cluster_do(&cluster, CALL_CREATE, "instance", NULL, RUN("b"));
	cluster_do(&cluster, CALL_CREATE, "instance", NULL, RUN("c"));
	cluster_do(&cluster, CALL_CREATE, "instance", NULL, "{\"meta\":{\"name\":\"d\"},\"spec\":{\"root_size\":\"1GiB\",\"memory\":\"1GiB\",\"nics\":[],"
		   "\"pool\":\"shared\",\"ha\":\"restart\",\"restart\":\"always\",\"volumes\":[{\"volume\":\"v\"}]}}");
	sim_network_on_step(cluster.house.network, in_the_middle, &rng);
	chaos(&rng);
	sim_network_on_step(cluster.house.network, NULL, NULL);
	sim_network_cut(cluster.house.network, false);
	for (size_t i = 0; i < cluster.count; i++)
		heal(i);
	if (!cluster.house.witness.broken[0] && !cluster_run_until(&cluster, is_quiet, NULL, QUIET_MS))
		tell_what_is();
	if (cluster.house.witness.broken[0] || !is_quiet(&cluster, NULL))
		fail_msg("seed %u: %s", (unsigned)seed, cluster.house.witness.broken[0] ? cluster.house.witness.broken : "it does not come to rest");
	assert_true(cluster_run(&cluster, 5000));
	for (size_t i = 0; i < cluster.count; i++)
		if (core_check(cluster.members[i].core, true, &err) < 0)
			fail_msg("seed %u, host %zu: %s", (unsigned)seed, i, err.msg);
	cluster_done(&cluster);
}

static void no_history_gives_a_volume_two_writers(void **state)
{
	const char *seeds = getenv("STRATA_SEEDS"), *first = getenv("STRATA_SEED");
	uint64_t count = seeds ? strtoull(seeds, NULL, 10) : 100, from = first ? strtoull(first, NULL, 10) : 1;

	(void)state;
	for (uint64_t seed = from; seed < from + count; seed++)
		one_history(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_lost_leader_is_followed_within_its_lease, setup, teardown),
		cmocka_unit_test_setup_teardown(a_state_that_follows_from_others_has_a_revision_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(an_instance_moves_and_is_started_over_there, setup, teardown),
		cmocka_unit_test_setup_teardown(a_machine_moves_while_it_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(an_instance_that_comes_back_at_once_waits_for_what_it_has_left, setup, teardown),
		cmocka_unit_test_setup_teardown(a_node_that_is_drained_gets_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(the_instances_of_a_lost_host_are_started_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(the_watchdog_ends_what_a_dead_daemon_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(a_daemon_that_is_back_in_time_keeps_its_instances, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cut_off_host_ends_its_instances_before_others_start_them, setup, teardown),
		cmocka_unit_test_setup_teardown(a_clock_that_is_set_ends_nothing, setup, teardown),
		cmocka_unit_test(no_history_gives_a_volume_two_writers),
	};

	return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
