/*
 * limits.h - how much of the host a container may use: cgroup files of both versions.
 *
 * Everything can be set again and again, while it runs or before its first instruction.
 *
 * Errors:  -EOPNOTSUPP: this host cannot keep that limit, with the reason.
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_OCI_LIMITS_H
#define DRIVER_MACHINE_OCI_LIMITS_H

#include "driver/machine/oci/layout.h"
#include "port/machine.h"

/* All that 'config' says (0: no limit). */
int limits_apply(const struct layout *layout, const struct machine_config *config, struct err *err);
int limits_set_cpus(const struct layout *layout, const char *uid, unsigned cpus, struct err *err);
int limits_set_memory(const struct layout *layout, const char *uid, uint64_t bytes, struct err *err);

#endif
