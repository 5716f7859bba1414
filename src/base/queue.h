/*
 * queue.h - a bounded queue of pointers between threads: many push, one pops.
 *
 * A producer never waits: a full queue says so, and the caller answers "try
 * again". The consumer takes everything there is in one go, which is what makes
 * group commit a matter of course.
 *
 * Memory:  the items are the caller's; queue_free() must find the queue empty.
 * Threads: all functions but queue_free() from any thread.
 */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct queue;

struct queue *queue_new(size_t capacity);
void queue_free(struct queue *queue);		/* Null is fine. No thread may use it any more. */

/* -EAGAIN: full. -ESHUTDOWN: closed. 'item' must not be null; it stays the caller's on failure. */
int queue_push(struct queue *queue, void *item);

/*
 * Moves up to 'max' items, in the order pushed, to 'items' and returns how many.
 * Waits up to 'timeout_ms' for the first one (-1: for ever, 0: not at all).
 * 0: the time is over, or the queue is closed and empty.
 */
size_t queue_pop_all(struct queue *queue, void **items, size_t max, int timeout_ms);

/* Nothing more goes in; what is in comes out; nobody waits any longer. */
void queue_close(struct queue *queue);
bool queue_is_closed(struct queue *queue);

#endif
