/*
 * tree_quota.h - limits for folders: project quotas of ext4 and xfs (mount option prjquota).
 *
 * The project of a folder has its inode number, made unlikely to meet one that a person gave.
 *
 * Threads: any.
 */
#ifndef VOLUME_FILE_TREE_QUOTA_H
#define VOLUME_FILE_TREE_QUOTA_H

#include <stdint.h>

#include "base/err.h"

/* 'size_bytes' 0: no limit. -EOPNOTSUPP, in words, where the file system keeps no such quotas. */
int tree_quota_set(int tree_fd, uint64_t size_bytes, struct err *err);
/* -EOPNOTSUPP when the folder has none. */
int tree_quota_get(int tree_fd, uint64_t *ret_limit, uint64_t *ret_used);

#endif
