/*
 * qcow2_write.h - a new qcow2 image (version 3, clusters of 64 KiB), written from front to back.
 *
 * Clusters come in rising order; what was left out is absent (of the backing file, or zero).
 *
 * Errors:  -errno of write(2).
 * Threads: one at a time per writer.
 */
#ifndef VOLUME_FILE_QCOW2_WRITE_H
#define VOLUME_FILE_QCOW2_WRITE_H

#include "driver/volume/file/qcow2_map.h"

struct qcow2_writer {
	int fd;				/* Borrowed; an empty file. */
	uint64_t size_bytes;
	uint64_t next;			/* Where the next cluster of the file goes. */
	uint64_t l1_count;
	uint64_t *l1;			/* As in the file, big-endian. */
	uint64_t l2_index;		/* Which one is in 'l2'; UINT64_MAX: none. */
	uint64_t *l2;
};

void qcow2_write_begin(struct qcow2_writer *writer, int fd, uint64_t size_bytes);
/* 'count' clusters of data, from number 'cluster' on; the last may be short at the disk's end and is filled up. */
int qcow2_write_data(struct qcow2_writer *writer, uint64_t cluster, const void *bytes, size_t size, struct err *err);
int qcow2_write_zeros(struct qcow2_writer *writer, uint64_t cluster, uint64_t count, struct err *err);
/* The tables and the header; 'backing' "": none. */
int qcow2_write_end(struct qcow2_writer *writer, const char *backing, struct err *err);
void qcow2_writer_done(struct qcow2_writer *writer);
#define auto_qcow2_writer __attribute__((cleanup(qcow2_writer_done)))

#endif
