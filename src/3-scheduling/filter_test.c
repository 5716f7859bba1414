#include "3-scheduling/filter.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

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
	const struct constraints either = { .any_labels = { world.ssd, world.old }, .any_label_count = 2, .tolerated_taints = ~0ull };

	refused(&world, &either, 0, "");
	refused(&world, &either, 1, "");
	refused(&world, &either, 2, "lacks labels 'disk=ssd' and 'old', one of which would do");
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

static void test_preferences_forbid_nothing(void **state)
{
	auto_world struct world world;
	struct constraints wants = { .preferred = { { .kind = PREFER_WITH, .weight = 1, .domain_kind = ZONE },
						    { .kind = PREFER_NOT_LABEL, .weight = 4 } }, .preferred_count = 2 };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 4);
	wants.preferred[0].number = world.web;
	wants.preferred[1].number = world.old;
	assert_int_equal(places_count(&world.places, world.web, 0, 1, &err), 0);
	assert_int_equal(places_set_label(&world.places, 0, world.old, true, &err), 0);
	assert_int_equal(constraints_check(&world.places, &wants, &err), 0);
	for (uint32_t node = 0; node < 4; node++)
		refused(&world, &wants, node, "");
	assert_int_equal(constraints_unmet(&world.places, &wants, 0), 4);
	assert_int_equal(constraints_unmet(&world.places, &wants, 1), 1);
	assert_int_equal(constraints_unmet(&world.places, &wants, 3), 0);	/* In the zone of the first. */
	wants.preferred[0] = (struct preference){ .kind = PREFER_WITHOUT, .weight = 2, .domain_kind = DOMAIN_SELF, .number = world.web };
	wants.preferred[1] = (struct preference){ .kind = PREFER_LABEL, .weight = 3, .number = world.old };
	assert_int_equal(constraints_unmet(&world.places, &wants, 0), 2);
	assert_int_equal(constraints_unmet(&world.places, &wants, 1), 3);
	wants.preferred[0].weight = 0;
	assert_int_equal(constraints_check(&world.places, &wants, &err), -EINVAL);
	assert_string_equal(err.msg, "preference 0 is of kind 3 and weighs 0: use kinds 0 to 3 and weights of 1 or more");
	wants.preferred[0] = (struct preference){ .kind = PREFER_LABEL, .weight = 3, .number = 99 };
	assert_int_equal(constraints_check(&world.places, &wants, &err), -ENOENT);
}

/* A number that is given again starts without what the node before had. */
static void test_a_removed_node_leaves_nothing(void **state)
{
	auto_world struct world world;
	const struct constraints tolerates_none = { 0 };
	struct err err = { 0 };
	uint32_t number;

	(void)state;
	world_init(&world, 3);
	assert_int_equal(places_set_taint(&world.places, 1, world.reserved, true, &err), 0);
	assert_int_equal(cluster_remove_node(world.cluster, 1, &err), 0);
	places_forget(&world.places, 1);
	assert_int_equal(cluster_add_node(world.cluster, &(struct cluster_node){ .name = "m", .total = (int32_t[]){ 1000 } }, &number, &err), 0);
	assert_int_equal(number, 1);
	refused(&world, &tolerates_none, 1, "");
	refused(&world, &(struct constraints){ .spread = { { world.web, ZONE, 1 } }, .spread_count = 1 }, 1, "is in no failure domain of kind 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels_and_taints),
		cmocka_unit_test(test_affinity_and_its_opposite),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_contradictions_are_named),
		cmocka_unit_test(test_preferences_forbid_nothing),
		cmocka_unit_test(test_a_removed_node_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
