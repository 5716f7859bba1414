/*
 * Images from files. What a tar is shows its first entry; a file that claims to be an image archive and is none says so,
 * and is not taken for a root file system by mistake.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/oci/members.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"

enum { INDEX_DEPTH_MAX = 3 };

/* A member under its digest in the store, when it is what it should be. */
static int keep(struct members *members, const char *name, const char *expected, char ret_digest[SHA256_TEXT_SIZE], struct err *err)
{
	const struct member *member = members_find(members, name, err);

	if (!member)
		return err->code == -ENOENT ? err_set(err, -EINVAL, "'%s' is missing in the archive", shown(name)) : err->code;
	if (expected && !text_equal(member->digest, expected))
		return err_set(err, -EINVAL, "'%s' in the archive is sha256:%.12s: it is damaged", shown(name), member->digest);
	if (ret_digest)
		memcpy(ret_digest, member->digest, SHA256_TEXT_SIZE);
	return oci_blob_adopt(members->store, member->path, member->digest, err);
}

static int keep_blob(struct members *members, const char *digest, struct err *err)
{
	auto_free char *name = text_format("blobs/sha256/%s", digest);

	return keep(members, name, digest, NULL, err);
}

/* OCI layouts (image-layout.md) */

/* From index.json, which may name an index again, to the manifest for this host. */
static int find_manifest(struct members *members, struct str *text, char **ret_digest, struct err *err)
{
	auto_free char *digest = NULL;
	int r = members_read(members, "index.json", LIMIT_OCI_MANIFEST_BYTES, text, err);

	if (r < 0)
		return r == -ENOENT ? err_set(err, -EINVAL, "there is no index.json: it is no OCI layout") : r;
	for (int depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
		auto_free char *next = NULL, *name = NULL;

		if ((r = oci_index_choose(str_text(text), text->size, &next, err)) < 0)
			return r;
		if (!next && !digest)
			return err_set(err, -EINVAL, "index.json lists no manifests: it is no OCI layout");
		if (!next) {
			*ret_digest = take(digest);
			return 0;
		}
		free(digest);
		digest = take(next);
		name = text_format("blobs/sha256/%s", digest);
		if ((r = members_read(members, name, LIMIT_OCI_MANIFEST_BYTES, text, err)) < 0)
			return r;
	}
	return err_set(err, -EINVAL, "the layout's indexes lie in each other too deep");
}

static int import_layout(struct oci_store *store, struct members *members, struct oci_image *ret_image, struct err *err)
{
	auto_manifest struct oci_manifest manifest = { 0 };
	auto_str struct str text = { 0 };
	auto_free char *digest = NULL;
	int r = find_manifest(members, &text, &digest, err);

	if (r < 0 || (r = oci_manifest_parse(str_text(&text), text.size, &manifest, err)) < 0)
		return r;
	for (size_t i = 0; r == 0 && i < manifest.layers.count; i++)
		r = keep_blob(members, manifest.layers.items[i].digest, err);
	if (r == 0)
		r = keep_blob(members, manifest.config.digest, err);
	/* Last, so that a manifest in the store has its blobs there. */
	if (r == 0)
		r = keep_blob(members, digest, err);
	return r < 0 ? r : oci_image_load(store, digest, ret_image, err);
}

/* docker-archive */

static enum oci_compression compression_of(const char *path)
{
	unsigned char magic[4] = { 0 };
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && pread(fd, magic, sizeof(magic), 0) == sizeof(magic)) {
		if (magic[0] == 0x1f && magic[1] == 0x8b)
			return OCI_GZIP;
		if (memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
			return OCI_ZSTD;
	}
	return OCI_PLAIN;
}

static int keep_layer(struct members *members, const struct json *name, struct oci_blob *ret_blob, struct err *err)
{
	const char *text = json_string(name, NULL);
	const struct member *member;
	char digest[SHA256_TEXT_SIZE];
	int r;

	if (!text)
		return err_set(err, -EINVAL, "manifest.json names a layer that is not text");
	if ((r = keep(members, text, NULL, digest, err)) < 0)
		return r;
	member = members_find(members, text, err);
	*ret_blob = (struct oci_blob){ .digest = text_copy(digest), .size = member->size, .compression = compression_of(member->path) };
	return 0;
}

