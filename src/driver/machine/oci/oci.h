/*
 * oci.h - what the files of the container driver share.
 *
 *	oci.c		the table of operations, and the short ones
 *	launch.c conmon.c	start: conmon, crun, what happens before the first instruction
 *	rootfs.c idmap.c	file systems, in a mount namespace of their own
 *	bundle*.c seccomp.c capability.c user.c	what crun is told
 *	layout.c limits.c change.c oom.c usage.c	cgroups, of both versions
 *	state.c		what is kept in the run directory
 *	watch.c console.c	conmon's side
 *	exec*.c files.c beneath.c identity.c	inside the container
 *	probe.c		looking at the host
 *	migrate.c	why not live
 *
 * Threads: struct oci is constant after open.
 */
#ifndef DRIVER_MACHINE_OCI_OCI_H
#define DRIVER_MACHINE_OCI_OCI_H

#include "driver/machine/oci/layout.h"
#include "port/machine.h"

struct oci {
	struct machine_driver base;
	char *program;			/* "crun" */
	char *directory;
	int directory_fd;
	char *cgroup;
	char *state;			/* crun's --root: <directory>/.crun; it keeps compiled seccomp filters there for all. */
	struct layout layout;
};

static inline struct oci *oci_of(struct machine_driver *driver)
{
	return container_of(driver, struct oci, base);
}

/* Here crun's container waits to be let go. */
char *oci_fifo(const struct oci *oci, const char *uid);
/* Ends all processes, removes everything that is about this machine. */
int oci_destroy(const struct oci *oci, const char *uid, struct err *err);
/* Its first process, when it runs (also when frozen). -ENOENT: it does not. */
int oci_find(const struct oci *oci, const char *uid, pid_t *ret_pid, struct err *err);
bool oci_is_frozen(const struct oci *oci, const char *uid);

int oci_start(struct machine_driver *driver, const struct machine_config *config, struct err *err);
int oci_probe(struct machine_driver *driver, struct machine_capabilities *ret_capabilities, struct err *err);
int oci_resize(struct machine_driver *driver, const char *uid, unsigned cpus, uint64_t memory_bytes, struct err *err);
#define OCI_NO_MIGRATION "a container cannot be moved while it runs: stop it, move it and start it there"
int oci_migrate_in(struct machine_driver *driver, const struct machine_config *config, const struct machine_listen *listen,
		   struct machine_ports *ret_ports, struct err *err);
int oci_migrate_out(struct machine_driver *driver, const char *uid, const struct machine_migration *migration,
		    struct machine_migration_result *ret_result, struct err *err);
int oci_migrate_cancel(struct machine_driver *driver, const char *uid, struct err *err);
int oci_update(struct machine_driver *driver, const struct machine_config *config, struct err *err);
int oci_exec(struct machine_driver *driver, const char *uid, const struct machine_exec *exec, int *ret_exit_code, struct err *err);
int oci_file_read(struct machine_driver *driver, const char *uid, const char *path, int to_fd, struct err *err);
int oci_file_write(struct machine_driver *driver, const char *uid, const char *path, unsigned mode, int from_fd, struct err *err);
int oci_console_open(struct machine_driver *driver, const char *uid, int *ret_fd, struct err *err);
int oci_console_resize(struct machine_driver *driver, const char *uid, unsigned rows, unsigned columns, struct err *err);
int oci_usage(struct machine_driver *driver, const char *uid, struct machine_usage *ret_usage, struct err *err);
int oci_watch(struct machine_driver *driver, const char *uid, struct loop *loop, machine_event_fn *fn, void *data,
	      struct machine_watch **ret_watch, struct err *err);
void oci_unwatch(struct machine_driver *driver, struct machine_watch *watch);

#endif
