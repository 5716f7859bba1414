/*
 * deadline.h - how long something may still take, on the monotonic clock.
 *
 * Driver code is straight-line and blocking in a worker thread, so its time is the real one
 * and not the loop's.
 */
#ifndef DRIVER_MACHINE_COMMON_DEADLINE_H
#define DRIVER_MACHINE_COMMON_DEADLINE_H

#include <stdint.h>

#include "base/clock.h"

struct deadline { int64_t at_ms; };

static inline struct deadline deadline_in(int64_t ms)
{
	return (struct deadline){ clock_monotonic_ms() + ms };
}

/* For poll(2): 0 when it is over. */
static inline int deadline_left_ms(struct deadline deadline)
{
	int64_t now = clock_monotonic_ms();

	if (now >= deadline.at_ms)
		return 0;
	return deadline.at_ms - now > INT32_MAX ? INT32_MAX : (int)(deadline.at_ms - now);
}

#endif
