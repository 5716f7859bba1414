/*
 * machine.h - the machine port: something that runs, a VM under QEMU or a container under crun.
 *
 * A machine is named by its instance's uid and outlives the daemon.  Nothing about it is
 * remembered in the driver: the world (cgroup, sockets in its run directory) is asked.
 *
 * Life:    absent -> start -> running <-> paused -> (shutdown | kill | its own end) -> absent.
 * Move:    migrate_in (destination) and migrate_out (source), see "Live migration" below.
 * Errors:  -ENOENT the machine does not run; -EOPNOTSUPP this machine cannot do it, with the reason and
 *          what would; -ETIMEDOUT it did not answer; -ENODEV the guest agent is not there.
 * Memory:  arguments are borrowed, 'ret_x' passes to the caller on success.
 * Threads: operations block and are called from workers; two on the same machine may meet (exec beside
 *          pause): the driver keeps its channels apart.  watch/unwatch and the events they
 *          bring belong to the loop's thread.
 */
#ifndef PORT_MACHINE_H
#define PORT_MACHINE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/loop.h"
#include "base/vec.h"
#include "port/volume.h"

enum machine_log_form { MACHINE_LOG_RAW, MACHINE_LOG_RECORDS };

struct machine_params {
	const char *directory;		/* <directory>/<uid>/ holds a machine's sockets; 0700, ours. */
	const char *node_tag;		/* As in fabric.h. */
	const char *cgroup;		/* <cgroup>/<uid> is a machine's cgroup (v2 hierarchy, absolute path). */
	const char *user;		/* Unprivileged user for machines; null: strata-qemu when it exists, else nobody. */
	const char *program;		/* Null: qemu-system-x86_64, or crun, from PATH. */
	void *world;			/* Driver "sim": struct sim_machines *. */
	void *network;			/* Driver "sim": struct sim_network *, over which machines move between worlds; may be null. */
	struct fault *fault;		/* Driver "sim". */
};

enum machine_type { MACHINE_Q35, MACHINE_MICROVM };
enum machine_boot { MACHINE_BOOT_KERNEL, MACHINE_BOOT_BIOS, MACHINE_BOOT_UEFI };

struct machine_disk {
	const char *id;			/* "root", "seed", or the volume's uid: stable for detach. */
	const struct volume_layer *layers;	/* The chain, top first. */
	size_t layer_count;
	bool is_read_only;
	bool is_root;			/* virtio-blk and first in boot order; others are virtio-scsi, which
					 * can be plugged live on every machine type. */
};

/* What a container mounts beside its root. */
enum machine_mount_kind {
	MACHINE_MOUNT_TREE,		/* A volume's tree: ids are mapped. */
	MACHINE_MOUNT_BIND,		/* A folder or file of the host, as it is: ids of the container have no rights in it but others'. */
	MACHINE_MOUNT_TMPFS,
};
struct machine_mount {
	enum machine_mount_kind kind;
	const char *source;		/* TREE, BIND: absolute path on the host. */
	const char *target;		/* Absolute path inside; made when missing. */
	bool is_read_only;
	uint64_t size_bytes;		/* TMPFS: limit; 0: half of the memory. */
};

/* A slice of the CPU per turn (EEVDF, sched_setattr(2), Linux 6.12): short turns answer soon, long ones compute well. */
enum machine_latency { MACHINE_LATENCY_NORMAL, MACHINE_LATENCY_INTERACTIVE, MACHINE_LATENCY_BATCH };

