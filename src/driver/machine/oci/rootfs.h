/*
 * rootfs.h - the file systems of a container, mounted where only it and its monitor see them.
 *
 * What can fail in many ways is done here and now, without touching the host: mounts are made that are nowhere yet.
 * The child that becomes conmon then makes a mount namespace of its own and puts them in place (rootfs_enter()).
 * When the last process in that namespace ends, the kernel unmounts everything: no mount is ever on the host.
 *
 * All is below one small tmpfs at 'base', a folder of the host that nobody needs inside:
 *
 *	root			the overlay: layers below, <volume>/upper on top
 *	m<i>			source of the config's mount i
 *	resolv.conf, hosts, hostname	written here, bound into /etc
 *
 * Memory:  borrows layers, mounts and texts until rootfs_done().
 * Threads: one; rootfs_enter() in the child.
 */
#ifndef DRIVER_MACHINE_OCI_ROOTFS_H
#define DRIVER_MACHINE_OCI_ROOTFS_H

#include "base/str.h"
#include "base/vec.h"
#include "driver/machine/oci/identity.h"
#include "port/machine.h"

/* One mount to put in place: 'fd' (owned) at 'target', relative to the base. */
struct rootfs_mount { int fd; char *target; };

struct rootfs {
	const char *base;		/* "/mnt" */
	int base_fd;			/* The tmpfs. */
	VEC(struct rootfs_mount) mounts;
	char *options;			/* Of the overlay. */
	struct identity identity;	/* Whom the overlay acts as. */
	const char *failed;		/* Written by the child: what did not work. */
};

/* 'avoid': paths that must stay visible for conmon and crun; ends with null. */
int rootfs_prepare(struct rootfs *rootfs, const struct machine_container *container, const char *const *avoid, struct err *err);
int rootfs_enter(void *rootfs);	/* For spawn_params.prepare. */
void rootfs_done(struct rootfs *rootfs);

#endif
