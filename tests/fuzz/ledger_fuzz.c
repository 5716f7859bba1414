/*
 * All books of the scheduler under any sequence of valid and invalid operations: what is decided can be bound, refusals are
 * explained and change nothing, gangs are placed whole or not at all, proposals (preemption, rebalancing) leave no trace, and in
 * the end everything is free again.
 */
#include <string.h>

#include "3-scheduling/explain.h"
#include "3-scheduling/fit.h"
#include "3-scheduling/gang.h"
#include "3-scheduling/preempt.h"
#include "3-scheduling/rebalance.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct cluster_dimension dimensions[] = { { "cpu", "m" }, { "memory", "MiB" } };
enum { DIMENSIONS = 2, CPU = 0, MEMORY = 1, DEMANDS = 16, BINDINGS = 64, NODES = 12 };

struct world {
	struct ledger ledger;
	struct decider *decider;
	struct mix mix;
	struct demand demands[DEMANDS];
	struct cpu_set pins[DEMANDS];
	uint32_t bindings[BINDINGS], count;
};

static struct near read_near(struct input *input)
{
	return (struct near){ byte(input) % 5, byte(input) % 6 };	/* Groups 0 to 3 exist, and kinds 0 to 4. */
}

static void read_constraints(struct input *input, struct constraints *c)
{
	uint8_t which = byte(input);

	c->tolerated_taints = byte(input);
	if (which & 1)
		c->labels[c->label_count++] = byte(input) % 5;
	if (which & 2)
		c->not_labels[c->not_label_count++] = byte(input) % 5;
	if (which & 4)
		c->with[c->with_count++] = read_near(input);
	if (which & 8)
		c->without[c->without_count++] = read_near(input);
	if (which & 16) {
		struct near near = read_near(input);

		c->spread[c->spread_count].group = near.group;
		c->spread[c->spread_count].domain_kind = near.domain_kind;
		c->spread[c->spread_count++].skew = byte(input) % 4;
	}
	if (which & 32)
		c->preferred[c->preferred_count++] = (struct preference){ byte(input) % 5, byte(input) % 6, byte(input) % 4, byte(input) % 5 };
	if (which & 64)
		c->any_labels[c->any_label_count++] = byte(input) % 5;
	if (which == 255)
		c->label_count = CONSTRAINTS_MAX + 1;
}

static void read_demand(struct world *world, struct input *input, uint32_t i)
{
	struct demand *demand = &world->demands[i];
	uint8_t kind = byte(input);

	*demand = (struct demand){ .request = { .need = { number(input, 50), number(input, 50) } }, .class = byte(input) % 10, .priority = byte(input),
				   .project = kind & 1 ? PROJECT_NONE : byte(input) % 3, .groups = { byte(input) % 5 }, .group_count = kind >> 1 & 1 };
	if (kind & 4)
		read_constraints(input, &demand->constraints);
	if (kind & 8)
		demand->numa = (struct numa_demand){ .fit = byte(input) % 4, .is_exclusive = kind >> 4 & 1 };
	if (kind & 32) {
		world->pins[i] = (struct cpu_set){ .words = { byte(input) } };
		demand->numa.pinned = &world->pins[i];
	}
	if (kind & 64) {
		demand->request.gpu_count = 1 + (kind >> 7);
		demand->request.gpu_milli = (int16_t)(kind >> 7 ? GPU_WHOLE_MILLI : number(input, 50) % 4096);
	}
}

static void remember(struct world *world, uint32_t binding)
{
	struct err err;

	if (world->count < BINDINGS)
		world->bindings[world->count++] = binding;
	else
		check(ledger_unbind(&world->ledger, binding, &err) == 0);
}

static void add_node(struct world *world, struct input *input)
{
	int32_t total[DIMENSIONS] = { number(input, 50), number(input, 50) }, reserved[DIMENSIONS] = { byte(input) % 4, 0 };
	struct numa_node numa_nodes[2] = { { .memory = 1000 }, { .memory = 1000 } };
	uint32_t node, zones = byte(input) % 3;
	struct err err = { 0 };

	for (uint32_t cpu = 0; cpu < 8; cpu++)
		cpu_set_add(&numa_nodes[cpu / 4].cpus, cpu);
	if (world->ledger.cluster->node_count == NODES ||
	    cluster_add_node(world->ledger.cluster, &(struct cluster_node){ .name = "n", .total = total, .reserved = reserved, .gpu_count = zones,
			     .gpu_model = "A" }, &node, &err) < 0)
		return;
	(void)topology_set(&world->ledger.topology, node, numa_nodes, zones, &err);
}

