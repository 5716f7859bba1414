#include "3-scheduling/ledger.h"

#include <errno.h>

#include "3-scheduling/fit.h"
#include "base/mem.h"

enum step_kind { STEP_BOUND, STEP_UNBOUND, STEP_CORDONED };

int ledger_init(struct ledger *ledger, const struct cluster_dimension *dimensions, size_t count, uint32_t cpu, uint32_t memory, struct err *err)
{
	int r;

	*ledger = (struct ledger){ 0 };
	r = cluster_new(dimensions, count, &ledger->cluster, err);
	if (r < 0)
		return r;
	places_init(&ledger->places, ledger->cluster);
	ledger->quotas.cluster = ledger->cluster;
	ledger->overcommit.cpu = cpu;
	ledger->overcommit.memory = memory;
	r = topology_init(&ledger->topology, ledger->cluster, cpu, memory, err);
	if (r < 0)
		ledger_done(ledger);
	return r;
}

void ledger_done(struct ledger *ledger)
{
	topology_done(&ledger->topology);
	places_done(&ledger->places);
	quotas_done(&ledger->quotas);
	cluster_free(ledger->cluster);
	vec_done(&ledger->entries);
	vec_done(&ledger->steps);
	*ledger = (struct ledger){ 0 };
}

int ledger_remove_node(struct ledger *ledger, uint32_t node, struct err *err)
{
	int r = cluster_remove_node(ledger->cluster, node, err);

	if (r < 0)
		return r;
	places_forget(&ledger->places, node);
	topology_forget(&ledger->topology, node);
	return 0;
}

static void remember(struct ledger *ledger, struct ledger_step step)
{
	if (ledger->is_trying)
		*vec_push(&ledger->steps) = step;
}

int ledger_cordon(struct ledger *ledger, uint32_t node, bool is_cordoned, struct err *err)
{
	bool was_cordoned = node < ledger->cluster->node_end && cluster_shape(ledger->cluster, node)->is_cordoned;
	int r = cluster_cordon(ledger->cluster, node, is_cordoned, err);

	if (r == 0)
		remember(ledger, (struct ledger_step){ .kind = STEP_CORDONED, .node = node, .was_cordoned = was_cordoned });
	return r;
}

/* ---- Asking ---- */

int ledger_check(const struct ledger *ledger, const struct demand *demand, struct err *err)
{
	int r = cluster_check_request(ledger->cluster, &demand->request, err);

	r = r ? r : constraints_check(&ledger->places, &demand->constraints, err);
	r = r ? r : topology_check(&ledger->topology, &demand->request, &demand->numa, err);
	if (r == 0 && demand->class >= CLASSES_MAX)
		r = err_set(err, -EINVAL, "class %u: use less than %d", demand->class, CLASSES_MAX);
	if (r == 0 && demand->group_count > DEMAND_GROUPS_MAX)
		r = err_set(err, -EINVAL, "%u groups: %d are possible", demand->group_count, DEMAND_GROUPS_MAX);
	for (uint32_t i = 0; r == 0 && i < demand->group_count; i++)
		if (demand->groups[i] >= ledger->places.groups.count)
			r = err_set(err, -ENOENT, "group %u does not exist", demand->groups[i]);
	if (r == 0 && demand->project != PROJECT_NONE)
		r = quotas_check(&ledger->quotas, demand->project, &demand->request, err);
	return r;
}

struct request ledger_charge(const struct ledger *ledger, const struct demand *demand)
{
	struct request charged = overcommit_charge(&ledger->overcommit, demand->class, &demand->request, demand->forecast);

	if (demand->numa.is_exclusive)		/* Nobody else has a part of these. */
		charged.need[ledger->topology.cpu] = demand->request.need[ledger->topology.cpu];
	return charged;
}

/* The first dimension of which no host of that size could give as much; DIMENSIONS_MAX: there is none. */
static uint32_t too_small_in(const struct ledger *ledger, const struct request *asked, uint32_t node)
{
	for (uint32_t d = 0; d < ledger->cluster->dimension_count; d++)
		if (!(ledger->compressible >> d & 1) && asked->need[d] > cluster_total(ledger->cluster, d, node))
			return d;
	return DIMENSIONS_MAX;
}

