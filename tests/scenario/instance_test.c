/* What happens to instances on one host, told by the core over sim drivers in virtual time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "host.h"

#define RUN_WEB "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\"}}"

static struct host host;

static int setup(void **state)
{
	(void)state;
	host_init(&host, 7);
	host_start(&host);
	assert_true(host_run(&host, 2000, 60000));
	host_make_image(&host);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	host_done(&host);
	return 0;
}

static void settle(void)
{
	assert_true(host_run(&host, 3000, 600000));
}

static void expect_state(const char *state)
{
	const char *is = host_state(&host, "instances", "web");

	if (!text_equal(is, state)) {
		auto_view_text struct view_text *text = view_get(host.view, "instances", "web");

		fail_msg("instance is '%s', not '%s': %s", is, state, text ? text->bytes : "(absent)");
	}
}

static char *uid_of(const char *name)
{
	auto_json struct json *json = host_get(&host, "instances", name);

	return text_copy(json_string(json_path(json, "meta.uid"), NULL));
}

static void run_web(void)
{
	host_do(&host, CALL_CREATE, "instance", NULL, NULL, RUN_WEB);
	settle();
	expect_state("running");
}

static void test_create_runs_and_delete_leaves_nothing(void **state)
{
	(void)state;
	run_web();
	assert_int_equal(sim_machines_count(host.machines), 1);
	assert_int_equal(sim_fabric_nic_count(host.fabric), 1);
	assert_int_equal(sim_volumes_count(host.volumes), 2);
	assert_int_equal(host_call(&host, CALL_DELETE, "instance", "web", NULL, NULL), -EBUSY);
	host_do(&host, CALL_DELETE, "instance", "web", NULL, "{\"force\":true}");
	settle();
	expect_state("");
	assert_int_equal(sim_machines_count(host.machines), 0);
	assert_int_equal(sim_machines_leftovers(host.machines), 0);
	assert_int_equal(sim_fabric_nic_count(host.fabric), 0);
	assert_int_equal(sim_volumes_count(host.volumes), 1);
}

static char *address_of(const char *name, const char *field)
{
	auto_json struct json *json = host_get(&host, "instances", name);

	return text_copy(json_string(json_get(json_at(json_path(json, "spec.nics"), 0), field), ""));
}

static int create_in(const char *network, const char *name)
{
	auto_free char *body = text_format("{\"meta\":{\"name\":\"%s\"},\"spec\":{\"image\":\"tiny\",\"power\":\"stopped\","
					   "\"nics\":[{\"network\":\"%s\"}]}}", name, network);

	return host_call(&host, CALL_CREATE, "instance", NULL, NULL, body);
}

static void test_addresses_are_handed_out_in_turn(void **state)
{
	auto_free char *first = NULL, *first6 = NULL, *second = NULL, *third = NULL;

	(void)state;
	host_do(&host, CALL_CREATE, "network", NULL, NULL,
		"{\"meta\":{\"name\":\"small\"},\"spec\":{\"ipv4\":\"10.9.0.1/29\",\"ipv6\":\"fd00:9::1/64\"}}");
	settle();
	assert_int_equal(create_in("small", "a"), 0);
	first = address_of("a", "ipv4");
	first6 = address_of("a", "ipv6");
	assert_string_equal(first, "10.9.0.2");
	assert_string_equal(first6, "fd00:9::2");
	host_do(&host, CALL_DELETE, "instance", "a", NULL, NULL);
	settle();
	assert_int_equal(create_in("small", "b"), 0);
	second = address_of("b", "ipv4");
	assert_string_equal(second, "10.9.0.3");		/* That of a rests. */
	for (int i = 0; i < 4; i++) {
		auto_free char *name = text_format("c%d", i);

		assert_int_equal(create_in("small", name), 0);
		if (i == 3)
			third = address_of(name, "ipv4");
	}
	assert_string_equal(third, "10.9.0.2");			/* Once around. */
	assert_int_equal(create_in("small", "d"), -ENOSPC);
	settle();
}

