/*
 * instance.h - the noun "instance": a virtual server.
 *
 * People write spec (through the API), the agent of its node writes status.
 *
 * A "start" is counted: every start or restart that a person asks for raises spec.start_serial.
 * The machine should run when power is running (or paused) and the start of that serial has not
 * come to its end (status.ended_serial), or the restart policy revives it.  A machine that runs
 * for an older serial is restarted.  So kill -9, a guest's own power-off and `restart` need no
 * memory outside the store.
 */
#ifndef MODEL_INSTANCE_H
#define MODEL_INSTANCE_H

#include "model/meta.h"

enum instance_kind { INSTANCE_VM, INSTANCE_CONTAINER, INSTANCE_KIND_COUNT };
enum instance_power { POWER_RUNNING, POWER_PAUSED, POWER_STOPPED /* asked nicely, then off */, POWER_OFF /* at once */ };
enum instance_machine { INSTANCE_MACHINE_AUTO, INSTANCE_MACHINE_Q35, INSTANCE_MACHINE_MICROVM };
enum instance_boot { INSTANCE_BOOT_AUTO, INSTANCE_BOOT_KERNEL, INSTANCE_BOOT_BIOS, INSTANCE_BOOT_UEFI };
enum restart_policy { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };

enum instance_state {
	INSTANCE_PENDING,		/* Accepted; nothing done yet. */
	INSTANCE_CREATING,		/* Disks are being made. */
	INSTANCE_STOPPED,
	INSTANCE_STARTING,
	INSTANCE_RUNNING,
	INSTANCE_PAUSED,
	INSTANCE_STOPPING,
	INSTANCE_RESTORING,
	INSTANCE_DELETING,
	INSTANCE_FAILED,		/* Cannot go on without a person; 'reason' says why. */
	INSTANCE_STATE_COUNT
};
extern const char *const instance_state_names[];	/* Null-terminated. */

struct instance_nic {
	char *network;			/* Name. */
	char *network_uid;		/* Filled in. */
	char *ipv4, *ipv6;		/* Filled in when not given. */
	char *mac;			/* Filled in when not given. */
	int64_t number;			/* Filled in: small, unique. */
};

enum publish_protocol { PUBLISH_TCP, PUBLISH_UDP };
struct instance_publish {
	int protocol;
	char *host_address;		/* Null: every address. */
	int64_t host_port, guest_port;
};

struct instance_volume {
	char *volume;			/* Name. */
	char *volume_uid;		/* Filled in. */
	bool read_only;
};

/* Where the root disk comes from, when not from 'image'. */
struct instance_source {
	char *instance;			/* Clone: uid of the instance to copy. */
	char *snapshot;			/* Clone: uid of its snapshot, or null for its present state. */
	char *upload;			/* Import: id of an uploaded export file. */
};

/* A folder in a container that is not of its root. */
enum mount_kind { MOUNT_VOLUME, MOUNT_BIND, MOUNT_TMPFS };
struct instance_mount {
	int kind;
	char *source;			/* BIND: path on the host. VOLUME: name of the volume. */
	char *volume_uid;		/* VOLUME: filled in. */
	char *target;
	bool read_only;
	uint64_t size;			/* TMPFS */
};

struct instance_health {		/* A command that says whether a container is well. */
	struct field_list command;	/* char * */
	int64_t interval, timeout, start_period;	/* ms */
	int64_t retries;
};

enum latency_class { LATENCY_NORMAL, LATENCY_INTERACTIVE, LATENCY_BATCH };

/* What only containers have. */
struct instance_container {
	struct field_list entrypoint, command;	/* char *; empty: the image's. */
	struct field_list env;		/* char *: "NAME=value", over the image's. */
	char *user, *directory, *stop_signal;	/* Null: the image's. */
	bool terminal, input;
	bool input_once;		/* The input ends with the first client that leaves. */
	bool init;			/* Filled in when not said: the program is an init system. */
	bool read_only;
	bool remove;			/* The instance goes when it ends. */
	struct field_list mounts;	/* struct instance_mount */
	struct field_list cap_add, cap_drop, devices;	/* char * */
	struct instance_health health;
	int64_t pids;			/* Limit; 0: none. */
	uint64_t io_read, io_write;	/* Bytes per second; 0: no limit. */
	int64_t cpu_weight;		/* 0: 100. */
};

struct instance_restore {
	char *snapshot;			/* uid */
	int64_t serial;			/* Raised by each restore asked for. */
};

/* Where it may run. */
struct instance_placement {
	char *node;			/* Name: only there. */
	struct field_list labels;	/* char *: "key=value" that its node must have. */
	struct field_list with, without;	/* char *: "key=value" of instances: one such runs there already; none does. */
	char *spread;			/* Key of a label: instances with the same value of it go evenly over the nodes. */
};

enum instance_ha { HA_NONE, HA_RESTART };

/* The last move to another node that was asked for; 'node' says where to. */
struct instance_move {
	int64_t serial;
	bool live;			/* The guest runs on all the time; else it is stopped, copied, started. */
	bool postcopy;			/* Go on at the destination before all memory is there, rather than not at all. */
};

enum move_phase {
	MOVE_NONE,
	MOVE_PREPARING,			/* The destination makes ready. */
	MOVE_COPYING,			/* Live: disks, then memory, while the guest runs. */
	MOVE_STOPPING,			/* Not live: the guest is asked to power off. */
	MOVE_RESTING,			/* Nothing writes to the disks: the destination copies them. */
	MOVE_DONE,
	MOVE_FAILED,			/* It is where it was, as if nothing had been; 'reason' says why. */
};

