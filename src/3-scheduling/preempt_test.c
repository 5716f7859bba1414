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
enum { DEMANDS = 64 };

struct world {
	struct ledger ledger;
	struct demand demands[DEMANDS];	/* Of what is bound. */
	uint32_t demand_count;
};

static void world_init(struct world *world, uint32_t nodes)
{
	struct err err = { 0 };
	uint32_t number;

	memset(world, 0, sizeof(*world));
	assert_int_equal(ledger_init(&world->ledger, dimensions, 2, 0, 1, &err), 0);
	for (uint32_t i = 0; i < nodes; i++)
		assert_int_equal(cluster_add_node(world->ledger.cluster, &(struct cluster_node){ .name = "n", .total = (int32_t[]){ 1000, 1000 },
						  .gpu_count = 2, .gpu_model = "A" }, &number, &err), 0);
}

static void world_done(struct world *world)
{
	ledger_done(&world->ledger);
}
#define auto_world __attribute__((cleanup(world_done)))

static struct demand *make_demand(struct world *world, const struct request *request, int32_t priority)
{
	struct demand *demand = &world->demands[world->demand_count++];

	*demand = (struct demand){ .request = *request, .priority = priority, .project = PROJECT_NONE };
	return demand;
}

static uint32_t bind_to(struct world *world, uint32_t node, int32_t cpu, int32_t priority)
{
	struct err err = { 0 };
	uint32_t binding = 0;

	assert_int_equal(ledger_bind(&world->ledger, make_demand(world, &(struct request){ .need = { cpu } }, priority), node, 0, &binding, &err), 0);
	return binding;
}

static int try(struct world *world, int32_t cpu, int32_t priority, struct preemption *found, struct err *err)
{
	const struct demand demand = { .request = { .need = { cpu } }, .priority = priority, .project = PROJECT_NONE };

	return preempt(&world->ledger, &demand, found, err);
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
	assert_int_equal(try(&world, 500, 9, &found, &err), 0);
	assert_int_equal(found.node, 1);
	assert_int_equal(found.victims.count, 1);
	assert_int_equal(found.victims.items[0], large);
	assert_int_equal(world.ledger.cluster->binding_count, 4);
}

static void test_what_fits_evicts_nothing_and_equals_stay(void **state)
{
	auto_world struct world world;
	auto_preemption struct preemption found = { 0 };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 2);
	bind_to(&world, 0, 900, 5);
	assert_int_equal(try(&world, 500, 9, &found, &err), 0);
	assert_int_equal(found.node, 1);
	assert_int_equal(found.victims.count, 0);
	bind_to(&world, 1, 900, 5);
	assert_int_equal(try(&world, 500, 5, &found, &err), -ENOSPC);
	assert_string_equal(err.msg, "it fits none of 2 nodes, even without all that has a lower priority than 5");
	assert_int_equal(try(&world, -1, 5, &found, &err), -EINVAL);
}

/* Whatever is proposed is enough, every victim is needed, none is as important as the request, and nothing has changed. */
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

		world_init(&world, 4);
		const struct demand *wanted = make_demand(&world, &(struct request){
			.need = { (int32_t)rng_below(&rng, 1000), (int32_t)rng_below(&rng, 1000) },
			.gpu_count = (int16_t)rng_below(&rng, 3), .gpu_milli = 1000 }, 7);

		for (int i = 0; i < 40; i++) {
			const struct request bound = { .need = { (int32_t)rng_below(&rng, 300), (int32_t)rng_below(&rng, 300) },
						       .gpu_count = (int16_t)rng_below(&rng, 2), .gpu_milli = (int16_t)(100 + rng_below(&rng, 900)) };
			uint32_t node = (uint32_t)rng_below(&rng, 4), devices = bound.gpu_count ? 1u << rng_below(&rng, 2) : 0;

			(void)ledger_bind(&world.ledger, make_demand(&world, &bound, (int32_t)rng_below(&rng, 10)), node, devices, &binding, &err);
		}
		if (preempt(&world.ledger, wanted, &found, &err) < 0)
			continue;
		for (size_t spared = 0; spared <= found.victims.count; spared++) {
			auto_cluster struct cluster *copy = cluster_snapshot(world.ledger.cluster);

			for (size_t i = 0; i < found.victims.count; i++) {
				assert_true(ledger_demand(&world.ledger, found.victims.items[i])->priority < 7);
				if (i != spared)
					assert_int_equal(cluster_unbind(copy, found.victims.items[i], &err), 0);
			}
			assert_int_equal(fit_node(copy, &wanted->request, found.node), spared == found.victims.count);
		}
		evicted += (uint32_t)found.victims.count;
	}
	assert_true(evicted > 300);
}

/* There is room enough, but in company that is not wanted. */
static void test_company_is_evicted_where_it_may_be(void **state)
{
	auto_world struct world world;
	auto_preemption struct preemption found = { 0 };
	struct demand wanted = { .request = { .need = { 100 } }, .priority = 5, .project = PROJECT_NONE };
	struct err err = { 0 };
	uint32_t group, rival, other;

	(void)state;
	world_init(&world, 2);
	assert_int_equal(places_group(&world.ledger.places, "rival", &group, &err), 0);
	for (uint32_t node = 0; node < 2; node++) {
		struct demand *demand = make_demand(&world, &(struct request){ .need = { 200 } }, node == 0 ? 6 : 4);

		demand->groups[demand->group_count++] = group;
		assert_int_equal(ledger_bind(&world.ledger, demand, node, 0, &rival, &err), 0);
	}
	other = bind_to(&world, 1, 100, 1);
	wanted.constraints = (struct constraints){ .without = { { group, DOMAIN_SELF } }, .without_count = 1 };
	assert_int_equal(preempt(&world.ledger, &wanted, &found, &err), 0);
	assert_int_equal(found.node, 1);	/* On the first node the rival is too important. */
	assert_int_equal(found.victims.count, 1);
	assert_int_equal(found.victims.items[0], rival);
	assert_int_not_equal(rival, other);
	assert_int_equal(world.ledger.cluster->binding_count, 3);
	wanted.priority = 4;
	assert_int_equal(preempt(&world.ledger, &wanted, &found, &err), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_least_important_go_and_no_more_than_needed),
		cmocka_unit_test(test_what_fits_evicts_nothing_and_equals_stay),
		cmocka_unit_test(test_random_proposals_are_minimal),
		cmocka_unit_test(test_company_is_evicted_where_it_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
