#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { CHUNK_BYTES = 64 << 10 };

/* Reading */

static int read_to_end(int fd, size_t max_bytes, struct str *out)
{
	size_t start = out->size;

	for (;;) {
		ssize_t n;

		str_reserve(out, CHUNK_BYTES);
		n = read(fd, out->data + out->size, CHUNK_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		out->size += (size_t)n;
		out->data[out->size] = '\0';
		if (out->size - start > max_bytes)
			return -EFBIG;
		if (n == 0)
			return 0;
	}
}

int file_read_all(const char *path, size_t max_bytes, struct str *out, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t start = out->size;
	int r;

	if (fd < 0)
		return err_set(err, -errno, "open '%s': %m", shown(path));
	r = read_to_end(fd, max_bytes, out);
	if (r == 0)
		return 0;
	out->size = start;
	if (out->data)
		out->data[start] = '\0';
	if (r == -EFBIG)
		return err_set(err, r, "file '%s' is larger than %zu bytes", shown(path), max_bytes);
	return err_set(err, r, "read '%s': %m", shown(path));
}

/* Writing */

int file_write_at(int fd, const void *data, size_t size, uint64_t offset, struct err *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pwrite(fd, (const char *)data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "write at byte %llu: %m",
				       (unsigned long long)(offset + done));
		done += (size_t)n;
	}
	return 0;
}

int file_sync_dir(const char *path, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return err_set(err, -errno, "sync folder '%s': %m", shown(path));
	return 0;
}

static int sync_parent(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	auto_free char *parent = NULL;

	if (!slash)
		parent = text_copy(".");
	else
		parent = text_copy_length(path, slash == path ? 1 : (size_t)(slash - path));
	return file_sync_dir(parent, err);
}

static int write_and_sync(const char *path, const void *data, size_t size, mode_t mode, struct err *err)
{
	auto_close int fd = -1;
	int r;

	/* What a crash left behind may have another mode or be a link. */
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove '%s': %m", shown(path));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return err_set(err, -errno, "create '%s': %m", shown(path));
	r = file_write_at(fd, data, size, 0, err);
	if (r < 0)
		return err_prefix(err, "'%s'", shown(path));
	if (fchmod(fd, mode) < 0)		/* The umask may have taken something away. */
		return err_set(err, -errno, "set the mode of '%s': %m", shown(path));
	if (fsync(fd) < 0)
		return err_set(err, -errno, "sync '%s': %m", shown(path));
	return 0;
}

int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode, struct err *err)
{
	auto_free char *new_path = text_format("%s.new", path);
	int r = write_and_sync(new_path, data, size, mode, err);

	if (r == 0 && rename(new_path, path) < 0)
		r = err_set(err, -errno, "rename '%s': %m", shown(new_path));
	if (r < 0) {
		unlink(new_path);
		return r;
	}
	return sync_parent(path, err);
}

/* Folders */

static int make_dir(const char *path, mode_t mode, struct err *err)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return err_set(err, -errno, "make folder '%s': %m", shown(path));
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "'%s' exists and is not a folder", shown(path));
	return 0;
}

int file_make_dirs(const char *path, mode_t mode, struct err *err)
{
	auto_free char *part = text_copy(path);

	for (char *p = part + strspn(part, "/"); (p = strchr(p, '/')); p += strspn(p, "/")) {
		int r;

		*p = '\0';
		r = make_dir(part, mode, err);
		*p = '/';
		if (r < 0)
			return r;
	}
	return make_dir(part, mode, err);
}
