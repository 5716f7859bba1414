/* What happens to containers, their volumes, images and pools, told by the core over sim drivers in virtual time. */
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

static struct host host;

static int setup(void **state)
{
	(void)state;
	host_init(&host, 11);
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

static int create(const char *name, const char *more)
{
	auto_free char *body = text_format("{\"meta\":{\"name\":\"%s\"},\"spec\":{\"kind\":\"container\",\"image\":\"busybox\"%s}}", name, more);

	return host_call(&host, CALL_CREATE, "instance", NULL, NULL, body);
}

static char *text_of(const char *folder, const char *name, const char *path)
{
	auto_json struct json *json = host_get(&host, folder, name);

	return text_copy(json_string(json_path(json, path), ""));
}

static int64_t int_of(const char *folder, const char *name, const char *path)
{
	auto_json struct json *json = host_get(&host, folder, name);

	return json_int(json_path(json, path), -1);
}

static void test_runs_and_leaves_nothing(void **state)
{
	(void)state;
	assert_int_equal(create("web", ""), 0);
	settle();
	assert_string_equal(host_state(&host, "instances", "web"), "running");
	assert_int_equal(sim_fabric_nic_count(host.fabric), 1);
	assert_int_equal(int_of("instances", "web", "spec.container.pids"), 4096);
	host_do(&host, CALL_DELETE, "instance", "web", NULL, "{\"force\":true}");
	settle();
	assert_int_equal(sim_machines_count(host.machines), 0);
	assert_int_equal(sim_fabric_nic_count(host.fabric), 0);
	assert_int_equal(sim_volumes_count(host.volumes), 1);	/* Of the image tiny. */
}

static void test_an_end_is_told_with_its_code(void **state)
{
	auto_free char *uid = NULL;

	(void)state;
	assert_int_equal(create("web", ",\"restart\":\"on-failure\""), 0);
	settle();
	uid = text_of("instances", "web", "meta.uid");
	sim_machines_exit(host.machines, uid, MACHINE_EXIT_FAILED, "exited with code 1");
	settle();
	assert_string_equal(host_state(&host, "instances", "web"), "running");		/* Revived. */
	assert_int_equal(int_of("instances", "web", "status.restarts"), 1);
	sim_machines_exit(host.machines, uid, MACHINE_EXIT_GUEST_OFF, "exited with code 0");
	settle();
	assert_string_equal(host_state(&host, "instances", "web"), "stopped");
	assert_int_equal(sim_machines_count(host.machines), 0);
}

static void test_removed_at_its_end(void **state)
{
	auto_free char *uid = NULL;

	(void)state;
	assert_int_equal(create("job", ",\"restart\":\"no\",\"container\":{\"remove\":true}"), 0);
	settle();
	uid = text_of("instances", "job", "meta.uid");
	sim_machines_exit(host.machines, uid, MACHINE_EXIT_GUEST_OFF, "exited with code 0");
	settle();
	assert_string_equal(host_state(&host, "instances", "job"), "");
	assert_int_equal(sim_volumes_count(host.volumes), 1);
	assert_int_equal(sim_fabric_nic_count(host.fabric), 0);
}

static void make_volume(const char *name, const char *more)
{
	auto_free char *body = text_format("{\"meta\":{\"name\":\"%s\"},\"spec\":{\"content\":\"filesystem\"%s}}", name, more);

	host_do(&host, CALL_CREATE, "volume", NULL, NULL, body);
	settle();
	assert_string_equal(host_state(&host, "volumes", name), "ready");
}

#define MOUNT(read_only) ",\"container\":{\"mounts\":[{\"source\":\"data\",\"target\":\"/data\",\"read_only\":" read_only "}]}"

static void test_a_volume_has_one_writer_or_readers(void **state)
{
	(void)state;
	make_volume("data", "");
	assert_int_equal(create("writer", MOUNT("false")), 0);
	assert_int_equal(create("second", MOUNT("false")), -EBUSY);
	assert_int_equal(create("reader", MOUNT("true")), -EBUSY);
	host_do(&host, CALL_DELETE, "instance", "writer", NULL, "{\"force\":true}");
	settle();
	assert_int_equal(create("reader", MOUNT("true")), 0);
	assert_int_equal(create("reader2", MOUNT("true")), 0);
	settle();
	assert_int_equal(create("writer", MOUNT("false")), -EBUSY);
	assert_int_equal(host_call(&host, CALL_DELETE, "volume", "data", NULL, NULL), -EBUSY);
	assert_string_equal(host_state(&host, "instances", "reader2"), "running");
}

static void test_writers_at_the_same_instant(void **state)
{
	struct answer answers[6] = { 0 };
	size_t taken = 0;

	(void)state;
	make_volume("data", "");
	for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
		auto_free char *body = text_format("{\"meta\":{\"name\":\"c%zu\"},\"spec\":{\"kind\":\"container\",\"image\":\"busybox\"%s}}", i,
						   i % 2 ? MOUNT("true") : MOUNT("false"));

		host_send(&host, CALL_CREATE, "instance", NULL, NULL, body, &answers[i]);
	}
	settle();
	for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
		taken += answers[i].code == 0;
		answer_done(&answers[i]);
	}
	assert_int_equal(taken, 1);	/* The first was a writer. */
}

