#include "3-scheduling/filter.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "3-scheduling/decide.h"
#include "3-scheduling/fit.h"
#include "base/mem.h"
#include "base/rng.h"

static const struct cluster_dimension dimensions[] = { { "cpu", "m" } };
enum { ZONE, RACK };

struct world {
	struct cluster *cluster;
	struct places places;
	uint32_t ssd, old, web, db, reserved;
};

static void world_done(struct world *world)
{
	places_done(&world->places);
	cluster_free(world->cluster);
}
#define auto_world __attribute__((cleanup(world_done)))

static void world_init(struct world *world, uint32_t nodes)
{
	struct err err = { 0 };
	uint32_t number;

	assert_int_equal(cluster_new(dimensions, 1, &world->cluster, &err), 0);
	places_init(&world->places, world->cluster);
	for (uint32_t i = 0; i < nodes; i++)
		assert_int_equal(cluster_add_node(world->cluster, &(struct cluster_node){ .name = "n", .total = (int32_t[]){ 1000 } }, &number, &err), 0);
	for (uint32_t i = 0; i < nodes; i++)
		assert_int_equal(places_set_domain(&world->places, i, ZONE, (int16_t)(i % 3), &err), 0);
	assert_int_equal(places_label(&world->places, "disk=ssd", &world->ssd, &err), 0);
	assert_int_equal(places_label(&world->places, "old", &world->old, &err), 0);
	assert_int_equal(places_taint(&world->places, "reserved", &world->reserved, &err), 0);
	assert_int_equal(places_group(&world->places, "web", &world->web, &err), 0);
	assert_int_equal(places_group(&world->places, "db", &world->db, &err), 0);
}

static void refused(const struct world *world, const struct constraints *constraints, uint32_t node, const char *why)
{
	struct str text = { 0 };

	assert_int_equal(constraints_allow(&world->places, constraints, node), !why[0]);
	constraints_explain(&world->places, constraints, node, &text);
	assert_string_equal(str_text(&text), why);
	str_done(&text);
}

static void test_labels_and_taints(void **state)
{
	auto_world struct world world;
	struct err err = { 0 };

	(void)state;
	world_init(&world, 3);
	const struct constraints wants = { .labels = { world.ssd }, .label_count = 1, .not_labels = { world.old }, .not_label_count = 1 };

	assert_int_equal(places_set_label(&world.places, 0, world.ssd, true, &err), 0);
	assert_int_equal(places_set_label(&world.places, 1, world.old, true, &err), 0);
	assert_int_equal(places_set_taint(&world.places, 2, world.reserved, true, &err), 0);
	refused(&world, &wants, 0, "");
	refused(&world, &wants, 1, "lacks label 'disk=ssd'; has label 'old'");
	refused(&world, &(struct constraints){ 0 }, 2, "has taint 'reserved', which is not tolerated");
	refused(&world, &(struct constraints){ .tolerated_taints = 1ull << world.reserved }, 2, "");
	assert_int_equal(places_set_label(&world.places, 0, world.ssd, false, &err), 0);
	refused(&world, &wants, 0, "lacks label 'disk=ssd'");
	assert_int_equal(places_set_label(&world.places, 7, world.ssd, true, &err), -ENOENT);
}

static void test_affinity_and_its_opposite(void **state)
{
	auto_world struct world world;
	struct err err = { 0 };

	(void)state;
	world_init(&world, 6);
	const struct constraints near_db = { .with = { { world.db, ZONE } }, .with_count = 1 };
	const struct constraints alone = { .without = { { world.web, DOMAIN_SELF } }, .without_count = 1 };

	refused(&world, &near_db, 4, "none of group 'db' runs there");
	assert_int_equal(places_count(&world.places, world.db, 1, 1, &err), 0);
	refused(&world, &near_db, 4, "");	/* The same zone. */
	refused(&world, &near_db, 5, "none of group 'db' runs there");
	assert_int_equal(places_count(&world.places, world.web, 2, 2, &err), 0);
	refused(&world, &alone, 2, "2 of group 'web' run there");
	refused(&world, &alone, 5, "");
	assert_int_equal(places_set_domain(&world.places, 1, ZONE, 2, &err), 0);	/* The database's node moves. */
	refused(&world, &near_db, 4, "none of group 'db' runs there");
	refused(&world, &near_db, 5, "");
	assert_int_equal(places_count(&world.places, world.db, 1, -2, &err), -EINVAL);
	assert_string_equal(err.msg, "group 'db' would have -1 instances on node 'n'");
}

