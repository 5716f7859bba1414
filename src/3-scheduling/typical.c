#include "3-scheduling/typical.h"

#include <math.h>

#include "base/mem.h"

/*
 * How many typical requests a hole is offered before the cluster is full. Fewer make every hole a loss, many more hide that
 * those which would fill it are rare; 50 to 200 give the same decisions nearly everywhere.
 */
#define OFFERS 100.0
/* Serves any number: of a dimension that a kind does not need. */
#define NO_NEED 1e12f

static uint8_t size_index(struct typical *typical, int16_t milli)
{
	uint32_t i = 0;

	while (i < typical->size_count && typical->sizes[i] != milli)
		i++;
	if (i == typical->size_count)		/* There are no more sizes than kinds. */
		typical->sizes[typical->size_count++] = milli;
	return (uint8_t)i;
}

/*
 * A hole takes one of the requests that fit it, by their weight, and what is left is a smaller hole. That any comes at
 * all is the less probable the fewer fit.
 */
static void derive_holes(struct typical *typical)
{
	double weight[TYPICAL_SIZES_MAX] = { 0 };

	for (uint32_t k = 0; k < typical->count; k++)
		if (typical->kinds[k].request.gpu_count == 1)
			weight[typical->kinds[k].size] += typical->kinds[k].weight;
	for (int hole = 0; hole <= GPU_WHOLE_MILLI; hole++) {
		double fitting = 0, waste = 0;

		for (uint32_t s = 0; s < typical->size_count; s++) {
			if (typical->sizes[s] > hole || weight[s] <= 0)
				continue;
			fitting += weight[s];
			waste += weight[s] * (double)typical->hole_waste_milli[hole - typical->sizes[s]];
		}
		double taken = 1 - exp(-OFFERS * fitting);

		typical->hole_waste_milli[hole] = (float)(fitting > 0 ? taken * waste / fitting + (1 - taken) * hole : hole);
	}
}

static void derive_column(struct typical *typical, const struct typical_kind *kind, double gpu_sum, double *need_sum)
{
	uint32_t column = typical->gpu_kind_count++;
	double gpus = request_gpu_milli(&kind->request) / (double)GPU_WHOLE_MILLI;

	typical->gpu_weight[column] = (float)(kind->weight * gpus / gpu_sum);
	typical->gpu_models[column] = kind->request.gpu_models;
	typical->is_model_asked_for |= kind->request.gpu_models != 0;
	for (int d = 0; d < DIMENSIONS_MAX; d++) {
		typical->gpus_per_unit[d][column] = kind->request.need[d] ? (float)(gpus / kind->request.need[d]) : NO_NEED;
		need_sum[d] += kind->weight * kind->request.need[d];
	}
}

static void derive_columns(struct typical *typical)
{
	double gpu_sum = 0, need_sum[DIMENSIONS_MAX] = { 0 };

	for (uint32_t k = 0; k < typical->count; k++)
		gpu_sum += typical->kinds[k].weight * request_gpu_milli(&typical->kinds[k].request) / GPU_WHOLE_MILLI;
	for (uint32_t k = 0; k < typical->count; k++)
		if (typical->kinds[k].request.gpu_count)
			derive_column(typical, &typical->kinds[k], gpu_sum, need_sum);
	while (typical->gpu_kind_count % 8)
		typical->gpu_kind_count++;
	for (int d = 0; d < DIMENSIONS_MAX; d++)
		typical->mean_gpus_per_unit[d] = need_sum[d] > 0 ? gpu_sum / need_sum[d] : 0;
}

void typical_init(struct typical *typical, const struct mix *mix, double share, const struct cluster *cluster)
{
	size_t count;
	auto_free uint32_t *order = mix_typical(mix, share, &count);
	uint64_t covered = 0;

	*typical = (struct typical){ .count = (uint32_t)(count < TYPICAL_MAX ? count : TYPICAL_MAX) };
	for (uint32_t i = 0; i < typical->count; i++)
		covered += mix->kinds[order[i]].count;
	for (uint32_t i = 0; i < typical->count; i++) {
		const struct mix_kind *kind = &mix->kinds[order[i]];

		typical->kinds[i] = (struct typical_kind){ .request = kind->request, .weight = (double)kind->count / (double)covered };
		typical->kinds[i].size = size_index(typical, kind->request.gpu_milli);
	}
	derive_holes(typical);
	derive_columns(typical);
	scarcity_init(&typical->scarcity, mix, cluster);
}
