#include "3-scheduling/mix.h"

#include <string.h>

#include "base/mem.h"

/* FNV-1a over words: requests are no secret and their kinds are few. */
static uint64_t hash_request(const struct request *request)
{
	uint64_t hash = 14695981039346656037u;

	for (int d = 0; d < DIMENSIONS_MAX; d++)
		hash = (hash ^ (uint32_t)request->need[d]) * 1099511628211u;
	hash = (hash ^ request->gpu_models) * 1099511628211u;
	hash = (hash ^ (uint32_t)((uint16_t)request->gpu_count << 16 | (uint16_t)request->gpu_milli)) * 1099511628211u;
	return hash ^ hash >> 29;
}

static bool is_equal(const struct request *a, const struct request *b)
{
	return memcmp(a->need, b->need, sizeof(a->need)) == 0 && a->gpu_models == b->gpu_models && a->gpu_count == b->gpu_count &&
	       a->gpu_milli == b->gpu_milli;
}

static uint32_t *find_slot(const struct mix *mix, const struct request *request)
{
	uint32_t i = (uint32_t)hash_request(request) & (mix->slot_count - 1);

	while (mix->slots[i] && !is_equal(&mix->kinds[mix->slots[i] - 1].request, request))
		i = (i + 1) & (mix->slot_count - 1);
	return &mix->slots[i];
}

static void grow(struct mix *mix)
{
	free(mix->slots);
	mix->slot_count = mix->slot_count ? 2 * mix->slot_count : 64;
	mix->slots = alloc(mix->slot_count * sizeof(*mix->slots));
	for (uint32_t i = 0; i < mix->kind_count; i++)
		*find_slot(mix, &mix->kinds[i].request) = i + 1;
}

uint32_t mix_kind_of(struct mix *mix, const struct request *request)
{
	if (2 * mix->kind_count >= mix->slot_count)
		grow(mix);

	uint32_t *slot = find_slot(mix, request);

	if (*slot)
		return *slot - 1;
	if (mix->kind_count == mix->kind_capacity) {
		mix->kind_capacity = mix->kind_capacity ? 2 * mix->kind_capacity : 32;
		mix->kinds = alloc_array(mix->kinds, mix->kind_capacity, sizeof(*mix->kinds));
	}
	mix->kinds[mix->kind_count] = (struct mix_kind){ .request = *request };
	*slot = ++mix->kind_count;
	return mix->kind_count - 1;
}

uint32_t mix_add(struct mix *mix, const struct request *request)
{
	uint32_t kind = mix_kind_of(mix, request);

	mix->kinds[kind].count++;
	mix->total++;
	return kind;
}

static int compare_counts(const void *a, const void *b, void *arg)
{
	const struct mix_kind *kinds = arg;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;

	if (kinds[i].count != kinds[j].count)
		return kinds[i].count < kinds[j].count ? 1 : -1;
	return i < j ? -1 : 1;
}

uint32_t *mix_typical(const struct mix *mix, double share, size_t *ret_count)
{
	uint32_t *order = alloc_array(NULL, mix->kind_count ? mix->kind_count : 1, sizeof(*order));
	uint64_t covered = 0;
	size_t count = 0;

	for (uint32_t i = 0; i < mix->kind_count; i++)
		order[i] = i;
	qsort_r(order, mix->kind_count, sizeof(*order), compare_counts, mix->kinds);
	while (count < mix->kind_count && mix->kinds[order[count]].count && (double)covered < share * (double)mix->total)
		covered += mix->kinds[order[count++]].count;
	*ret_count = count;
	return order;
}

void mix_keep(struct mix *mix, size_t count)
{
	struct mix kept = { 0 };
	size_t typical;
	auto_free uint32_t *order = mix_typical(mix, 1, &typical);

	for (size_t i = 0; i < typical && i < count; i++) {
		const struct mix_kind *kind = &mix->kinds[order[i]];
		uint32_t number = mix_kind_of(&kept, &kind->request);

		kept.kinds[number].count = kind->count;
		kept.total += kind->count;
	}
	mix_done(mix);
	*mix = kept;
}

void mix_done(struct mix *mix)
{
	free(mix->kinds);
	free(mix->slots);
	*mix = (struct mix){ 0 };
}
