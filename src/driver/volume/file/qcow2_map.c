#include "driver/volume/file/qcow2_map.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { TRIES_MAX = 10 };

#define OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define ENTRY_COMPRESSED (UINT64_C(1) << 62)
#define ENTRY_ZERO UINT64_C(1)

static int read_table(const struct qcow2_map *map, uint64_t offset, uint64_t count, uint64_t *table, struct err *err)
{
	size_t size = count * sizeof(*table), done = 0;

	if (offset % 512 || offset > map->file_bytes || size > map->file_bytes - offset)
		return err_set(err, -EINVAL, "image has a table at %" PRIu64 ", beyond its end: it is damaged, restore it from a backup", offset);
	while (done < size) {
		ssize_t n = pread(map->fd, (char *)table + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, n < 0 ? -errno : -EINVAL, "read the image's tables: %m");
		done += (size_t)n;
	}
	for (uint64_t i = 0; i < count; i++)
		table[i] = be64toh(table[i]);
	return 0;
}

static int load(struct qcow2_map *map, const struct qcow2_header *header, const struct qcow2_snapshot *state, struct err *err)
{
	int r;

	if (header->cluster_bits != QCOW2_CLUSTER_BITS || header->incompatible & ~UINT64_C(3))
		return err_set(err, -EOPNOTSUPP, "image has clusters of another size or kind than 64 KiB: clone the volume, which makes them so");
	map->size_bytes = state->size_bytes;
	map->l1_count = state->l1_count;
	if (map->size_bytes > VOLUME_SIZE_MAX || map->l1_count > (VOLUME_SIZE_MAX >> QCOW2_CLUSTER_BITS) / QCOW2_L2_COUNT)
		return err_set(err, -EINVAL, "image has a state of %" PRIu64 " bytes: it is damaged, restore it from a backup", map->size_bytes);
	map->l1 = alloc((map->l1_count + 1) * sizeof(*map->l1));
	map->l2 = alloc(QCOW2_CLUSTER);
	if ((r = read_table(map, state->l1_offset, map->l1_count, map->l1, err)) < 0)
		return r;
	for (uint64_t i = 0; i < map->l1_count; i++)
		map->l1[i] &= OFFSET_MASK;
	return 0;
}

/* QEMU may be writing a new table of snapshots and then give the old one's place away: read until it held still. */
static int find_state(int fd, const char *snapshot, struct qcow2_header *header, struct qcow2_snapshot *state, struct err *err)
{
	struct qcow2_header after;
	int r = 0;

	for (int i = 0; i < TRIES_MAX; i++) {
		if ((r = qcow2_read_header(fd, header, err)) < 0)
			return r;
		*state = (struct qcow2_snapshot){ header->l1_offset, header->l1_count, header->size_bytes };
		r = snapshot ? qcow2_find_snapshot(fd, header, snapshot, state, err) : 0;
		if (qcow2_read_header(fd, &after, err) == 0 && after.snapshots_offset == header->snapshots_offset &&
		    after.snapshot_count == header->snapshot_count)
			return r;
	}
	return r < 0 ? r : err_set(err, -EAGAIN, "the volume's snapshots keep changing: try again");
}

int qcow2_map_open(int fd, const char *snapshot, struct qcow2_map *map, struct err *err)
{
	auto_free struct qcow2_header *header = alloc(sizeof(*header));
	struct qcow2_snapshot state;
	int r;

	*map = (struct qcow2_map){ .fd = fd };
	if ((r = find_state(fd, snapshot, header, &state, err)) < 0)
		return r;
	map->file_bytes = header->file_bytes;
	r = load(map, header, &state, err);
	if (r < 0)
		qcow2_map_close(map);
	return r;
}

void qcow2_map_close(struct qcow2_map *map)
{
	free(map->l1);
	free(map->l2);
	map->l1 = map->l2 = NULL;
}

int qcow2_map_find(struct qcow2_map *map, uint64_t cluster, enum qcow2_cluster_kind *ret_kind, uint64_t *ret_offset, struct err *err)
{
	uint64_t index = cluster / QCOW2_L2_COUNT, entry, offset;
	int r;

	*ret_kind = QCOW2_ABSENT;
	*ret_offset = 0;
	if (index >= map->l1_count || !map->l1[index])
		return 0;
	if (map->l2_offset != map->l1[index]) {
		map->l2_offset = 0;
		if ((r = read_table(map, map->l1[index], QCOW2_L2_COUNT, map->l2, err)) < 0)
			return r;
		map->l2_offset = map->l1[index];
	}
	entry = map->l2[cluster % QCOW2_L2_COUNT];
	if (entry & ENTRY_COMPRESSED)
		return err_set(err, -EOPNOTSUPP, "image has compressed clusters: clone the volume, which unpacks them");
	offset = entry & OFFSET_MASK;
	if (entry & ENTRY_ZERO) {
		*ret_kind = QCOW2_ZERO;
	} else if (offset) {
		if (offset % QCOW2_CLUSTER)
			return err_set(err, -EINVAL, "image has a cluster at %" PRIu64 ": it is damaged, restore it from a backup", offset);
		*ret_kind = QCOW2_DATA;
		*ret_offset = offset;
	}
	return 0;
}

bool qcow2_map_shares(const struct qcow2_map *a, const struct qcow2_map *b, uint64_t cluster)
{
	uint64_t index = cluster / QCOW2_L2_COUNT;
	uint64_t in_a = index < a->l1_count ? a->l1[index] : 0, in_b = index < b->l1_count ? b->l1[index] : 0;

	return in_a == in_b;
}