/* Needs no copy of what is charged for those who say nothing of NUMA: nearly all. */
static bool is_numa_fit(const struct ledger *ledger, const struct demand *demand, uint32_t node)
{
	if (!numa_demand_is_anything(&demand->numa))
		return true;
	struct request charged = ledger_charge(ledger, demand);

	return topology_fits(&ledger->topology, &charged, &demand->numa, node);
}

bool ledger_allows(const struct ledger *ledger, const struct demand *demand, uint32_t node)
{
	return constraints_allow(&ledger->places, &demand->constraints, node) && too_small_in(ledger, &demand->request, node) == DIMENSIONS_MAX &&
	       is_numa_fit(ledger, demand, node);
}

static void separate(struct str *text, size_t *before)
{
	if (text->size > *before)
		str_append(text, "; ");
	*before = text->size;
}

/* True when it is larger than the host. */
static bool explain_size(const struct ledger *ledger, const struct request *asked, uint32_t node, struct str *text)
{
	char wanted[UNITS_TEXT_SIZE], had[UNITS_TEXT_SIZE];

	uint32_t d = too_small_in(ledger, asked, node);

	if (d == DIMENSIONS_MAX)
		return false;
	str_printf(text, "%s of %s is more than the host has (%s", cluster_amount(ledger->cluster, d, asked->need[d], wanted),
		   ledger->cluster->dimensions[d].name, cluster_amount(ledger->cluster, d, cluster_total(ledger->cluster, d, node), had));
	if (cluster_reserved(ledger->cluster, d, node))
		str_printf(text, " after %s reserved", cluster_amount(ledger->cluster, d, cluster_reserved(ledger->cluster, d, node), had));
	str_append_char(text, ')');
	return true;
}

void ledger_explain(const struct ledger *ledger, const struct demand *demand, uint32_t node, struct str *text)
{
	struct request charged = ledger_charge(ledger, demand);
	struct str parts[3] = { 0 };
	size_t before = text->size;
	bool is_present = cluster_shape(ledger->cluster, node)->is_present;

	if (!is_present || !explain_size(ledger, &demand->request, node, &parts[0]))
		fit_explain(ledger->cluster, &charged, &demand->request, node, &parts[0]);
	if (is_present) {
		constraints_explain(&ledger->places, &demand->constraints, node, &parts[1]);
		topology_explain(&ledger->topology, &charged, &demand->numa, node, &parts[2]);
	}
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
		if (parts[i].size)
			separate(text, &before);
		str_append(text, str_text(&parts[i]));
		str_done(&parts[i]);
	}
}

/* ---- Binding ---- */

static void count_groups(struct ledger *ledger, const struct demand *demand, uint32_t node, int change)
{
	struct err err;

	for (uint32_t i = 0; i < demand->group_count; i++)
		if (places_count(&ledger->places, demand->groups[i], node, change, &err) < 0)
			abort();		/* The groups were checked, and no node has 65,536 instances. */
}

static int refuse(const struct ledger *ledger, const struct demand *demand, uint32_t node, struct err *err)
{
	auto_str struct str why = { 0 };

	ledger_explain(ledger, demand, node, &why);
	return err_set(err, -ENOSPC, "node '%s': %s", cluster_node_name(ledger->cluster, node), str_text(&why));
}

static struct ledger_entry *entry_at(struct ledger *ledger, uint32_t binding)
{
	while (ledger->entries.count <= binding)
		vec_push(&ledger->entries);
	return &ledger->entries.items[binding];
}

static void account(struct ledger *ledger, const struct demand *demand, uint32_t node, int sign)
{
	count_groups(ledger, demand, node, sign);
	if (demand->project != PROJECT_NONE)
		quotas_count(&ledger->quotas, demand->project, &demand->request, sign);
}

