/*
 * store_private.h - what the files of the store's front share: store.c is what callers see,
 * store_delivery.c the way to the loop, store_commit.c the way to the driver, store_queue.c what waits for it,
 * store_resync.c what is done when others wrote more than can be read back.
 */
#ifndef PORT_STORE_PRIVATE_H
#define PORT_STORE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/fair_lock.h"
#include "base/map.h"
#include "port/store.h"
#include "port/store_queue.h"

/* What one driver call brings to the loop. */
struct store_delivery {
	struct store *store;
	struct store_batch batch;
	struct store_result *results;	/* One per transaction of the batch. */
	struct store_events events;
	bool has_next_lease;
	int64_t next_lease_ms;
};

/* Under way for longer than a turn of the loop. */
struct store_late { struct store_delivery *delivery; uint64_t due_ms; };

struct store_watch {
	char *prefix;
	uint64_t after_revision;	/* Has seen everything up to here. */
	store_watch_fn *fn;
	void *data;
};

struct store {
	const struct store_ops *ops;
	struct store_driver *driver;
	bool owns_driver;
	bool is_threaded;
	struct loop *loop;

	/* The loop's thread only. */
	bool is_closed;
	uint64_t revision;
	VEC(struct store_watch) watches;
	struct loop_source *lease_timer;
	int64_t lease_due_ms;			/* Of the timer, when there is one. */
	struct loop_source *commit_timer;	/* Virtual loop only, as the next two. */
	uint64_t commit_due_ms;
	bool is_commit_posted;
	/* Of drivers that listen: what waits until the events can be read, and what comes late, in order. */
	struct store_delivery *held;
	VEC(struct store_late) late;
	struct loop_source *late_timer;

	/* Guards the driver and the next two. Fair, so that a lease is renewed however much is committed. */
	struct fair_lock driver_lock;
	uint64_t posted_revision;		/* Of the last event that was posted. */
	struct map told;			/* Keys that exist as far as was told; only when the store is shared. */
	pthread_t thread;
	struct store_queue queue;
	pthread_t follower;			/* When the driver has wait_events. */
	bool has_follower;
	atomic_bool is_stopping;

	atomic_uint_fast64_t transactions, commits, events;
	atomic_size_t references;		/* The owner and the deliveries under way. */
};

/* Deliveries (store_delivery.c) */

/* Holds a reference to the store until it is freed. */
struct store_delivery *store_delivery_new(struct store *store);
void store_delivery_free(void *data);
/* When others write to the store too: the events are all since those posted last, whosever they are. Driver locked. */
int store_delivery_read(struct store_delivery *delivery, struct err *err);
/* With the driver locked, so that deliveries are in the order of revisions. */
void store_delivery_post(struct store_delivery *delivery);
void store_unref(struct store *store);
/* Those that come late are dropped. */
void store_delivery_drop_late(struct store *store);
/* From the loop's thread: leases are to be looked at then. */
void store_arm_lease_timer(struct store *store, int64_t due_ms);

/* Compacted history (store_resync.c); with the driver locked. */

/* Instead of the events since those posted last: what leads from what was told to what is. */
int store_resync(struct store *store, struct store_events *events, struct err *err);
void store_note_told(struct store *store, bool is_delete, const char *key);

/* Commits (store_commit.c) */

/* Everything in the queue, in the caller's thread. */
void store_commit_queue(struct store *store);
/* The same by a message or timer of the virtual loop. */
void store_schedule_commit(struct store *store, uint32_t delay_ms);
/* Of drivers that listen: others have changed something, or it can be reached again. */
void store_poked(void *store);
/* Ends those that are over. */
void store_end_leases(struct store *store);
int store_start_threads(struct store *store, struct err *err);
void store_stop_threads(struct store *store);		/* They commit what is queued first. */

#endif
