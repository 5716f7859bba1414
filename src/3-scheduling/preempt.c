#include "3-scheduling/preempt.h"

#include <errno.h>

#include "3-scheduling/cluster_private.h"
#include "3-scheduling/fit.h"

struct state {				/* What the node has free, as if some of it were gone. */
	int32_t free[DIMENSIONS_MAX];
	struct cluster_gpus gpus;
};

struct victim { uint32_t binding; int32_t priority; bool is_spared; };
typedef VEC(struct victim) victims;

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

static void collect(const struct cluster *cluster, uint32_t node, const int32_t *priorities, int32_t priority, victims *found)
{
	found->count = 0;
	for (uint32_t b = CLUSTER_NONE; (b = cluster_next_binding(cluster, node, b)) != CLUSTER_NONE;)
		if (priorities[b] < priority)
			*vec_push(found) = (struct victim){ .binding = b, .priority = priorities[b] };
	if (found->count)
		qsort(found->items, found->count, sizeof(*found->items), compare);
}

/* Leaves in 'found' those that have to go; false when even all of them are not enough. */
static bool choose(const struct cluster *cluster, const struct request *request, uint32_t node, victims *found)
{
	const struct cluster_shape *shape = cluster_shape(cluster, node);
	struct state state = { .gpus = *cluster_gpus(cluster, node) };
	size_t count = 0, kept = 0;

	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		state.free[d] = cluster_free_amount(cluster, d, node);
	while (count < found->count && !fits(cluster, &state, request, shape->gpu_count))
		give_back(cluster, &state, found->items[count++].binding, 1);
	if (!fits(cluster, &state, request, shape->gpu_count))
		return false;
	for (size_t i = count; i-- > 0;) {
		give_back(cluster, &state, found->items[i].binding, -1);
		found->items[i].is_spared = fits(cluster, &state, request, shape->gpu_count);
		if (!found->items[i].is_spared)
			give_back(cluster, &state, found->items[i].binding, 1);
	}
	for (size_t i = 0; i < count; i++)
		if (!found->items[i].is_spared)
			found->items[kept++] = found->items[i];
	found->count = kept;
	return true;
}

static bool is_milder(const victims *a, const victims *b)
{
	if (!a->count || !b->count)
		return a->count < b->count;
	int32_t x = a->items[a->count - 1].priority, y = b->items[b->count - 1].priority;

	return x < y || (x == y && a->count < b->count);
}

static bool is_possible(const struct cluster *cluster, const struct request *request, uint32_t node)
{
	const struct cluster_shape *shape = cluster_shape(cluster, node);

	return shape->is_present && !shape->is_cordoned &&
	       (!request->gpu_count || !request->gpu_models || (request->gpu_models >> shape->gpu_model & 1));
}

int preempt(const struct cluster *cluster, const struct request *request, const int32_t *priorities, int32_t priority,
	    struct preemption *ret_preemption, struct err *err)
{
	victims found = { 0 }, best = { 0 };
	uint32_t node = CLUSTER_NONE;
	int r = cluster_check_request(cluster, request, err);

	for (uint32_t i = 0; r == 0 && i < cluster->node_end; i++) {
		if (!is_possible(cluster, request, i))
			continue;
		collect(cluster, i, priorities, priority, &found);
		if (!choose(cluster, request, i, &found) || (node != CLUSTER_NONE && !is_milder(&found, &best)))
			continue;
		victims exchanged = best;

		best = found;
		found = exchanged;
		node = i;
	}
	if (r == 0 && node == CLUSTER_NONE)
		r = err_set(err, -ENOSPC, "it fits none of %u nodes, even without all that has a lower priority than %d", cluster->node_count, priority);
	if (r == 0) {
		*ret_preemption = (struct preemption){ .node = node };
		for (size_t i = 0; i < best.count; i++)
			*vec_push(&ret_preemption->victims) = best.items[i].binding;
	}
	vec_done(&found);
	vec_done(&best);
	return r;
}

void preemption_done(struct preemption *preemption)
{
	vec_done(&preemption->victims);
}