static int enter(struct ledger *ledger, const struct demand *demand, uint32_t node, uint32_t devices, uint32_t *ret_binding, struct err *err)
{
	struct request charged = ledger_charge(ledger, demand);
	uint32_t hold;
	int r = cluster_bind(ledger->cluster, &charged, node, devices, ret_binding, err);

	if (r < 0)
		return r;
	r = topology_take(&ledger->topology, &charged, &demand->numa, node, &hold, err);
	if (r < 0) {
		if (cluster_unbind(ledger->cluster, *ret_binding, &(struct err){ 0 }) < 0)
			abort();
		return r;
	}
	account(ledger, demand, node, 1);
	*entry_at(ledger, *ret_binding) = (struct ledger_entry){ .demand = demand, .hold = hold };
	return 0;
}

int ledger_bind(struct ledger *ledger, const struct demand *demand, uint32_t node, uint32_t devices, uint32_t *ret_binding, struct err *err)
{
	int r = ledger_check(ledger, demand, err);

	r = r ? r : cluster_check_node(ledger->cluster, node, err);
	if (r < 0)
		return r;
	if (!ledger_allows(ledger, demand, node))
		return refuse(ledger, demand, node, err);
	r = enter(ledger, demand, node, devices, ret_binding, err);
	if (r == 0)
		remember(ledger, (struct ledger_step){ .kind = STEP_BOUND, .binding = *ret_binding });
	return r;
}

/* What was done is in 'ret_step', with which put_back() undoes it. */
static int leave(struct ledger *ledger, uint32_t binding, struct ledger_step *ret_step, struct err *err)
{
	struct cluster_binding bound;
	int r = cluster_binding(ledger->cluster, binding, &bound, err);

	if (r < 0)
		return r;
	struct ledger_entry entry = *entry_at(ledger, binding);

	*ret_step = (struct ledger_step){ .kind = STEP_UNBOUND, .binding = binding, .node = bound.node, .devices = bound.devices,
					  .demand = entry.demand, .charged = bound.request };
	if (entry.hold != HOLD_NONE) {
		struct hold hold = topology_release(&ledger->topology, entry.hold);

		if (ledger->is_trying)
			*(ret_step->hold = alloc(sizeof(hold))) = hold;
	}
	account(ledger, entry.demand, bound.node, -1);
	*entry_at(ledger, binding) = (struct ledger_entry){ 0 };
	return cluster_unbind(ledger->cluster, binding, err);
}

static int put_back(struct ledger *ledger, const struct ledger_step *step, uint32_t *ret_binding, struct err *err)
{
	int r = cluster_bind(ledger->cluster, &step->charged, step->node, step->devices, ret_binding, err);

	if (r < 0)
		return r;
	account(ledger, step->demand, step->node, 1);
	*entry_at(ledger, *ret_binding) = (struct ledger_entry){
		.demand = step->demand, .hold = step->hold ? topology_put_back(&ledger->topology, step->hold) : HOLD_NONE };
	return 0;
}

int ledger_unbind(struct ledger *ledger, uint32_t binding, struct err *err)
{
	struct ledger_step step;
	int r = leave(ledger, binding, &step, err);

	if (r == 0)
		remember(ledger, step);
	return r;
}

/* ---- What if ---- */

void ledger_begin(struct ledger *ledger)
{
	ledger->is_trying = true;
	ledger->steps.count = 0;
}

size_t ledger_mark(const struct ledger *ledger)
{
	return ledger->steps.count;
}

static void undo_step(struct ledger *ledger, struct ledger_step *step)
{
	struct ledger_step undone = { 0 };
	struct err err;
	uint32_t binding = step->binding;
	int r = 0;

	switch ((enum step_kind)step->kind) {
	case STEP_BOUND: r = leave(ledger, step->binding, &undone, &err); break;
	case STEP_UNBOUND: r = put_back(ledger, step, &binding, &err); break;
	case STEP_CORDONED: r = cluster_cordon(ledger->cluster, step->node, step->was_cordoned, &err); break;
	}
	if (r < 0 || binding != step->binding)
		abort();			/* In reverse order everything is as it was after the step. */
	free(undone.hold);
	free(step->hold);
}

void ledger_undo(struct ledger *ledger, size_t mark)
{
	while (ledger->steps.count > mark)
		undo_step(ledger, &ledger->steps.items[--ledger->steps.count]);
}

void ledger_keep(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->steps.count; i++)
		free(ledger->steps.items[i].hold);
	ledger->is_trying = false;
	ledger->steps.count = 0;
}
