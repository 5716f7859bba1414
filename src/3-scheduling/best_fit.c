#include "3-scheduling/best_fit.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

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

static void *aligned(size_t size_bytes)
{
	void *memory = aligned_alloc(64, (size_bytes + 63) / 64 * 64);

	if (!memory)
		abort();
	return memory;
}

static void drop_all(struct best_fit *index)
{
	for (uint32_t i = 0; i < index->bucket_count; i++) {
		free(index->buckets[i].nodes);
		free(index->buckets[i].left);
		free(index->buckets[i].rows);
	}
	free(index->buckets);
	free(index->bounds);
	free(index->group_bounds);
	free(index->places);
	free(index->rows);
	free(index->left);
}

void best_fit_free(struct best_fit *index)
{
	if (!index)
		return;
	drop_all(index);
	free(index->memos);
	free(index);
}

struct best_fit *best_fit_new(const struct cluster *cluster, const struct scan *scan)
{
	struct best_fit *index = alloc(sizeof(*index));

	index->cluster = cluster;
	index->scan = scan;
	index->stride = cluster->dimension_count > 8 ? 16 : 8;
	index->memos = alloc(MEMOS * sizeof(*index->memos));
	return index;
}

int64_t best_fit_left(const struct best_fit *index, uint32_t node)
{
	int64_t left = 0;

	for (uint32_t d = 0; d < index->cluster->dimension_count; d++)
		left += cluster_free_amount(index->cluster, d, node) * index->weight[d];
	return left;
}

/* Nodes with little left are many and must be told apart: the root spreads them. */
static uint32_t bucket_of(const struct best_fit *index, int64_t left)
{
	double part = sqrt((double)left / index->most_left);
	uint32_t bucket = (uint32_t)(part * index->bucket_count);

	return bucket < index->bucket_count ? bucket : index->bucket_count - 1;
}

/* Four at a time, which every CPU with vectors can; where single rows are concerned, calling 'scan' would cost more. */
typedef int32_t four __attribute__((vector_size(16)));

static inline void raise(int32_t *bound, const int32_t *row, uint32_t stride)
{
	four *bounds = (four *)bound;
	const four *values = (const four *)row;

	for (uint32_t i = 0; i < stride / 4; i++) {
		four is_more = values[i] > bounds[i];

		bounds[i] = (values[i] & is_more) | (bounds[i] & ~is_more);
	}
}

static inline void copy(int32_t *to, const int32_t *from, uint32_t stride)
{
	for (uint32_t i = 0; i < stride / 4; i++)
		((four *)to)[i] = ((const four *)from)[i];
}

static void grow(const struct best_fit *index, struct bucket *bucket)
{
	uint32_t capacity = bucket->capacity ? 2 * bucket->capacity : 16;
	int32_t *rows = aligned((size_t)capacity * index->stride * sizeof(*rows));

	memset(rows, 0, (size_t)capacity * index->stride * sizeof(*rows));
	if (bucket->count)
		memcpy(rows, bucket->rows, (size_t)bucket->count * index->stride * sizeof(*rows));
	free(bucket->rows);
	bucket->rows = rows;
	bucket->nodes = alloc_array(bucket->nodes, capacity, sizeof(*bucket->nodes));
	bucket->left = alloc_array(bucket->left, capacity, sizeof(*bucket->left));
	bucket->capacity = capacity;
}

/* Copies the node's columns to its row. */
static int64_t read_node(struct best_fit *index, uint32_t node)
{
	int32_t *row = index->rows + (size_t)node * index->stride;
	int64_t left = 0;

	for (uint32_t d = 0; d < index->cluster->dimension_count; d++) {
		row[d] = cluster_free_amount(index->cluster, d, node);
		left += row[d] * index->weight[d];
	}
	index->left[node] = left;
	return left;
}

