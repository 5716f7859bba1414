#include "3-scheduling/forecast/usage.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

enum {
	BUCKETS = 355,			/* The first is for zero, the last for all above a thousand times the request. */
	HISTOGRAMS = 1024, PROBES = 8,	/* A power of two. */
	HALF_LIFE_S = 36 * 3600,
	FADES = 32,			/* Steps in which a half-life passes. */
};
#define GROWTH 1.04
/* As many samples of its own as count as much as all of the level above: half a day of one instance, every five minutes. */
#define OTHERS 144.0

enum { LEVEL_ALL, LEVEL_PROJECT, LEVEL_IMAGE, LEVEL_BOTH, LEVEL_LABEL, LEVELS };

struct histogram {
	uint64_t hash;			/* 0: free. */
	int64_t faded_s, touched_s;
	double count;
	float counts[USAGE_KINDS][BUCKETS];
	uint32_t last_milli[USAGE_KINDS];
};

struct usage {
	int64_t now_s, half_life_s;
	struct histogram of[HISTOGRAMS];
};

struct usage *usage_new(int64_t half_life_s)
{
	struct usage *usage = alloc(sizeof(*usage));

	usage->half_life_s = half_life_s > 0 ? half_life_s : HALF_LIFE_S;
	usage->now_s = INT64_MIN;
	return usage;
}

void usage_free(struct usage *usage)
{
	free(usage);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	uint64_t x = (hash ^ value) * 0x9E3779B97F4A7C15u;

	x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
	return (x ^ (x >> 29)) | 1;
}

/* 0: there is no such key. */
static uint64_t hash_of(const uint64_t keys[FORECAST_KEYS], uint32_t level)
{
	switch (level) {
	case LEVEL_ALL: return 1;
	case LEVEL_PROJECT: return keys[FORECAST_PROJECT] ? mix(level, keys[FORECAST_PROJECT]) : 0;
	case LEVEL_IMAGE: return keys[FORECAST_IMAGE] ? mix(level, keys[FORECAST_IMAGE]) : 0;
	case LEVEL_LABEL: return keys[FORECAST_LABEL] ? mix(level, keys[FORECAST_LABEL]) : 0;
	default:
		return keys[FORECAST_PROJECT] && keys[FORECAST_IMAGE] ? mix(mix(level, keys[FORECAST_PROJECT]), keys[FORECAST_IMAGE]) : 0;
	}
}

/* Where the histogram is, or else would be; HISTOGRAMS when there is no such key. */
static uint32_t place_of(const struct usage *usage, uint64_t hash)
{
	uint32_t oldest = HISTOGRAMS;

	for (uint32_t i = 0; hash && i < PROBES; i++) {
		uint32_t place = (uint32_t)((hash >> 1) + i) % HISTOGRAMS;
		const struct histogram *histogram = &usage->of[place], *other = &usage->of[oldest % HISTOGRAMS];

		if (histogram->hash == hash)
			return place;
		if (oldest == HISTOGRAMS || (other->hash && (!histogram->hash || histogram->touched_s < other->touched_s)))
			oldest = place;
	}
	return oldest;
}

static uint32_t bucket_of(uint32_t milli)
{
	double bucket = milli ? 1 + log(milli) / log(GROWTH) : 0;

	return bucket < BUCKETS - 1 ? (uint32_t)bucket : BUCKETS - 1;
}

static uint32_t value_of(uint32_t bucket)
{
	return bucket ? (uint32_t)lrint(pow(GROWTH, bucket - 0.5)) : 0;
}

static void fade(struct histogram *histogram, int64_t now_s, int64_t half_life_s)
{
	int64_t passed_s = now_s - histogram->faded_s;

	if (passed_s < half_life_s / FADES)
		return;
	double kept = exp2(-(double)passed_s / (double)half_life_s);

	for (uint32_t kind = 0; kind < USAGE_KINDS; kind++)
		for (uint32_t b = 0; b < BUCKETS; b++)
			histogram->counts[kind][b] *= (float)kept;
	histogram->count *= kept;
	histogram->faded_s = now_s;
}

void usage_observe(struct usage *usage, const uint64_t keys[FORECAST_KEYS], int64_t now_s, const uint32_t milli[USAGE_KINDS])
{
	usage->now_s = now_s > usage->now_s ? now_s : usage->now_s;
	for (uint32_t level = 0; level < LEVELS; level++) {
		uint64_t hash = hash_of(keys, level);
		uint32_t place = place_of(usage, hash);

		if (place == HISTOGRAMS)
			continue;
		struct histogram *histogram = &usage->of[place];

		if (histogram->hash != hash)
			*histogram = (struct histogram){ .hash = hash, .faded_s = usage->now_s };
		fade(histogram, usage->now_s, usage->half_life_s);
		histogram->count++;
		histogram->touched_s = usage->now_s;
		for (uint32_t kind = 0; kind < USAGE_KINDS; kind++) {
			histogram->counts[kind][bucket_of(milli[kind])]++;
			histogram->last_milli[kind] = milli[kind];
		}
	}
}

static void percentiles_of(const double *shares, uint32_t milli[USAGE_PERCENTILES])
{
	static const double parts[USAGE_PERCENTILES] = { [USAGE_P50] = 0.50, [USAGE_P95] = 0.95, [USAGE_P99] = 0.99 };
	double sum = 0;
	uint32_t p = 0;

	for (uint32_t b = 0; b < BUCKETS && p < USAGE_PERCENTILES; b++)
		for (sum += shares[b]; p < USAGE_PERCENTILES && (sum >= parts[p] || b == BUCKETS - 1); p++)
			milli[p] = value_of(b);
}

void usage_expect(const struct usage *usage, const uint64_t keys[FORECAST_KEYS], struct usage_forecast *ret_forecast)
{
	double shares[USAGE_KINDS][BUCKETS] = { 0 }, from_others = 1;

	*ret_forecast = (struct usage_forecast){ 0 };
	for (uint32_t level = 0; level < LEVELS; level++) {
		uint64_t hash = hash_of(keys, level);
		uint32_t place = place_of(usage, hash);

		if (place == HISTOGRAMS || usage->of[place].hash != hash)
			continue;
		const struct histogram *histogram = &usage->of[place];
		double others = ret_forecast->is_known ? OTHERS : 0, faded = exp2(-(double)(usage->now_s - histogram->faded_s) / (double)usage->half_life_s);
		double own = histogram->count * faded;

		for (uint32_t kind = 0; kind < USAGE_KINDS; kind++)
			for (uint32_t b = 0; b < BUCKETS; b++)
				shares[kind][b] = (others * shares[kind][b] + faded * histogram->counts[kind][b]) / (others + own);
		memcpy(ret_forecast->last_milli, histogram->last_milli, sizeof(histogram->last_milli));
		from_others *= level == LEVEL_ALL ? 1 : OTHERS / (OTHERS + own);
		ret_forecast->is_known = true;
	}
	for (uint32_t kind = 0; ret_forecast->is_known && kind < USAGE_KINDS; kind++)
		percentiles_of(shares[kind], ret_forecast->milli[kind]);
	ret_forecast->confidence = 1 - from_others;
}

void usage_fill(const struct usage_forecast *from, struct forecast *forecast)
{
	forecast->is_usage_known = from->is_known;
	forecast->cpu_p95_milli = from->milli[USAGE_CPU][USAGE_P95];
	forecast->memory_p95_milli = from->milli[USAGE_MEMORY][USAGE_P95];
}