static void test_stop_start_pause_resume_restart(void **state)
{
	(void)state;
	run_web();
	host_do(&host, CALL_PAUSE, NULL, "web", NULL, NULL);
	settle();
	expect_state("paused");
	host_do(&host, CALL_RESUME, NULL, "web", NULL, NULL);
	settle();
	expect_state("running");
	host_do(&host, CALL_STOP, NULL, "web", NULL, NULL);
	settle();
	expect_state("stopped");
	assert_int_equal(sim_machines_count(host.machines), 0);
	host_do(&host, CALL_START, NULL, "web", NULL, NULL);
	settle();
	expect_state("running");
	host_do(&host, CALL_RESTART, NULL, "web", NULL, "{\"force\":true}");
	settle();
	expect_state("running");
}

static void test_guest_that_does_not_listen_is_cut_after_the_timeout(void **state)
{
	auto_free char *uid = NULL;

	(void)state;
	run_web();
	uid = uid_of("web");
	sim_machines_ignore_shutdown(host.machines, uid, true);
	host_do(&host, CALL_STOP, NULL, "web", NULL, "{\"timeout\":\"20s\"}");
	assert_true(host_run(&host, 100, 10000));
	expect_state("stopping");
	assert_true(host_run(&host, 60000, 60000));
	expect_state("stopped");
}

static void test_guest_power_off_stays_off_and_crash_is_restarted(void **state)
{
	auto_free char *uid = NULL;

	(void)state;
	run_web();
	uid = uid_of("web");
	sim_machines_exit(host.machines, uid, MACHINE_EXIT_GUEST_OFF, "the guest powered off");
	settle();
	expect_state("stopped");
	host_do(&host, CALL_START, NULL, "web", NULL, NULL);
	settle();
	expect_state("running");
	sim_machines_exit(host.machines, uid, MACHINE_EXIT_FAILED, "killed by signal 9");
	settle();
	expect_state("running");
	auto_json struct json *json = host_get(&host, "instances", "web");
	assert_int_equal(json_int(json_path(json, "status.restarts"), 0), 1);
	assert_string_equal(json_string(json_path(json, "status.exit_reason"), ""), "killed by signal 9");
}

static void test_killed_daemon_adopts_the_machine(void **state)
{
	(void)state;
	run_web();
	host_crash(&host);
	assert_int_equal(sim_machines_count(host.machines), 1);
	host_start(&host);
	settle();
	expect_state("running");
	assert_int_equal(sim_machines_count(host.machines), 1);
}

static void test_host_reboot_starts_again(void **state)
{
	(void)state;
	run_web();
	host_reboot(&host);
	host_start(&host);
	settle();
	expect_state("running");
	assert_int_equal(sim_fabric_nic_count(host.fabric), 1);
}

static void test_snapshot_restores_the_disk(void **state)
{
	auto_free char *uid = NULL;

	(void)state;
	run_web();
	uid = uid_of("web");
	sim_volumes_write(host.volumes, uid, 1);
	host_do(&host, CALL_CREATE, "snapshot", "web", NULL, "{\"meta\":{\"name\":\"s1\"}}");
	settle();
	assert_string_equal(host_state(&host, "instances/web/snapshots", "s1"), "ready");
	sim_volumes_write(host.volumes, uid, 2);
	host_do(&host, CALL_RESTORE, NULL, "web", "s1", NULL);
	settle();
	expect_state("running");
	assert_int_equal(sim_volumes_read(host.volumes, uid), 1);
	host_do(&host, CALL_DELETE, "snapshot", "web", "s1", NULL);
	settle();
	assert_string_equal(host_state(&host, "instances/web/snapshots", "s1"), "");
}