static size_t count_snapshots(const char *volume)
{
	auto_free char *folder = text_format("volumes/%s/snapshots", volume);
	auto_str struct str text = { 0 };
	auto_json struct json *list = NULL;
	struct err err;

	view_list(host.view, folder, &text);
	assert_int_equal(json_parse(text.data, text.size, &list, &err), 0);
	return json_count(list);
}

static void test_snapshots_by_schedule(void **state)
{
	auto_free char *taken_at = NULL;

	(void)state;
	make_volume("data", ",\"snapshots\":\"every 10m keep 3\"");
	assert_int_equal(create("web", MOUNT("false")), 0);
	settle();
	assert_in_range(count_snapshots("data"), 1, 3);
	host_run(&host, 3600000, 120 * 60000);
	assert_int_equal(count_snapshots("data"), 3);
	taken_at = text_of("volumes", "data", "status.snapshot_at");
	assert_true(taken_at[0]);
	assert_string_equal(host_state(&host, "instances", "web"), "running");
	/* With the volume they go. */
	host_do(&host, CALL_DELETE, "instance", "web", NULL, "{\"force\":true}");
	settle();
	host_do(&host, CALL_DELETE, "volume", "data", NULL, NULL);
	settle();
	assert_int_equal(sim_volumes_count(host.volumes), 1);
	assert_int_equal(count_snapshots("data"), 0);
}

static void test_volumes_are_cloned_and_restored(void **state)
{
	(void)state;
	make_volume("data", "");
	host_do(&host, CALL_VOLUME_SNAPSHOT, "snapshot", "data", NULL, "{\"meta\":{\"name\":\"s1\"}}");
	settle();
	host_do(&host, CALL_VOLUME_CLONE, "volume", "data", NULL, "{\"name\":\"copy\",\"snapshot\":\"s1\"}");
	settle();
	assert_string_equal(host_state(&host, "volumes", "copy"), "ready");
	host_do(&host, CALL_VOLUME_RESTORE, "volume", "data", "s1", NULL);
	settle();
	assert_int_equal(int_of("volumes", "data", "status.restore_serial"), 1);
	assert_int_equal(host_call(&host, CALL_VOLUME_RESTORE, "volume", "data", "s2", NULL), -ENOENT);
	assert_int_equal(create("web", MOUNT("false")), 0);
	settle();
	assert_int_equal(host_call(&host, CALL_VOLUME_RESTORE, "volume", "data", "s1", NULL), -EBUSY);
	assert_int_equal(host_call(&host, CALL_VOLUME_CLONE, "volume", "data", NULL, "{\"name\":\"copy2\"}"), -EBUSY);
}