static int import_docker_image(struct oci_store *store, struct members *members, const struct json *json, struct oci_image *ret_image,
			       struct err *err)
{
	auto_manifest struct oci_manifest manifest = { 0 };
	auto_config struct oci_config config = { 0 };
	auto_str struct str text = { 0 };
	const char *name = json_string(json_get(json, "Config"), NULL);
	const struct json *layers = json_get(json, "Layers");
	char digest[SHA256_TEXT_SIZE];
	int r;

	if (!name || json_type(layers) != JSON_ARRAY)
		return err_set(err, -EINVAL, "manifest.json has no Config or no Layers: it is no docker-archive");
	if ((r = members_read(members, name, LIMIT_OCI_CONFIG_BYTES, &text, err)) < 0 ||
	    (r = oci_config_parse(str_text(&text), text.size, &config, err)) < 0)
		return r;
	if (json_count(layers) == 0 || json_count(layers) != config.diff_ids.count)
		return err_set(err, -EINVAL, "manifest.json has %zu layers and the configuration %zu: the archive is damaged", json_count(layers),
			       config.diff_ids.count);
	for (size_t i = 0; r == 0 && i < json_count(layers); i++)
		r = keep_layer(members, json_at(layers, i), vec_push(&manifest.layers), err);
	if (r < 0 || (r = keep(members, name, NULL, digest, err)) < 0)
		return r;
	return oci_image_finish(store, digest, manifest.layers.items, manifest.layers.count, ret_image, err);
}

static int import_docker(struct oci_store *store, struct members *members, struct oci_image *ret_image, struct err *err)
{
	auto_str struct str text = { 0 };
	auto_json struct json *json = NULL;
	int r = members_read(members, "manifest.json", LIMIT_OCI_MANIFEST_BYTES, &text, err);

	if (r < 0)
		return r == -ENOENT ? err_set(err, -EINVAL, "there is no manifest.json: it is no docker-archive") : r;
	if ((r = json_parse(str_text(&text), text.size, &json, err)) < 0)
		return err_prefix(err, "manifest.json");
	if (json_type(json) != JSON_ARRAY || json_count(json) == 0)
		return err_set(err, -EINVAL, "manifest.json lists no image: it is no docker-archive");
	if (json_count(json) > 1)
		return err_set(err, -EINVAL, "the archive holds %zu images: save one", json_count(json));
	return import_docker_image(store, members, json_at(json, 0), ret_image, err);
}

/* Root file systems */

/* A compression that images do not have: as gzip. */
static int repack(struct oci_store *store, int fd, struct oci_blob *ret_blob, char ret_diff_id[SHA256_TEXT_SIZE], struct err *err)
{
	auto_stream struct oci_stream *stream = NULL;
	auto_packer struct oci_packer *packer = NULL;
	const void *bytes;
	ssize_t n;
	int r = oci_stream_open(fd, &stream, err);

	if (r < 0 || (r = oci_packer_open(store, &packer, err)) < 0)
		return r;
	while ((n = oci_stream_next(stream, &bytes, err)) > 0) {
		if (volume_is_cancelled(store->progress))
			return err_set(err, -ECANCELED, "cancelled");
		oci_report(store, oci_stream_taken(stream));
		if ((r = oci_packer_write(packer, bytes, (size_t)n, err)) < 0)
			return r;
	}
	return n < 0 ? (int)n : oci_packer_finish(packer, ret_blob, ret_diff_id, err);
}

static bool is_xz(int fd)
{
	char magic[6];

	return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) && memcmp(magic, "\xfd" "7zXZ", 6) == 0;
}

