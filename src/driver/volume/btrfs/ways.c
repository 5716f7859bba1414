#include "driver/volume/btrfs/ways.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/btrfs/quota.h"
#include "driver/volume/btrfs/subvolume.h"

static int open_tree(int dir_fd, const char *name, struct err *err)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? err_set(err, -errno, "open subvolume '%s': %m", shown(name)) : fd;
}

static int limit_new(const struct place *place, int dir_fd, const char *name, uint64_t size_bytes, struct err *err)
{
	auto_close int fd = size_bytes ? open_tree(dir_fd, name, err) : -1;

	if (size_bytes == 0)
		return 0;
	return fd < 0 ? fd : quota_set(place->fd, fd, size_bytes, err);
}

static int btrfs_make(const struct place *place, int dir_fd, const char *name, uint64_t size_bytes, struct err *err)
{
	int r = subvolume_create(dir_fd, name, err);

	if (r < 0)
		return r;
	if (fchmodat(dir_fd, name, 0755, 0) < 0)
		return err_set(err, -errno, "set the mode of a subvolume: %m%s", place_remedy(errno));
	return limit_new(place, dir_fd, name, size_bytes, err);
}

static int btrfs_copy(const struct place *place, int from_fd, int dir_fd, const char *name, bool is_snapshot, uint64_t size_bytes,
		      const struct volume_progress *progress, struct err *err)
{
	int r = subvolume_snapshot(from_fd, dir_fd, name, is_snapshot, err);

	(void)progress;
	return r < 0 ? r : limit_new(place, dir_fd, name, size_bytes, err);
}

static int btrfs_drop(const struct place *place, int dir_fd, const char *name, struct err *err)
{
	(void)place;
	return subvolume_remove(dir_fd, name, err);
}

static int btrfs_limit(const struct place *place, int tree_fd, uint64_t size_bytes, struct err *err)
{
	/* What was reserved for writes that met the old limit is given back when the file system commits. That these
	 * writes failed is theirs to know. */
	syncfs(tree_fd);
	return quota_set(place->fd, tree_fd, size_bytes, err);
}

static int btrfs_usage(const struct place *place, int tree_fd, uint64_t *ret_limit, uint64_t *ret_used, struct err *err)
{
	(void)place;
	return quota_get(tree_fd, ret_limit, ret_used, err);
}

const struct tree_ways tree_ways_btrfs = {
	.make = btrfs_make,
	.copy = btrfs_copy,
	.has_atomic_copies = true,
	.drop = btrfs_drop,
	.limit = btrfs_limit,
	.usage = btrfs_usage,
	.kind = "btrfs",
	.send = btrfs_stream_send,
	.receive = btrfs_stream_receive,
};
