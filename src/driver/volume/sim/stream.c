/* Streams: the frame of the real ones with one record, the number that is the content. Changes are no smaller. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/frames.h"
#include "driver/volume/sim/world.h"

#define SIM_STREAM_KIND "sim"

static int read_snapshot(struct sim_driver *driver, const char *name, const char *snapshot, const char *base,
			 struct frames_header *header, uint64_t *ret_content, struct err *err)
{
	struct sim_snapshot *taken, *base_taken;
	struct sim_volume *volume;
	int r;

	if ((r = sim_find_volume(driver, name, &volume, err)) < 0 || (r = sim_need_snapshot(volume, name, snapshot, &taken, err)) < 0 ||
	    (base && (r = sim_need_snapshot(volume, name, base, &base_taken, err)) < 0) ||
	    (r = fault_step(driver->fault, "send volume", err)) < 0)
		return r;
	snprintf(header->kind, sizeof(header->kind), SIM_STREAM_KIND "%d", volume->kind);
	header->size_bytes = taken->size_bytes;
	*ret_content = taken->content;
	return 0;
}

int sim_send(struct volume_driver *base, const char *name, const char *snapshot, const char *from, int to_fd,
		    const struct volume_progress *progress, struct err *err)
{
	struct sim_driver *driver = sim_driver_of(base);
	auto_frames_writer struct frames_writer writer = { 0 };
	struct frames_header header = { 0 };
	unsigned char bytes[8];
	uint64_t content = 0;
	int r;

	if ((r = volume_check_name("volume", name, err)) < 0 || (r = volume_check_name("snapshot", snapshot, err)) < 0 ||
	    (from && (r = volume_check_name("snapshot", from, err)) < 0))
		return r;
	strcpy(header.snapshot, snapshot);
	strcpy(header.base, from ? from : "");
	pthread_mutex_lock(&driver->world->lock);
	r = read_snapshot(driver, name, snapshot, from, &header, &content, err);
	pthread_mutex_unlock(&driver->world->lock);
	frames_pack64(bytes, content);
	if (r < 0 || (r = frames_begin(&writer, to_fd, &header, progress, err)) < 0 ||
	    (r = frames_put(&writer, FRAMES_RAW, bytes, sizeof(bytes), NULL, 0, err)) < 0)
		return r;
	return frames_end(&writer, err);
}

/* What a stream says, read to its end. */
struct received { struct frames_header header; enum volume_content kind; uint64_t content; };

static int read_stream(int fd, const struct volume_progress *progress, struct received *received, struct err *err)
{
	auto_frames_reader struct frames_reader reader = { 0 };
	int r;

	if ((r = frames_open(&reader, fd, progress, &received->header, err)) < 0)
		return r;
	if (text_equal(received->header.kind, SIM_STREAM_KIND "0"))
		received->kind = VOLUME_BLOCK;
	else if (text_equal(received->header.kind, SIM_STREAM_KIND "1"))
		received->kind = VOLUME_TREE;
	else
		return err_set(err, -EINVAL, "the stream is of kind '%s', not of a simulated volume", shown(received->header.kind));
	if ((r = frames_next(&reader, err)) < 0)
		return r;
	if (reader.has_ended || reader.type != FRAMES_RAW || reader.size != 8)
		return frames_damaged(&reader, err);
	received->content = frames_unpack64(reader.payload);
	if ((r = frames_next(&reader, err)) < 0)
		return r;
	return reader.has_ended ? 0 : frames_damaged(&reader, err);
}

static int receive_whole(struct sim_driver *driver, const char *name, const struct received *received, struct err *err)
{
	struct sim_volume *volume = alloc(sizeof(*volume));

	volume->kind = received->kind;
	volume->size_bytes = received->header.size_bytes;
	volume->content = received->content;
	sim_volume_add(volume, received->header.snapshot);
	return sim_build(driver, name, volume, "receive volume", err);
}

static int receive_locked(struct sim_driver *driver, const char *name, const struct received *received, struct err *err)
{
	const struct frames_header *header = &received->header;
	struct sim_snapshot *taken, *base;
	struct sim_volume *volume;
	int r;

	if (!header->base[0] && !sim_has_volume(driver, name))
		return receive_whole(driver, name, received, err);
	if ((r = sim_find_volume(driver, name, &volume, err)) < 0)
		return r;
	if (volume->kind != received->kind)
		return err_set(err, -EINVAL, "the stream is of another kind of volume than '%s': choose another name", name);
	taken = sim_volume_find(volume, header->snapshot);
	if (!header->base[0])
		return taken ? 0 : err_set(err, -EEXIST, "volume '%s' exists already: remove it first or choose another name", name);
	if ((!taken && (r = sim_need_snapshot(volume, name, header->base, &base, err)) < 0) ||
	    (r = fault_step(driver->fault, "receive volume", err)) < 0)
		return r;
	volume->content = taken ? taken->content : received->content;
	volume->size_bytes = taken ? taken->size_bytes : header->size_bytes;
	if (!taken)
		sim_volume_add(volume, header->snapshot);
	return fault_step(driver->fault, "receive volume", err);
}

int sim_receive(struct volume_driver *base, const char *name, int from_fd, const struct volume_progress *progress,
		       struct err *err)
{
	struct sim_driver *driver = sim_driver_of(base);
	struct received received = { 0 };
	int r;

	if ((r = volume_check_name("volume", name, err)) < 0 || (r = read_stream(from_fd, progress, &received, err)) < 0)
		return r;
	pthread_mutex_lock(&driver->world->lock);
	r = receive_locked(driver, name, &received, err);
	pthread_mutex_unlock(&driver->world->lock);
	return r;
}
