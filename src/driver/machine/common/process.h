/*
 * process.h - what /proc says about a process.
 *
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_COMMON_PROCESS_H
#define DRIVER_MACHINE_COMMON_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct process_usage {
	uint64_t cpu_ns, memory_bytes, read_bytes, write_bytes;
};

int64_t process_started_at(pid_t pid);	/* Wall ms; 0 when it is gone. */
int process_usage(pid_t pid, struct process_usage *ret_usage, struct err *err);	/* -ENOENT: gone. */

#endif
