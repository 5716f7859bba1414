/*
 * loop.h - a file as a block device: loop(4). The device goes by itself with its last user.
 *
 * Threads: any.
 */
#ifndef VOLUME_BTRFS_LOOP_H
#define VOLUME_BTRFS_LOOP_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"

enum { LOOP_PATH_SIZE = 32 };

/* Whether the loop device 'path' stands for the file. */
bool loop_is_of(const char *path, const struct stat *file);
/* A loop device of the file, the one it has already or a new one; the fd keeps it. Returns it, or -errno. */
int loop_attach(const char *file, char path[LOOP_PATH_SIZE], struct err *err);

#endif
