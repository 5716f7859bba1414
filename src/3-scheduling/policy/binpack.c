/* Best fit: the node with the least left afterwards, each dimension measured against what the node has. */
#include "3-scheduling/policy.h"

static void rate(const struct cluster *cluster, const struct typical *typical, const struct request *request, uint32_t node,
		 struct policy_choice *ret_choice)
{
	double left = 0;

	(void)typical;
	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		double total = cluster_total(cluster, d, node);

		left += total > 0 ? (cluster_free_amount(cluster, d, node) - request->need[d]) / total : 0;
	}
	policy_term(ret_choice, "left of dimensions", left);
	if (cluster_shape(cluster, node)->gpu_count) {
		double gpus = (policy_free_gpu_milli(cluster, node) - request_gpu_milli(request)) / 1000.0;

		policy_term(ret_choice, "left of GPUs", gpus);
		left += gpus;
	}
	ret_choice->cost = left;
	ret_choice->devices = policy_tightest_devices(cluster, request, node);
}

const struct policy policy_binpack = {
	.name = "binpack",
	.summary = "best fit: the node with the least left",
	.rate = rate,
};
