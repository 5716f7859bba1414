/* A layer of 100 MiB, and one of 100,000 tiny files: unpacked, verified and synced as the daemon does it, against `bsdtar -x`. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/file.h"
#include "base/rng.h"
#include "lib/node.h"

enum { ROUNDS = 7, QUICK_ROUNDS = 3, FILES = 2000, FILE_BYTES = (100 << 20) / FILES, TINY_FILES = 100000, QUICK_TINY_FILES = 20000 };

/* As well compressible as programs and texts are: to about a third. */
static void fill(struct rng *rng, char *bytes, size_t size)
{
	for (size_t at = 0; at < size;) {
		uint64_t word = rng_next(rng);
		size_t length = 4 + word % 12, from = at ? (word >> 8) % at : 0;

		for (size_t i = 0; i < length && at < size; i++, at++)
			bytes[at] = word & 0x30000000 && at ? bytes[from + i] : (char)(rng_next(rng) & 0x3f);
	}
}

static int write_file(struct archive *archive, struct archive_entry *entry, const char *name, const char *bytes, size_t size, struct err *err)
{
	archive_entry_clear(entry);
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_mtime(entry, 1700000000, 0);
	archive_entry_set_size(entry, (la_int64_t)size);
	if (archive_write_header(archive, entry) != ARCHIVE_OK || archive_write_data(archive, bytes, size) != (la_ssize_t)size)
		return err_set(err, -EIO, "write the layer: %s", archive_error_string(archive));
	return 0;
}

/* 'count' files in folders of a hundred. */
static int write_layer(const char *path, const char *filter, int count, size_t size, struct err *err)
{
	struct archive *archive = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	auto_free char *bytes = alloc(size);
	struct rng rng;
	int r = 0;

	rng_init(&rng, 1);
	archive_write_add_filter_by_name(archive, filter);
	archive_write_set_format_pax_restricted(archive);
	if (archive_write_open_filename(archive, path) != ARCHIVE_OK)
		r = err_set(err, -EIO, "create '%s': %s", path, archive_error_string(archive));
	for (int i = 0; r == 0 && i < count; i++) {
		char name[48];

		snprintf(name, sizeof(name), "usr/folder%d/file%d", i / 100, i);
		fill(&rng, bytes, size);
		r = write_file(archive, entry, name, bytes, size, err);
	}
	if (r == 0 && archive_write_close(archive) != ARCHIVE_OK)
		r = err_set(err, -EIO, "write the layer: %s", archive_error_string(archive));
	archive_write_free(archive);
	archive_entry_free(entry);
	return r;
}

/* What removing leaves to be done (a file system may discard blocks later) is nobody's. */
static int remove_and_settle(const struct bench *bench, const char *folder, struct err *err)
{
	int r = file_remove_tree(folder, err);

	return r < 0 ? r : run_program((const char *[]){ "sync", "-f", bench->folder, NULL }, NULL, err);
}

struct times { struct samples own, bsdtar, synced; };

static void times_done(struct times *times)
{
	samples_done(&times->own);
	samples_done(&times->bsdtar);
	samples_done(&times->synced);
}
#define auto_times __attribute__((cleanup(times_done)))

static int unpack_own(const struct bench *bench, const char *layer, struct times *times, struct err *err)
{
	auto_free char *folder = text_format("%s/store", bench->folder), *scratch = text_format("%s/scratch", bench->folder);
	auto_close int fd = open(layer, O_RDONLY | O_CLOEXEC);
	char digest[SHA256_TEXT_SIZE] = "", diff_id[SHA256_TEXT_SIZE] = "";
	double begin;
	uint64_t bytes;
	int r = fd < 0 ? err_set(err, -errno, "open '%s': %m", layer) : file_make_dirs(scratch, 0700, err);

	if (r == 0) {
		auto_store struct oci_store store;

		r = oci_store_open(&store, folder, scratch, NULL, err);
		begin = now_ms();
		if (r == 0)
			r = oci_layer_add(&store, fd, digest, diff_id, NULL, &bytes, err);
		if (r == 0)
			samples_add(&times->own, now_ms() - begin);
	}
	return r < 0 ? r : remove_and_settle(bench, folder, err);
}

static int unpack_bsdtar(const struct bench *bench, const char *layer, struct times *times, struct err *err)
{
	auto_free char *folder = text_format("%s/bsdtar", bench->folder);
	double ms = 0, sync_ms = 0;
	int r = file_make_dirs(folder, 0755, err);

	if (r == 0)
		r = run_program((const char *[]){ "bsdtar", "-x", "-f", layer, "-C", folder, NULL }, &ms, err);
	if (r == 0)
		r = run_program((const char *[]){ "sync", "-f", folder, NULL }, &sync_ms, err);
	if (r < 0)
		return r;
	samples_add(&times->bsdtar, ms);
	samples_add(&times->synced, ms + sync_ms);
	return remove_and_settle(bench, folder, err);
}

static int measure_layer(const struct bench *bench, const char *promise, const char *filter, int count, size_t size, struct err *err)
{
	auto_free char *layer = text_format("%s/layer", bench->folder);
	auto_times struct times times = { 0 };
	double own, bsdtar, synced;
	int r = write_layer(layer, filter, count, size, err);

	/* What was written before is not theirs to sync. */
	if (r == 0)
		r = run_program((const char *[]){ "sync", "-f", layer, NULL }, NULL, err);
	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++) {
		/* Who goes first changes: the second finds the file system as the first left it. */
		r = i % 2 ? unpack_own(bench, layer, &times, err) : unpack_bsdtar(bench, layer, &times, err);
		if (r == 0)
			r = i % 2 ? unpack_bsdtar(bench, layer, &times, err) : unpack_own(bench, layer, &times, err);
	}
	if (r < 0)
		return r;
	own = samples_median(&times.own);
	bsdtar = samples_median(&times.bsdtar);
	synced = samples_median(&times.synced);
	row_print(&(struct row){
		.promise = promise,
		.measured = cell("%.0f ms, verified and synced", own),
		.floor = cell("`bsdtar -x` %.0f ms; with `sync -f` %.0f ms", bsdtar, synced),
		.comparison = cell("%.2f; %.2f", own / bsdtar, own / synced),
		.target = "≤ 1.1",
	});
	return 0;
}

static int measure(const struct bench *bench, struct err *err)
{
	int tiny = bench->is_quick ? QUICK_TINY_FILES : TINY_FILES;
	auto_free char *tiny_promise = text_format("a layer of %d tiny files unpacked", tiny);
	int r = measure_layer(bench, "a layer of 100 MiB (gzip) unpacked", "gzip", FILES, FILE_BYTES, err);

	if (r == 0)
		r = measure_layer(bench, "a layer of 100 MiB (zstd) unpacked", "zstd", FILES, FILE_BYTES, err);
	return r < 0 ? r : measure_layer(bench, tiny_promise, "gzip", tiny, 4, err);
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}
