#include "4-service/placement.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "3-scheduling/explain.h"
#include "3-scheduling/rebalance.h"
#include "4-service/busy.h"
#include "4-service/placing.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

enum { CPU, MEMORY, DIMENSIONS };

static const struct cluster_dimension dimensions[DIMENSIONS] = { [CPU] = { "cpus", "m" }, [MEMORY] = { "memory", "MiB" } };

/* Instances of one kind and size share what the ledger keeps of them. */
struct shared_demand { struct demand demand; char *key, *text /* all but kind and size */; uint32_t users; };

struct placed { uint32_t binding, node; struct shared_demand *shared; };

struct host {
	char *uid;
	uint8_t page[PAGE_UID_BYTES];	/* The same, as telemetry has it. */
	bool has_page;
	uint64_t memory;
	int64_t cpus, promised[DIMENSIONS];
	bool is_busy;
	struct host_load load;		/* Of a busy one. */
};

struct placement {
	struct ledger ledger;
	struct decider *decider;
	VEC(struct host) hosts;		/* By number of the node in the ledger's cluster. */
	struct map numbers;		/* uid of a node -> its number plus one. */
	struct config_reserved reserved;
	struct map demands;		/* "vm 2 512" -> struct shared_demand */
	struct map placed;		/* uid -> struct placed */
	uint32_t busy_label;
	bool has_looked;
	uint64_t looked_ms;
};

/* ---- Demands ---- */

static int32_t mib(uint64_t bytes)
{
	uint64_t count = (bytes + (1 << 20) - 1) >> 20;

	return count > INT32_MAX ? INT32_MAX : (int32_t)count;
}

static struct shared_demand *use_demand(struct placement *placement, const struct demand *demand, const char *text)
{
	auto_free char *key = text_format("%d %" PRId32 " %" PRId32 "%s", demand->class, demand->request.need[CPU], demand->request.need[MEMORY], text);
	struct shared_demand *shared = map_get(&placement->demands, key);

