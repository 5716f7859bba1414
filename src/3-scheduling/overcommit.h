/*
 * overcommit.h - how much of what an instance asks for is kept free for it: a ratio per class and dimension.
 *
 * A class (say: virtual machines, containers, batch) may be promised more than there is: with a ratio of 4,000
 * thousandths four instances share what one asks for. What is charged to a node is rounded up, so that nothing that is
 * asked for becomes free. GPUs are never overcommitted: a share of one says so itself.
 *
 * Of a class that goes by use, an instance of which is known how much it uses (forecast/forecast.h) is charged that, times a
 * margin, of CPU and memory: never less than its ratio would give, never more than it asks for.
 *
 * Pure. Threads: any. Units: thousandths. Errors: -EINVAL, naming class and value.
 */
#ifndef SCHEDULING_OVERCOMMIT_H
#define SCHEDULING_OVERCOMMIT_H

#include "3-scheduling/cluster.h"
#include "3-scheduling/forecast/forecast.h"

enum { CLASSES_MAX = 8, OVERCOMMIT_MOST = 1000000 };

struct overcommit {			/* { 0 }: nobody is promised more than there is. */
	int32_t permille[CLASSES_MAX][DIMENSIONS_MAX];	/* 0 is 1000. */
	int32_t margin_permille[CLASSES_MAX];	/* Over the 95th percentile of use; 0: the class does not go by use. */
	uint32_t cpu, memory;		/* The dimensions that a forecast speaks of. */
};

int overcommit_set(struct overcommit *overcommit, uint32_t class, uint32_t dimension, int32_t permille, struct err *err);
int overcommit_set_margin(struct overcommit *overcommit, uint32_t class, int32_t permille, struct err *err);
/* 'forecast' may be null. */
struct request overcommit_charge(const struct overcommit *overcommit, uint32_t class, const struct request *asked, const struct forecast *forecast);

#endif
