/*
 * demand.h - all that one instance asks for: how much, what kind of place, beside whom, how important it is.
 *
 * Many instances have equal demands (all of a fleet): they may share one, which the ledger borrows for as long as any of
 * them is bound.
 */
#ifndef SCHEDULING_DEMAND_H
#define SCHEDULING_DEMAND_H

#include "3-scheduling/filter.h"
#include "3-scheduling/overcommit.h"
#include "3-scheduling/quota.h"
#include "3-scheduling/topology.h"

enum { DEMAND_GROUPS_MAX = 8 };
#define PROJECT_NONE UINT32_MAX

struct demand {
	struct request request;		/* What it is promised; overcommit.h says what of it is kept free. */
	uint8_t class;			/* Of overcommit.h. */
	uint32_t project;		/* Whose quota it counts against, or PROJECT_NONE. */
	int32_t priority;		/* Higher ones may have lower ones evicted (preempt.h). */
	uint32_t groups[DEMAND_GROUPS_MAX], group_count;	/* It belongs to these. */
	struct constraints constraints;
	struct numa_demand numa;
	const struct forecast *forecast;	/* Null: nothing is known. Borrowed, as the demand. */
};

#endif
