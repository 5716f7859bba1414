/*
 * scarcity.h - how many requests wait for each GPU: demand over supply, by GPU model and GPUs per node.
 *
 * A kind of request asks for its share of the cluster's GPUs, as if just as much were asked for as there is, and it asks
 * for those of the nodes that could serve it if they were empty: by model, by the number of GPUs, by every dimension. What
 * few nodes can serve therefore weighs much on those, and what any can serve weighs the same everywhere. 1 is the mean.
 *
 * All kinds count, however rare: many rare kinds together fill a model.
 *
 * Pure. Nodes of one model and count are taken to be as large as the largest of them.
 */
#ifndef SCHEDULING_SCARCITY_H
#define SCHEDULING_SCARCITY_H

#include "3-scheduling/cluster.h"
#include "3-scheduling/mix.h"

struct scarcity {
	float demand[GPU_MODELS_MAX][GPUS_MAX + 1];	/* Per GPU of a node of that model with so many; 0 where there is none. */
};

/* The mix has only requests that passed cluster_check_request(). Nodes that are cordoned supply nothing. */
void scarcity_init(struct scarcity *scarcity, const struct mix *mix, const struct cluster *cluster);

#endif
