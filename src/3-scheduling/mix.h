/*
 * mix.h - which requests are typical: kinds of equal requests and how often each came.
 *
 * Learnt by mix_add() from what arrived (the daemon's mode), or from a list that is known beforehand.
 * mix_typical() gives the most frequent kinds that together make up a share of all, as FGD does
 * (Weng et al., "Beware of Fragmentation", USENIX ATC 2023), leaving out what weighs nothing.
 *
 * Threads: one at a time per mix. Memory: grows with the number of kinds, not with that of requests.
 */
#ifndef SCHEDULING_MIX_H
#define SCHEDULING_MIX_H

#include <stddef.h>

#include "3-scheduling/request.h"

struct mix_kind {
	struct request request;
	uint64_t count;
};

struct mix {				/* { 0 } is an empty one. */
	struct mix_kind *kinds;
	uint32_t kind_count, kind_capacity;
	uint32_t *slots;		/* Index into kinds plus one; 0 is free. */
	uint32_t slot_count;		/* A power of two. */
	uint64_t total;
};

/* Counts the request; returns the number of its kind, which stays. */
uint32_t mix_add(struct mix *mix, const struct request *request);
/* The number of its kind, made with count 0 when it is new. */
uint32_t mix_kind_of(struct mix *mix, const struct request *request);
/* Indices of the most frequent kinds, most frequent first, until 'share' of all requests is covered. Owned by the caller. */
uint32_t *mix_typical(const struct mix *mix, double share, size_t *ret_count);
/* Forgets all but the most frequent kinds; their numbers change. */
void mix_keep(struct mix *mix, size_t count);
void mix_done(struct mix *mix);

#endif
