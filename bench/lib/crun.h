/*
 * crun.h - containers by hand: what cannot be undercut. The same image, configuration, limits and kind of nic as a container of
 * the daemon has, and nothing else: an overlay, `crun create`, a veth pair in its namespace, and the byte that
 * lets it go (`crun start` would only do that).
 *
 * What no start can do without is timed, what can be prepared is not: layer and volumes are mounted with mapped ids
 * once, config.json and the volume's folders are there before crun_start().
 *
 * Errors:  0 or -errno; what crun says is in '<folder>/crun/log'.
 * Threads: any for containers of different numbers, once crun_learn() has returned.
 */
#ifndef BENCH_LIB_CRUN_H
#define BENCH_LIB_CRUN_H

#include "driver/machine/oci/identity.h"
#include "node.h"
#include "signals.h"

/* The limits and program of all containers, here and in the daemon's. */
#define CONTAINER_SCRIPT "trap 'exit 0' TERM; printf x >/signal/fifo; sleep 1000000 & wait"
enum { CONTAINER_MEMORY_MIB = 64, CONTAINER_PIDS = 100, CONTAINERS_MAX = 4096 };

struct crun {
	const struct bench *bench;	/* Borrowed. */
	const char *signals;		/* Folder that containers see as /signal; borrowed. */
	char *folder, *state, *config, *cgroup;
	struct identity identity;
	struct {
		pid_t pid;
		int pidfd;		/* Of the container's first process; -1: none. */
	} containers[CONTAINERS_MAX];
};

void crun_init(struct crun *crun, const struct bench *bench, const char *signals);
void crun_done(struct crun *crun);		/* Ends containers that still run. */

/* Takes over the configuration of the daemon's container 'uid', and mounts what all share. */
int crun_learn(struct crun *crun, const struct node *node, const char *uid, struct err *err);

int crun_prepare(struct crun *crun, unsigned number, struct err *err);
int crun_start(struct crun *crun, unsigned number, struct err *err);		/* Returns when it is let go. */
int crun_exec_true(struct crun *crun, unsigned number, struct err *err);
int crun_stop(struct crun *crun, unsigned number, struct err *err);		/* SIGTERM, until its first process has ended. */
int crun_delete(struct crun *crun, unsigned number, struct err *err);		/* Running or not, with its files. */

#endif
