#include "driver/volume/file/qcow2.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum {
	HEADER_V2_BYTES = 72,
	HEADER_V3_BYTES = 104,
	SNAPSHOT_ENTRY_BYTES = 40,	/* Without extra data, id and name. */
	SNAPSHOTS_MAX = 65536,
	SNAPSHOT_EXTRA_MAX = 1024,
	SNAPSHOT_NAME_MAX = 255,
	CLUSTER_BITS_MIN = 9,
	CLUSTER_BITS_MAX = 21,
	REFCOUNT_ORDER_MAX = 6,
	L1_BYTES_MAX = 32 << 20,
	REFCOUNT_TABLE_BYTES_MAX = 8 << 20,
	READ_AT_ONCE = 4096,
};

enum {					/* Incompatible features */
	FEATURE_DIRTY = 1 << 0,
	FEATURE_CORRUPT = 1 << 1,
	FEATURE_DATA_FILE = 1 << 2,
	FEATURE_COMPRESSION = 1 << 3,
	FEATURE_EXTENDED_L2 = 1 << 4,
	FEATURES_KNOWN = FEATURE_DIRTY | FEATURE_CORRUPT | FEATURE_DATA_FILE | FEATURE_COMPRESSION | FEATURE_EXTENDED_L2,
};

#define L1_OFFSET_MASK UINT64_C(0x00fffffffffffe00)

static const unsigned char magic[4] = { 'Q', 'F', 'I', 0xfb };

static uint32_t get32(const unsigned char *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return be32toh(value);
}

static uint64_t get64(const unsigned char *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return be64toh(value);
}

static int read_exactly(int fd, void *buffer, size_t size, uint64_t offset, const char *what, struct err *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)buffer + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "read the image's %s: %m", what);
		if (n == 0)
			return err_set(err, -EINVAL, "image is truncated: it ends within its %s: copy it again", what);
		done += (size_t)n;
	}
	return 0;
}

bool qcow2_has_magic(int fd)
{
	unsigned char start[sizeof(magic)];

	return pread(fd, start, sizeof(start), 0) == (ssize_t)sizeof(start) && !memcmp(start, magic, sizeof(magic));
}

static int check_header(const struct qcow2_header *header, struct err *err)
{
	uint64_t l2_covers;

	if (header->cluster_bits < CLUSTER_BITS_MIN || header->cluster_bits > CLUSTER_BITS_MAX)
		return err_set(err, -EINVAL, "image header: cluster_bits %u is out of range (%d to %d): the file is damaged",
			       header->cluster_bits, CLUSTER_BITS_MIN, CLUSTER_BITS_MAX);
	if (header->size_bytes > VOLUME_SIZE_MAX)
		return err_set(err, -EINVAL, "image header: size %" PRIu64 " is beyond the limit of 64 TiB", header->size_bytes);
	if (header->l1_count > L1_BYTES_MAX / sizeof(uint64_t))
		return err_set(err, -EINVAL, "image header: L1 table of %u entries is too large: the file is damaged", header->l1_count);
	/* An extended L2 entry takes two words. */
	l2_covers = UINT64_C(1) << (2 * header->cluster_bits - (header->incompatible & FEATURE_EXTENDED_L2 ? 4 : 3));
	if ((header->size_bytes + l2_covers - 1) / l2_covers > header->l1_count)
		return err_set(err, -EINVAL, "image header: L1 table of %u entries is too small for %" PRIu64 " bytes: the file is damaged",
			       header->l1_count, header->size_bytes);
	if ((uint64_t)header->refcount_clusters << header->cluster_bits > REFCOUNT_TABLE_BYTES_MAX)
		return err_set(err, -EINVAL, "image header: refcount table of %u clusters is too large: the file is damaged",
			       header->refcount_clusters);
	if (header->snapshot_count > SNAPSHOTS_MAX)
		return err_set(err, -EINVAL, "image header: %u snapshots are too many: the file is damaged", header->snapshot_count);
	return 0;
}

static int read_backing(int fd, const unsigned char *bytes, struct qcow2_header *header, struct err *err)
{
	uint64_t offset = get64(bytes + 8);
	uint32_t length = get32(bytes + 16);

	if (offset == 0)
		return 0;
	if (length > QCOW2_BACKING_MAX || offset >= UINT64_C(1) << header->cluster_bits)
		return err_set(err, -EINVAL, "image header: backing file name of %u bytes at %" PRIu64 ": the file is damaged",
			       length, offset);
	return read_exactly(fd, header->backing, length, offset, "backing file name", err);
}

