#include "3-scheduling/rebalance.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

static const struct cluster_dimension dimensions[] = { { "cpu", "m" }, { "memory", "MiB" } };
enum { CPU, MEMORY, NODES_MOST = 64, BINDINGS_MOST = 1024 };

struct world {
	struct ledger ledger;
	struct demand demands[BINDINGS_MOST];	/* By binding: a binding keeps its number when it moves. */
	struct usage usage[BINDINGS_MOST];
	uint32_t web;
	struct mix mix;
};

static void world_init(struct world *world, uint32_t nodes)
{
	struct err err = { 0 };

	memset(world, 0, sizeof(*world));
	assert_int_equal(ledger_init(&world->ledger, dimensions, 2, CPU, MEMORY, &err), 0);
	assert_int_equal(places_group(&world->ledger.places, "web", &world->web, &err), 0);
	for (uint32_t i = 0; i < nodes; i++) {
		char name[2] = { (char)('a' + i % 26) };
		uint32_t number;

		assert_int_equal(cluster_add_node(world->ledger.cluster, &(struct cluster_node){ .name = name, .total = (int32_t[]){ 1000, 1000 } },
						  &number, &err), 0);
	}
}

static void world_done(struct world *world)
{
	mix_done(&world->mix);
	ledger_done(&world->ledger);
}
#define auto_world __attribute__((cleanup(world_done)))

static uint32_t bind_to(struct world *world, uint32_t node, int32_t cpu, int32_t memory, uint32_t groups)
{
	uint32_t binding = world->ledger.cluster->binding_end;
	struct demand *demand = &world->demands[binding];
	struct err err = { 0 };

	*demand = (struct demand){ .request = { .need = { cpu, memory } }, .project = PROJECT_NONE, .groups = { world->web }, .group_count = groups };
	assert_int_equal(ledger_bind(&world->ledger, demand, node, 0, &binding, &err), 0);
	assert_ptr_equal(demand, &world->demands[binding]);
	return binding;
}

static struct rebalance wanted(const struct world *world, const struct policy *policy, uint32_t goals)
{
	return (struct rebalance){ .policy = policy, .mix = &world->mix, .goals = goals, .cost_dimension = MEMORY, .budget = INT32_MAX };
}

static void carry_out(struct world *world, const struct plan *plan)
{
	struct err err = { 0 };

	for (size_t i = 0; i < plan->moves.count; i++) {
		const struct move *move = &plan->moves.items[i];
		const struct demand *demand = ledger_demand(&world->ledger, move->binding);
		struct cluster_binding bound;
		uint32_t binding;

		assert_int_equal(cluster_binding(world->ledger.cluster, move->binding, &bound, &err), 0);
		assert_int_equal(bound.node, move->from);
		assert_true(move->gain > 0);
		assert_int_equal(ledger_unbind(&world->ledger, move->binding, &err), 0);
		assert_int_equal(ledger_bind(&world->ledger, demand, move->to, move->devices, &binding, &err), 0);
		assert_int_equal(binding, move->binding);
	}
	for (size_t i = 0; i < plan->emptied.count; i++)
		assert_int_equal(cluster_shape(world->ledger.cluster, plan->emptied.items[i])->bound_count, 0);
}

static uint32_t in_use(const struct cluster *cluster)
{
	uint32_t count = 0;

	for (uint32_t node = 0; node < cluster->node_end; node++)
		count += cluster_shape(cluster, node)->bound_count > 0;
	return count;
}