static void test_clone_of_a_running_instance(void **state)
{
	auto_free char *from = NULL, *to = NULL;

	(void)state;
	run_web();
	from = uid_of("web");
	sim_volumes_write(host.volumes, from, 42);
	host_do(&host, CALL_CLONE, NULL, "web", NULL, "{\"name\":\"web2\"}");
	settle();
	to = uid_of("web2");
	assert_string_equal(host_state(&host, "instances", "web2"), "stopped");
	assert_int_equal(sim_volumes_read(host.volumes, to), 42);
	expect_state("running");
}

static void test_volumes_attach_and_detach(void **state)
{
	auto_free char *uid = NULL;

	(void)state;
	run_web();
	uid = uid_of("web");
	host_do(&host, CALL_CREATE, "volume", NULL, NULL, "{\"meta\":{\"name\":\"data\"},\"spec\":{\"size\":\"1GiB\"}}");
	host_do(&host, CALL_ATTACH, NULL, "web", NULL, "{\"volume\":\"data\"}");
	settle();
	assert_int_equal(sim_machines_config(host.machines, uid)->disk_count, 2);
	assert_int_equal(host_call(&host, CALL_DELETE, "volume", "data", NULL, NULL), -EBUSY);
	host_do(&host, CALL_DETACH, NULL, "web", NULL, "{\"volume\":\"data\"}");
	settle();
	assert_int_equal(sim_machines_config(host.machines, uid)->disk_count, 1);
	host_do(&host, CALL_DELETE, "volume", "data", NULL, NULL);
	settle();
	assert_string_equal(host_state(&host, "volumes", "data"), "");
}

static void test_full_disk_pauses_and_goes_on(void **state)
{
	auto_free char *uid = NULL;

	(void)state;
	run_web();
	uid = uid_of("web");
	sim_machines_io_error(host.machines, uid, "No space left on device");
	assert_true(host_run(&host, 500, 1000));
	expect_state("paused");
	auto_json struct json *json = host_get(&host, "instances", "web");
	assert_non_null(strstr(json_string(json_path(json, "status.reason"), ""), "No space left on device"));
	assert_true(host_run(&host, 30000, 60000));
	expect_state("running");
}

static void test_rename(void **state)
{
	(void)state;
	run_web();
	host_do(&host, CALL_CREATE, "snapshot", "web", NULL, "{\"meta\":{\"name\":\"s1\"}}");
	settle();
	host_do(&host, CALL_RENAME, "instance", "web", NULL, "{\"name\":\"shop\"}");
	settle();
	expect_state("");
	assert_string_equal(host_state(&host, "instances", "shop"), "running");
	assert_string_equal(host_state(&host, "instances/shop/snapshots", "s1"), "ready");
	assert_string_equal(host_state(&host, "instances/web/snapshots", "s1"), "");
	host_do(&host, CALL_CREATE, "instance", NULL, NULL, RUN_WEB);
}

static void test_bad_input_changes_nothing(void **state)
{
	static const struct { const char *body, *says; } bad[] = {
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"nope\"}}", "image 'nope' does not exist" },
		{ "{\"meta\":{\"name\":\"Web!\"},\"spec\":{\"image\":\"tiny\"}}", "meta.name: 'Web!' is not a valid name" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"cpus\":0}}", "spec.cpus" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"cpus\":1000000000}}", "spec.cpus" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"memory\":\"12x\"}}", "spec.memory" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"memory\":\"10TiB\"}}", "more than the host has" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"memroy\":\"1GiB\"}}", "did you mean 'memory'" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":7}}", "spec.image" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"nics\":[{\"network\":\"nope\"}]}}", "network 'nope' does not exist" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"nics\":[{\"ipv4\":\"192.0.2.9\"}]}}", "is not in network 'default'" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"volumes\":[{\"volume\":\"v\"}]}}", "volume 'v' does not exist" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"publish\":[{\"host_port\":80,\"guest_port\":80},"
		  "{\"host_port\":80,\"guest_port\":81}]}}", "named twice" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"kind\":\"container\"}}", "spec.kind" },
		{ "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"memory\":\"8MiB\"}}", "at least 32MiB" },
		{ "{\"spec\":{\"image\":\"tiny\"}}", "meta.name" },
		{ "[]", "must be an object" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		uint64_t revision = store_revision(host.store);
		struct answer answer = { 0 };

		host_send(&host, CALL_CREATE, "instance", NULL, NULL, bad[i].body, &answer);
		while (!answer.has_come && loop_step(host.loop, 0))
			;
		if (!answer.code || !strstr(answer.message, bad[i].says))
			fail_msg("%s\n  answered: %d %s\n  expected: %s", bad[i].body, answer.code, answer.message, bad[i].says);
		assert_int_equal(store_revision(host.store), revision);
		answer_done(&answer);
	}
	expect_state("");
}

