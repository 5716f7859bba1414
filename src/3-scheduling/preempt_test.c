#include "3-scheduling/preempt.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "3-scheduling/fit.h"
#include "base/rng.h"

static const struct cluster_dimension dimensions[] = { { "cpu", "m" }, { "memory", "MiB" } };
enum { BINDINGS = 64 };

struct world {
	struct cluster *cluster;
	int32_t priorities[BINDINGS];
};

static void world_init(struct world *world, uint32_t nodes)
{
	struct err err = { 0 };
	uint32_t number;

	memset(world, 0, sizeof(*world));
	assert_int_equal(cluster_new(dimensions, 2, &world->cluster, &err), 0);
	for (uint32_t i = 0; i < nodes; i++)
		assert_int_equal(cluster_add_node(world->cluster, &(struct cluster_node){ .name = "n", .total = (int32_t[]){ 1000, 1000 },
						  .gpu_count = 2, .gpu_model = "A" }, &number, &err), 0);
}

static void world_done(struct world *world)
{
	cluster_free(world->cluster);
}
#define auto_world __attribute__((cleanup(world_done)))

static uint32_t bind_to(struct world *world, uint32_t node, int32_t cpu, int32_t priority)
{
	struct err err = { 0 };
	uint32_t binding = 0;

	assert_int_equal(cluster_bind(world->cluster, &(struct request){ .need = { cpu } }, node, 0, &binding, &err), 0);
	world->priorities[binding] = priority;
	return binding;
}

static void test_the_least_important_go_and_no_more_than_needed(void **state)
{
	auto_world struct world world;
	auto_preemption struct preemption found = { 0 };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 2);
	bind_to(&world, 0, 900, 5);
	bind_to(&world, 1, 100, 1);		/* Would be taken away first, but need not be. */
	uint32_t large = bind_to(&world, 1, 600, 3);

	bind_to(&world, 1, 300, 9);
	assert_int_equal(preempt(world.cluster, &(struct request){ .need = { 500 } }, world.priorities, 9, &found, &err), 0);
	assert_int_equal(found.node, 1);
	assert_int_equal(found.victims.count, 1);
	assert_int_equal(found.victims.items[0], large);
	assert_int_equal(world.cluster->binding_count, 4);
}

static void test_what_fits_evicts_nothing_and_equals_stay(void **state)
{
	auto_world struct world world;
	auto_preemption struct preemption found = { 0 };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 2);
	bind_to(&world, 0, 900, 5);
	assert_int_equal(preempt(world.cluster, &(struct request){ .need = { 500 } }, world.priorities, 9, &found, &err), 0);
	assert_int_equal(found.node, 1);
	assert_int_equal(found.victims.count, 0);
	bind_to(&world, 1, 900, 5);
	assert_int_equal(preempt(world.cluster, &(struct request){ .need = { 500 } }, world.priorities, 5, &found, &err), -ENOSPC);
	assert_string_equal(err.msg, "it fits none of 2 nodes, even without all that has a lower priority than 5");
	assert_int_equal(preempt(world.cluster, &(struct request){ .need = { -1 } }, world.priorities, 5, &found, &err), -EINVAL);
}

/* Whatever is proposed is enough, every victim is needed, and none is as important as the request. */
static void test_random_proposals_are_minimal(void **state)
{
	struct rng rng;
	uint32_t evicted = 0;

	(void)state;
	rng_init(&rng, 12);
	for (int round = 0; round < 500; round++) {
		auto_world struct world world;
		auto_preemption struct preemption found = { 0 };
		struct err err = { 0 };
		uint32_t binding;
		const struct request request = { .need = { (int32_t)rng_below(&rng, 1000), (int32_t)rng_below(&rng, 1000) },
						 .gpu_count = (int16_t)rng_below(&rng, 3), .gpu_milli = 1000 };

		world_init(&world, 4);
		for (int i = 0; i < 40; i++) {
			const struct request bound = { .need = { (int32_t)rng_below(&rng, 300), (int32_t)rng_below(&rng, 300) },
						       .gpu_count = (int16_t)rng_below(&rng, 2), .gpu_milli = (int16_t)(100 + rng_below(&rng, 900)) };

			uint32_t node = (uint32_t)rng_below(&rng, 4), devices = bound.gpu_count ? 1u << rng_below(&rng, 2) : 0;

			if (cluster_bind(world.cluster, &bound, node, devices, &binding, &err) == 0)
				world.priorities[binding] = (int32_t)rng_below(&rng, 10);
		}
		if (preempt(world.cluster, &request, world.priorities, 7, &found, &err) < 0)
			continue;
		for (size_t spared = 0; spared <= found.victims.count; spared++) {
			auto_cluster struct cluster *copy = cluster_snapshot(world.cluster);

			for (size_t i = 0; i < found.victims.count; i++) {
				assert_true(world.priorities[found.victims.items[i]] < 7);
				if (i != spared)
					assert_int_equal(cluster_unbind(copy, found.victims.items[i], &err), 0);
			}
			assert_int_equal(fit_node(copy, &request, found.node), spared == found.victims.count);
		}
		evicted += (uint32_t)found.victims.count;
	}
	assert_true(evicted > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_least_important_go_and_no_more_than_needed),
		cmocka_unit_test(test_what_fits_evicts_nothing_and_equals_stay),
		cmocka_unit_test(test_random_proposals_are_minimal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