static void test_the_emptiest_host_is_emptied(void **state)
{
	auto_world struct world world;
	auto_plan struct plan plan = { 0 };
	struct str text = { 0 };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 4);
	bind_to(&world, 0, 300, 400, 0);
	bind_to(&world, 1, 100, 30, 0);
	bind_to(&world, 2, 500, 500, 0);
	const struct rebalance ask = wanted(&world, &policy_binpack, 1 << GOAL_EMPTYING);
	uint32_t bindings = world.ledger.cluster->binding_count;

	assert_int_equal(rebalance(&world.ledger, &ask, &plan, &err), 0);
	assert_int_equal(plan.emptied.count, 2);	/* Both find room on the third; the fourth stays empty. */
	assert_int_equal(plan.emptied.items[0], 1);
	assert_int_equal(plan.moves.items[0].to, 2);
	assert_int_equal(plan.cost, 430);
	plan_explain(&world.ledger, &ask, &plan, 0, &text);
	assert_string_equal(str_text(&text), "move binding 1 (30MiB) from 'b' to 'c': empties 'b', which uses 10% of what it has");
	str_done(&text);
	/* It was only a proposal. */
	assert_int_equal(world.ledger.cluster->binding_count, bindings);
	assert_int_equal(cluster_shape(world.ledger.cluster, 1)->bound_count, 1);
	for (uint32_t node = 0; node < 4; node++)
		assert_false(cluster_shape(world.ledger.cluster, node)->is_cordoned);
	carry_out(&world, &plan);
	assert_int_equal(in_use(world.ledger.cluster), 1);
}

static void test_the_budget_holds(void **state)
{
	auto_world struct world world;
	auto_plan struct plan plan = { 0 };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 3);
	bind_to(&world, 0, 100, 200, 0);
	bind_to(&world, 1, 500, 300, 0);
	struct rebalance ask = wanted(&world, &policy_binpack, 0);

	ask.budget = 199;
	assert_int_equal(rebalance(&world.ledger, &ask, &plan, &err), 0);
	assert_int_equal(plan.moves.count, 0);
	ask.budget = -1;
	assert_int_equal(rebalance(&world.ledger, &ask, &plan, &err), -EINVAL);
	ask = wanted(&world, &policy_binpack, 1 << GOAL_COUNT);
	assert_int_equal(rebalance(&world.ledger, &ask, &plan, &err), -EINVAL);
	ask = wanted(&world, &policy_binpack, 0);
	ask.cost_dimension = 7;
	assert_int_equal(rebalance(&world.ledger, &ask, &plan, &err), -EINVAL);
}

/* Two of a group may not share a host: neither can be moved to the other. */
static void test_moves_obey_constraints(void **state)
{
	auto_world struct world world;
	auto_plan struct plan plan = { 0 };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 2);
	for (uint32_t node = 0; node < 2; node++) {
		uint32_t binding = bind_to(&world, node, 100, 100, 1);

		world.demands[binding].constraints = (struct constraints){ .without = { { world.web, DOMAIN_SELF } }, .without_count = 1 };
	}
	const struct rebalance ask = wanted(&world, &policy_binpack, 0);

	assert_int_equal(rebalance(&world.ledger, &ask, &plan, &err), 0);
	assert_int_equal(plan.moves.count, 0);
	world.demands[0].constraints.without_count = world.demands[1].constraints.without_count = 0;
	assert_int_equal(rebalance(&world.ledger, &ask, &plan, &err), 0);
	assert_int_equal(plan.moves.count, 1);
}

static void test_overload_is_relieved_by_the_cheapest_that_helps(void **state)
{
	auto_world struct world world;
	auto_plan struct plan plan = { 0 };
	struct str text = { 0 };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 3);
	uint32_t dear = bind_to(&world, 0, 300, 600, 0), cheap = bind_to(&world, 0, 300, 100, 0), idle = bind_to(&world, 0, 100, 10, 0);
	uint32_t other = bind_to(&world, 1, 100, 100, 0);

	world.usage[dear].amount[CPU] = 500;
	world.usage[cheap].amount[CPU] = 450;
	world.usage[idle].amount[CPU] = 1;
	world.usage[other].amount[CPU] = 700;		/* Takes nothing over: it would become busy itself. */
	struct rebalance ask = wanted(&world, &policy_binpack, 1 << GOAL_OVERLOAD);

	ask.usage = world.usage;
	assert_true(fabs(rebalance_overload(&world.ledger, world.usage, 0) - 0.051) < 1e-6);
	assert_int_equal(rebalance(&world.ledger, &ask, &plan, &err), 0);
	assert_int_equal(plan.moves.count, 1);
	assert_int_equal(plan.moves.items[0].binding, cheap);
	assert_int_equal(plan.moves.items[0].to, 2);
	plan_explain(&world.ledger, &ask, &plan, 0, &text);
	assert_string_equal(str_text(&text), "move binding 1 (100MiB) from 'a' to 'c': ends 5% of overload on 'a'");
	str_done(&text);
	carry_out(&world, &plan);
	for (uint32_t node = 0; node < 3; node++)
		assert_true(rebalance_overload(&world.ledger, world.usage, node) == 0);
}

