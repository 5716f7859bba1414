#include "3-scheduling/scarcity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct cluster_dimension dimensions[] = { { "cpu", "m" } };
enum { A, B };

static void add_nodes(struct cluster *cluster, int count, uint32_t gpus, const char *model, int32_t cpu)
{
	struct err err = { 0 };
	uint32_t number;

	for (int i = 0; i < count; i++)
		assert_int_equal(cluster_add_node(cluster, &(struct cluster_node){ .name = "n", .total = &cpu, .gpu_count = gpus, .gpu_model = model },
						  &number, &err), 0);
}

/* 8 GPUs A in one node, 8 in four, 16 B in two; and a node without. */
static struct cluster *make_cluster(void)
{
	struct cluster *cluster;
	struct err err = { 0 };

	assert_int_equal(cluster_new(dimensions, 1, &cluster, &err), 0);
	add_nodes(cluster, 1, 8, "A", 64);
	add_nodes(cluster, 4, 2, "A", 16);
	add_nodes(cluster, 2, 8, "B", 96);
	add_nodes(cluster, 1, 0, NULL, 500);
	return cluster;
}

static void add_kind(struct mix *mix, int count, const struct request *request)
{
	while (count--)
		mix_add(mix, request);
}

static void check_demand(const struct scarcity *scarcity, double a8, double a2, double b8)
{
	const float tolerance = 1e-5f;

	assert_float_equal(scarcity->demand[A][8], (float)a8, tolerance);
	assert_float_equal(scarcity->demand[A][2], (float)a2, tolerance);
	assert_float_equal(scarcity->demand[B][8], (float)b8, tolerance);
	assert_float_equal(scarcity->demand[B][2], 0, tolerance);
}

static void test_demand_falls_on_those_that_can_serve_it(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster();
	struct scarcity scarcity;
	struct mix mix = { 0 };
	struct err err;

	(void)state;
	scarcity_init(&scarcity, &mix, cluster);
	check_demand(&scarcity, 0, 0, 0);
	add_kind(&mix, 8, &(struct request){ .gpu_count = 1, .gpu_milli = 500 });
	add_kind(&mix, 100, &(struct request){ .need = { 1 } });
	scarcity_init(&scarcity, &mix, cluster);
	check_demand(&scarcity, 1, 1, 1);
	/* Half of the demand, thus 16 GPUs, is for B. */
	add_kind(&mix, 4, &(struct request){ .gpu_count = 1, .gpu_milli = 1000, .gpu_models = 1 << B });
	scarcity_init(&scarcity, &mix, cluster);
	check_demand(&scarcity, 0.5, 0.5, 1.5);
	/* A third of the demand each: any, B, and 8 GPUs in one node. */
	add_kind(&mix, 1, &(struct request){ .gpu_count = 4, .gpu_milli = 1000, .need = { 33 } });
	scarcity_init(&scarcity, &mix, cluster);
	check_demand(&scarcity, 1 / 3.0 + 32 / 3.0 / 24, 1 / 3.0, 1 / 3.0 + 32 / 3.0 / 16 + 32 / 3.0 / 24);
	assert_int_equal(cluster_cordon(cluster, 0, true, &err), 0);
	scarcity_init(&scarcity, &mix, cluster);
	check_demand(&scarcity, 0, 1 / 3.0, 1 / 3.0 + 2 * 24 / 3.0 / 16);
	mix_done(&mix);
}

static void test_a_kind_that_nothing_serves_or_needs_much_beside(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster();
	struct scarcity scarcity;
	struct mix mix = { 0 };

	(void)state;
	add_kind(&mix, 1, &(struct request){ .gpu_count = 16, .gpu_milli = 1000 });
	scarcity_init(&scarcity, &mix, cluster);
	check_demand(&scarcity, 0, 0, 0);
	mix_done(&mix);
	add_kind(&mix, 1, &(struct request){ .gpu_count = 1, .gpu_milli = 100, .need = { 65 } });
	scarcity_init(&scarcity, &mix, cluster);
	check_demand(&scarcity, 0, 0, 2);
	mix_done(&mix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_demand_falls_on_those_that_can_serve_it),
		cmocka_unit_test(test_a_kind_that_nothing_serves_or_needs_much_beside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
