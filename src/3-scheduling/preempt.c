#include "3-scheduling/preempt.h"

#include <errno.h>

#include "3-scheduling/cluster_private.h"
#include "3-scheduling/fit.h"

struct state {				/* What the node has free, as if some of it were gone. */
	int32_t free[DIMENSIONS_MAX];
	struct cluster_gpus gpus;
};

struct victim { uint32_t binding; int32_t priority; bool is_spared; };

struct candidate {			/* A node, and what has to go there. */
	uint32_t node;
	VEC(struct victim) victims;	/* The least important first. */
};

static const struct binding *binding_at(const struct cluster *cluster, uint32_t i)
{
	return cow_at(&cluster->bindings, i);
}

static void give_back(const struct cluster *cluster, struct state *state, uint32_t i, int sign)
{
	const struct binding *binding = binding_at(cluster, i);

	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		state->free[d] += sign * binding->need[d];
	for (uint32_t left = binding->devices; left; left &= left - 1) {
		int16_t *milli = &state->gpus.free_milli[__builtin_ctz(left)];

		*milli = (int16_t)(*milli + sign * binding->gpu_milli);
	}
}

static bool fits(const struct cluster *cluster, const struct state *state, const struct request *request, uint32_t gpu_count)
{
	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		if (request->need[d] > state->free[d])
			return false;
	return !request->gpu_count ||
	       __builtin_popcount(fit_devices(&state->gpus, gpu_count, request->gpu_milli)) >= request->gpu_count;
}

static int compare(const void *a, const void *b)
{
	const struct victim *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return x->binding < y->binding ? -1 : x->binding > y->binding;
}

static void collect(const struct ledger *ledger, int32_t priority, struct candidate *candidate)
{
	candidate->victims.count = 0;
	for (uint32_t b = CLUSTER_NONE; (b = cluster_next_binding(ledger->cluster, candidate->node, b)) != CLUSTER_NONE;)
		if (ledger_demand(ledger, b)->priority < priority)
			*vec_push(&candidate->victims) = (struct victim){ .binding = b, .priority = ledger_demand(ledger, b)->priority };
	if (candidate->victims.count)
		qsort(candidate->victims.items, candidate->victims.count, sizeof(*candidate->victims.items), compare);
}

static void drop_spared(struct candidate *candidate, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (!candidate->victims.items[i].is_spared)
			candidate->victims.items[kept++] = candidate->victims.items[i];
	candidate->victims.count = kept;
}

/* By amounts alone, which is quick: leaves those that have to go; false when even all are not enough. */
static bool choose(const struct cluster *cluster, const struct request *request, struct candidate *candidate)
{
	const struct cluster_shape *shape = cluster_shape(cluster, candidate->node);
	struct state state = { .gpus = *cluster_gpus(cluster, candidate->node) };
	struct victim *victims = candidate->victims.items;
	size_t count = 0;

	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		state.free[d] = cluster_free_amount(cluster, d, candidate->node);
	while (count < candidate->victims.count && !fits(cluster, &state, request, shape->gpu_count))
		give_back(cluster, &state, victims[count++].binding, 1);
	if (!fits(cluster, &state, request, shape->gpu_count))
		return false;
	for (size_t i = count; i-- > 0;) {
		give_back(cluster, &state, victims[i].binding, -1);
		victims[i].is_spared = fits(cluster, &state, request, shape->gpu_count);
		if (!victims[i].is_spared)
			give_back(cluster, &state, victims[i].binding, 1);
	}
	drop_spared(candidate, count);
	return true;
}

/* Would it be allowed there, and fit, without those that are not spared? Asked of the ledger itself. */
static bool is_enough(struct ledger *ledger, const struct demand *demand, const struct request *charged, const struct candidate *candidate)
{
	struct err err;

	ledger_begin(ledger);
	for (size_t i = 0; i < candidate->victims.count; i++)
		if (!candidate->victims.items[i].is_spared && ledger_unbind(ledger, candidate->victims.items[i].binding, &err) < 0)
			abort();
	bool is_enough = fit_node(ledger->cluster, charged, candidate->node) && ledger_allows(ledger, demand, candidate->node);

	ledger_undo(ledger, 0);
	ledger_keep(ledger);
	return is_enough;
}

