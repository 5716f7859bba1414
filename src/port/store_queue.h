/*
 * store_queue.h - what was submitted to a store and waits for its commit (group commit).
 *
 * A part of port/store.c: the loop's thread pushes, the commit thread takes batches.  While one
 * batch is being committed (one fsync), others are pushed; the next takes all of them.  With
 * clients that wait for their answer that alone settles at two alternating halves, because those who
 * are answered by one commit are always just too late for the next.  So the queue knows how many took
 * part lately and waits for as many to come again, but not longer than half a millisecond for the
 * next one.  A lone writer never waits.
 *
 * Threads: push, nudge, stop and drop from any; wait, take and committed from one.
 */
#ifndef PORT_STORE_QUEUE_H
#define PORT_STORE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
#include "port/store.h"

struct store_submission {
	struct store_txn *txn;		/* Owned. */
	store_done_fn *done;
	void *data;
	uint64_t due_ns;		/* Monotonic: the latest start of its commit. Set by push. */
};

struct store_batch { VEC(struct store_submission) list; };
void store_batch_done(struct store_batch *batch);

struct store_queue {
	pthread_mutex_t lock;		/* Guards the next block. */
	pthread_cond_t wake;
	struct store_batch pending;
	uint64_t last_push_ns;
	size_t urgent_count;		/* In 'pending': those with delay_ms 0. */
	bool is_stopped;
	bool is_nudged;
	size_t wake_at_count;		/* The waiting thread wants to be woken when so many are pending ... */
	uint64_t wake_before_ns;	/* ... or something is due before this. */

	/* The waiting thread's own. */
	size_t expected_count;		/* How many were in the last batch or just missed it. */
	uint64_t idle_since_ns;		/* When the thread came back for more. */
};

void store_queue_init(struct store_queue *queue);
void store_queue_done(struct store_queue *queue);

void store_queue_push(struct store_queue *queue, const struct store_submission *submission);
/* Sends the waiting thread on, with or without a batch. */
void store_queue_nudge(struct store_queue *queue);
/* After what is pending, wait() returns false. */
void store_queue_stop(struct store_queue *queue);
/* Forgets what is pending. */
void store_queue_drop(struct store_queue *queue);

/* The last batch is committed, and those in it are about to be told: whoever is pending now was not among them. */
void store_queue_committed(struct store_queue *queue);

/* Moves at most LIMIT_STORE_BATCH from the front to 'ret_batch'; false: nothing was pending. */
bool store_queue_take(struct store_queue *queue, struct store_batch *ret_batch);
/* The same, when it is time; the batch may be empty when nudged. False: stopped and nothing left. */
bool store_queue_wait(struct store_queue *queue, struct store_batch *ret_batch, bool *ret_is_nudged);

#endif
