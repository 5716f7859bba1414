/*
 * sim.h - a simulated host's watchdog, and the strings to pull on it.
 *
 * The world (struct sim_fence) is the watchdog with its page: it outlives the driver, so that a test can crash the
 * daemon and see its guests end. Its clock is that of the loop; CLOCK_BOOTTIME began when the loop did.
 *
 * Faults:  every operation calls fault_step() before and after it changes the world.
 * Memory:  fence_params.world must be given; it is freed after its drivers and before its loop.
 * Threads: the port's operations any; the functions below the loop's own.
 */
#ifndef DRIVER_FENCE_SIM_H
#define DRIVER_FENCE_SIM_H

#include "base/loop.h"
#include "port/fence.h"

enum { SIM_FENCE_AGAIN_MS = 50 };	/* How often it looks for what appears after the deadline. */

struct sim_fence;

/* Ends the guest; returns whether it ran: it is asked for all that are guarded. In the loop's thread; it must not call the port. */
typedef bool sim_fence_end_fn(void *data, const char *uid);

struct sim_fence *sim_fence_new(struct loop *loop, sim_fence_end_fn *end, void *data);
void sim_fence_free(struct sim_fence *world);		/* Null is fine. */

/* The watchdog dies. The next renew or guard starts another, unless 'can_start' is false: then they are -EIO. */
void sim_fence_kill(struct sim_fence *world);
void sim_fence_set_can_start(struct sim_fence *world, bool can_start);

#endif
