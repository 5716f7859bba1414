/*
 * A blob on its way to being files: one thread reads it, takes its checksum and uncompresses it; the caller's takes
 * the checksum of that and makes files meanwhile. Between them is a ring of chunks.
 *
 * libarchive finds out about the compression and does it ("raw" reads any stream). One compression at most:
 * it would unwrap twenty in each other, which no registry serves.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/limits.h"
#include "base/mem.h"

enum { CHUNK_BYTES = 256 << 10, CHUNKS = 8, INPUT_BYTES = 256 << 10 };

struct chunk {
	char *bytes;
	size_t size;
};

struct oci_stream {
	/* The reading thread's own. */
	int fd;
	struct archive *archive;
	char *input;
	struct sha256 compressed;
	bool is_plain;			/* Both checksums are one. */
	bool is_standard;
	enum oci_compression compression;
	uint64_t made;			/* Bytes of the tar stream. */
	struct err err;

	pthread_t thread;
	bool has_thread;
	uint64_t taken;			/* Atomic. */

	pthread_mutex_t mutex;		/* Guards the rest. */
	pthread_cond_t has_changed;
	struct chunk chunks[CHUNKS];
	size_t made_count, used_count;	/* Chunks ever; the ring holds the difference. */
	bool is_complete, must_stop;
	int result;			/* Of the reading thread. */

	/* The caller's own. */
	bool has_chunk;			/* It uses chunk 'used_count'. */
	struct sha256 plain;
};

/* The reading thread */

static la_ssize_t take_input(struct archive *archive, void *data, const void **ret_bytes)
{
	struct oci_stream *stream = data;
	ssize_t n;

	do
		n = read(stream->fd, stream->input, INPUT_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		archive_set_error(archive, errno, "read: %s", strerror(errno));
		return -1;
	}
	sha256_update(&stream->compressed, stream->input, (size_t)n);
	__atomic_add_fetch(&stream->taken, (uint64_t)n, __ATOMIC_RELAXED);
	*ret_bytes = stream->input;
	return n;
}

static int explain(struct oci_stream *stream)
{
	const char *reason = archive_error_string(stream->archive);

	return err_set(&stream->err, -EINVAL, "it is damaged or cut off (%s)", reason ? shown(reason) : "unexpected end");
}

static int find_compression(struct oci_stream *stream)
{
	int code = archive_filter_code(stream->archive, 0);

	if (archive_filter_count(stream->archive) > 2)
		return err_set(&stream->err, -EINVAL, "it is compressed more than once");
	stream->is_plain = code == ARCHIVE_FILTER_NONE;
	stream->compression = code == ARCHIVE_FILTER_GZIP ? OCI_GZIP : code == ARCHIVE_FILTER_ZSTD ? OCI_ZSTD : OCI_PLAIN;
	stream->is_standard = stream->is_plain || stream->compression != OCI_PLAIN;
	return 0;
}

static int open_archive(struct oci_stream *stream)
{
	struct archive_entry *entry;
	int r;

	stream->archive = archive_read_new();
	archive_read_support_format_raw(stream->archive);
	archive_read_support_format_empty(stream->archive);
	archive_read_support_filter_gzip(stream->archive);
	archive_read_support_filter_zstd(stream->archive);
	archive_read_support_filter_xz(stream->archive);
	if (archive_read_open(stream->archive, stream, NULL, take_input, NULL) != ARCHIVE_OK)
		return explain(stream);
	r = archive_read_next_header(stream->archive, &entry);
	if (r != ARCHIVE_OK && r != ARCHIVE_EOF)
		return explain(stream);
	if (find_compression(stream) < 0)
		return stream->err.code;
	return r == ARCHIVE_EOF ? 1 : 0;
}

/* A chunk to fill, or null when nobody wants any more. */
static struct chunk *wait_for_room(struct oci_stream *stream)
{
	struct chunk *chunk = NULL;

	pthread_mutex_lock(&stream->mutex);
	while (stream->made_count - stream->used_count == CHUNKS && !stream->must_stop)
		pthread_cond_wait(&stream->has_changed, &stream->mutex);
	if (!stream->must_stop)
		chunk = &stream->chunks[stream->made_count % CHUNKS];
	pthread_mutex_unlock(&stream->mutex);
	return chunk;
}

static void publish(struct oci_stream *stream)
{
	pthread_mutex_lock(&stream->mutex);
	stream->made_count++;
	pthread_cond_signal(&stream->has_changed);
	pthread_mutex_unlock(&stream->mutex);
}

static int pass_on(struct oci_stream *stream)
{
	for (;;) {
		struct chunk *chunk = wait_for_room(stream);
		la_ssize_t n;

		if (!chunk)
			return err_set(&stream->err, -ECANCELED, "cancelled");
		n = archive_read_data(stream->archive, chunk->bytes, CHUNK_BYTES);
		if (n < 0)
			return explain(stream);
		if (n == 0)
			return 0;
		stream->made += (uint64_t)n;
		if (stream->made > LIMIT_LAYER_BYTES)
			return err_set(&stream->err, -EFBIG, "it is larger than %llu bytes when uncompressed", LIMIT_LAYER_BYTES);
		chunk->size = (size_t)n;
		publish(stream);
	}
}