static void change_node(struct world *world, struct input *input)
{
	uint32_t node = byte(input) % (NODES + 1);
	uint8_t what = byte(input), value = byte(input);
	struct err err = { 0 };
	int r;

	switch (what % 5) {
	case 0: r = ledger_remove_node(&world->ledger, node, &err); break;
	case 1: r = ledger_cordon(&world->ledger, node, value & 1, &err); break;
	case 2: r = places_set_label(&world->ledger.places, node, value % 5, value & 8, &err); break;
	case 3: r = places_set_taint(&world->ledger.places, node, value % 3, value & 8, &err); break;
	default: r = places_set_domain(&world->ledger.places, node, value % 5, (int16_t)(value % 7 - 2), &err); break;
	}
	check(r == 0 || (r == err.code && err.msg[0]));
}

static uint64_t trace(const struct ledger *ledger)
{
	uint64_t sum = 14695981039346656037u;

	for (uint32_t node = 0; node < ledger->cluster->node_end; node++) {
		for (uint32_t d = 0; d < DIMENSIONS; d++)
			sum = (sum ^ (uint32_t)cluster_free_amount(ledger->cluster, d, node)) * 1099511628211u;
		sum = (sum ^ (uint32_t)policy_free_gpu_milli(ledger->cluster, node)) * 1099511628211u;
		sum = (sum ^ cluster_shape(ledger->cluster, node)->is_cordoned) * 1099511628211u;
	}
	for (size_t i = 0; i < ledger->topology.zones.count; i++)
		sum = (sum ^ (uint32_t)(ledger->topology.zones.items[i].cpu_free + ledger->topology.zones.items[i].memory_free)) * 1099511628211u;
	return (sum ^ ledger->cluster->binding_count) * 1099511628211u;
}

static void explain(const struct world *world, const struct demand *demand)
{
	struct str text = { 0 };

	explain_demand(world->decider, &world->ledger, demand, 3, &text);
	explain_refusal(&world->ledger, demand, &text);
	check(text.size > 0);
	str_done(&text);
}

static void decide(struct world *world, const struct demand *demand)
{
	uint64_t before = trace(&world->ledger);
	struct decision decision;
	struct err err = { 0 };
	uint32_t binding;
	int r = decider_choose_for(world->decider, &world->ledger, demand, &decision, &err);

	check((r < 0) == (err.code < 0) && trace(&world->ledger) == before);
	if (r == 0) {
		check(ledger_bind(&world->ledger, demand, decision.node, decision.devices, &binding, &err) == 0);
		mix_add(&world->mix, &demand->request);
		remember(world, binding);
	} else if (ledger_check(&world->ledger, demand, &err) == 0) {
		explain(world, demand);
		/* Nor can it be bound anywhere, but where nothing new should go. */
		for (uint32_t node = 0; node < world->ledger.cluster->node_end; node++)
			if (ledger_bind(&world->ledger, demand, node, 0, &binding, &err) == 0)
				check(cluster_shape(world->ledger.cluster, node)->is_cordoned &&
				      ledger_unbind(&world->ledger, binding, &err) == 0);
	}
}

static void place_gang(struct world *world, struct input *input)
{
	struct gang_member members[4];
	uint64_t before = trace(&world->ledger);
	size_t count = byte(input) % 5;
	struct err err = { 0 };

	for (size_t i = 0; i < count; i++)
		members[i] = (struct gang_member){ .demand = &world->demands[byte(input) % DEMANDS] };
	if (gang_place(&world->ledger, world->decider, members, count, &err) < 0)
		check(trace(&world->ledger) == before);
	else
		for (size_t i = 0; i < count; i++)
			remember(world, members[i].binding);
}

