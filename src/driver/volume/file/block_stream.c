/*
 * Sending a snapshot of a qcow2 image: what the guest saw, cluster by cluster, read straight from the file.
 *
 * Two snapshots of one image refer to the same cluster exactly where nothing was written between them,
 * since QEMU writes elsewhere whatever a snapshot refers to. So what changed is told by the tables
 * alone, and only that is read. A machine may be running meanwhile: what a snapshot refers to stays as it is.
 *
 * Receiving makes an image of our own writing; changes are committed by qemu-img into a copy of the
 * volume, which then takes its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/block.h"
#include "driver/volume/file/qcow2_map.h"
#include "driver/volume/file/qcow2_write.h"
#include "driver/volume/file/qemu_img.h"

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

/* Receiving */

/* A record's clusters: they begin where one begins, end where one does or the disk, and rise. */
static bool is_range(const struct frames_header *header, uint64_t offset, uint64_t length, uint64_t at)
{
	return offset % QCOW2_CLUSTER == 0 && offset >= at && length > 0 && offset <= header->size_bytes &&
	       length <= header->size_bytes - offset && (length % QCOW2_CLUSTER == 0 || offset + length == header->size_bytes);
}

static int write_record(const struct frames_header *header, struct frames_reader *reader, struct qcow2_writer *writer, uint64_t *at,
			struct err *err)
{
	bool is_data = reader->type == FRAMES_DATA && reader->size > 8;
	bool is_zero = reader->type == FRAMES_ZERO && reader->size == 16 && header->base[0];
	uint64_t offset, length;

	if (!is_data && !is_zero)
		return frames_damaged(reader, err);
	offset = frames_unpack64(reader->payload);
	length = is_data ? reader->size - 8 : frames_unpack64(reader->payload + 8);
	if (!is_range(header, offset, length, *at))
		return frames_damaged(reader, err);
	*at = offset + length;
	if (is_data)
		return qcow2_write_data(writer, offset / QCOW2_CLUSTER, reader->payload + 8, length, err);
	return qcow2_write_zeros(writer, offset / QCOW2_CLUSTER, (length + QCOW2_CLUSTER - 1) / QCOW2_CLUSTER, err);
}

int block_stream_write(const struct frames_header *header, struct frames_reader *reader, int fd, struct err *err)
{
	auto_qcow2_writer struct qcow2_writer writer = { 0 };
	uint64_t at = 0;
	int r = volume_check_size(header->size_bytes, err);

	if (r < 0)
		return r;
	qcow2_write_begin(&writer, fd, header->size_bytes);
	while ((r = frames_next(reader, err)) == 0 && !reader->has_ended)
		if ((r = write_record(header, reader, &writer, &at, err)) < 0)
			break;
	if (r < 0)
		return place_add_remedy(r, err);
	return qcow2_write_end(&writer, "", err);
}

static int receive_whole(struct place *place, const char *volume, const struct frames_header *header, struct frames_reader *reader,
			 struct err *err)
{
	auto_building struct building building = { .fd = -1 };
	int r;

	if ((r = building_begin(place, volume, &building, err)) < 0 ||
	    (r = block_stream_write(header, reader, building.fd, err)) < 0 ||
	    (r = block_change_snapshot(place, building.fd, "-c", header->snapshot, err)) < 0)
		return r;
	return building_finish(&building, volume, "", err);
}

/* QEMU's own locks (raw_check_perm): a read lock on byte 101 says "I write". */
static int check_unused(const struct chain *chain, struct err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = 100, .l_len = 4 };

	if (fcntl(chain->fds[0], F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		return err_set(err, -EBUSY, "volume '%s' is in use by a running machine: stop it first", chain->names[0]);
	return 0;
}

static int set_size(const struct place *place, int fd, uint64_t size_bytes, struct err *err)
{
	const enum volume_format format = VOLUME_QCOW2;
	auto_free struct qcow2_header *present = alloc(sizeof(*present));
	auto_qemu_img struct qemu_img run;
	char size[24];
	int r;

	qemu_img_init(&run, place->user, place->group, "resize");
	r = qcow2_read_header(fd, present, err);
	if (r < 0 || present->size_bytes == size_bytes)
		return r;
	snprintf(size, sizeof(size), "%" PRIu64, size_bytes);
	qemu_img_add(&run, "-q");
	qemu_img_add(&run, "--shrink");
	qemu_img_add_chain(&run, &fd, &format, 1);
	qemu_img_add(&run, size);
	return qemu_img_run(&run, NULL, err);
}

/* Brings 'changes' into the file under it; below that are the parents of 'chain'. */
static int commit(const struct place *place, int changes_fd, int fd, const struct chain *chain, const struct frames_reader *reader,
		  struct err *err)
{
	int fds[VOLUME_LAYERS_MAX + 1] = { changes_fd, fd };
	enum volume_format formats[VOLUME_LAYERS_MAX + 1];
	auto_qemu_img struct qemu_img run;

	for (size_t i = 1; i < chain->count; i++)
		fds[i + 1] = chain->fds[i];
	for (size_t i = 0; i <= chain->count; i++)
		formats[i] = VOLUME_QCOW2;
	qemu_img_init(&run, place->user, place->group, "commit");
	run.progress = reader->progress;
	qemu_img_add(&run, "-p");
	qemu_img_add(&run, "-d");
	qemu_img_add_chain(&run, fds, formats, chain->count + 1);
	return qemu_img_run(&run, NULL, err);
}

static int receive_changes(struct place *place, const char *volume, const struct frames_header *header,
			   struct frames_reader *reader, struct err *err)
{
	const struct file_progress copying = { .is_cancelled = reader->progress ? reader->progress->is_cancelled : NULL };
	auto_building struct building changes = { .fd = -1 }, copy = { .fd = -1 };
	auto_chain struct chain chain = { 0 };
	int r;

	if ((r = chain_open(place, volume, O_RDWR, &chain, err)) < 0 ||
	    (r = block_need_snapshot(&chain, header->base, err)) < 0 || (r = check_unused(&chain, err)) < 0 ||
	    (r = building_begin(place, volume, &changes, err)) < 0 ||
	    (r = block_stream_write(header, reader, changes.fd, err)) < 0 ||
	    (r = building_begin(place, volume, &copy, err)) < 0 ||
	    (r = place_add_remedy(file_copy_sparse(chain.fds[0], copy.fd, &copying, err), err)) < 0 ||
	    (r = block_change_snapshot(place, copy.fd, "-a", header->base, err)) < 0 ||
	    (r = set_size(place, copy.fd, header->size_bytes, err)) < 0 ||
	    (r = commit(place, changes.fd, copy.fd, &chain, reader, err)) < 0 ||
	    (r = block_change_snapshot(place, copy.fd, "-c", header->snapshot, err)) < 0)
		return r;
	return building_finish(&copy, volume, chain.count > 1 ? chain.names[1] : "", err);
}

int block_receive(struct place *place, const char *volume, const struct frames_header *header, struct frames_reader *reader,
		  struct err *err)
{
	return header->base[0] ? receive_changes(place, volume, header, reader, err) :
				 receive_whole(place, volume, header, reader, err);
}