/* What follows the compressed stream is in the blob's checksum too. */
static int take_rest(struct oci_stream *stream)
{
	const void *bytes;
	la_ssize_t n;

	while ((n = take_input(stream->archive, stream, &bytes)) > 0)
		if (__atomic_load_n(&stream->must_stop, __ATOMIC_RELAXED))
			return err_set(&stream->err, -ECANCELED, "cancelled");
	return n < 0 ? explain(stream) : 0;
}

static void *run(void *data)
{
	struct oci_stream *stream = data;
	int r = open_archive(stream);

	if (r == 0)
		r = pass_on(stream);
	if (r >= 0)
		r = take_rest(stream);
	pthread_mutex_lock(&stream->mutex);
	stream->result = r;
	stream->is_complete = true;
	pthread_cond_signal(&stream->has_changed);
	pthread_mutex_unlock(&stream->mutex);
	return NULL;
}

/* The caller's side */

static int start(struct oci_stream *stream)
{
	sigset_t all, old;
	int r;

	/* Signals are for who waits for them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&stream->thread, NULL, run, stream);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	stream->has_thread = r == 0;
	return -r;
}

int oci_stream_open(int fd, struct oci_stream **ret_stream, struct err *err)
{
	auto_stream struct oci_stream *stream = alloc(sizeof(*stream));
	int r;

	stream->fd = fd;
	stream->input = alloc(INPUT_BYTES);
	for (size_t i = 0; i < CHUNKS; i++)
		stream->chunks[i].bytes = alloc(CHUNK_BYTES);
	sha256_init(&stream->compressed);
	sha256_init(&stream->plain);
	pthread_mutex_init(&stream->mutex, NULL);
	pthread_cond_init(&stream->has_changed, NULL);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, -errno, "rewind the layer: %m");
	if ((r = start(stream)) < 0)
		return err_set(err, r, "start a thread: %m");
	*ret_stream = take(stream);
	return 0;
}

ssize_t oci_stream_next(struct oci_stream *stream, const void **ret_bytes, struct err *err)
{
	struct chunk *chunk = NULL;
	int r = 0;

	pthread_mutex_lock(&stream->mutex);
	if (stream->has_chunk) {
		stream->used_count++;
		pthread_cond_signal(&stream->has_changed);
	}
	while (stream->used_count == stream->made_count && !stream->is_complete)
		pthread_cond_wait(&stream->has_changed, &stream->mutex);
	if (stream->used_count < stream->made_count)
		chunk = &stream->chunks[stream->used_count % CHUNKS];
	else
		r = stream->result;
	pthread_mutex_unlock(&stream->mutex);

	stream->has_chunk = chunk != NULL;
	if (!chunk)
		return r < 0 ? err_set(err, r, "%s", stream->err.msg) : 0;
	/* Here, because this thread has less to do than the other. */
	if (!stream->is_plain)
		sha256_update(&stream->plain, chunk->bytes, chunk->size);
	*ret_bytes = chunk->bytes;
	return (ssize_t)chunk->size;
}

static void join(struct oci_stream *stream)
{
	if (stream->has_thread)
		pthread_join(stream->thread, NULL);
	stream->has_thread = false;
}

int oci_stream_finish(struct oci_stream *stream, const struct oci_store *store, char ret_digest[SHA256_TEXT_SIZE],
		      char ret_diff_id[SHA256_TEXT_SIZE], struct err *err)
{
	const void *bytes;
	ssize_t n;

	while ((n = oci_stream_next(stream, &bytes, err)) > 0) {
		if (volume_is_cancelled(store->progress))
			return err_set(err, -ECANCELED, "cancelled");
		oci_report(store, oci_stream_taken(stream));
	}
	if (n < 0)
		return (int)n;
	join(stream);
	sha256_finish(&stream->compressed, ret_digest);
	if (stream->is_plain)
		memcpy(ret_diff_id, ret_digest, SHA256_TEXT_SIZE);
	else
		sha256_finish(&stream->plain, ret_diff_id);
	return 0;
}

uint64_t oci_stream_taken(const struct oci_stream *stream)
{
	return __atomic_load_n(&stream->taken, __ATOMIC_RELAXED);
}

enum oci_compression oci_stream_compression(const struct oci_stream *stream)
{
	return stream->compression;
}

bool oci_stream_is_standard(const struct oci_stream *stream)
{
	return stream->is_standard;
}

void oci_stream_free(struct oci_stream *stream)
{
	if (!stream)
		return;
	pthread_mutex_lock(&stream->mutex);
	__atomic_store_n(&stream->must_stop, true, __ATOMIC_RELAXED);
	pthread_cond_signal(&stream->has_changed);
	pthread_mutex_unlock(&stream->mutex);
	join(stream);
	archive_read_free(stream->archive);
	sha256_done(&stream->compressed);
	sha256_done(&stream->plain);
	for (size_t i = 0; i < CHUNKS; i++)
		free(stream->chunks[i].bytes);
	free(stream->input);
	pthread_cond_destroy(&stream->has_changed);
	pthread_mutex_destroy(&stream->mutex);
	free(stream);
}