	if (!shared) {
		shared = alloc(sizeof(*shared));
		shared->demand = *demand;
		shared->text = text_copy(text);
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
	free(shared->text);
	free(shared);
}

static int demand_of(struct placement *placement, const struct instance *instance, struct shared_demand **ret_demand, struct err *err)
{
	const struct instance_spec *spec = &instance->spec;
	struct demand demand = { .request = { .need = { [CPU] = (int32_t)spec->cpus * 1000, [MEMORY] = mib(spec->memory) } },
				 .class = (uint8_t)spec->kind, .project = PROJECT_NONE };
	auto_str struct str text = { 0 };
	int r = placing_fill(&placement->ledger.places, instance, &demand, &text, err);

	demand.constraints.preferred[demand.constraints.preferred_count++] =
		(struct preference){ .kind = PREFER_NOT_LABEL, .weight = 1, .number = placement->busy_label };

	*ret_demand = r < 0 ? NULL : use_demand(placement, &demand, str_text(&text));
	return r;
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

static void describe(const struct placement *placement, const struct host *host, int32_t total[DIMENSIONS], int32_t reserved[DIMENSIONS])
{
	total[CPU] = (int32_t)host->cpus * 1000;
	total[MEMORY] = mib(host->memory);
	reserved[CPU] = (int32_t)placement->reserved.cpus * 1000;
	reserved[MEMORY] = mib(placement->reserved.memory);
	for (int d = 0; d < DIMENSIONS; d++)
		reserved[d] = reserved[d] < total[d] ? reserved[d] : total[d];
}

static void update_host(struct placement *placement, uint32_t number)
{
	int32_t total[DIMENSIONS], reserved[DIMENSIONS];
	struct err err;

	describe(placement, &placement->hosts.items[number], total, reserved);
	if (cluster_update_node(placement->ledger.cluster, number, total, reserved, &err) < 0)
		log_line(LOG_ERROR, "%s", err.msg);
}

static void configure(struct placement *placement, const struct config *config)
{
	placement->reserved = config->reserved;
	set_ratios(&placement->ledger, INSTANCE_VM, &config->overcommit.vm);
	set_ratios(&placement->ledger, INSTANCE_CONTAINER, &config->overcommit.container);
	for (uint32_t number = 0; number < placement->hosts.count; number++)
		update_host(placement, number);
}

struct placement *placement_new(const struct config *config)
{
	struct placement *placement = alloc(sizeof(*placement));
	struct err err;

	/* What people call a label has a '=' in it. */
	if (ledger_init(&placement->ledger, dimensions, DIMENSIONS, CPU, MEMORY, &err) < 0 ||
	    places_label(&placement->ledger.places, "busy", &placement->busy_label, &err) < 0)
		abort();			/* Of constants. */
	placement->ledger.compressible = 1u << CPU;
	placement->decider = decider_new(placement->ledger.cluster, policy_at(0));
	configure(placement, config);
	return placement;
}

static uint32_t number_of(const struct placement *placement, const char *node_uid)
{
	void *found = node_uid ? map_get(&placement->numbers, node_uid) : NULL;

	return found ? (uint32_t)(uintptr_t)found - 1 : CLUSTER_NONE;
}

static uint32_t add_host(struct placement *placement, const struct node *node)
{
	const struct cluster_node host = { .name = node->meta.name, .total = (int32_t[DIMENSIONS]){ 0 } };
	struct host *added;
	uint32_t number;
	struct err err;

	if (cluster_add_node(placement->ledger.cluster, &host, &number, &err) < 0) {
		log_line(LOG_ERROR, "%s", err.msg);
		return CLUSTER_NONE;
	}
	added = vec_push(&placement->hosts);
	*added = (struct host){ .uid = text_copy(node->meta.uid) };
	added->has_page = page_uid_parse(added->uid, added->page, &err) == 0;
	map_put(&placement->numbers, node->meta.uid, (void *)(uintptr_t)(number + 1));
	return number;
}

static void label_busy(struct placement *placement, uint32_t number)
{
	bool is_busy = placement->hosts.items[number].is_busy;
	struct err err;

	if (places_set_label(&placement->ledger.places, number, placement->busy_label, is_busy, &err) < 0)
		log_line(LOG_ERROR, "%s", err.msg);
}

void placement_set_node(struct placement *placement, const struct node *node, bool takes_new)
{
	uint32_t number = number_of(placement, node->meta.uid);
	struct err err;

	if (number == CLUSTER_NONE)
		number = add_host(placement, node);
	if (number == CLUSTER_NONE)
		return;
	placement->hosts.items[number].cpus = node->status.cpus;
	placement->hosts.items[number].memory = node->status.memory;
	update_host(placement, number);
	if (placing_set_domain(&placement->ledger.places, number, takes_new, &err) < 0 ||
	    placing_label_node(&placement->ledger.places, number, &node->meta.labels, &err) < 0)
		log_line(LOG_ERROR, "labels of node '%s': %s", node->meta.name, err.msg);
	label_busy(placement, number);
	if (ledger_cordon(&placement->ledger, number, !takes_new, &err) < 0)
		log_line(LOG_ERROR, "%s", err.msg);
}

/* What is young enough now is so until the next look. */
static bool is_busy(const struct host *host, const struct load_source *source, struct host_load *ret_load)
{
	struct err ignored;

	return host->has_page && source->load(source->data, host->page, ret_load, &ignored) == 0 &&
	       ret_load->age_ms + PLACEMENT_LOOK_MS <= LOAD_OLD_MS && busy_is(ret_load);
}

void placement_look(struct placement *placement, const struct load_source *source, uint64_t now_ms)
{
	if (!source->load || (placement->has_looked && now_ms - placement->looked_ms < PLACEMENT_LOOK_MS))
		return;
	placement->has_looked = true;
	placement->looked_ms = now_ms;
	for (uint32_t number = 0; number < placement->hosts.count; number++) {
		struct host *host = &placement->hosts.items[number];
		bool was_busy = host->is_busy;

		/* Where nothing new goes nobody looks. */
		host->is_busy = !cluster_shape(placement->ledger.cluster, number)->is_cordoned && is_busy(host, source, &host->load);
		if (host->is_busy != was_busy)
			label_busy(placement, number);
	}
}

void placement_fill_node(const struct placement *placement, struct node *node)
{
	uint32_t number = number_of(placement, node->meta.uid);
	const struct host *host = number == CLUSTER_NONE ? NULL : &placement->hosts.items[number];

	node->status.cpus_promised = host ? host->promised[CPU] / 1000 : 0;
	node->status.memory_promised = host ? (uint64_t)host->promised[MEMORY] << 20 : 0;
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
		free(shared->text);
		free(shared);
	}
	for (size_t i = 0; i < placement->hosts.count; i++)
		free(placement->hosts.items[i].uid);
	vec_done(&placement->hosts);
	map_done(&placement->numbers);
	map_done(&placement->placed);
	map_done(&placement->demands);
	decider_free(placement->decider);
	ledger_done(&placement->ledger);
	free(placement);
}

/* ---- Entering and leaving ---- */

/* Came (sign 1) or went (-1). */
static void count_promised(struct placement *placement, const struct placed *placed, int sign)
{
	for (int d = 0; d < DIMENSIONS; d++)
		placement->hosts.items[placed->node].promised[d] += sign * placed->shared->demand.request.need[d];
}

/* Takes it out of what is remembered; the ledger has let it go already. */
static void drop(struct placement *placement, const char *uid)
{
	struct placed *placed = map_remove(&placement->placed, uid);

	count_promised(placement, placed, -1);
	leave_demand(placement, placed->shared);
	free(placed);
}

static void forget(struct placement *placement, const char *uid)
{
	const struct placed *placed = map_get(&placement->placed, uid);
	struct err err;

	if (!placed)
		return;
	if (ledger_unbind(&placement->ledger, placed->binding, &err) < 0)
		log_line(LOG_ERROR, "placement: %s", err.msg);
	drop(placement, uid);
}

static void remember(struct placement *placement, const char *uid, uint32_t binding, uint32_t node, struct shared_demand *shared)
{
	struct placed *placed = alloc(sizeof(*placed));

	*placed = (struct placed){ binding, node, shared };
	map_put(&placement->placed, uid, placed);
	count_promised(placement, placed, 1);
	decider_learn(placement->decider, &shared->demand.request);
}

/* It is there already, whatever its place should be like: takes the demand, returns one of that size without constraints. */
static struct shared_demand *settle(struct placement *placement, struct shared_demand *shared, int32_t cpu, int32_t memory)
{
	auto_free char *text = text_format("%s\nunconstrained", shared->text);	/* Not the same as one that asks for its place. */
	struct demand demand = shared->demand;
	struct shared_demand *settled;

