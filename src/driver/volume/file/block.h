/*
 * block.h - block volumes: qcow2 files in a place. The operations of volume_ops that have to do with them.
 *
 * Names are checked by the caller. Errors, memory and threads as in port/volume.h.
 */
#ifndef VOLUME_FILE_BLOCK_H
#define VOLUME_FILE_BLOCK_H

#include "driver/volume/file/place.h"
#include "driver/volume/file/frames.h"

int block_create(struct place *place, const char *volume, const char *parent, uint64_t size_bytes, struct err *err);
int block_clone(struct place *place, const char *volume, const char *from, const char *snapshot,
		const struct volume_progress *progress, struct err *err);
int block_import(struct place *place, const char *volume, int file_fd, int expected, const struct volume_progress *progress,
		 struct err *err);
int block_export(struct place *place, const char *volume, const char *path, const struct volume_progress *progress,
		 struct err *err);
int block_resize(struct place *place, const char *volume, uint64_t size_bytes, struct err *err);
int block_snapshot_create(struct place *place, const char *volume, const char *snapshot, struct err *err);
int block_snapshot_restore(struct place *place, const char *volume, const char *snapshot, struct err *err);
int block_snapshot_remove(struct place *place, const char *volume, const char *snapshot, struct err *err);
int block_info(struct place *place, const char *volume, struct volume_info *ret_info, struct err *err);

/* block_send.c and block_receive.c; the reader is behind the header. */
int block_send(struct place *place, const char *volume, const char *snapshot, const char *base, int to_fd,
	       const struct volume_progress *progress, struct err *err);
int block_receive(struct place *place, const char *volume, const struct frames_header *header, struct frames_reader *reader,
		  struct err *err);
#define BLOCK_STREAM_KIND "qcow2"
/* Makes an image in the empty file 'fd' of the stream's records, up to the end. */
int block_stream_write(const struct frames_header *header, struct frames_reader *reader, int fd, struct err *err);

/* What block_receive.c needs of block.c: one run of qemu-img snapshot with 'option' (-c, -a or -d). */
int block_change_snapshot(const struct place *place, int fd, const char *option, const char *snapshot, struct err *err);
int block_need_snapshot(const struct chain *chain, const char *snapshot, struct err *err);

#endif
