/*
 * frames.h - the bytes that volume_ops.send writes and volume_ops.receive reads.
 *
 *	"strata-volume\n\0\1"			16 bytes; the last is the version
 *	record*					u32 type, u32 size of the payload, payload
 *
 * All numbers are little-endian; a payload has at most FRAMES_PAYLOAD_MAX bytes. The records in their order:
 *
 *	HEADER	JSON {"kind", "size", "snapshot", "base"}: the kind says who can read the rest (qcow2, files, btrfs, sim),
 *		the size is the volume's, the base is absent in a stream that needs none.
 *	qcow2:	DATA	u64 offset, bytes	clusters of 64 KiB, offsets rise; the last ends where the volume does
 *		ZERO	u64 offset, u64 length	reads as zeros
 *	files:	see tree_stream.h
 *	btrfs:	RAW	bytes			what `btrfs send` writes, in pieces
 *	END	u64 records before it, u32 CRC-32C of all bytes before this record
 *
 * The reader trusts nothing; what a record means is checked by who asked for it.
 *
 * Errors:  -EINVAL the stream is damaged, cut off or no such stream, -ECANCELED, else -errno of read(2) and write(2).
 * Threads: a writer or reader belongs to one.
 */
#ifndef VOLUME_FILE_FRAMES_H
#define VOLUME_FILE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "port/volume.h"

enum {
	FRAMES_DATA_MAX = 1 << 20,
	FRAMES_PAYLOAD_MAX = FRAMES_DATA_MAX + 64,
	FRAMES_KIND_SIZE = 16,
};

enum frames_type {
	FRAMES_HEADER = 1, FRAMES_END, FRAMES_DATA, FRAMES_ZERO, FRAMES_RAW,
	FRAMES_ENTRY, FRAMES_XATTR, FRAMES_CONTENT, FRAMES_REMOVE, FRAMES_DONE,
};

struct frames_header {
	char kind[FRAMES_KIND_SIZE];
	uint64_t size_bytes;
	char snapshot[VOLUME_NAME_LENGTH + 1];
	char base[VOLUME_NAME_LENGTH + 1];	/* "": none, the stream is whole. */
};

struct frames_writer {
	int fd;				/* Borrowed. */
	uint32_t crc;
	uint64_t records, bytes;
	const struct volume_progress *progress;
	uint64_t total_bytes;		/* For the progress; 0: unknown. */
	struct str buffer;		/* Small records on their way. */
};

int frames_begin(struct frames_writer *writer, int fd, const struct frames_header *header, const struct volume_progress *progress,
		 struct err *err);
/* One record, its payload in two pieces. */
int frames_put(struct frames_writer *writer, enum frames_type type, const void *head, size_t head_size, const void *body,
	       size_t body_size, struct err *err);
int frames_end(struct frames_writer *writer, struct err *err);
void frames_writer_done(struct frames_writer *writer);
#define auto_frames_writer __attribute__((cleanup(frames_writer_done)))

struct frames_reader {
	int fd;				/* Borrowed. */
	uint32_t crc;
	uint64_t records, bytes;
	const struct volume_progress *progress;
	bool has_ended;
	enum frames_type type;		/* Of the present record. */
	size_t size;
	unsigned char *payload;
};

/* Reads up to the end of the header. */
int frames_open(struct frames_reader *reader, int fd, const struct volume_progress *progress, struct frames_header *ret_header,
		struct err *err);
/* The next record goes to 'type', 'size' and 'payload'; at the end, after its check, 'has_ended' is set. */
int frames_next(struct frames_reader *reader, struct err *err);
/* Reads on to the end for its check. */
int frames_drain(struct frames_reader *reader, struct err *err);
/* What a payload holds is not what its type says. */
int frames_damaged(const struct frames_reader *reader, struct err *err);
void frames_reader_done(struct frames_reader *reader);
#define auto_frames_reader __attribute__((cleanup(frames_reader_done)))

/* Little-endian numbers within payloads. */
void frames_pack64(unsigned char *bytes, uint64_t value);
uint64_t frames_unpack64(const unsigned char *bytes);
void frames_pack32(unsigned char *bytes, uint32_t value);
uint32_t frames_unpack32(const unsigned char *bytes);

#endif
