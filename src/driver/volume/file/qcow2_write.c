/*
 * The file: cluster 0 is the header's; then data and L2 tables as they come; at the end the L1 table, the
 * refcount blocks and their table. Everything is referred to once, so the refcounts are known then.
 */
#include "driver/volume/file/qcow2_write.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

enum {
	REFCOUNTS_PER_BLOCK = QCOW2_CLUSTER / 2,	/* 16 bits each. */
	HEADER_BYTES = 104,
};

#define COPIED (UINT64_C(1) << 63)
#define L2_NONE UINT64_MAX

static uint64_t clusters_of(uint64_t bytes)
{
	return (bytes + QCOW2_CLUSTER - 1) / QCOW2_CLUSTER;
}

void qcow2_write_begin(struct qcow2_writer *writer, int fd, uint64_t size_bytes)
{
	*writer = (struct qcow2_writer){ .fd = fd, .size_bytes = size_bytes, .next = QCOW2_CLUSTER, .l2_index = L2_NONE };
	writer->l1_count = (clusters_of(size_bytes) + QCOW2_L2_COUNT - 1) / QCOW2_L2_COUNT;
	writer->l1 = alloc((writer->l1_count + 1) * sizeof(*writer->l1));
	writer->l2 = alloc(QCOW2_CLUSTER);
}

/* Writes at the end, whole clusters. */
static int append(struct qcow2_writer *writer, const void *bytes, size_t size, struct err *err)
{
	int r = file_write_at(writer->fd, bytes, size, writer->next, err);

	if (r == 0)
		writer->next += clusters_of(size) * QCOW2_CLUSTER;
	return r;
}

static int finish_l2(struct qcow2_writer *writer, struct err *err)
{
	uint64_t offset = writer->next;
	int r;

	if (writer->l2_index == L2_NONE)
		return 0;
	if ((r = append(writer, writer->l2, QCOW2_CLUSTER, err)) < 0)
		return r;
	writer->l1[writer->l2_index] = htobe64(offset | COPIED);
	writer->l2_index = L2_NONE;
	return 0;
}

static int set_entry(struct qcow2_writer *writer, uint64_t cluster, uint64_t entry, struct err *err)
{
	uint64_t index = cluster / QCOW2_L2_COUNT;
	int r;

	assert(index < writer->l1_count && !writer->l1[index]);
	if (index != writer->l2_index) {
		if ((r = finish_l2(writer, err)) < 0)
			return r;
		memset(writer->l2, 0, QCOW2_CLUSTER);
		writer->l2_index = index;
	}
	writer->l2[cluster % QCOW2_L2_COUNT] = htobe64(entry);
	return 0;
}

int qcow2_write_data(struct qcow2_writer *writer, uint64_t cluster, const void *bytes, size_t size, struct err *err)
{
	uint64_t count = clusters_of(size), offset;
	int r = 0;

	/* The first entry may have to write the table before it: only then is known where the data goes. */
	if (cluster / QCOW2_L2_COUNT != writer->l2_index && (r = finish_l2(writer, err)) < 0)
		return r;
	offset = writer->next;
	if ((r = append(writer, bytes, size, err)) < 0)
		return r;
	for (uint64_t i = 0; i < count && r == 0; i++)
		r = set_entry(writer, cluster + i, (offset + i * QCOW2_CLUSTER) | COPIED, err);
	return r;
}

int qcow2_write_zeros(struct qcow2_writer *writer, uint64_t cluster, uint64_t count, struct err *err)
{
	int r = 0;

	for (uint64_t i = 0; i < count && r == 0; i++)
		r = set_entry(writer, cluster + i, 1, err);
	return r;
}

/* How many refcount blocks, and clusters for their table, a file with 'clusters' others needs. */
static void count_refcounts(uint64_t clusters, uint64_t *ret_blocks, uint64_t *ret_table)
{
	uint64_t blocks = 0, table = 0, total;

	do {
		total = clusters + blocks + table;
		blocks = (total + REFCOUNTS_PER_BLOCK - 1) / REFCOUNTS_PER_BLOCK;
		table = clusters_of(blocks * sizeof(uint64_t));
	} while (clusters + blocks + table != total);
	*ret_blocks = blocks;
	*ret_table = table;
}

