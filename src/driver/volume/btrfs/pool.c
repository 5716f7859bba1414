#include "driver/volume/btrfs/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "driver/volume/btrfs/loop.h"

#define MIB (UINT64_C(1) << 20)
#define DEFAULT_BYTES (10240 * MIB)
#define LEAST_BYTES (256 * MIB)
#define MADE_HERE "trusted.strata.pool"		/* On a file that may be removed with its pool. */

enum { MOUNT_FLAGS = MS_NODEV | MS_NOATIME, MOUNTINFO_MAX = 4 << 20, FORMAT_TIMEOUT_MS = 60000 };

static bool is_btrfs(const char *path)
{
	struct statfs st;

	return statfs(path, &st) == 0 && st.f_type == BTRFS_SUPER_MAGIC;
}

/* "/a\040b" is "/a b". */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* See proc_pid_mountinfo(5): the fifth field is where it is mounted. */
static int is_mount_point(const char *directory, bool *ret_is, struct err *err)
{
	char real[PATH_MAX];
	auto_str struct str text = { 0 };
	char *line, *rest;
	int r = file_read_all("/proc/self/mountinfo", MOUNTINFO_MAX, &text, err);

	if (r < 0)
		return r;
	*ret_is = false;
	if (!realpath(directory, real))
		return 0;
	for (line = strtok_r(text.data, "\n", &rest); line && !*ret_is; line = strtok_r(NULL, "\n", &rest)) {
		char *point = line;

		for (int i = 0; i < 4 && point; i++)
			point = (point = strchr(point, ' ')) ? point + 1 : NULL;
		if (!point)
			continue;
		point[strcspn(point, " ")] = '\0';
		unescape(point);
		*ret_is = text_equal(point, real);
	}
	return 0;
}

/* One of the devices of the file system at 'directory' is the source. */
static bool has_device(const char *directory, const struct stat *source)
{
	auto_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct btrfs_ioctl_fs_info_args fs = { 0 };

	if (fd < 0 || ioctl(fd, BTRFS_IOC_FS_INFO, &fs) < 0)
		return false;
	for (uint64_t id = 1; id <= fs.max_id; id++) {
		struct btrfs_ioctl_dev_info_args device = { .devid = id };
		struct stat st;

		if (ioctl(fd, BTRFS_IOC_DEV_INFO, &device) < 0)
			continue;
		if (S_ISBLK(source->st_mode) ? stat((char *)device.path, &st) == 0 && st.st_rdev == source->st_rdev :
					       loop_is_of((char *)device.path, source))
			return true;
	}
	return false;
}

static bool is_source(const char *directory, const struct stat *source)
{
	struct stat st;

	if (S_ISDIR(source->st_mode))
		return stat(directory, &st) == 0 && st.st_dev == source->st_dev && st.st_ino == source->st_ino;
	return is_btrfs(directory) && has_device(directory, source);
}

static int format(const char *path, struct err *err)
{
	const char *const argv[] = { "mkfs.btrfs", "-q", path, NULL };
	const struct spawn_params params = { .argv = argv };
	const struct spawn_io io = { .timeout_ms = FORMAT_TIMEOUT_MS };

	return spawn_run(&params, &io, err);
}

static int write_new(const char *path, uint64_t size_bytes, struct err *err)
{
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0 || ftruncate(fd, (off_t)size_bytes) < 0)
		return err_set(err, -errno, "make '%s' with %" PRIu64 " bytes: %m", shown(path), size_bytes);
	if ((r = format(path, err)) < 0)
		return r;
	if ((fsetxattr(fd, MADE_HERE, "1", 1, 0) < 0 && errno != EOPNOTSUPP) || fsync(fd) < 0)
		return err_set(err, -errno, "write '%s': %m", shown(path));
	return 0;
}

/* Beside, then renamed: a half formatted one is never taken for a pool. */
static int make_file(const struct volume_params *params, struct err *err)
{
	uint64_t size_bytes = params->size_bytes ? params->size_bytes : DEFAULT_BYTES;
	auto_free char *new_path = text_format("%s.new", params->source);
	auto_free char *parent = text_copy_length(params->source, (size_t)(strrchr(params->source, '/') - params->source));
	int r;

	if (size_bytes < LEAST_BYTES || size_bytes > VOLUME_SIZE_MAX)
		return err_set(err, -EINVAL, "pool size %" PRIu64 " is out of range: use 256 MiB to 64 TiB", size_bytes);
	if ((parent[0] && (r = file_make_dirs(parent, 0711, err)) < 0) || (r = write_new(new_path, size_bytes, err)) < 0) {
		unlink(new_path);
		return r;
	}
	if (rename(new_path, params->source) < 0)
		return err_set(err, -errno, "rename '%s': %m", shown(new_path));
	return file_sync_dir(parent[0] ? parent : "/", err);
}

