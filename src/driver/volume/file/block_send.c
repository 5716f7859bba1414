/*
 * Sending a snapshot of a qcow2 image: what the guest saw, cluster by cluster, read straight from the file.
 *
 * Two snapshots of one image refer to the same cluster exactly where nothing was written between them,
 * since QEMU writes elsewhere whatever a snapshot refers to. So what changed is told by the tables
 * alone, and only that is read. A machine may be running meanwhile: what a snapshot refers to stays as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/volume/file/block.h"
#include "driver/volume/file/qcow2_map.h"

enum { RUN_CLUSTERS = FRAMES_DATA_MAX / QCOW2_CLUSTER, RUNS_MAX = 64 };

struct run { int fd; uint64_t cluster, offset, count; };	/* Neighbours, on the disk and in the file. */

struct sending {
	struct frames_writer writer;
	struct qcow2_map layers[VOLUME_LAYERS_MAX];	/* The snapshot, then the parents as they are. */
	size_t layer_count;
	struct qcow2_map base;
	bool has_base;
	struct run runs[RUNS_MAX];	/* To be read together, so that the disk has much to do at once. */
	size_t run_count;
	uint64_t zero_cluster, zero_count;
	unsigned char *buffer;
};

static void sending_done(struct sending *sending)
{
	for (size_t i = 0; i < sending->layer_count; i++)
		qcow2_map_close(&sending->layers[i]);
	qcow2_map_close(&sending->base);
	frames_writer_done(&sending->writer);
	free(sending->buffer);
}
#define auto_sending __attribute__((cleanup(sending_done)))

/* A file may end within its last cluster: the rest is zero. */
static int read_run(const struct run *run, size_t size, unsigned char *buffer, struct err *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(run->fd, buffer + done, size - done, (off_t)(run->offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "read the volume: %m");
		if (n == 0)
			break;
		done += (size_t)n;
	}
	memset(buffer + done, 0, size - done);
	return 0;
}

static int send_run(struct sending *sending, const struct run *run, struct err *err)
{
	uint64_t offset = run->cluster * QCOW2_CLUSTER, left = sending->layers[0].size_bytes - offset;
	size_t size = run->count * QCOW2_CLUSTER < left ? run->count * QCOW2_CLUSTER : left;
	unsigned char head[8];
	int r = read_run(run, size, sending->buffer, err);

	if (r < 0)
		return r;
	volume_report(sending->writer.progress, offset, sending->layers[0].size_bytes);
	frames_pack64(head, offset);
	return frames_put(&sending->writer, FRAMES_DATA, head, sizeof(head), sending->buffer, size, err);
}

static int send_zeros(struct sending *sending, struct err *err)
{
	uint64_t offset = sending->zero_cluster * QCOW2_CLUSTER, left = sending->layers[0].size_bytes - offset;
	uint64_t length = sending->zero_count * QCOW2_CLUSTER;
	unsigned char head[16];

	if (sending->zero_count == 0)
		return 0;
	sending->zero_count = 0;
	frames_pack64(head, offset);
	frames_pack64(head + 8, length < left ? length : left);
	return frames_put(&sending->writer, FRAMES_ZERO, head, sizeof(head), NULL, 0, err);
}

static int send_runs(struct sending *sending, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < sending->run_count; i++)
		posix_fadvise(sending->runs[i].fd, (off_t)sending->runs[i].offset, (off_t)(sending->runs[i].count * QCOW2_CLUSTER),
			      POSIX_FADV_WILLNEED);
	for (size_t i = 0; i < sending->run_count && r == 0; i++)
		r = send_run(sending, &sending->runs[i], err);
	sending->run_count = 0;
	return r;
}

static int add_data(struct sending *sending, uint64_t cluster, int fd, uint64_t offset, struct err *err)
{
	struct run *last = sending->run_count ? &sending->runs[sending->run_count - 1] : NULL;
	int r;

	if (sending->zero_count && ((r = send_runs(sending, err)) < 0 || (r = send_zeros(sending, err)) < 0))
		return r;
	last = sending->run_count ? last : NULL;
	if (last && last->fd == fd && last->cluster + last->count == cluster && last->count < RUN_CLUSTERS &&
	    last->offset + last->count * QCOW2_CLUSTER == offset) {
		last->count++;
		return 0;
	}
	if (sending->run_count == RUNS_MAX && (r = send_runs(sending, err)) < 0)
		return r;
	sending->runs[sending->run_count++] = (struct run){ .fd = fd, .cluster = cluster, .offset = offset, .count = 1 };
	return 0;
}

