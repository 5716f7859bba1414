/*
 * load.h - how loaded a host is, this one or another: what the scheduler asks.
 *
 * Errors:  -ENOENT nothing is known of that node (yet).
 * Memory:  'struct telemetry' is the caller's and borrows all it points to.
 * Threads: any. The own page costs less than a microsecond, one of another host a lock besides (of "rdma": pages.h).
 */
#ifndef TELEMETRY_LOAD_H
#define TELEMETRY_LOAD_H

#include "port/pages.h"

/* What is older was told too long ago to place by. */
enum { LOAD_OLD_MS = 200 };

struct telemetry {
	uint8_t node[PAGE_UID_BYTES];		/* Own uid. */
	const struct page *own;			/* The page that the sampler writes. */
	struct pages_driver *pages;		/* Null: a single host. */
	uint64_t (*now_ns)(void *data);		/* The clock of the own page's stamps; null: pages_now_ns(). */
	void *data;
};

struct host_load {
	uint32_t run_queue_milli;		/* Tasks that run or wait, per CPU, times 1000: beyond 1000 somebody waits. */
	uint32_t busy_permille;			/* Of all CPUs. */
	uint64_t memory_total_bytes, memory_available_bytes;
	uint64_t age_ms;
	bool is_old;				/* Older than LOAD_OLD_MS. */
};

int telemetry_load(const struct telemetry *telemetry, const uint8_t node[PAGE_UID_BYTES], struct host_load *ret_load, struct err *err);
/* All that its page says, and how old that is. */
int telemetry_page(const struct telemetry *telemetry, const uint8_t node[PAGE_UID_BYTES], struct page *ret_page, uint64_t *ret_age_ms,
		   struct err *err);

#endif
