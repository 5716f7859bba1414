/*
 * pool.h - the file system of a pool: made when missing, mounted, found again, unmounted, removed.
 *
 * volume_params.source is a block device (formatted when it is blank), a file (made when missing, then on a loop device
 * that goes with the last mount) or a folder on btrfs (bound to the pool's folder). What is mounted already is
 * recognised by its devices, never by its name.
 *
 * Errors:  -errno, in words; -EBUSY when something else is mounted on the folder.
 * Threads: one at a time per pool.
 */
#ifndef VOLUME_BTRFS_POOL_H
#define VOLUME_BTRFS_POOL_H

#include <stdbool.h>

#include "port/volume.h"

/* Afterwards params->directory is the pool. 'ret_is_ours': the file system is the pool's alone. */
int pool_mount(const struct volume_params *params, bool *ret_is_ours, struct err *err);
/* Is there anything to be destroyed? */
bool pool_exists(const struct volume_params *params);
/* Unmounts, removes the folder and the file if it was made here. */
int pool_remove(const struct volume_params *params, struct err *err);

#endif