/* What makes a machine a container (driver "oci"). */
struct machine_container {
	const char *const *layers;	/* Unpacked folders of the image, top first; only read. */
	size_t layer_count;
	const char *root;		/* Tree of the instance's own volume: what it changes lies in <root>/upper. */
	const char *const *argv;	/* Null-terminated, not empty. */
	const char *const *env;		/* "NAME=value", null-terminated; may be null. */
	const char *user;		/* "1000:1000", or names of the image's /etc/passwd and /etc/group; null: root. */
	const char *directory;		/* Null: "/". */
	const char *hostname;
	bool has_terminal;		/* Its console is a terminal; else stdout and stderr. */
	bool has_input;			/* Its standard input is open for console_open(); else it is empty. */
	bool has_input_once;		/* That input ends with the first console; else it stays open for the next. */
	bool is_init;			/* argv[0] is an init system: it gets a writable /sys/fs/cgroup of its own, /run as tmpfs. */
	bool is_read_only;		/* The root file system. */
	bool is_privileged_ids;		/* Never true by default: no user namespace. */
	uint32_t uid_base, uid_count;	/* The user namespace: id 0 inside is uid_base outside. */
	const char *const *cap_add, *const *cap_drop;	/* "NET_ADMIN" or "ALL"; null-terminated; may be null. */
	const char *const *devices;	/* Host devices, "/dev/fuse"; null-terminated; may be null. */
	const struct machine_mount *mounts;
	size_t mount_count;
	const char *const *nameservers, *const *search;	/* For /etc/resolv.conf; null-terminated; may be null. */
	const char *const *hosts;	/* More lines of /etc/hosts; may be null. */
	int stop_signal;		/* 0: SIGTERM. */
	uint64_t pids_max;		/* 0: no limit. */
	uint64_t io_read_bps, io_write_bps;	/* Of the device the root is on; 0: no limit. */
	unsigned cpu_weight;		/* 1 to 10000 as in cgroup v2; 0: 100. */
	enum machine_latency latency;
	/* Called once, when the network namespace of process 'pid' is there and nothing runs in it yet. */
	int (*network_ready)(void *data, pid_t pid, struct err *err);
	void *network_data;
};

struct machine_nic {
	char ifname[IFNAMSIZ];		/* A tap that exists and is ours to open. */
	uint8_t mac[6];
	unsigned mtu;
};

struct machine_config {
	const char *uid;
	const char *name;		/* For `ps`. */
	enum machine_type type;
	enum machine_boot boot;
	unsigned cpus, max_cpus;	/* max_cpus, max_memory: how far live growth may go (q35). */
	uint64_t memory_bytes, max_memory_bytes;
	const char *kernel, *initrd, *cmdline;	/* MACHINE_BOOT_KERNEL; initrd and cmdline may be null. */
	const char *nvram;		/* MACHINE_BOOT_UEFI: this machine's variable store; made when missing. */
	const struct machine_disk *disks;
	size_t disk_count;
	const struct machine_nic *nics;
	size_t nic_count;
	uint64_t console_log_bytes;	/* Driver "oci": how large the log may become; 0: LIMIT_CONSOLE_LOG_BYTES. */
	const char *console_log;	/* Every byte of the serial console is appended here, also while the daemon is down. */
	bool has_vnc;			/* VNC on the unix socket <directory>/<uid>/vnc. */
	uint32_t vsock_cid;		/* 0: none. */
	const char *memory_snapshot;	/* Start from this snapshot's memory (and disk) state; null: boot. */
	bool allow_kvm;			/* The probe said KVM works. */
	/* Driver "oci": then of the above only uid, name, cpus (0: no limit), memory_bytes (0: no limit), console_log count. */
	const struct machine_container *container;
};

enum machine_state { MACHINE_ABSENT, MACHINE_RUNNING, MACHINE_PAUSED };

struct machine_status {
	enum machine_state state;
	pid_t pid;
	int64_t started_at;		/* Wall ms. */
	bool has_io_error;		/* Paused by a write error (a full disk). */
	/* Live migration. With one of these the state is MACHINE_PAUSED and nothing but resume() or kill() makes sense. */
	bool is_incoming;		/* Made by migrate_in() and not yet resumed: the guest has never run here. */
	bool has_arrived;		/* is_incoming, and everything is here: resume() may be called. */
	bool is_moved_out;		/* All of it is at the destination, its disks are released: kill(), or resume() to go on here. */
	/* Post-copy: part of its memory is still here. Once handed over leave it alone until it is_moved_out; else migrate_cancel(). */
	bool is_postcopy;
};

