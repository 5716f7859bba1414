/*
 * gang.h - all or none: several requests that are useless one without the other.
 *
 * They are placed one after the other, the largest first, each where the decider thinks best; when one finds no place,
 * all are undone and the cluster is as before. A gang that would fit in another order or arrangement may be refused.
 *
 * Errors: -EINVAL, -ENOSPC: the message says which member found no place and how many had. Threads: as the cluster's.
 */
#ifndef SCHEDULING_GANG_H
#define SCHEDULING_GANG_H

#include "3-scheduling/decide.h"

enum { GANG_MAX = 4096 };

struct gang_member {
	struct request request;
	uint32_t node, devices, binding;	/* Written on success. */
};

/* 'decider' decides for 'cluster'. */
int gang_place(struct cluster *cluster, struct decider *decider, struct gang_member *members, size_t count, struct err *err);

#endif
