#include "3-scheduling/scan.h"

#include <stdbool.h>
#include <stddef.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static bool covers(const int32_t *row, uint32_t stride, const int32_t *need)
{
	int32_t missing = 0;

	for (uint32_t i = 0; i < stride; i++)
		missing |= row[i] < need[i];
	return !missing;
}

static uint32_t first_portable(const int32_t *rows, uint32_t stride, uint32_t from, uint32_t count, const int32_t *need)
{
	while (from < count && !covers(rows + (size_t)from * stride, stride, need))
		from++;
	return from;
}

static const struct scan portable = { "portable", first_portable };

#if defined(__x86_64__)

__attribute__((target("avx2")))
static uint32_t first_avx2(const int32_t *rows, uint32_t stride, uint32_t from, uint32_t count, const int32_t *need)
{
	__m256i low = _mm256_loadu_si256((const __m256i *)need);
	__m256i high = stride > 8 ? _mm256_loadu_si256((const __m256i *)(need + 8)) : _mm256_setzero_si256();

	for (; from < count; from++) {
		const int32_t *row = rows + (size_t)from * stride;
		__m256i missing = _mm256_cmpgt_epi32(low, _mm256_load_si256((const __m256i *)row));

		if (stride > 8)
			missing = _mm256_or_si256(missing, _mm256_cmpgt_epi32(high, _mm256_load_si256((const __m256i *)(row + 8))));
		if (_mm256_testz_si256(missing, missing))
			break;
	}
	return from;
}

/* Two rows of 8 at once. An odd first row is taken with its neighbour before it, which is left out of the answer. */
__attribute__((target("avx512f")))
static uint32_t pairs_avx512(const int32_t *rows, uint32_t from, uint32_t count, const int32_t *need)
{
	__m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)need));
	uint32_t skipped = from & 1;

	for (from -= skipped; from < count; from += 2) {
		uint32_t missing = _mm512_cmpgt_epi32_mask(both, _mm512_load_si512(rows + (size_t)from * 8));

		if (!(missing & 0xff) && !skipped)
			return from;
		if (!(missing >> 8) && from + 1 < count)
			return from + 1;
		skipped = 0;
	}
	return count;
}

__attribute__((target("avx512f")))
static uint32_t first_avx512(const int32_t *rows, uint32_t stride, uint32_t from, uint32_t count, const int32_t *need)
{
	if (stride == 8)
		return pairs_avx512(rows, from, count, need);
	__m512i all = _mm512_loadu_si512(need);

	while (from < count && _mm512_cmpgt_epi32_mask(all, _mm512_load_si512(rows + (size_t)from * 16)))
		from++;
	return from;
}

static const struct scan avx2 = { "avx2", first_avx2 }, avx512 = { "avx512", first_avx512 };

const struct scan *scan_at(unsigned int i)
{
	switch (i) {
	case 0: return &portable;
	case 1: return __builtin_cpu_supports("avx2") ? &avx2 : NULL;
	case 2: return __builtin_cpu_supports("avx512f") ? &avx512 : NULL;
	default: return NULL;
	}
}

#else

const struct scan *scan_at(unsigned int i)
{
	return i == 0 ? &portable : NULL;
}

#endif

const struct scan *scan_best(void)
{
	unsigned int i = 0;

	while (scan_at(i + 1))
		i++;
	return scan_at(i);
}
