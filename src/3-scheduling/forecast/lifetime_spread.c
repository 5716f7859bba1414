/*
 * How lifetimes spread within a class, and what follows for the time that is left.
 *
 * A flavour's own spread counts as far as it has been seen; below that the spread of all flavours stands in. What has become
 * older than anything known is expected to live as long again.
 */
#include "3-scheduling/forecast/lifetime_private.h"

#include <math.h>

/* As many of its own as weigh half; the most that are counted before all are halved. */
#define OTHERS 8.0
#define MOST 4096.0f

static uint32_t bucket_of(int64_t lives_s)
{
	double bucket = lives_s > 1 ? 4 * log2((double)lives_s) : 0;

	return bucket < SPREAD_BUCKETS - 1 ? (uint32_t)bucket : SPREAD_BUCKETS - 1;
}

void spreads_init(struct spreads *spreads, const struct lifetime_options *options)
{
	for (uint32_t c = 0; c <= options->bound_count; c++) {
		double low = c ? (double)options->bounds_s[c - 1] : 1;
		double high = c < options->bound_count ? (double)options->bounds_s[c] : 4 * low;

		spreads->counts[FLAVOURS][c][bucket_of((int64_t)sqrt(low * high))] = 0.01f;
	}
}

void spreads_add(struct spreads *spreads, uint32_t flavour, uint32_t class, int64_t lives_s)
{
	for (uint32_t i = 0; i < 2; i++) {
		float *counts = spreads->counts[i ? FLAVOURS : flavour][class], sum = 0;

		counts[bucket_of(lives_s)]++;
		for (uint32_t b = 0; b < SPREAD_BUCKETS; b++)
			sum += counts[b];
		for (uint32_t b = 0; sum > MOST && b < SPREAD_BUCKETS; b++)
			counts[b] /= 2;
	}
}

static double sum_of(const float *counts)
{
	double sum = 0;

	for (uint32_t b = 0; b < SPREAD_BUCKETS; b++)
		sum += counts[b];
	return sum;
}

void spreads_walk(const struct spreads *spreads, const struct spread_walk *walk, bool (*visit)(void *argument, double lives_s, double mass),
		  void *argument)
{
	const struct lifetime_options *options = walk->options;

	for (uint32_t c = lifetime_class_in(options, walk->age_s); c <= options->bound_count; c++) {
		const float *own = spreads->counts[walk->flavour][c], *all = spreads->counts[FLAVOURS][c];
		double low = c ? (double)options->bounds_s[c - 1] : 0, high = c < options->bound_count ? (double)options->bounds_s[c] : INFINITY;
		double own_sum = sum_of(own), all_sum = sum_of(all);

		for (uint32_t b = 0; b < SPREAD_BUCKETS; b++) {
			double share = (own[b] + OTHERS * all[b] / all_sum) / (own_sum + OTHERS);
			double lives_s = fmin(high, fmax(low, exp2((b + 0.5) / 4)));

			if (share > 0 && lives_s > (double)walk->age_s && !visit(argument, lives_s, walk->probabilities[c] * share))
				return;
		}
	}
}
