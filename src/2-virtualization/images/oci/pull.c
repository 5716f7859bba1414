/*
 * From a registry into the store.
 *
 * 1. manifest and configuration, byte for byte as the registry has them (`skopeo inspect --raw`): the image keeps its
 *    digest, and what we would refuse anyway is refused before its layers are fetched.
 * 2. layers: `skopeo copy` into an OCI layout in the scratch folder. Blobs the store has are linked there first, so that they
 *    are not fetched; blobs that come whole are linked into the store at once, so that they survive whatever happens then.
 *    Here skopeo applies the signature policy. What else it writes there (it turns Docker's manifests into OCI's) is thrown away.
 * 3. unpacking, which verifies every digest again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "2-virtualization/images/oci/skopeo.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/units.h"

struct transfer {
	struct oci_store *store;
	struct skopeo skopeo;
	char *digest;			/* Of the manifest. */
	struct str manifest_text, config_text;
	struct oci_manifest manifest;
	uint64_t told_bytes;
};

static void transfer_done(struct transfer *transfer)
{
	skopeo_done(&transfer->skopeo);
	free(transfer->digest);
	str_done(&transfer->manifest_text);
	str_done(&transfer->config_text);
	oci_manifest_done(&transfer->manifest);
}
#define auto_transfer __attribute__((cleanup(transfer_done)))

static int check_digest(const struct str *text, const char *what, const char *expected, struct err *err)
{
	auto_sha256 struct sha256 sha256;
	char digest[SHA256_TEXT_SIZE];

	sha256_init(&sha256);
	sha256_update(&sha256, str_text(text), text->size);
	sha256_finish(&sha256, digest);
	if (text_equal(digest, expected))
		return 0;
	return err_set(err, -EINVAL, "the registry's %s is sha256:%.12s instead of sha256:%.12s: it is damaged or not what was asked for",
		       what, digest, expected);
}

/* The manifest for this host: what the reference names, or what the index there says. */
static int find_manifest(struct transfer *transfer, struct err *err)
{
	struct str *text = &transfer->manifest_text;
	auto_sha256 struct sha256 sha256;
	char digest[SHA256_TEXT_SIZE];
	int r = skopeo_manifest(&transfer->skopeo, NULL, text, err);

	sha256_init(&sha256);
	if (r == 0 && transfer->skopeo.digest)
		r = check_digest(text, "manifest", transfer->skopeo.digest, err);
	if (r < 0 || (r = oci_index_choose(str_text(text), text->size, &transfer->digest, err)) < 0)
		return r;
	if (transfer->digest) {
		if ((r = skopeo_manifest(&transfer->skopeo, transfer->digest, text, err)) < 0)
			return r;
		return check_digest(text, "manifest", transfer->digest, err);
	}
	sha256_update(&sha256, str_text(text), text->size);
	sha256_finish(&sha256, digest);
	transfer->digest = text_copy(digest);
	return 0;
}

/* Everything that can be refused early is. */
static int read_both(struct transfer *transfer, struct err *err)
{
	auto_config struct oci_config config = { 0 };
	int r = find_manifest(transfer, err);

	if (r < 0 || (r = oci_manifest_parse(str_text(&transfer->manifest_text), transfer->manifest_text.size, &transfer->manifest, err)) < 0 ||
	    (r = skopeo_config(&transfer->skopeo, transfer->digest, &transfer->config_text, err)) < 0 ||
	    (r = check_digest(&transfer->config_text, "configuration", transfer->manifest.config.digest, err)) < 0)
		return r;
	return oci_config_parse(str_text(&transfer->config_text), transfer->config_text.size, &config, err);
}

static char *scratch_blob_path(const struct transfer *transfer, const char *digest)
{
	return text_format("%s/blobs/sha256/%s", transfer->store->scratch, digest);
}

/* What is there already need not come again. */
static int offer_blobs(struct transfer *transfer, uint64_t *ret_missing_bytes, struct err *err)
{
	auto_free char *folder = text_format("%s/blobs/sha256", transfer->store->scratch);
	uint64_t missing_bytes = 0;
	int r = file_make_dirs(folder, 0700, err);

	for (size_t i = 0; r == 0 && i < transfer->manifest.layers.count; i++) {
		const struct oci_blob *layer = &transfer->manifest.layers.items[i];
		auto_free char *from = oci_blob_path(transfer->store->folder, layer->digest), *to = scratch_blob_path(transfer, layer->digest);

		if (link(from, to) < 0 && errno == ENOENT)
			missing_bytes += layer->size;
		else if (errno && access(to, F_OK) < 0)
			r = err_set(err, -errno, "link '%s': %m", shown(to));
	}
	*ret_missing_bytes = missing_bytes;
	return r;
}

