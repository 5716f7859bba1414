#include "2-virtualization/images/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/archive_names.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/sha256.h"

enum { SUMS_MAX_BYTES = 16 << 10, READ_BLOCK_BYTES = 256 << 10 };

struct reader {
	struct archive *archive;
	int fd, dir_fd;
	const struct volume_progress *progress;
	uint64_t done, total;		/* Bytes of content so far; of the archive. */
	uint64_t max_bytes;
	struct str *manifest;
	struct str listed;		/* SHA256SUMS as found. */
	struct str computed;		/* And as it should be. */
	struct map seen;		/* Names so far. */
};

static int explain(struct reader *reader, struct err *err)
{
	const char *reason = archive_error_string(reader->archive);

	return err_set(err, -EINVAL, "archive is damaged or cut off (%s): export it again", reason ? shown(reason) : "unexpected end");
}

static int check_entry(struct reader *reader, struct archive_entry *entry, struct err *err)
{
	const char *name = archive_entry_pathname(entry);

	if (!name)
		return err_set(err, -EINVAL, "archive has an entry whose name is not text: it is no export of an instance");
	if (!archive_is_part_name(name) && !text_equal(name, ARCHIVE_MANIFEST) && !text_equal(name, ARCHIVE_SUMS))
		return err_set(err, -EINVAL, "archive entry '%s' is not part of an exported instance: give a file made by export", shown(name));
	if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) || archive_entry_symlink(entry))
		return err_set(err, -EINVAL, "archive entry '%s' is a link or device: only regular files are taken", name);
	if (!archive_entry_size_is_set(entry) || archive_entry_sparse_count(entry) > 0)
		return err_set(err, -EINVAL, "archive entry '%s' is sparse: export writes only plain files", name);
	if (map_get(&reader->seen, name))
		return err_set(err, -EINVAL, "archive entry '%s' is there twice", name);
	if (!reader->seen.count != text_equal(name, ARCHIVE_MANIFEST))
		return err_set(err, -EINVAL, "archive does not begin with its " ARCHIVE_MANIFEST ": give a file made by export");
	if (reader->listed.data)
		return err_set(err, -EINVAL, "archive entry '%s' comes after the checksums", name);
	map_put(&reader->seen, name, reader);
	return 0;
}

/* How much the entry may hold: the texts little, the rest what is left of the limit. */
static uint64_t entry_limit(const struct reader *reader, const char *name)
{
	if (text_equal(name, ARCHIVE_MANIFEST))
		return LIMIT_BODY_BYTES;
	if (text_equal(name, ARCHIVE_SUMS))
		return SUMS_MAX_BYTES;
	return reader->max_bytes - reader->done;
}

typedef int sink_fn(void *data, const void *bytes, size_t size, uint64_t offset, struct err *err);

static int into_str(void *data, const void *bytes, size_t size, uint64_t offset, struct err *err)
{
	(void)offset;
	(void)err;
	str_append_bytes(data, bytes, size);
	return 0;
}

static int into_file(void *data, const void *bytes, size_t size, uint64_t offset, struct err *err)
{
	return file_write_at(*(int *)data, bytes, size, offset, err);
}

static void report(const struct reader *reader)
{
	off_t at = lseek(reader->fd, 0, SEEK_CUR);

	volume_report(reader->progress, at > 0 && (uint64_t)at <= reader->total ? (uint64_t)at : 0, reader->total);
}

/* Passes the entry's content on, in order and without gaps. */
static int read_content(struct reader *reader, const char *name, uint64_t size, sink_fn *sink, void *data, struct sha256 *sha256,
			struct err *err)
{
	uint64_t at = 0;

	for (;;) {
		const void *bytes;
		size_t count;
		la_int64_t offset;
		int r = archive_read_data_block(reader->archive, &bytes, &count, &offset);

		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK)
			return explain(reader, err);
		if (volume_is_cancelled(reader->progress))
			return err_set(err, -ECANCELED, "cancelled");
		if ((uint64_t)offset != at || count > size - at)
			return err_set(err, -EINVAL, "archive entry '%s' is not one plain piece", name);
		if ((r = sink(data, bytes, count, at, err)) < 0)
			return r;
		sha256_update(sha256, bytes, count);
		at += count;
		report(reader);
	}
	if (at != size)
		return explain(reader, err);
	return 0;
}