static void test_spread(void **state)
{
	auto_world struct world world;
	struct err err = { 0 };

	(void)state;
	world_init(&world, 6);
	const struct constraints even = { .spread = { { world.web, ZONE, 1 } }, .spread_count = 1 };

	assert_int_equal(places_count(&world.places, world.web, 0, 1, &err), 0);
	refused(&world, &even, 3, "its domain has 1 of group 'web', the emptiest 0: one more is beyond a skew of 1");
	refused(&world, &even, 1, "");
	assert_int_equal(places_count(&world.places, world.web, 1, 1, &err), 0);
	assert_int_equal(places_count(&world.places, world.web, 2, 1, &err), 0);
	refused(&world, &even, 3, "");
	assert_int_equal(places_set_domain(&world.places, 3, ZONE, -1, &err), 0);
	refused(&world, &even, 3, "is in no failure domain of kind 0");
}

static void contradicts(const struct world *world, struct constraints constraints, int code, const char *message)
{
	struct err err = { 0 };

	assert_int_equal(constraints_check(&world->places, &constraints, &err), code);
	assert_string_equal(err.msg, message);
}

static void test_contradictions_are_named(void **state)
{
	auto_world struct world world;

	(void)state;
	world_init(&world, 1);
	contradicts(&world, (struct constraints){ .labels = { world.ssd }, .label_count = 1, .not_labels = { world.ssd }, .not_label_count = 1 },
		    -EINVAL, "label 'disk=ssd' is required and forbidden");
	contradicts(&world, (struct constraints){ .with = { { world.web, RACK } }, .with_count = 1, .without = { { world.web, RACK } },
		    .without_count = 1 }, -EINVAL, "group 'web' is required and forbidden in one domain");
	contradicts(&world, (struct constraints){ .labels = { 900 }, .label_count = 1 }, -ENOENT, "label 900 does not exist");
	contradicts(&world, (struct constraints){ .label_count = 9 }, -EINVAL, "9 labels: 8 are possible");
	contradicts(&world, (struct constraints){ .spread = { { world.web, ZONE, 0 } }, .spread_count = 1 }, -EINVAL,
		    "spread of group 0 over kind 0 by 0: use a known group and kind, and 1 or more");
}

/* The first allowed node in the order of cost, whatever was refused before it. */
static void test_decisions_obey_as_a_full_scan_does(void **state)
{
	auto_world struct world world;
	struct rng rng;
	struct err err = { 0 };
	uint32_t binding, placed = 0, none = 0;

	(void)state;
	rng_init(&rng, 4);
	world_init(&world, 60);
	auto_decider struct decider *decider = decider_new(world.cluster, &policy_binpack);

	for (uint32_t i = 0; i < 60; i++) {
		assert_int_equal(places_set_label(&world.places, i, world.ssd, rng_below(&rng, 3) == 0, &err), 0);
		assert_int_equal(places_set_taint(&world.places, i, world.reserved, rng_below(&rng, 4) == 0, &err), 0);
	}
	for (int step = 0; step < 2000; step++) {
		const struct request request = { .need = { 20 + 10 * (int32_t)rng_below(&rng, 4) } };
		struct constraints c = { .label_count = (uint32_t)rng_below(&rng, 2), .labels = { world.ssd }, .spread = { { world.web, ZONE, 2 } },
					 .spread_count = (uint32_t)rng_below(&rng, 2), .without = { { world.db, DOMAIN_SELF } },
					 .without_count = (uint32_t)rng_below(&rng, 2) };
		struct decision decision;
		uint32_t best = CLUSTER_NONE;
		double least = 0;

		for (uint32_t i = 0; i < 60; i++) {
			struct policy_choice choice = { 0 };

			if (!fit_node(world.cluster, &request, i) || !constraints_allow(&world.places, &c, i))
				continue;
			policy_binpack.rate(world.cluster, NULL, &request, i, &choice);
			if (best == CLUSTER_NONE || (float)choice.cost < (float)least) {
				least = choice.cost;
				best = i;
			}
		}
		int r = decider_choose_allowed(decider, &request, &world.places, &c, &decision, &err);

		assert_int_equal(r, best == CLUSTER_NONE ? -ENOSPC : 0);
		none += r < 0;
		if (r < 0)
			continue;
		assert_int_equal(decision.node, best);
		assert_int_equal(cluster_bind(world.cluster, &request, best, 0, &binding, &err), 0);
		assert_int_equal(places_count(&world.places, rng_below(&rng, 8) ? world.web : world.db, best, 1, &err), 0);
		placed++;
	}
	assert_true(placed > 200 && none > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels_and_taints),
		cmocka_unit_test(test_affinity_and_its_opposite),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_contradictions_are_named),
		cmocka_unit_test(test_decisions_obey_as_a_full_scan_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
