/* rebalance_private.h - what the goals of rebalance.h share: rebalance.c moves, each goal decides what. */
#ifndef SCHEDULING_REBALANCE_PRIVATE_H
#define SCHEDULING_REBALANCE_PRIVATE_H

#include "3-scheduling/rebalance.h"

enum { LOAD_HIGH_PERCENT = 90, LOAD_LOW_PERCENT = 75 };

struct rebalancing {
	struct ledger *ledger;
	struct decider *decider;
	const struct rebalance *wanted;
	struct typical typical;
	int64_t (*load)[DIMENSIONS_MAX];	/* Expected use per node; null: not known. */
	bool *is_moved;			/* By binding. */
	struct plan *plan;
};

/* Moves the binding to the best node that is not cordoned; -ENOSPC: there is none, or it costs too much. Nothing has changed then. */
int move_binding(struct rebalancing *rebalancing, uint32_t binding, enum rebalance_goal goal, struct err *err);
/* Takes back the moves of the plan from number 'count' on; 'mark' is the ledger's from before the first of them. */
void take_back(struct rebalancing *rebalancing, size_t count, size_t mark);
double used_part(const struct cluster *cluster, uint32_t node);
double overload_of(const struct rebalancing *rebalancing, uint32_t node);
/* Hosts in use may take over, empty ones stay empty. */
int cordon_empty(struct rebalancing *rebalancing, struct err *err);

int relieve_overload(struct rebalancing *rebalancing, struct err *err);
int gather_fragments(struct rebalancing *rebalancing, struct err *err);
int drain_host(struct rebalancing *rebalancing, uint32_t node, struct err *err);
int empty_hosts(struct rebalancing *rebalancing, struct err *err);

#endif