/* Zeros need no mention in a whole stream. */
static int add_zero(struct sending *sending, uint64_t cluster, struct err *err)
{
	int r;

	if (!sending->has_base)
		return 0;
	if (sending->zero_count && sending->zero_cluster + sending->zero_count == cluster) {
		sending->zero_count++;
		return 0;
	}
	if ((r = send_runs(sending, err)) < 0 || (r = send_zeros(sending, err)) < 0)
		return r;
	sending->zero_cluster = cluster;
	sending->zero_count = 1;
	return 0;
}

/* What the guest sees in a cluster: of the first layer that has it. */
static int add_cluster(struct sending *sending, uint64_t cluster, struct err *err)
{
	for (size_t i = 0; i < sending->layer_count; i++) {
		enum qcow2_cluster_kind kind;
		uint64_t offset;
		int r = qcow2_map_find(&sending->layers[i], cluster, &kind, &offset, err);

		if (r < 0)
			return r;
		if (kind == QCOW2_DATA)
			return add_data(sending, cluster, sending->layers[i].fd, offset, err);
		if (kind == QCOW2_ZERO)
			break;
	}
	return add_zero(sending, cluster, err);
}

static int is_same(struct sending *sending, uint64_t cluster, bool *ret_is_same, struct err *err)
{
	enum qcow2_cluster_kind kind, base_kind;
	uint64_t offset, base_offset;
	int r;

	*ret_is_same = false;
	if (!sending->has_base)
		return 0;
	if ((r = qcow2_map_find(&sending->layers[0], cluster, &kind, &offset, err)) < 0 ||
	    (r = qcow2_map_find(&sending->base, cluster, &base_kind, &base_offset, err)) < 0)
		return r;
	*ret_is_same = kind == base_kind && offset == base_offset;
	return 0;
}

/* Nothing to be sent up to where the next L2 table begins. */
static bool is_plain(const struct sending *sending, uint64_t cluster)
{
	const struct qcow2_map none = { 0 };

	if (sending->has_base)
		return qcow2_map_shares(&sending->layers[0], &sending->base, cluster);
	for (size_t i = 0; i < sending->layer_count; i++)
		if (!qcow2_map_shares(&sending->layers[i], &none, cluster))
			return false;
	return true;
}

static int send_clusters(struct sending *sending, struct err *err)
{
	uint64_t count = (sending->layers[0].size_bytes + QCOW2_CLUSTER - 1) / QCOW2_CLUSTER;
	bool same;
	int r = 0;

	for (uint64_t cluster = 0; cluster < count && r == 0; cluster++) {
		if (cluster % QCOW2_L2_COUNT == 0 && is_plain(sending, cluster)) {
			cluster += QCOW2_L2_COUNT - 1;
			continue;
		}
		r = is_same(sending, cluster, &same, err);
		if (r == 0 && !same)
			r = add_cluster(sending, cluster, err);
	}
	if (r == 0)
		r = send_runs(sending, err);
	return r < 0 ? r : send_zeros(sending, err);
}

static int open_layers(struct sending *sending, const struct chain *chain, const char *snapshot, const char *base, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < chain->count && r == 0; i++) {
		r = qcow2_map_open(chain->fds[i], i ? NULL : snapshot, &sending->layers[i], err);
		if (r == 0)
			sending->layer_count++;
	}
	if (r < 0 || !base)
		return r;
	sending->has_base = true;
	return qcow2_map_open(chain->fds[0], base, &sending->base, err);
}

int block_send(struct place *place, const char *volume, const char *snapshot, const char *base, int to_fd,
	       const struct volume_progress *progress, struct err *err)
{
	auto_sending struct sending sending = { 0 };
	auto_chain struct chain chain = { 0 };
	struct frames_header header = { .kind = BLOCK_STREAM_KIND };
	int r;

	if ((r = chain_open(place, volume, O_RDONLY, &chain, err)) < 0)
		return r;
	if ((r = open_layers(&sending, &chain, snapshot, base, err)) < 0)
		return err_prefix(err, "volume '%s'", volume);
	sending.buffer = alloc(FRAMES_DATA_MAX);
	header.size_bytes = sending.layers[0].size_bytes;
	strcpy(header.snapshot, snapshot);
	strcpy(header.base, base ? base : "");
	if ((r = frames_begin(&sending.writer, to_fd, &header, progress, err)) < 0 || (r = send_clusters(&sending, err)) < 0)
		return r;
	return frames_end(&sending.writer, err);
}