static int read_version_3(int fd, struct qcow2_header *header, struct err *err)
{
	unsigned char bytes[HEADER_V3_BYTES];
	uint32_t order, length;
	int r = read_exactly(fd, bytes, sizeof(bytes), 0, "header", err);

	if (r < 0)
		return r;
	header->incompatible = get64(bytes + 72);
	order = get32(bytes + 96);
	length = get32(bytes + 100);
	if (order > REFCOUNT_ORDER_MAX)
		return err_set(err, -EINVAL, "image header: refcount_order %u is out of range (0 to %d): the file is damaged", order,
			       REFCOUNT_ORDER_MAX);
	if (length < HEADER_V3_BYTES || length % 8 || length > UINT32_C(1) << CLUSTER_BITS_MIN)
		return err_set(err, -EINVAL, "image header: length %u is wrong: the file is damaged", length);
	return 0;
}

int qcow2_read_header(int fd, struct qcow2_header *ret_header, struct err *err)
{
	unsigned char bytes[HEADER_V2_BYTES];
	auto_free struct qcow2_header *header = alloc(sizeof(*header));
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "stat the image: %m");
	header->file_bytes = (uint64_t)st.st_size;
	if ((r = read_exactly(fd, bytes, sizeof(bytes), 0, "header", err)) < 0)
		return r;
	if (memcmp(bytes, magic, sizeof(magic)) != 0)
		return err_set(err, -EINVAL, "file is not a qcow2 image: name its real format (raw) or convert it with qemu-img");
	header->version = get32(bytes + 4);
	if (header->version != 2 && header->version != 3)
		return err_set(err, -EINVAL, "image is qcow2 version %u, only 2 and 3 are known: convert it with qemu-img", header->version);
	header->cluster_bits = get32(bytes + 20);
	header->size_bytes = get64(bytes + 24);
	header->crypt_method = get32(bytes + 32);
	header->l1_count = get32(bytes + 36);
	header->l1_offset = get64(bytes + 40);
	header->refcount_offset = get64(bytes + 48);
	header->refcount_clusters = get32(bytes + 56);
	header->snapshot_count = get32(bytes + 60);
	header->snapshots_offset = get64(bytes + 64);
	if (header->version == 3 && (r = read_version_3(fd, header, err)) < 0)
		return r;
	if ((r = check_header(header, err)) < 0 || (r = read_backing(fd, bytes, header, err)) < 0)
		return r;
	*ret_header = *header;
	return 0;
}

static int check_features(const struct qcow2_header *header, struct err *err)
{
	if (header->backing[0])
		return err_set(err, -EINVAL, "image has a backing file '%s': flatten it first with qemu-img convert",
			       shown(header->backing));
	if (header->crypt_method)
		return err_set(err, -EINVAL, "image is encrypted: decrypt it first with qemu-img convert");
	if (header->incompatible & FEATURE_DATA_FILE)
		return err_set(err, -EINVAL, "image keeps its data in another file: flatten it first with qemu-img convert");
	if (header->incompatible & FEATURE_CORRUPT)
		return err_set(err, -EINVAL, "image is marked as corrupt: repair it first with qemu-img check -r all");
	if (header->incompatible & ~(uint64_t)FEATURES_KNOWN)
		return err_set(err, -EINVAL, "image needs unknown qcow2 features (0x%" PRIx64 "): convert it with the program that made it",
			       header->incompatible & ~(uint64_t)FEATURES_KNOWN);
	return 0;
}

static int check_extent(const struct qcow2_header *header, const char *what, uint64_t offset, uint64_t size, struct err *err)
{
	uint64_t cluster = UINT64_C(1) << header->cluster_bits;

	if (size == 0)
		return 0;
	if (offset % cluster || offset == 0)
		return err_set(err, -EINVAL, "image header: %s at %" PRIu64 " does not begin at a cluster: the file is damaged", what, offset);
	if (offset > header->file_bytes || size > header->file_bytes - offset)
		return err_set(err, -EINVAL, "image is truncated: its %s ends beyond the file's %" PRIu64 " bytes: copy it again",
			       what, header->file_bytes);
	return 0;
}

