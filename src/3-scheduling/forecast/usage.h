/*
 * usage.h - how much of what it asked for will an instance use in the coming day? Learnt online.
 *
 * Every sample goes into the histograms of the instance's label, image and project, of image and project together, and of all;
 * what is old fades. A forecast blends them from the general to the specific: each level counts as far as it has been seen, what is
 * missing comes from the level above. Buckets grow by 4%, so a percentile is off by 2% at most
 * (Masson et al., "DDSketch", VLDB 2019).
 *
 * Units:   thousandths of the request (1000: all of it), seconds of any clock, never going back: an earlier time counts as the latest one.
 * Memory:  fixed when made, about 3 MB; the keys seen longest ago give way. Errors: none. Threads: one at a time.
 */
#ifndef SCHEDULING_USAGE_H
#define SCHEDULING_USAGE_H

#include "3-scheduling/forecast/forecast.h"

enum usage_kind { USAGE_CPU, USAGE_MEMORY, USAGE_KINDS };
enum usage_percentile { USAGE_P50, USAGE_P95, USAGE_P99, USAGE_PERCENTILES };

struct usage_forecast {
	uint32_t milli[USAGE_KINDS][USAGE_PERCENTILES];
	uint32_t last_milli[USAGE_KINDS];	/* The last sample of the most specific key that has one: what a forecast has to beat. */
	double confidence;		/* 0 .. 1: the part that comes from instances with a key of this one. */
	bool is_known;			/* There was a sample at all. */
};

struct usage;

struct usage *usage_new(int64_t half_life_s);	/* After which a sample counts half; 0: a day and a half. */
void usage_free(struct usage *usage);
static inline void usage_freep(struct usage **usage) { usage_free(*usage); }
#define auto_usage __attribute__((cleanup(usage_freep)))

void usage_observe(struct usage *usage, const uint64_t keys[FORECAST_KEYS], int64_t now_s, const uint32_t milli[USAGE_KINDS]);
void usage_expect(const struct usage *usage, const uint64_t keys[FORECAST_KEYS], struct usage_forecast *ret_forecast);
void usage_fill(const struct usage_forecast *from, struct forecast *forecast);

#endif
