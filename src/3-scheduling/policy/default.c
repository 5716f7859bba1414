/*
 * What will this decision waste? Estimated in GPUs, from the typical requests, as the sum of
 *
 * holes    - the free part of a shared GPU that nothing will fill: a Markov chain over the sizes that are asked for
 *            (typical.c). 470 beside 470 leaves 60 for ever; in a hole of 530 it is better than on a whole GPU.
 * starving - free GPUs that will lack CPU, memory or another dimension. With g GPUs and an amount a free, a kind that needs n
 *            per GPU can use them as far as a/g reaches n. Asking for the amount per free GPU, not whether one more request
 *            fits, tells early that a node runs out of CPU before it runs out of GPUs: that is what FGD does not see. Kinds
 *            that do not accept the model cannot use them at all, so that what few accept is given first to others.
 * opening  - a node that is still empty is worth keeping: for requests of many whole GPUs, and because a node that is being
 *            filled is offered all that comes. One with much of the scarcest dimension per GPU is opened first.
 * scarcity - GPUs that are asked for by requests which few nodes can serve (scarcity.c), because of the model, the number of
 *            GPUs or what they need beside: others take them last. What is wanted twice as much costs four times: as long
 *            as there is enough for all it hardly matters who takes it.
 *
 * The sum is rounded: among nodes that waste about as much the first is filled, which gathers the load.
 * Measured against FGD and others by `strata-sched replay`; the weights were chosen on other seeds than those reported.
 */
#include <math.h>

#include "3-scheduling/fit.h"
#include "3-scheduling/policy.h"

#define HOLE_WEIGHT 2.0
#define STARVING_WEIGHT 2.5
#define OPENING_GPUS 0.3
#define OPENING_FOR_RICHNESS 0.45	/* How much less for a node with just what the mix needs per GPU; twice that for twice as much. */
#define SCARCITY_WEIGHT 0.3		/* Of a GPU with the mean demand. Less loses requests for few models, more gains nothing. */
#define STEPS_PER_GPU 8.0

/* Lowers what each of eight kinds can use by the models that they accept. */
static void heed_models(const uint64_t *models, uint32_t model, float *usable)
{
	for (int i = 0; i < 8; i++)
		if (models[i] && !(models[i] >> model & 1))
			usable[i] = 0;
}

/* Of the weight of the typical requests, the part that cannot use free GPUs with so much of each dimension beside each. */
static double starving_part(const struct typical *typical, uint32_t dimension_count, const float *per_gpu, uint32_t model)
{
	float sum[8] = { 0 };
	double total = 0;

	for (uint32_t k = 0; k < typical->gpu_kind_count; k += 8) {
		const float *weight = &typical->gpu_weight[k];
		float usable[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };

		for (uint32_t d = 0; d < dimension_count; d++) {
			const float *gpus_per_unit = &typical->gpus_per_unit[d][k];

			for (int i = 0; i < 8; i++) {
				float served = per_gpu[d] * gpus_per_unit[i];

				usable[i] = served < usable[i] ? served : usable[i];
			}
		}
		if (typical->is_model_asked_for)
			heed_models(&typical->gpu_models[k], model, usable);
		for (int i = 0; i < 8; i++)
			sum[i] += (1 - usable[i]) * (1 - usable[i]) * weight[i];
	}
	for (int i = 0; i < 8; i++)
		total += (double)sum[i];
	return total;
}

struct before {				/* Of the node, whatever the device. */
	double free[DIMENSIONS_MAX];
	double gpus;
	const struct cluster_shape *shape;
};

static double starving(const struct cluster *cluster, const struct typical *typical, const struct before *before, const struct request *request)
{
	float per_gpu[DIMENSIONS_MAX];
	double gpus = before->gpus - (request ? request_gpu_milli(request) / (double)GPU_WHOLE_MILLI : 0);

	if (gpus <= 0)
		return 0;
	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		per_gpu[d] = (float)(before->free[d] - (request ? request->need[d] : 0)) / (float)gpus;
	return gpus * starving_part(typical, cluster->dimension_count, per_gpu, before->shape->gpu_model);
}

static double opening(const struct cluster *cluster, const struct typical *typical, const struct before *before)
{
	double least = INFINITY;

	if (before->shape->bound_count)
		return 0;
	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		double richness = before->free[d] * typical->mean_gpus_per_unit[d] / (before->gpus > 0 ? before->gpus : 1);

		if (typical->mean_gpus_per_unit[d] > 0 && richness < least)
			least = richness;
	}
	return OPENING_GPUS * (isinf(least) ? 1 : 1 - OPENING_FOR_RICHNESS * least);
}

/* Chooses the device of a share, and returns what the hole that it leaves wastes more than the one it fills. */
static double share_device(const struct cluster *cluster, const struct typical *typical, const struct request *request, uint32_t node,
			   uint32_t *ret_devices)
{
	const struct cluster_gpus *gpus = cluster_gpus(cluster, node);
	double best = INFINITY;

	for (uint32_t left = fit_devices(gpus, cluster_shape(cluster, node)->gpu_count, request->gpu_milli); left; left &= left - 1) {
		int i = __builtin_ctz(left);
		double growth = (double)(typical->hole_waste_milli[gpus->free_milli[i] - request->gpu_milli] -
					 typical->hole_waste_milli[gpus->free_milli[i]]) / GPU_WHOLE_MILLI;

		if (growth < best - 1e-9) {
			best = growth;
			*ret_devices = 1u << i;
		}
	}
	return best;
}

static double scarcity(const struct typical *typical, const struct request *request, const struct cluster_shape *shape)
{
	double demand = (double)typical->scarcity.demand[shape->gpu_model][shape->gpu_count];

	return demand * demand * request_gpu_milli(request) / GPU_WHOLE_MILLI;
}

static void rate(const struct cluster *cluster, const struct typical *typical, const struct request *request, uint32_t node,
		 struct policy_choice *ret_choice)
{
	struct before before = { .shape = cluster_shape(cluster, node), .gpus = policy_free_gpu_milli(cluster, node) / (double)GPU_WHOLE_MILLI };
	double holes = 0, left = 0;

	for (uint32_t d = 0; d < cluster->dimension_count; d++)
		before.free[d] = cluster_free_amount(cluster, d, node);
	if (request_is_share(request))
		holes = share_device(cluster, typical, request, node, &ret_choice->devices);
	else
		ret_choice->devices = policy_tightest_devices(cluster, request, node);
	double more = starving(cluster, typical, &before, request) - starving(cluster, typical, &before, NULL);
	double opened = opening(cluster, typical, &before), scarce = scarcity(typical, request, before.shape);

	if (!before.shape->gpu_count)		/* No GPU to waste: best fit. */
		for (uint32_t d = 0; d < cluster->dimension_count; d++)
			left += cluster_total(cluster, d, node) ? (before.free[d] - request->need[d]) / cluster_total(cluster, d, node) : 0;
	policy_term(ret_choice, "holes", holes);
	policy_term(ret_choice, "starving", more);
	policy_term(ret_choice, "opening", opened);
	policy_term(ret_choice, "scarcity", scarce);
	ret_choice->cost = floor((HOLE_WEIGHT * holes + STARVING_WEIGHT * more + opened + SCARCITY_WEIGHT * scarce) * STEPS_PER_GPU + 1e-6);
	if (!before.shape->gpu_count)
		ret_choice->cost += 0.5 * left / cluster->dimension_count;
}

const struct policy policy_default = {
	.name = "default",
	.summary = "least expected waste: holes in shared GPUs, GPUs without CPU or memory, nodes opened too early",
	.is_using_mix = true,
	.rate = rate,
};