/*
 * Live migration: a machine goes on at another host while its guest notices nothing.
 *
 *	destination				source
 *	migrate_in: a machine that waits
 *						migrate_out: copies disks and memory while the guest runs, stops it, sends the rest
 *	status: has_arrived			status: is_moved_out
 *		--- here the guest runs nowhere: the caller stores which of the two is to go on ---
 *	resume: the guest goes on here		kill
 *   or	kill					resume: the guest goes on as if nothing had been
 *
 * Whether PAUSED and RESUMED are reported of a machine that moves is not said: its status is.
 *
 * Nothing is remembered in the daemons: either may be killed and started again anywhere. When the daemon of the source dies
 * in the middle, the copying ends or goes on by itself; the next daemon sees is_moved_out, or calls migrate_cancel()
 * or migrate_out() again with a new destination. A guest never runs at both hosts as long as the caller
 * resumes only the one that it stored.
 *
 * Disks are shared (both hosts open the same file) or copied. For a copied one the destination has a volume of the same size with
 * the same content below its top layer; the top layer is copied over NBD, and kept equal until the guest stops.
 *
 * Both streams are encrypted and both sides check each other's certificate when 'tls' names a folder: ca-cert.pem with
 * server-cert.pem and server-key.pem (destination) or client-cert.pem and client-key.pem (source), PEM, as for QEMU.
 * The driver hands them to the machine's user itself: the folder may be readable for root only.
 */
struct machine_listen {
	const char *address;		/* IP address of this host that the source can reach. */
	uint16_t port_first, port_last;	/* Two ports of these; 0 and 0: any that are free. */
	const char *tls;		/* Null: not encrypted and open to anyone; only for a link that nobody else is on. */
	/* The subject of the only client certificate that may connect, as GnuTLS writes it, in the certificate's own order:
	 * "O=strata,CN=node-a"; null: any of that CA. */
	const char *peer;
	const char *const *copied;	/* Ids of the disks that are copied; null-terminated; null: none. */
	bool has_postcopy;		/* As the source's 'hand_over' needs it. */
};

struct machine_ports { uint16_t memory, disks; };	/* 'disks' 0: none is copied. */

enum machine_migration_phase { MACHINE_MIGRATION_DISKS, MACHINE_MIGRATION_MEMORY, MACHINE_MIGRATION_POSTCOPY };

struct machine_migration_progress {
	enum machine_migration_phase phase;
	uint64_t done_bytes, total_bytes;	/* Of this phase; what the guest changes again adds to both. */
	uint64_t dirty_bytes_per_s;	/* How fast the guest changes its memory; 0: unknown. */
	unsigned pass;			/* Over the memory, from 1. */
};

struct machine_migration {
	const char *address;		/* The destination's machine_listen.address ... */
	struct machine_ports ports;	/* ... and what migrate_in() returned. */
	const char *tls;		/* Null: not encrypted. */
	const char *server;		/* Name or IP address that the destination's certificate must have (subjectAltName). */
	const char *const *copied;	/* As in machine_listen. */
	uint64_t bytes_per_s;		/* For each of the two streams; 0: no limit. */
	unsigned downtime_ms;		/* The guest is stopped when the rest can be sent in that time; 0: 300. */
	void (*report)(void *data, const struct machine_migration_progress *progress);	/* About ten times a second; may be null. */
	/*
	 * Post-copy; null: never. A guest that changes its memory faster than it can be copied is stopped, and this is called while
	 * part of the memory is still at the source. 0: the destination has been stored as the one to go on, and is resumed now; what
	 * it touches comes first. Less than 0: the source goes on, as soon as the rest has been sent. Until the end of it a broken
	 * link or a dead source loses the guest (-EOWNERDEAD).
	 */
	int (*hand_over)(void *data, struct err *err);
	void *data;
	const bool *is_cancelled;	/* Looked at ten times a second; may be null. */
};

struct machine_migration_result {
	uint64_t downtime_ms;		/* From the guest's stop until all of it had arrived; until resume() it is for the caller to add. */
	uint64_t total_ms;		/* Of the whole operation. */
	uint64_t memory_bytes, disk_bytes;	/* Sent. */
	unsigned passes;		/* Over the memory. */
	bool was_postcopy;		/* hand_over() was called. */
};

struct machine_usage {
	uint64_t cpu_ns;		/* Consumed since start. */
	uint64_t memory_bytes;		/* Resident on the host. */
	uint64_t disk_read_bytes, disk_write_bytes;
	uint64_t pids;			/* Processes and threads of a container; 0: not counted. */
	uint64_t net_receive_bytes, net_transmit_bytes;	/* As the guest sees them; summed over nics. */
};

