#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"

enum { BLOCK_BYTES = 1 << 20 };

int pool_write_random(const char *path, uint64_t data_bytes, uint64_t size_bytes, struct err *err)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	auto_free uint64_t *block = alloc(BLOCK_BYTES);
	struct rng rng;
	int r = 0;

	if (fd < 0 || ftruncate(fd, (off_t)size_bytes) < 0)
		return err_set(err, -errno, "make '%s': %m", path);
	rng_init(&rng, 1);
	for (uint64_t at = 0; at < data_bytes && r == 0; at += BLOCK_BYTES) {
		for (size_t i = 0; i < BLOCK_BYTES / sizeof(*block); i++)
			block[i] = rng_next(&rng);
		r = file_write_at(fd, block, BLOCK_BYTES, at, err);
	}
	if (r == 0 && fsync(fd) < 0)
		r = err_set(err, -errno, "write '%s' to disk: %m", path);
	return r;
}

int pool_import_random(const struct bench *bench, struct volume_driver *driver, const char *name, uint64_t data_bytes,
		       uint64_t size_bytes, struct err *err)
{
	auto_free char *path = text_format("%s/%s.raw", bench->folder, name);
	auto_close int fd = -1;
	int r = pool_write_random(path, data_bytes, size_bytes, err);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? err_set(err, -errno, "open '%s': %m", path) : driver->ops->import(driver, name, fd, VOLUME_RAW, NULL, err);
	unlink(path);
	return r;
}
