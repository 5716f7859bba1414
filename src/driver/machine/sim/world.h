/*
 * world.h - what the files of the sim driver share: the world and its machines.
 *
 * What the operations of the driver share is here too.
 *
 * Threads: everything in 'struct sim_machines' and its machines is guarded by 'lock'; functions
 *          here expect it to be held unless they say otherwise.
 */
#ifndef DRIVER_MACHINE_SIM_WORLD_H
#define DRIVER_MACHINE_SIM_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "base/str.h"
#include "driver/machine/sim/sim.h"

/* A deep copy of a config that can be changed. */
struct sim_config {
	struct machine_config config;	/* Its pointers lead into what follows. */
	VEC(struct machine_disk) disks;
	VEC(struct machine_nic) nics;
};
struct sim_config *sim_config_copy(const struct machine_config *config);
void sim_config_free(struct sim_config *copy);			/* Null is fine. */
void sim_config_add_disk(struct sim_config *copy, const struct machine_disk *disk);
bool sim_config_remove_disk(struct sim_config *copy, const char *id);	/* Whether it was there. */

struct sim_snapshot { char *name; bool has_memory; };

struct sim_machine {
	struct sim_machines *world;
	char *uid;
	struct sim_config *config;
	enum machine_state state;	/* ABSENT: ended, but its run directory is still there. */
	bool has_io_error;
	bool has_agent;
	bool is_shutting_down;
	bool is_incoming, has_arrived, is_moved_out;	/* As in machine_status. */
	bool is_told;			/* on_change knows that it runs. */
	bool brings_agent;		/* is_incoming: its agent is up when it is let run. */
	uint16_t port;			/* is_incoming: where it waits. */
	pid_t pid;
	int64_t started_at;
	int console[2];			/* [0] the caller's end, [1] the guest's; -1. */
	struct map files;		/* Path to struct str *: what file_write left. */
	struct machine_watch *watch;	/* Of the present daemon; null: nobody looks. */
};

/* What stays when a machine is gone. */
struct sim_history {
	VEC(struct sim_snapshot) snapshots;
	bool ignores_shutdown;
};

struct sim_machines {
	pthread_mutex_t lock;
	struct map machines;		/* uid to struct sim_machine. */
	struct map histories;		/* uid to struct sim_history. */
	pid_t next_pid;
	sim_clock_fn *clock;
	void *clock_data;
	sim_snapshot_fn *on_snapshot;
	void *snapshot_data;
	sim_change_fn *on_change;
	void *change_data;
};

struct machine_watch {
	atomic_uint refs;		/* The registration and each message under way. */
	bool is_over;			/* Loop's thread only. */
	struct sim_machines *world;
	char *uid;
	struct loop *loop;
	machine_event_fn *fn;
	void *data;
	struct loop_source *agent_timer, *shutdown_timer;
};

struct sim_driver {
	struct machine_driver base;
	struct sim_machines *world;
	bool owns_world;
	struct sim_network *network;	/* Null: there is no other host. */
	struct fault *fault;
};

static inline struct sim_driver *sim_of(struct machine_driver *driver)
{
	return container_of(driver, struct sim_driver, base);
}

/*
 * Brackets of every operation: a step of the fault, then the lock; at the end the other way round, so
 * that a crash between change and answer can happen too.
 */
int sim_begin(struct sim_driver *self, const char *what, struct err *err);
int sim_end(struct sim_driver *self, int r, const char *what, struct err *err);
/* sim_begin() for what needs a machine that runs; null: the error is in *err, nothing is locked. */
struct sim_machine *sim_begin_running(struct machine_driver *driver, const char *uid, const char *what, struct err *err);

/* migrate.c */
int sim_migrate_in(struct machine_driver *driver, const struct machine_config *config, const struct machine_listen *listen,
		   struct machine_ports *ret_ports, struct err *err);
int sim_migrate_out(struct machine_driver *driver, const char *uid, const struct machine_migration *migration,
		    struct machine_migration_result *ret_result, struct err *err);
int sim_migrate_cancel(struct machine_driver *driver, const char *uid, struct err *err);
/* Lets a machine go on after a move, at either side. */
int sim_migrate_accept(struct sim_machine *machine, struct err *err);

int64_t sim_now_ms(const struct sim_machines *world);
struct sim_machine *sim_machine_find(struct sim_machines *world, const char *uid);	/* Null: none. */
struct sim_machine *sim_machine_running(struct sim_machines *world, const char *uid, struct err *err);
struct sim_machine *sim_machine_add(struct sim_machines *world, const struct machine_config *config, bool is_incoming);
void sim_machine_remove(struct sim_machines *world, struct sim_machine *machine);
struct sim_history *sim_history(struct sim_machines *world, const char *uid);		/* Made when missing. */
struct sim_snapshot *sim_snapshot_find(struct sim_history *history, const char *name, size_t *ret_index);

/* To on_change, when it runs now and did not before, or the other way round. A guest that comes or has left does not run. */
void sim_machine_tell(struct sim_machine *machine);
void sim_machine_tell_end(struct sim_machine *machine);

/* Everything below changes state and tells the watch. */
void sim_machine_end(struct sim_machine *machine, enum machine_exit cause, const char *text);
void sim_machine_pause(struct sim_machine *machine);
void sim_machine_resume(struct sim_machine *machine);
void sim_machine_set_agent(struct sim_machine *machine, bool is_up);
void sim_machine_emit(struct sim_machine *machine, enum machine_event_kind kind, enum machine_exit cause, const char *text);
void sim_machine_print(struct sim_machine *machine, const char *text);

/* watch.c. 'sim_watch_shutdown': the guest will be off a little later, in the watch's time. */
void sim_watch_post(struct machine_watch *watch, const struct machine_event *event);
void sim_watch_shutdown(struct machine_watch *watch);
int sim_watch(struct sim_machines *world, const char *uid, struct loop *loop, machine_event_fn *fn, void *data,
	      struct machine_watch **ret_watch, struct err *err);	/* Without the lock. */
void sim_unwatch(struct machine_watch *watch);				/* Without the lock. */

#endif
