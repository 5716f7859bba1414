/*
 * qemu.h - what the files of the QEMU driver share.
 *
 *	qemu.c		the table of operations, and the short ones
 *	launch.c qemu_args.c	start: fds and command line
 *	run_dir.c ../common	what there is about a machine outside QEMU
 *	qmp*.c line_buffer.c	talking to QEMU
 *	watch.c monitor.c	events
 *	disk*.c resize.c snapshot.c	changes while it runs
 *	migrate*.c	live migration
 *	guest_*.c exec.c terminal.c	inside the guest
 *	usage.c probe.c tsc.c	looking
 *
 * Threads: struct qemu is constant after open, but 'agents', which has a lock.
 */
#ifndef DRIVER_MACHINE_QEMU_QEMU_H
#define DRIVER_MACHINE_QEMU_QEMU_H

#include <pthread.h>

#include "base/map.h"
#include "driver/machine/qemu/qmp.h"
#include "driver/machine/qemu/run_dir.h"
#include "driver/machine/qemu/tsc.h"
#include "port/machine.h"

struct qemu {
	struct machine_driver base;
	char *program;
	char *directory;
	int directory_fd;
	char *cgroup;
	uid_t user;			/* Whom machines run as. */
	gid_t group;
	struct tsc_mark tsc;
	pthread_mutex_t agents_lock;
	struct map agents;		/* uid to struct guest_agent; grows by the machines that were talked to. */
};

static inline struct qemu *qemu_of(struct machine_driver *driver)
{
	return container_of(driver, struct qemu, base);
}

char *qemu_cgroup(const struct qemu *qemu, const char *uid);
char *qemu_directory(const struct qemu *qemu, const char *uid);

/* A monitor connection to machine 'uid'. -ENOENT: it does not run. */
int qemu_connect(const struct qemu *qemu, const char *uid, int64_t timeout_ms, struct qmp *qmp, struct err *err);
/* The same over one of the other two monitors. */
int qemu_connect_to(const struct qemu *qemu, const char *uid, enum run_socket which, int64_t timeout_ms, struct qmp *qmp, struct err *err);
/* One command without an answer. */
int qemu_command(const struct qemu *qemu, const char *uid, const char *command, const char *arguments, struct err *err);

/* Ends all processes, removes run directory and cgroup. */
int qemu_destroy(struct qemu *qemu, const char *uid, struct err *err);

/* Loads disks and memory into a machine that was started with -S, and lets it run. */
int qemu_snapshot_load(struct qmp *qmp, const char *snapshot, struct err *err);

/* Starts it; with 'is_incoming' it waits for a migration and does not run. */
int qemu_launch(struct qemu *qemu, const struct machine_config *config, bool is_incoming, struct err *err);

int qemu_start(struct machine_driver *driver, const struct machine_config *config, struct err *err);
int qemu_probe(struct machine_driver *driver, struct machine_capabilities *ret_capabilities, struct err *err);
int qemu_migrate_in(struct machine_driver *driver, const struct machine_config *config, const struct machine_listen *listen,
		    struct machine_ports *ret_ports, struct err *err);
int qemu_migrate_out(struct machine_driver *driver, const char *uid, const struct machine_migration *migration,
		     struct machine_migration_result *ret_result, struct err *err);
int qemu_migrate_cancel(struct machine_driver *driver, const char *uid, struct err *err);
/* Lets a machine run that a migration brought. */
int qemu_migrate_accept(struct qemu *qemu, const char *uid, int run_dir, struct err *err);
int qemu_resize(struct machine_driver *driver, const char *uid, unsigned cpus, uint64_t memory_bytes, struct err *err);
int qemu_disk_attach(struct machine_driver *driver, const char *uid, const struct machine_disk *disk, struct err *err);
int qemu_disk_detach(struct machine_driver *driver, const char *uid, const char *disk, struct err *err);
int qemu_disk_resize(struct machine_driver *driver, const char *uid, const char *disk, uint64_t size_bytes, struct err *err);
int qemu_snapshot_create(struct machine_driver *driver, const char *uid, const char *snapshot, bool has_memory, struct err *err);
int qemu_disk_snapshot(struct machine_driver *driver, const char *uid, const char *disk, const char *snapshot, struct err *err);
/* Lets the guest's file systems go on, when they were frozen. 0, or -errno: try again later. */
int qemu_thaw(struct qemu *qemu, const char *uid);
int qemu_snapshot_remove(struct machine_driver *driver, const char *uid, const char *snapshot, struct err *err);
int qemu_exec(struct machine_driver *driver, const char *uid, const struct machine_exec *exec, int *ret_exit_code, struct err *err);
int qemu_file_read(struct machine_driver *driver, const char *uid, const char *path, int to_fd, struct err *err);
int qemu_file_write(struct machine_driver *driver, const char *uid, const char *path, unsigned mode, int from_fd, struct err *err);
int qemu_usage(struct machine_driver *driver, const char *uid, struct machine_usage *ret_usage, struct err *err);
int qemu_watch(struct machine_driver *driver, const char *uid, struct loop *loop, machine_event_fn *fn, void *data,
	       struct machine_watch **ret_watch, struct err *err);
void qemu_unwatch(struct machine_driver *driver, struct machine_watch *watch);

#endif
