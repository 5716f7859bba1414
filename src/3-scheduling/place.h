/*
 * place.h - on which node does an instance run?
 *
 * Pure: everything it needs is in the arguments.
 *
 * Errors: -ENOSPC no node can ever hold it, with the largest that there is; -EAGAIN all are cordoned.
 */
#ifndef SCHEDULING_PLACE_H
#define SCHEDULING_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct place_node {
	const char *name;
	uint64_t memory_bytes;		/* What the host has. */
	uint64_t promised_bytes;	/* Sum of the memory of the instances on it. */
	bool is_cordoned;
};

/* Chooses the node with the most memory not promised yet that is at least as large as the request. */
int place_instance(uint64_t memory_bytes, const struct place_node *nodes, size_t count, size_t *ret_index, struct err *err);

#endif