/* Halves of hosts are free, but what is typical wants most of one. */
static void test_fragments_are_gathered(void **state)
{
	auto_world struct world world;
	auto_plan struct plan plan = { 0 };
	struct typical typical;
	struct err err = { 0 };

	(void)state;
	world_init(&world, 3);
	for (int i = 0; i < 10; i++)
		mix_add(&world.mix, &(struct request){ .need = { 700, 700 } });
	bind_to(&world, 0, 300, 300, 0);
	bind_to(&world, 0, 200, 200, 0);
	bind_to(&world, 1, 500, 500, 0);
	bind_to(&world, 2, 400, 400, 0);
	bind_to(&world, 2, 300, 300, 0);
	typical_init(&typical, &world.mix, 1, world.ledger.cluster);
	assert_true(fabs(rebalance_stranded(world.ledger.cluster, &typical, 0) - 0.5) < 1e-6);
	const struct rebalance ask = wanted(&world, &policy_binpack, 1 << GOAL_FRAGMENTATION);

	assert_int_equal(rebalance(&world.ledger, &ask, &plan, &err), 0);
	assert_true(plan.moves.count > 0);
	carry_out(&world, &plan);
	double left = 0;

	for (uint32_t node = 0; node < 3; node++)
		left += rebalance_stranded(world.ledger.cluster, &typical, node);
	assert_true(left < 0.5);			/* It was 1.3. */
	plan_done(&plan);
	assert_int_equal(rebalance(&world.ledger, &ask, &plan, &err), 0);
	assert_int_equal(plan.moves.count, 0);
}

static void test_draining_moves_what_it_can_and_names_the_rest(void **state)
{
	auto_world struct world world;
	auto_plan struct plan plan = { 0 };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 3);
	uint32_t small = bind_to(&world, 0, 100, 100, 0), large = bind_to(&world, 0, 800, 500, 0);

	bind_to(&world, 1, 500, 500, 0);
	bind_to(&world, 2, 150, 500, 0);
	const struct rebalance ask = wanted(&world, &policy_binpack, 0);

	assert_int_equal(drain(&world.ledger, &ask, 0, &plan, &err), 0);
	assert_int_equal(plan.moves.count, 2);		/* The large one first, or it would find no place. */
	assert_int_equal(plan.moves.items[0].binding, large);
	assert_int_equal(plan.moves.items[0].to, 2);
	assert_int_equal(plan.emptied.count, 1);
	assert_int_equal(plan.stuck.count, 0);
	assert_int_equal(cluster_shape(world.ledger.cluster, 0)->bound_count, 2);
	plan_done(&plan);
	bind_to(&world, 2, 100, 100, 0);
	assert_int_equal(drain(&world.ledger, &ask, 0, &plan, &err), 0);
	assert_int_equal(plan.stuck.count, 1);
	assert_int_equal(plan.stuck.items[0], large);
	assert_int_equal(plan.moves.count, 1);
	assert_int_equal(plan.moves.items[0].binding, small);
	assert_int_equal(plan.emptied.count, 0);
	assert_false(cluster_shape(world.ledger.cluster, 0)->is_cordoned);
	assert_int_equal(drain(&world.ledger, &ask, 9, &plan, &err), -ENOENT);
}

static void test_a_second_time_finds_less_and_then_nothing(void **state)
{
	auto_world struct world world;
	struct rng rng;
	struct err err = { 0 };
	uint32_t before = 40;
	int rounds = 0;

	(void)state;
	rng_init(&rng, 8);
	world_init(&world, 40);
	for (uint32_t node = 0; node < 40; node++)
		for (uint64_t i = rng_below(&rng, 4); i > 0; i--)
			bind_to(&world, node, 30 + (int32_t)rng_below(&rng, 200), 30 + (int32_t)rng_below(&rng, 200), 0);
	for (;; rounds++) {
		auto_plan struct plan plan = { 0 };
		const struct rebalance ask = wanted(&world, &policy_default, 0);

		assert_int_equal(rebalance(&world.ledger, &ask, &plan, &err), 0);
		if (!plan.moves.count)
			break;
		carry_out(&world, &plan);
		assert_true(in_use(world.ledger.cluster) < before);
		before = in_use(world.ledger.cluster);
		assert_true(rounds < 40);
	}
	assert_true(rounds > 0 && before < 20);
}