/* The file as it is becomes the layer's blob. */
static int take_as_it_is(struct oci_store *store, int fd, struct oci_blob *ret_blob, char ret_diff_id[SHA256_TEXT_SIZE], struct err *err)
{
	auto_free char *path = text_format("%s/rootfs", store->scratch);
	auto_close int copy_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	const struct file_progress progress = { .is_cancelled = store->progress ? store->progress->is_cancelled : NULL };
	char digest[SHA256_TEXT_SIZE] = "";
	enum oci_compression compression;
	uint64_t bytes;
	struct stat st;
	int r;

	if (copy_fd < 0)
		return err_set(err, -errno, "create '%s': %m", shown(path));
	ret_diff_id[0] = '\0';
	if ((r = file_copy_sparse(fd, copy_fd, &progress, err)) == 0 &&
	    (r = oci_layer_add(store, copy_fd, digest, ret_diff_id, &compression, &bytes, err)) == 0)
		r = oci_blob_adopt(store, path, digest, err);
	if (r == 0 && fstat(copy_fd, &st) < 0)
		r = err_set(err, -errno, "stat '%s': %m", shown(path));
	unlink(path);
	if (r == 0)
		*ret_blob = (struct oci_blob){ .digest = text_copy(digest), .size = (uint64_t)st.st_size, .compression = compression };
	return r;
}

static int import_rootfs(struct oci_store *store, int fd, struct oci_image *ret_image, struct err *err)
{
	auto_config struct oci_config config = { 0 };
	struct oci_blob blob = { 0 };
	char diff_id[SHA256_TEXT_SIZE];
	int r = is_xz(fd) ? repack(store, fd, &blob, diff_id, err) : take_as_it_is(store, fd, &blob, diff_id, err);

	if (r < 0)
		return err_prefix(err, "the root file system");
	oci_list_add(&config.settings.env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	oci_list_add(&config.settings.command, "/bin/sh");
	config.settings.created_at = clock_wall_ms();
	*vec_push(&config.diff_ids) = text_copy(diff_id);
	*vec_push(&config.steps) = (struct oci_step){ .created_by = text_copy("import"), .created_at = config.settings.created_at };
	r = oci_image_make(store, &config, &blob, NULL, ret_image, err);
	free(blob.digest);
	return r;
}

/* Any of them */

static int import_file(struct oci_store *store, const char *path, enum oci_archive_form form, struct oci_image *ret_image, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_members struct members members = { .folder_fd = -1 };
	struct stat st;
	int r = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "open '%s': %m", shown(path));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "'%s' is neither a file nor a folder", shown(path));
	store->total_bytes = (uint64_t)st.st_size;
	if (form == OCI_ARCHIVE_AUTO && (r = members_guess(fd, &form, err)) < 0)
		return r;			/* Who sent it knows it by another name. */
	if (form == OCI_ARCHIVE_ROOTFS)
		return import_rootfs(store, fd, ret_image, err);
	if ((r = members_open_tar(&members, store, fd, err)) < 0)
		return r;
	store->done_bytes = store->total_bytes;
	if (form == OCI_ARCHIVE_DOCKER)
		return import_docker(store, &members, ret_image, err);
	return import_layout(store, &members, ret_image, err);
}

static int import_folder(struct oci_store *store, const char *path, enum oci_archive_form form, struct oci_image *ret_image, struct err *err)
{
	auto_members struct members members = { .folder_fd = -1 };
	int r;

	if (form != OCI_ARCHIVE_AUTO && form != OCI_ARCHIVE_OCI)
		return err_set(err, -EINVAL, "'%s' is a folder: only an OCI layout may be one", shown(path));
	r = members_open_folder(&members, store, path, err);
	return r < 0 ? r : import_layout(store, &members, ret_image, err);
}

int oci_import(const char *folder, const char *scratch, const char *path, enum oci_archive_form form,
	       const struct volume_progress *progress, struct oci_image *ret_image, struct err *err)
{
	auto_store struct oci_store store;
	struct stat st;
	int r = oci_store_open(&store, folder, scratch, progress, err);

	if (r < 0)
		return r;
	if (stat(path, &st) < 0)
		return err_set(err, -errno, "open '%s': %m", shown(path));
	if (S_ISDIR(st.st_mode))
		return import_folder(&store, path, form, ret_image, err);
	return import_file(&store, path, form, ret_image, err);
}