enum machine_event_kind {
	MACHINE_EVENT_EXITED,		/* Gone; 'cause' says why. The watch is over. */
	MACHINE_EVENT_OUT_OF_MEMORY,	/* The kernel killed a process of it at its memory limit. */
	MACHINE_EVENT_PAUSED,
	MACHINE_EVENT_RESUMED,
	MACHINE_EVENT_IO_ERROR,		/* A disk write failed, the guest is paused; 'text' has the reason (ENOSPC ...). */
	MACHINE_EVENT_AGENT_UP,		/* The guest agent opened its port: userspace is there. */
	MACHINE_EVENT_AGENT_DOWN,
	MACHINE_EVENT_PANICKED,		/* The guest's kernel said so. */
};
enum machine_exit { MACHINE_EXIT_GUEST_OFF, MACHINE_EXIT_GUEST_RESET, MACHINE_EXIT_HOST_OFF /* we asked */, MACHINE_EXIT_FAILED };

struct machine_event {
	enum machine_event_kind kind;
	enum machine_exit cause;	/* EXITED */
	int exit_code;			/* EXITED, containers: of its first process, 128 + signal when killed by one; else -1. */
	char text[160];			/* In words: "killed by signal 9", "No space left on device". */
};

struct machine_capabilities {
	char driver[32], version[64];
	char accelerator[16];		/* "kvm", "tcg", "sim" */
	char accelerator_reason[200];	/* Why not kvm; empty when it is. */
	bool has_microvm, has_q35, has_uefi, has_vsock, has_live_migration;
	char migration_reason[160];	/* Why no live migration; empty when there is. */
	bool has_latency;		/* Containers: latency classes can be kept. */
	char latency_reason[120];	/* Why not; empty when they can. */
	VEC(char *) warnings;		/* What this version costs, one sentence each. */
};
void machine_capabilities_done(struct machine_capabilities *capabilities);

/* One command inside the guest. */
struct machine_exec {
	const char *const *argv;	/* Null-terminated. */
	const char *const *env;		/* "NAME=value", null-terminated; may be null. */
	const char *directory;		/* May be null. */
	const char *user;		/* Containers: as in machine_container; null: that of the container. */
	bool has_terminal;		/* input/output are one terminal; error is unused. */
	unsigned rows, columns;		/* 0: unknown. */
	int input, output, error;	/* Our ends: read stdin from 'input' until end of file; write to the others. -1: none. */
	/* A second channel for the terminal's size: 4 bytes (rows, columns: uint16_t host order) per change; -1: none. */
	int resize;
	const bool *is_cancelled;	/* The caller went away: end the command where possible. */
};

struct machine_uids { VEC(char *) items; };
void machine_uids_done(struct machine_uids *uids);

struct machine_ops;
struct machine_driver { const struct machine_ops *ops; };
struct machine_watch;
typedef void machine_event_fn(void *data, const struct machine_event *event);

struct machine_ops {
	const char *name;
	int (*open)(const struct machine_params *params, struct machine_driver **ret_driver, struct err *err);
	void (*close)(struct machine_driver *driver);		/* Machines go on running. */
	/* What can this host do? May take seconds (boots a probe guest where /dev/kvm looks usable). */
	int (*probe)(struct machine_driver *driver, struct machine_capabilities *ret_capabilities, struct err *err);

