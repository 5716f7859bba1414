/*
 * rate.h - how fast a counter grew over the last ten samples.
 *
 * One sample is too short: CPU time of a host is told in ticks of 10 ms.
 */
#ifndef TELEMETRY_RATE_H
#define TELEMETRY_RATE_H

#include <stdbool.h>
#include <stdint.h>

enum { RATE_SAMPLES = 10 };

struct rate {				/* { 0 } has seen nothing. */
	struct { uint64_t value, of; } seen[RATE_SAMPLES];
	unsigned count;			/* Of all samples; the ring's next place is this modulo RATE_SAMPLES. */
};

/* Thousandths of 'of' by which 'value' grew since the oldest sample kept; 0 for the first, and when either went back. */
static inline uint32_t rate_permille(struct rate *rate, uint64_t value, uint64_t of)
{
	unsigned place = rate->count % RATE_SAMPLES, oldest = rate->count < RATE_SAMPLES ? 0 : place;
	uint64_t value_then = rate->seen[oldest].value, of_then = rate->seen[oldest].of;
	bool is_first = rate->count == 0;

	rate->seen[place].value = value;
	rate->seen[place].of = of;
	rate->count++;
	if (is_first || value < value_then || of <= of_then)
		return 0;
	return (uint32_t)((value - value_then) * 1000 / (of - of_then));
}

#endif