static int read_into(struct reader *reader, const char *name, uint64_t size, struct sha256 *sha256, struct err *err)
{
	auto_close int fd = -1;
	int r;

	if (text_equal(name, ARCHIVE_MANIFEST))
		return read_content(reader, name, size, into_str, reader->manifest, sha256, err);
	if (text_equal(name, ARCHIVE_SUMS)) {
		str_append(&reader->listed, "");	/* Even an empty one is there. */
		return read_content(reader, name, size, into_str, &reader->listed, sha256, err);
	}
	fd = openat(reader->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "create '%s': %m", name);
	r = read_content(reader, name, size, into_file, &fd, sha256, err);
	if (r == 0 && fsync(fd) < 0)
		r = err_set(err, -errno, "write '%s' to disk: %m", name);
	return r;
}

static int read_entry(struct reader *reader, struct archive_entry *entry, struct err *err)
{
	const char *name = archive_entry_pathname(entry);
	uint64_t size = (uint64_t)archive_entry_size(entry);
	char sum[SHA256_TEXT_SIZE];
	struct sha256 sha256;
	int r;

	if (size > entry_limit(reader, name))
		return err_set(err, -EFBIG, "archive entry '%s' of %" PRIu64 " bytes is beyond the limit", name, size);
	reader->done += size;
	sha256_init(&sha256);
	r = read_into(reader, name, size, &sha256, err);
	sha256_finish(&sha256, sum);
	sha256_done(&sha256);
	if (r == 0 && !text_equal(name, ARCHIVE_SUMS))
		str_printf(&reader->computed, "%s  %s\n", sum, name);
	return r;
}

static int read_all(struct reader *reader, struct err *err)
{
	struct archive_entry *entry;
	int r;

	archive_read_support_format_tar(reader->archive);
	if (archive_read_open_fd(reader->archive, reader->fd, READ_BLOCK_BYTES) != ARCHIVE_OK)
		return explain(reader, err);
	while ((r = archive_read_next_header(reader->archive, &entry)) == ARCHIVE_OK)
		if ((r = check_entry(reader, entry, err)) < 0 || (r = read_entry(reader, entry, err)) < 0)
			return r;
	if (r != ARCHIVE_EOF)
		return explain(reader, err);
	if (!reader->listed.data)
		return err_set(err, -EINVAL, "archive has no checksums at its end: it was cut off, export it again");
	if (!text_equal(str_text(&reader->listed), str_text(&reader->computed)))
		return err_set(err, -EINVAL, "archive's checksums do not match its content: it is damaged, copy or export it again");
	return 0;
}

static void remove_parts(const struct reader *reader)
{
	for (size_t i = 0; i < reader->seen.count; i++)
		if (archive_is_part_name(reader->seen.entries[i].key))
			unlinkat(reader->dir_fd, reader->seen.entries[i].key, 0);
}

int archive_read_instance(int fd, const char *out_directory, uint64_t max_bytes, struct str *manifest,
			  const struct volume_progress *progress, struct err *err)
{
	auto_close int dir_fd = open(out_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct reader reader = { .fd = fd, .dir_fd = dir_fd, .progress = progress, .max_bytes = max_bytes };
	auto_str struct str found = { 0 };
	struct stat st;
	int r;

	if (dir_fd < 0)
		return err_set(err, -errno, "open '%s': %m", shown(out_directory));
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		reader.total = (uint64_t)st.st_size;
	reader.manifest = &found;
	reader.archive = archive_read_new();
	r = read_all(&reader, err);
	archive_read_free(reader.archive);
	if (r < 0)
		remove_parts(&reader);
	else
		str_append_bytes(manifest, str_text(&found), found.size);
	map_done(&reader.seen);
	str_done(&reader.listed);
	str_done(&reader.computed);
	return r;
}
