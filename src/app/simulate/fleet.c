/*
 * The nodes. Node 0 is that of the core; of the others only what a host does is played: its agent, its lease, its watchdog. They
 * share the cache of the store, and write each by its own link.
 */
#include "app/simulate/simulation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "2-virtualization/images/source.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

static const struct { int64_t cpus; uint64_t gib; unsigned share; } sizes[] = { { 16, 64, 2 }, { 32, 128, 4 }, { 64, 256, 3 }, { 128, 768, 1 } };

void simulate_node_size(struct rng *rng, int64_t *ret_cpus, uint64_t *ret_memory)
{
	uint64_t at = rng_below(rng, 10);
	size_t i = 0;

	while (at >= sizes[i].share)
		at -= sizes[i++].share;
	*ret_cpus = sizes[i].cpus;
	*ret_memory = sizes[i].gib << 30;
}

/* By default as good as no limit is set to what is promised, and one node would take all. */
static const char settings[] = "{\"overcommit\":{\"vm\":{\"cpus\":2,\"memory\":1}}}";

static int start_core(struct simulation *simulation, struct sim_host *host, struct err *err)
{
	struct core_params params = {
		.loop = host->loop, .work = host->work, .store = host->store, .objects = simulation->objects,
		.machines = { host->machine_driver, host->machine_driver }, .volume = host->volume_driver, .pools = host->pools,
		.fabric = host->fabric_driver, .fence = host->fence_driver, .cgroups = { "/sim", "/sim" }, .images = &image_source_sim,
		.rng = &simulation->core_rng, .directory = host->directory, .node_uid = host->uid, .node_tag = host->tag, .boot_id = host->boot_id,
		.version = STRATA_VERSION, .inventory = &host->inventory, .config_defaults = simulation->settings,
	};
	int r;

	params.view = simulation->view = view_new();
	r = core_new(&params, &simulation->core, err);
	if (r == 0)
		core_start(simulation->core);
	return r;
}

static void stop_core(struct simulation *simulation)
{
	core_free(simulation->core);
	simulation->core = NULL;
	view_free(simulation->view);
	client_lost_core(simulation);
}

static void nothing_changed(void *data)
{
	(void)data;			/* The agent knows already. */
}

static void swept(void *data)
{
	lease_join(&((struct sim_node *)data)->lease);
}

/* What core_start() stores of its own node. */
static void announce(struct simulation *simulation, const struct sim_host *host)
{
	const struct kind *kind = &kinds[KIND_NODE];
	struct store_txn *txn = store_txn_new();
	struct node *node = kind_new(kind);

	text_replace(&node->meta.uid, host->uid);
	text_replace(&node->meta.name, host->inventory.hostname);
	node->meta.created_at = loop_wall_ms(host->loop);
	node->meta.generation = 1;
	field_done(kind->status, &node->status);
	field_copy(kind->status, &host->inventory, &node->status);
	text_replace(&node->status.boot_id, host->boot_id);
	if (!objects_get(simulation->objects, KIND_NODE, host->uid)) {
		objects_put_claims(txn, kind, NULL, node);
		objects_put_desired(txn, kind, node);
	}
	objects_put_status(simulation->objects, txn, kind, node, host->uid);
	store_submit(host->store, txn, NULL, NULL);
	kind_free(kind, node);
}

static int start_agent(struct simulation *simulation, struct sim_node *node, struct err *err)
{
	struct sim_host *host = &node->host;
	const struct agent_params params = {
		.loop = host->loop, .work = host->work, .store = host->store, .objects = simulation->objects,
		.machines = { host->machine_driver, host->machine_driver }, .volume = host->volume_driver, .pools = host->pools,
		.fabric = host->fabric_driver, .fence = host->fence_driver, .cgroups = { "/sim", "/sim" }, .images = &image_source_sim,
		.directory = host->directory, .node = host->uid, .is_shared = true, .boot_id = host->boot_id, .console_log_bytes = LIMIT_CONSOLE_LOG_BYTES,
	};
	int r = agent_new(&params, &node->agent, err);

	if (r < 0)
		return r;
	lease_init(&node->lease, &(struct lease_params){
		.loop = host->loop, .work = host->work, .store = host->store, .objects = simulation->objects, .agent = node->agent,
		.fence = host->fence_driver, .node = host->uid, .boot_id = host->boot_id, .changed = nothing_changed,
	});
	announce(simulation, host);
	agent_set_capabilities(node->agent, false, true);
	agent_start(node->agent, swept, node);
	return 0;
}

int fleet_start(struct simulation *simulation, uint32_t number, struct err *err)
{
	struct sim_node *node = &simulation->nodes[number];
	int r = sim_host_open(&node->host, err);

	if (r == 0)
		r = number ? start_agent(simulation, node, err) : start_core(simulation, &node->host, err);
	return r < 0 ? err_prefix(err, "node %u", number) : 0;
}

void fleet_stop(struct simulation *simulation, uint32_t number)
{
	struct sim_node *node = &simulation->nodes[number];

	if (!sim_host_is_open(&node->host))
		return;
	sim_host_drop_work(&node->host);
	if (number) {
		agent_free(take(node->agent));
		lease_done(&node->lease);
	} else {
		stop_core(simulation);
	}
	sim_host_close(&node->host);
}

int fleet_open(struct simulation *simulation, struct err *err)
{
	struct store_params store = { 0 };
	struct rng rng;
	int r;

	if (json_parse(settings, sizeof(settings) - 1, &simulation->settings, err) < 0)
		abort();			/* It is ours. */
	simulation->cache_link = sim_link_new(simulation->house.store);
	store.shared = sim_link_driver(simulation->cache_link);
	r = store_open(&store_sim, &store, simulation->house.loop, &simulation->cache_store, err);
	if (r == 0)
		r = objects_open(simulation->cache_store, simulation->house.loop, "node-0", &simulation->objects, err);
	rng_init(&rng, simulation->options.seed);
	simulation->nodes = alloc(simulation->options.nodes * sizeof(simulation->nodes[0]));
	for (uint32_t i = 0; i < simulation->options.nodes; i++) {
		auto_free char *directory = text_format("%s/%u", simulation->directory, i);
		uint64_t memory;
		int64_t cpus;

		simulate_node_size(&rng, &cpus, &memory);
		sim_host_init(&simulation->nodes[i].host, &simulation->house, i, directory, cpus, memory);
	}
	for (uint32_t i = 0; i < simulation->options.nodes && r == 0; i++)
		r = fleet_start(simulation, i, err);
	return r;
}

void fleet_close(struct simulation *simulation)
{
	for (uint32_t i = 0; i < simulation->options.nodes; i++)
		fleet_stop(simulation, i);
	for (uint32_t i = 0; i < simulation->options.nodes; i++)
		sim_host_done(&simulation->nodes[i].host);
	free(simulation->nodes);
	objects_close(simulation->objects);
	store_abandon(simulation->cache_store);
	sim_link_free(simulation->cache_link);
	json_free(simulation->settings);
}

uint32_t fleet_ready(struct simulation *simulation)
{
	uint32_t ready = 0;

	for (uint32_t i = 0; i < simulation->options.nodes; i++) {
		struct node_member member = { 0 };

		lease_member(simulation->objects, simulation->nodes[i].host.uid, &member);
		ready += member.state == NODE_READY;
		field_done(&node_member_table, &member);
	}
	return ready;
}
