#include "4-service/placement.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "3-scheduling/explain.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

enum { CPU, MEMORY, DIMENSIONS };

static const struct cluster_dimension dimensions[DIMENSIONS] = { [CPU] = { "cpus", "m" }, [MEMORY] = { "memory", "MiB" } };

/* Instances of one kind and size share what the ledger keeps of them. */
struct shared_demand { struct demand demand; char *key; uint32_t users; };

struct placed { uint32_t binding; struct shared_demand *shared; };

struct placement {
	struct ledger ledger;
	struct decider *decider;
	const struct node *node;
	uint32_t number;		/* Of this node in the ledger's cluster. */
	struct map demands;		/* "vm 2 512" -> struct shared_demand */
	struct map placed;		/* uid -> struct placed */
};

/* ---- Demands ---- */

static int32_t mib(uint64_t bytes)
{
	uint64_t count = (bytes + (1 << 20) - 1) >> 20;

	return count > INT32_MAX ? INT32_MAX : (int32_t)count;
}

static struct shared_demand *use_demand(struct placement *placement, int kind, int32_t cpu, int32_t memory)
{
	auto_free char *key = text_format("%d %" PRId32 " %" PRId32, kind, cpu, memory);
	struct shared_demand *shared = map_get(&placement->demands, key);

	if (!shared) {
		shared = alloc(sizeof(*shared));
		shared->demand = (struct demand){ .request = { .need = { [CPU] = cpu, [MEMORY] = memory } }, .class = (uint8_t)kind,
						  .project = PROJECT_NONE };
		shared->key = take(key);
		map_put(&placement->demands, shared->key, shared);
	}
	shared->users++;
	return shared;
}

static void leave_demand(struct placement *placement, struct shared_demand *shared)
{
	if (--shared->users)
		return;
	map_remove(&placement->demands, shared->key);
	free(shared->key);
	free(shared);
}

static struct shared_demand *demand_of(struct placement *placement, const struct instance_spec *spec)
{
	return use_demand(placement, spec->kind, (int32_t)spec->cpus * 1000, mib(spec->memory));
}

static bool is_on(const struct instance_spec *spec)
{
	return spec->power == POWER_RUNNING || spec->power == POWER_PAUSED;
}

/* ---- Settings ---- */

static void set_ratios(struct ledger *ledger, int kind, const struct config_ratio *ratio)
{
	struct err err;

	if (overcommit_set(&ledger->overcommit, (uint32_t)kind, CPU, (int32_t)ratio->cpus * 1000, &err) < 0 ||
	    overcommit_set(&ledger->overcommit, (uint32_t)kind, MEMORY, (int32_t)ratio->memory * 1000, &err) < 0)
		log_line(LOG_ERROR, "overcommit: %s", err.msg);
}

static void configure(struct placement *placement, const struct config *config)
{
	const struct node_status *status = &placement->node->status;
	int32_t total[DIMENSIONS] = { [CPU] = (int32_t)status->cpus * 1000, [MEMORY] = mib(status->memory) };
	int32_t reserved[DIMENSIONS] = { [CPU] = (int32_t)config->reserved.cpus * 1000, [MEMORY] = mib(config->reserved.memory) };
	struct err err;

	for (int d = 0; d < DIMENSIONS; d++)
		reserved[d] = reserved[d] < total[d] ? reserved[d] : total[d];
	if (cluster_update_node(placement->ledger.cluster, placement->number, total, reserved, &err) < 0)
		log_line(LOG_ERROR, "%s", err.msg);
	set_ratios(&placement->ledger, INSTANCE_VM, &config->overcommit.vm);
	set_ratios(&placement->ledger, INSTANCE_CONTAINER, &config->overcommit.container);
}

struct placement *placement_new(const struct node *node, const struct config *config)
{
	const struct cluster_node host = { .name = node->meta.name ? node->meta.name : "localhost", .total = (int32_t[DIMENSIONS]){ 0 } };
	struct placement *placement = alloc(sizeof(*placement));
	struct err err;

	placement->node = node;
	if (ledger_init(&placement->ledger, dimensions, DIMENSIONS, CPU, MEMORY, &err) < 0 ||
	    cluster_add_node(placement->ledger.cluster, &host, &placement->number, &err) < 0)
		abort();			/* Of constants. */
	placement->ledger.compressible = 1u << CPU;
	placement->decider = decider_new(placement->ledger.cluster, policy_at(0));
	configure(placement, config);
	return placement;
}

void placement_free(struct placement *placement)
{
	if (!placement)
		return;
	for (size_t i = 0; i < placement->placed.count; i++)
		free(placement->placed.entries[i].value);
	for (size_t i = 0; i < placement->demands.count; i++) {
		struct shared_demand *shared = placement->demands.entries[i].value;

		free(shared->key);
		free(shared);
	}
	map_done(&placement->placed);
	map_done(&placement->demands);
	decider_free(placement->decider);
	ledger_done(&placement->ledger);
	free(placement);
}

/* ---- Entering and leaving ---- */

static void forget(struct placement *placement, const char *uid)
{
	struct placed *placed = map_remove(&placement->placed, uid);
	struct err err;

	if (!placed)
		return;
	if (ledger_unbind(&placement->ledger, placed->binding, &err) < 0)
		log_line(LOG_ERROR, "placement: %s", err.msg);
	leave_demand(placement, placed->shared);
	free(placed);
}

static void remember(struct placement *placement, const char *uid, uint32_t binding, struct shared_demand *shared)
{
	struct placed *placed = alloc(sizeof(*placed));

	*placed = (struct placed){ binding, shared };
	map_put(&placement->placed, uid, placed);
	decider_learn(placement->decider, &shared->demand.request);
}

