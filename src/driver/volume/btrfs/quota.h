/*
 * quota.h - limits of subvolumes: qgroups of btrfs.
 *
 * Simple quotas (kernel 6.7) where there are any: they cost nothing when snapshots are taken and count what was
 * written by the subvolume and is still there. A limited tree then has a group of its own above its subvolume's, which
 * subvolumes made inside join by themselves. Older kernels have the full ones, whose limit is of
 * the one subvolume.
 *
 * Errors:  -errno, in words.
 * Threads: any.
 */
#ifndef VOLUME_BTRFS_QUOTA_H
#define VOLUME_BTRFS_QUOTA_H

#include <stdint.h>

#include "base/err.h"

/* Repeatable. Also removes the groups of trees that have gone. */
int quota_enable(int fd, struct err *err);
/* Through 'fd', a folder outside of the tree: in a tree that is full even this would be refused. */
int quota_set(int fd, int tree_fd, uint64_t size_bytes, struct err *err);
/* As of the last commit, which is some seconds ago; 0 and 0 without quotas. */
int quota_get(int tree_fd, uint64_t *ret_limit, uint64_t *ret_used, struct err *err);

#endif
