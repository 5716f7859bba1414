/*
 * qemu_args.h - QEMU's command line, as a pure function of what the machine is to be.
 *
 * QEMU gets every file, socket and tap as an open file descriptor; no path of ours is on its
 * command line, so it may run as a user who can open none of them.
 *
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_QEMU_QEMU_ARGS_H
#define DRIVER_MACHINE_QEMU_QEMU_ARGS_H

#include "port/machine.h"

/* File descriptors are numbered as QEMU will see them; -1: the machine has none of it. */
struct qemu_plan {
	const char *program;
	const struct machine_config *config;
	bool has_kvm;
	unsigned tsc_khz;		/* Of this host's time stamp counter; 0: unknown. */
	bool is_incoming;		/* Wait for a migration; do not run when it has come. */
	int qmp, events, migration, console, agent, terminal;	/* Listening sockets. */
	int console_log;
	int kernel, initrd;
	int firmware, nvram;		/* UEFI: code (raw) and variables (qcow2). */
	int display;			/* Folder for the VNC socket. */
	int vsock;			/* /dev/vhost-vsock */
	const int *layers;		/* Of all disks in order, each top first. */
	const int *taps;		/* One per nic. */
};

struct qemu_args { VEC(char *) items; };	/* Ends with a null pointer. */

void qemu_args_build(const struct qemu_plan *plan, struct qemu_args *args);
void qemu_args_done(struct qemu_args *args);

#endif
