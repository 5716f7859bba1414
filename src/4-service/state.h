/*
 * state.h - the state folder: everything a daemon keeps lies below it, and only one daemon at a time uses it.
 *
 *	lock		held while a daemon runs; its pid
 *	node		identity of this node: "<uid> <tag>"
 *	store.db	the store
 *	volumes/ images/ instances/ staging/ run/ network/ tls/
 */
#ifndef SERVICE_STATE_H
#define SERVICE_STATE_H

#include "base/err.h"
#include "base/rng.h"

struct state {
	char *directory;		/* Absolute. */
	int lock_fd;			/* Held until state_close(). */
	char node_uid[37];
	char node_tag[5];		/* 4 hex digits: part of every interface, table and cgroup name. */
};

/* Makes the folder when missing. -EBUSY: another daemon uses it. */
int state_open(const char *directory, struct rng *rng, struct state *ret_state, struct err *err);
void state_close(struct state *state);

#endif
