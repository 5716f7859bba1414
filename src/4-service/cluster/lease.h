/*
 * lease.h - a node's lease in the shared store: that the node is alive, and what it means for it when that ends.
 *
 * While it is alive its key alive/<node> is there, the agent may write, and the watchdog holds its hand. When the lease was
 * not renewed in time all three end, here and, by the lease itself, for the others.
 *
 * Threads: the loop's; asking the store is done by workers.
 */
#ifndef SERVICE_LEASE_H
#define SERVICE_LEASE_H

#include "2-virtualization/agent/agent.h"
#include "model/node.h"

enum { LEASE_MS = 5000, LEASE_RENEW_MS = 1000, LEASE_RETRY_MS = 500 };

struct lease_params {
	struct loop *loop;
	struct work *work;
	struct store *store;
	struct objects *objects;
	struct agent *agent;
	struct fence_driver *fence;		/* Null: nothing ends instances when the daemon does not. */
	const char *node, *boot_id;		/* Outlive it. */
	void (*changed)(void *data);		/* It has become alive, or is not any more. */
	void *data;
};

struct lease {
	struct lease_params params;
	uint64_t id;			/* 0: none. */
	bool is_alive;
	bool is_asking;			/* A call about it is under way. */
	struct loop_source *renew_timer, *end_timer;
};

void lease_init(struct lease *lease, const struct lease_params *params);
void lease_done(struct lease *lease);
/* Nothing is left here of what others took over: the node may say that it is alive, and goes on saying so. */
void lease_join(struct lease *lease);

/* What member/<node> says; defaults where there is no such note. node_member_table owns the texts. */
void lease_member(struct objects *objects, const char *node, struct node_member *ret_member);

#endif
