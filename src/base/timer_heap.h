/*
 * timer_heap.h - timers by due time, then by sequence: a binary heap of nodes
 * that lie inside their owners' structs.
 *
 * Threads: one at a time per heap.
 */
#ifndef BASE_TIMER_HEAP_H
#define BASE_TIMER_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"

struct timer_node {
	uint64_t due_ns;		/* Not to be changed while in the heap; nor is: */
	uint64_t sequence;
	size_t index;			/* The heap's. */
};

struct timer_heap {			/* { 0 } is an empty heap. */
	VEC(struct timer_node *) nodes;
};

void timer_heap_add(struct timer_heap *heap, struct timer_node *node);
void timer_heap_remove(struct timer_heap *heap, struct timer_node *node);
struct timer_node *timer_heap_first(const struct timer_heap *heap);	/* Null when empty. */
void timer_heap_done(struct timer_heap *heap);				/* The nodes are their owners'. */

#endif
