/*
 * latency.h - classes of CPU time: who answers soon, who computes in peace.
 *
 * Linux 6.12 lets a task of the fair scheduler (EEVDF) ask for the length of its turns: sched_setattr(2) with a
 * 'sched_runtime' between 0.1 and 100 ms. All get the same share of time; a short turn has an
 * early deadline, so its task is served soon after it wakes; a long one is interrupted seldom. A
 * cgroup counts as the shortest turn among its tasks that want to run (since 6.13), so the classes of
 * containers hold between containers too.
 *
 * Errors:  -errno with the reason.
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_OCI_LATENCY_H
#define DRIVER_MACHINE_OCI_LATENCY_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "port/machine.h"

/* Does this kernel do it? 0, or -EOPNOTSUPP and in 'reason' why not, in words. */
int latency_probe(char *reason, size_t size);

/*
 * Every thread of process 'pid' becomes one of this class; what they start later inherits it. Threads with a
 * real-time policy of their own keep it. -ESRCH: the process has ended.
 */
int latency_apply(pid_t pid, enum machine_latency latency, struct err *err);

#endif
