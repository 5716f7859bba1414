#include "3-scheduling/consolidate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

static const struct cluster_dimension dimensions[] = { { "cpu", "m" }, { "memory", "MiB" } };
enum { CPU, MEMORY };

static struct cluster *make_cluster(uint32_t nodes)
{
	struct cluster *cluster;
	struct err err = { 0 };
	uint32_t number;

	assert_int_equal(cluster_new(dimensions, 2, &cluster, &err), 0);
	for (uint32_t i = 0; i < nodes; i++) {
		char name[2] = { (char)('a' + i % 26), 0 };

		assert_int_equal(cluster_add_node(cluster, &(struct cluster_node){ .name = name, .total = (int32_t[]){ 1000, 1000 } }, &number, &err), 0);
	}
	return cluster;
}

static void bind_to(struct cluster *cluster, uint32_t node, int32_t cpu, int32_t memory)
{
	struct err err = { 0 };
	uint32_t binding;

	assert_int_equal(cluster_bind(cluster, &(struct request){ .need = { cpu, memory } }, node, 0, &binding, &err), 0);
}

static void test_the_emptiest_node_is_emptied(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster(4);
	auto_consolidation struct consolidation found = { 0 };
	const struct mix mix = { 0 };
	struct str text = { 0 };
	struct err err = { 0 };

	(void)state;
	bind_to(cluster, 0, 600, 300);
	bind_to(cluster, 1, 100, 30);
	bind_to(cluster, 2, 800, 500);
	assert_int_equal(consolidate(cluster, &policy_binpack, &mix, MEMORY, 1000, &found, &err), 0);
	assert_int_equal(found.moves.count, 1);
	assert_int_equal(found.emptied.count, 1);
	assert_int_equal(found.cost, 30);
	assert_int_equal(found.moves.items[0].to, 2);
	consolidate_explain(cluster, &found, MEMORY, 0, &text);
	assert_string_equal(str_text(&text), "move binding 1 (30MiB) from 'b' to 'c': empties 'b', which uses 10% of what it has");
	assert_int_equal(cluster_shape(cluster, 1)->bound_count, 1);	/* Only a proposal. */
	str_done(&text);
}

static void test_the_budget_holds(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster(3);
	auto_consolidation struct consolidation found = { 0 };
	const struct mix mix = { 0 };
	struct err err = { 0 };

	(void)state;
	bind_to(cluster, 0, 100, 200);
	bind_to(cluster, 1, 500, 300);
	assert_int_equal(consolidate(cluster, &policy_binpack, &mix, MEMORY, 199, &found, &err), 0);
	assert_int_equal(found.moves.count, 0);
	assert_int_equal(consolidate(cluster, &policy_binpack, &mix, 7, 199, &found, &err), -EINVAL);
	assert_int_equal(consolidate(cluster, &policy_binpack, &mix, MEMORY, -1, &found, &err), -EINVAL);
}

static void carry_out(struct cluster *cluster, const struct consolidation *found)
{
	struct err err = { 0 };

	for (size_t i = 0; i < found->moves.count; i++) {
		const struct move *move = &found->moves.items[i];
		struct cluster_binding bound;
		uint32_t binding;

		assert_int_equal(cluster_binding(cluster, move->binding, &bound, &err), 0);
		assert_int_equal(bound.node, move->from);
		assert_int_equal(cluster_bind(cluster, &bound.request, move->to, move->devices, &binding, &err), 0);
		assert_int_equal(cluster_unbind(cluster, move->binding, &err), 0);
	}
	for (size_t i = 0; i < found->emptied.count; i++)
		assert_int_equal(cluster_shape(cluster, found->emptied.items[i])->bound_count, 0);
}

static uint32_t in_use(const struct cluster *cluster)
{
	uint32_t count = 0;

	for (uint32_t node = 0; node < cluster->node_end; node++)
		count += cluster_shape(cluster, node)->bound_count > 0;
	return count;
}

static void test_a_second_time_finds_less_and_then_nothing(void **state)
{
	auto_cluster struct cluster *cluster = make_cluster(40);
	const struct mix mix = { 0 };
	struct rng rng;
	struct err err = { 0 };
	uint32_t before = 40;
	int rounds = 0;

	(void)state;
	rng_init(&rng, 8);
	for (uint32_t node = 0; node < 40; node++)
		for (uint64_t i = rng_below(&rng, 4); i > 0; i--)
			bind_to(cluster, node, 30 + (int32_t)rng_below(&rng, 200), 30 + (int32_t)rng_below(&rng, 200));
	for (;; rounds++) {
		auto_consolidation struct consolidation found = { 0 };

		assert_int_equal(consolidate(cluster, &policy_default, &mix, MEMORY, INT32_MAX, &found, &err), 0);
		if (!found.moves.count)
			break;
		carry_out(cluster, &found);
		assert_true(in_use(cluster) < before);
		before = in_use(cluster);
		assert_true(rounds < 40);
	}
	assert_true(rounds > 0 && before < 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_emptiest_node_is_emptied),
		cmocka_unit_test(test_the_budget_holds),
		cmocka_unit_test(test_a_second_time_finds_less_and_then_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