/* Amounts were not all that mattered: from all that may go, what need not comes back. */
static bool choose_by_asking(struct ledger *ledger, const struct demand *demand, const struct request *charged, struct candidate *candidate)
{
	collect(ledger, demand->priority, candidate);
	if (!is_enough(ledger, demand, charged, candidate))
		return false;
	for (size_t i = candidate->victims.count; i-- > 0;) {
		candidate->victims.items[i].is_spared = true;
		candidate->victims.items[i].is_spared = is_enough(ledger, demand, charged, candidate);
	}
	drop_spared(candidate, candidate->victims.count);
	return true;
}

static int compare_mildness(const struct candidate *a, const struct candidate *b)
{
	if (!a->victims.count || !b->victims.count)
		return (a->victims.count > 0) - (b->victims.count > 0);
	int32_t x = a->victims.items[a->victims.count - 1].priority, y = b->victims.items[b->victims.count - 1].priority;

	if (x != y)
		return x < y ? -1 : 1;
	return a->victims.count < b->victims.count ? -1 : a->victims.count > b->victims.count;
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int order = compare_mildness(x, y);

	return order ? order : x->node < y->node ? -1 : 1;
}

static bool is_possible(const struct cluster *cluster, const struct request *request, uint32_t node)
{
	const struct cluster_shape *shape = cluster_shape(cluster, node);

	return shape->is_present && !shape->is_cordoned &&
	       (!request->gpu_count || !request->gpu_models || (request->gpu_models >> shape->gpu_model & 1));
}

typedef VEC(struct candidate) candidates;

static void find_candidates(const struct ledger *ledger, const struct demand *demand, const struct request *charged, candidates *found)
{
	for (uint32_t node = 0; node < ledger->cluster->node_end; node++) {
		struct candidate candidate = { .node = node };

		if (!is_possible(ledger->cluster, charged, node))
			continue;
		collect(ledger, demand->priority, &candidate);
		if (choose(ledger->cluster, charged, &candidate))
			*vec_push(found) = candidate;
		else
			vec_done(&candidate.victims);
	}
	if (found->count)
		qsort(found->items, found->count, sizeof(*found->items), compare_candidates);
}

/* The mildest that holds up. What amounts alone ask for is the least: nothing after a milder one that held up is better. */
static const struct candidate *find_mildest(struct ledger *ledger, const struct demand *demand, const struct request *charged, candidates *found)
{
	const struct candidate *best = NULL;

	for (size_t i = 0; i < found->count; i++) {
		struct candidate *candidate = &found->items[i];

		if (best && compare_mildness(candidate, best) >= 0)
			break;
		if (!is_enough(ledger, demand, charged, candidate) && !choose_by_asking(ledger, demand, charged, candidate))
			continue;
		if (!best || compare_candidates(candidate, best) < 0)
			best = candidate;
	}
	return best;
}

int preempt(struct ledger *ledger, const struct demand *demand, struct preemption *ret_preemption, struct err *err)
{
	candidates found = { 0 };
	const struct candidate *best;
	int r = ledger_check(ledger, demand, err);

	if (r < 0)
		return r;
	struct request charged = ledger_charge(ledger, demand);

	find_candidates(ledger, demand, &charged, &found);
	best = find_mildest(ledger, demand, &charged, &found);
	if (best) {
		*ret_preemption = (struct preemption){ .node = best->node };
		for (size_t i = 0; i < best->victims.count; i++)
			*vec_push(&ret_preemption->victims) = best->victims.items[i].binding;
	} else {
		r = err_set(err, -ENOSPC, "it fits none of %u nodes, even without all that has a lower priority than %d", ledger->cluster->node_count,
			    demand->priority);
	}
	for (size_t i = 0; i < found.count; i++)
		vec_done(&found.items[i].victims);
	vec_done(&found);
	return r;
}

void preemption_done(struct preemption *preemption)
{
	vec_done(&preemption->victims);
}
