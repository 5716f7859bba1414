/* All books together: entered in all or none, decisions as a full scan would make them, and what if leaves no trace. */
#include "3-scheduling/ledger.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "3-scheduling/explain.h"
#include "3-scheduling/fit.h"
#include "base/mem.h"
#include "base/rng.h"

static const struct cluster_dimension dimensions[] = { { "cpu", "m" }, { "memory", "MiB" } };
enum { CPU, MEMORY, NODES = 60, DEMANDS = 300, BINDINGS_MOST = 4000, ZONE = 0 };

struct world {
	struct ledger ledger;
	struct demand demands[DEMANDS];
	uint32_t bindings[BINDINGS_MOST], count;
	uint32_t ssd, reserved, web, db, project;
	struct rng rng;
};

static int32_t below(struct world *world, uint64_t bound)
{
	return (int32_t)rng_below(&world->rng, bound);
}

static void add_nodes(struct world *world, uint32_t count)
{
	struct err err = { 0 };

	for (uint32_t i = 0; i < count; i++) {
		struct numa_node numa_nodes[2] = { { .memory = 4096 }, { .memory = 4096 } };
		uint32_t node;

		for (uint32_t cpu = 0; cpu < 8; cpu++)
			cpu_set_add(&numa_nodes[cpu / 4].cpus, cpu);
		assert_int_equal(cluster_add_node(world->ledger.cluster, &(struct cluster_node){ .name = "n", .total = (int32_t[]){ 8000, 8192 },
						  .gpu_count = 2, .gpu_model = "A" }, &node, &err), 0);
		assert_int_equal(topology_set(&world->ledger.topology, node, numa_nodes, 2, &err), 0);
		assert_int_equal(places_set_domain(&world->ledger.places, node, ZONE, (int16_t)(i % 4), &err), 0);
		assert_int_equal(places_set_label(&world->ledger.places, node, world->ssd, below(world, 3) == 0, &err), 0);
		assert_int_equal(places_set_taint(&world->ledger.places, node, world->reserved, below(world, 4) == 0, &err), 0);
	}
}

static void world_init(struct world *world, uint32_t nodes, uint64_t seed)
{
	struct err err = { 0 };

	memset(world, 0, sizeof(*world));
	rng_init(&world->rng, seed);
	assert_int_equal(ledger_init(&world->ledger, dimensions, 2, CPU, MEMORY, &err), 0);
	assert_int_equal(places_label(&world->ledger.places, "disk=ssd", &world->ssd, &err), 0);
	assert_int_equal(places_taint(&world->ledger.places, "reserved", &world->reserved, &err), 0);
	assert_int_equal(places_group(&world->ledger.places, "web", &world->web, &err), 0);
	assert_int_equal(places_group(&world->ledger.places, "db", &world->db, &err), 0);
	assert_int_equal(quotas_add(&world->ledger.quotas, "shop", &world->project, &err), 0);
	assert_int_equal(overcommit_set(&world->ledger.overcommit, 1, CPU, 4000, &err), 0);
	add_nodes(world, nodes);
}

static void world_done(struct world *world)
{
	ledger_done(&world->ledger);
}
#define auto_world __attribute__((cleanup(world_done)))

static struct demand random_demand(struct world *world)
{
	struct demand demand = {
		.request = { .need = { 250 * (1 + below(world, 12)), 32 * (1 + below(world, 40)) } },
		.class = (uint8_t)below(world, 2), .project = below(world, 2) ? world->project : PROJECT_NONE,
		.groups = { below(world, 4) ? world->web : world->db }, .group_count = (uint32_t)below(world, 2),
		.constraints = {
			.tolerated_taints = below(world, 3) ? 0 : 1ull << world->reserved,
			.labels = { world->ssd }, .label_count = below(world, 4) == 0,
			.spread = { { world->web, ZONE, 3 } }, .spread_count = below(world, 3) == 0,
			.without = { { world->db, DOMAIN_SELF } }, .without_count = below(world, 3) == 0,
			.preferred = { { .kind = PREFER_LABEL, .weight = 2, .number = world->ssd },
				       { .kind = PREFER_WITHOUT, .weight = 1, .number = world->web, .domain_kind = DOMAIN_SELF } },
			.preferred_count = (uint32_t)below(world, 3),
		},
		.numa = { .fit = (uint8_t)below(world, 3) },
	};

