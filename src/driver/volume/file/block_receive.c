/*
 * Receiving a snapshot of a qcow2 image: what comes makes an image of our own writing. A whole one is the volume; changes
 * are committed by qemu-img into a copy of the volume, which then takes its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "driver/volume/file/block.h"
#include "driver/volume/file/qcow2_write.h"
#include "driver/volume/file/qemu_img.h"

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
