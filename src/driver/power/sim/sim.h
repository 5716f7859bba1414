/*
 * sim.h - the controllers of a simulated cluster's hosts, by address, and how they behave.
 *
 * Nothing here takes time: what is switched is switched at once, and a stuck host is found out at once.
 *
 * Faults:  off and on call fault_step() before and after they change the world.
 * Memory:  power_params.world must be given. A host is added before its controller is opened.
 * Threads: any; 'switched' is called in the thread of the operation, without a lock.
 */
#ifndef DRIVER_POWER_SIM_H
#define DRIVER_POWER_SIM_H

#include <stdbool.h>

#include "port/power.h"

struct sim_power;

/* The host 'address' goes on or off: a simulated cluster ends or starts it. */
typedef void sim_power_fn(void *data, const char *address, bool is_on);

struct sim_power *sim_power_new(sim_power_fn *switched, void *data);	/* 'switched' may be null. */
void sim_power_free(struct sim_power *world);		/* After its drivers. Null is fine. */

struct sim_power_host {
	bool is_on;
	bool is_stuck;			/* Accepts, and does not switch. */
	bool refuses, is_silent;	/* The controller: the credentials; does not answer. */
};

/* Adds the host, or changes it. */
void sim_power_set(struct sim_power *world, const char *address, const struct sim_power_host *host);
struct sim_power_host sim_power_get(struct sim_power *world, const char *address);	/* All false: unknown. */

#endif
