/*
 * best_fit.h - exact best fit over any number of nodes, a million decisions a second.
 *
 * The best node is the one with the least left: the sum over the dimensions of what is free, each in hundred-millionths
 * of the largest total. What a request takes of that sum is the same on every node, so the order of nodes does not depend
 * on the request: they lie in buckets by what is left, and the first bucket with a node that has room has the best. Each
 * bucket and each group of buckets knows an upper bound of what its nodes have free, by which most are skipped.
 *
 * Requests that are asked for again (flavours) cost less: it is remembered below which bucket no node has room for them, but
 * for some that changed since. Only those are looked at, then the buckets from there on.
 *
 * GPUs are not looked at, only dimensions: a device class that is counted can be a dimension.
 *
 * The index follows the cluster by its list of changes. Ties: the lowest node. Threads: as the cluster's.
 * Memory: 88 bytes per node with up to 8 dimensions, 152 with more; 1 MiB for what is remembered.
 */
#ifndef SCHEDULING_BEST_FIT_H
#define SCHEDULING_BEST_FIT_H

#include "3-scheduling/cluster.h"
#include "3-scheduling/scan.h"

struct best_fit;

struct best_fit *best_fit_new(const struct cluster *cluster, const struct scan *scan);
void best_fit_free(struct best_fit *index);
static inline void best_fit_freep(struct best_fit **index) { best_fit_free(*index); }
#define auto_best_fit __attribute__((cleanup(best_fit_freep)))

/* The node, or CLUSTER_NONE when it fits nowhere. The request has passed cluster_check_request() and has no GPU. */
uint32_t best_fit_choose(struct best_fit *index, const struct request *request);
/* What is left on a node: the lowest that fits wins. */
int64_t best_fit_left(const struct best_fit *index, uint32_t node);

#endif