static void propose(struct world *world, struct input *input, const struct demand *demand)
{
	uint64_t before = trace(&world->ledger);
	auto_preemption struct preemption preemption = { 0 };
	auto_plan struct plan plan = { 0 };
	struct usage *usage = calloc(world->ledger.cluster->binding_end + 1, sizeof(*usage));
	struct rebalance ask = { .policy = policy_at(byte(input) % 6), .mix = &world->mix, .budget = number(input, 50), .cost_dimension = byte(input) % 3,
				 .usage = byte(input) & 1 ? usage : NULL };
	struct err err = { 0 };

	for (uint32_t b = 0; b < world->ledger.cluster->binding_end; b++)
		usage[b].amount[CPU] = byte(input) * 20;
	if (preempt(&world->ledger, demand, &preemption, &err) == 0)
		for (size_t i = 0; i < preemption.victims.count; i++)
			check(ledger_demand(&world->ledger, preemption.victims.items[i])->priority < demand->priority);
	(void)rebalance(&world->ledger, &ask, &plan, &err);
	check(trace(&world->ledger) == before);
	free(usage);
}

static void unbind(struct world *world, struct input *input)
{
	uint8_t which = byte(input);
	struct err err = { 0 };

	if (which >= world->count) {
		check(ledger_unbind(&world->ledger, 1000000u + which, &err) < 0 && err.msg[0]);
		return;
	}
	check(ledger_unbind(&world->ledger, world->bindings[which], &err) == 0);
	world->bindings[which] = world->bindings[--world->count];
}

static void world_init(struct world *world, struct input *input)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct err err;
	uint32_t ignored;

	check(ledger_init(&world->ledger, dimensions, DIMENSIONS, CPU, MEMORY, &err) == 0);
	for (size_t i = 0; i < 4; i++) {
		check(places_group(&world->ledger.places, names[i], &ignored, &err) == 0);
		check(places_label(&world->ledger.places, names[i], &ignored, &err) == 0);
		check(places_taint(&world->ledger.places, names[i], &ignored, &err) == 0);
	}
	check(quotas_add(&world->ledger.quotas, "p", &ignored, &err) == 0);
	world->ledger.quotas.projects[0]->limit[MEMORY] = byte(input) * 100;
	(void)overcommit_set(&world->ledger.overcommit, 1, CPU, byte(input) * 100, &err);
	world->decider = decider_new(world->ledger.cluster, policy_at(byte(input) % 6));
	for (int i = 0; i < 3; i++)
		add_node(world, input);
	for (uint32_t i = 0; i < DEMANDS; i++)
		read_demand(world, input, i);
}

/* Nothing is left of what came and went. */
static void check_all_is_free(struct world *world)
{
	const struct cluster *cluster = world->ledger.cluster;
	struct err err;

	while (world->count)
		check(ledger_unbind(&world->ledger, world->bindings[--world->count], &err) == 0);
	check(cluster->binding_count == 0);
	for (uint32_t node = 0; node < cluster->node_end; node++)
		for (uint32_t d = 0; d < DIMENSIONS && cluster_shape(cluster, node)->is_present; d++)
			check(cluster_free_amount(cluster, d, node) == cluster_total(cluster, d, node));
	for (size_t i = 0; i < world->ledger.topology.zones.count; i++)
		check(world->ledger.topology.zones.items[i].cpu_free == world->ledger.topology.zones.items[i].cpu_total &&
		      world->ledger.topology.zones.items[i].memory_free == world->ledger.topology.zones.items[i].memory_total);
	check(world->ledger.quotas.projects[0]->instances_used == 0 && world->ledger.quotas.projects[0]->used[MEMORY] == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input = { bytes, size };
	struct world world = { 0 };

	world_init(&world, &input);
	while (input.size) {
		uint8_t operation = byte(&input);
		const struct demand *demand = &world.demands[operation >> 4];

		switch (operation % 10) {
		case 0: add_node(&world, &input); break;
		case 1: change_node(&world, &input); break;
		case 2: unbind(&world, &input); break;
		case 3: place_gang(&world, &input); break;
		case 4: propose(&world, &input, demand); break;
		default: decide(&world, demand); break;
		}
	}
	check_all_is_free(&world);
	decider_free(world.decider);
	mix_done(&world.mix);
	ledger_done(&world.ledger);
	return 0;
}
