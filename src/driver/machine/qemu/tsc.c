#include "driver/machine/qemu/tsc.h"

#include "base/clock.h"

#include <poll.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { MIN_DISTANCE_MS = 5, TRIES = 8 };

static uint64_t ticks(void)
{
#if defined(__x86_64__)
	return __rdtsc();
#else
	return 0;
#endif
}

/* The pair read closest together of a few: whoever is interrupted in between loses. */
struct tsc_mark tsc_begin(void)
{
	struct tsc_mark best = { 0 };
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		uint64_t before = ticks(), ns = clock_monotonic_ns(), after = ticks();

		if (after - before >= best_width)
			continue;
		best_width = after - before;
		best = (struct tsc_mark){ before + best_width / 2, ns };
	}
	return best;
}

unsigned tsc_khz(const struct tsc_mark *begin)
{
	struct tsc_mark end = tsc_begin();

	while (end.ns - begin->ns < MIN_DISTANCE_MS * UINT64_C(1000000)) {
		poll(NULL, 0, 1);
		end = tsc_begin();
	}
	return (unsigned)((double)(end.ticks - begin->ticks) * 1e6 / (double)(end.ns - begin->ns) + 0.5);
}
