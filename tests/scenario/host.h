/*
 * host.h - a simulated host for scenario tests: the real core and agent over sim drivers, a memory
 * store and a virtual clock.  The "disk" (store driver, worlds, a temporary state folder) outlives a
 * crash; everything else is thrown away and built anew, as when stratad is killed and started.
 */
#ifndef SCENARIO_HOST_H
#define SCENARIO_HOST_H

#include "4-service/core.h"
#include "base/fault.h"
#include "model/instance.h"
#include "model/pool.h"
#include "driver/fabric/sim/sim.h"
#include "driver/machine/sim/sim.h"
#include "driver/volume/sim/sim.h"

struct host {
	/* Survives crashes. */
	struct store_driver *store_driver;
	struct sim_machines *machines;
	struct sim_volumes *volumes;
	struct sim_fabric *fabric;
	char directory[64];
	char boot_id[16];
	struct fault fault;
	int64_t wall_ms;
	struct rng rng;
	/* The daemon; null between a crash and the next start. */
	struct loop *loop;
	struct work *work;
	struct store *store;
	struct machine_driver *machine_driver;
	struct volume_driver *volume_driver;
	struct fabric_driver *fabric_driver;
	struct view *view;
	struct core *core;
};

void host_init(struct host *host, uint64_t seed);
void host_done(struct host *host);
void host_start(struct host *host);
void host_crash(struct host *host);		/* Everything but the disk is gone. */
void host_reboot(struct host *host);		/* A crash that takes the machines and nics with it. */

/* Runs until nothing happens for 'quiet_ms' of virtual time, at most 'max_ms'.  Returns false when the host
 * has crashed on the way (host->fault). */
bool host_run(struct host *host, uint64_t quiet_ms, uint64_t max_ms);

struct answer {
	int code;			/* 0 or -errno */
	char message[sizeof(((struct err *)0)->msg)];
	struct json *body;		/* Of success; may be null. */
	bool has_come;
};
void answer_done(struct answer *answer);

/* Sends a call; 'body' is JSON text or null. The answer comes while the host runs. 'answer' may be null. */
void host_send(struct host *host, enum call_op op, const char *kind, const char *name, const char *child, const char *body,
	       struct answer *answer);
/* Sends and runs until it has come; returns its code. */
int host_call(struct host *host, enum call_op op, const char *kind, const char *name, const char *child, const char *body);
/* Like host_call, expecting success. */
void host_do(struct host *host, enum call_op op, const char *kind, const char *name, const char *child, const char *body);

/* The object as readers see it ("instances", "web"), or null. The caller frees. */
struct json *host_get(struct host *host, const char *folder, const char *name);
/* Its status.state, "" when it does not exist. Valid until the next call. */
const char *host_state(struct host *host, const char *folder, const char *name);
void host_make_image(struct host *host);	/* "tiny", and "busybox" for containers; ready. */

#endif
