#include <stdlib.h>
#include <time.h>

#include "app/sched/sched.h"
#include "base/mem.h"

uint64_t sched_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sched_times_add(struct sched_times *times, uint64_t ns)
{
	if (times->count == times->capacity) {
		times->capacity = times->capacity ? 2 * times->capacity : 4096;
		times->ns = alloc_array(times->ns, times->capacity, sizeof(*times->ns));
	}
	times->ns[times->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double microseconds(const struct sched_times *times, double part)
{
	return times->ns[(size_t)(part * (double)(times->count - 1))] / 1000.0;
}

void sched_times_print_as(struct sched_times *times, const char *name, FILE *out)
{
	double sum = 0;

	if (!times->count)
		return;
	qsort(times->ns, times->count, sizeof(*times->ns), compare);
	for (size_t i = 0; i < times->count; i++)
		sum += times->ns[i];
	fprintf(out, "%-15s %zu, rate %.0f/s; p50 %.2f us, p99 %.2f us, max %.1f us\n", name, times->count, (double)times->count / sum * 1e9,
		microseconds(times, 0.5), microseconds(times, 0.99), microseconds(times, 1));
}

void sched_times_print(struct sched_times *times, FILE *out)
{
	sched_times_print_as(times, "decisions", out);
}

void sched_times_done(struct sched_times *times)
{
	free(times->ns);
	*times = (struct sched_times){ 0 };
}
