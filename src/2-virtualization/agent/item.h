/*
 * item.h - inside the agent: items, jobs, controllers.
 *
 * An item is the agent's side of one object.  Its 'status' is the truth about the object's observed
 * state; the store keeps a copy, so writing it may fail and be repeated without anything being lost.
 * One job runs for an item at a time; a job may need a second item to be idle too (a snapshot
 * needs its instance): then both are busy, and whoever finds an item busy waits for it.
 */
#ifndef AGENT_ITEM_H
#define AGENT_ITEM_H

#include <stdatomic.h>

#include "2-virtualization/agent/agent.h"
#include "2-virtualization/agent/instance_step.h"
#include "model/image.h"
#include "model/instance.h"
#include "model/network.h"
#include "model/pool.h"
#include "model/snapshot.h"
#include "model/volume.h"

struct console_hub;
struct sampler;
struct health;

/* Of an instance that goes from one node to another; see move.h. */
struct item_move {
	char *failure;			/* Why it cannot go on; null: it can. */
	bool is_going;			/* Source: a worker sends it. */
	bool is_cancelled;		/* Source: ... and should not any more. */
	uint64_t note_revision;		/* Source: of the destination's note that it was sent after; 0: an earlier daemon sent it. */
	uint64_t saved_ms;		/* Source: when the progress was stored last (loop time). */
	int64_t told;			/* Destination: the serial of the move that was answered in this life of the daemon ... */
	int64_t received;		/* ... and of the one whose step has ended and is to be told. */
	enum instance_step step;	/* That step. */
	struct machine_ports ports;
	pid_t pid;			/* Of the machine that waits. */
};

struct item {
	struct agent *agent;
	const struct kind *kind;
	char uid[37];
	void *status;			/* As kind->status describes. */
	bool is_busy;			/* A job or a write that must come first is under way. */
	bool is_dirty;			/* Something changed meanwhile. */
	bool is_ready;			/* In agent->ready. */
	bool is_gone;			/* The object was removed; freed when idle. */
	bool is_unsaved;		/* The last write of status failed. */
	struct job *last_job;		/* When it is gone and idle: this, and then it is freed. */
	struct loop_source *timer;
	struct loop_source *save_timer;
	unsigned failures;		/* In a row. */
	uint64_t retry_ms;		/* A step failed: the next not before this (loop time). */
	VEC(char *) waiters;		/* uids of items to look at when this one is idle. */

	/* Of instances. */
	struct instance_world world;
	struct machine_watch *watch;
	VEC(struct agent_task *) tasks;
	struct health *health;		/* Null: not checked now. */
	struct machine_driver *machine;	/* The driver of its kind. */
	struct item_move move;
	/* Of pools: null until it is open. */
	struct volume_driver *pool;
	uint64_t look_ms;		/* Its free space is looked at then. */
	/* Of networks: brought up by this daemon, for that meta.generation. */
	bool is_up;
	int64_t up_generation;
	/* The world has been cleaned up; only the record is left to go. */
	bool is_removed;
	/* Of images: the import should end. */
	bool is_cancelled;
	bool has_leftovers;		/* Parts in staging. */
	bool has_layers;		/* Removed: its layers may be collected. */
	bool is_copied;			/* It is another node's, and here too. */
};

struct controller {
	/* 'object' is the cached object, deleted_at set when it should go. */
	void (*reconcile)(struct item *item, void *object);
	void (*done)(struct item *item);		/* The item is freed; may be null. */
};

extern const struct controller instance_controller, image_controller, volume_controller,
	network_controller, snapshot_controller, pool_controller;

struct agent {
	struct agent_params params;
	char *directory, *node, *boot_id;
	struct map items;				/* uid -> item. */
	struct map leaving;				/* uid -> item that is gone, and its last job has not ended. */
	VEC(struct item *) ready;
	bool is_turn_posted, is_swept;
	void (*swept)(void *data);
	void *swept_data;
	uint64_t alive_revision, alive_lease;		/* Of the key alive/<node>; 0: not alive. */
	bool is_kvm_usable, has_microvm, knows_capabilities;
	struct console_hub *consoles;
	struct sampler *sampler;
	size_t busy_count;
	size_t layer_jobs;				/* Imports of container images under way. */
	bool is_collecting, must_collect;
	atomic_size_t detached_count;
};

