/* sched.h - the commands of strata-sched: each replays work through 3-scheduling. They print to stdout. */
#ifndef APP_SCHED_SCHED_H
#define APP_SCHED_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

struct sched_options {
	const char *nodes, *arrivals, *policy, *out, *vms, *starts, *scan, *filters, *classes;
	int64_t servers, start, requests, explain, node_count;
	bool is_random;
	bool is_learning;		/* Know the mix only from the arrivals so far. */
};

int sched_replay(const struct sched_options *options, struct err *err);
int sched_vmtrace(const struct sched_options *options, struct err *err);
int sched_lifetime(const struct sched_options *options, struct err *err);
int sched_synth(const struct sched_options *options, struct err *err);

/* A row of a VM trace: when it arrives, how long it lives, what it asks for. */
struct sched_machine { int32_t cpu_m, memory_mib; int64_t arrives_s, lives_s; };
struct csv;
/* 'columns' are the numbers of "cpu" (cores), "mem" (GB), "at", "lt" (seconds). Sorted by arrival: the row above came at 'after_s'. */
int sched_machine_read(const struct csv *csv, const int *columns, int64_t after_s, struct sched_machine *ret_machine, struct err *err);

/* Latencies of decisions, for percentiles. */
struct sched_times { uint32_t *ns; size_t count, capacity; };
uint64_t sched_now_ns(void);
void sched_times_add(struct sched_times *times, uint64_t ns);
/* "decisions 5000, rate 123456/s; p50 1.2 us, p99 3.4 us, max 56.7 us": sorts them. */
void sched_times_print(struct sched_times *times, FILE *out);
void sched_times_print_as(struct sched_times *times, const char *name, FILE *out);	/* Of something else than decisions. */
void sched_times_done(struct sched_times *times);

#endif
