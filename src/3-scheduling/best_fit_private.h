/* best_fit_private.h - what best_fit.c (choosing) and best_fit_index.c (where nodes lie) share. */
#ifndef SCHEDULING_BEST_FIT_PRIVATE_H
#define SCHEDULING_BEST_FIT_PRIVATE_H

#include <stdbool.h>

#include "3-scheduling/best_fit.h"

enum { GROUP = 64, GROUPS_MAX = 64, NODES_PER_BUCKET = 24, STRIDE_MAX = 16, MEMOS = 1024, WAYS = 4, EXCEPTIONS = 24, CHANGES_WORTH = 2048 };
#define PART 100000000LL		/* Of the largest total of a dimension; 16 sums of int32 of it fit an int64. */

struct bucket {
	bool is_bound_high;		/* A node was taken out since the bound was found. */
	uint32_t count, capacity;
	uint32_t *nodes;
	int64_t *left;			/* Of the same nodes. */
	int32_t *rows;			/* What they have free. */
};

struct place { uint32_t bucket, slot; };	/* Where a node lies; bucket CLUSTER_NONE: nowhere. */

/* What is known of a request that was asked for: nodes in buckets below 'bucket' have no room, but for the exceptions. */
struct memo {
	int32_t need[STRIDE_MAX];
	uint64_t version;		/* Of the cluster when that was so; 0: nothing is known. */
	uint32_t bucket, count;
	uint32_t exceptions[EXCEPTIONS];
};

struct best_fit {
	struct memo *memos;
	int32_t *rows;			/* By node: what is free. */
	int64_t *left;			/* By node. */
	const struct cluster *cluster;
	const struct scan *scan;
	uint64_t version;
	uint32_t stride, bucket_count;
	int64_t weight[DIMENSIONS_MAX];
	double most_left;
	struct bucket *buckets;
	int32_t *bounds, *group_bounds;	/* A row each: at least what any of its nodes has free, -1 when there is none. */
	struct place *places;
	uint32_t place_count;
};

/* Four at a time, which every CPU with vectors can; where single rows are concerned, calling 'scan' would cost more. */
typedef int32_t four __attribute__((vector_size(16)));

uint32_t best_fit_bucket(const struct best_fit *index, int64_t left);
void best_fit_follow(struct best_fit *index);		/* What changed in the cluster. */
/* To what the bucket's nodes have; to what the group's buckets have. */
void best_fit_lower_bounds(struct best_fit *index, uint32_t number);
void best_fit_lower_group_bounds(struct best_fit *index, uint32_t group);

#endif
