/*
 * witness.h - sees every simulated machine begin and end, on all hosts, and remembers the first time that something ran twice.
 *
 * No instance runs on two hosts, and no volume has two writers: it sees the machines themselves, whatever daemons think of them.
 *
 * Threads: the loop's.
 */
#ifndef APP_SIMULATE_WITNESS_H
#define APP_SIMULATE_WITNESS_H

#include "base/map.h"
#include "port/machine.h"

struct witness {			/* { 0 } has seen nothing. */
	struct map holders;		/* "instance <uid>" or "disk <path>" -> struct held */
	size_t running;			/* Machines. */
	uint64_t started;		/* Ever. */
	char broken[200];		/* "": never. */
};

struct witness_host { struct witness *witness; unsigned number; };

/* Fits sim_machines_on_change(); 'host' is a struct witness_host. */
void witness_see(void *host, const struct machine_config *config, bool is_running);
/* Number of the host the instance runs on, or -1. */
int witness_where(const struct witness *witness, const char *uid);
void witness_done(struct witness *witness);

#endif
