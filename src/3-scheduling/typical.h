/*
 * typical.h - the requests to expect, and what follows from them for any node: derived once from a mix, then read by
 * the policies for every node.
 *
 * Pure. Units: thousandths of a GPU, the cluster's own for the rest.
 */
#ifndef SCHEDULING_TYPICAL_H
#define SCHEDULING_TYPICAL_H

#include "3-scheduling/scarcity.h"

enum { TYPICAL_MAX = 256, TYPICAL_SIZES_MAX = TYPICAL_MAX };

struct typical_kind {
	struct request request;
	double weight;			/* Share of it among the typical ones: their sum is 1. */
	uint8_t size;			/* Index of gpu_milli in 'sizes'. */
};

struct typical {
	struct typical_kind kinds[TYPICAL_MAX];	/* Most frequent first. */
	uint32_t count;
	int16_t sizes[TYPICAL_SIZES_MAX];	/* The different gpu_milli. */
	uint32_t size_count;

	/* Of a GPU with that much free: how much of it will probably stay unused for good. */
	float hole_waste_milli[GPU_WHOLE_MILLI + 1];

	/* The kinds with GPUs as columns, filled up to a multiple of 8 with some that weigh nothing. */
	uint32_t gpu_kind_count;
	float gpu_weight[TYPICAL_MAX];		/* Share of the GPU capacity asked for: their sum is 1. */
	float gpus_per_unit[DIMENSIONS_MAX][TYPICAL_MAX];	/* GPUs of that kind that one unit of the dimension serves. */
	uint64_t gpu_models[TYPICAL_MAX];
	bool is_model_asked_for;		/* By any of them. */
	double mean_gpus_per_unit[DIMENSIONS_MAX];	/* By what all of them need together. */

	struct scarcity scarcity;	/* From the whole mix. */
};

/* The mix has only requests that passed cluster_check_request(); the cluster is the one they will come to. */
void typical_init(struct typical *typical, const struct mix *mix, double share, const struct cluster *cluster);

#endif