static void test_snapshot_of_a_container_covers_its_volumes(void **state)
{
	(void)state;
	make_volume("data", "");
	assert_int_equal(create("web", MOUNT("false")), 0);
	settle();
	host_do(&host, CALL_CREATE, "snapshot", "web", NULL, "{\"meta\":{\"name\":\"s\"}}");
	settle();
	assert_string_equal(host_state(&host, "instances/web/snapshots", "s"), "ready");
	assert_string_equal(host_state(&host, "instances", "web"), "running");
	auto_free char *at = text_of("volumes", "data", "status.snapshot_at");
	assert_true(at[0]);
	host_do(&host, CALL_RESTORE, NULL, "web", "s", NULL);
	settle();
	assert_string_equal(host_state(&host, "instances", "web"), "running");
	assert_int_equal(int_of("instances", "web", "status.restore_serial"), 1);
}

static void test_images_are_tagged_committed_and_pruned(void **state)
{
	struct answer answer = { 0 };

	(void)state;
	host_do(&host, CALL_IMAGE_TAG, "image", "busybox", NULL, "{\"name\":\"box:1\"}");
	settle();
	assert_string_equal(host_state(&host, "images", "box:1"), "ready");
	assert_int_equal(host_call(&host, CALL_IMAGE_TAG, "image", "tiny", NULL, "{\"name\":\"t\"}"), -EOPNOTSUPP);
	assert_int_equal(create("web", ""), 0);
	settle();
	host_do(&host, CALL_COMMIT, "image", "web", NULL, "{\"image\":\"kept\",\"comment\":\"as it was\",\"config\":{\"command\":[\"top\"]}}");
	settle();
	assert_string_equal(host_state(&host, "images", "kept"), "ready");
	assert_int_equal(host_call(&host, CALL_COMMIT, "image", "web", NULL, "{\"image\":\"kept\"}"), -EEXIST);
	host_send(&host, CALL_IMAGE_PRUNE, NULL, NULL, NULL, "{\"all\":true}", &answer);
	settle();
	assert_int_equal(answer.code, 0);
	assert_int_equal(json_count(json_get(answer.body, "removed")), 2);		/* busybox is in use, tiny is no container's. */
	answer_done(&answer);
	assert_string_equal(host_state(&host, "images", "kept"), "");
	assert_string_equal(host_state(&host, "images", "busybox"), "ready");
}

static void test_a_password_is_shown_to_nobody_and_forgotten(void **state)
{
	auto_free char *shown = NULL, *name = NULL;
	struct answer answer = { 0 };

	(void)state;
	host_send(&host, CALL_CREATE, "image", NULL, NULL,
		  "{\"meta\":{\"name\":\"x\"},\"spec\":{\"kind\":\"container\","
		  "\"pull\":{\"reference\":\"r.example/x\",\"username\":\"u\",\"password\":\"secret\"}}}",
		  &answer);
	while (!answer.has_come && loop_step(host.loop, 0))
		;
	assert_int_equal(answer.code, 0);
	assert_string_equal(json_string(json_path(answer.body, "spec.pull.password"), ""), "***");
	answer_done(&answer);
	settle();
	shown = text_of("images", "x", "spec.pull.password");
	name = text_of("images", "x", "spec.pull.reference");
	assert_string_equal(shown, "");
	assert_string_equal(name, "r.example/x");
	assert_string_equal(host_state(&host, "images", "x"), "ready");
}

