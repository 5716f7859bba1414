#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "driver/fence/sim/sim.h"
#include "port/fence_conformance.h"

enum { START_MS = 1000000 };

/* A host: its clock and which guests run on it. */
struct host {
	struct loop *loop;
	struct sim_fence *fence;
	VEC(char *) running;
};

static long find(const struct host *host, const char *uid)
{
	for (size_t i = 0; i < host->running.count; i++)
		if (strcmp(host->running.items[i], uid) == 0)
			return (long)i;
	return -1;
}

static bool end_guest(void *data, const char *uid)
{
	struct host *host = data;
	long i = find(host, uid);

	if (i < 0)
		return false;
	free(host->running.items[i]);
	vec_remove(&host->running, (size_t)i);
	return true;
}

static void host_init(struct host *host)
{
	struct err err;

	*host = (struct host){ 0 };
	assert_int_equal(loop_new(LOOP_CLOCK_VIRTUAL, START_MS, &host->loop, &err), 0);
	host->fence = sim_fence_new(host->loop, end_guest, host);
}

static void stop_all(void *data)
{
	struct host *host = data;

	for (size_t i = 0; i < host->running.count; i++)
		free(host->running.items[i]);
	host->running.count = 0;
}

static void host_done(struct host *host)
{
	stop_all(host);
	vec_done(&host->running);
	sim_fence_free(host->fence);
	loop_free(host->loop);
}

static void cgroup(void *data, const char *uid, char ret_path[FENCE_CGROUP_LENGTH + 1])
{
	(void)data;
	snprintf(ret_path, FENCE_CGROUP_LENGTH + 1, "/sim/%s", uid);
}

static int start(void *data, const char *uid, struct err *err)
{
	struct host *host = data;

	(void)err;
	if (find(host, uid) < 0)
		*vec_push(&host->running) = text_copy(uid);
	return 0;
}

static bool is_running(void *data, const char *uid)
{
	return find(data, uid) >= 0;
}

static void on_passed(void *data)
{
	*(bool *)data = true;
}

static void pass(void *data, uint64_t ns)
{
	struct host *host = data;
	bool has_passed = false;

	loop_add_timer(host->loop, (ns + 999999) / 1000000, on_passed, &has_passed, NULL);
	while (!has_passed)
		assert_true(loop_step(host->loop, -1));
}

static void kill_watchdog(void *data, struct fence_driver *driver)
{
	(void)driver;
	sim_fence_kill(((struct host *)data)->fence);
}

static void test_conformance(void **state)
{
	struct host host;
	struct fence_conformance conformance = {
		.ops = &fence_sim, .lease_ns = UINT64_C(5000000000), .data = &host, .cgroup = cgroup, .start = start,
		.is_running = is_running, .pass = pass, .stop_all = stop_all, .kill_watchdog = kill_watchdog,
	};
	struct err err;

	(void)state;
	host_init(&host);
	conformance.params.world = host.fence;
	for (const struct fence_case *test = fence_cases; test->name; test++)
		if (fence_conformance_run(&conformance, test, &err) < 0)
			fail_msg("%s: %s", test->name, err.msg);
	host_done(&host);
}

/* In virtual time the end comes at the deadline, to the millisecond. */
static void test_exact(void **state)
{
	struct fence_guard *guard;
	struct fence_driver *driver;
	struct fence_status status;
	struct host host;
	struct err err;

	(void)state;
	host_init(&host);
	assert_int_equal(fence_sim.open(&(struct fence_params){ .world = host.fence }, &driver, &err), 0);
	assert_int_equal(fence_sim.renew(driver, fence_sim.now_ns(driver) + UINT64_C(5000000000), &err), 0);
	assert_int_equal(fence_sim.guard(driver, "web", "/sim/web", &err), 0);
	assert_int_equal(start(&host, "web", &err), 0);
	fence_sim.close(driver);		/* Killed: nobody is there to see it. */
	pass(&host, UINT64_C(4999000000));
	assert_true(is_running(&host, "web"));
	pass(&host, 1000000);
	assert_false(is_running(&host, "web"));
	assert_int_equal(fence_sim.open(&(struct fence_params){ .world = host.fence }, &driver, &err), 0);
	assert_int_equal(fence_sim.status(driver, &status, &err), 0);
	guard = &status.guards.items[0];
	assert_int_equal(guard->ended_at_ms, START_MS + 5000);
	fence_status_done(&status);
	fence_sim.close(driver);
	host_done(&host);
}

static void test_cannot_start(void **state)
{
	struct fence_driver *driver;
	struct host host;
	struct err err;

	(void)state;
	host_init(&host);
	assert_int_equal(fence_sim.open(&(struct fence_params){ .world = host.fence }, &driver, &err), 0);
	assert_int_equal(fence_sim.guard(driver, "web", "/sim/web", &err), 0);
	sim_fence_kill(host.fence);
	sim_fence_set_can_start(host.fence, false);
	assert_int_equal(fence_sim.renew(driver, fence_sim.now_ns(driver) + 1, &err), -EIO);
	assert_int_equal(fence_sim.guard(driver, "db", "/sim/db", &err), -EIO);
	sim_fence_set_can_start(host.fence, true);
	assert_int_equal(fence_sim.renew(driver, fence_sim.now_ns(driver) + 1, &err), 0);
	fence_sim.close(driver);
	host_done(&host);
}

/* Whatever the step at which the daemon goes down, a guest that was started under a guard does not outlive the lease. */
static void test_crash_at_every_step(void **state)
{
	bool went_down = true;

	(void)state;
	for (uint64_t step = 1; went_down; step++) {
		struct fault fault = { .crash_at = step };
		struct fence_driver *driver = NULL;
		struct host host;
		struct err err;

		host_init(&host);
		if (fence_sim.open(&(struct fence_params){ .world = host.fence, .fault = &fault }, &driver, &err) == 0 &&
		    fence_sim.renew(driver, fence_sim.now_ns(driver) + 1000000, &err) == 0 &&
		    fence_sim.guard(driver, "web", "/sim/web", &err) == 0)
			start(&host, "web", &err);
		went_down = fault.has_crashed;
		fence_sim.close(driver);
		pass(&host, 2000000);
		assert_false(is_running(&host, "web"));
		host_done(&host);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conformance), cmocka_unit_test(test_exact), cmocka_unit_test(test_cannot_start),
		cmocka_unit_test(test_crash_at_every_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
