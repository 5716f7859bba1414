/*
 * Whatever the bytes: receiving ends, leaves the tree it receives into, and makes nothing but what the stream may. The first
 * byte chooses what reads the rest: a disk's stream, a tree's, or the filter before `btrfs receive`.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "driver/volume/btrfs/filter.h"
#include "driver/volume/file/block.h"
#include "driver/volume/file/crc32c.h"
#include "driver/volume/file/frames.h"
#include "driver/volume/file/tree_stream.h"

enum { FRAME_BYTES = 8, DISK_MAX = 64 << 20, PIECE = 7, COMMAND_HEAD_BYTES = 10, BTRFS_START_BYTES = 17 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A stream of the records: the sums are right, so that what is behind them is reached. */
static int open_stream(const uint8_t *data, size_t size)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);
	auto_free uint8_t *copy = alloc(size + 1);
	uint64_t records = 0;
	size_t at = 16;
	struct err err;

	memcpy(copy, data, size);
	while (size >= FRAME_BYTES && at <= size - FRAME_BYTES) {
		uint32_t length = frames_unpack32(copy + at + 4);

		if (frames_unpack32(copy + at) == FRAMES_END && length == 12 && size - at >= FRAME_BYTES + 12) {
			frames_pack64(copy + at + FRAME_BYTES, records);
			frames_pack32(copy + at + FRAME_BYTES + 8, crc32c(0, copy, at));
		}
		if (length > size)
			break;
		at += FRAME_BYTES + length;
		records++;
	}
	if (fd < 0 || file_write_at(fd, copy, size, 0, &err) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	return fd;
}

static void receive_disk(const uint8_t *data, size_t size)
{
	auto_close int fd = open_stream(data, size), image = memfd_create("image", MFD_CLOEXEC);
	auto_frames_reader struct frames_reader reader = { 0 };
	auto_free struct qcow2_header *header = alloc(sizeof(*header));
	struct frames_header stream;
	struct err err;

	if (frames_open(&reader, fd, NULL, &stream, &err) < 0 || stream.size_bytes > DISK_MAX)
		return;
	if (block_stream_write(&stream, &reader, image, &err) < 0)
		return;
	/* What was accepted is an image that we read ourselves. */
	assert(reader.has_ended);
	assert(qcow2_read_header(image, header, &err) == 0 && header->size_bytes == stream.size_bytes);
	assert(qcow2_check_foreign(image, header, &err) == 0);
}

/* In a folder beside which lies another that must stay as it is. */
static void receive_tree(const uint8_t *data, size_t size)
{
	char folder[] = "/dev/shm/strata-fuzz-XXXXXX";
	auto_close int fd = open_stream(data, size), outside_fd = -1, root_fd = -1;
	auto_frames_reader struct frames_reader reader = { 0 };
	struct frames_header stream;
	struct stat st;
	struct err err;

	if (frames_open(&reader, fd, NULL, &stream, &err) < 0)
		return;
	if (!mkdtemp(folder) || (outside_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		abort();
	if (mkdirat(outside_fd, "root", 0700) < 0 || mkdirat(outside_fd, "other", 0700) < 0 ||
	    symlinkat("../other", outside_fd, "root/way-out") < 0)
		abort();
	root_fd = openat(outside_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tree_stream_apply(&reader, root_fd, &err);
	/* Neither removed nor filled nor given away. */
	assert(fstatat(outside_fd, "other", &st, 0) == 0 && st.st_mode == (S_IFDIR | 0700) && st.st_uid == geteuid());
	assert(unlinkat(outside_fd, "other", AT_REMOVEDIR) == 0);
	assert(file_remove_tree(folder, &err) == 0);
}

/* In small pieces, with each command's sum made right. */
static void filter_btrfs(const uint8_t *data, size_t size)
{
	auto_free uint8_t *copy = alloc(size + 1);
	struct filter filter;
	struct str out = { 0 };
	struct err err;
	int r = 0;

	memcpy(copy, data, size);
	for (size_t at = BTRFS_START_BYTES; at < size && size - at >= COMMAND_HEAD_BYTES;) {
		size_t length = (size_t)frames_unpack32(copy + at) + COMMAND_HEAD_BYTES;

		if (length > size - at)
			break;
		frames_pack32(copy + at + 6, 0);
		frames_pack32(copy + at + 6, crc32c_raw(0, copy + at, length));
		at += length;
	}
	assert(filter_init(&filter, -1, (const unsigned char[SUBVOLUME_UUID_SIZE]){ 0 }, &err) == 0);
	for (size_t at = 0; at < size && r == 0; at += PIECE)
		r = filter_feed(&filter, copy + at, size - at < PIECE ? size - at : PIECE, &out, &err);
	assert(out.size <= size);
	if (r == 0 && filter_end(&filter, &err) == 0)
		assert(filter.name[0] && !strchr(filter.name, '/') && filter.name[0] != '.' && out.size == size);
	filter_done(&filter);
	str_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	switch (data[0] % 3) {
	case 0: receive_disk(data + 1, size - 1); break;
	case 1: receive_tree(data + 1, size - 1); break;
	default: filter_btrfs(data + 1, size - 1); break;
	}
	return 0;
}