static void test_pools(void **state)
{
	(void)state;
	assert_string_equal(host_state(&host, "pools", "default"), "ready");
	assert_int_equal(host_call(&host, CALL_DELETE, "pool", "default", NULL, NULL), -EPERM);
	host_do(&host, CALL_CREATE, "pool", NULL, NULL, "{\"meta\":{\"name\":\"fast\"},\"spec\":{\"driver\":\"btrfs\"}}");
	settle();
	assert_string_equal(host_state(&host, "pools", "fast"), "ready");
	assert_int_equal(create("web", ",\"pool\":\"fast\""), 0);
	assert_int_equal(create("web2", ",\"pool\":\"slow\""), -ENOENT);
	settle();
	assert_string_equal(host_state(&host, "instances", "web"), "running");
	assert_int_equal(host_call(&host, CALL_DELETE, "pool", "fast", NULL, NULL), -EBUSY);
	host_crash(&host);
	host_start(&host);
	settle();
	assert_string_equal(host_state(&host, "instances", "web"), "running");
	host_do(&host, CALL_DELETE, "instance", "web", NULL, "{\"force\":true}");
	settle();
	host_do(&host, CALL_DELETE, "pool", "fast", NULL, NULL);
	settle();
	assert_string_equal(host_state(&host, "pools", "fast"), "");
	/* One that cannot be opened says why and keeps nothing else from working. */
	host_do(&host, CALL_CREATE, "pool", NULL, NULL, "{\"meta\":{\"name\":\"broken\"},\"spec\":{\"source\":\"/broken\"}}");
	host_run(&host, 10, 2000);
	auto_free char *reason = text_of("pools", "broken", "status.reason");
	assert_non_null(strstr(reason, "read-only"));
	assert_int_equal(create("web", ",\"pool\":\"broken\""), -EBUSY);
	host_do(&host, CALL_DELETE, "pool", "broken", NULL, NULL);
	settle();
	assert_string_equal(host_state(&host, "pools", "broken"), "");
}

static void test_bad_input_changes_nothing(void **state)
{
#define CONTAINER(more) "{\"meta\":{\"name\":\"x\"},\"spec\":{\"kind\":\"container\",\"image\":\"busybox\"," more "}}"
#define MOUNTS(mounts) CONTAINER("\"container\":{\"mounts\":[" mounts "]}")
	static const struct { const char *body, *says; } bad[] = {
		{ "{\"meta\":{\"name\":\"x\"},\"spec\":{\"kind\":\"container\",\"image\":\"tiny\"}}", "for virtual machines" },
		{ "{\"meta\":{\"name\":\"x\"},\"spec\":{\"image\":\"busybox\"}}", "for containers" },
		{ "{\"meta\":{\"name\":\"x\"},\"spec\":{\"kind\":\"container\"}}", "spec.image" },
		{ CONTAINER("\"vnc\":true"), "spec.vnc" },
		{ "{\"meta\":{\"name\":\"x\"},\"spec\":{\"image\":\"tiny\",\"container\":{\"pids\":5}}}", "spec.container" },
		{ CONTAINER("\"container\":{\"env\":[\"=x\"]}"), "NAME=VALUE" },
		{ CONTAINER("\"container\":{\"cap_add\":[\"NOPE\"]}"), "NET_ADMIN" },
		{ CONTAINER("\"container\":{\"stop_signal\":\"SIGNOPE\"}"), "SIGTERM" },
		{ CONTAINER("\"container\":{\"devices\":[\"/etc/shadow\"]}"), "/dev/" },
		{ MOUNTS("{\"source\":\"nope\",\"target\":\"/d\"}"), "volume 'nope' does not exist" },
		{ MOUNTS("{\"kind\":\"bind\",\"source\":\"/a/../etc\",\"target\":\"/d\"}"), "without '..'" },
		{ MOUNTS("{\"kind\":\"tmpfs\",\"target\":\"/d\"},{\"kind\":\"tmpfs\",\"target\":\"/d\"}"), "twice" },
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
}

int main(void)
{
#define SCENARIO(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		SCENARIO(test_runs_and_leaves_nothing),
		SCENARIO(test_an_end_is_told_with_its_code),
		SCENARIO(test_removed_at_its_end),
		SCENARIO(test_a_volume_has_one_writer_or_readers),
		SCENARIO(test_writers_at_the_same_instant),
		SCENARIO(test_snapshots_by_schedule),
		SCENARIO(test_volumes_are_cloned_and_restored),
		SCENARIO(test_snapshot_of_a_container_covers_its_volumes),
		SCENARIO(test_images_are_tagged_committed_and_pruned),
		SCENARIO(test_a_password_is_shown_to_nobody_and_forgotten),
		SCENARIO(test_pools),
		SCENARIO(test_bad_input_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