	if (below(world, 8) == 0) {
		demand.request.gpu_count = 1;
		demand.request.gpu_milli = (int16_t)(100 * (1 + below(world, 10)));
	}
	if (below(world, 6) == 0 && demand.request.need[CPU] % 2000 == 0)
		demand.numa.is_exclusive = true;
	return demand;
}

/* What a full scan would choose: fewest unmet preferences, then cost, then the lowest. */
static uint32_t scan(const struct world *world, const struct demand *demand, const struct policy *policy)
{
	const struct ledger *ledger = &world->ledger;
	struct request charged = ledger_charge(ledger, demand);
	uint32_t best = CLUSTER_NONE, least_unmet = 0;
	float least = INFINITY;

	for (uint32_t node = 0; node < ledger->cluster->node_end; node++) {
		struct policy_choice choice = { 0 };
		uint32_t unmet = constraints_unmet(&ledger->places, &demand->constraints, node);

		if (!fit_node(ledger->cluster, &charged, node) || !ledger_allows(ledger, demand, node))
			continue;
		policy->rate(ledger->cluster, NULL, &charged, node, &choice);
		if (best != CLUSTER_NONE && (unmet > least_unmet || (unmet == least_unmet && (float)choice.cost >= least)))
			continue;
		best = node;
		least_unmet = unmet;
		least = (float)choice.cost;
	}
	return best;
}

static void test_decisions_are_those_of_a_full_scan(void **state)
{
	auto_world struct world world;
	uint32_t placed = 0, none = 0, unmet = 0;

	(void)state;
	world_init(&world, NODES, 4);
	auto_decider struct decider *decider = decider_new(world.ledger.cluster, &policy_binpack);

	for (int i = 0; i < DEMANDS; i++)
		world.demands[i] = random_demand(&world);
	for (int step = 0; step < 4000; step++) {
		const struct demand *demand = &world.demands[below(&world, DEMANDS)];
		struct decision decision;
		struct err err = { 0 };
		uint32_t best = scan(&world, demand, &policy_binpack);
		int r = decider_choose_for(decider, &world.ledger, demand, &decision, &err);

		assert_int_equal(r, best == CLUSTER_NONE ? -ENOSPC : 0);
		none += r < 0;
		if (r == 0) {
			assert_int_equal(decision.node, best);
			unmet += constraints_unmet(&world.ledger.places, &demand->constraints, best) > 0;
			assert_int_equal(ledger_bind(&world.ledger, demand, best, decision.devices, &world.bindings[world.count++], &err), 0);
			placed++;
		}
		if (world.count && (r < 0 || below(&world, 3) == 0)) {
			uint32_t i = (uint32_t)below(&world, world.count);

			assert_int_equal(ledger_unbind(&world.ledger, world.bindings[i], &err), 0);
			world.bindings[i] = world.bindings[--world.count];
		}
	}
	assert_true(placed > 1000 && none > 50 && unmet > 20);
}