/* As much of what it asks for as is left. */
static struct shared_demand *clip(struct placement *placement, struct shared_demand *shared)
{
	const struct request *asked = &shared->demand.request;
	int32_t left[DIMENSIONS];

	for (uint32_t d = 0; d < DIMENSIONS; d++) {
		int64_t room = (int64_t)cluster_free_amount(placement->ledger.cluster, d, placement->number) *
			       placement->ledger.overcommit.permille[shared->demand.class][d] / 1000;
		int32_t most = cluster_total(placement->ledger.cluster, d, placement->number);

		room = room < most ? room : most;
		left[d] = room < asked->need[d] ? (int32_t)room : asked->need[d];
	}
	struct shared_demand *clipped = use_demand(placement, shared->demand.class, left[CPU], left[MEMORY]);

	leave_demand(placement, shared);
	return clipped;
}

/* What runs already, or should: takes the demand. */
static void enter(struct placement *placement, const char *uid, struct shared_demand *shared)
{
	uint32_t binding;
	struct err err;
	int r = ledger_bind(&placement->ledger, &shared->demand, placement->number, 0, &binding, &err);

	if (r < 0) {
		log_line(LOG_WARNING, "instance %s has less room than it was promised: %s", uid, err.msg);
		shared = clip(placement, shared);
		r = ledger_bind(&placement->ledger, &shared->demand, placement->number, 0, &binding, &err);
	}
	if (r < 0) {
		log_line(LOG_ERROR, "instance %s is not counted: %s", uid, err.msg);
		leave_demand(placement, shared);
		return;
	}
	remember(placement, uid, binding, shared);
}

void placement_sync(struct placement *placement, const char *uid, const struct instance *instance)
{
	const struct placed *placed = map_get(&placement->placed, uid);
	struct shared_demand *shared = instance && is_on(&instance->spec) ? demand_of(placement, &instance->spec) : NULL;

	if (placed && placed->shared == shared) {
		leave_demand(placement, shared);	/* Entered already. */
		return;
	}
	forget(placement, uid);
	if (!shared)
		return;
	enter(placement, uid, shared);
}

static int refuse(struct placement *placement, const struct demand *demand, struct err *err)
{
	auto_str struct str why = { 0 };

	explain_refusal(&placement->ledger, demand, &why);
	return err_set(err, -ENOSPC, "%s: use less, stop others, or promise more than there is (see 'strata explain config.overcommit')",
		       str_text(&why));
}

/* For what does not run yet: a node that is large enough, the one with most memory free. */
static int choose_roomiest(struct placement *placement, const struct demand *demand, struct decision *ret_decision)
{
	const struct cluster *cluster = placement->ledger.cluster;
	uint32_t best = CLUSTER_NONE;

	for (uint32_t node = 0; node < cluster->node_end; node++)
		if (cluster_shape(cluster, node)->is_present && !cluster_shape(cluster, node)->is_cordoned &&
		    ledger_allows(&placement->ledger, demand, node) &&
		    (best == CLUSTER_NONE || cluster_free_amount(cluster, MEMORY, node) > cluster_free_amount(cluster, MEMORY, best)))
			best = node;
	*ret_decision = (struct decision){ .node = best };
	return best == CLUSTER_NONE ? -ENOSPC : 0;
}

static int choose(struct placement *placement, const struct demand *demand, bool must_have_room, struct decision *ret_decision, struct err *err)
{
	int r = decider_choose_for(placement->decider, &placement->ledger, demand, ret_decision, err);

	if (r == -ENOSPC && !must_have_room)
		r = choose_roomiest(placement, demand, ret_decision);
	return r == -ENOSPC ? refuse(placement, demand, err) : r;
}

int placement_admit(struct placement *placement, struct instance *instance, struct err *err)
{
	struct placed *placed = map_get(&placement->placed, instance->meta.uid);
	struct shared_demand *shared = demand_of(placement, &instance->spec);
	struct decision decision;
	uint32_t binding;
	int r = 0;

	ledger_begin(&placement->ledger);
	if (placed)
		r = ledger_unbind(&placement->ledger, placed->binding, err);
	r = r ? r : choose(placement, &shared->demand, is_on(&instance->spec), &decision, err);
	if (r == 0 && is_on(&instance->spec))
		r = ledger_bind(&placement->ledger, &shared->demand, decision.node, decision.devices, &binding, err);
	if (r < 0)
		ledger_undo(&placement->ledger, 0);
	ledger_keep(&placement->ledger);
	if (r < 0 || !is_on(&instance->spec))
		leave_demand(placement, shared);
	if (r < 0)
		return r;
	text_replace(&instance->spec.node, placement->node->meta.uid);
	if (placed) {
		leave_demand(placement, placed->shared);
		free(map_remove(&placement->placed, instance->meta.uid));
	}
	if (is_on(&instance->spec))
		remember(placement, instance->meta.uid, binding, shared);
	return 0;
}

void placement_configure(struct placement *placement, const struct config *config)
{
	struct map placed = placement->placed;

	for (size_t i = 0; i < placed.count; i++) {
		const struct placed *old = placed.entries[i].value;
		struct err err;

		if (ledger_unbind(&placement->ledger, old->binding, &err) < 0)
			log_line(LOG_ERROR, "placement: %s", err.msg);
	}
	placement->placed = (struct map){ 0 };
	configure(placement, config);
	for (size_t i = 0; i < placed.count; i++) {
		struct placed *old = placed.entries[i].value;

		enter(placement, placed.entries[i].key, old->shared);
		free(old);
	}
	map_done(&placed);
}
