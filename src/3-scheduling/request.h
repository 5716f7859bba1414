/*
 * request.h - what an instance asks of a node.
 *
 * Units: need[d] counts the unit of dimension d of the cluster it is meant for; gpu_milli is thousandths of one device.
 * A request is either without GPU (gpu_count 0), a share of one device (1 and less than 1000) or whole devices
 * (any count and 1000).
 */
#ifndef SCHEDULING_REQUEST_H
#define SCHEDULING_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

enum { DIMENSIONS_MAX = 16, GPUS_MAX = 16, GPU_MODELS_MAX = 64, GPU_WHOLE_MILLI = 1000 };

struct request {
	int32_t need[DIMENSIONS_MAX];	/* Beyond the cluster's dimensions: zero. */
	uint64_t gpu_models;		/* Bit m: model m of the cluster will do; 0: any. */
	int16_t gpu_count;
	int16_t gpu_milli;		/* Of each of them. */
};

static inline bool request_is_share(const struct request *request)
{
	return request->gpu_count == 1 && request->gpu_milli < GPU_WHOLE_MILLI;
}

static inline int32_t request_gpu_milli(const struct request *request)
{
	return (int32_t)request->gpu_count * request->gpu_milli;
}

#endif
