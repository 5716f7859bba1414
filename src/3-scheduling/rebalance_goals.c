/* rebalance_goals.c - what each goal of rebalance.h moves. */
#include <errno.h>
#include <math.h>

#include "3-scheduling/fit.h"
#include "3-scheduling/rebalance_private.h"
#include "base/mem.h"

/* Less of a host than this is not worth a move. */
#define LEAST_GAIN 0.02

struct rated { uint32_t number; double value; };
typedef VEC(struct rated) rated_list;

static int compare_high_first(const void *a, const void *b)
{
	const struct rated *x = a, *y = b;

	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void sort(rated_list *list)
{
	if (list->count)
		qsort(list->items, list->count, sizeof(*list->items), compare_high_first);
}

static void list_bindings(const struct cluster *cluster, uint32_t node, rated_list *list)
{
	list->count = 0;
	for (uint32_t b = CLUSTER_NONE; (b = cluster_next_binding(cluster, node, b)) != CLUSTER_NONE;)
		*vec_push(list) = (struct rated){ .number = b };
}

/* ---- Overload ---- */

/* How much of the overload ends with it, per what it costs to move. */
static double relief(const struct rebalancing *rebalancing, uint32_t binding, uint32_t node)
{
	const struct cluster *cluster = rebalancing->ledger->cluster;
	const int32_t *use = rebalancing->wanted->usage[binding].amount;
	int32_t cost = ledger_demand(rebalancing->ledger, binding)->request.need[rebalancing->wanted->cost_dimension];
	double most = 0, ends = 0;

	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		double total = cluster_total(cluster, d, node), over = total > 0 ? (double)rebalancing->load[node][d] / total : 0;

		if (over > most) {		/* Only the dimension that is worst counts. */
			most = over;
			ends = use[d] / total;
		}
	}
	return fmin(ends, overload_of(rebalancing, node)) / (1 + cost);
}

static int relieve_host(struct rebalancing *rebalancing, uint32_t node, struct err *err)
{
	rated_list bindings = { 0 };
	int r = 0;

	list_bindings(rebalancing->ledger->cluster, node, &bindings);
	for (size_t i = 0; i < bindings.count; i++)
		bindings.items[i].value = relief(rebalancing, bindings.items[i].number, node);
	sort(&bindings);
	for (size_t i = 0; i < bindings.count && r == 0 && overload_of(rebalancing, node) > 0; i++) {
		double before = overload_of(rebalancing, node);

		if (bindings.items[i].value <= 0)
			break;
		r = move_binding(rebalancing, bindings.items[i].number, GOAL_OVERLOAD, err);
		if (r == 0)
			rebalancing->plan->moves.items[rebalancing->plan->moves.count - 1].gain = before - overload_of(rebalancing, node);
		r = r == -ENOSPC ? 0 : r;
	}
	vec_done(&bindings);
	return r;
}

int relieve_overload(struct rebalancing *rebalancing, struct err *err)
{
	rated_list hosts = { 0 };
	int r = 0;

	for (uint32_t node = 0; node < rebalancing->ledger->cluster->node_end; node++)
		if (overload_of(rebalancing, node) > 0)
			*vec_push(&hosts) = (struct rated){ .number = node, .value = overload_of(rebalancing, node) };
	sort(&hosts);
	for (size_t i = 0; i < hosts.count && r == 0; i++)
		r = relieve_host(rebalancing, hosts.items[i].number, err);
	vec_done(&hosts);
	return r;
}

/* ---- Fragmentation ---- */

static bool is_possible(const struct cluster *cluster, const struct request *request, uint32_t node)
{
	const struct cluster_shape *shape = cluster_shape(cluster, node);

	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		if (request->need[d] > cluster_total(cluster, d, node))
			return false;
	return request->gpu_count <= shape->gpu_count && (!request->gpu_count || !request->gpu_models || request->gpu_models >> shape->gpu_model & 1);
}

double rebalance_stranded(const struct cluster *cluster, const struct typical *typical, uint32_t node)
{
	double useless = 0, possible = 0;

	for (uint32_t k = 0; k < typical->count; k++) {
		const struct request *request = &typical->kinds[k].request;

		if (!is_possible(cluster, request, node))	/* Not even on the empty host: nothing that moves changes it. */
			continue;
		possible += typical->kinds[k].weight;
		useless += fit_node(cluster, request, node) ? 0 : typical->kinds[k].weight;
	}
	return possible > 0 ? policy_free_part(cluster, node) * useless / possible : 0;
}

/* As if it were not cordoned, which is only so that nothing goes there. */
static double stranded(struct rebalancing *rebalancing, uint32_t node)
{
	struct ledger *ledger = rebalancing->ledger;
	bool is_cordoned = cluster_shape(ledger->cluster, node)->is_cordoned;
	size_t mark = ledger_mark(ledger);
	struct err err;

	if (is_cordoned && ledger_cordon(ledger, node, false, &err) < 0)
		abort();
	double part = rebalance_stranded(ledger->cluster, &rebalancing->typical, node);

	ledger_undo(ledger, mark);
	return part;
}

