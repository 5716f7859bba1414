/* cluster_private.h - what cluster.c and cluster_bind.c share. */
#ifndef SCHEDULING_CLUSTER_PRIVATE_H
#define SCHEDULING_CLUSTER_PRIVATE_H

#include "3-scheduling/cluster.h"

struct binding {
	uint32_t node;			/* CLUSTER_NONE: free, and 'next' is the next free one. */
	uint32_t next, previous;	/* Of the same node. */
	uint32_t devices;
	uint64_t gpu_models;
	int16_t gpu_count, gpu_milli;
	int32_t need[];			/* One per dimension. */
};

static inline size_t binding_size(const struct cluster *cluster)
{
	return (sizeof(struct binding) + cluster->dimension_count * sizeof(int32_t) + 7) / 8 * 8;
}

void cluster_changed(struct cluster *cluster, uint32_t node);

#endif
