/*
 * idmap.h - user namespaces as tables of ids: user_namespaces(7), mount_setattr(2).
 *
 * Files of layers and volumes belong to the ids as a container sees them. A mount with such a table shows them, in
 * this one place, as belonging to the ids the container has on the host.
 *
 * Errors:  -EOPNOTSUPP: the kernel or the file system does not have that, with the remedy.
 * Threads: any; blocking.
 */
#ifndef DRIVER_MACHINE_OCI_IDMAP_H
#define DRIVER_MACHINE_OCI_IDMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* An fd of a user namespace in which 0 is 'base' and so on, 'count' ids. */
int idmap_open(uint32_t base, uint32_t count, struct err *err);
/* A mount of 'path' (a folder or file) that is nowhere yet, as an fd. 'idmap' -1: ids stay. */
int idmap_mount(const char *path, int idmap, bool is_recursive, bool is_read_only, struct err *err);

#endif
