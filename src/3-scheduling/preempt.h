/*
 * preempt.h - what has to go so that something more important fits?
 *
 * On each node instances of lower priority are taken away, the least important first, until there is room; then those that
 * need not have gone come back, the most important first. Of the nodes that one wins whose most important victim is the least
 * important, then the one with fewest victims, then the lowest (as kube-scheduler orders them). Constraints and NUMA
 * nodes count as they would be without the victims: an instance may be evicted because it is in the wrong company.
 *
 * It only proposes: the ledger is as before. Errors: -ENOSPC when even that does not help, -EINVAL, -EDQUOT (room in a
 * quota is not made by eviction). Memory: preemption_done(). Threads: as the ledger's.
 */
#ifndef SCHEDULING_PREEMPT_H
#define SCHEDULING_PREEMPT_H

#include "3-scheduling/ledger.h"

struct preemption {
	uint32_t node;
	VEC(uint32_t) victims;		/* Bindings; empty when it fits as it is. */
};

/* Only what has a lower priority than the demand may go. */
int preempt(struct ledger *ledger, const struct demand *demand, struct preemption *ret_preemption, struct err *err);
void preemption_done(struct preemption *preemption);
#define auto_preemption __attribute__((cleanup(preemption_done)))

#endif
