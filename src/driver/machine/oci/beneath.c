#include "driver/machine/oci/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"

int beneath_open(int root_fd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC), .mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	/* EAGAIN: somebody renamed a folder on the way, so the kernel could not be sure. */
	do
		fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

bool beneath_is_storage(int fd)
{
	static const unsigned long pseudo[] = {
		PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,
		SECURITYFS_MAGIC, BPF_FS_MAGIC,
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_COUNT(pseudo); i++)
		if ((unsigned long)fs.f_type == pseudo[i])
			return false;
	return true;
}

int beneath_open_file(int root_fd, const char *path, struct err *err)
{
	/* Not blocking: it could be a pipe by now. */
	auto_close int fd = beneath_open(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;

	if (fd < 0)
		return err_set(err, fd, "open '%s': %m", shown(path));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !beneath_is_storage(fd))
		return err_set(err, -EINVAL, "'%s' is not a regular file", shown(path));
	return take_fd(fd);
}

void beneath_read(int root_fd, const char *path, size_t max_bytes, struct str *out)
{
	struct err err;
	auto_close int fd = beneath_open_file(root_fd, path, &err);
	ssize_t count = 1;

	while (fd >= 0 && count > 0 && max_bytes) {
		size_t wanted = max_bytes < 4096 ? max_bytes : 4096;

		str_reserve(out, wanted);
		count = read(fd, out->data + out->size, wanted);
		if (count <= 0)
			break;
		out->size += (size_t)count;
		out->data[out->size] = '\0';
		max_bytes -= (size_t)count;
	}
}
