#include "3-scheduling/best_fit_private.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

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
uint32_t best_fit_bucket(const struct best_fit *index, int64_t left)
{
	double part = sqrt((double)left / index->most_left);
	uint32_t bucket = (uint32_t)(part * index->bucket_count);

	return bucket < index->bucket_count ? bucket : index->bucket_count - 1;
}

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
	uint32_t number = best_fit_bucket(index, left);
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

void best_fit_follow(struct best_fit *index)
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

void best_fit_lower_bounds(struct best_fit *index, uint32_t number)
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

void best_fit_lower_group_bounds(struct best_fit *index, uint32_t group)
{
	int32_t *bound = index->group_bounds + (size_t)group * index->stride;

	memset(bound, 0xff, index->stride * sizeof(*bound));
	for (uint32_t i = group * GROUP; i < (group + 1) * GROUP; i++)
		raise(bound, index->bounds + (size_t)i * index->stride, index->stride);
}
