/*
 * subvolume.h - subvolumes of btrfs, by ioctl(2). See Documentation of btrfs-progs, ioctl.rst, and linux/btrfs.h.
 *
 * Errors:  -errno, in words.
 * Threads: any.
 */
#ifndef VOLUME_BTRFS_SUBVOLUME_H
#define VOLUME_BTRFS_SUBVOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { SUBVOLUME_UUID_SIZE = 16 };

struct subvolume_info {
	uint64_t id;
	unsigned char uuid[SUBVOLUME_UUID_SIZE], parent[SUBVOLUME_UUID_SIZE], received[SUBVOLUME_UUID_SIZE];
};

int subvolume_create(int dir_fd, const char *name, struct err *err);
int subvolume_snapshot(int from_fd, int dir_fd, const char *name, bool is_readonly, struct err *err);
/* With the subvolumes that somebody made inside. Anything else of that name is removed too; absent is fine. */
int subvolume_remove(int dir_fd, const char *name, struct err *err);
/* Makes a writable one read-only, and say it was received from one with this UUID. */
int subvolume_set_received(int fd, const unsigned char uuid[SUBVOLUME_UUID_SIZE], struct err *err);
int subvolume_get_info(int fd, struct subvolume_info *ret_info, struct err *err);

#endif
