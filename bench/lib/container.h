/*
 * container.h - the daemon's side of what is asked of containers: as a client of the API would, on a kept connection.
 *
 * Errors:  0 or -errno with the reason in *err.
 * Threads: one.
 */
#ifndef BENCH_LIB_CONTAINER_H
#define BENCH_LIB_CONTAINER_H

#include "crun.h"
#include "node.h"
#include "signals.h"

/* The body of POST /v1/instances for a container with a nic, limits, and CONTAINER_SCRIPT. */
char *container_body(const struct signals *signals, const char *name);
/* The same for `strata run --container`. */
int container_run_cli(struct node *node, const struct signals *signals, const char *name, double *ret_ms, struct err *err);

int container_wait_state(struct client *client, const char *name, const char *state, struct err *err);
int container_wait_gone(struct client *client, const char *name, struct err *err);
int container_delete(struct client *client, const char *name, struct err *err);	/* By force, and waits until it is gone. */
/* Starts one, so that nothing is for the first time any more, and lets 'crun' learn from it. */
int container_teach(struct node *node, struct client *client, struct signals *signals, struct crun *crun, struct err *err);

/* Program in it over a WebSocket (each needs a connection of its own), to its exit code. */
int container_exec_true(const struct node *node, const char *name, struct err *err);

#endif