/* Everything that can be told apart: a text of all books. */
static void describe(const struct ledger *ledger, struct str *text)
{
	const struct cluster *cluster = ledger->cluster;

	for (uint32_t node = 0; node < cluster->node_end; node++) {
		str_printf(text, "%u: cordoned %d cpu %d memory %d gpus %d %d web %d:", node, cluster_shape(cluster, node)->is_cordoned,
			   cluster_free_amount(cluster, CPU, node), cluster_free_amount(cluster, MEMORY, node),
			   cluster_gpus(cluster, node)->free_milli[0], cluster_gpus(cluster, node)->free_milli[1],
			   constraints_unmet(&ledger->places, &(struct constraints){ .preferred = { { .kind = PREFER_WITHOUT, .weight = 1,
					     .domain_kind = DOMAIN_SELF } }, .preferred_count = 1 }, node));
		for (uint32_t i = 0; i < ledger->topology.hosts[node].zone_count; i++) {
			const struct zone *zone = &ledger->topology.zones.items[ledger->topology.hosts[node].first_zone + i];

			str_printf(text, " %d/%d", zone->cpu_free, zone->memory_free);
		}
		const struct cpu_set *taken = ledger->topology.hosts[node].taken;

		str_printf(text, " taken %llx\n", taken ? (unsigned long long)taken->words[0] : 0);
	}
	for (uint32_t b = 0; b < cluster->binding_end; b++) {
		struct cluster_binding bound;

		if (cluster_binding(cluster, b, &bound, &(struct err){ 0 }) < 0)
			continue;
		str_printf(text, "binding %u on %u devices %x demand %p", b, bound.node, bound.devices, (const void *)ledger_demand(ledger, b));
		if (ledger->entries.items[b].hold != HOLD_NONE)
			str_printf(text, " cpus %llx", (unsigned long long)ledger->topology.holds.items[ledger->entries.items[b].hold].cpus.words[0]);
		str_append_char(text, '\n');
	}
	for (uint32_t p = 0; p < ledger->quotas.count; p++)
		str_printf(text, "project %lld cpu %lld\n", (long long)ledger->quotas.projects[p]->instances_used,
			   (long long)ledger->quotas.projects[p]->used[CPU]);
}

static void change_at_random(struct world *world, struct decider *decider, bool is_trying)
{
	const struct demand *demand = &world->demands[below(world, DEMANDS)];
	struct decision decision;
	struct err err = { 0 };

	if (world->count && below(world, 3) == 0) {
		uint32_t i = (uint32_t)below(world, world->count);

		assert_int_equal(ledger_unbind(&world->ledger, world->bindings[i], &err), 0);
		world->bindings[i] = world->bindings[--world->count];
	} else if (is_trying && below(world, 8) == 0) {
		assert_int_equal(ledger_cordon(&world->ledger, (uint32_t)below(world, NODES), below(world, 2), &err), 0);
	} else if (world->count < BINDINGS_MOST && decider_choose_for(decider, &world->ledger, demand, &decision, &err) == 0) {
		assert_int_equal(ledger_bind(&world->ledger, demand, decision.node, decision.devices, &world->bindings[world->count++], &err), 0);
	}
}

static void test_what_if_leaves_no_trace(void **state)
{
	auto_world struct world world;

	(void)state;
	world_init(&world, NODES, 7);
	auto_decider struct decider *decider = decider_new(world.ledger.cluster, &policy_spread);

	for (int i = 0; i < DEMANDS; i++)
		world.demands[i] = random_demand(&world);
	for (int round = 0; round < 300; round++) {
		struct str before = { 0 }, between = { 0 }, after = { 0 };
		uint32_t saved[BINDINGS_MOST], saved_count;
		size_t mark;

		for (int i = 0; i < 10; i++)
			change_at_random(&world, decider, false);
		memcpy(saved, world.bindings, sizeof(saved));
		saved_count = world.count;
		describe(&world.ledger, &before);
		ledger_begin(&world.ledger);
		for (int i = 0; i < 15; i++)
			change_at_random(&world, decider, true);
		mark = ledger_mark(&world.ledger);
		describe(&world.ledger, &between);
		for (int i = 0; i < 15; i++)
			change_at_random(&world, decider, true);
		ledger_undo(&world.ledger, mark);
		describe(&world.ledger, &after);
		assert_string_equal(str_text(&between), str_text(&after));
		str_clear(&after);
		ledger_undo(&world.ledger, 0);
		ledger_keep(&world.ledger);
		describe(&world.ledger, &after);
		assert_string_equal(str_text(&before), str_text(&after));
		memcpy(world.bindings, saved, sizeof(saved));
		world.count = saved_count;
		str_done(&before);
		str_done(&between);
		str_done(&after);
	}
	assert_true(world.count > 100);
}

