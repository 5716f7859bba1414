/*
 * instance_step.h - what is the next step of an instance?  A pure function.
 *
 * It sees what people want (meta, spec), what was observed (status), and what the world looks like
 * (is a machine there, what was tried already), and answers with one step.  The controller
 * (instance.c) carries the step out and asks again.  There is no other place where it is decided
 * what happens to an instance, after a crash as little as in the middle of the day.
 */
#ifndef AGENT_INSTANCE_STEP_H
#define AGENT_INSTANCE_STEP_H

#include "model/instance.h"
#include "port/machine.h"

enum instance_step {
	STEP_NONE,		/* All is as it should be. */
	STEP_WAIT,		/* Ask again after wait_ms. */
	STEP_INSPECT,		/* Look whether a machine is there. */
	STEP_CREATE,		/* Make the root disk and files. */
	STEP_START,
	STEP_SHUTDOWN,		/* Ask the guest to power off. */
	STEP_KILL,		/* Cut the power. */
	STEP_PAUSE,
	STEP_RESUME,
	STEP_RESTORE,		/* Put the disks back to a snapshot. */
	STEP_NICS,		/* Bring nics, names and published ports up to date. */
	STEP_ATTACH,
	STEP_DETACH,
	STEP_RESIZE,		/* cpus and memory, live. */
	STEP_DELETE,
	STEP_RECEIVE,		/* Make ready for a machine that comes from another node. */
	STEP_FETCH,		/* Copy disks that are at rest at another node. */
	STEP_LEAVE,		/* It is at another node now: nothing of it stays here. */
};

struct instance_world {
	bool is_known;			/* STEP_INSPECT has been done. */
	enum machine_state state;
	bool has_io_error;
	bool is_moved_out;		/* Paused: all of it is at another node, which may go on with it. */
	bool has_leftovers;		/* The machine has ended; its run directory and cgroup may still be there. */
	uint64_t shutdown_asked_ms;	/* Loop time of the first request to power off; 0: none. */
	uint64_t shutdown_repeat_ms;	/* Ask again then. */
	bool cannot_be_asked;		/* This machine has no way to ask its guest. */
	int64_t nics_generation;	/* meta.generation the nics were brought up for. */
	int64_t limits_generation;	/* meta.generation the limits of a container were brought up to date for. */
	int64_t tried_generation;	/* meta.generation for which a live change was refused: only at the next start. */
};

struct instance_decision {
	enum instance_step step;
	uint64_t wait_ms;		/* STEP_WAIT */
	const char *volume_uid;		/* STEP_ATTACH, STEP_DETACH; borrowed from the instance or status. */
};

struct instance_decision instance_next_step(const struct meta *meta, const struct instance_spec *spec,
					    const struct instance_status *status, const struct instance_world *world,
					    uint64_t now_ms, int64_t wall_ms);

/* Should a machine be there at all? */
bool instance_wants_machine(const struct instance_spec *spec, const struct instance_status *status);

/* Milliseconds to wait before restart number 'restarts' (from 0): 0.5 s doubling up to a minute. */
uint64_t instance_backoff_ms(int64_t restarts);

#endif
