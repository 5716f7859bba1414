/*
 * capability.h - what root of a container may do: capabilities(7).
 *
 * Less than other runtimes give by default: no raw packets, no device nodes, no file
 * capabilities, no audit records. An init system gets what systemd asks for; in a user namespace these reach
 * no further than what belongs to the container. Never by itself: what reaches beyond (modules, raw
 * I/O, the clock, the kernel's log, BPF and performance counters).
 *
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_OCI_CAPABILITY_H
#define DRIVER_MACHINE_OCI_CAPABILITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "port/machine.h"

#define CAPABILITY(number) (UINT64_C(1) << (number))

struct capability_sets {
	uint64_t bounding;		/* What any process in the container can ever have. */
	uint64_t added;			/* What was asked for by name: also for a user other than root. */
};

/* -EINVAL: a name that does not exist. */
int capability_choose(const struct machine_container *container, struct capability_sets *ret_sets, struct err *err);
/* Null-terminated names. */
int capability_parse(const char *const *list, uint64_t *set, struct err *err);
void capability_write(struct json_writer *writer, const struct capability_sets *sets, uid_t user);

#endif
