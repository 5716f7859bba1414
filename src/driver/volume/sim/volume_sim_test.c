#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "driver/volume/sim/sim.h"
#include "port/volume_conformance.h"

static int write_content(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err)
{
	(void)driver;
	(void)err;
	sim_volumes_write(data, volume, content);
	return 0;
}

static int check_content(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err)
{
	uint64_t found = sim_volumes_read(data, volume);

	(void)driver;
	return found == content ? 0 : err_set(err, -EPROTO, "volume '%s' holds %d instead of %u", volume, (int)found, content);
}

/* A second driver on the same world crashes between the two steps of create. */
static int leave_half_built(void *data, struct volume_driver *driver, struct err *err)
{
	struct fault fault = { .crash_at = 3 };
	struct volume_params params = { .world = data, .fault = &fault };
	struct volume_driver *other;
	struct err ignored;
	int r = volume_sim.open(&params, &other, err);

	(void)driver;
	if (r < 0)
		return r;
	assert_int_equal(volume_sim.create(other, "half", VOLUME_BLOCK, NULL, 1 << 20, &ignored), -ESHUTDOWN);
	assert_int_equal(sim_volumes_half_built(data), 1);
	volume_sim.close(other);
	return 0;
}

static void test_conformance(void **state)
{
	char scratch[] = "/tmp/strata-volume-sim-XXXXXX";
	struct sim_volumes *world = sim_volumes_new();
	struct volume_conformance conformance = {
		.ops = &volume_sim, .params.world = world, .scratch = mkdtemp(scratch), .data = world,
		.write = write_content, .check = check_content, .leave_half_built = leave_half_built,
		.write_tree = write_content, .check_tree = check_content, .has_limits = true,
	};
	struct err err;

	(void)state;
	for (const struct volume_case *test = volume_cases; test->name; test++)
		if (volume_conformance_run(&conformance, test, &err) < 0)
			fail_msg("%s: %s", test->name, err.msg);
	assert_int_equal(sim_volumes_count(world), 0);
	sim_volumes_free(world);
	assert_int_equal(file_remove_tree(scratch, &err), 0);
}

/* Whatever the step at which the host goes down: afterwards the volume is whole or gone, and repeating works. */
static void test_crash_at_every_step(void **state)
{
	bool went_down = true;

	(void)state;
	for (uint64_t step = 1; went_down; step++) {
		struct sim_volumes *world = sim_volumes_new();
		struct fault fault = { .crash_at = step };
		struct volume_params params = { .world = world, .fault = &fault };
		struct volume_driver *driver = NULL;
		struct volume_names names;
		struct err err;

		if (volume_sim.open(&params, &driver, &err) == 0 && volume_sim.create(driver, "a", VOLUME_BLOCK, NULL, 1 << 20, &err) == 0)
			volume_sim.remove(driver, "a", &err);
		went_down = fault.has_crashed;
		volume_sim.close(driver);

		fault = (struct fault){ 0 };
		assert_int_equal(volume_sim.open(&params, &driver, &err), 0);
		assert_int_equal(volume_sim.list(driver, &names, &err), 0);
		volume_names_done(&names);
		assert_int_equal(sim_volumes_half_built(world), 0);
		assert_int_equal(volume_sim.create(driver, "a", VOLUME_BLOCK, NULL, 1 << 20, &err), 0);
		assert_int_equal(sim_volumes_count(world), 1);
		volume_sim.close(driver);
		sim_volumes_free(world);
	}
}

/* The host goes down while a stream is received: afterwards the old or the new state is there, and receiving again gives the new. */
static void test_crash_while_receiving(void **state)
{
	char path[] = "/tmp/strata-volume-sim-XXXXXX";
	auto_close int fd = mkstemp(path);
	struct sim_volumes *sender = sim_volumes_new();
	struct volume_params from = { .world = sender };
	struct volume_driver *driver;
	bool went_down = true;
	struct err err;

	(void)state;
	assert_int_equal(volume_sim.open(&from, &driver, &err), 0);
	assert_int_equal(volume_sim.create(driver, "a", VOLUME_TREE, NULL, 0, &err), 0);
	sim_volumes_write(sender, "a", 7);
	assert_int_equal(volume_sim.snapshot_create(driver, "a", "s", &err), 0);
	assert_int_equal(volume_sim.send(driver, "a", "s", NULL, fd, NULL, &err), 0);
	volume_sim.close(driver);
	sim_volumes_free(sender);

	for (uint64_t step = 1; went_down; step++) {
		struct sim_volumes *world = sim_volumes_new();
		struct fault fault = { .crash_at = step };
		struct volume_params params = { .world = world, .fault = &fault };
		struct volume_names names;

		driver = NULL;
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		if (volume_sim.open(&params, &driver, &err) == 0)
			volume_sim.receive(driver, "b", fd, NULL, &err);
		went_down = fault.has_crashed;
		volume_sim.close(driver);

		fault = (struct fault){ 0 };
		assert_int_equal(volume_sim.open(&params, &driver, &err), 0);
		assert_int_equal(volume_sim.list(driver, &names, &err), 0);
		assert_true(names.items.count <= 1);
		volume_names_done(&names);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(volume_sim.receive(driver, "b", fd, NULL, &err), 0);
		assert_int_equal(sim_volumes_read(world, "b"), 7);
		volume_sim.close(driver);
		sim_volumes_free(world);
	}
	unlink(path);
}

static void test_machine_snapshot(void **state)
{
	struct sim_volumes *world = sim_volumes_new();
	struct volume_params params = { .world = world };
	struct volume_driver *driver;
	struct volume_info info;
	struct err err;

	(void)state;
	assert_int_equal(volume_sim.open(&params, &driver, &err), 0);
	assert_int_equal(volume_sim.create(driver, "a", VOLUME_BLOCK, NULL, 1 << 20, &err), 0);
	assert_int_equal(volume_sim.info(driver, "a", &info, &err), 0);
	sim_volumes_write(world, "a", 7);
	sim_volumes_take_snapshot(world, info.layers.items[0].path, "s1", false);
	sim_volumes_write(world, "a", 8);
	assert_int_equal(volume_sim.snapshot_restore(driver, "a", "s1", &err), 0);
	assert_int_equal(sim_volumes_read(world, "a"), 7);
	sim_volumes_take_snapshot(world, info.layers.items[0].path, "s1", true);
	assert_int_equal(volume_sim.snapshot_restore(driver, "a", "s1", &err), -ENOENT);
	volume_info_done(&info);
	volume_sim.close(driver);
	sim_volumes_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conformance),
		cmocka_unit_test(test_crash_at_every_step),
		cmocka_unit_test(test_crash_while_receiving),
		cmocka_unit_test(test_machine_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