/* ---- A day, and the same day again ---- */

enum { HOURS = 24, HOSTS = 20, INSTANCES = 160 };

/* CPU of each instance over the day: its own level, busy at its own hours. */
static void make_day(struct rng *rng, int32_t day[INSTANCES][HOURS])
{
	for (int i = 0; i < INSTANCES; i++) {
		int32_t level = 5 + (int32_t)rng_below(rng, 30), peak = 10 + (int32_t)rng_below(rng, 80), at = (int32_t)rng_below(rng, HOURS);

		for (int32_t hour = 0; hour < HOURS; hour++) {
			int32_t away = (hour - at + HOURS) % HOURS;

			day[i][hour] = level + (away < 5 ? peak : 0) + (int32_t)rng_below(rng, 10);
		}
	}
}

struct day_result { uint32_t moves, returns; double overload; };

/* Every hour: what was highest of the last 24 is what is expected; one proposal, carried out. */
static struct day_result live_a_day(struct world *world, int32_t day[INSTANCES][HOURS], bool has_left[INSTANCES][HOSTS])
{
	struct day_result result = { 0 };
	struct err err = { 0 };

	for (int hour = 0; hour < HOURS; hour++) {
		auto_plan struct plan plan = { 0 };
		struct rebalance ask = wanted(world, &policy_default, 0);

		for (uint32_t i = 0; i < INSTANCES; i++) {
			int32_t *expected = &world->usage[i].amount[CPU];

			*expected = day[i][hour] > *expected ? day[i][hour] : *expected;
		}
		ask.usage = world->usage;
		assert_int_equal(rebalance(&world->ledger, &ask, &plan, &err), 0);
		for (size_t m = 0; m < plan.moves.count; m++) {
			const struct move *move = &plan.moves.items[m];

			has_left[move->binding][move->from] = true;
			result.returns += has_left[move->binding][move->to];
		}
		result.moves += (uint32_t)plan.moves.count;
		carry_out(world, &plan);
		for (uint32_t node = 0; node < HOSTS; node++)
			result.overload += rebalance_overload(&world->ledger, world->usage, node);
	}
	return result;
}

static void test_the_same_day_again_moves_nothing(void **state)
{
	for (uint64_t seed = 1; seed <= 10; seed++) {
		auto_world struct world world;
		static int32_t day[INSTANCES][HOURS];
		static bool has_left[INSTANCES][HOSTS];
		struct rng rng;
		struct day_result first, second;

		(void)state;
		memset(has_left, 0, sizeof(has_left));
		rng_init(&rng, seed);
		world_init(&world, HOSTS);
		make_day(&rng, day);
		/* Crowded on half of the hosts: what is asked for is little, what is used becomes too much. */
		for (uint32_t i = 0; i < INSTANCES; i++)
			bind_to(&world, i % (HOSTS / 2), 10, 5 + (int32_t)rng_below(&rng, 40), 0);
		mix_add(&world.mix, &world.demands[0].request);
		first = live_a_day(&world, day, has_left);
		memset(has_left, 0, sizeof(has_left));
		second = live_a_day(&world, day, has_left);
		assert_true(first.moves > 10);
		assert_int_equal(second.moves, 0);
		assert_int_equal(second.returns, 0);
		assert_true(second.overload < 0.001);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_emptiest_host_is_emptied),
		cmocka_unit_test(test_the_budget_holds),
		cmocka_unit_test(test_moves_obey_constraints),
		cmocka_unit_test(test_overload_is_relieved_by_the_cheapest_that_helps),
		cmocka_unit_test(test_fragments_are_gathered),
		cmocka_unit_test(test_draining_moves_what_it_can_and_names_the_rest),
		cmocka_unit_test(test_a_second_time_finds_less_and_then_nothing),
		cmocka_unit_test(test_the_same_day_again_moves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
