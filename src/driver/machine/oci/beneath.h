/*
 * beneath.h - files inside a container's root, whatever it has made of them.
 *
 * Links are followed as the container would, and never lead out of its root: openat2(2),
 * RESOLVE_IN_ROOT. /proc's magic links are refused. Only regular
 * files on real file systems are read and written.
 *
 * Errors:  -ENOENT, -EINVAL (not a regular file), as in file.h.
 */
#ifndef DRIVER_MACHINE_OCI_BENEATH_H
#define DRIVER_MACHINE_OCI_BENEATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* An fd, or -errno. */
int beneath_open(int root_fd, const char *path, int flags, mode_t mode);
int beneath_open_file(int root_fd, const char *path, struct err *err);
/* Not /proc, /sys or a cgroup, where our rights would do what the container may not. */
bool beneath_is_storage(int fd);
/* Appends at most 'max_bytes' of a regular file; nothing when there is none. */
void beneath_read(int root_fd, const char *path, size_t max_bytes, struct str *out);

#endif
