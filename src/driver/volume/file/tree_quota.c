#include "driver/volume/file/tree_quota.h"

#include <errno.h>
#include <linux/fs.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PRJQUOTA
#define PRJQUOTA 2
#endif

enum { QUOTA_BLOCK = 1024 };
#define PROJECT_MARK 0x40000000U	/* People number theirs from 1. */

static long quota(int fd, int command, uint32_t project, struct dqblk *block)
{
	return syscall(SYS_quotactl_fd, fd, (unsigned)command << SUBCMDSHIFT | PRJQUOTA, project, block);
}

static int set_project(int fd, uint32_t project)
{
	struct fsxattr attributes;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0)
		return -1;
	attributes.fsx_projid = project;
	attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	return ioctl(fd, FS_IOC_FSSETXATTR, &attributes);
}

int tree_quota_set(int tree_fd, uint64_t size_bytes, struct err *err)
{
	struct dqblk block = { .dqb_bhardlimit = (size_bytes + QUOTA_BLOCK - 1) / QUOTA_BLOCK, .dqb_valid = QIF_BLIMITS };
	struct fsxattr attributes = { 0 };
	struct dqblk present;
	struct stat st;
	uint32_t project;

	if (fstat(tree_fd, &st) < 0)
		return err_set(err, -errno, "look at the folder: %m");
	if (ioctl(tree_fd, FS_IOC_FSGETXATTR, &attributes) == 0 && attributes.fsx_projid & PROJECT_MARK)
		project = attributes.fsx_projid;
	else
		project = PROJECT_MARK | ((uint32_t)st.st_ino & ~PROJECT_MARK);
	if (size_bytes == 0 && !(attributes.fsx_projid & PROJECT_MARK))
		return 0;
	if (quota(tree_fd, Q_GETQUOTA, project, &present) < 0 && errno != ENOENT)
		return err_set(err, -EOPNOTSUPP, "this file system cannot limit a folder: use a pool of the driver btrfs, or leave the size out");
	if (set_project(tree_fd, project) < 0)
		return err_set(err, -errno, "give the folder a project for its limit: %m");
	block.dqb_bsoftlimit = block.dqb_bhardlimit;
	if (quota(tree_fd, Q_SETQUOTA, project, &block) < 0)
		return err_set(err, -errno, "limit the folder: %m");
	return 0;
}

int tree_quota_get(int tree_fd, uint64_t *ret_limit, uint64_t *ret_used)
{
	struct fsxattr attributes;
	struct dqblk block = { 0 };

	if (ioctl(tree_fd, FS_IOC_FSGETXATTR, &attributes) < 0 || !(attributes.fsx_projid & PROJECT_MARK) ||
	    quota(tree_fd, Q_GETQUOTA, attributes.fsx_projid, &block) < 0)
		return -EOPNOTSUPP;
	*ret_limit = block.dqb_bhardlimit * QUOTA_BLOCK;
	*ret_used = block.dqb_curspace;
	return 0;
}
