/*
 * overcommit.h - how much of what an instance asks for is kept free for it: a ratio per class and dimension.
 *
 * A class (say: virtual machines, containers, batch) may be promised more than there is: with a ratio of 4,000
 * thousandths four instances share what one asks for. What is charged to a node is rounded up, so that nothing that is
 * asked for becomes free. GPUs are never overcommitted: a share of one says so itself.
 *
 * When it is known how much an instance really uses (forecast/forecast.h), a class may be charged that instead, but never
 * less than its ratio would give.
 *
 * Pure. Threads: any. Units: thousandths. Errors: -EINVAL, naming class and value.
 */
#ifndef SCHEDULING_OVERCOMMIT_H
#define SCHEDULING_OVERCOMMIT_H

#include "3-scheduling/cluster.h"

enum { CLASSES_MAX = 8, OVERCOMMIT_MOST = 1000000 };

struct overcommit {			/* { 0 }: nobody is promised more than there is. */
	int32_t permille[CLASSES_MAX][DIMENSIONS_MAX];	/* 0 is 1000. */
};

int overcommit_set(struct overcommit *overcommit, uint32_t class, uint32_t dimension, int32_t permille, struct err *err);
struct request overcommit_charge(const struct overcommit *overcommit, uint32_t class, const struct request *asked);

#endif