static int check_l1(int fd, const struct qcow2_header *header, struct err *err)
{
	uint64_t entries[READ_AT_ONCE / sizeof(uint64_t)];

	for (uint32_t i = 0; i < header->l1_count; i += (uint32_t)ARRAY_COUNT(entries)) {
		uint32_t count = header->l1_count - i;
		int r;

		if (count > ARRAY_COUNT(entries))
			count = ARRAY_COUNT(entries);
		r = read_exactly(fd, entries, count * sizeof(entries[0]), header->l1_offset + i * sizeof(entries[0]), "L1 table", err);
		if (r < 0)
			return r;
		for (uint32_t j = 0; j < count; j++) {
			uint64_t offset = be64toh(entries[j]) & L1_OFFSET_MASK;

			r = offset ? check_extent(header, "L2 table", offset, UINT64_C(1) << header->cluster_bits, err) : 0;
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int qcow2_check_foreign(int fd, const struct qcow2_header *header, struct err *err)
{
	int r;

	if ((r = check_features(header, err)) < 0 || (r = volume_check_size(header->size_bytes, err)) < 0 ||
	    (r = check_extent(header, "L1 table", header->l1_offset, header->l1_count * sizeof(uint64_t), err)) < 0 ||
	    (r = check_extent(header, "refcount table", header->refcount_offset,
			      (uint64_t)header->refcount_clusters << header->cluster_bits, err)) < 0 ||
	    (r = check_extent(header, "snapshot table", header->snapshots_offset,
			      (uint64_t)header->snapshot_count * SNAPSHOT_ENTRY_BYTES, err)) < 0)
		return r;
	return check_l1(fd, header, err);
}

/* The disk's size stands in the extra data, but not in that of very old images: then it is what it is now. */
static int read_extra(int fd, uint64_t offset, uint32_t size, uint64_t *size_bytes, struct err *err)
{
	unsigned char extra[16];
	int r;

	if (size < sizeof(extra))
		return 0;
	if ((r = read_exactly(fd, extra, sizeof(extra), offset, "snapshot table", err)) < 0)
		return r;
	*size_bytes = get64(extra + 8);
	return 0;
}

/* Reads one entry at '*offset', moves behind it; its name is the caller's. */
static int read_snapshot(int fd, uint64_t *offset, char **ret_name, struct qcow2_snapshot *snapshot, struct err *err)
{
	unsigned char entry[SNAPSHOT_ENTRY_BYTES];
	uint16_t id_length, name_length;
	uint32_t extra;
	int r = read_exactly(fd, entry, sizeof(entry), *offset, "snapshot table", err);

	if (r < 0)
		return r;
	id_length = (uint16_t)(entry[12] << 8 | entry[13]);
	name_length = (uint16_t)(entry[14] << 8 | entry[15]);
	extra = get32(entry + 36);
	if (extra > SNAPSHOT_EXTRA_MAX || name_length > SNAPSHOT_NAME_MAX)
		return err_set(err, -EINVAL, "image's snapshot table has a name of %u and %u extra bytes: the file is damaged",
			       name_length, extra);

	auto_free char *name = alloc((size_t)name_length + 1);
	r = read_exactly(fd, name, name_length, *offset + sizeof(entry) + extra + id_length, "snapshot table", err);
	if (r < 0)
		return r;
	snapshot->l1_offset = get64(entry);
	snapshot->l1_count = get32(entry + 8);
	if ((r = read_extra(fd, *offset + sizeof(entry), extra, &snapshot->size_bytes, err)) < 0)
		return r;
	*offset += (sizeof(entry) + extra + id_length + name_length + 7) & ~UINT64_C(7);
	*ret_name = take(name);
	return 0;
}

int qcow2_read_snapshots(int fd, const struct qcow2_header *header, struct volume_info *info, struct err *err)
{
	uint64_t offset = header->snapshots_offset;

	for (uint32_t i = 0; i < header->snapshot_count; i++) {
		struct qcow2_snapshot snapshot;
		char *name = NULL;
		int r = read_snapshot(fd, &offset, &name, &snapshot, err);

		if (r < 0)
			return r;
		*vec_push(&info->snapshots) = name;
	}
	return 0;
}

int qcow2_find_snapshot(int fd, const struct qcow2_header *header, const char *name, struct qcow2_snapshot *ret_snapshot,
			struct err *err)
{
	uint64_t offset = header->snapshots_offset;

	for (uint32_t i = 0; i < header->snapshot_count; i++) {
		struct qcow2_snapshot snapshot = { .size_bytes = header->size_bytes };
		auto_free char *found = NULL;
		int r = read_snapshot(fd, &offset, &found, &snapshot, err);

		if (r < 0)
			return r;
		if (text_equal(found, name)) {
			*ret_snapshot = snapshot;
			return 0;
		}
	}
	return err_set(err, -ENOENT, "snapshot '%s' does not exist", shown(name));
}
