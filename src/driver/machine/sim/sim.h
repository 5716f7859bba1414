/*
 * sim.h - machines that exist only in memory, and the strings to pull on them.
 *
 * The world (struct sim_machines) is what the kernel and QEMU are to the real driver: it
 * outlives the driver, so that a test can crash the daemon and look at what the next one finds.
 *
 * Time: a watch's loop is the machine's clock: the guest agent appears 1 s after the machine is first
 *          watched, the guest is off 500 ms after shutdown was asked for. An unwatched machine stands still.
 * Faults:  every operation calls fault_step() before and after it changes the world.
 * Memory:  machine_params.world null: the driver makes a private world and frees it on close.
 * Moving:  hosts are worlds, machine_params.network (struct sim_network) is the link between them. A move takes no
 *          time: it goes through the steps "machine migrate", "disks", "memory", "switch", before each of which the test may pull a string.
 *          A daemon that crashes before "switch" leaves the guest where it was, one that crashes after it the moved guest.
 * Threads: any, as for the port; the functions below too, but those that bring events only when they
 *          may be delivered through the loop of the watch (loop_post).
 */
#ifndef DRIVER_MACHINE_SIM_H
#define DRIVER_MACHINE_SIM_H

#include "port/machine.h"

enum { SIM_AGENT_DELAY_MS = 1000, SIM_SHUTDOWN_DELAY_MS = 500 };

struct sim_machines;

struct sim_machines *sim_machines_new(void);
void sim_machines_free(struct sim_machines *world);	/* After its drivers. Null is fine. */

/* What 'started_at' and 'usage' read, in wall ms; without it the real clock. */
typedef int64_t sim_clock_fn(void *data);
void sim_machines_set_clock(struct sim_machines *world, sim_clock_fn *fn, void *data);

/* Told of every disk snapshot made or removed (the world's lock is held), so that a simulated
 * volume world can keep the same names. 'path': the disk's top layer. */
typedef void sim_snapshot_fn(void *data, const char *path, const char *snapshot, bool is_removed);
void sim_machines_on_snapshot(struct sim_machines *world, sim_snapshot_fn *fn, void *data);

/* Told when a guest begins to run here and when it ends or has left, and around each change of its disks (it ends and begins). The
 * world's lock is held. */
typedef void sim_change_fn(void *data, const struct machine_config *config, bool is_running);
void sim_machines_on_change(struct sim_machines *world, sim_change_fn *fn, void *data);

bool sim_machines_runs(struct sim_machines *world, const char *uid);	/* Or is paused. */
size_t sim_machines_count(struct sim_machines *world);		/* Running or paused. */
size_t sim_machines_leftovers(struct sim_machines *world);	/* Ended, not yet cleaned up by kill. */

/* What the machine was last started with; null when there is no such machine. Borrowed until the machine
 * is started again or killed. Disks and nics are as attached now. */
const struct machine_config *sim_machines_config(struct sim_machines *world, const char *uid);

/* The guest does something. Unknown machines are ignored. */
void sim_machines_exit(struct sim_machines *world, const char *uid, enum machine_exit cause, const char *text);
void sim_machines_set_agent(struct sim_machines *world, const char *uid, bool is_up);
void sim_machines_io_error(struct sim_machines *world, const char *uid, const char *text);	/* And pauses. */
void sim_machines_panic(struct sim_machines *world, const char *uid);
void sim_machines_print(struct sim_machines *world, const char *uid, const char *text);	/* Onto the console. */
/* From now on this guest does not react to shutdown (also when it is started later). */
void sim_machines_ignore_shutdown(struct sim_machines *world, const char *uid, bool is_ignored);
/* What was typed into the console, at most 'size' bytes; returns how many. */
size_t sim_machines_typed(struct sim_machines *world, const char *uid, char *buffer, size_t size);

/* The link between worlds. It outlives their drivers. */
struct sim_network;
struct sim_network *sim_network_new(void);
void sim_network_free(struct sim_network *network);			/* Null is fine. */
void sim_network_forget(struct sim_network *network, const struct sim_machines *world);	/* A world that goes before it. */
void sim_network_cut(struct sim_network *network, bool is_cut);	/* Moves in the middle fail with -ETIMEDOUT. */
/* Called before each step of a move, with nothing locked: 'step' is "disks", "memory" or "switch". */
typedef void sim_step_fn(void *data, const char *uid, const char *step);
void sim_network_on_step(struct sim_network *network, sim_step_fn *fn, void *data);

#endif
