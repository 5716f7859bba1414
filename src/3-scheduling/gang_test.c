#include "3-scheduling/gang.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct cluster_dimension dimensions[] = { { "cpu", "m" }, { "memory", "MiB" } };

static void make_ledger(struct ledger *ledger)
{
	struct err err = { 0 };
	uint32_t number;

	assert_int_equal(ledger_init(ledger, dimensions, 2, 0, 1, &err), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(cluster_add_node(ledger->cluster, &(struct cluster_node){ .name = "n", .total = (int32_t[]){ 1000, 1000 },
						  .gpu_count = 2, .gpu_model = "A" }, &number, &err), 0);
}

static void test_all_find_a_place(void **state)
{
	auto_ledger struct ledger ledger;
	const struct demand small = { .request = { .need = { 300 } }, .project = PROJECT_NONE };
	const struct demand large = { .request = { .need = { 900 }, .gpu_count = 2, .gpu_milli = 1000 }, .project = PROJECT_NONE };
	/* In this order the small ones, spread, would leave no node for the large one. */
	struct gang_member gang[] = { { .demand = &small }, { .demand = &small }, { .demand = &small }, { .demand = &large } };
	struct err err = { 0 };

	(void)state;
	make_ledger(&ledger);
	auto_decider struct decider *decider = decider_new(ledger.cluster, &policy_spread);

	assert_int_equal(gang_place(&ledger, decider, gang, 4, &err), 0);
	assert_int_equal(ledger.cluster->binding_count, 4);
	assert_int_equal(cluster_free_amount(ledger.cluster, 0, gang[3].node), 100);
	assert_int_equal(gang[3].devices, 3);
	for (int i = 0; i < 4; i++) {
		struct cluster_binding binding;

		assert_int_equal(cluster_binding(ledger.cluster, gang[i].binding, &binding, &err), 0);
		assert_int_equal(binding.node, gang[i].node);
	}
}

static void test_none_stays_when_one_finds_none(void **state)
{
	auto_ledger struct ledger ledger;
	const struct demand demand = { .request = { .need = { 600 } }, .project = PROJECT_NONE };
	const struct demand impossible = { .request = { .need = { -1 } }, .project = PROJECT_NONE };
	struct gang_member gang[4];
	struct err err = { 0 };

	(void)state;
	make_ledger(&ledger);
	auto_decider struct decider *decider = decider_new(ledger.cluster, &policy_first_fit);

	for (uint32_t i = 0; i < 4; i++)
		gang[i] = (struct gang_member){ .demand = &demand, .node = 77, .binding = 88 };
	assert_int_equal(gang_place(&ledger, decider, gang, 4, &err), -ENOSPC);
	assert_string_equal(err.msg, "member 3 of the gang, after 3 of 4 had a place: it fits none of 3 nodes");
	assert_int_equal(ledger.cluster->binding_count, 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(cluster_free_amount(ledger.cluster, 0, i), 1000);
	assert_true(gang[0].node == 77 && gang[0].binding == 88);
	gang[1].demand = &impossible;
	assert_int_equal(gang_place(&ledger, decider, gang, 2, &err), -EINVAL);
	assert_int_equal(gang_place(&ledger, decider, gang, 0, &err), -EINVAL);
	assert_int_equal(gang_place(&ledger, decider, gang, GANG_MAX + 1, &err), -EINVAL);
	assert_int_equal(ledger.cluster->binding_count, 0);
}

/* Members keep away from each other: what is bound first counts for the next. */
static void test_constraints_hold_within_a_gang(void **state)
{
	auto_ledger struct ledger ledger;
	struct demand apart = { .request = { .need = { 100 } }, .project = PROJECT_NONE, .group_count = 1 };
	struct gang_member gang[4];
	uint32_t seen = 0;
	struct err err = { 0 };

	(void)state;
	make_ledger(&ledger);
	auto_decider struct decider *decider = decider_new(ledger.cluster, &policy_first_fit);

	assert_int_equal(places_group(&ledger.places, "quorum", &apart.groups[0], &err), 0);
	apart.constraints = (struct constraints){ .without = { { apart.groups[0], DOMAIN_SELF } }, .without_count = 1 };
	for (uint32_t i = 0; i < 4; i++)
		gang[i].demand = &apart;
	assert_int_equal(gang_place(&ledger, decider, gang, 4, &err), -ENOSPC);
	assert_string_equal(err.msg, "member 3 of the gang, after 3 of 4 had a place: it fits 3 of 3 nodes, but the constraints allow none of those");
	assert_int_equal(ledger.cluster->binding_count, 0);
	assert_int_equal(gang_place(&ledger, decider, gang, 3, &err), 0);
	for (uint32_t i = 0; i < 3; i++)
		seen |= 1u << gang[i].node;
	assert_int_equal(seen, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_find_a_place),
		cmocka_unit_test(test_none_stays_when_one_finds_none),
		cmocka_unit_test(test_constraints_hold_within_a_gang),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