static void insert(struct best_fit *index, uint32_t node)
{
	int64_t left = read_node(index, node);
	uint32_t number = bucket_of(index, left);
	struct bucket *bucket = &index->buckets[number];

	if (bucket->count == bucket->capacity)
		grow(index, bucket);
	int32_t *row = bucket->rows + (size_t)bucket->count * index->stride;

	copy(row, index->rows + (size_t)node * index->stride, index->stride);
	bucket->nodes[bucket->count] = node;
	bucket->left[bucket->count] = left;
	index->places[node] = (struct place){ .bucket = number, .slot = bucket->count++ };
	raise(index->bounds + (size_t)number * index->stride, row, index->stride);
	raise(index->group_bounds + (size_t)(number / GROUP) * index->stride, row, index->stride);
}

/* The bounds stay: too high costs a look, which lowers them. */
static void take_out(struct best_fit *index, uint32_t node)
{
	struct place place = index->places[node];

	if (place.bucket == CLUSTER_NONE)
		return;
	struct bucket *bucket = &index->buckets[place.bucket];
	uint32_t last = --bucket->count;

	if (place.slot != last) {
		bucket->nodes[place.slot] = bucket->nodes[last];
		bucket->left[place.slot] = bucket->left[last];
		copy(bucket->rows + (size_t)place.slot * index->stride, bucket->rows + (size_t)last * index->stride, index->stride);
		index->places[bucket->nodes[last]].slot = place.slot;
	}
	index->places[node].bucket = CLUSTER_NONE;
	bucket->is_bound_high = true;
}

static void weigh(struct best_fit *index)
{
	const struct cluster *cluster = index->cluster;

	for (uint32_t d = 0; d < cluster->dimension_count; d++) {
		int32_t most = 1;

		for (uint32_t node = 0; node < cluster->node_end; node++)
			most = cluster_total(cluster, d, node) > most ? cluster_total(cluster, d, node) : most;
		index->weight[d] = most < PART ? PART / most : 1;
	}
	/* Nodes that become larger than any was share the last bucket. */
	index->most_left = (double)PART * cluster->dimension_count;
}

static bool is_open(const struct cluster *cluster, uint32_t node)
{
	const struct cluster_shape *shape = cluster_shape(cluster, node);

	return shape->is_present && !shape->is_cordoned;
}

static void build(struct best_fit *index)
{
	uint32_t groups = index->cluster->node_end / NODES_PER_BUCKET / GROUP + 1;

	drop_all(index);
	groups = groups < GROUPS_MAX ? groups : GROUPS_MAX;
	index->bucket_count = groups * GROUP;
	index->buckets = alloc(index->bucket_count * sizeof(*index->buckets));
	index->bounds = aligned((size_t)index->bucket_count * index->stride * sizeof(int32_t));
	index->group_bounds = aligned((size_t)(groups + 1) * index->stride * sizeof(int32_t));
	memset(index->bounds, 0xff, (size_t)index->bucket_count * index->stride * sizeof(int32_t));
	memset(index->group_bounds, 0xff, (size_t)(groups + 1) * index->stride * sizeof(int32_t));
	index->place_count = index->cluster->node_end * 5 / 4 + 64;
	index->places = alloc_array(NULL, index->place_count, sizeof(*index->places));
	for (uint32_t i = 0; i < index->place_count; i++)
		index->places[i].bucket = CLUSTER_NONE;
	index->rows = aligned((size_t)index->place_count * index->stride * sizeof(*index->rows));
	memset(index->rows, 0, (size_t)index->place_count * index->stride * sizeof(*index->rows));
	index->left = alloc_array(NULL, index->place_count, sizeof(*index->left));
	for (int i = 0; i < MEMOS; i++)
		index->memos[i].version = 0;
	weigh(index);
	for (uint32_t node = 0; node < index->cluster->node_end; node++)
		if (is_open(index->cluster, node))
			insert(index, node);
}

