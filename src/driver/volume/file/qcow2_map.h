/*
 * qcow2_map.h - where the clusters of a qcow2 image lie: the L1 and L2 tables of its present state or of a snapshot.
 *
 * Reads only; as suspicious as qcow2.h. The tables of a snapshot are stable while a machine writes to
 * the image, but for the bits that say how often something is referred to, which are left out here.
 *
 * Errors:  -EINVAL, -ENOENT no such snapshot, -EOPNOTSUPP (other clusters than 64 KiB, compressed or subdivided ones).
 * Threads: one at a time per map.
 */
#ifndef VOLUME_FILE_QCOW2_MAP_H
#define VOLUME_FILE_QCOW2_MAP_H

#include "driver/volume/file/qcow2.h"

enum {
	QCOW2_CLUSTER_BITS = 16,	/* What qemu-img makes, and all that is read and written here. */
	QCOW2_CLUSTER = 1 << QCOW2_CLUSTER_BITS,
	QCOW2_L2_COUNT = QCOW2_CLUSTER / 8,
};

enum qcow2_cluster_kind { QCOW2_ABSENT, QCOW2_ZERO, QCOW2_DATA };

struct qcow2_map {
	int fd;				/* Borrowed. */
	uint64_t size_bytes;		/* In that state, as the guest sees it. */
	uint64_t file_bytes;
	uint64_t l1_count;
	uint64_t *l1;			/* Offsets of L2 tables, 0: none. */
	uint64_t l2_offset;		/* Of the one in 'l2'; 0: none yet. */
	uint64_t *l2;
};

/* 'snapshot' null: the present state, which must not be changing. */
int qcow2_map_open(int fd, const char *snapshot, struct qcow2_map *map, struct err *err);
void qcow2_map_close(struct qcow2_map *map);
#define auto_qcow2_map __attribute__((cleanup(qcow2_map_close)))

/* Cluster number 'cluster': its kind and, of data, its place in the file. Beyond the end it is absent. */
int qcow2_map_find(struct qcow2_map *map, uint64_t cluster, enum qcow2_cluster_kind *ret_kind, uint64_t *ret_offset, struct err *err);
/* Both maps have the same L2 table for this cluster and its neighbours (of one file: nothing differs there). */
bool qcow2_map_shares(const struct qcow2_map *a, const struct qcow2_map *b, uint64_t cluster);

#endif
