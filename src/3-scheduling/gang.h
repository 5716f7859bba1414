/*
 * gang.h - all or none: several instances that are useless one without the other.
 *
 * They are placed one after the other, the largest first, each where the decider thinks best; when one finds no place,
 * all are undone and the ledger is as before. A gang that would fit in another order or arrangement may be refused.
 *
 * Errors: those of decider_choose_for(): the message says which member found no place and how many had.
 * Threads: as the ledger's.
 */
#ifndef SCHEDULING_GANG_H
#define SCHEDULING_GANG_H

#include "3-scheduling/decide.h"

enum { GANG_MAX = 4096 };

struct gang_member {
	const struct demand *demand;	/* Several may have the same. */
	uint32_t node, devices, binding;	/* Written on success. */
};

/* 'decider' decides for the ledger's cluster. */
int gang_place(struct ledger *ledger, struct decider *decider, struct gang_member *members, size_t count, struct err *err);

#endif
