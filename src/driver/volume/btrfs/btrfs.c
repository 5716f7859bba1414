/*
 * The "btrfs" driver: a pool on a btrfs of its own, or in a folder of one. Trees are subvolumes; disks are the
 * qcow2 files of the "file" driver, whose copies share their blocks here.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/btrfs/pool.h"
#include "driver/volume/btrfs/quota.h"
#include "driver/volume/btrfs/ways.h"
#include "driver/volume/file/folder.h"

/* Where the whole file system is ours: quotas count from the beginning (in somebody's folder they begin with the first limit), and
 * names are nobody's business. */
static int prepare(const char *directory, struct err *err)
{
	auto_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? err_set(err, -errno, "open '%s': %m", shown(directory)) : quota_enable(fd, err);

	if (r == 0 && fchmod(fd, 0711) < 0)
		r = err_set(err, -errno, "set the mode of '%s': %m", shown(directory));
	/* What is there can be read and sent all the same. */
	return r == -EROFS ? 0 : r;
}

static int btrfs_open(const struct volume_params *params, struct volume_driver **ret_driver, struct err *err)
{
	bool is_ours;
	int r;

	if ((r = pool_mount(params, &is_ours, err)) < 0 || (is_ours && (r = prepare(params->directory, err)) < 0))
		return r;
	return folder_open(params, &volume_btrfs, &tree_ways_btrfs, ret_driver, err);
}

static int btrfs_destroy(const struct volume_params *params, struct err *err)
{
	struct place place;
	bool is_ours;
	int r;

	if (pool_exists(params)) {
		r = pool_mount(params, &is_ours, err);
		if (r < 0 && params->directory)
			rmdir(params->directory);	/* Nothing is in it: it could not be mounted. */
		if (r < 0 || (r = place_open(params, &tree_ways_btrfs, &place, err)) < 0)
			return r;
		r = folder_check_empty(&place, err);
		place_close(&place);
		if (r < 0)
			return r;
	}
	return params->directory ? pool_remove(params, err) : 0;
}

const struct volume_ops volume_btrfs = {
	.name = "btrfs",
	.open = btrfs_open,
	.close = folder_close,
	.destroy = btrfs_destroy,
	.space = folder_space,
	.create = folder_create,
	.clone = folder_clone,
	.import = folder_import,
	.export = folder_export,
	.remove = folder_remove,
	.resize = folder_resize,
	.snapshot_create = folder_snapshot_create,
	.snapshot_restore = folder_snapshot_restore,
	.snapshot_remove = folder_snapshot_remove,
	.send = folder_send,
	.receive = folder_receive,
	.info = folder_info,
	.list = folder_list,
};
