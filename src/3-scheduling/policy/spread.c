/* The node whose fullest dimension is the least full afterwards: what is bound together fails together. */
#include "3-scheduling/policy.h"

static void rate(const struct cluster *cluster, const struct typical *typical, const struct request *request, uint32_t node,
		 struct policy_choice *ret_choice)
{
	uint32_t gpu_count = cluster_shape(cluster, node)->gpu_count;
	double fullest = 0;

	(void)typical;
	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		double total = cluster_total(cluster, d, node);
		double used = total - cluster_free_amount(cluster, d, node) + request->need[d];

		if (total > 0 && used / total > fullest)
			fullest = used / total;
	}
	policy_term(ret_choice, "fullest dimension", fullest);
	if (gpu_count) {
		double gpus = 1 - (policy_free_gpu_milli(cluster, node) - request_gpu_milli(request)) / (1000.0 * gpu_count);

		policy_term(ret_choice, "GPUs", gpus);
		fullest = gpus > fullest ? gpus : fullest;
	}
	ret_choice->cost = fullest;
	ret_choice->devices = policy_tightest_devices(cluster, request, node);
}

const struct policy policy_spread = {
	.name = "spread",
	.summary = "the node that is the least full afterwards",
	.rate = rate,
};
