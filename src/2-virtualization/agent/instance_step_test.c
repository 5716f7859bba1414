#include "2-virtualization/agent/instance_step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { NOW_MS = 100000, WALL_MS = 1000000 };

struct case_ {
	const char *what;
	struct meta meta;
	struct instance_spec spec;
	struct instance_status status;
	struct instance_world world;
	enum instance_step step;
	uint64_t wait_ms;
};

/* A machine that runs as it should: each case overrides one thing, on purpose. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#else
#pragma GCC diagnostic ignored "-Woverride-init"
#endif
#define RUNNING_SPEC .power = POWER_RUNNING, .start_serial = 3, .stop_timeout = 30000, .cpus = 1, .memory = 1024
#define RUNNING_STATUS .disk_ready = true, .started_serial = 3, .ended_serial = 2, .cpus = 1, .memory = 1024
#define RUNNING_WORLD .is_known = true, .state = MACHINE_RUNNING, .nics_generation = 5
#define ABSENT_WORLD .is_known = true, .state = MACHINE_ABSENT

static const struct case_ cases[] = {
	{ "nothing is known: look", { .generation = 5 }, { RUNNING_SPEC }, { RUNNING_STATUS }, { .is_known = false }, STEP_INSPECT, 0 },
	{ "all is well", { .generation = 5 }, { RUNNING_SPEC }, { RUNNING_STATUS }, { RUNNING_WORLD }, STEP_NONE, 0 },
	{ "no disk yet", { .generation = 5 }, { RUNNING_SPEC }, { .disk_ready = false }, { ABSENT_WORLD }, STEP_CREATE, 0 },
	{ "start", { .generation = 5 }, { RUNNING_SPEC }, { RUNNING_STATUS }, { ABSENT_WORLD }, STEP_START, 0 },
	{ "its start came to an end", { .generation = 5 }, { RUNNING_SPEC }, { RUNNING_STATUS, .ended_serial = 3 }, { ABSENT_WORLD }, STEP_NONE, 0 },
	{ "back-off", { .generation = 5 }, { RUNNING_SPEC }, { RUNNING_STATUS, .next_start_at = WALL_MS + 700 }, { ABSENT_WORLD }, STEP_WAIT, 700 },
	{ "back-off, and the clock was set back", { .generation = 5 }, { RUNNING_SPEC }, { RUNNING_STATUS, .next_start_at = WALL_MS + 3600000 },
	  { ABSENT_WORLD }, STEP_START, 0 },
	{ "leftovers first", { .generation = 5 }, { RUNNING_SPEC }, { RUNNING_STATUS }, { ABSENT_WORLD, .has_leftovers = true }, STEP_KILL, 0 },
	{ "deleted while it runs", { .generation = 5, .deleted_at = 1 }, { RUNNING_SPEC }, { RUNNING_STATUS }, { RUNNING_WORLD }, STEP_KILL, 0 },
	{ "deleted", { .generation = 5, .deleted_at = 1 }, { RUNNING_SPEC }, { RUNNING_STATUS }, { ABSENT_WORLD }, STEP_DELETE, 0 },
	{ "stop asks first", { .generation = 5 }, { RUNNING_SPEC, .power = POWER_STOPPED }, { RUNNING_STATUS }, { RUNNING_WORLD }, STEP_SHUTDOWN, 0 },
	{ "stop asks again", { .generation = 5 }, { RUNNING_SPEC, .power = POWER_STOPPED }, { RUNNING_STATUS },
	  { RUNNING_WORLD, .shutdown_asked_ms = NOW_MS - 6000, .shutdown_repeat_ms = NOW_MS - 1000 }, STEP_SHUTDOWN, 0 },
	{ "stop waits", { .generation = 5 }, { RUNNING_SPEC, .power = POWER_STOPPED }, { RUNNING_STATUS },
	  { RUNNING_WORLD, .shutdown_asked_ms = NOW_MS - 1000, .shutdown_repeat_ms = NOW_MS + 4000 }, STEP_WAIT, 4000 },
	{ "stop cuts the power in the end", { .generation = 5 }, { RUNNING_SPEC, .power = POWER_STOPPED }, { RUNNING_STATUS },
	  { RUNNING_WORLD, .shutdown_asked_ms = NOW_MS - 30000, .shutdown_repeat_ms = NOW_MS + 1 }, STEP_KILL, 0 },
	{ "a machine that cannot be asked is cut", { .generation = 5 }, { RUNNING_SPEC, .power = POWER_STOPPED }, { RUNNING_STATUS },
	  { RUNNING_WORLD, .shutdown_asked_ms = NOW_MS, .cannot_be_asked = true }, STEP_KILL, 0 },
	{ "off cuts at once", { .generation = 5 }, { RUNNING_SPEC, .power = POWER_OFF }, { RUNNING_STATUS }, { RUNNING_WORLD }, STEP_KILL, 0 },
	{ "restart asks first", { .generation = 5 }, { RUNNING_SPEC, .start_serial = 4 }, { RUNNING_STATUS }, { RUNNING_WORLD }, STEP_SHUTDOWN, 0 },
	{ "forced restart cuts", { .generation = 5 }, { RUNNING_SPEC, .start_serial = 4, .force_serial = 4 }, { RUNNING_STATUS }, { RUNNING_WORLD },
	  STEP_KILL, 0 },
	{ "restore needs it gone", { .generation = 5 }, { RUNNING_SPEC, .restore.serial = 1 }, { RUNNING_STATUS }, { RUNNING_WORLD }, STEP_KILL, 0 },
	{ "restore", { .generation = 5 }, { RUNNING_SPEC, .restore.serial = 1 }, { RUNNING_STATUS }, { ABSENT_WORLD }, STEP_RESTORE, 0 },
	{ "pause", { .generation = 5 }, { RUNNING_SPEC, .power = POWER_PAUSED }, { RUNNING_STATUS }, { RUNNING_WORLD }, STEP_PAUSE, 0 },
	{ "resume", { .generation = 5 }, { RUNNING_SPEC }, { RUNNING_STATUS }, { RUNNING_WORLD, .state = MACHINE_PAUSED }, STEP_RESUME, 0 },
	{ "spec changed: nics first", { .generation = 6 }, { RUNNING_SPEC }, { RUNNING_STATUS }, { RUNNING_WORLD }, STEP_NICS, 0 },
	{ "resize", { .generation = 5 }, { RUNNING_SPEC, .cpus = 2 }, { RUNNING_STATUS }, { RUNNING_WORLD }, STEP_RESIZE, 0 },
	{ "a container's limits are brought up to date", { .generation = 5 }, { RUNNING_SPEC, .kind = INSTANCE_CONTAINER }, { RUNNING_STATUS },
	  { RUNNING_WORLD, .limits_generation = 4 }, STEP_RESIZE, 0 },
	{ "and are", { .generation = 5 }, { RUNNING_SPEC, .kind = INSTANCE_CONTAINER }, { RUNNING_STATUS },
	  { RUNNING_WORLD, .limits_generation = 5 }, STEP_NONE, 0 },
	{ "removed at its end", { .generation = 5 }, { RUNNING_SPEC, .container.remove = true }, { RUNNING_STATUS, .ended_serial = 3 },
	  { ABSENT_WORLD }, STEP_DELETE, 0 },
	{ "but not before its first start", { .generation = 5 }, { .power = POWER_STOPPED, .container.remove = true }, { .disk_ready = true },
	  { ABSENT_WORLD }, STEP_NONE, 0 },
	{ "nor when it could not be started", { .generation = 5 }, { RUNNING_SPEC, .container.remove = true },
	  { RUNNING_STATUS, .ended_serial = 3, .state = INSTANCE_FAILED }, { ABSENT_WORLD }, STEP_NONE, 0 },
	{ "resize was refused", { .generation = 5 }, { RUNNING_SPEC, .cpus = 2 }, { RUNNING_STATUS }, { RUNNING_WORLD, .tried_generation = 5 },
	  STEP_NONE, 0 },
};

static void test_every_case(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct case_ *c = &cases[i];
		struct instance_decision decision = instance_next_step(&c->meta, &c->spec, &c->status, &c->world, NOW_MS, WALL_MS);

		if (decision.step != c->step || decision.wait_ms != c->wait_ms)
			fail_msg("%s: step %d (wait %lu), expected %d (wait %lu)", c->what, decision.step, (unsigned long)decision.wait_ms,
				 c->step, (unsigned long)c->wait_ms);
	}
}

static void test_volumes_are_plugged_and_unplugged(void **state)
{
	struct instance_volume wanted = { .volume_uid = "v1" };
	char *attached = "v0";
	struct meta meta = { .generation = 5 };
	struct instance_spec spec = { RUNNING_SPEC, .volumes = { &wanted, 1 } };
	struct instance_status status = { RUNNING_STATUS, .attached = { &attached, 1 } };
	struct instance_world world = { RUNNING_WORLD };
	struct instance_decision decision;

	(void)state;
	decision = instance_next_step(&meta, &spec, &status, &world, NOW_MS, WALL_MS);
	assert_int_equal(decision.step, STEP_DETACH);
	assert_string_equal(decision.volume_uid, "v0");
	status.attached.count = 0;
	decision = instance_next_step(&meta, &spec, &status, &world, NOW_MS, WALL_MS);
	assert_int_equal(decision.step, STEP_ATTACH);
	assert_string_equal(decision.volume_uid, "v1");
}

static void test_back_off_doubles_up_to_a_minute(void **state)
{
	(void)state;
	assert_int_equal(instance_backoff_ms(0), 500);
	assert_int_equal(instance_backoff_ms(1), 1000);
	assert_int_equal(instance_backoff_ms(6), 32000);
	assert_int_equal(instance_backoff_ms(7), 60000);
	assert_int_equal(instance_backoff_ms(1000000), 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_case),
		cmocka_unit_test(test_volumes_are_plugged_and_unplugged),
		cmocka_unit_test(test_back_off_doubles_up_to_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
