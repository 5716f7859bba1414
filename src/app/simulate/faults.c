/* What goes wrong, by chance: on a host that is well, now and then; each ends after a while. */
#include "app/simulate/simulation.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

enum { FAULTS_PER_NODE_PER_S = 1000 /* Divisor: one in so many nodes each second ... */, LEAST_MS = 50, MOST_MS = 5000 /* ... between these. */ };

/* For how long, ms. */
static const struct { uint32_t least, most; } times[] = {
	[SIMULATE_CRASH] = { 500, 20000 }, [SIMULATE_POWER] = { 5000, 60000 }, [SIMULATE_PARTITION] = { 500, 40000 },
	[SIMULATE_CLOCK] = { 0, 0 }, [SIMULATE_DISK] = { 5000, 40000 }, [SIMULATE_LEADER] = { 500, 8000 },
};

struct waiting { struct simulation *simulation; struct due due; };

static void has_come(void *data)
{
	auto_free struct waiting *waiting = data;

	*vec_push(&waiting->simulation->due) = waiting->due;
}

static void wait_for(struct simulation *simulation, uint32_t ms, struct due due)
{
	struct waiting *waiting = alloc(sizeof(*waiting));

	*waiting = (struct waiting){ simulation, due };
	loop_add_timer(simulation->house.loop, ms, has_come, waiting, NULL);
}

static enum simulate_fault any_fault(struct simulation *simulation)
{
	enum simulate_fault fault;

	do
		fault = (enum simulate_fault)rng_below(&simulation->fault_rng, SIMULATE_FAULT_COUNT);
	while (!(simulation->options.faults & 1u << fault));
	return fault;
}

static void next_fault(struct simulation *simulation)
{
	uint64_t mean_ms = (uint64_t)1000 * FAULTS_PER_NODE_PER_S / simulation->options.nodes;
	enum simulate_fault fault = any_fault(simulation);
	uint32_t node = fault == SIMULATE_LEADER ? 0 : (uint32_t)rng_below(&simulation->fault_rng, simulation->options.nodes);

	mean_ms = mean_ms < LEAST_MS ? LEAST_MS : mean_ms > MOST_MS ? MOST_MS : mean_ms;
	wait_for(simulation, (uint32_t)(1 + rng_below(&simulation->fault_rng, 2 * mean_ms)), (struct due){ DEED_FAULT, fault, node });
}

void faults_begin(struct simulation *simulation)
{
	rng_init(&simulation->fault_rng, simulation->options.seed + 2);
	if (simulation->options.faults)
		next_fault(simulation);
}

/* ---- Doing ---- */

static void harm(struct simulation *simulation, const struct due *due)
{
	struct sim_host *host = &simulation->nodes[due->node].host;

	switch (due->fault) {
	case SIMULATE_CRASH:
	case SIMULATE_LEADER:
		fleet_stop(simulation, due->node);
		break;
	case SIMULATE_POWER:
		fleet_stop(simulation, due->node);
		sim_host_reboot(host);
		break;
	case SIMULATE_PARTITION:
		sim_link_cut(host->link, true);
		break;
	case SIMULATE_CLOCK:
		sim_host_jump(host, (int64_t)rng_below(&simulation->fault_rng, 7200000) - 3600000);
		break;
	case SIMULATE_DISK:
		host->lag_ms = 1 + (uint32_t)rng_below(&simulation->fault_rng, 6000);
		break;
	case SIMULATE_FAULT_COUNT:
		break;
	}
}

static void recover(struct simulation *simulation, const struct due *due)
{
	struct sim_host *host = &simulation->nodes[due->node].host;
	struct err err = { 0 };

	sim_link_cut(host->link, false);
	host->lag_ms = 0;
	if (!sim_host_is_open(host) && fleet_start(simulation, due->node, &err) < 0 && !simulation->broken[0])
		snprintf(simulation->broken, sizeof(simulation->broken), "a daemon does not start again: %.200s", err.msg);
}

static void do_one(struct simulation *simulation, const struct due *due)
{
	struct sim_node *node = &simulation->nodes[due->node];
	uint32_t least = times[due->fault].least, most = times[due->fault].most;

	if (due->deed == DEED_RECOVER) {
		recover(simulation, due);
		node->is_faulty = false;
		simulation->faulty--;
		return;
	}
	if (!simulation->is_over)
		next_fault(simulation);
	if (node->is_faulty || simulation->is_over)
		return;
	harm(simulation, due);
	if (!most)
		return;
	node->is_faulty = true;
	simulation->faulty++;
	wait_for(simulation, least + (uint32_t)rng_below(&simulation->fault_rng, most - least), (struct due){ DEED_RECOVER, due->fault, due->node });
}

void faults_do(struct simulation *simulation)
{
	for (size_t i = 0; i < simulation->due.count; i++) {
		struct due due = simulation->due.items[i];

		do_one(simulation, &due);
	}
	simulation->due.count = 0;
}