static int check_space(const struct transfer *transfer, uint64_t bytes, struct err *err)
{
	char needed[UNITS_TEXT_SIZE], free_text[UNITS_TEXT_SIZE];
	struct statvfs vfs;

	if (statvfs(transfer->store->folder, &vfs) < 0)
		return err_set(err, -errno, "ask for free space: %m");
	if (bytes <= (uint64_t)vfs.f_bavail * vfs.f_frsize)
		return 0;
	return err_set(err, -ENOSPC, "image '%s' needs %s for its layers as they come: %s are free",
		       shown(transfer->skopeo.pull->reference), units_format_size(bytes, needed),
		       units_format_size((uint64_t)vfs.f_bavail * vfs.f_frsize, free_text));
}

/* Blobs under way have other names beside the layout. */
static uint64_t partial_bytes(const struct transfer *transfer)
{
	auto_free char *layout = text_format("%s/layout", transfer->store->scratch);
	DIR *dir = opendir(layout);
	struct dirent *entry;
	uint64_t bytes = 0;
	struct stat st;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		if (text_starts_with(entry->d_name, "oci-put-blob") && fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)st.st_size;
	closedir(dir);
	return bytes;
}

/* Keeps what has come whole, and counts. */
static uint64_t watch(void *data)
{
	struct transfer *transfer = data;
	uint64_t bytes = 0;
	struct err ignored;

	for (size_t i = 0; i < transfer->manifest.layers.count; i++) {
		const struct oci_blob *layer = &transfer->manifest.layers.items[i];
		auto_free char *path = scratch_blob_path(transfer, layer->digest);

		if (access(path, F_OK) < 0)
			continue;
		oci_blob_adopt(transfer->store, path, layer->digest, &ignored);
		bytes += layer->size;
	}
	/* A blob that becomes whole just now is in neither count: what was told is not taken back. */
	bytes += partial_bytes(transfer);
	if (bytes > transfer->told_bytes)
		transfer->told_bytes = bytes;
	oci_report(transfer->store, transfer->told_bytes);
	return bytes;
}

static int keep_layers(struct transfer *transfer, struct err *err)
{
	for (size_t i = 0; i < transfer->manifest.layers.count; i++) {
		const char *digest = transfer->manifest.layers.items[i].digest;
		auto_free char *path = scratch_blob_path(transfer, digest);
		int r = oci_blob_adopt(transfer->store, path, digest, err);

		if (r < 0)
			return err_prefix(err, "layer %zu of the image", i + 1);
	}
	return 0;
}

static int fetch_layers(struct transfer *transfer, struct err *err)
{
	struct oci_store *store = transfer->store;
	uint64_t missing_bytes = 0, bytes = 0;
	int r = offer_blobs(transfer, &missing_bytes, err);

	for (size_t i = 0; i < transfer->manifest.layers.count; i++)
		bytes += transfer->manifest.layers.items[i].size;
	if (r < 0 || (r = check_space(transfer, missing_bytes, err)) < 0)
		return r;
	/* First they come, then they are unpacked: the image's own steps are added when it is loaded. */
	store->total_bytes = 2 * bytes;
	/* Also with nothing to fetch: a policy must be asked. */
	if (missing_bytes > 0 || transfer->skopeo.pull->policy)
		r = skopeo_copy(&transfer->skopeo, transfer->digest, watch, transfer, err);
	if (r == 0)
		r = keep_layers(transfer, err);
	store->total_bytes = bytes;
	store->done_bytes = bytes;
	return r;
}

int oci_pull_patiently(const char *folder, const char *scratch, const struct oci_pull *pull, const struct oci_patience *patience,
		       const struct volume_progress *progress, struct oci_image *ret_image, struct err *err)
{
	auto_store struct oci_store store;
	auto_transfer struct transfer transfer = { .store = &store };
	int r = oci_store_open(&store, folder, scratch, progress, err);

	if (r < 0 || (r = skopeo_init(&transfer.skopeo, &store, pull, patience, err)) < 0 || (r = read_both(&transfer, err)) < 0 ||
	    (r = fetch_layers(&transfer, err)) < 0 ||
	    (r = oci_blob_put(&store, str_text(&transfer.config_text), transfer.config_text.size, NULL, err)) < 0 ||
	    (r = oci_blob_put(&store, str_text(&transfer.manifest_text), transfer.manifest_text.size, NULL, err)) < 0)
		return r;
	return oci_image_load(&store, transfer.digest, ret_image, err);
}

int oci_pull(const char *folder, const char *scratch, const struct oci_pull *pull, const struct volume_progress *progress,
	     struct oci_image *ret_image, struct err *err)
{
	const struct oci_patience patience = { .stall_ms = LIMIT_PULL_STALL_MS, .attempts = 4, .pause_ms = 500 };

	return oci_pull_patiently(folder, scratch, pull, &patience, progress, ret_image, err);
}
