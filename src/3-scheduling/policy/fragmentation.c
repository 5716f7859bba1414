/*
 * FGD: the node on which the GPU capacity that typical requests cannot use grows the least
 * (Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent",
 * USENIX ATC 2023). The score is rounded to hundredths as the authors do; without that it places worse.
 */
#include "3-scheduling/policy.h"

#include <math.h>

#include "3-scheduling/fit.h"

struct state {				/* A node, or what it would become. */
	int32_t free[DIMENSIONS_MAX];
	int16_t milli[GPUS_MAX];
	uint32_t gpu_count, gpu_model, dimension_count;
};

static void read_node(const struct cluster *cluster, uint32_t node, struct state *state)
{
	const struct cluster_shape *shape = cluster_shape(cluster, node);

	state->dimension_count = cluster->dimension_count;
	state->gpu_count = shape->gpu_count;
	state->gpu_model = shape->gpu_model;
	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		state->free[d] = cluster_free_amount(cluster, d, node);
	for (uint32_t i = 0; i < GPUS_MAX; i++)
		state->milli[i] = cluster_gpus(cluster, node)->free_milli[i];
}

static bool is_usable(const struct state *state, const struct request *request, int count_of_size)
{
	if (!request->gpu_count || count_of_size < request->gpu_count)
		return false;
	if (request->gpu_models && !(request->gpu_models >> state->gpu_model & 1))
		return false;
	for (uint32_t d = 0; d < state->dimension_count; d++)
		if (request->need[d] > state->free[d])
			return false;
	return true;
}

/* Expected thousandths of GPUs that the next request could not use. */
static double fragment(const struct state *state, const struct typical *typical)
{
	int count[TYPICAL_SIZES_MAX], small[TYPICAL_SIZES_MAX], total = 0;
	double sum = 0;

	for (uint32_t i = 0; i < state->gpu_count; i++)
		total += state->milli[i];
	for (uint32_t s = 0; s < typical->size_count; s++) {
		count[s] = small[s] = 0;
		for (uint32_t i = 0; i < state->gpu_count; i++) {
			count[s] += state->milli[i] >= typical->sizes[s];
			small[s] += state->milli[i] >= typical->sizes[s] ? 0 : state->milli[i];
		}
	}
	for (uint32_t k = 0; k < typical->count; k++) {
		const struct typical_kind *kind = &typical->kinds[k];

		sum += (double)kind->weight * (is_usable(state, &kind->request, count[kind->size]) ? small[kind->size] : total);
	}
	return sum;
}

static double score(double before, double after)
{
	return floor(100 / (1 + exp((after - before) / GPU_WHOLE_MILLI)));
}

static void rate(const struct cluster *cluster, const struct typical *typical, const struct request *request, uint32_t node,
		 struct policy_choice *ret_choice)
{
	struct state state;
	uint32_t able = fit_devices(cluster_gpus(cluster, node), cluster_shape(cluster, node)->gpu_count, request->gpu_milli);
	double best = INFINITY;	/* Its score is 0. */

	read_node(cluster, node, &state);
	double before = fragment(&state, typical);

	for (uint32_t d = 0; d < state.dimension_count; d++)
		state.free[d] -= request->need[d];
	ret_choice->devices = policy_tightest_devices(cluster, request, node);
	if (!request_is_share(request)) {
		for (uint32_t left = ret_choice->devices; left; left &= left - 1)
			state.milli[__builtin_ctz(left)] = 0;
		best = fragment(&state, typical);
	}
	for (uint32_t left = request_is_share(request) ? able : 0; left; left &= left - 1) {
		int i = __builtin_ctz(left);

		state.milli[i] = (int16_t)(state.milli[i] - request->gpu_milli);
		double after = fragment(&state, typical);

		state.milli[i] = (int16_t)(state.milli[i] + request->gpu_milli);
		/* Rounded here too: of devices that are about as good the first is filled. */
		if (score(before, after) > score(before, best)) {
			best = after;
			ret_choice->devices = 1u << i;
		}
	}
	ret_choice->cost = -score(before, best);
	policy_term(ret_choice, "fragmented before", before);
	policy_term(ret_choice, "fragmented after", best);
}

const struct policy policy_fragmentation = {
	.name = "fragmentation",
	.summary = "FGD: least growth of GPU capacity that typical requests cannot use",
	.is_using_mix = true,
	.rate = rate,
};