static void follow(struct best_fit *index)
{
	const struct cluster *cluster = index->cluster;

	if (!index->version || cluster->version - index->version >= CLUSTER_CHANGES || cluster->node_end > index->place_count) {
		build(index);
	} else {
		for (uint64_t v = index->version + 1; v <= cluster->version; v++) {
			uint32_t node = *(const uint32_t *)cow_at(&cluster->changes, (uint32_t)(v % CLUSTER_CHANGES));

			if (cluster_shape(cluster, node)->version != v)
				continue;
			take_out(index, node);
			if (is_open(cluster, node))
				insert(index, node);
		}
	}
	index->version = cluster->version;
}

static void lower_bounds(struct best_fit *index, uint32_t number)
{
	struct bucket *bucket = &index->buckets[number];
	int32_t *bound = index->bounds + (size_t)number * index->stride;

	if (!bucket->is_bound_high)
		return;
	bucket->is_bound_high = false;
	memset(bound, 0xff, index->stride * sizeof(*bound));
	for (uint32_t i = 0; i < bucket->count; i++)
		raise(bound, bucket->rows + (size_t)i * index->stride, index->stride);
}

static void lower_group_bounds(struct best_fit *index, uint32_t group)
{
	int32_t *bound = index->group_bounds + (size_t)group * index->stride;

	memset(bound, 0xff, index->stride * sizeof(*bound));
	for (uint32_t i = group * GROUP; i < (group + 1) * GROUP; i++)
		raise(bound, index->bounds + (size_t)i * index->stride, index->stride);
}

static bool is_before(const struct best_fit *index, uint32_t a, uint32_t b)
{
	return b == CLUSTER_NONE || index->left[a] < index->left[b] || (index->left[a] == index->left[b] && a < b);
}

static inline bool has_room(const struct best_fit *index, uint32_t node, const int32_t *need)
{
	const four *row = (const four *)(index->rows + (size_t)node * index->stride), *needs = (const four *)need;
	four missing = (needs[0] > row[0]) | (needs[1] > row[1]);

	if (index->stride > 8)
		missing |= (needs[2] > row[2]) | (needs[3] > row[3]);
	return !(missing[0] | missing[1] | missing[2] | missing[3]);
}

static uint32_t best_of_bucket(const struct best_fit *index, const struct bucket *bucket, const int32_t *need)
{
	uint32_t best = CLUSTER_NONE;
	int64_t least = INT64_MAX;

	for (uint32_t i = 0; (i = index->scan->first(bucket->rows, index->stride, i, bucket->count, need)) < bucket->count; i++)
		if (bucket->left[i] < least || (bucket->left[i] == least && bucket->nodes[i] < best)) {
			least = bucket->left[i];
			best = bucket->nodes[i];
		}
	return best;
}

static uint32_t best_of_group(struct best_fit *index, uint32_t group, uint32_t from, const int32_t *need, uint32_t *ret_bucket)
{
	uint32_t end = (group + 1) * GROUP, looked_at = 0;

	for (; (from = index->scan->first(index->bounds, index->stride, from, end, need)) < end; from++, looked_at++) {
		uint32_t node = best_of_bucket(index, &index->buckets[from], need);

		if (node != CLUSTER_NONE) {
			*ret_bucket = from;
			return node;
		}
		lower_bounds(index, from);
	}
	if (looked_at)
		lower_group_bounds(index, group);
	return CLUSTER_NONE;
}

/* The best from a bucket on, and the bucket that it lies in. */
static uint32_t best_from(struct best_fit *index, uint32_t first, const int32_t *need, uint32_t *ret_bucket)
{
	uint32_t groups = index->bucket_count / GROUP;

	for (uint32_t group = first / GROUP; group < groups; group++) {
		group = index->scan->first(index->group_bounds, index->stride, group, groups, need);
		if (group == groups)
			break;
		uint32_t from = group * GROUP > first ? group * GROUP : first;
		uint32_t node = best_of_group(index, group, from, need, ret_bucket);

		if (node != CLUSTER_NONE)
			return node;
	}
	*ret_bucket = index->bucket_count;
	return CLUSTER_NONE;
}

static struct memo *find_memo(struct best_fit *index, const int32_t *need)
{
	uint64_t hash = 0;

