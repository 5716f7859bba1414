#include "3-scheduling/policy.h"

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

static uint8_t size_index(struct typical *typical, int16_t milli)
{
	uint32_t i = 0;

	while (i < typical->size_count && typical->sizes[i] != milli)
		i++;
	if (i == typical->size_count && i < TYPICAL_SIZES_MAX)
		typical->sizes[typical->size_count++] = milli;
	return (uint8_t)(i < TYPICAL_SIZES_MAX ? i : i - 1);
}

void typical_init(struct typical *typical, const struct mix *mix, double share)
{
	size_t count;
	auto_free uint32_t *order = mix_typical(mix, share, &count);
	uint64_t covered = 0;

	*typical = (struct typical){ .count = (uint32_t)(count < TYPICAL_MAX ? count : TYPICAL_MAX) };
	for (uint32_t i = 0; i < typical->count; i++)
		covered += mix->kinds[order[i]].count;
	for (uint32_t i = 0; i < typical->count; i++) {
		const struct mix_kind *kind = &mix->kinds[order[i]];
		double weight = (double)kind->count / (double)covered;

		typical->kinds[i] = (struct typical_kind){ .request = kind->request, .weight = (float)weight };
		typical->kinds[i].size = size_index(typical, kind->request.gpu_milli);
		for (int d = 0; d < DIMENSIONS_MAX; d++)
			typical->mean_need[d] += weight * kind->request.need[d];
		typical->mean_gpu_milli += weight * request_gpu_milli(&kind->request);
	}
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
