#include "app/simulate/simulate.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/simulate/witness.h"

static void test_arguments(void **state)
{
	static const char *const bad[] = { "", "nodes=10", "instances=5", "nodes=0,instances=5", "nodes=,instances=5", "nodes=1x,instances=5",
					   "nodes=-1,instances=5", "nodes=1,instances=5,", "nodes=1,instances=99999999999999999999",
					   "nodes=100001,instances=5", "hosts=1,instances=5", "nodes=1 instances=5" };
	struct simulate_options options = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(simulate_parse("nodes=10,instances=0", &options, &err), 0);
	assert_int_equal(options.nodes, 10);
	assert_int_equal(options.instances, 0);
	assert_int_equal(simulate_parse("instances=7,nodes=3", &options, &err), 0);
	assert_int_equal(options.instances, 7);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(simulate_parse(bad[i], &options, &err), -EINVAL);
	assert_int_equal(simulate_parse_faults("clock,disk", &options, &err), 0);
	assert_int_equal(options.faults, 1u << SIMULATE_CLOCK | 1u << SIMULATE_DISK);
	assert_int_equal(simulate_parse_faults("all", &options, &err), 0);
	assert_int_equal(options.faults, (1u << SIMULATE_FAULT_COUNT) - 1);
	assert_int_equal(simulate_parse_faults("clock,fire", &options, &err), -EINVAL);
	assert_string_equal(err.msg, "--faults: 'fire' is unknown: use all, or some of crash,power,partition,clock,disk,leader");
}

static struct simulate_result run(unsigned faults, uint64_t seed)
{
	const struct simulate_options options = { .nodes = 30, .instances = 300, .seed = seed, .faults = faults };
	struct simulate_result result;
	struct err err = { 0 };

	if (simulate_run(&options, false, &result, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(result.broken, "");
	return result;
}

static void test_all_instances_run(void **state)
{
	(void)state;
	assert_int_equal(run(0, 7).running, 300);
}

static void test_a_seed_is_a_history(void **state)
{
	const unsigned all = (1u << SIMULATE_FAULT_COUNT) - 1;
	struct simulate_result first = run(all, 7), again = run(all, 7), other = run(all, 8);

	(void)state;
	assert_int_equal(first.steps, again.steps);
	assert_int_equal(first.running, again.running);
	assert_int_not_equal(first.steps, other.steps);
	assert_int_equal(first.running, 300);
}

/* The invariant can be broken: two hosts run one instance, or have one disk. */
static void test_the_witness_sees_what_runs_twice(void **state)
{
	struct volume_layer layer = { .path = (char *)"/sim/volumes/v" };
	struct machine_disk disk = { .id = "v", .layers = &layer, .layer_count = 1 };
	struct machine_config a = { .uid = "a" }, b = { .uid = "b", .disks = &disk, .disk_count = 1 }, c = { .uid = "c", .disks = &disk, .disk_count = 1 };
	struct witness witness = { 0 };
	struct witness_host one = { &witness, 1 }, two = { &witness, 2 };

	(void)state;
	witness_see(&one, &a, true);
	witness_see(&one, &a, false);
	witness_see(&two, &a, true);
	witness_see(&one, &b, true);
	assert_string_equal(witness.broken, "");
	assert_int_equal(witness_where(&witness, "a"), 2);
	witness_see(&two, &c, true);
	assert_string_equal(witness.broken, "disk /sim/volumes/v is used by two machines, on hosts 1 and 2");
	witness_done(&witness);
	witness = (struct witness){ 0 };
	witness_see(&one, &a, true);
	witness_see(&two, &a, true);
	assert_string_equal(witness.broken, "instance a is used by two machines, on hosts 1 and 2");
	witness_done(&witness);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_all_instances_run),
		cmocka_unit_test(test_a_seed_is_a_history),
		cmocka_unit_test(test_the_witness_sees_what_runs_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
