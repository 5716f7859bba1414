/*
 * consolidate.h - which nodes could be emptied, by which moves?
 *
 * Nodes with little bound are tried first, in a snapshot: when all that runs there finds a place on other nodes that
 * run something already, the moves are proposed; else none of that node's. A move never fills an empty node, so
 * each proposal that is carried out leaves fewer nodes in use, and no sequence of them can come back to where it was.
 *
 * Units: the cost of a move is the amount of the cost dimension (memory, say) that has to be carried over.
 * Errors: -EINVAL. Memory: consolidation_done(). Threads: as the cluster's.
 */
#ifndef SCHEDULING_CONSOLIDATE_H
#define SCHEDULING_CONSOLIDATE_H

#include "3-scheduling/decide.h"
#include "base/vec.h"

struct move {
	uint32_t binding, from, to, devices;
	int64_t cost;
};

struct consolidation {
	VEC(struct move) moves;		/* In the order in which they should be carried out. */
	VEC(uint32_t) emptied;		/* The nodes that they empty. */
	int64_t cost;
};

/* 'budget' is the most that all moves may cost; 'mix' is for the policy and may be empty. */
int consolidate(const struct cluster *cluster, const struct policy *policy, const struct mix *mix, uint32_t cost_dimension, int64_t budget,
		struct consolidation *ret_consolidation, struct err *err);
void consolidation_done(struct consolidation *consolidation);
#define auto_consolidation __attribute__((cleanup(consolidation_done)))

/* "move binding 5 (2048MiB) from 'a' to 'b': empties 'a', which used 3% of what it has": one line of a proposal. */
void consolidate_explain(const struct cluster *cluster, const struct consolidation *consolidation, uint32_t cost_dimension, size_t i,
			 struct str *text);

#endif
