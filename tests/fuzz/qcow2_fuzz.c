/*
 * Whatever the bytes: the parser ends, reads nothing outside the file, and what it accepts is within
 * the limits it promises.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "driver/volume/file/qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(int fd)
{
	struct volume_info info = { 0 };
	struct qcow2_header header;
	struct err err;

	if (qcow2_read_header(fd, &header, &err) < 0)
		return;
	assert(qcow2_has_magic(fd));
	assert(header.size_bytes <= VOLUME_SIZE_MAX && header.cluster_bits >= 9 && header.cluster_bits <= 21);
	assert(memchr(header.backing, '\0', sizeof(header.backing)));
	if (qcow2_check_foreign(fd, &header, &err) == 0)
		assert(!header.backing[0] && !header.crypt_method && header.l1_offset < header.file_bytes);
	if (qcow2_read_snapshots(fd, &header, &info, &err) == 0)
		assert(info.snapshots.count == header.snapshot_count);
	volume_info_done(&info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_close int fd = memfd_create("qcow2", MFD_CLOEXEC);
	struct err err;

	if (fd >= 0 && file_write_at(fd, data, size, 0, &err) == 0)
		look(fd);
	return 0;
}
