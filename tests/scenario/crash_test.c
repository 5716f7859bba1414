/*
 * The crash-only promise: random operations, a crash at every step of them, and nothing lost or leaked.
 *
 * A round runs the same seeded operations again and again on a fresh host; in run k the daemon is
 * killed at step k (a change a driver makes to the world, or a turn of the loop), started again, and
 * must bring everything in order by itself.  STRATA_CRASH_SEED and STRATA_CRASH_ROUNDS choose others.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "host.h"

/* A process that is killed frees nothing: here the leak checker would tell of every crash. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}

enum { OPERATIONS = 22, SETTLE_MS = 4000, SETTLE_MAX_MS = 300000, STRIDE_STEPS = 400 };

static const char *const names[] = { "a", "b", "c" };

static const char *any_name(struct rng *rng)
{
	return names[rng_below(rng, ARRAY_COUNT(names))];
}

/* One operation, whether it makes sense now or not: refusing is right too. */
static void send_operation(struct host *host, struct rng *rng)
{
	const char *name = any_name(rng), *other = any_name(rng);
	auto_free char *create = text_format("{\"meta\":{\"name\":\"%s\"},\"spec\":{\"image\":\"tiny\",\"restart\":\"%s\"}}", name,
					     rng_below(rng, 2) ? "always" : "no");
	auto_free char *clone = text_format("{\"name\":\"%s\"}", other);
	auto_free char *rename = text_format("{\"name\":\"%s\"}", other);

	auto_free char *container = text_format(
		"{\"meta\":{\"name\":\"%s\"},\"spec\":{\"kind\":\"container\",\"image\":\"busybox\",\"restart\":\"%s\",\"container\":{\"remove\":%s%s}}}",
		name, rng_below(rng, 2) ? "on-failure" : "no", rng_below(rng, 4) ? "false" : "true",
		rng_below(rng, 2) ? "" : ",\"mounts\":[{\"source\":\"t\",\"target\":\"/data\"}]");

	switch (rng_below(rng, 20)) {
	case 0:
	case 1:
	case 2: host_send(host, CALL_CREATE, "instance", NULL, NULL, create, NULL); break;
	case 3: host_send(host, CALL_DELETE, "instance", name, NULL, "{\"force\":true}", NULL); break;
	case 4: host_send(host, CALL_STOP, NULL, name, NULL, rng_below(rng, 2) ? "{\"force\":true}" : NULL, NULL); break;
	case 5: host_send(host, CALL_START, NULL, name, NULL, NULL, NULL); break;
	case 6: host_send(host, CALL_RESTART, NULL, name, NULL, NULL, NULL); break;
	case 7: host_send(host, CALL_CREATE, "snapshot", name, NULL, "{\"meta\":{\"name\":\"s\"},\"spec\":{\"memory\":true}}", NULL); break;
	case 8: host_send(host, CALL_RESTORE, NULL, name, "s", NULL, NULL); break;
	case 9: host_send(host, CALL_CLONE, NULL, name, NULL, clone, NULL); break;
	case 10: host_send(host, CALL_RENAME, "instance", name, NULL, rename, NULL); break;
	case 11:
		host_send(host, CALL_CREATE, "volume", NULL, NULL, "{\"meta\":{\"name\":\"v\"},\"spec\":{\"size\":\"1GiB\"}}", NULL);
		host_send(host, CALL_ATTACH, NULL, name, NULL, "{\"volume\":\"v\"}", NULL);
		break;
	case 12: host_send(host, CALL_DETACH, NULL, name, NULL, "{\"volume\":\"v\"}", NULL); break;
	case 13:
	case 14: host_send(host, CALL_CREATE, "instance", NULL, NULL, container, NULL); break;
	case 15:
		host_send(host, CALL_CREATE, "volume", NULL, NULL,
			  "{\"meta\":{\"name\":\"t\"},\"spec\":{\"content\":\"filesystem\",\"snapshots\":\"every 1m keep 2\"}}", NULL);
		break;
	case 16: host_send(host, CALL_VOLUME_CLONE, "volume", "t", NULL, "{\"name\":\"u\"}", NULL); break;
	case 17: host_send(host, CALL_DELETE, "volume", rng_below(rng, 2) ? "t" : "u", NULL, NULL, NULL); break;
	case 18: host_send(host, CALL_COMMIT, "image", name, NULL, "{\"image\":\"kept\"}", NULL); break;
	default: host_send(host, CALL_DELETE, "snapshot", name, "s", NULL, NULL); break;
	}
}

/* Sends everything with random pauses; returns whether the host survived it. */
static bool run_operations(struct host *host, uint64_t seed)
{
	struct rng rng;

	rng_init(&rng, seed);
	for (int i = 0; i < OPERATIONS; i++) {
		send_operation(host, &rng);
		if (!host_run(host, 1, rng_below(&rng, 3000)))
			return false;
	}
	return host_run(host, SETTLE_MS, SETTLE_MAX_MS);
}

static size_t list(struct host *host, const char *folder, struct json **ret_list)
{
	auto_str struct str text = { 0 };
	struct err err = { 0 };

	view_list(host->view, folder, &text);
	assert_int_equal(json_parse(text.data, text.size, ret_list, &err), 0);
	return json_count(*ret_list);
}

struct expected { size_t machines, nics, volumes; };