static void test_a_refusal_enters_nothing(void **state)
{
	auto_world struct world world;
	struct demand demand = { .request = { .need = { 2000, 1024 } }, .class = 1, .project = PROJECT_NONE,
				 .numa = { .is_exclusive = true, .fit = NUMA_SINGLE } };
	struct str before = { 0 }, after = { 0 };
	struct err err = { 0 };
	uint32_t binding;

	(void)state;
	world_init(&world, 1, 1);
	assert_int_equal(places_set_taint(&world.ledger.places, 0, world.reserved, false, &err), 0);
	for (int i = 0; i < 4; i++)			/* Exclusive CPUs are not overcommitted, whatever the class. */
		assert_int_equal(ledger_bind(&world.ledger, &demand, 0, 0, &binding, &err), 0);
	describe(&world.ledger, &before);
	assert_int_equal(ledger_bind(&world.ledger, &demand, 0, 0, &binding, &err), -ENOSPC);
	assert_string_equal(err.msg, "node 'n': needs 2 of cpu, has 0 free of 8; needs 2 exclusive CPUs and 1GiB in one NUMA node; "
				     "its NUMA nodes have 0 and 2GiB, 0 and 2GiB free");
	demand = (struct demand){ .request = { .need = { 0, 64 } }, .project = PROJECT_NONE, .constraints = { .labels = { world.ssd }, .label_count = 1 } };
	assert_int_equal(places_set_label(&world.ledger.places, 0, world.ssd, false, &err), 0);
	assert_int_equal(ledger_bind(&world.ledger, &demand, 0, 0, &binding, &err), -ENOSPC);
	assert_string_equal(err.msg, "node 'n': lacks label 'disk=ssd'");
	assert_int_equal(ledger_bind(&world.ledger, &demand, 9, 0, &binding, &err), -ENOENT);
	demand.groups[demand.group_count++] = 12345;
	assert_int_equal(ledger_bind(&world.ledger, &demand, 0, 0, &binding, &err), -ENOENT);
	describe(&world.ledger, &after);
	assert_string_equal(str_text(&before), str_text(&after));
	assert_int_equal(ledger_remove_node(&world.ledger, 0, &err), -EBUSY);
	str_done(&before);
	str_done(&after);
}

static void test_overcommit_and_its_limits(void **state)
{
	auto_world struct world world;
	struct demand demand = { .request = { .need = { 8000, 100 } }, .class = 1, .project = PROJECT_NONE, .constraints = { .tolerated_taints = ~0ull } };
	struct str text = { 0 };
	struct err err = { 0 };
	uint32_t binding;

	(void)state;
	world_init(&world, 1, 1);
	for (int i = 0; i < 4; i++)			/* Four times what there is. */
		assert_int_equal(ledger_bind(&world.ledger, &demand, 0, 0, &binding, &err), 0);
	assert_int_equal(ledger_bind(&world.ledger, &demand, 0, 0, &binding, &err), -ENOSPC);
	assert_int_equal(ledger_unbind(&world.ledger, binding, &err), 0);
	demand.request.need[CPU] = 8001;		/* No single one is larger than the host. */
	assert_int_equal(ledger_bind(&world.ledger, &demand, 0, 0, &binding, &err), -ENOSPC);
	explain_refusal(&world.ledger, &demand, &text);
	assert_string_equal(str_text(&text), "node 'n': 8.001 of cpu is more than the host has (8)");
	str_clear(&text);
	demand.request.need[CPU] = 8000;
	assert_int_equal(ledger_bind(&world.ledger, &demand, 0, 0, &binding, &err), 0);
	explain_refusal(&world.ledger, &demand, &text);
	assert_string_equal(str_text(&text), "node 'n': needs 2 of cpu (for 8, overcommitted), has 0 free of 8");
	str_clear(&text);
	demand.request.need[CPU] = 0;
	demand.request.need[MEMORY] = 9000;
	assert_int_equal(overcommit_set(&world.ledger.overcommit, 1, MEMORY, 2000, &err), 0);
	explain_refusal(&world.ledger, &demand, &text);
	assert_string_equal(str_text(&text), "node 'n': 9000MiB of memory is more than the host has (8GiB)");
	str_done(&text);
	assert_int_equal(overcommit_set(&world.ledger.overcommit, 1, CPU, 500, &err), -EINVAL);
	assert_string_equal(err.msg, "class 1: a ratio of 0.5: use 1 to 1000");
	assert_int_equal(overcommit_charge(&world.ledger.overcommit, 1, &(struct request){ .need = { 1 } }, NULL).need[CPU], 1);
}

