/*
 * cgroup.h - which processes make up a machine: those in its cgroup (v2, grouping only).
 *
 * The kernel puts QEMU there before it runs its first instruction, so the cgroup is the
 * truth about what runs, whatever happened to us in between.
 *
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_QEMU_CGROUP_H
#define DRIVER_MACHINE_QEMU_CGROUP_H

#include <sys/types.h>

#include "base/err.h"

int cgroup_create(const char *path, struct err *err);	/* There already is fine. */
pid_t cgroup_first_pid(const char *path);		/* 0: no process, or no cgroup. */
/* SIGKILLs all processes in it, waits for their end, removes it. Absent is fine. */
int cgroup_destroy(const char *path, struct err *err);

#endif