	for (uint32_t i = 0; i < index->stride; i++)
		hash = (hash ^ (uint32_t)need[i]) * 0x9e3779b97f4a7c15u;
	struct memo *set = &index->memos[(hash >> 40) % (MEMOS / WAYS) * WAYS], *memo = set;

	for (int i = 0; i < WAYS; i++) {
		if (memcmp(set[i].need, need, sizeof(set[i].need)) == 0)
			return &set[i];
		memo = set[i].version < memo->version ? &set[i] : memo;
	}
	memo->version = 0;		/* The one asked for the longest ago makes room. */
	memcpy(memo->need, need, sizeof(memo->need));
	return memo;
}

/* Many exceptions: there is room again below 'bucket', which comes down to the middle of them. */
static void forget_upper_exceptions(const struct best_fit *index, struct memo *memo)
{
	uint32_t lowest = memo->bucket, highest = 0, kept = 0;

	for (uint32_t i = 0; i < memo->count; i++) {
		uint32_t bucket = index->places[memo->exceptions[i]].bucket;

		lowest = bucket < lowest ? bucket : lowest;
		highest = bucket > highest && bucket < memo->bucket ? bucket : highest;
	}
	memo->bucket = highest < lowest ? lowest : lowest + (highest - lowest + 1) / 2;
	for (uint32_t i = 0; i < memo->count; i++)
		if (index->places[memo->exceptions[i]].bucket < memo->bucket)
			memo->exceptions[kept++] = memo->exceptions[i];
	memo->count = kept;
}

static void add_exception(const struct best_fit *index, struct memo *memo, uint32_t node)
{
	if (memo->count == EXCEPTIONS)
		forget_upper_exceptions(index, memo);
	if (index->places[node].bucket < memo->bucket)
		memo->exceptions[memo->count++] = node;
}

/* Nodes that changed since, lie below the known bucket and have room become exceptions. */
static void learn_changes(const struct best_fit *index, struct memo *memo, const int32_t *need)
{
	const struct cluster *cluster = index->cluster;

	for (uint64_t v = memo->version + 1; v <= cluster->version; v++) {
		uint32_t node = *(const uint32_t *)cow_at(&cluster->changes, (uint32_t)(v % CLUSTER_CHANGES));

		if (index->places[node].bucket < memo->bucket && has_room(index, node, need))
			add_exception(index, memo, node);
	}
	memo->version = cluster->version;
}

/* The best exception; those that are none any more are forgotten, also what is listed twice as far as it stands together. */
static uint32_t best_exception(const struct best_fit *index, struct memo *memo, const int32_t *need)
{
	uint32_t best = CLUSTER_NONE, kept = 0;

	for (uint32_t i = 0; i < memo->count; i++) {
		uint32_t node = memo->exceptions[i];

		if (index->places[node].bucket >= memo->bucket || !has_room(index, node, need) || node == best)
			continue;
		memo->exceptions[kept++] = node;
		if (is_before(index, node, best))
			best = node;
	}
	memo->count = kept;
	return best;
}

uint32_t best_fit_choose(struct best_fit *index, const struct request *request)
{
	_Alignas(64) int32_t need[STRIDE_MAX] = { 0 };
	int64_t least = 0;
	uint32_t node = CLUSTER_NONE;

	assert(!request->gpu_count);
	follow(index);
	for (uint32_t d = 0; d < index->cluster->dimension_count; d++) {
		need[d] = request->need[d];
		least += need[d] * index->weight[d];	/* No node with less left has room. */
	}
	struct memo *memo = find_memo(index, need);

	if (!memo->version || index->cluster->version - memo->version > CHANGES_WORTH) {
		memo->bucket = bucket_of(index, least);
		memo->count = 0;
		memo->version = index->cluster->version;
	} else {
		learn_changes(index, memo, need);
		node = best_exception(index, memo, need);
	}
	return node != CLUSTER_NONE ? node : best_from(index, memo->bucket, need, &memo->bucket);
}
