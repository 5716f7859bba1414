/*
 * node.h - a stratad that a benchmark started, and what is asked of it.
 *
 * Errors:  0 or -errno; a daemon that does not start says why in the last line of its log.
 * Memory:  node_done() ends a daemon that still runs, and frees; its state goes with the bench's folder.
 * Threads: one.
 */
#ifndef BENCH_LIB_NODE_H
#define BENCH_LIB_NODE_H

#include <sys/types.h>

#include "5-interface/cli/client.h"
#include "base/str.h"
#include "bench.h"

struct node {
	const struct bench *bench;	/* Borrowed. */
	bool is_simulated;
	const char *hostname, *config;	/* Null: this host's; no file. Borrowed. */
	char *state, *socket;
	pid_t pid;
	int pidfd;			/* -1: not running. */
};

/* Nothing runs yet. 'name' is the state's folder below the bench's. */
void node_init(struct node *node, const struct bench *bench, const char *name, bool is_simulated);
void node_done(struct node *node);
#define auto_node __attribute__((cleanup(node_done)))

/* Returns as soon as the API answers; '*ret_ms' (may be null) is how long that took since the program's exec. */
int node_start(struct node *node, double *ret_ms, struct err *err);
int node_stop(struct node *node, struct err *err);		/* SIGTERM, and waits. */
void node_kill(struct node *node);				/* SIGKILL, and waits. */

/* One request on a connection of its own; any status below 400 will do. 'answer' (may be null) is replaced. */
int node_call(struct node *node, const char *method, const char *path, const char *body, struct str *answer,
	      struct err *err);
/* The same on a connection that is kept: client_free(). 'ret_status' (may be null): any status will do. */
struct client *node_connect(const struct node *node);
int client_call(struct client *client, const char *method, const char *path, const char *body, int *ret_status,
		struct str *answer, struct err *err);

/* Waits until GET 'path', a list, has 'text' in it 'count' times. */
int node_wait_for(struct node *node, const char *path, const char *text, size_t count, struct err *err);

/* `strata ...`: runs it to the end; '*ret_ms' (may be null) is how long the whole process took. */
int node_cli(struct node *node, const char *const *arguments, double *ret_ms, struct err *err);
#define cli(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* A simulated node gets the image "tiny" and 'count' instances named "i0", "i1", ...: all running, or all stopped. */
int node_fill_up(struct node *node, size_t count, bool is_running, struct err *err);

/* Any program, to its end: 'argv' by path or from PATH, output thrown away; its last line of stderr is in the error. */
int run_program(const char *const *argv, double *ret_ms, struct err *err);

#endif
