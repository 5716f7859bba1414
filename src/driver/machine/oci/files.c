/* Files in and out, through /proc/<pid>/root. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/machine/oci/beneath.h"
#include "driver/machine/oci/identity.h"
#include "driver/machine/oci/oci.h"

enum { CHUNK_BYTES = 256 << 10 };

static int open_root(const struct oci *oci, const char *uid, struct err *err)
{
	char path[64];
	pid_t pid;
	int fd, r = oci_find(oci, uid, &pid, err);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_set(err, -errno, "open the container's root: %m") : fd;
}

static int write_all(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t count = write(fd, bytes, size);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		bytes += count;
		size -= (size_t)count;
	}
	return 0;
}

static int copy(int from, int to, const char *path, struct err *err)
{
	auto_free char *bytes = alloc(CHUNK_BYTES);
	ssize_t count;

	while ((count = read(from, bytes, CHUNK_BYTES))) {
		int r;

		if (count < 0 && errno == EINTR)
			continue;
		r = count < 0 ? -errno : write_all(to, bytes, (size_t)count);
		if (r < 0)
			return err_set(err, r, "copy '%s': %m", shown(path));
	}
	return 0;
}

int oci_file_read(struct machine_driver *driver, const char *uid, const char *path, int to_fd, struct err *err)
{
	auto_close int root = open_root(oci_of(driver), uid, err);
	auto_close int fd = -1;

	if (root < 0)
		return root;
	fd = beneath_open_file(root, path, err);
	return fd < 0 ? fd : copy(fd, to_fd, path, err);
}

/* The container's root on the host: the ids of its file systems have no place for ours. */
static uid_t find_owner(pid_t pid)
{
	char path[64];
	unsigned first, base;
	auto_fclose FILE *file = NULL;

	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	file = fopen(path, "re");
	return file && fscanf(file, "%u %u", &first, &base) == 2 && first == 0 ? base : 0;
}

/* An existing file keeps its owner; a new one belongs to the container's root. */
static int open_for_writing(int root, const char *path, unsigned mode, struct err *err)
{
	auto_close int fd = beneath_open(root, path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, mode);
	struct stat st;

	if (fd < 0)
		return err_set(err, fd, "write '%s': %m", shown(path));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !beneath_is_storage(fd))
		return err_set(err, -EINVAL, "'%s' is not a regular file", shown(path));
	return take_fd(fd);
}

static int write_file(int root, const char *path, unsigned mode, int from_fd, struct err *err)
{
	auto_close int fd = open_for_writing(root, path, mode, err);

	if (fd < 0)
		return fd;
	if (ftruncate(fd, 0) < 0 || fchmod(fd, mode) < 0)
		return err_set(err, -errno, "write '%s': %m", shown(path));
	return copy(from_fd, fd, path, err);
}

int oci_file_write(struct machine_driver *driver, const char *uid, const char *path, unsigned mode, int from_fd, struct err *err)
{
	auto_close int root = open_root(oci_of(driver), uid, err);
	struct identity identity;
	pid_t pid;
	int r;

	if (root < 0)
		return root;
	r = oci_find(oci_of(driver), uid, &pid, err);
	if (r < 0)
		return r;
	if (identity_init(&identity, find_owner(pid)) < 0 || identity_enter(&identity) > 0)
		r = err_set(err, -errno, "act as the container's root: %m");
	else
		r = write_file(root, path, mode & 07777, from_fd, err);
	identity_leave(&identity);
	return r;
}
