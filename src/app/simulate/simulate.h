/*
 * simulate.h - a whole cluster in this process: `stratad --simulate`.
 *
 * One core is the leader, and every node has a real agent, lease, watchdog and link to the store over sim drivers; they share one cache of
 * the store, so that 10,000 of them fit. Instances are created through the API as a client would. All is played by
 * one seed in virtual time.
 *
 * After every step - a turn of the loop - it is checked that nothing runs twice and no volume has two writers, every virtual second that what
 * is promised adds up and nothing acknowledged is lost, at the end everything.
 *
 * Threads: the caller's.
 */
#ifndef APP_SIMULATE_SIMULATE_H
#define APP_SIMULATE_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum simulate_fault {
	SIMULATE_CRASH,			/* A daemon is killed and comes back. */
	SIMULATE_POWER,			/* A host goes down with all that runs there, and comes back. */
	SIMULATE_PARTITION,		/* A host is cut off from the store. */
	SIMULATE_CLOCK,			/* A wall clock is set. */
	SIMULATE_DISK,			/* Blocking work takes seconds. */
	SIMULATE_LEADER,		/* The core is lost and followed by a new one. */
	SIMULATE_FAULT_COUNT
};

struct simulate_options {
	uint32_t nodes, instances;
	uint64_t seed;
	unsigned faults;		/* Bits of enum simulate_fault. */
	FILE *progress;			/* Null: none. */
};

struct simulate_result {
	uint32_t running;
	uint64_t steps;
	double wall_s;
	uint64_t rss_mib;		/* At most. */
	char broken[256];		/* "": no invariant was. */
	char why_not[256];		/* A reason why one that should does not run; "": all do. */
	size_t heap_bytes;		/* Of the cache, the core and what readers see: one more of each, on the store as it is at the end. */
	size_t objects;			/* In it. */
};

/* "nodes=100,instances=1000" -EINVAL. */
int simulate_parse(const char *text, struct simulate_options *options, struct err *err);
int simulate_parse_faults(const char *text, struct simulate_options *options, struct err *err);	/* "all", "crash,clock" */
/* 'measure': also heap_bytes and objects. */
int simulate_run(const struct simulate_options *options, bool measure, struct simulate_result *ret_result, struct err *err);
/* What the simulation's nodes have, and what its instances ask for: by their number, and nodes in its order. */
struct rng;
void simulate_node_size(struct rng *rng, int64_t *ret_cpus, uint64_t *ret_memory);
void simulate_instance_size(uint64_t seed, uint32_t number, int64_t *ret_cpus, uint64_t *ret_memory);
/* The command: prints the line, returns the exit status. */
int simulate_main(char **argv, const char *what, const char *seed, const char *faults);

#endif