/* What is known of use is charged, between the ratio and what is asked for; without it nothing changes. */
static void test_a_class_may_go_by_use(void **state)
{
	auto_world struct world world;
	struct overcommit *overcommit = &world.ledger.overcommit;
	const struct request asked = { .need = { 4000, 1000 } };
	struct forecast known = { .is_usage_known = true, .cpu_p95_milli = 500, .memory_p95_milli = 900 };
	const struct forecast unknown = { .cpu_p95_milli = 900 };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 1, 1);
	assert_int_equal(overcommit_set(overcommit, 1, MEMORY, 2000, &err), 0);
	assert_int_equal(overcommit_charge(overcommit, 1, &asked, &known).need[CPU], 1000);	/* It does not. */
	assert_int_equal(overcommit_set_margin(overcommit, 1, 999, &err), -EINVAL);
	assert_int_equal(overcommit_set_margin(overcommit, 1, 1200, &err), 0);
	assert_int_equal(overcommit_charge(overcommit, 1, &asked, &known).need[CPU], 2400);
	assert_int_equal(overcommit_charge(overcommit, 1, &asked, &known).need[MEMORY], 1000);	/* 1080, but no more than asked for. */
	known.cpu_p95_milli = known.memory_p95_milli = 1;
	assert_int_equal(overcommit_charge(overcommit, 1, &asked, &known).need[CPU], 1000);
	assert_int_equal(overcommit_charge(overcommit, 1, &asked, &known).need[MEMORY], 500);
	assert_int_equal(overcommit_charge(overcommit, 1, &asked, &unknown).need[CPU], 1000);
	assert_int_equal(overcommit_charge(overcommit, 1, &asked, NULL).need[CPU], 1000);
}

static void test_quotas(void **state)
{
	auto_world struct world world;
	struct demand demand = { .request = { .need = { 1000, 4096 }, .gpu_count = 1, .gpu_milli = 500 }, .class = 1,
				 .constraints = { .tolerated_taints = ~0ull } };
	struct decision decision;
	struct err err = { 0 };
	uint32_t binding;

	(void)state;
	world_init(&world, 2, 1);
	auto_decider struct decider *decider = decider_new(world.ledger.cluster, &policy_binpack);
	struct quota *quota = world.ledger.quotas.projects[world.project];

	demand.project = world.project;
	quota->limit[MEMORY] = 6000;
	assert_int_equal(decider_choose_for(decider, &world.ledger, &demand, &decision, &err), 0);
	assert_int_equal(ledger_bind(&world.ledger, &demand, decision.node, decision.devices, &binding, &err), 0);
	assert_int_equal(decider_choose_for(decider, &world.ledger, &demand, &decision, &err), -EDQUOT);
	assert_string_equal(err.msg, "project 'shop': needs 4GiB of memory, uses 4GiB of the 6000MiB it may have: remove some, or raise its quota");
	quota->limit[MEMORY] = QUOTA_NONE;
	quota->gpu_milli_limit = 750;
	assert_int_equal(ledger_bind(&world.ledger, &demand, decision.node, decision.devices, &binding, &err), -EDQUOT);
	assert_string_equal(err.msg, "project 'shop': needs 0.5 of GPUs, uses 0.5 of the 0.75 it may have: remove some, or raise its quota");
	quota->gpu_milli_limit = QUOTA_NONE;
	quota->instances_limit = 1;
	assert_int_equal(ledger_bind(&world.ledger, &demand, decision.node, decision.devices, &binding, &err), -EDQUOT);
	assert_string_equal(err.msg, "project 'shop': needs 1 of instances, uses 1 of the 1 it may have: remove some, or raise its quota");
	assert_int_equal(ledger_unbind(&world.ledger, binding, &err), 0);
	assert_true(quota->instances_used == 0 && quota->gpu_milli_used == 0 && quota->used[MEMORY] == 0);
}