static int write_refcounts(struct qcow2_writer *writer, uint64_t *ret_offset, uint64_t *ret_table, struct err *err)
{
	uint64_t clusters = writer->next / QCOW2_CLUSTER, blocks, table_clusters, total;
	auto_free uint64_t *table = NULL;
	auto_free uint16_t *block = alloc(QCOW2_CLUSTER);
	int r = 0;

	count_refcounts(clusters, &blocks, &table_clusters);
	total = clusters + blocks + table_clusters;
	table = alloc(table_clusters * QCOW2_CLUSTER);
	for (uint64_t i = 0; i < blocks && r == 0; i++) {
		for (uint64_t j = 0; j < REFCOUNTS_PER_BLOCK; j++)
			block[j] = i * REFCOUNTS_PER_BLOCK + j < total ? htobe16(1) : 0;
		table[i] = htobe64(writer->next);
		r = append(writer, block, QCOW2_CLUSTER, err);
	}
	*ret_offset = writer->next;
	*ret_table = table_clusters;
	return r < 0 ? r : append(writer, table, table_clusters * QCOW2_CLUSTER, err);
}

static void put32(unsigned char *at, uint32_t value)
{
	value = htobe32(value);
	memcpy(at, &value, sizeof(value));
}

static void put64(unsigned char *at, uint64_t value)
{
	value = htobe64(value);
	memcpy(at, &value, sizeof(value));
}

static int write_header(struct qcow2_writer *writer, uint64_t l1_offset, uint64_t refcount_offset, uint64_t refcount_clusters,
			const char *backing, struct err *err)
{
	/* The header, an end of extensions, the name of the backing file. */
	unsigned char bytes[HEADER_BYTES + 8 + QCOW2_BACKING_MAX + 1] = { 'Q', 'F', 'I', 0xfb };
	size_t length = strlen(backing);

	assert(length <= QCOW2_BACKING_MAX);
	put32(bytes + 4, 3);
	put64(bytes + 8, length ? HEADER_BYTES + 8 : 0);
	put32(bytes + 16, (uint32_t)length);
	put32(bytes + 20, QCOW2_CLUSTER_BITS);
	put64(bytes + 24, writer->size_bytes);
	put32(bytes + 36, (uint32_t)writer->l1_count);
	put64(bytes + 40, l1_offset);
	put64(bytes + 48, refcount_offset);
	put32(bytes + 56, (uint32_t)refcount_clusters);
	put32(bytes + 96, 4);
	put32(bytes + 100, HEADER_BYTES);
	memcpy(bytes + HEADER_BYTES + 8, backing, length);
	return file_write_at(writer->fd, bytes, sizeof(bytes), 0, err);
}

int qcow2_write_end(struct qcow2_writer *writer, const char *backing, struct err *err)
{
	uint64_t l1_offset, refcount_offset, refcount_clusters;
	int r = finish_l2(writer, err);

	l1_offset = writer->next;
	if (r < 0 || (r = append(writer, writer->l1, (writer->l1_count + 1) * sizeof(*writer->l1), err)) < 0 ||
	    (r = write_refcounts(writer, &refcount_offset, &refcount_clusters, err)) < 0 ||
	    (r = write_header(writer, l1_offset, refcount_offset, refcount_clusters, backing, err)) < 0)
		return r;
	/* The last clusters may have been written in part. */
	if (ftruncate(writer->fd, (off_t)writer->next) < 0)
		return err_set(err, -errno, "set the image's length: %m");
	return 0;
}

void qcow2_writer_done(struct qcow2_writer *writer)
{
	free(writer->l1);
	free(writer->l2);
	writer->l1 = writer->l2 = NULL;
}
