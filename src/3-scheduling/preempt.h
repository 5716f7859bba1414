/*
 * preempt.h - what has to go so that something more important fits?
 *
 * On each node the bindings of lower priority are taken away, the least important first, until the request fits; then
 * those that need not have gone come back, the most important first. Of the nodes that one wins whose most important
 * victim is the least important, then the one with fewest victims, then the lowest (as kube-scheduler orders them).
 *
 * Pure: it only proposes. Errors: -ENOSPC when even that does not help, -EINVAL. Memory: preemption_done().
 */
#ifndef SCHEDULING_PREEMPT_H
#define SCHEDULING_PREEMPT_H

#include "3-scheduling/cluster.h"
#include "base/vec.h"

struct preemption {
	uint32_t node;
	VEC(uint32_t) victims;		/* Bindings; empty when it fits as it is. */
};

/* 'priorities' has one per number of a binding: cluster->binding_end. Only lower ones than 'priority' may go. */
int preempt(const struct cluster *cluster, const struct request *request, const int32_t *priorities, int32_t priority,
	    struct preemption *ret_preemption, struct err *err);
void preemption_done(struct preemption *preemption);
#define auto_preemption __attribute__((cleanup(preemption_done)))

#endif