/* What a stored object says must be true in the world. */
static void check_instance(struct host *host, const struct json *instance, struct expected *expected)
{
	const char *name = json_string(json_path(instance, "meta.name"), ""), *uid = json_string(json_path(instance, "meta.uid"), "");
	const char *state = json_string(json_path(instance, "status.state"), "");
	bool is_up = strcmp(state, "running") == 0 || strcmp(state, "paused") == 0;
	bool has_machine = sim_machines_config(host->machines, uid) != NULL;

	if (json_get(json_get(instance, "meta"), "deleted_at"))
		fail_msg("'%s' is stuck being deleted", name);
	if (!is_up && strcmp(state, "stopped") != 0)
		fail_msg("'%s' is stuck in state '%s': %s", name, state, json_string(json_path(instance, "status.reason"), ""));
	if (is_up != has_machine)
		fail_msg("'%s' is '%s' but %s machine is there", name, state, has_machine ? "a" : "no");
	if (strcmp(json_string(json_path(instance, "spec.power"), ""), "running") == 0 &&
	    json_int(json_path(instance, "status.ended_serial"), 0) < json_int(json_path(instance, "spec.start_serial"), 0) && !is_up)
		fail_msg("'%s' should run and does not", name);
	expected->machines += is_up;
	expected->volumes++;
	for (size_t i = 0; i < json_count(json_path(instance, "spec.nics")); i++)
		expected->nics += sim_fabric_nic(host->fabric, uid, (unsigned)i) != NULL;
}

static void check_snapshots(struct host *host, const char *name)
{
	auto_free char *folder = text_format("instances/%s/snapshots", name);
	auto_json struct json *snapshots = NULL;

	for (size_t i = 0, count = list(host, folder, &snapshots); i < count; i++) {
		const char *state = json_string(json_path(json_at(snapshots, i), "status.state"), "");

		if (strcmp(state, "ready") != 0 && strcmp(state, "failed") != 0)
			fail_msg("snapshot of '%s' is stuck in state '%s'", name, state);
	}
}

static void check_world(struct host *host)
{
	auto_json struct json *instances = NULL, *images = NULL, *volumes = NULL;
	struct expected expected = { 0 };

	for (size_t i = 0, count = list(host, "instances", &instances); i < count; i++) {
		check_instance(host, json_at(instances, i), &expected);
		check_snapshots(host, json_string(json_path(json_at(instances, i), "meta.name"), ""));
	}
	expected.volumes += list(host, "volumes", &volumes);
	for (size_t i = 0, count = list(host, "images", &images); i < count; i++)
		expected.volumes += json_bool(json_path(json_at(images, i), "status.has_disk"), false);
	assert_int_equal(sim_machines_count(host->machines), expected.machines);
	assert_int_equal(sim_machines_leftovers(host->machines), 0);
	assert_int_equal(sim_fabric_nic_count(host->fabric), expected.nics);
	assert_int_equal(sim_volumes_half_built(host->volumes), 0);
	assert_int_equal(sim_volumes_count(host->volumes), expected.volumes);
	assert_int_equal(sim_fabric_network_count(host->fabric), 1);
}

/* Returns the number of steps the operations took in all, when the crash came after their end. */
static uint64_t run_with_crash(uint64_t seed, uint64_t crash_after)
{
	struct host host;
	uint64_t begin, steps = 0;

	host_init(&host, seed);
	host_start(&host);
	assert_true(host_run(&host, 1000, 60000));
	host_make_image(&host);
	begin = host.fault.step;
	host.fault.crash_at = crash_after ? begin + crash_after : 0;
	if (run_operations(&host, seed)) {
		steps = host.fault.step - begin;
		host.fault.crash_at = 0;
	} else {
		host_crash(&host);
		host.fault.crash_at = 0;
		host_start(&host);
		assert_true(host_run(&host, SETTLE_MS, SETTLE_MAX_MS));
	}
	check_world(&host);
	/* And a restart of a host at rest changes nothing. */
	host_crash(&host);
	host_start(&host);
	assert_true(host_run(&host, SETTLE_MS, SETTLE_MAX_MS));
	check_world(&host);
	host_done(&host);
	return steps;
}

static uint64_t number_from(const char *variable, uint64_t fallback)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 10) : fallback;
}

static void test_a_crash_at_every_step(void **state)
{
	uint64_t first = number_from("STRATA_CRASH_SEED", 1), rounds = number_from("STRATA_CRASH_ROUNDS", 4);
	uint64_t crashes = 0;

	(void)state;
	for (uint64_t seed = first; seed < first + rounds; seed++) {
		uint64_t steps = run_with_crash(seed, 0);
		uint64_t stride = steps / STRIDE_STEPS + 1;

		/* A stride that is odd in every round, so that rounds look at different steps. */
		for (uint64_t step = 1 + seed % stride; step <= steps; step += stride, crashes++) {
			if (getenv("STRATA_CRASH_VERBOSE"))
				print_message("seed %" PRIu64 " step %" PRIu64 "/%" PRIu64 "\n", seed, step, steps);
			run_with_crash(seed, step);
		}
		print_message("seed %" PRIu64 ": %" PRIu64 " steps\n", seed, steps);
	}
	print_message("%" PRIu64 " crashes survived\n", crashes);
	assert_true(crashes > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_a_crash_at_every_step) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
