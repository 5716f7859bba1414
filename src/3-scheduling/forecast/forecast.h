/*
 * forecast.h - what is expected of an instance, as far as anything is: policies may use it, none has to.
 *
 * { 0 } says that nothing is known; a policy then behaves as if it had never seen this struct.
 * Filled from lifetime.h and usage.h. Units: seconds; thousandths of what the request asks for.
 */
#ifndef SCHEDULING_FORECAST_H
#define SCHEDULING_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

/* What instances may have in common. Keys are opaque; 0: absent. */
enum forecast_key { FORECAST_IMAGE, FORECAST_PROJECT, FORECAST_LABEL, FORECAST_KEYS };

struct forecast {
	bool is_lifetime_known, is_usage_known;
	uint8_t lifetime_class;		/* 0: the shortest; bounds as in struct lifetime_options. */
	uint16_t confidence_milli;	/* Probability of that class. */
	int64_t lifetime_s;		/* Expected, from the start on. */
	uint32_t cpu_p95_milli, memory_p95_milli;	/* Of the request; 1000: all of it. */
};

#endif
