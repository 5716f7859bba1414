/* file_copy_sparse(): reflink, else data without holes, by the kernel where it can, else by hand. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum {
	KERNEL_CHUNK_BYTES = 16 << 20,		/* Between looks at 'is_cancelled'. */
	CHUNK_BYTES = 1 << 20,
	BLOCK_BYTES = 4096,			/* Zeros of this size become holes when copied by hand. */
};

struct copy {
	int from_fd, to_fd;
	uint64_t size_bytes;
	const struct file_progress *progress;	/* May be null. */
	char *chunk;				/* Null as long as copy_file_range(2) works. */
};

static int report(const struct copy *copy, uint64_t done_bytes, struct err *err)
{
	const struct file_progress *progress = copy->progress;

	if (!progress)
		return 0;
	if (progress->is_cancelled && __atomic_load_n(progress->is_cancelled, __ATOMIC_RELAXED))
		return err_set(err, -ECANCELED, "copy was cancelled");
	if (progress->on_progress)
		progress->on_progress(progress->data, done_bytes, copy->size_bytes);
	return 0;
}

static bool is_zero(const char *bytes, size_t size)
{
	return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static int write_blocks(struct copy *copy, size_t size, uint64_t offset, struct err *err)
{
	for (size_t at = 0; at < size; at += BLOCK_BYTES) {
		size_t block = size - at < BLOCK_BYTES ? size - at : BLOCK_BYTES;
		int r = 0;

		if (!is_zero(copy->chunk + at, block))
			r = file_write_at(copy->to_fd, copy->chunk + at, block, offset + at, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Copies something from 'offset' on by hand; returns how much, or -errno. */
static ssize_t copy_chunk(struct copy *copy, uint64_t offset, uint64_t end, struct err *err)
{
	size_t want = end - offset < CHUNK_BYTES ? (size_t)(end - offset) : CHUNK_BYTES;
	ssize_t n;
	int r;

	if (!copy->chunk)
		copy->chunk = alloc(CHUNK_BYTES);
	n = pread(copy->from_fd, copy->chunk, want, (off_t)offset);
	if (n < 0)
		return err_set(err, -errno, "read at byte %llu: %m", (unsigned long long)offset);
	r = write_blocks(copy, (size_t)n, offset, err);
	return r < 0 ? r : n;
}

static bool is_unsupported(int error)
{
	return error == EXDEV || error == EINVAL || error == EOPNOTSUPP || error == ENOSYS || error == EBADF ||
	       error == ETXTBSY;
}

static ssize_t copy_some(struct copy *copy, uint64_t offset, uint64_t end, struct err *err)
{
	size_t want = end - offset < KERNEL_CHUNK_BYTES ? (size_t)(end - offset) : KERNEL_CHUNK_BYTES;
	off_t from = (off_t)offset, to = (off_t)offset;
	ssize_t n;

	if (copy->chunk)
		return copy_chunk(copy, offset, end, err);
	n = copy_file_range(copy->from_fd, &from, copy->to_fd, &to, want, 0);
	if (n < 0 && is_unsupported(errno))
		return copy_chunk(copy, offset, end, err);
	if (n < 0)
		return err_set(err, -errno, "copy at byte %llu: %m", (unsigned long long)offset);
	return n;
}

static int copy_extent(struct copy *copy, uint64_t start, uint64_t end, struct err *err)
{
	while (start < end) {
		ssize_t n = copy_some(copy, start, end, err);
		int r;

		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		if (n == 0)
			return err_set(err, -EIO, "the file shrank while it was copied");
		start += (uint64_t)n;
		r = report(copy, start, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Finds the next data at or after 'offset'; false when only a hole is left. */
static bool next_extent(const struct copy *copy, uint64_t offset, uint64_t *ret_start, uint64_t *ret_end)
{
	off_t start = lseek(copy->from_fd, (off_t)offset, SEEK_DATA);
	off_t end;

	if (start < 0 && errno == ENXIO)
		return false;
	end = start < 0 ? -1 : lseek(copy->from_fd, start, SEEK_HOLE);
	/* Where holes cannot be told, everything is data. */
	*ret_start = start < 0 ? offset : (uint64_t)start;
	*ret_end = end < 0 || (uint64_t)end > copy->size_bytes ? copy->size_bytes : (uint64_t)end;
	return *ret_start < copy->size_bytes;
}

static int copy_extents(struct copy *copy, struct err *err)
{
	uint64_t start, end, offset = 0;

	while (offset < copy->size_bytes && next_extent(copy, offset, &start, &end)) {
		int r = copy_extent(copy, start, end, err);

		if (r < 0)
			return r;
		offset = end;
	}
	return report(copy, copy->size_bytes, err);
}

int file_copy_sparse(int from_fd, int to_fd, const struct file_progress *progress, struct err *err)
{
	struct copy copy = { .from_fd = from_fd, .to_fd = to_fd, .progress = progress };
	struct stat st;
	int r;

	if (fstat(from_fd, &st) < 0)
		return err_set(err, -errno, "look at the file to copy: %m");
	copy.size_bytes = (uint64_t)st.st_size;
	r = report(&copy, 0, err);
	if (r < 0)
		return r;
	if (ioctl(to_fd, FICLONE, from_fd) == 0)
		return report(&copy, copy.size_bytes, err);
	if (ftruncate(to_fd, st.st_size) < 0)
		return err_set(err, -errno, "set the size of the copy to %llu bytes: %m",
			       (unsigned long long)copy.size_bytes);
	r = copy_extents(&copy, err);
	free(copy.chunk);
	return r;
}
