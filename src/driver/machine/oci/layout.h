/*
 * layout.h - where the kernel keeps the cgroups of machines: cgroups(7).
 *
 * Processes are grouped in version 2. Limits live there too, unless the host mounts controllers in
 * version 1: then they live at the same path below each of those mount points. A machine's
 * group has two below it:
 *
 *	<uid>/monitor		conmon, and the crun of an exec
 *	<uid>/container		everything inside; frozen, limited and counted as one
 *
 * Threads: constant after layout_init().
 */
#ifndef DRIVER_MACHINE_OCI_LAYOUT_H
#define DRIVER_MACHINE_OCI_LAYOUT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/vec.h"

struct hierarchy {
	char *path;			/* Where it is mounted. */
	char *controllers;		/* ",cpu,cpuacct," */
};

struct layout {
	char *unified;			/* Where version 2 is mounted. */
	char *relative;			/* The folder of all machines below each mount point: "/strata-1/machines". */
	VEC(struct hierarchy) hierarchies;	/* Of version 1. */
};

int layout_init(struct layout *layout, const char *cgroup, struct err *err);
/* The same from a text in the form of /proc/self/mountinfo. */
int layout_parse(struct layout *layout, const char *mountinfo, const char *cgroup, struct err *err);
void layout_done(struct layout *layout);

/* The machine's group in version 2; 'part': "monitor", "container", or null for the whole. */
char *layout_group(const struct layout *layout, const char *uid, const char *part);
/* The file of the container's group that 'controller' has in version 1; null when it is in version 2. */
char *layout_file1(const struct layout *layout, const char *uid, const char *controller, const char *file);
char *layout_file2(const struct layout *layout, const char *uid, const char *file);

/* Makes the machine's groups in version 2, with the controllers that are there. */
int layout_create(const struct layout *layout, const char *uid, struct err *err);
/* Ends all processes, removes the groups everywhere. Absent is fine. */
int layout_destroy(const struct layout *layout, const char *uid, struct err *err);
/* Does crun accept it? The reason and the remedy, or 0. */
int layout_check(const struct layout *layout, struct err *err);

#endif