struct item *item_get(struct agent *agent, const char *uid);	/* Null when absent. */
struct item *agent_item(struct agent *agent, const struct kind *kind, void *object);	/* Made when absent. */
void *item_object(struct item *item);				/* The cached object; null when it is gone. */
void item_wake(struct item *item);				/* Reconcile soon. Null is fine. */
void item_wake_in(struct item *item, uint64_t ms);
void item_wait_for(struct item *item, struct item *other);	/* Reconcile when 'other' is idle. */
void item_retry_in(struct item *item, uint64_t ms);		/* Reconcile not before that, also when it is woken. */
void item_fail(struct item *item);				/* Counts a failure; reconcile after a back-off. */

/* Writes status; with 'type' also an event. Not waited for. */
void item_save(struct item *item, const char *type, bool is_warning, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The same where the next write follows at once: both are one commit. */
void item_save_along(struct item *item, const char *type, bool is_warning, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Writes status; the item is busy until it is durable, then 'next' runs. When it cannot be written 'next' does not run. */
void item_save_first(struct item *item, void (*next)(struct item *item));
/* Is this node alive in the shared store, as far as it knows? Else others may have decided by now what becomes of what was here. */
bool agent_may_write(const struct agent *agent);
/* Under the condition that this node is alive in the shared store, and knows it. */
void agent_guard_alive(const struct agent *agent, struct store_txn *txn);
/* The object with the item's own status. */
void item_put_status(struct item *item, struct store_txn *txn, const void *object);
/* The item is busy until the transaction has been made or refused; then 'done', also when the item is gone by then. */
void item_commit(struct item *item, struct store_txn *txn, void (*done)(struct item *item, const struct store_result *result));
/* Removes the object from the store for good, with 'txn' (may be null) in addition; 'format' is the event's text. */
void item_delete(struct item *item, struct store_txn *txn);
/* Shows status to readers now, without writing it. */
void item_show(struct item *item);

struct job {
	struct item *item, *other;	/* Busy while it runs; other may be null. */
	struct err err;			/* Set by run. */
	void (*run)(struct job *job);	/* In a worker. */
	void (*done)(struct job *job);	/* In the loop, before the items are idle again. */
	void (*free)(struct job *job);	/* Frees the job itself too. */
};
void item_run(struct job *job);
#define job_new(type) ({ type *job_ = alloc(sizeof(*job_)); job_; })

struct console_hub *console_hub_new(struct agent *agent);
void console_hub_free(struct console_hub *hub);
void console_hub_forget(struct console_hub *hub, const char *uid);
void console_log_trim(const char *path, uint64_t max_bytes);

/* Health checks of a container that runs; nothing where there is no command for it. */
void health_start(struct item *item, const struct instance *instance);
void health_stop(struct item *item);

struct sampler *sampler_new(struct agent *agent);
void sampler_free(struct sampler *sampler);
void sampler_wake(struct sampler *sampler);			/* A machine has been started. */

bool instance_has_volume(const struct instance *instance, const char *uid);
struct item *volume_holder(struct agent *agent, const char *uid);	/* The instance that lists the volume, or null. */
void volume_note_snapshots(struct agent *agent, const char *uid);	/* One was taken or removed. */

/* The item of the pool when its volumes cannot be used yet; null when they can be (null 'pool_uid': the default). */
struct item *pool_to_wait_for(struct agent *agent, const char *pool_uid);
/* What belongs to no object goes from the pool's volumes. Blocking; 'known' has every uid. Returns how many went. */
size_t sweep_pool(struct volume_driver *volume, const struct map *known, bool keeps_unknown, struct err *err);
/* uids of what may have something on this node; in a shared pool of all objects there are. */
void sweep_note_known(struct agent *agent, bool is_shared, struct map *known);

void sweep_run(struct agent *agent, void (*done)(struct agent *agent));

/* The item of an image that has to be copied here first; null when it is here, or there is none. */
struct item *image_to_wait_for(struct agent *agent, const struct image *image);

static inline struct instance_status *item_instance(struct item *item) { return item->status; }
static inline struct snapshot_status *item_snapshot(struct item *item) { return item->status; }

#endif
