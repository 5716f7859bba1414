#include "driver/machine/sim/sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "port/machine_conformance.h"

static char *path = "/nowhere/root.qcow2";
static const struct machine_config config = { .uid = "uid-1", .name = "web", .cpus = 1, .max_cpus = 4, .memory_bytes = 1 << 28, .type = MACHINE_MICROVM };

struct bench {
	struct sim_machines *world;
	struct fault fault;
	struct machine_driver *driver;
	struct loop *loop;
	struct machine_watch *watch;
	struct machine_event last;
	size_t count;
};

static void keep(void *data, const struct machine_event *event)
{
	struct bench *bench = data;

	bench->last = *event;
	bench->count++;
}

static void bench_open(struct bench *bench)
{
	struct machine_params params = { .world = bench->world, .fault = &bench->fault };
	struct err err;

	assert_int_equal(loop_new(LOOP_CLOCK_VIRTUAL, 0, &bench->loop, &err), 0);
	assert_int_equal(machine_sim.open(&params, &bench->driver, &err), 0);
}

static void bench_close(struct bench *bench)
{
	machine_sim.unwatch(bench->driver, bench->watch);
	bench->watch = NULL;
	loop_free(bench->loop);
	machine_sim.close(bench->driver);
}

static int set_up(void **state)
{
	struct bench *bench = alloc(sizeof(*bench));

	bench->world = sim_machines_new();
	bench_open(bench);
	*state = bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	bench_close(bench);
	sim_machines_free(bench->world);
	free(bench);
	return 0;
}

static void start(struct bench *bench)
{
	struct err err;

	assert_int_equal(machine_sim.start(bench->driver, &config, &err), 0);
	assert_int_equal(machine_sim.watch(bench->driver, "uid-1", bench->loop, keep, bench, &bench->watch, &err), 0);
}

static void run_loop(struct bench *bench)
{
	while (loop_step(bench->loop, 0))
		;
}

static void agent_comes_after_a_second(void **state)
{
	struct bench *bench = *state;

	start(bench);
	run_loop(bench);
	assert_int_equal(bench->last.kind, MACHINE_EVENT_AGENT_UP);
	assert_int_equal(loop_now_ms(bench->loop), SIM_AGENT_DELAY_MS);
}

static void guest_may_ignore_shutdown(void **state)
{
	struct bench *bench = *state;
	struct err err;

	sim_machines_ignore_shutdown(bench->world, "uid-1", true);
	start(bench);
	assert_int_equal(machine_sim.shutdown(bench->driver, "uid-1", &err), 0);
	run_loop(bench);
	assert_int_equal(sim_machines_count(bench->world), 1);
}

static void crash_leaves_something_to_clean(void **state)
{
	struct bench *bench = *state;
	struct err err;

	start(bench);
	sim_machines_exit(bench->world, "uid-1", MACHINE_EXIT_FAILED, "killed by signal 11");
	run_loop(bench);
	assert_int_equal(bench->last.kind, MACHINE_EVENT_EXITED);
	assert_int_equal(bench->last.cause, MACHINE_EXIT_FAILED);
	assert_string_equal(bench->last.text, "killed by signal 11");
	assert_int_equal(sim_machines_count(bench->world), 0);
	assert_int_equal(sim_machines_leftovers(bench->world), 1);
	assert_int_equal(machine_sim.kill(bench->driver, "uid-1", &err), 0);
	assert_int_equal(sim_machines_leftovers(bench->world), 0);
}

/* Whether the crash comes before or after the change, the next daemon finds a whole world. */
static void every_crash_leaves_a_whole_world(void **state)
{
	struct bench *bench = *state;
	struct err err;

	for (uint64_t step = 1; step <= 2; step++) {
		bench->fault = (struct fault){ .crash_at = step };
		assert_int_equal(machine_sim.start(bench->driver, &config, &err), -ESHUTDOWN);
		assert_int_equal(machine_sim.kill(bench->driver, "uid-1", &err), -ESHUTDOWN);
		assert_int_equal(sim_machines_count(bench->world), step - 1);
		bench_close(bench);
		bench->fault = (struct fault){ 0 };
		bench_open(bench);
		assert_int_equal(machine_sim.kill(bench->driver, "uid-1", &err), 0);
	}
}

static void full_disk_pauses(void **state)
{
	struct bench *bench = *state;
	struct machine_status status;
	struct err err;

	start(bench);
	sim_machines_io_error(bench->world, "uid-1", "No space left on device");
	run_loop(bench);
	assert_int_equal(machine_sim.status(bench->driver, "uid-1", &status, &err), 0);
	assert_int_equal(status.state, MACHINE_PAUSED);
	assert_true(status.has_io_error);
}

static void config_follows_the_machine(void **state)
{
	struct bench *bench = *state;
	struct volume_layer layer = { path, VOLUME_QCOW2 };
	struct machine_disk disk = { .id = "extra", .layers = &layer, .layer_count = 1 };
	struct err err;

	start(bench);
	assert_int_equal(machine_sim.disk_attach(bench->driver, "uid-1", &disk, &err), 0);
	assert_int_equal(sim_machines_config(bench->world, "uid-1")->disk_count, 1);
	assert_string_equal(sim_machines_config(bench->world, "uid-1")->disks[0].layers[0].path, path);
	assert_int_equal(machine_sim.disk_detach(bench->driver, "uid-1", "extra", &err), 0);
	assert_int_equal(sim_machines_config(bench->world, "uid-1")->disk_count, 0);
}

static void typing_reaches_the_guest(void **state)
{
	struct bench *bench = *state;
	char typed[16];
	struct err err;
	int fd;

	start(bench);
	assert_int_equal(machine_sim.console_open(bench->driver, "uid-1", &fd, &err), 0);
	assert_int_equal(write(fd, "ls\n", 3), 3);
	assert_int_equal(sim_machines_typed(bench->world, "uid-1", typed, sizeof(typed)), 3);
	assert_memory_equal(typed, "ls\n", 3);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(agent_comes_after_a_second, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guest_may_ignore_shutdown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(crash_leaves_something_to_clean, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_crash_leaves_a_whole_world, set_up, tear_down),
		cmocka_unit_test_setup_teardown(full_disk_pauses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(config_follows_the_machine, set_up, tear_down),
		cmocka_unit_test_setup_teardown(typing_reaches_the_guest, set_up, tear_down),
	};
	struct volume_layer layers[] = { { path, VOLUME_QCOW2 } };
	struct machine_disk root = { .id = "root", .layers = layers, .layer_count = 1, .is_root = true };
	struct sim_machines *world = sim_machines_new();
	struct machine_conformance conformance = {
		.ops = &machine_sim, .params.world = world, .config = config, .clock = LOOP_CLOCK_VIRTUAL,
		.extra_disk = { .id = "extra", .layers = layers, .layer_count = 1 }, .boot_timeout_s = 10,
	};
	int failed;

	conformance.config.disks = &root;
	conformance.config.disk_count = 1;
	failed = machine_conformance(&conformance);
	sim_machines_free(world);
	return failed + cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
