#include "3-scheduling/consolidate.h"

#include <errno.h>

struct candidate { uint32_t node; double used; };

static double used_part(const struct cluster *cluster, uint32_t node)
{
	uint32_t gpus = cluster_shape(cluster, node)->gpu_count;
	double most = gpus ? 1 - policy_free_gpu_milli(cluster, node) / (1000.0 * gpus) : 0;

	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		double total = cluster_total(cluster, d, node), used = total - cluster_free_amount(cluster, d, node);

		if (total > 0 && used / total > most)
			most = used / total;
	}
	return most;
}

static int compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->used != y->used)
		return x->used < y->used ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

/* Only among themselves may nodes in use take over: an empty one stays empty. */
static int cordon_empty(struct cluster *copy, struct err *err)
{
	int r = 0;

	for (uint32_t node = 0; node < copy->node_end && r == 0; node++)
		if (cluster_shape(copy, node)->is_present && !cluster_shape(copy, node)->bound_count)
			r = cluster_cordon(copy, node, true, err);
	return r;
}

static int move_one(struct cluster *copy, struct decider *decider, uint32_t binding, uint32_t cost_dimension, struct move *ret_move, struct err *err)
{
	struct cluster_binding bound;
	struct decision decision;
	uint32_t moved;
	int r = cluster_binding(copy, binding, &bound, err);

	r = r ? r : decider_choose(decider, &bound.request, &decision, err);
	r = r ? r : cluster_bind(copy, &bound.request, decision.node, decision.devices, &moved, err);
	if (r == 0)
		*ret_move = (struct move){ .binding = binding, .from = bound.node, .to = decision.node, .devices = decision.devices,
					   .cost = bound.request.need[cost_dimension] };
	return r;
}

/* Tries in the copy; the moves are in the list when it returns 0. Otherwise the copy is spoilt. */
static int empty_node(struct cluster *copy, struct decider *decider, uint32_t node, uint32_t cost_dimension, int64_t budget,
		      struct consolidation *consolidation, struct err *err)
{
	int64_t cost = 0;
	int r = cluster_cordon(copy, node, true, err);

	for (uint32_t b = CLUSTER_NONE; r == 0 && (b = cluster_next_binding(copy, node, b)) != CLUSTER_NONE;) {
		struct move move;

		r = move_one(copy, decider, b, cost_dimension, &move, err);
		if (r < 0)
			break;
		*vec_push(&consolidation->moves) = move;
		cost += move.cost;
		if (consolidation->cost + cost > budget)
			r = -ENOSPC;
	}
	/* What moved away is still bound here as well, as while a machine migrates. */
	for (uint32_t b; r == 0 && (b = cluster_next_binding(copy, node, CLUSTER_NONE)) != CLUSTER_NONE;)
		r = cluster_unbind(copy, b, err);
	if (r == 0) {
		consolidation->cost += cost;
		*vec_push(&consolidation->emptied) = node;
	}
	return r;
}

static int try_node(struct cluster **copy, const struct policy *policy, const struct mix *mix, uint32_t node, uint32_t cost_dimension,
		    int64_t budget, struct consolidation *consolidation, struct err *err)
{
	struct cluster *attempt = cluster_snapshot(*copy);
	struct decider *decider = decider_new(attempt, policy);
	size_t moves = consolidation->moves.count;
	int r;

	decider_set_mix(decider, mix);
	r = empty_node(attempt, decider, node, cost_dimension, budget, consolidation, err);
	decider_free(decider);
	if (r == 0) {
		cluster_free(*copy);
		*copy = attempt;
		return 0;
	}
	consolidation->moves.count = moves;
	cluster_free(attempt);
	return r == -ENOSPC ? 0 : r;
}

static bool has_taken_over(const struct consolidation *consolidation, uint32_t node)
{
	for (size_t i = 0; i < consolidation->moves.count; i++)
		if (consolidation->moves.items[i].to == node)
			return true;
	return false;
}

int consolidate(const struct cluster *cluster, const struct policy *policy, const struct mix *mix, uint32_t cost_dimension, int64_t budget,
		struct consolidation *ret_consolidation, struct err *err)
{
	auto_consolidation struct consolidation made = { 0 };
	VEC(struct candidate) candidates = { 0 };
	struct cluster *copy;
	int r;

	if (cost_dimension >= cluster->dimension_count || budget < 0)
		return err_set(err, -EINVAL, "dimension %u or budget %lld is wrong: use one of %u dimensions and 0 or more", cost_dimension,
			       (long long)budget, cluster->dimension_count);
	for (uint32_t node = 0; node < cluster->node_end; node++)
		if (cluster_shape(cluster, node)->bound_count)
			*vec_push(&candidates) = (struct candidate){ .node = node, .used = used_part(cluster, node) };
	if (candidates.count)
		qsort(candidates.items, candidates.count, sizeof(*candidates.items), compare);
	copy = cluster_snapshot(cluster);
	r = cordon_empty(copy, err);
	/* What was moved once is not moved again. */
	for (size_t i = 0; i < candidates.count && r == 0; i++)
		if (!has_taken_over(&made, candidates.items[i].node))
			r = try_node(&copy, policy, mix, candidates.items[i].node, cost_dimension, budget, &made, err);
	cluster_free(copy);
	vec_done(&candidates);
	if (r == 0) {
		*ret_consolidation = made;
		made = (struct consolidation){ 0 };
	}
	return r;
}

void consolidation_done(struct consolidation *consolidation)
{
	vec_done(&consolidation->moves);
	vec_done(&consolidation->emptied);
}

void consolidate_explain(const struct cluster *cluster, const struct consolidation *consolidation, uint32_t cost_dimension, size_t i,
			 struct str *text)
{
	const struct move *move = &consolidation->moves.items[i];
	const char *from = cluster_node_name(cluster, move->from);

	str_printf(text, "move binding %u (%lld%s) from '%s' to '%s': empties '%s', which uses %.0f%% of what it has", move->binding,
		   (long long)move->cost, cluster->dimensions[cost_dimension].unit, from, cluster_node_name(cluster, move->to), from,
		   100 * used_part(cluster, move->from));
}
