/*
 * qcow2.h - what a qcow2 file says about itself, read with suspicion.
 *
 * Follows "QEMU qcow2 Image Format" (docs/interop/qcow2.rst of QEMU). The file may come from
 * anybody: every offset and count is checked against the file and against QEMU's own limits
 * before it is used. Nothing is written.
 *
 * Errors:  -EINVAL with what is wrong in words, else -errno of read(2).
 * Threads: any.
 */
#ifndef VOLUME_FILE_QCOW2_H
#define VOLUME_FILE_QCOW2_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "port/volume.h"

enum { QCOW2_BACKING_MAX = 1023 };	/* The specification's limit. */

struct qcow2_header {
	uint32_t version;		/* 2 or 3 */
	uint32_t cluster_bits;
	uint64_t size_bytes;		/* As the guest sees it. */
	uint32_t crypt_method;
	uint32_t l1_count;
	uint64_t l1_offset;
	uint64_t refcount_offset;
	uint32_t refcount_clusters;
	uint32_t snapshot_count;
	uint64_t snapshots_offset;
	uint64_t incompatible;		/* Feature bits */
	uint64_t file_bytes;		/* How long the file really is. */
	char backing[QCOW2_BACKING_MAX + 1];	/* "": none. As stored, so show it with shown(). */
};

/* Whether the file begins like a qcow2 image. */
bool qcow2_has_magic(int fd);

int qcow2_read_header(int fd, struct qcow2_header *ret_header, struct err *err);

/* For files from outside: refuses what an image of ours must not depend on (another file, a key, unknown
 * features) and what is too short for its own tables. */
int qcow2_check_foreign(int fd, const struct qcow2_header *header, struct err *err);

struct qcow2_snapshot {			/* Where an internal snapshot has its table. */
	uint64_t l1_offset;
	uint32_t l1_count;
	uint64_t size_bytes;		/* Of the disk when it was taken. */
};

/* -ENOENT when there is no such snapshot. */
int qcow2_find_snapshot(int fd, const struct qcow2_header *header, const char *name, struct qcow2_snapshot *ret_snapshot,
			struct err *err);

/* Appends the names of the internal snapshots, oldest first. */
int qcow2_read_snapshots(int fd, const struct qcow2_header *header, struct volume_info *info, struct err *err);

#endif
