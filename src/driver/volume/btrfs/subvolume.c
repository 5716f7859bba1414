#include "driver/volume/btrfs/subvolume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/place.h"

enum { SUBVOLUME_INODE = 256 };		/* Of each subvolume's root folder. */

static void set_name(struct btrfs_ioctl_vol_args_v2 *args, const char *name)
{
	snprintf(args->name, sizeof(args->name), "%s", name);
}

int subvolume_create(int dir_fd, const char *name, struct err *err)
{
	struct btrfs_ioctl_vol_args_v2 args = { 0 };

	set_name(&args, name);
	if (ioctl(dir_fd, BTRFS_IOC_SUBVOL_CREATE_V2, &args) < 0)
		return err_set(err, -errno, "make a subvolume: %m%s", place_remedy(errno));
	return 0;
}

int subvolume_snapshot(int from_fd, int dir_fd, const char *name, bool is_readonly, struct err *err)
{
	struct btrfs_ioctl_vol_args_v2 args = { .fd = from_fd, .flags = is_readonly ? BTRFS_SUBVOL_RDONLY : 0 };

	set_name(&args, name);
	if (ioctl(dir_fd, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0)
		return err_set(err, -errno, "take a snapshot of a subvolume: %m%s", place_remedy(errno));
	return 0;
}

static int destroy(int dir_fd, const char *name)
{
	struct btrfs_ioctl_vol_args_v2 args = { 0 };

	set_name(&args, name);
	return ioctl(dir_fd, BTRFS_IOC_SNAP_DESTROY_V2, &args) < 0 ? -errno : 0;
}

/* Whoever may make folders may make subvolumes, so there may be some inside: those go first. */
static int remove_inner(int fd, struct err *err)
{
	auto_names struct volume_names names = { 0 };
	int r = place_names(fd, &names, err);

	for (size_t i = 0; i < names.items.count && r == 0; i++) {
		const char *name = names.items.items[i];
		auto_close int below_fd = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		struct stat st;

		if (below_fd < 0 || fstat(below_fd, &st) < 0)
			continue;
		r = st.st_ino == SUBVOLUME_INODE ? subvolume_remove(fd, name, err) : remove_inner(below_fd, err);
	}
	return r;
}

int subvolume_remove(int dir_fd, const char *name, struct err *err)
{
	auto_free char *path = NULL;
	int r = destroy(dir_fd, name);

	if (r == -ENOTEMPTY) {
		auto_close int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd >= 0 && (r = remove_inner(fd, err)) < 0)
			return r;
		r = destroy(dir_fd, name);
	}
	if (r == 0 || r == -ENOENT)
		return 0;
	if (r != -EINVAL && r != -ENOTDIR)
		return err_set(err, r, "remove subvolume '%s': %m%s", shown(name), place_remedy(r));
	path = text_format("/proc/self/fd/%d/%s", dir_fd, name);
	return file_remove_tree(path, err);
}

int subvolume_set_received(int fd, const unsigned char uuid[SUBVOLUME_UUID_SIZE], struct err *err)
{
	struct btrfs_ioctl_received_subvol_args args = { .stransid = 1 };
	uint64_t flags = BTRFS_SUBVOL_RDONLY;

	memcpy(args.uuid, uuid, sizeof(args.uuid));
	if (ioctl(fd, BTRFS_IOC_SET_RECEIVED_SUBVOL, &args) < 0 || ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags) < 0)
		return err_set(err, -errno, "mark a subvolume as received: %m%s", place_remedy(errno));
	return 0;
}

int subvolume_get_info(int fd, struct subvolume_info *ret_info, struct err *err)
{
	struct btrfs_ioctl_get_subvol_info_args args = { 0 };

	if (ioctl(fd, BTRFS_IOC_GET_SUBVOL_INFO, &args) < 0)
		return err_set(err, -errno, "look at a subvolume: %m");
	ret_info->id = args.treeid;
	memcpy(ret_info->uuid, args.uuid, sizeof(ret_info->uuid));
	memcpy(ret_info->parent, args.parent_uuid, sizeof(ret_info->parent));
	memcpy(ret_info->received, args.received_uuid, sizeof(ret_info->received));
	return 0;
}