	demand.request.need[CPU] = cpu;
	demand.request.need[MEMORY] = memory;
	demand.constraints = (struct constraints){ 0 };
	settled = use_demand(placement, &demand, text);
	leave_demand(placement, shared);
	return settled;
}

/* As much of what it asks for as is left. */
static struct shared_demand *clip(struct placement *placement, uint32_t node, struct shared_demand *shared)
{
	const struct request *asked = &shared->demand.request;
	int32_t left[DIMENSIONS];

	for (uint32_t d = 0; d < DIMENSIONS; d++) {
		int64_t room = (int64_t)cluster_free_amount(placement->ledger.cluster, d, node) *
			       placement->ledger.overcommit.permille[shared->demand.class][d] / 1000;
		int32_t most = cluster_total(placement->ledger.cluster, d, node);

		room = room < most ? room : most;
		left[d] = room < asked->need[d] ? (int32_t)room : asked->need[d];
	}
	return settle(placement, shared, left[CPU], left[MEMORY]);
}

/* What runs already, or should: takes the demand. */
static void enter(struct placement *placement, const char *uid, uint32_t node, struct shared_demand *shared)
{
	uint32_t binding;
	struct err err;
	int r = ledger_bind(&placement->ledger, &shared->demand, node, 0, &binding, &err);

	if (r < 0) {
		log_line(LOG_WARNING, "instance %s has less room than it was promised: %s", uid, err.msg);
		shared = clip(placement, node, shared);
		r = ledger_bind(&placement->ledger, &shared->demand, node, 0, &binding, &err);
	}
	if (r < 0) {
		log_line(LOG_ERROR, "instance %s is not counted: %s", uid, err.msg);
		leave_demand(placement, shared);
		return;
	}
	remember(placement, uid, binding, node, shared);
}

void placement_sync(struct placement *placement, const char *uid, const struct instance *instance)
{
	const struct placed *placed = map_get(&placement->placed, uid);
	uint32_t node = instance && is_on(&instance->spec) ? number_of(placement, instance->spec.node) : CLUSTER_NONE;
	struct shared_demand *shared = NULL;
	struct err err;

	if (node != CLUSTER_NONE && demand_of(placement, instance, &shared, &err) < 0)
		log_line(LOG_ERROR, "instance %s is not counted: %s", uid, err.msg);
	if (placed && placed->shared == shared && placed->node == node) {
		leave_demand(placement, shared);	/* Entered already. */
		return;
	}
	forget(placement, uid);
	if (shared)
		enter(placement, uid, node, shared);
}

static bool is_all_cordoned(const struct cluster *cluster)
{
	bool is_all = true;

	for (uint32_t node = 0; node < cluster->node_end; node++)
		is_all &= cluster_shape(cluster, node)->is_cordoned;
	return is_all;
}

static int refuse(const struct placement *placement, const char *why, struct err *err)
{
	if (is_all_cordoned(placement->ledger.cluster))
		return err_set(err, -ENOSPC, "%s: let a node take instances again with 'strata node uncordon' (see 'strata node ls')", why);
	return err_set(err, -ENOSPC, "%s: use less, stop others, or promise more than there is (see 'strata explain config.overcommit')", why);
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
	auto_str struct str why = { 0 };
	int r;

	if (!placement->ledger.cluster->node_count)
		return err_set(err, -EAGAIN, "no node is there yet: try again in a moment");
	r = decider_choose_for(placement->decider, &placement->ledger, demand, ret_decision, err);
	if (r == -ENOSPC && !must_have_room)
		r = choose_roomiest(placement, demand, ret_decision);
	if (r != -ENOSPC)
		return r;
	explain_refusal(&placement->ledger, demand, &why);
	return refuse(placement, str_text(&why), err);
}

/* Where its disks are it stays, also on a node that takes nothing new. */
static int stay(struct placement *placement, const struct demand *demand, uint32_t node, struct decision *ret_decision, struct err *err)
{
	auto_str struct str why = { 0 };

	*ret_decision = (struct decision){ .node = node };
	if (ledger_allows(&placement->ledger, demand, node))
		return 0;
	str_printf(&why, "node '%s': ", cluster_node_name(placement->ledger.cluster, node));
	ledger_explain(&placement->ledger, demand, node, &why);
	return refuse(placement, str_text(&why), err);
}

/* It is new, and has to be where its disks are, or where it was told to be. */
static int go_home(struct placement *placement, const struct demand *demand, uint32_t home, struct decision *ret_decision, struct err *err)
{
	const struct cluster *cluster = placement->ledger.cluster;

	if (home == CLUSTER_NONE)
		return err_set(err, -EAGAIN, "its node is not there yet: try again in a moment");
	if (cluster_shape(cluster, home)->is_cordoned)
		return err_set(err, -ENOSPC, "node '%s' takes no new instances (see 'strata node ls'): use another one, or 'strata node uncordon %s'",
			       cluster_node_name(cluster, home), cluster_node_name(cluster, home));
	return stay(placement, demand, home, ret_decision, err);
}

static int bind_chosen(struct placement *placement, const struct demand *demand, const struct decision *decision, uint32_t *ret_binding, struct err *err)
{
	int r = ledger_bind(&placement->ledger, demand, decision->node, decision->devices, ret_binding, err);
	struct err why = *err;

	return r == -ENOSPC ? refuse(placement, why.msg, err) : r;
}

int placement_admit(struct placement *placement, struct instance *instance, const char *home, struct err *err)
{
	const struct placed *placed = map_get(&placement->placed, instance->meta.uid);
	struct shared_demand *shared;
	uint32_t node = number_of(placement, instance->spec.node);
	struct decision decision;
	uint32_t binding;
	int r = demand_of(placement, instance, &shared, err);

	if (r < 0)
		return r;
	ledger_begin(&placement->ledger);
	if (placed)
		r = ledger_unbind(&placement->ledger, placed->binding, err);
	/* Its node may have lost a label since, or got a neighbour. */
	if (r == 0 && node != CLUSTER_NONE && !ledger_allows(&placement->ledger, &shared->demand, node))
		shared = settle(placement, shared, shared->demand.request.need[CPU], shared->demand.request.need[MEMORY]);
	if (r == 0 && node != CLUSTER_NONE)
		r = stay(placement, &shared->demand, node, &decision, err);
	else if (r == 0 && home)
		r = go_home(placement, &shared->demand, number_of(placement, home), &decision, err);
	else if (r == 0)
		r = choose(placement, &shared->demand, is_on(&instance->spec), &decision, err);
	if (r == 0 && is_on(&instance->spec))
		r = bind_chosen(placement, &shared->demand, &decision, &binding, err);
	if (r < 0)
		ledger_undo(&placement->ledger, 0);
	ledger_keep(&placement->ledger);
	if (r < 0 || !is_on(&instance->spec))
		leave_demand(placement, shared);
	if (r < 0)
		return r;
	text_replace(&instance->spec.node, placement->hosts.items[decision.node].uid);
	if (placed)
		drop(placement, instance->meta.uid);
	if (is_on(&instance->spec))
		remember(placement, instance->meta.uid, binding, decision.node, shared);
	return 0;
}

int placement_admit_move(struct placement *placement, struct instance *instance, const char *to, struct err *err)
{
	auto_free char *from = take(instance->spec.node);
	uint32_t number = number_of(placement, from);
	const struct cluster *cluster = placement->ledger.cluster;
	bool was_cordoned = number != CLUSTER_NONE && cluster_shape(cluster, number)->is_cordoned;
	struct err ignored;
	int r;

	if (number != CLUSTER_NONE)
		ledger_cordon(&placement->ledger, number, true, &ignored);
	r = placement_admit(placement, instance, to, err);
	if (number != CLUSTER_NONE)
		ledger_cordon(&placement->ledger, number, was_cordoned, &ignored);
	if (r < 0)
		text_replace(&instance->spec.node, from);
	return r;
}

void placement_configure(struct placement *placement, const struct config *config)
{
	struct map placed = placement->placed;

	for (size_t i = 0; i < placed.count; i++) {
		const struct placed *old = placed.entries[i].value;
		struct err err;

		count_promised(placement, old, -1);
		if (ledger_unbind(&placement->ledger, old->binding, &err) < 0)
			log_line(LOG_ERROR, "placement: %s", err.msg);
	}
	placement->placed = (struct map){ 0 };
	configure(placement, config);
	for (size_t i = 0; i < placed.count; i++) {
		struct placed *old = placed.entries[i].value;

		enter(placement, placed.entries[i].key, old->node, old->shared);
		free(old);
	}
	map_done(&placed);
}

static void explain_on(const struct placement *placement, const struct demand *demand, uint32_t node, bool is_here, struct json_writer *writer)
{
	auto_str struct str text = { 0 };
	double cost = 0;
	uint32_t unmet = 0;
	const struct host *host = &placement->hosts.items[node];
	bool is_possible;

	if (host->is_busy)
		busy_explain(&host->load, &text);
	is_possible = explain_node(placement->decider, &placement->ledger, demand, node, &cost, &unmet, &text);

	json_write_object(writer, NULL);
	json_write_string(writer, "node", cluster_node_name(placement->ledger.cluster, node));
	json_write_string(writer, "state", is_here ? "here" : is_possible ? "possible" : "refused");
	if (is_possible)
		json_write_double(writer, "cost", cost);
	json_write_string(writer, "text", str_text(&text));
	json_write_end_object(writer);
}

void placement_explain(struct placement *placement, const struct instance *instance, struct json_writer *writer)
{
	const struct placed *placed = map_get(&placement->placed, instance->meta.uid);
	struct shared_demand *shared;
	uint32_t here = number_of(placement, instance->spec.node);
	struct err err;

	if (demand_of(placement, instance, &shared, &err) < 0) {
		json_write_array(writer, NULL);
		json_write_end_array(writer);
		return;
	}
	ledger_begin(&placement->ledger);
	if (placed && ledger_unbind(&placement->ledger, placed->binding, &err) < 0)
		log_line(LOG_ERROR, "placement: %s", err.msg);
	json_write_array(writer, NULL);
	for (uint32_t node = 0; node < placement->ledger.cluster->node_end; node++)
		if (cluster_shape(placement->ledger.cluster, node)->is_present)
			explain_on(placement, &shared->demand, node, node == here, writer);
	json_write_end_array(writer);
	ledger_undo(&placement->ledger, 0);
	ledger_keep(&placement->ledger);
	leave_demand(placement, shared);
}

/* ---- Is it true? ---- */

static int check_sums(const struct placement *placement, struct err *err)
{
	auto_free int64_t *sums = alloc((placement->hosts.count * DIMENSIONS + 1) * sizeof(*sums));

	for (size_t i = 0; i < placement->placed.count; i++) {
		const struct placed *placed = placement->placed.entries[i].value;

		for (uint32_t d = 0; d < DIMENSIONS; d++)
			sums[placed->node * DIMENSIONS + d] += placed->shared->demand.request.need[d];
	}
	for (size_t i = 0; i < placement->hosts.count; i++)
		for (uint32_t d = 0; d < DIMENSIONS; d++)
			if (sums[i * DIMENSIONS + d] != placement->hosts.items[i].promised[d])
				return err_set(err, -EUCLEAN, "node '%s' has promised %" PRId64 " %s of %s, and those that run there have %" PRId64,
					       cluster_node_name(placement->ledger.cluster, (uint32_t)i), placement->hosts.items[i].promised[d],
					       dimensions[d].unit, dimensions[d].name, sums[i * DIMENSIONS + d]);
	return 0;
}

int placement_check(const struct placement *placement, const struct map *instances, struct err *err)
{
	size_t count = 0;

	for (size_t i = 0; instances && i < instances->count; i++) {
		const struct instance *instance = instances->entries[i].value;
		const struct placed *placed = map_get(&placement->placed, instance->meta.uid);
		uint32_t node = is_on(&instance->spec) ? number_of(placement, instance->spec.node) : CLUSTER_NONE;

		if ((placed ? placed->node : CLUSTER_NONE) != node)
			return err_set(err, -EUCLEAN, "instance '%s' is counted at '%s', and should be at '%s'", instance->meta.name,
				       placed ? cluster_node_name(placement->ledger.cluster, placed->node) : "no node",
				       node == CLUSTER_NONE ? "no node" : cluster_node_name(placement->ledger.cluster, node));
		count += placed != NULL;
	}
	if (instances && count != placement->placed.count)
		return err_set(err, -EUCLEAN, "%zu instances are counted, and %zu run", placement->placed.count, count);
	return check_sums(placement, err);
}

/* ---- What if ---- */

/* By number of the binding; the texts are the map's. */
static const char **uids_by_binding(const struct placement *placement)
{
	const char **uids = alloc_array(NULL, placement->ledger.cluster->binding_end + 1, sizeof(*uids));

	for (size_t i = 0; i < placement->placed.count; i++)
		uids[((const struct placed *)placement->placed.entries[i].value)->binding] = placement->placed.entries[i].key;
	return uids;
}

static void write_move(const struct placement *placement, const char *name, uint32_t binding, const struct move *move, struct json_writer *writer)
{
	const struct ledger *ledger = &placement->ledger;
	auto_str struct str why = { 0 };

	json_write_object(writer, NULL);
	json_write_string(writer, "instance", name);
	if (move)
		json_write_string(writer, "to", cluster_node_name(ledger->cluster, move->to));
	json_write_int(writer, "memory", (int64_t)ledger_demand(ledger, binding)->request.need[MEMORY] << 20);
	if (!move && ledger->cluster->node_count == 1)
		json_write_string(writer, "text", "there is no other node");
	else if (!move) {
		explain_refusal(ledger, ledger_demand(ledger, binding), &why);
		json_write_string(writer, "text", str_text(&why));
	}
	json_write_end_object(writer);
}

int placement_what_if_drain(struct placement *placement, const char *node_uid, placement_name_fn *name_of, void *data,
			    struct json_writer *writer, struct err *err)
{
	const struct mix mix = { 0 };
	const struct rebalance ask = { .policy = policy_at(0), .mix = &mix, .cost_dimension = MEMORY };
	uint32_t node = number_of(placement, node_uid);
	auto_plan struct plan plan = { 0 };
	int r = drain(&placement->ledger, &ask, node, &plan, err);

	if (r < 0)
		return r;
	auto_free const char **uids = uids_by_binding(placement);

	json_write_array(writer, NULL);
	for (size_t i = 0; i < plan.moves.count; i++)
		write_move(placement, name_of(data, uids[plan.moves.items[i].binding]), plan.moves.items[i].binding, &plan.moves.items[i], writer);
	/* Why not, as it is while the node takes nothing. */
	ledger_begin(&placement->ledger);
	r = ledger_cordon(&placement->ledger, node, true, err);
	for (size_t i = 0; i < plan.stuck.count && r == 0; i++)
		write_move(placement, name_of(data, uids[plan.stuck.items[i]]), plan.stuck.items[i], NULL, writer);
	ledger_undo(&placement->ledger, 0);
	ledger_keep(&placement->ledger);
	json_write_end_array(writer);
	return r;
}
