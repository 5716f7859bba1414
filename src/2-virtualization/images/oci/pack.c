/*
 * A tar stream on its way to being a blob: its checksum (the DiffID), gzip, the checksum of that (the digest), a file in
 * the scratch folder that then gets its name in the store.
 *
 * gzip at its fastest, because everybody reads it: zstd has no name in Docker's manifests, and skopeo 1.9 cannot change that.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

struct oci_packer {
	const struct oci_store *store;
	struct archive *archive;
	struct sha256 plain, compressed;
	char *path;
	int fd;
	uint64_t size;
	int code;			/* Of writing, for libarchive tells only words. */
};

static la_ssize_t take_output(struct archive *archive, void *data, const void *bytes, size_t size)
{
	struct oci_packer *packer = data;
	struct err err;

	packer->code = file_write_at(packer->fd, bytes, size, packer->size, &err);
	if (packer->code < 0) {
		archive_set_error(archive, -packer->code, "%s", err.msg);
		return -1;
	}
	sha256_update(&packer->compressed, bytes, size);
	packer->size += size;
	return (la_ssize_t)size;
}

static int explain(struct oci_packer *packer, struct err *err)
{
	if (packer->code == -ENOSPC)
		return err_set(err, -ENOSPC, "write the layer: no space left, free some");
	return err_set(err, packer->code < 0 ? packer->code : -EIO, "write the layer: %s", archive_error_string(packer->archive));
}

int oci_packer_open(const struct oci_store *store, struct oci_packer **ret_packer, struct err *err)
{
	auto_packer struct oci_packer *packer = alloc(sizeof(*packer));
	struct archive_entry *entry = archive_entry_new();
	int r = 0;

	packer->store = store;
	sha256_init(&packer->plain);
	sha256_init(&packer->compressed);
	packer->path = text_format("%s/layer", store->scratch);
	packer->archive = archive_write_new();
	packer->fd = open(packer->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_pathname(entry, "layer");
	if (packer->fd < 0)
		r = err_set(err, -errno, "create '%s': %m", shown(packer->path));
	else if (archive_write_set_format_raw(packer->archive) != ARCHIVE_OK || archive_write_add_filter_gzip(packer->archive) != ARCHIVE_OK ||
		 archive_write_set_filter_option(packer->archive, "gzip", "compression-level", "1") != ARCHIVE_OK ||
		 archive_write_set_filter_option(packer->archive, "gzip", "timestamp", NULL) != ARCHIVE_OK ||
		 archive_write_set_bytes_per_block(packer->archive, 0) != ARCHIVE_OK ||
		 archive_write_open(packer->archive, packer, NULL, take_output, NULL) != ARCHIVE_OK ||
		 archive_write_header(packer->archive, entry) != ARCHIVE_OK)
		r = explain(packer, err);
	archive_entry_free(entry);
	if (r == 0)
		*ret_packer = take(packer);
	return r;
}

int oci_packer_write(struct oci_packer *packer, const void *bytes, size_t size, struct err *err)
{
	sha256_update(&packer->plain, bytes, size);
	return archive_write_data(packer->archive, bytes, size) == (la_ssize_t)size ? 0 : explain(packer, err);
}

int oci_packer_finish(struct oci_packer *packer, struct oci_blob *ret_blob, char ret_diff_id[SHA256_TEXT_SIZE], struct err *err)
{
	char digest[SHA256_TEXT_SIZE];
	int r;

	if (archive_write_close(packer->archive) != ARCHIVE_OK)
		return explain(packer, err);
	sha256_finish(&packer->plain, ret_diff_id);
	sha256_finish(&packer->compressed, digest);
	r = oci_blob_adopt(packer->store, packer->path, digest, err);
	if (r == 0)
		*ret_blob = (struct oci_blob){ .digest = text_copy(digest), .size = packer->size, .compression = OCI_GZIP };
	return r;
}

void oci_packer_free(struct oci_packer *packer)
{
	if (!packer)
		return;
	archive_write_free(packer->archive);
	sha256_done(&packer->plain);
	sha256_done(&packer->compressed);
	if (packer->fd >= 0) {
		close(packer->fd);
		unlink(packer->path);
	}
	free(packer->path);
	free(packer);
}

int oci_image_of_tree(struct oci_store *store, const char *folder, struct image_config *settings, const char *created_by,
		      struct oci_image *ret_image, struct err *err)
{
	auto_config struct oci_config config = { .settings = *settings };
	struct oci_blob blob = { 0 };
	char diff_id[SHA256_TEXT_SIZE];
	struct oci_step *step;
	int r = oci_pack_tree(store, folder, false, &blob, diff_id, err);

	*settings = (struct image_config){ 0 };
	if (r < 0)
		return r;
	config.settings.created_at = clock_wall_ms();
	*vec_push(&config.diff_ids) = text_copy(diff_id);
	step = vec_push(&config.steps);
	*step = (struct oci_step){ .created_by = text_copy(created_by), .created_at = config.settings.created_at };
	r = oci_image_make(store, &config, &blob, NULL, ret_image, err);
	free(blob.digest);
	return r;
}
