/*
 * bench.h - what every benchmark shares: a place of its own on this machine, figures, and the line it prints.
 *
 * The place: a temporary folder, and network, process and mount namespaces. Whatever a benchmark
 * starts (daemons, machines, bridges) is gone when it ends, however it ends: the kernel kills what
 * is left in the process namespace, and the first process, which stayed outside, removes the folder
 * and the cgroups. /sys is the host's, so that cgroups are seen. Only loopback reaches anywhere.
 *
 * Errors:  0 or -errno with the reason in *err.
 * Threads: one.
 */
#ifndef BENCH_LIB_BENCH_H
#define BENCH_LIB_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"

struct bench {
	char *programs;			/* Folder with strata and stratad. */
	char *folder;			/* On a disk; gone afterwards with all that it holds. */
	bool is_quick;			/* QUICK=1: fewer rounds. */
};

/*
 * Runs 'measure' in such a place; returns the exit status of the program: 0, or 1 when it could not be measured.
 * Where strata and stratad are: STRATA_BUILD, else the folder above the one that 'program' (argv[0]) is in.
 */
typedef int bench_fn(const struct bench *bench, struct err *err);
int bench_main(const char *program, bench_fn *measure);

/* One row, as of a Markdown table. A benchmark judges nothing: it shows figure, floor and target. */
struct row {
	const char *promise;
	const char *measured;		/* Medians, with their unit. */
	const char *floor;		/* The same, of what cannot be undercut, measured in the same run. */
	const char *comparison;		/* Ratio or difference of the two. */
	const char *target;
};
void row_print(const struct row *row);

/* A cell of such a row: lives until the end of the block. */
const char *cell_format(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
#define cell(...) cell_format((char[160]){ 0 }, 160, __VA_ARGS__)

struct samples { VEC(double) values; };

void samples_add(struct samples *samples, double value);
/* The value that the share 'rank' (0 to 1) of all does not exceed; 0.5 is the median. Sorts; there must be one at least. */
double samples_rank(struct samples *samples, double rank);
double samples_median(struct samples *samples);
void samples_done(struct samples *samples);
#define auto_samples __attribute__((cleanup(samples_done)))

double now_ms(void);			/* Monotonic. */

#endif
