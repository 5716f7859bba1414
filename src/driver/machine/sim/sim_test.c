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

/* Moving: a second host, whose machine waits for ours */

enum happening { NOTHING, CUT, DESTINATION_DIES, SOURCE_DIES };

struct pair {
	struct bench here, there;
	struct sim_network *network;
	struct machine_migration migration;
	const char *step;		/* Before which something happens. */
	int what;			/* enum happening */
};

static void on_step(void *data, const char *uid, const char *step)
{
	struct pair *pair = data;

	if (strcmp(step, pair->step) != 0)
		return;
	if (pair->what == CUT)
		sim_network_cut(pair->network, true);
	else if (pair->what == DESTINATION_DIES)
		sim_machines_exit(pair->there.world, uid, MACHINE_EXIT_FAILED, "killed");
	else if (pair->what == SOURCE_DIES)
		sim_machines_exit(pair->here.world, uid, MACHINE_EXIT_FAILED, "killed");
}

static void open_side(struct bench *bench, struct sim_network *network)
{
	struct machine_params params = { .world = bench->world, .fault = &bench->fault, .network = network };
	struct err err;

	assert_int_equal(loop_new(LOOP_CLOCK_VIRTUAL, 0, &bench->loop, &err), 0);
	assert_int_equal(machine_sim.open(&params, &bench->driver, &err), 0);
}

static struct pair *pair_new(const char *step, int what)
{
	struct pair *pair = alloc(sizeof(*pair));
	struct machine_listen listen = { .address = "10.0.0.2" };
	struct err err;

	*pair = (struct pair){ .network = sim_network_new(), .step = step, .what = what, .migration.address = "10.0.0.2" };
	sim_network_on_step(pair->network, on_step, pair);
	pair->here.world = sim_machines_new();
	pair->there.world = sim_machines_new();
	open_side(&pair->here, pair->network);
	open_side(&pair->there, pair->network);
	start(&pair->here);
	assert_int_equal(machine_sim.migrate_in(pair->there.driver, &config, &listen, &pair->migration.ports, &err), 0);
	return pair;
}

static void pair_free(struct pair *pair)
{
	bench_close(&pair->here);
	bench_close(&pair->there);
	sim_machines_free(pair->here.world);
	sim_machines_free(pair->there.world);
	sim_network_free(pair->network);
	free(pair);
}

static int migrate(struct pair *pair)
{
	struct machine_migration_result result;
	struct err err;

	return machine_sim.migrate_out(pair->here.driver, "uid-1", &pair->migration, &result, &err);
}

static struct machine_status status_of(struct bench *bench)
{
	struct machine_status status;
	struct err err;

	assert_int_equal(machine_sim.status(bench->driver, "uid-1", &status, &err), 0);
	return status;
}

static void broken_move_leaves_the_guest(void **state)
{
	static const char *const steps[] = { "disks", "memory", "switch" };

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		for (int what = CUT; what <= DESTINATION_DIES; what++) {
			struct pair *pair = pair_new(steps[i], what);

			assert_int_equal(migrate(pair), what == CUT ? -ETIMEDOUT : -EIO);
			assert_int_equal(status_of(&pair->here).state, MACHINE_RUNNING);
			assert_int_equal(status_of(&pair->there).state, MACHINE_ABSENT);
			pair_free(pair);
		}
	}
}

static void move_ends_with_its_source(void **state)
{
	struct pair *pair = pair_new("switch", SOURCE_DIES);

	(void)state;
	assert_true(migrate(pair) < 0);
	assert_int_equal(status_of(&pair->there).state, MACHINE_ABSENT);
	pair_free(pair);
}

/* Wherever the source's daemon dies, afterwards the guest runs here, or is stopped here and has arrived there: never both run. */
static void crashed_move_is_whole(void **state)
{
	bool has_moved = false;

	(void)state;
	for (uint64_t step = 1; !has_moved; step++) {
		struct pair *pair = pair_new("", NOTHING);
		struct machine_status here, there;
		int r;

		pair->here.fault = (struct fault){ .crash_at = step };
		r = migrate(pair);
		pair->here.fault = (struct fault){ 0 };
		here = status_of(&pair->here);
		there = status_of(&pair->there);
		assert_int_equal(here.is_moved_out, there.has_arrived);
		assert_int_equal(here.state, here.is_moved_out ? MACHINE_PAUSED : MACHINE_RUNNING);
		assert_int_not_equal(there.state, MACHINE_RUNNING);
		has_moved = r == 0;
		pair_free(pair);
	}
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
		cmocka_unit_test(broken_move_leaves_the_guest), cmocka_unit_test(move_ends_with_its_source),
		cmocka_unit_test(crashed_move_is_whole),
	};
	struct volume_layer layers[] = { { path, VOLUME_QCOW2 } };
	struct machine_disk root = { .id = "root", .layers = layers, .layer_count = 1, .is_root = true };
	struct sim_machines *world = sim_machines_new(), *there = sim_machines_new();
	struct sim_network *network = sim_network_new();
	struct machine_conformance conformance = {
		.ops = &machine_sim, .params = { .world = world, .network = network }, .config = config, .clock = LOOP_CLOCK_VIRTUAL,
		.peer_params = { .world = there, .network = network }, .copied = (const char *const[]){ "root", NULL },
		.extra_disk = { .id = "extra", .layers = layers, .layer_count = 1 }, .boot_timeout_s = 10,
	};
	int failed;

	conformance.config.disks = &root;
	conformance.config.disk_count = 1;
	conformance.peer_config = conformance.config;
	failed = machine_conformance(&conformance);
	sim_machines_free(world);
	sim_machines_free(there);
	sim_network_free(network);
	return failed + cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
