/*
 * pool.h - what the benchmarks of volumes share: random data, and a pool of one's own.
 *
 * Errors:  0 or -errno with the reason in *err.
 * Threads: one.
 */
#ifndef BENCH_LIB_POOL_H
#define BENCH_LIB_POOL_H

#include <stdint.h>

#include "bench.h"
#include "port/volume.h"

/* Makes the file 'path' of 'size_bytes', the first 'data_bytes' of it random and the rest a hole, on the disk. */
int pool_write_random(const char *path, uint64_t data_bytes, uint64_t size_bytes, struct err *err);
/* Imports such a file as the block volume 'name'; the file is gone afterwards. */
int pool_import_random(const struct bench *bench, struct volume_driver *driver, const char *name, uint64_t data_bytes,
		       uint64_t size_bytes, struct err *err);

#endif
