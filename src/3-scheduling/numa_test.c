#include "3-scheduling/numa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct cluster_dimension dimensions[] = { { "cpu", "m" }, { "memory", "MiB" } };

static struct cluster *make_cluster(const int32_t *free_cpu, uint32_t count)
{
	struct cluster *cluster;
	struct err err = { 0 };

	assert_int_equal(cluster_new(dimensions, 2, &cluster, &err), 0);
	for (uint32_t i = 0; i < count; i++) {
		const struct cluster_node node = { .name = "numa", .total = (int32_t[]){ 1000, 1000 } };
		uint32_t number, binding;

		assert_int_equal(cluster_add_node(cluster, &node, &number, &err), 0);
		assert_int_equal(cluster_bind(cluster, &(struct request){ .need = { 1000 - free_cpu[i] } }, number, 0, &binding, &err), 0);
	}
	return cluster;
}

static void test_default_fills_full_servers_evenly(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster((int32_t[]){ 1000, 1000, 300, 500, 100, 100 }, 6);
	const struct numa numa = { .cluster = cluster, .parts = 2, .server_count = 3 };

	(void)state;
	/* The third server is fuller but has no room; in the second the emptier half. */
	assert_int_equal(numa_default.choose(&numa, &(struct request){ .need = { 200 } }, false), 3);
	assert_int_equal(numa_default.choose(&numa, &(struct request){ .need = { 50 } }, false), 4);
	assert_int_equal(numa_default.choose(&numa, &(struct request){ .need = { 300 } }, true), 2);
	assert_int_equal(numa_default.choose(&numa, &(struct request){ .need = { 400 } }, true), 0);
	assert_int_equal(numa_default.choose(&numa, &(struct request){ .need = { 1001 } }, true), CLUSTER_NONE);
}

static void test_the_others(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster((int32_t[]){ 1000, 900, 100, 700, 500, 500 }, 6);
	const struct numa numa = { .cluster = cluster, .parts = 2, .server_count = 3 };

	(void)state;
	assert_int_equal(numa_first_fit.choose(&numa, &(struct request){ .need = { 200 } }, false), 0);
	assert_int_equal(numa_balance.choose(&numa, &(struct request){ .need = { 200 } }, false), 3);
	assert_int_equal(numa_balance.choose(&numa, &(struct request){ .need = { 800 } }, false), 0);
	assert_int_equal(numa_balance.choose(&numa, &(struct request){ .need = { 400 } }, true), 0);
	assert_ptr_equal(numa_policy_find("balance"), &numa_balance);
	assert_null(numa_policy_find("nothing"));
}

static void test_explain_names_numbers(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster((int32_t[]){ 1000, 900, 100, 700 }, 4);
	const struct numa numa = { .cluster = cluster, .parts = 2, .server_count = 2 };
	struct str text = { 0 };

	(void)state;
	numa_explain(&numa, &numa_first_fit, &(struct request){ .need = { 950, 500 } }, false, 1, &text);
	assert_string_equal(str_text(&text), "needs of one NUMA node: cpu 0.95, memory 500MiB\n"
			    "server 0: NUMA node 0 has cpu 1, memory 1000MiB free, would do; NUMA node 1 has cpu 0.9, memory 1000MiB free, too little\n"
			    "policy 'first-fit' chooses NUMA node 0\n");
	str_clear(&text);
	numa_explain(&numa, &numa_default, &(struct request){ .need = { 950 } }, true, 0, &text);
	assert_string_equal(str_text(&text), "needs of every NUMA node of one server: cpu 0.95, memory 0B\npolicy 'default' waits: it fits nowhere\n");
	str_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_fills_full_servers_evenly),
		cmocka_unit_test(test_the_others),
		cmocka_unit_test(test_explain_names_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
