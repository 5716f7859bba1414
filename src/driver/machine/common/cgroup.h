/*
 * cgroup.h - which processes make up a machine: those in its cgroup (v2) and the cgroups below it.
 *
 * The kernel puts the first one there before it runs its first instruction, so the cgroup is
 * the truth about what runs, whatever happened to us in between.
 *
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_COMMON_CGROUP_H
#define DRIVER_MACHINE_COMMON_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

int cgroup_create(const char *path, struct err *err);	/* There already is fine. */
pid_t cgroup_first_pid(const char *path);		/* In itself; 0: no process, or no cgroup. */
bool cgroup_has_pid(const char *path, pid_t pid);	/* In itself or below. */
/* SIGKILLs all processes in it and below, waits for their end, removes it. Absent is fine. */
int cgroup_destroy(const char *path, struct err *err);
/* Removes it with the empty ones below: -EBUSY when there is still a process. Absent is fine. Of any version of cgroups. */
int cgroup_remove(const char *path);

#endif
