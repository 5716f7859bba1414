/*
 * The node whose free amounts point the same way as the request (Panigrahy et al., "Heuristics for Vector Bin
 * Packing", 2011): the cosine between both, each dimension measured against the node.
 */
#include "3-scheduling/policy.h"

#include <math.h>

struct sums { double dot, free, need; };

static void add(struct sums *sums, double free, double need)
{
	sums->dot += free * need;
	sums->free += free * free;
	sums->need += need * need;
}

static void rate(const struct cluster *cluster, const struct typical *typical, const struct request *request, uint32_t node,
		 struct policy_choice *ret_choice)
{
	uint32_t gpu_count = cluster_shape(cluster, node)->gpu_count;
	struct sums sums = { 0 };

	(void)typical;
	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		double total = cluster_total(cluster, d, node);

		if (total > 0)
			add(&sums, cluster_free_amount(cluster, d, node) / total, request->need[d] / total);
	}
	if (gpu_count)
		add(&sums, policy_free_gpu_milli(cluster, node) / (1000.0 * gpu_count), request_gpu_milli(request) / (1000.0 * gpu_count));
	ret_choice->cost = sums.free > 0 && sums.need > 0 ? -sums.dot / sqrt(sums.free * sums.need) : 0;
	policy_term(ret_choice, "cosine", -ret_choice->cost);
	ret_choice->devices = policy_tightest_devices(cluster, request, node);
}

const struct policy policy_dotproduct = {
	.name = "dotproduct",
	.summary = "the node whose free amounts have the shape of the request",
	.rate = rate,
};
