/*
 * drivers.h - where ports meet drivers: real ones, or simulated ones.
 *
 * Threads: open and close in the main thread; the pools' functions are called from workers.
 */
#ifndef APP_WIRING_DRIVERS_H
#define APP_WIRING_DRIVERS_H

#include "2-virtualization/agent/agent.h"

struct drivers {
	struct machine_driver *machines[INSTANCE_KIND_COUNT];
	struct volume_driver *volume;		/* Of the pool "default". */
	struct fabric_driver *fabric;
	struct fence_driver *fence;		/* Null: simulated, or there are no others to share a store with. */
	char *cgroups[INSTANCE_KIND_COUNT];	/* Below which the machines have theirs. */
	struct pool_source pools;
	char *directory, *cgroup;	/* Of the daemon, in version 2: instances are below it. */
	/* Simulated: the world that outlives its drivers; else null. */
	struct sim_machines *sim_machines;
	struct sim_volumes *sim_volumes;
};

/* 'directory' is the state folder; 'is_shared': other hosts use the store too. */
int drivers_open(const char *directory, const char *node_tag, bool is_simulated, bool is_shared, struct drivers *drivers,
		 struct err *err);
void drivers_close(struct drivers *drivers);	/* Also half open; the world stays as it is. */

#endif
