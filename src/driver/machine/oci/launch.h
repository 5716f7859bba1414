/*
 * launch.h - what launch.c and conmon.c share: a start that is under way.
 */
#ifndef DRIVER_MACHINE_OCI_LAUNCH_H
#define DRIVER_MACHINE_OCI_LAUNCH_H

#include "driver/machine/oci/bundle.h"
#include "driver/machine/oci/oci.h"
#include "driver/machine/oci/rootfs.h"

struct launch {
	const struct oci *oci;
	const struct machine_config *config;
	char *crun;			/* Absolute. */
	char *directory;
	int run_dir;
	int sync[2], start[2];		/* conmon writes to 'sync', we write to 'start'. */
	int pidfd;			/* Of conmon. */
	pid_t monitor, pid;
	struct rootfs rootfs;
	struct bundle bundle;
};

/* The child mounts the file systems, becomes conmon, and waits. */
int conmon_spawn(struct launch *launch, struct err *err);
/* Lets conmon run `crun create`; sets 'pid'. */
int conmon_create(struct launch *launch, struct err *err);

#endif
