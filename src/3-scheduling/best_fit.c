#include "3-scheduling/best_fit_private.h"

#include <assert.h>
#include <string.h>

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
		best_fit_lower_bounds(index, from);
	}
	if (looked_at)
		best_fit_lower_group_bounds(index, group);
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
	int32_t need[STRIDE_MAX] = { 0 };
	int64_t least = 0;
	uint32_t node = CLUSTER_NONE;

	assert(!request->gpu_count);
	best_fit_follow(index);
	for (uint32_t d = 0; d < index->cluster->dimension_count; d++) {
		need[d] = request->need[d];
		least += need[d] * index->weight[d];	/* No node with less left has room. */
	}
	struct memo *memo = find_memo(index, need);

	if (!memo->version || index->cluster->version - memo->version > CHANGES_WORTH) {
		memo->bucket = best_fit_bucket(index, least);
		memo->count = 0;
		memo->version = index->cluster->version;
	} else {
		learn_changes(index, memo, need);
		node = best_exception(index, memo, need);
	}
	return node != CLUSTER_NONE ? node : best_from(index, memo->bucket, need, &memo->bucket);
}
