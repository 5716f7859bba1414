#include "driver/volume/btrfs/quota.h"

#include <endian.h>
#include <errno.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/mem.h"
#include "driver/volume/btrfs/subvolume.h"
#include "driver/volume/file/place.h"

enum {
	QUOTA_ENABLE_SIMPLE = 4,	/* BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA; newer than the headers of Debian 12. */
	STATUS_SIMPLE = 1 << 3,		/* BTRFS_QGROUP_STATUS_FLAG_SIMPLE_MODE */
	OUR_LEVEL = 100,		/* Of our groups; people use 1. */
};

#define GROUP_OF(id) ((uint64_t)OUR_LEVEL << BTRFS_QGROUP_LEVEL_SHIFT | (id))

/* Items of one type in the quota tree, their keys' offsets between two numbers. */
static int search(int fd, uint32_t type, uint64_t first, uint64_t last, struct btrfs_ioctl_search_args *found)
{
	*found = (struct btrfs_ioctl_search_args){
		.key = { .tree_id = BTRFS_QUOTA_TREE_OBJECTID, .min_type = type, .max_type = type, .min_offset = first,
			 .max_offset = last, .max_transid = UINT64_MAX, .nr_items = 32 },
	};
	return ioctl(fd, BTRFS_IOC_TREE_SEARCH, found) < 0 ? -errno : 0;
}

/* The one item with this key; false when there is none. */
static bool find(int fd, uint32_t type, uint64_t offset, void *item, size_t size)
{
	struct btrfs_ioctl_search_header header;
	struct btrfs_ioctl_search_args found;

	if (search(fd, type, offset, offset, &found) < 0 || found.key.nr_items == 0)
		return false;
	memcpy(&header, found.buf, sizeof(header));
	if (header.type != type || header.offset != offset || header.len < size)
		return false;
	memcpy(item, found.buf + sizeof(header), size);
	return true;
}

static bool is_simple(int fd)
{
	struct btrfs_qgroup_status_item status;

	return find(fd, BTRFS_QGROUP_STATUS_KEY, 0, &status, sizeof(status)) && le64toh(status.flags) & STATUS_SIMPLE;
}

static int change_group(int fd, bool is_made, uint64_t group)
{
	struct btrfs_ioctl_qgroup_create_args args = { .create = is_made, .qgroupid = group };

	return ioctl(fd, BTRFS_IOC_QGROUP_CREATE, &args) < 0 ? -errno : 0;
}

/* A group whose members are all gone; of one that still has some the kernel says EBUSY. */
static void sweep(int fd)
{
	struct btrfs_ioctl_search_header header;
	struct btrfs_ioctl_search_args found;

	if (search(fd, BTRFS_QGROUP_LIMIT_KEY, GROUP_OF(0), GROUP_OF(0) | ((UINT64_C(1) << BTRFS_QGROUP_LEVEL_SHIFT) - 1), &found) < 0)
		return;
	for (size_t i = 0, at = 0; i < found.key.nr_items && at + sizeof(header) <= sizeof(found.buf); i++) {
		memcpy(&header, found.buf + at, sizeof(header));
		at += sizeof(header) + header.len;
		if (header.type == BTRFS_QGROUP_LIMIT_KEY && header.offset >> BTRFS_QGROUP_LEVEL_SHIFT == OUR_LEVEL)
			change_group(fd, false, header.offset);
	}
}

int quota_enable(int fd, struct err *err)
{
	struct btrfs_ioctl_quota_ctl_args simple = { .cmd = QUOTA_ENABLE_SIMPLE }, full = { .cmd = BTRFS_QUOTA_CTL_ENABLE };
	struct btrfs_qgroup_status_item status;

	if (!find(fd, BTRFS_QGROUP_STATUS_KEY, 0, &status, sizeof(status)) && ioctl(fd, BTRFS_IOC_QUOTA_CTL, &simple) < 0 &&
	    errno != EEXIST && ioctl(fd, BTRFS_IOC_QUOTA_CTL, &full) < 0 && errno != EEXIST)
		return err_set(err, -errno, "enable quotas: %m%s", place_remedy(errno));
	sweep(fd);
	return 0;
}

static int set_limit(int fd, uint64_t group, uint64_t size_bytes, struct err *err)
{
	struct btrfs_ioctl_qgroup_limit_args args = {
		.qgroupid = group,
		.lim = { .flags = BTRFS_QGROUP_LIMIT_MAX_RFER, .max_rfer = size_bytes ? size_bytes : UINT64_MAX },
	};

	if (ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &args) < 0)
		return err_set(err, -errno, "limit a subvolume to %llu bytes: %m%s", (unsigned long long)size_bytes, place_remedy(errno));
	return 0;
}

static int make_group(int fd, uint64_t id, struct err *err)
{
	struct btrfs_ioctl_qgroup_assign_args assign = { .assign = 1, .src = id, .dst = GROUP_OF(id) };
	int r = change_group(fd, true, GROUP_OF(id));

	if (r < 0 && r != -EEXIST)
		return err_set(err, r, "make a quota group: %m%s", place_remedy(r));
	if (ioctl(fd, BTRFS_IOC_QGROUP_ASSIGN, &assign) < 0 && errno != EEXIST)
		return err_set(err, -errno, "put a subvolume into its quota group: %m%s", place_remedy(errno));
	return 0;
}

int quota_set(int fd, int tree_fd, uint64_t size_bytes, struct err *err)
{
	struct subvolume_info info;
	int r;

	if ((r = quota_enable(fd, err)) < 0 || (r = subvolume_get_info(tree_fd, &info, err)) < 0)
		return r;
	if (!is_simple(fd))
		return set_limit(fd, info.id, size_bytes, err);
	if ((r = make_group(fd, info.id, err)) < 0)
		return r;
	return set_limit(fd, GROUP_OF(info.id), size_bytes, err);
}

int quota_get(int tree_fd, uint64_t *ret_limit, uint64_t *ret_used, struct err *err)
{
	struct btrfs_qgroup_limit_item limit;
	struct btrfs_qgroup_info_item used;
	struct subvolume_info info;
	uint64_t group;
	int r = subvolume_get_info(tree_fd, &info, err);

	if (r < 0)
		return r;
	*ret_limit = *ret_used = 0;
	group = GROUP_OF(info.id);
	if (!find(tree_fd, BTRFS_QGROUP_LIMIT_KEY, group, &limit, sizeof(limit))) {
		group = info.id;
		if (!find(tree_fd, BTRFS_QGROUP_LIMIT_KEY, group, &limit, sizeof(limit)))
			return 0;
	}
	if (le64toh(limit.flags) & BTRFS_QGROUP_LIMIT_MAX_RFER && le64toh(limit.max_rfer) != UINT64_MAX)
		*ret_limit = le64toh(limit.max_rfer);
	if (find(tree_fd, BTRFS_QGROUP_INFO_KEY, group, &used, sizeof(used)))
		*ret_used = le64toh(used.excl);
	return 0;
}