/* How far the move is; written by the node it is at. */
struct instance_move_status {
	int64_t serial;			/* Of which move. */
	int phase;			/* enum move_phase */
	char *reason;
	uint64_t done_bytes, total_bytes;	/* COPYING; total 0: unknown. */
	int64_t downtime;		/* ms; live: how long the guest stood still, until all of it was at the destination. */
	int64_t total;			/* ms */
	int64_t began_at, ended_at;
};

/* The note move/<instance>: what the destination says to the source. */
enum move_answer { MOVE_IS_READY, MOVE_HAS_FETCHED, MOVE_CANNOT };
struct move_note {
	int64_t serial;
	char *node;			/* Its uid. */
	int answer;			/* enum move_answer */
	char *reason;			/* CANNOT */
	char *address;			/* Live: where its machine waits. */
	int64_t memory_port, disk_port;	/* 0: no disk is copied. */
};
extern const struct field_table move_note_table;

struct instance_spec {
	int kind;
	char *image;			/* Name, as given. */
	char *image_uid;		/* Filled in. */
	struct instance_source source;
	char *node;			/* uid of the node it should be at; filled in by the scheduler, or a name when it is made. */
	struct instance_placement placement;
	struct instance_move move;
	int ha;				/* What happens when its node is lost. */
	int64_t cpus;
	uint64_t memory;
	uint64_t root_size;		/* 0: as large as the image. */
	int machine;
	int boot;
	char *kernel_options;		/* Added to the image's kernel command line. */
	struct field_list nics;		/* struct instance_nic */
	struct field_list publish;	/* struct instance_publish */
	struct field_list volumes;	/* struct instance_volume */
	int power;
	int64_t start_serial;
	int64_t force_serial;		/* The restart of that serial cuts the power instead of asking. */
	struct instance_restore restore;
	int restart;
	bool autostart;			/* Start again after the host has booted. */
	int64_t stop_timeout;		/* ms to wait for the guest's own power-off. */
	char *user_data;		/* For cloud-init (NoCloud). */
	struct field_list ssh_keys;	/* char * */
	bool vnc;
	bool vsock;
	char *pool;			/* Name: where its root is. */
	char *pool_uid;			/* Filled in. */
	int latency_class;
	struct instance_container container;
};

enum instance_health_state { HEALTH_NONE, HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

struct instance_usage {			/* Kept by the agent in memory, never stored. */
	uint64_t cpu_ns;
	int64_t cpu_permille;		/* Of one cpu, over the last sampling period. */
	uint64_t memory_bytes;
	uint64_t disk_read_bytes, disk_write_bytes, net_receive_bytes, net_transmit_bytes;
	int64_t pids;			/* Containers. */
	int64_t sampled_at;
};

struct instance_status {
	int state;
	char *node;			/* uid of the node it is at; null: at none yet. */
	struct instance_move_status move;
	char *node_name;		/* Of that node, for people; where there are several, never stored. */
	char *lost;			/* Its node is, so what is shown is what it last said; from the state of the node, never stored here. */
	char *stuck;			/* Why it cannot leave its node, which is drained; from a note of the leader, never stored here. */
	char *reason;			/* In words; null when all is well. */
	bool disk_ready;		/* Root disk and files exist. */
	int64_t pid;
	int64_t started_at;
	int64_t started_serial;		/* spec.start_serial the machine was last started for. */
	int64_t ended_serial;		/* The start that came to its end by itself and is not revived. */
	int64_t restore_serial;		/* The last restore done. */
	bool next_from_memory;		/* The next start goes on from the restored snapshot's memory, if it has any. */
	char *exit_reason;		/* How the last run ended. */
	int64_t exited_at;
	int64_t restarts;		/* By the restart policy, since the last start asked for. */
	int64_t next_start_at;		/* Back-off: not before. */
	char *boot_id;			/* Host boot in which it was started. */
	char *machine;			/* "microvm", "q35": as started. */
	int64_t cpus;			/* In force now. */
	uint64_t memory;		/* In force now. */
	int64_t max_cpus;		/* How far it may grow while it runs, as started. */
	uint64_t max_memory;
	struct field_list pending;	/* char *: what changes at the next start ("cpus: 2, now 1"). */
	struct field_list attached;	/* char *: uids of the volumes plugged in now. */
	bool agent;			/* The guest agent answers; of a container: it can run commands. */
	int64_t exit_code;		/* Containers: of the last run; -1: none. */
	bool out_of_memory;		/* The kernel killed a process of the last run at the memory limit. */
	int health;			/* enum instance_health_state */
	int64_t health_failures;	/* In a row. */
	char *health_output;		/* Of the last check. */
	struct field_list isolation;	/* char *: what is in force, in words. */
	struct instance_usage usage;
};

struct instance {
	struct meta meta;
	struct instance_spec spec;
	struct instance_status status;
};

extern const struct field_table instance_spec_table, instance_status_table, instance_usage_table;

/* What no single field can check. */
int instance_spec_check(const struct instance_spec *spec, struct err *err);

/* May an instance go from one state to the other?  The table is in instance.c. */
bool instance_may_move(enum instance_state from, enum instance_state to);

#endif
