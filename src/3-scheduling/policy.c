#include "3-scheduling/policy.h"

#include <math.h>

#include "3-scheduling/fit.h"
#include "base/mem.h"
#include "base/str.h"

static const struct policy *const policies[] = {
	&policy_default, &policy_first_fit, &policy_binpack, &policy_spread, &policy_dotproduct, &policy_fragmentation,
};

const struct policy *policy_at(size_t i)
{
	return i < ARRAY_COUNT(policies) ? policies[i] : NULL;
}

const struct policy *policy_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(policies); i++)
		if (text_equal(policies[i]->name, name))
			return policies[i];
	return NULL;
}

uint32_t policy_tightest_devices(const struct cluster *cluster, const struct request *request, uint32_t node)
{
	const struct cluster_gpus *gpus = cluster_gpus(cluster, node);
	uint32_t able = fit_devices(gpus, cluster_shape(cluster, node)->gpu_count, request->gpu_milli);
	uint32_t chosen = 0;

	for (int16_t n = 0; n < request->gpu_count; n++) {
		int best = -1;

		for (uint32_t left = able & ~chosen; left; left &= left - 1) {
			int i = __builtin_ctz(left);

			if (best < 0 || gpus->free_milli[i] < gpus->free_milli[best])
				best = i;
		}
		chosen |= 1u << best;
	}
	return chosen;
}

void policy_term(struct policy_choice *choice, const char *name, double value)
{
	choice->terms[choice->term_count].name = name;
	choice->terms[choice->term_count++].value = value;
}

int32_t policy_free_gpu_milli(const struct cluster *cluster, uint32_t node)
{
	const struct cluster_gpus *gpus = cluster_gpus(cluster, node);
	int32_t sum = 0;

	for (uint32_t i = 0; i < GPUS_MAX; i++)
		sum += gpus->free_milli[i];
	return sum;
}

double policy_free_part(const struct cluster *cluster, uint32_t node)
{
	uint32_t gpus = cluster_shape(cluster, node)->gpu_count;
	double least = gpus ? policy_free_gpu_milli(cluster, node) / ((double)GPU_WHOLE_MILLI * gpus) : 1;

	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		double total = cluster_total(cluster, d, node);

		if (total > 0)
			least = fmin(least, cluster_free_amount(cluster, d, node) / total);
	}
	return least;
}
