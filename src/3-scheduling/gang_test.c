#include "3-scheduling/gang.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct cluster_dimension dimensions[] = { { "cpu", "m" } };

static struct cluster *make_cluster(void)
{
	struct cluster *cluster;
	struct err err = { 0 };
	uint32_t number;

	assert_int_equal(cluster_new(dimensions, 1, &cluster, &err), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(cluster_add_node(cluster, &(struct cluster_node){ .name = "n", .total = (int32_t[]){ 1000 }, .gpu_count = 2,
						  .gpu_model = "A" }, &number, &err), 0);
	return cluster;
}

static void test_all_find_a_place(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster();
	auto_decider struct decider *decider = decider_new(cluster, &policy_spread);
	/* In this order the small ones, spread, would leave no node for the large one. */
	struct gang_member gang[] = { { .request = { .need = { 300 } } }, { .request = { .need = { 300 } } }, { .request = { .need = { 300 } } },
				      { .request = { .need = { 900 }, .gpu_count = 2, .gpu_milli = 1000 } } };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(gang_place(cluster, decider, gang, 4, &err), 0);
	assert_int_equal(cluster->binding_count, 4);
	assert_int_equal(cluster_free_amount(cluster, 0, gang[3].node), 100);
	assert_int_equal(gang[3].devices, 3);
	for (int i = 0; i < 4; i++) {
		struct cluster_binding binding;

		assert_int_equal(cluster_binding(cluster, gang[i].binding, &binding, &err), 0);
		assert_int_equal(binding.node, gang[i].node);
	}
}

static void test_none_stays_when_one_finds_none(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster();
	auto_decider struct decider *decider = decider_new(cluster, &policy_first_fit);
	struct gang_member gang[4];
	struct err err = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		gang[i] = (struct gang_member){ .request = { .need = { 600 } }, .node = 77, .binding = 88 };
	assert_int_equal(gang_place(cluster, decider, gang, 4, &err), -ENOSPC);
	assert_string_equal(err.msg, "member 3 of the gang, after 3 of 4 had a place: it fits none of 3 nodes");
	assert_int_equal(cluster->binding_count, 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(cluster_free_amount(cluster, 0, i), 1000);
	assert_true(gang[0].node == 77 && gang[0].binding == 88);
	gang[1].request.need[0] = -1;
	assert_int_equal(gang_place(cluster, decider, gang, 2, &err), -EINVAL);
	assert_int_equal(gang_place(cluster, decider, gang, 0, &err), -EINVAL);
	assert_int_equal(gang_place(cluster, decider, gang, GANG_MAX + 1, &err), -EINVAL);
	assert_int_equal(cluster->binding_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_find_a_place),
		cmocka_unit_test(test_none_stays_when_one_finds_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
