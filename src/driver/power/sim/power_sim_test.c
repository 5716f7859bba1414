#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "driver/power/sim/sim.h"
#include "port/power_conformance.h"

struct cluster {
	struct sim_power *power;
	unsigned switch_count;
};

static void switched(void *data, const char *address, bool is_on)
{
	struct cluster *cluster = data;

	assert_string_equal(address, "bmc1");
	assert_int_equal(sim_power_get(cluster->power, address).is_on, is_on);
	cluster->switch_count++;
}

static int set(void *data, bool is_on, enum power_mood mood, struct err *err)
{
	const struct cluster *cluster = data;

	(void)err;
	sim_power_set(cluster->power, "bmc1", &(struct sim_power_host){
		.is_on = is_on, .is_stuck = mood == POWER_STUCK, .refuses = mood == POWER_REFUSES, .is_silent = mood == POWER_SILENT,
	});
	return 0;
}

static int get(void *data, bool *ret_is_on, struct err *err)
{
	const struct cluster *cluster = data;

	(void)err;
	*ret_is_on = sim_power_get(cluster->power, "bmc1").is_on;
	return 0;
}

static void test_conformance(void **state)
{
	struct cluster cluster = { 0 };
	struct power_conformance conformance = { .ops = &power_sim, .params.address = "bmc1", .data = &cluster, .set = set, .get = get };
	struct err err;

	(void)state;
	cluster.power = sim_power_new(switched, &cluster);
	conformance.params.world = cluster.power;
	for (const struct power_case *test = power_cases; test->name; test++)
		if (power_conformance_run(&conformance, test, &err) < 0)
			fail_msg("%s: %s", test->name, err.msg);
	assert_int_equal(cluster.switch_count, 4);
	sim_power_free(cluster.power);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_conformance) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