static void test_names_addresses_and_ports_are_taken_once(void **state)
{
	struct answer answers[20] = { 0 };
	size_t created = 0;

	(void)state;
	/* All at once, before any of them is in the cache. */
	for (size_t i = 0; i < ARRAY_COUNT(answers); i++)
		host_send(&host, CALL_CREATE, "instance", NULL, NULL,
			  "{\"meta\":{\"name\":\"web\"},\"spec\":{\"image\":\"tiny\",\"publish\":[{\"host_port\":8080,\"guest_port\":80}]}}", &answers[i]);
	settle();
	for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
		assert_true(answers[i].has_come);
		created += answers[i].code == 0;
		assert_true(answers[i].code == 0 || answers[i].code == -EEXIST);
		answer_done(&answers[i]);
	}
	assert_int_equal(created, 1);
	assert_int_equal(host_call(&host, CALL_CREATE, "instance", NULL, NULL,
				   "{\"meta\":{\"name\":\"web2\"},\"spec\":{\"image\":\"tiny\",\"publish\":[{\"host_port\":8080,\"guest_port\":80}]}}"),
			 -EEXIST);
}

/* ---- Room ---- */

/* Leaves one GiB for machines, whatever the host that runs the test has. */
static void leave_one_gib(void)
{
	auto_json struct json *node = host_get(&host, "", "node");
	auto_free char *body = text_format("{\"overcommit\":{\"vm\":{\"memory\":1}},\"reserved\":{\"memory\":%lld}}",
					   (long long)json_int(json_path(node, "status.memory"), 0) - (1 << 30));

	host_do(&host, CALL_CONFIG, NULL, NULL, NULL, body);
}

static int create_large(const char *name, const char *power)
{
	auto_free char *body = text_format("{\"meta\":{\"name\":\"%s\"},\"spec\":{\"image\":\"tiny\",\"memory\":\"600MiB\",\"power\":\"%s\"}}", name, power);

	return host_call(&host, CALL_CREATE, "instance", NULL, NULL, body);
}

static void test_what_runs_needs_room(void **state)
{
	(void)state;
	leave_one_gib();
	assert_int_equal(create_large("a", "running"), 0);
	assert_int_equal(create_large("b", "running"), -ENOSPC);
	assert_string_equal(host_state(&host, "instances", "b"), "");
	assert_int_equal(create_large("b", "stopped"), 0);
	settle();
	assert_int_equal(host_call(&host, CALL_START, "instance", "b", NULL, NULL), -ENOSPC);
	assert_int_equal(host_call(&host, CALL_UPDATE, "instance", "a", NULL, "{\"spec\":{\"memory\":\"2GiB\"}}"), -ENOSPC);
	host_crash(&host);
	host_start(&host);
	settle();
	assert_string_equal(host_state(&host, "instances", "a"), "running");
	assert_int_equal(host_call(&host, CALL_START, "instance", "b", NULL, NULL), -ENOSPC);
	host_do(&host, CALL_STOP, "instance", "a", NULL, "{\"force\":true}");
	host_do(&host, CALL_START, "instance", "b", NULL, NULL);
	settle();
	assert_string_equal(host_state(&host, "instances", "b"), "running");
	assert_int_equal(host_call(&host, CALL_START, "instance", "a", NULL, NULL), -ENOSPC);
	host_do(&host, CALL_DELETE, "instance", "b", NULL, "{\"force\":true}");
	settle();
	host_do(&host, CALL_START, "instance", "a", NULL, NULL);
}

