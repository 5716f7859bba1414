#include "driver/volume/btrfs/loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { TRIES_MAX = 32 };

static bool is_of(int fd, const struct stat *file)
{
	struct loop_info64 info;

	return ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_device == file->st_dev && info.lo_inode == file->st_ino;
}

bool loop_is_of(const char *path, const struct stat *file)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && is_of(fd, file);
}

/* The device that the file has already, or -1. */
static int find(const struct stat *file, char path[LOOP_PATH_SIZE])
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	int found = -1;

	while (dir && found < 0 && (entry = readdir(dir))) {
		auto_close int fd = -1;
		unsigned number;

		if (sscanf(entry->d_name, "loop%u", &number) != 1)
			continue;
		snprintf(path, LOOP_PATH_SIZE, "/dev/loop%u", number);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && is_of(fd, file))
			found = take_fd(fd);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Somebody else may take the free one first: then the next. */
static int attach_new(int file_fd, const char *file, char path[LOOP_PATH_SIZE], struct err *err)
{
	auto_close int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config config = {
		.fd = (unsigned)file_fd, .info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO,
	};

	if (control < 0)
		return err_set(err, -errno, "open '/dev/loop-control': %m: this kernel has no loop devices, name a block device instead of a file");
	snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", file);
	for (int i = 0; i < TRIES_MAX; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE), fd;

		if (number < 0)
			return err_set(err, -errno, "find a free loop device: %m");
		snprintf(path, LOOP_PATH_SIZE, "/dev/loop%d", number);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return err_set(err, -errno, "open '%s': %m", path);
		if (ioctl(fd, LOOP_CONFIGURE, &config) == 0)
			return fd;
		close(fd);
		if (errno != EBUSY)
			return err_set(err, -errno, "make '%s' of file '%s': %m", path, shown(file));
	}
	return err_set(err, -EBUSY, "no loop device could be had for '%s': try again", shown(file));
}

int loop_attach(const char *file, char path[LOOP_PATH_SIZE], struct err *err)
{
	auto_close int file_fd = open(file, O_RDWR | O_CLOEXEC);
	struct stat st;
	int fd;

	if (file_fd < 0 || fstat(file_fd, &st) < 0)
		return err_set(err, -errno, "open '%s': %m", shown(file));
	fd = find(&st, path);
	return fd >= 0 ? fd : attach_new(file_fd, file, path, err);
}
