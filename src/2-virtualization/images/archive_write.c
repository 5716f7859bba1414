#include "2-virtualization/images/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/archive_names.h"
#include "base/mem.h"
#include "base/sha256.h"

enum { CHUNK_BYTES = 256 << 10 };

struct writer {
	struct archive *archive;
	const struct volume_progress *progress;
	uint64_t done, total;
	struct str sums;		/* As sha256sum(1) writes them. */
};

bool archive_is_part_name(const char *name)
{
	char expected[24];

	if (text_equal(name, "kernel") || text_equal(name, "initrd") || text_equal(name, "nvram"))
		return true;
	for (unsigned i = 0; i < ARCHIVE_DISKS_MAX; i++) {
		snprintf(expected, sizeof(expected), "disk-%u.qcow2", i);
		if (text_equal(name, expected))
			return true;
	}
	return false;
}

static int explain(struct writer *writer, struct err *err)
{
	int code = archive_errno(writer->archive);

	return err_set(err, code == ENOSPC ? -ENOSPC : -EIO, "write the export: %s", archive_error_string(writer->archive));
}

static int write_header(struct writer *writer, const char *name, uint64_t size, struct err *err)
{
	struct archive_entry *entry = archive_entry_new();
	int r = 0;

	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0600);
	archive_entry_set_size(entry, (la_int64_t)size);
	if (archive_write_header(writer->archive, entry) != ARCHIVE_OK)
		r = explain(writer, err);
	archive_entry_free(entry);
	return r;
}

static int write_bytes(struct writer *writer, const void *bytes, size_t size, struct err *err)
{
	return archive_write_data(writer->archive, bytes, size) == (la_ssize_t)size ? 0 : explain(writer, err);
}

static int write_text(struct writer *writer, const char *name, const char *text, struct err *err)
{
	auto_sha256 struct sha256 sha256;
	char sum[SHA256_TEXT_SIZE];
	int r = write_header(writer, name, strlen(text), err);

	sha256_init(&sha256);
	sha256_update(&sha256, text, strlen(text));
	sha256_finish(&sha256, sum);
	if (!text_equal(name, ARCHIVE_SUMS))
		str_printf(&writer->sums, "%s  %s\n", sum, name);
	return r < 0 ? r : write_bytes(writer, text, strlen(text), err);
}

/* Exactly 'size' bytes, as the header has promised. */
static int write_content(struct writer *writer, int fd, uint64_t size, struct sha256 *sha256, struct err *err)
{
	auto_free char *chunk = alloc(CHUNK_BYTES);

	while (size) {
		ssize_t n = read(fd, chunk, size < CHUNK_BYTES ? size : CHUNK_BYTES);
		int r;

		if (volume_is_cancelled(writer->progress))
			return err_set(err, -ECANCELED, "cancelled");
		if (n <= 0)
			return err_set(err, n < 0 ? -errno : -EIO, "read what to export: %s", n < 0 ? strerror(errno) : "it became shorter");
		sha256_update(sha256, chunk, (size_t)n);
		if ((r = write_bytes(writer, chunk, (size_t)n, err)) < 0)
			return r;
		size -= (uint64_t)n;
		volume_report(writer->progress, writer->done += (uint64_t)n, writer->total);
	}
	return 0;
}

static int write_part(struct writer *writer, const struct archive_part *part, struct err *err)
{
	auto_close int fd = open(part->path, O_RDONLY | O_CLOEXEC);
	auto_sha256 struct sha256 sha256;
	char sum[SHA256_TEXT_SIZE];
	struct stat st;
	int r;

	assert(archive_is_part_name(part->name));
	sha256_init(&sha256);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "open '%s': %m", shown(part->path));
	if ((r = write_header(writer, part->name, (uint64_t)st.st_size, err)) < 0 ||
	    (r = write_content(writer, fd, (uint64_t)st.st_size, &sha256, err)) < 0)
		return r;
	sha256_finish(&sha256, sum);
	str_printf(&writer->sums, "%s  %s\n", sum, part->name);
	return 0;
}

static int write_all(struct writer *writer, int fd, const char *manifest_json, const struct archive_part *parts, size_t part_count,
		     struct err *err)
{
	int r;

	if (archive_write_set_format_pax_restricted(writer->archive) != ARCHIVE_OK ||
	    archive_write_open_fd(writer->archive, fd) != ARCHIVE_OK)
		return explain(writer, err);
	r = write_text(writer, ARCHIVE_MANIFEST, manifest_json, err);
	for (size_t i = 0; r == 0 && i < part_count; i++)
		r = write_part(writer, &parts[i], err);
	if (r == 0)
		r = write_text(writer, ARCHIVE_SUMS, str_text(&writer->sums), err);
	if (r == 0 && archive_write_close(writer->archive) != ARCHIVE_OK)
		r = explain(writer, err);
	if (r == 0 && fsync(fd) < 0)
		r = err_set(err, -errno, "write the export to disk: %m");
	return r;
}

int archive_write_instance(const char *path, const char *manifest_json, const struct archive_part *parts, size_t part_count,
			   const struct volume_progress *progress, struct err *err)
{
	struct writer writer = { .progress = progress };
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	int r;

	if (fd < 0)
		return err_set(err, -errno, "create '%s': %m", shown(path));
	for (size_t i = 0; i < part_count; i++)
		writer.total += stat(parts[i].path, &st) == 0 ? (uint64_t)st.st_size : 0;
	writer.archive = archive_write_new();
	r = write_all(&writer, fd, manifest_json, parts, part_count, err);
	archive_write_free(writer.archive);
	str_done(&writer.sums);
	if (r < 0)
		unlink(path);
	return r;
}
