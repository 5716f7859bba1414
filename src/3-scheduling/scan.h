/*
 * scan.h - the first of many rows that covers a need: the inner loop of best_fit.h.
 *
 * A row is 8 or 16 int32 ("stride"); it covers a need when each of its numbers is at least that of the need. Rows are
 * aligned to 64 bytes. All variants give the same answer; scan_best() is the fastest that this CPU has.
 *
 * Pure. Threads: any.
 */
#ifndef SCHEDULING_SCAN_H
#define SCHEDULING_SCAN_H

#include <stdint.h>

/* Index of the first covering row from 'from' on, or 'count'. */
typedef uint32_t scan_fn(const int32_t *rows, uint32_t stride, uint32_t from, uint32_t count, const int32_t *need);

struct scan { const char *name; scan_fn *first; };

/* 0 is portable, then avx2, avx512; null when the CPU lacks it or there is no more. */
const struct scan *scan_at(unsigned int i);
const struct scan *scan_best(void);

#endif
