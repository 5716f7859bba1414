/*
 * namespace.h - do something in the network namespace of another process.
 *
 * A thread of its own enters the namespace and ends there, so the rest of the daemon is never in the
 * wrong one, whatever happens (setns(2) is a matter of one thread). Sockets that 'fn' makes, and
 * /proc/sys/net as it sees it, are those of the namespace. It costs 0.05 ms.
 *
 * Errors:  -ESRCH the process is gone; those of 'fn'.
 * Threads: any; the caller waits.
 */
#ifndef DRIVER_FABRIC_BRIDGE_NAMESPACE_H
#define DRIVER_FABRIC_BRIDGE_NAMESPACE_H

#include <sys/types.h>

#include "base/err.h"

int namespace_open(pid_t pid, int *ret_fd, struct err *err);
typedef int namespace_fn(void *data, struct err *err);
int namespace_run(int fd, namespace_fn *fn, void *data, struct err *err);

#endif