	/* Clears what an earlier, interrupted start left, then starts. On failure nothing is left. The guest runs when it returns. */
	int (*start)(struct machine_driver *driver, const struct machine_config *config, struct err *err);
	int (*status)(struct machine_driver *driver, const char *uid, struct machine_status *ret_status, struct err *err);
	int (*shutdown)(struct machine_driver *driver, const char *uid, struct err *err);	/* Asks the guest; does not wait. */
	/* Power off: returns when every process of it is gone and its run directory and cgroup are removed. Absent is fine. */
	int (*kill)(struct machine_driver *driver, const char *uid, struct err *err);
	int (*pause)(struct machine_driver *driver, const char *uid, struct err *err);
	/* -EBUSY: is_incoming, and not everything has arrived. After a move the network is told where the guest is now. */
	int (*resume)(struct machine_driver *driver, const char *uid, struct err *err);
	/*
	 * Live migration, see above. migrate_in: as start(), but the machine waits; 'config' is what the source was started with, its
	 * disks in the order in which they were attached. When the stream breaks, the machine ends (MACHINE_EVENT_EXITED).
	 * -EOPNOTSUPP: this host or this machine cannot, with the reason; nothing has changed.
	 */
	int (*migrate_in)(struct machine_driver *driver, const struct machine_config *config, const struct machine_listen *listen,
			  struct machine_ports *ret_ports, struct err *err);
	/*
	 * Blocks until everything is at the destination: the machine is_moved_out then. On failure the guest runs on as if nothing
	 * had been: -EBUSY it is not running, -ECANCELED, -ETIMEDOUT nothing went through for a while, -EAGAIN it changes its memory
	 * faster than it can be copied, -ECONNREFUSED nobody waits there, -EACCES a certificate was not accepted, -EIO else.
	 * -EOWNERDEAD: it failed in the middle of post-copy; the guest is lost.
	 */
	int (*migrate_out)(struct machine_driver *driver, const char *uid, const struct machine_migration *migration,
			   struct machine_migration_result *ret_result, struct err *err);
	/*
	 * Ends what a daemon that died in migrate_out() left going; the guest runs on. Nothing to end is fine, is_moved_out stays.
	 * Never when it was handed over (is_postcopy): that would lose the guest.
	 */
	int (*migrate_cancel)(struct machine_driver *driver, const char *uid, struct err *err);
	/* Live change; 0 means "leave". -EOPNOTSUPP: only at the next start, with the reason. */
	int (*resize)(struct machine_driver *driver, const char *uid, unsigned cpus, uint64_t memory_bytes, struct err *err);
	/* Live change of all limits in 'config' (0: no limit). Null: this kind of machine has only what resize() changes. */
	int (*update)(struct machine_driver *driver, const struct machine_config *config, struct err *err);
	int (*disk_attach)(struct machine_driver *driver, const char *uid, const struct machine_disk *disk, struct err *err);	/* There already is fine. */
	/* Absent is fine; waits until the guest let go. */
	int (*disk_detach)(struct machine_driver *driver, const char *uid, const char *disk, struct err *err);
	int (*disk_resize)(struct machine_driver *driver, const char *uid, const char *disk, uint64_t size_bytes, struct err *err);
	/* Snapshots of a running machine: all writable disks at one instant, with memory when asked. Same
	 * names as the volume port's, so a stopped machine's volumes have them too. */
	int (*snapshot_create)(struct machine_driver *driver, const char *uid, const char *snapshot, bool has_memory, struct err *err);
	/* The same of one disk only, without memory. */
	int (*disk_snapshot)(struct machine_driver *driver, const char *uid, const char *disk, const char *snapshot, struct err *err);
	int (*snapshot_remove)(struct machine_driver *driver, const char *uid, const char *snapshot, struct err *err);

	/* Runs to the end of the command. May block for as long as the guest likes: call from a thread of its own. */
	int (*exec)(struct machine_driver *driver, const char *uid, const struct machine_exec *exec, int *ret_exit_code, struct err *err);
	/* One regular file out of or into the guest. */
	int (*file_read)(struct machine_driver *driver, const char *uid, const char *path, int to_fd, struct err *err);
	int (*file_write)(struct machine_driver *driver, const char *uid, const char *path, unsigned mode, int from_fd, struct err *err);
	/* A socket that takes console input; what it sends back is drained and thrown away: output is read from console_log. */
	int (*console_open)(struct machine_driver *driver, const char *uid, int *ret_fd, struct err *err);
	/* The terminal's size has changed. Null: consoles of this kind have no size. */
	int (*console_resize)(struct machine_driver *driver, const char *uid, unsigned rows, unsigned columns, struct err *err);
	/* "raw": console_log holds the bytes as they came.  "records": lines of the form that conmon calls k8s-file and
	 * Kubernetes CRI, "<RFC 3339 time> <stdout|stderr> <F|P> <text>"; see base/log_record.h. */
	enum machine_log_form log_form;
	int (*usage)(struct machine_driver *driver, const char *uid, struct machine_usage *ret_usage, struct err *err);	/* Quick. */
	/* Every machine of this daemon that has a process, a run directory or a cgroup. */
	int (*list)(struct machine_driver *driver, struct machine_uids *ret_uids, struct err *err);

	/* Begins to report events of a machine that runs; one watch per machine. Non-blocking, in the loop's thread. */
	int (*watch)(struct machine_driver *driver, const char *uid, struct loop *loop, machine_event_fn *fn, void *data,
		     struct machine_watch **ret_watch, struct err *err);
	void (*unwatch)(struct machine_driver *driver, struct machine_watch *watch);		/* Null is fine. */
};

extern const struct machine_ops machine_qemu;
extern const struct machine_ops machine_oci;
extern const struct machine_ops machine_sim;

#endif
