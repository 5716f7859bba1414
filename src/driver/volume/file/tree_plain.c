/* The ways of trees on any file system: plain folders, copied as a whole (with reflinks where there are any). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/tree.h"
#include "driver/volume/file/tree_copy.h"
#include "driver/volume/file/tree_quota.h"
#include "driver/volume/file/tree_stream.h"

enum { COUNTING_MAX_MS = 50, COUNTING_DEPTH_MAX = 64 };

static int make_folder(const struct place *place, int dir_fd, const char *name, uint64_t size_bytes, int *ret_fd, struct err *err)
{
	auto_close int fd = -1;
	int r;

	if (mkdirat(dir_fd, name, 0700) < 0 || (fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return err_set(err, -errno, "make a folder in '%s': %m%s", shown(place->directory), place_remedy(errno));
	/* Before anything is in it: files take the project of their folder when they are made. */
	if (size_bytes && (r = tree_quota_set(fd, size_bytes, err)) < 0)
		return r;
	*ret_fd = take_fd(fd);
	return 0;
}

static int plain_make(const struct place *place, int dir_fd, const char *name, uint64_t size_bytes, struct err *err)
{
	auto_close int fd = -1;
	int r = make_folder(place, dir_fd, name, size_bytes, &fd, err);

	if (r < 0)
		return r;
	if (fchmod(fd, 0755) < 0 || fsync(fd) < 0)
		return err_set(err, -errno, "make a folder in '%s': %m", shown(place->directory));
	return 0;
}

static int plain_copy(const struct place *place, int from_fd, int dir_fd, const char *name, bool is_snapshot, uint64_t size_bytes,
		      const struct volume_progress *progress, struct err *err)
{
	auto_close int fd = -1;
	int r = make_folder(place, dir_fd, name, size_bytes, &fd, err);

	if (r < 0)
		return r;
	if ((r = tree_copy(from_fd, dir_fd, name, fd, is_snapshot, progress, err)) < 0)
		return place_add_remedy(r, err);
	if (syncfs(fd) < 0)
		return err_set(err, -errno, "write the copy to disk: %m");
	return 0;
}

static int plain_drop(const struct place *place, int dir_fd, const char *name, struct err *err)
{
	auto_free char *path = text_format("/proc/self/fd/%d/%s", dir_fd, name);

	(void)place;
	return file_remove_tree(path, err);
}

static int plain_limit(const struct place *place, int tree_fd, uint64_t size_bytes, struct err *err)
{
	(void)place;
	return tree_quota_set(tree_fd, size_bytes, err);
}

/* Adds up what the files occupy, as long as there is time: asking must not cost more than a glance. */
static void count(int dir_fd, int64_t end_ms, int depth, uint64_t *used)
{
	int own_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own_fd < 0 ? NULL : fdopendir(own_fd);
	struct dirent *entry;
	struct stat st;

	if (!dir) {
		closep(&own_fd);
		return;
	}
	while (clock_monotonic_ms() < end_ms && (entry = readdir(dir))) {
		auto_close int fd = -1;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		/* Of several names of one file each counts its share. */
		*used += (uint64_t)st.st_blocks * 512 / (S_ISDIR(st.st_mode) || !st.st_nlink ? 1 : st.st_nlink);
		if (S_ISDIR(st.st_mode) && depth < COUNTING_DEPTH_MAX)
			fd = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			count(fd, end_ms, depth + 1, used);
	}
	closedir(dir);
}

static int plain_usage(const struct place *place, int tree_fd, uint64_t *ret_limit, uint64_t *ret_used, struct err *err)
{
	(void)place;
	(void)err;
	*ret_limit = *ret_used = 0;
	if (tree_quota_get(tree_fd, ret_limit, ret_used) < 0)
		count(tree_fd, clock_monotonic_ms() + COUNTING_MAX_MS, 0, ret_used);
	return 0;
}

const struct tree_ways tree_ways_plain = {
	.make = plain_make,
	.copy = plain_copy,
	.drop = plain_drop,
	.limit = plain_limit,
	.usage = plain_usage,
	.kind = "files",
	.send = tree_stream_send,
	.receive = tree_stream_receive,
};