/* Moves it if both hosts together strand less afterwards. */
static int try_fragment(struct rebalancing *rebalancing, uint32_t binding, uint32_t node, struct err *err)
{
	size_t mark = ledger_mark(rebalancing->ledger), count = rebalancing->plan->moves.count;
	double here = stranded(rebalancing, node);
	int r = move_binding(rebalancing, binding, GOAL_FRAGMENTATION, err);

	if (r < 0)
		return r == -ENOSPC ? 0 : r;
	const struct move move = rebalancing->plan->moves.items[count];
	double after = stranded(rebalancing, node) + stranded(rebalancing, move.to);

	take_back(rebalancing, count, mark);
	double gain = here + stranded(rebalancing, move.to) - after;

	if (gain < LEAST_GAIN)
		return 0;
	r = move_binding(rebalancing, binding, GOAL_FRAGMENTATION, err);
	if (r == 0)
		rebalancing->plan->moves.items[count].gain = gain;
	return r;
}

int gather_fragments(struct rebalancing *rebalancing, struct err *err)
{
	const struct cluster *cluster = rebalancing->ledger->cluster;
	rated_list hosts = { 0 }, bindings = { 0 };
	int r = 0;

	for (uint32_t node = 0; node < cluster->node_end; node++)
		if (cluster_shape(cluster, node)->bound_count && stranded(rebalancing, node) >= LEAST_GAIN)
			*vec_push(&hosts) = (struct rated){ .number = node, .value = stranded(rebalancing, node) };
	sort(&hosts);
	for (size_t i = 0; i < hosts.count && r == 0; i++) {
		list_bindings(cluster, hosts.items[i].number, &bindings);
		for (size_t b = 0; b < bindings.count && r == 0; b++)
			r = try_fragment(rebalancing, bindings.items[b].number, hosts.items[i].number, err);
	}
	vec_done(&bindings);
	vec_done(&hosts);
	return r;
}

/* ---- Emptying ---- */

static bool has_taken_over(const struct rebalancing *rebalancing, uint32_t node)
{
	for (size_t i = 0; i < rebalancing->plan->moves.count; i++)
		if (rebalancing->plan->moves.items[i].to == node)
			return true;
	return false;
}

static int empty_host(struct rebalancing *rebalancing, uint32_t node, struct err *err)
{
	size_t mark = ledger_mark(rebalancing->ledger), count = rebalancing->plan->moves.count;
	rated_list bindings = { 0 };
	int r = ledger_cordon(rebalancing->ledger, node, true, err);

	list_bindings(rebalancing->ledger->cluster, node, &bindings);
	for (size_t i = 0; i < bindings.count && r == 0; i++)
		r = move_binding(rebalancing, bindings.items[i].number, GOAL_EMPTYING, err);
	if (r == 0) {
		for (size_t i = 0; i < bindings.count; i++)
			rebalancing->plan->moves.items[count + i].gain = 1.0 / (double)bindings.count;
		*vec_push(&rebalancing->plan->emptied) = node;
	} else {
		take_back(rebalancing, count, mark);
	}
	vec_done(&bindings);
	return r == -ENOSPC ? 0 : r;
}

int empty_hosts(struct rebalancing *rebalancing, struct err *err)
{
	const struct cluster *cluster = rebalancing->ledger->cluster;
	rated_list hosts = { 0 };
	int r = 0;

	for (uint32_t node = 0; node < cluster->node_end; node++)
		if (cluster_shape(cluster, node)->bound_count)
			*vec_push(&hosts) = (struct rated){ .number = node, .value = -used_part(cluster, node) };
	sort(&hosts);
	for (size_t i = 0; i < hosts.count && r == 0; i++)
		if (!has_taken_over(rebalancing, hosts.items[i].number))
			r = empty_host(rebalancing, hosts.items[i].number, err);
	vec_done(&hosts);
	return r;
}

/* ---- Draining ---- */

static double size_of(const struct ledger *ledger, uint32_t binding, uint32_t node)
{
	const struct request *request = &ledger_demand(ledger, binding)->request;
	double most = request->gpu_count;

	for (uint32_t d = 0; d < ledger->cluster->dimension_count; d++)
		if (cluster_total(ledger->cluster, d, node) > 0)
			most = fmax(most, (double)request->need[d] / cluster_total(ledger->cluster, d, node));
	return most;
}

int drain_host(struct rebalancing *rebalancing, uint32_t node, struct err *err)
{
	rated_list bindings = { 0 };
	int r = ledger_cordon(rebalancing->ledger, node, true, err);

	list_bindings(rebalancing->ledger->cluster, node, &bindings);
	for (size_t i = 0; i < bindings.count; i++)
		bindings.items[i].value = size_of(rebalancing->ledger, bindings.items[i].number, node);
	sort(&bindings);
	for (size_t i = 0; i < bindings.count && r == 0; i++) {
		r = move_binding(rebalancing, bindings.items[i].number, GOAL_EMPTYING, err);
		if (r == -ENOSPC) {
			*vec_push(&rebalancing->plan->stuck) = bindings.items[i].number;
			r = 0;
		}
	}
	for (size_t i = 0; i < rebalancing->plan->moves.count; i++)
		rebalancing->plan->moves.items[i].gain = 1.0 / (double)bindings.count;
	if (r == 0 && !rebalancing->plan->stuck.count)
		*vec_push(&rebalancing->plan->emptied) = node;
	vec_done(&bindings);
	return r;
}