static void cordon(bool is_cordoned)
{
	auto_json struct json *node = host_get(&host, "", "node");

	host_do(&host, CALL_UPDATE, "node", json_string(json_path(node, "meta.name"), NULL), NULL,
		is_cordoned ? "{\"spec\":{\"cordoned\":true}}" : "{\"spec\":{\"cordoned\":false}}");
}

static void test_a_cordoned_node_takes_nothing_new(void **state)
{
	(void)state;
	run_web();
	cordon(true);
	assert_int_equal(create_large("a", "running"), -ENOSPC);
	host_crash(&host);
	host_start(&host);
	settle();
	assert_int_equal(create_large("a", "stopped"), -ENOSPC);
	host_do(&host, CALL_RESTART, "instance", "web", NULL, NULL);	/* What is there stays. */
	settle();
	expect_state("running");
	cordon(false);
	assert_int_equal(create_large("a", "running"), 0);
}

/* Both come before either is stored; and what is refused for another reason gives its room back. */
static void test_requests_at_the_same_time_do_not_share_room(void **state)
{
	struct answer answers[2] = { 0 };

	(void)state;
	leave_one_gib();
	for (int i = 0; i < 2; i++) {
		auto_free char *body = text_format("{\"meta\":{\"name\":\"c%d\"},\"spec\":{\"image\":\"tiny\",\"memory\":\"600MiB\"}}", i);

		host_send(&host, CALL_CREATE, "instance", NULL, NULL, body, &answers[i]);
	}
	settle();
	assert_true(answers[0].has_come && answers[1].has_come);
	assert_int_equal(answers[0].code + answers[1].code, -ENOSPC);
	host_do(&host, CALL_DELETE, "instance", answers[0].code ? "c1" : "c0", NULL, "{\"force\":true}");
	settle();
	assert_int_equal(host_call(&host, CALL_CREATE, "instance", NULL, NULL, "{\"meta\":{\"name\":\"d\"},\"spec\":{\"image\":\"tiny\","
				   "\"memory\":\"600MiB\",\"nics\":[{\"network\":\"none\"}]}}"), -ENOENT);
	assert_int_equal(create_large("e", "running"), 0);
	answer_done(&answers[0]);
	answer_done(&answers[1]);
}

int main(void)
{
#define SCENARIO(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		SCENARIO(test_what_runs_needs_room),
		SCENARIO(test_a_cordoned_node_takes_nothing_new),
		SCENARIO(test_requests_at_the_same_time_do_not_share_room),
		SCENARIO(test_create_runs_and_delete_leaves_nothing),
		SCENARIO(test_stop_start_pause_resume_restart),
		SCENARIO(test_guest_that_does_not_listen_is_cut_after_the_timeout),
		SCENARIO(test_guest_power_off_stays_off_and_crash_is_restarted),
		SCENARIO(test_killed_daemon_adopts_the_machine),
		SCENARIO(test_host_reboot_starts_again),
		SCENARIO(test_snapshot_restores_the_disk),
		SCENARIO(test_clone_of_a_running_instance),
		SCENARIO(test_volumes_attach_and_detach),
		SCENARIO(test_full_disk_pauses_and_goes_on),
		SCENARIO(test_rename),
		SCENARIO(test_bad_input_changes_nothing),
		SCENARIO(test_names_addresses_and_ports_are_taken_once),
		SCENARIO(test_addresses_are_handed_out_in_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