static int mount_device(const char *device, const struct volume_params *params, bool is_block, struct err *err)
{
	int r;

	if (mount(device, params->directory, "btrfs", MOUNT_FLAGS, NULL) == 0)
		return 0;
	if (errno != EINVAL)
		return err_set(err, -errno, "mount '%s' on '%s': %m", shown(params->source), shown(params->directory));
	if (!is_block)
		return err_set(err, -EINVAL, "file '%s' holds no btrfs: remove it, then it is made anew, or name another", shown(params->source));
	/* mkfs.btrfs refuses what has a file system or anything else on it that it knows. */
	if ((r = format(device, err)) < 0)
		return err_prefix(err, "format '%s'", shown(device));
	if (mount(device, params->directory, "btrfs", MOUNT_FLAGS, NULL) < 0)
		return err_set(err, -errno, "mount '%s' on '%s': %m", shown(device), shown(params->directory));
	return 0;
}

static int mount_source(const struct volume_params *params, const struct stat *source, struct err *err)
{
	char device[LOOP_PATH_SIZE];
	auto_close int loop_fd = -1;

	if (S_ISDIR(source->st_mode)) {
		if (!is_btrfs(params->source))
			return err_set(err, -EINVAL, "folder '%s' is not on btrfs: name a block device or a file", shown(params->source));
		if (mount(params->source, params->directory, NULL, MS_BIND, NULL) < 0)
			return err_set(err, -errno, "bind '%s' to '%s': %m", shown(params->source), shown(params->directory));
		return 0;
	}
	if (S_ISBLK(source->st_mode))
		return mount_device(params->source, params, true, err);
	if (!S_ISREG(source->st_mode))
		return err_set(err, -EINVAL, "'%s' is no block device, file or folder", shown(params->source));
	loop_fd = loop_attach(params->source, device, err);
	return loop_fd < 0 ? loop_fd : mount_device(device, params, false, err);
}

static int check_paths(const struct volume_params *params, struct err *err)
{
	if (!params->directory || params->directory[0] != '/')
		return err_set(err, -EINVAL, "pool folder '%s' is not absolute", shown(params->directory ? params->directory : ""));
	if (params->source && params->source[0] != '/')
		return err_set(err, -EINVAL, "pool source '%s' is not absolute", shown(params->source));
	return 0;
}

int pool_mount(const struct volume_params *params, bool *ret_is_ours, struct err *err)
{
	bool is_mounted = false;
	struct stat source;
	int r;

	*ret_is_ours = false;
	if ((r = check_paths(params, err)) < 0 || (r = file_make_dirs(params->directory, 0711, err)) < 0)
		return r;
	if (!params->source)
		return is_btrfs(params->directory) ? 0 :
			err_set(err, -EINVAL, "folder '%s' is not on btrfs: name a block device or a file as its source", shown(params->directory));
	if (stat(params->source, &source) < 0 && errno == ENOENT && (r = make_file(params, err)) < 0)
		return r;
	if (stat(params->source, &source) < 0)
		return err_set(err, -errno, "look at '%s': %m", shown(params->source));
	*ret_is_ours = !S_ISDIR(source.st_mode);
	if ((r = is_mount_point(params->directory, &is_mounted, err)) < 0 || is_source(params->directory, &source))
		return r;
	if (is_mounted)
		return err_set(err, -EBUSY, "something else than '%s' is mounted on '%s': unmount it or give the pool another folder",
			       shown(params->source), shown(params->directory));
	return mount_source(params, &source, err);
}

bool pool_exists(const struct volume_params *params)
{
	return params->directory && access(params->directory, F_OK) == 0 && (!params->source || access(params->source, F_OK) == 0);
}

static bool is_made_here(const char *file)
{
	char value[1];

	return getxattr(file, MADE_HERE, value, sizeof(value)) == 1;
}

int pool_remove(const struct volume_params *params, struct err *err)
{
	bool is_mounted = false;
	struct stat source;
	int r = params->source ? is_mount_point(params->directory, &is_mounted, err) : 0;

	if (r < 0)
		return r;
	if (is_mounted && umount2(params->directory, UMOUNT_NOFOLLOW) < 0)
		return err_set(err, -errno, "unmount '%s': %m: stop what uses it", shown(params->directory));
	if (rmdir(params->directory) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EBUSY)
		return err_set(err, -errno, "remove folder '%s': %m", shown(params->directory));
	if (params->source && stat(params->source, &source) == 0 && S_ISREG(source.st_mode) && is_made_here(params->source) &&
	    unlink(params->source) < 0)
		return err_set(err, -errno, "remove '%s': %m", shown(params->source));
	return 0;
}
