#include "driver/volume/file/frames.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "driver/volume/file/crc32c.h"

enum {
	FRAME_BYTES = 8,
	HEADER_MAX = 1024,		/* Of its JSON. */
	END_BYTES = 12,
	BUFFERED_MAX = 64 << 10,
	CANCEL_POLL_MS = 100,
};

static const char magic[16] = "strata-volume\n\0\1";

void frames_pack64(unsigned char *bytes, uint64_t value)
{
	value = htole64(value);
	memcpy(bytes, &value, sizeof(value));
}

uint64_t frames_unpack64(const unsigned char *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

void frames_pack32(unsigned char *bytes, uint32_t value)
{
	value = htole32(value);
	memcpy(bytes, &value, sizeof(value));
}

uint32_t frames_unpack32(const unsigned char *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

/* Waits until 'fd' can be read or written, looking at whether it is still wanted. */
static int wait_for(int fd, short events, const struct volume_progress *progress, struct err *err)
{
	for (;;) {
		struct pollfd poll_fd = { .fd = fd, .events = events };

		if (volume_is_cancelled(progress))
			return err_set(err, -ECANCELED, "cancelled");
		if (poll(&poll_fd, 1, CANCEL_POLL_MS) > 0)
			return 0;
	}
}

/* Writing */

static int write_all(struct frames_writer *writer, struct iovec *pieces, int count, struct err *err)
{
	while (count) {
		ssize_t n = -1;
		int r = wait_for(writer->fd, POLLOUT, writer->progress, err);

		if (r < 0)
			return r;
		n = writev(writer->fd, pieces, count);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_set(err, -errno, "write the stream: %m");
		writer->bytes += (uint64_t)n;
		while (count && (size_t)n >= pieces->iov_len) {
			n -= (ssize_t)pieces->iov_len;
			pieces++;
			count--;
		}
		if (count) {
			pieces->iov_base = (char *)pieces->iov_base + n;
			pieces->iov_len -= (size_t)n;
		}
	}
	return 0;
}

static int flush(struct frames_writer *writer, const void *body, size_t body_size, struct err *err)
{
	struct iovec pieces[] = {
		{ .iov_base = writer->buffer.data, .iov_len = writer->buffer.size },
		{ .iov_base = (void *)body, .iov_len = body_size },
	};
	int r;

	writer->crc = crc32c(writer->crc, writer->buffer.data, writer->buffer.size);
	writer->crc = crc32c(writer->crc, body, body_size);
	r = write_all(writer, pieces, 2, err);
	str_clear(&writer->buffer);
	return r;
}

int frames_put(struct frames_writer *writer, enum frames_type type, const void *head, size_t head_size, const void *body,
	       size_t body_size, struct err *err)
{
	unsigned char frame[FRAME_BYTES];

	assert(head_size + body_size <= FRAMES_PAYLOAD_MAX);
	frames_pack32(frame, type);
	frames_pack32(frame + 4, (uint32_t)(head_size + body_size));
	str_append_bytes(&writer->buffer, frame, sizeof(frame));
	if (head_size)
		str_append_bytes(&writer->buffer, head, head_size);
	writer->records++;
	if (body_size >= BUFFERED_MAX / 4)
		return flush(writer, body, body_size, err);
	if (body_size)
		str_append_bytes(&writer->buffer, body, body_size);
	return writer->buffer.size < BUFFERED_MAX ? 0 : flush(writer, NULL, 0, err);
}

int frames_begin(struct frames_writer *writer, int fd, const struct frames_header *header, const struct volume_progress *progress,
		 struct err *err)
{
	auto_str struct str text = { 0 };
	struct json_writer json = { .out = &text };

	*writer = (struct frames_writer){ .fd = fd, .progress = progress };
	json_write_object(&json, NULL);
	json_write_string(&json, "kind", header->kind);
	json_write_uint(&json, "size", header->size_bytes);
	json_write_string(&json, "snapshot", header->snapshot);
	if (header->base[0])
		json_write_string(&json, "base", header->base);
	json_write_end_object(&json);
	str_append_bytes(&writer->buffer, magic, sizeof(magic));
	return frames_put(writer, FRAMES_HEADER, text.data, text.size, NULL, 0, err);
}

int frames_end(struct frames_writer *writer, struct err *err)
{
	unsigned char end[END_BYTES];
	int r = flush(writer, NULL, 0, err);

	if (r < 0)
		return r;
	frames_pack64(end, writer->records);
	frames_pack32(end + 8, writer->crc);
	if ((r = frames_put(writer, FRAMES_END, end, sizeof(end), NULL, 0, err)) < 0)
		return r;
	return flush(writer, NULL, 0, err);
}

void frames_writer_done(struct frames_writer *writer)
{
	str_done(&writer->buffer);
}

/* Reading */

static int read_exactly(struct frames_reader *reader, void *buffer, size_t size, struct err *err)
{
	size_t done = 0;

	while (done < size) {
		int r = wait_for(reader->fd, POLLIN, reader->progress, err);
		ssize_t n;

		if (r < 0)
			return r;
		n = read(reader->fd, (char *)buffer + done, size - done);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_set(err, -errno, "read the stream: %m");
		if (n == 0)
			return err_set(err, -EINVAL, "the stream is cut off after %llu bytes: send or copy it again",
				       (unsigned long long)(reader->bytes + done));
		done += (size_t)n;
	}
	reader->bytes += size;
	return 0;
}

int frames_damaged(const struct frames_reader *reader, struct err *err)
{
	return err_set(err, -EINVAL, "the stream is damaged before byte %llu: send or copy it again", (unsigned long long)reader->bytes);
}

static int check_end(struct frames_reader *reader, struct err *err)
{
	if (reader->size != END_BYTES || frames_unpack64(reader->payload) != reader->records ||
	    frames_unpack32(reader->payload + 8) != reader->crc)
		return frames_damaged(reader, err);
	reader->has_ended = true;
	return 0;
}

int frames_next(struct frames_reader *reader, struct err *err)
{
	unsigned char frame[FRAME_BYTES];
	int r;

	assert(!reader->has_ended);
	if ((r = read_exactly(reader, frame, sizeof(frame), err)) < 0)
		return r;
	reader->type = frames_unpack32(frame);
	reader->size = frames_unpack32(frame + 4);
	if (reader->size > FRAMES_PAYLOAD_MAX || (reader->records == 0) != (reader->type == FRAMES_HEADER))
		return frames_damaged(reader, err);
	if ((r = read_exactly(reader, reader->payload, reader->size, err)) < 0)
		return r;
	if (reader->type == FRAMES_END)
		return check_end(reader, err);
	reader->records++;
	reader->crc = crc32c(crc32c(reader->crc, frame, sizeof(frame)), reader->payload, reader->size);
	volume_report(reader->progress, reader->bytes, 0);
	return 0;
}

int frames_drain(struct frames_reader *reader, struct err *err)
{
	int r = 0;

	while (r == 0 && !reader->has_ended)
		r = frames_next(reader, err);
	return r;
}

static int copy_name(const struct json *header, const char *key, char name[VOLUME_NAME_LENGTH + 1], struct err *err)
{
	const char *text = json_string(json_get(header, key), "");
	int r = volume_check_name("snapshot", text, err);

	if (r == 0)
		strcpy(name, text);
	return r;
}

static int parse_header(const struct json *json, struct frames_header *header, struct err *err)
{
	const char *kind = json_string(json_get(json, "kind"), "");
	int r;

	if (strlen(kind) >= FRAMES_KIND_SIZE)
		return err_set(err, -EINVAL, "the stream is of kind '%s', which nobody knows", shown(kind));
	strcpy(header->kind, kind);
	header->size_bytes = json_uint(json_get(json, "size"), UINT64_MAX);
	if (header->size_bytes > VOLUME_SIZE_MAX)
		return err_set(err, -EINVAL, "the stream's volume has no size, or one beyond 64 TiB");
	if ((r = copy_name(json, "snapshot", header->snapshot, err)) < 0)
		return r;
	return json_get(json, "base") ? copy_name(json, "base", header->base, err) : 0;
}

int frames_open(struct frames_reader *reader, int fd, const struct volume_progress *progress, struct frames_header *ret_header,
		struct err *err)
{
	struct frames_header header = { 0 };
	auto_json struct json *json = NULL;
	char start[sizeof(magic)];
	int r;

	*reader = (struct frames_reader){ .fd = fd, .progress = progress };
	reader->payload = alloc(FRAMES_PAYLOAD_MAX);
	if ((r = read_exactly(reader, start, sizeof(start), err)) < 0)
		return r;
	if (memcmp(start, magic, sizeof(magic)) != 0)
		return err_set(err, -EINVAL, "this is no stream of a volume, or one of a later version: give what send wrote");
	reader->crc = crc32c(0, start, sizeof(start));
	if ((r = frames_next(reader, err)) < 0)
		return r;
	if (reader->size > HEADER_MAX)
		return frames_damaged(reader, err);
	if ((r = json_parse((char *)reader->payload, reader->size, &json, err)) < 0)
		return err_prefix(err, "the stream's header");
	if ((r = parse_header(json, &header, err)) < 0)
		return r;
	*ret_header = header;
	return 0;
}

void frames_reader_done(struct frames_reader *reader)
{
	free(reader->payload);
	reader->payload = NULL;
}