static void test_refusals_are_summed_up(void **state)
{
	auto_world struct world world;
	const struct demand large = { .request = { .need = { 1000, 9000 } }, .project = PROJECT_NONE, .constraints = { .tolerated_taints = ~0ull } };
	const struct demand small = { .request = { .need = { 1000, 900 } }, .project = PROJECT_NONE,
				      .constraints = { .tolerated_taints = ~0ull, .labels = { 0 }, .label_count = 1 } };
	struct str text = { 0 };
	struct err err = { 0 };

	(void)state;
	world_init(&world, 3, 1);
	for (uint32_t node = 0; node < 3; node++)
		assert_int_equal(places_set_label(&world.ledger.places, node, world.ssd, false, &err), 0);
	assert_int_equal(ledger_cordon(&world.ledger, 1, true, &err), 0);
	explain_refusal(&world.ledger, &large, &text);
	assert_string_equal(str_text(&text), "none of 3 nodes will do: 2 lack memory (needs 9000MiB, the most free is 8GiB), 1 is cordoned");
	str_clear(&text);
	explain_refusal(&world.ledger, &small, &text);
	assert_string_equal(str_text(&text), "none of 3 nodes will do: 1 is cordoned, 2 are not allowed by labels, taints, affinity or spread");
	str_clear(&text);
	auto_decider struct decider *decider = decider_new(world.ledger.cluster, &policy_binpack);

	explain_demand(decider, &world.ledger, &small, 2, &text);
	assert_string_equal(str_text(&text), "fits 0 of 3 nodes; policy 'binpack', lowest cost first:\n"
					     "n                    does not fit: lacks label 'disk=ssd'\n"
					     "n                    does not fit: is cordoned; lacks label 'disk=ssd'\n");
	str_done(&text);
}

/* Between decision and binding the node may go, or be given to others. */
static void test_stale_decisions_are_refused(void **state)
{
	auto_world struct world world;
	const struct demand demand = { .request = { .need = { 5000, 1 } }, .project = PROJECT_NONE, .constraints = { .tolerated_taints = ~0ull } };
	struct decision decision;
	struct err err = { 0 };
	uint32_t binding;

	(void)state;
	world_init(&world, 1, 1);
	auto_decider struct decider *decider = decider_new(world.ledger.cluster, &policy_binpack);

	assert_int_equal(decider_choose_for(decider, &world.ledger, &demand, &decision, &err), 0);
	assert_int_equal(ledger_bind(&world.ledger, &demand, decision.node, 0, &binding, &err), 0);
	assert_int_equal(ledger_bind(&world.ledger, &demand, decision.node, 0, &binding, &err), -ENOSPC);
	assert_int_equal(ledger_unbind(&world.ledger, binding, &err), 0);
	assert_int_equal(ledger_unbind(&world.ledger, binding, &err), -ENOENT);
	assert_int_equal(ledger_remove_node(&world.ledger, 0, &err), 0);
	assert_int_equal(ledger_bind(&world.ledger, &demand, decision.node, 0, &binding, &err), -ENOENT);
	assert_string_equal(err.msg, "node 0 does not exist: it may have been removed meanwhile");
	assert_int_equal(decider_choose_for(decider, &world.ledger, &demand, &decision, &err), -ENOSPC);
	add_nodes(&world, 1);				/* The number again, without what was known of the one before. */
	assert_int_equal(decider_choose_for(decider, &world.ledger, &demand, &decision, &err), 0);
	assert_int_equal(ledger_bind(&world.ledger, &demand, decision.node, 0, &binding, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decisions_are_those_of_a_full_scan),
		cmocka_unit_test(test_what_if_leaves_no_trace),
		cmocka_unit_test(test_a_refusal_enters_nothing),
		cmocka_unit_test(test_overcommit_and_its_limits),
		cmocka_unit_test(test_a_class_may_go_by_use),
		cmocka_unit_test(test_quotas),
		cmocka_unit_test(test_refusals_are_summed_up),
		cmocka_unit_test(test_stale_decisions_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
