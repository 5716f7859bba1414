/*
 * host.h - one of several simulated hosts: its world, which outlives its daemon, and what a daemon there is given.
 *
 * All hosts turn in one virtual loop. Each has its own machines, disks, nics and watchdog, a link to the store that all share, and a
 * wall clock that can be wrong; shared pools are one world of volumes. What goes wrong is done from outside, between two turns.
 *
 * Threads: the loop's.
 */
#ifndef APP_SIMULATE_HOST_H
#define APP_SIMULATE_HOST_H

#include "2-virtualization/agent/agent.h"
#include "app/simulate/witness.h"
#include "base/fault.h"
#include "driver/fabric/sim/sim.h"
#include "driver/fence/sim/sim.h"
#include "driver/machine/sim/sim.h"
#include "driver/store/sim/sim.h"
#include "driver/volume/sim/sim.h"
#include "model/node.h"

/* What all hosts have in common; outlives them. */
struct sim_house {
	struct loop *loop;
	struct sim_store *store;
	struct sim_volumes *shared;	/* Every pool that is shared. */
	struct sim_network *network;	/* For machines that move while they run. */
	struct witness witness;
	struct rng rng;
};
void sim_house_init(struct sim_house *house, uint64_t seed, int64_t start_ms);
void sim_house_done(struct sim_house *house);

struct sim_host {
	struct sim_house *house;
	struct witness_host witness;
	char uid[37], tag[8], boot_id[24];
	char *directory;		/* The state folder. */
	struct node_status inventory;
	/* The world. */
	struct sim_machines *machines;
	struct sim_volumes *volumes;
	struct sim_fabric *fabric;
	struct sim_fence *fence;
	struct sim_link *link;
	struct fault fault;		/* 'fail_permille' is for others to set. */
	int64_t skew_ms;		/* Of its wall clock. */
	uint32_t lag_ms;		/* Blocking work takes up to twice so long: slow disks. */
	unsigned boots;
	/* For a daemon; null while none runs. */
	struct loop *loop;
	struct work *work;
	struct store *store;
	struct machine_driver *machine_driver;
	struct volume_driver *volume_driver;
	struct fabric_driver *fabric_driver;
	struct fence_driver *fence_driver;
	struct pool_source pools;
};

/* 'number' from 0; 'uid' is made of it. Copies 'directory'. */
void sim_host_init(struct sim_host *host, struct sim_house *house, unsigned number, const char *directory, int64_t cpus, uint64_t memory);
void sim_host_done(struct sim_host *host);		/* No daemon runs. */

/* A daemon begins. -EAGAIN: the store cannot be reached. */
int sim_host_open(struct sim_host *host, struct err *err);
/* It is gone, as after kill -9: first its jobs, then what the caller made of it (core, agent), then the rest. */
void sim_host_drop_work(struct sim_host *host);
void sim_host_close(struct sim_host *host);
bool sim_host_is_open(const struct sim_host *host);
/* The power fails, and comes back: machines and nics are gone, disks are not. No daemon runs. */
void sim_host_reboot(struct sim_host *host);
void sim_host_jump(struct sim_host *host, int64_t ms);	/* Its wall clock. */

#endif
