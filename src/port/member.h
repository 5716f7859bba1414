/*
 * member.h - the member port: one member of the shared store's own cluster, a process on this host that outlives the daemon.
 *
 * The cluster of the store grows and shrinks one member at a time, by its own rules: a new one follows as a learner,
 * without a vote, until it has everything; only then it counts. Each operation may be repeated after a crash in the middle
 * of it and goes on where that one was.
 *
 * Errors:  -EEXIST others registered this name or address; -EBUSY not now, try again later; -ETIMEDOUT it does not come to
 *          serve; -ENOENT the program is not installed; those of the store's calls (port/store.h). The message has the remedy.
 * Memory:  'ret_x' passes to the caller.
 * Threads: any, one at a time per folder; all block.
 */
#ifndef PORT_MEMBER_H
#define PORT_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"

/* The one on this host. */
struct member_params {
	const char *directory;		/* Its data, log and pid; made when missing. */
	const char *cgroup;		/* Null: the daemon's. */
	const char *name;		/* Of the node: its uid. */
	const char *address;		/* Numeric, without a port; others reach it there. */
	const char *ca, *certificate, *key;	/* PEM files, for clients and for members; null: without TLS (tests). */
	uint16_t client_port, peer_port;	/* 0: 2379 and 2380. */
};

/* How the others are reached. */
struct member_door {
	const char *const *endpoints;
	size_t endpoint_count;
	const char *ca, *certificate, *key;
};

struct member_info {
	uint64_t id;
	char *name;			/* Null: it has not begun yet. */
	char *peer_url, *client_url;	/* The latter is null until it has begun. */
	bool is_learner;
	bool answers;			/* Right now; only when asked for. */
};
struct member_list { VEC(struct member_info) items; };

struct member_ops {
	/* The first of a new cluster, whose id is 'token'. Returns when it serves. What lay there before is removed. */
	int (*found)(const struct member_params *params, const char *token, struct err *err);
	/* This host's one runs again, with the data it has; one that runs already is left alone. */
	int (*start)(const struct member_params *params, struct err *err);
	/* Becomes a member of the cluster behind 'door', with a vote. */
	int (*join)(const struct member_params *params, const struct member_door *door, struct err *err);
	/* A handle on the process (pidfd_open(2)), or -1: it does not run. */
	int (*process)(const struct member_params *params);
	/* Ends it; with 'removes_data' nothing of it stays. One that is not there is fine. */
	int (*stop)(const struct member_params *params, bool removes_data, struct err *err);
	int (*list)(const struct member_door *door, bool asks_each, struct member_list *ret_list, struct err *err);
	/* Takes one out of the cluster, by its name or, when it has not begun yet, its peer URL; one that is not there is fine. */
	int (*drop)(const struct member_door *door, const char *name, struct err *err);
};

void member_list_done(struct member_list *list);
char *member_client_url(const struct member_params *params);

extern const struct member_ops member_etcd;

#endif
