/*
 * An image as one tar file. The blobs go in byte for byte, so every digest is what it was: an oci-archive has the
 * manifest too; a docker-archive has none, its identity is the configuration's digest.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"

enum { CHUNK_BYTES = 256 << 10 };

struct export {
	const struct oci_store *store;
	const struct oci_image *image;
	const char *name;
	struct archive *archive;
	int fd;
	bool has_failed;		/* Nothing more is written, not even what closing would add. */
	uint64_t done;
};

static la_ssize_t take_output(struct archive *archive, void *data, const void *bytes, size_t size)
{
	struct export *export = data;
	ssize_t n;

	if (export->has_failed)
		return -1;
	do
		n = write(export->fd, bytes, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		archive_set_error(archive, errno, "%s", strerror(errno));
	return n;
}

static int explain(struct export *export, struct err *err)
{
	int code = archive_errno(export->archive);

	return err_set(err, code == ENOSPC ? -ENOSPC : -EIO, "write the archive: %s", archive_error_string(export->archive));
}

static int write_header(struct export *export, const char *name, uint64_t size, struct err *err)
{
	struct archive_entry *entry = archive_entry_new();
	int r = 0;

	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_size(entry, (la_int64_t)size);
	if (archive_write_header(export->archive, entry) != ARCHIVE_OK)
		r = explain(export, err);
	archive_entry_free(entry);
	return r;
}

static int write_text(struct export *export, const char *name, const struct str *text, struct err *err)
{
	int r = write_header(export, name, text->size, err);

	if (r == 0 && archive_write_data(export->archive, str_text(text), text->size) != (la_ssize_t)text->size)
		r = explain(export, err);
	return r;
}

static int write_blob(struct export *export, const char *name, const char *digest, struct err *err)
{
	auto_free char *path = oci_blob_path(export->store->folder, digest), *chunk = alloc(CHUNK_BYTES);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	ssize_t n;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "blob sha256:%.12s of the image: %m", digest);
	if ((r = write_header(export, name, (uint64_t)st.st_size, err)) < 0)
		return r;
	while ((n = read(fd, chunk, CHUNK_BYTES)) > 0) {
		if (volume_is_cancelled(export->store->progress))
			return err_set(err, -ECANCELED, "cancelled");
		if (archive_write_data(export->archive, chunk, (size_t)n) != n)
			return explain(export, err);
		oci_report(export->store, export->done += (uint64_t)n);
	}
	return n < 0 ? err_set(err, -errno, "blob sha256:%.12s of the image: %m", digest) : 0;
}

/* The same layer may be there twice. */
static bool is_repeated(const struct oci_image *image, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (text_equal(image->layers.items[i].digest, image->layers.items[index].digest))
			return true;
	return false;
}

static int write_layers(struct export *export, const char *before, const char *after, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < export->image->layers.count; i++) {
		const char *digest = export->image->layers.items[i].digest;
		auto_free char *name = text_format("%s%s%s", before, digest, after);

		if (!is_repeated(export->image, i))
			r = write_blob(export, name, digest, err);
	}
	return r;
}

/* Docker's manifests keep their type in a layout. */
static int write_index(struct export *export, struct err *err)
{
	auto_str struct str manifest = { 0 }, text = { 0 };
	auto_free char *digest = text_format("sha256:%s", export->image->manifest);
	auto_json struct json *json = NULL;
	struct json_writer writer = { .out = &text };
	int r = oci_blob_read(export->store, "manifest", export->image->manifest, LIMIT_OCI_MANIFEST_BYTES, &manifest, err);

	if (r < 0 || (r = json_parse(str_text(&manifest), manifest.size, &json, err)) < 0)
		return r;
	json_write_object(&writer, NULL);
	json_write_int(&writer, "schemaVersion", 2);
	json_write_array(&writer, "manifests");
	json_write_object(&writer, NULL);
	json_write_string(&writer, "mediaType", json_string(json_get(json, "mediaType"), "application/vnd.oci.image.manifest.v1+json"));
	json_write_string(&writer, "digest", digest);
	json_write_uint(&writer, "size", manifest.size);
	json_write_object(&writer, "annotations");
	json_write_string(&writer, "org.opencontainers.image.ref.name", export->name);
	json_write_end_object(&writer);
	json_write_end_object(&writer);
	json_write_end_array(&writer);
	json_write_end_object(&writer);
	return write_text(export, "index.json", &text, err);
}

static int write_oci(struct export *export, struct err *err)
{
	auto_free char *config = text_format("blobs/sha256/%s", export->image->config),
		       *manifest = text_format("blobs/sha256/%s", export->image->manifest);
	auto_str struct str marker = { 0 };
	int r;

	str_append(&marker, "{\"imageLayoutVersion\":\"1.0.0\"}");
	if ((r = write_text(export, "oci-layout", &marker, err)) < 0 || (r = write_index(export, err)) < 0 ||
	    (r = write_blob(export, manifest, export->image->manifest, err)) < 0 ||
	    (r = write_blob(export, config, export->image->config, err)) < 0)
		return r;
	return write_layers(export, "blobs/sha256/", "", err);
}

static int write_docker(struct export *export, struct err *err)
{
	const char *slash = strrchr(export->name, '/'), *colon = strchr(slash ? slash : export->name, ':');
	auto_free char *config = text_format("%s.json", export->image->config),
		       *tag = text_format("%s%s", export->name, colon ? "" : ":latest");
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };
	int r;

	json_write_array(&writer, NULL);
	json_write_object(&writer, NULL);
	json_write_string(&writer, "Config", config);
	json_write_array(&writer, "RepoTags");
	json_write_string(&writer, NULL, tag);
	json_write_end_array(&writer);
	json_write_array(&writer, "Layers");
	for (size_t i = 0; i < export->image->layers.count; i++) {
		auto_free char *layer = text_format("%s.tar", export->image->layers.items[i].digest);

		json_write_string(&writer, NULL, layer);
	}
	json_write_end_array(&writer);
	json_write_end_object(&writer);
	json_write_end_array(&writer);
	if ((r = write_text(export, "manifest.json", &text, err)) < 0 || (r = write_blob(export, config, export->image->config, err)) < 0)
		return r;
	return write_layers(export, "", ".tar", err);
}

static int write_archive(struct export *export, enum oci_archive_form form, struct err *err)
{
	int r;

	if (archive_write_set_format_pax_restricted(export->archive) != ARCHIVE_OK ||
	    archive_write_open(export->archive, export, NULL, take_output, NULL) != ARCHIVE_OK)
		return explain(export, err);
	r = form == OCI_ARCHIVE_DOCKER ? write_docker(export, err) : write_oci(export, err);
	if (r == 0 && archive_write_close(export->archive) != ARCHIVE_OK)
		r = explain(export, err);
	if (r == 0 && fsync(export->fd) < 0)
		r = err_set(err, -errno, "write the archive to disk: %m");
	return r;
}

int oci_export(const char *folder, const char *scratch, const struct oci_image *image, const char *name,
	       enum oci_archive_form form, const char *path, const struct volume_progress *progress, struct err *err)
{
	auto_store struct oci_store store;
	struct export export = { .store = &store, .image = image, .name = name };
	auto_free char *unfinished = text_format("%s.new", path);
	auto_close int fd = -1;
	int r = oci_store_open(&store, folder, scratch, progress, err);

	if (r < 0)
		return r;
	if (form != OCI_ARCHIVE_DOCKER && form != OCI_ARCHIVE_OCI)
		return err_set(err, -EINVAL, "an image is exported as docker-archive or oci-archive");
	fd = open(unfinished, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, -errno, "create '%s': %m", shown(unfinished));
	store.total_bytes = image->blob_bytes;
	export.archive = archive_write_new();
	export.fd = fd;
	r = write_archive(&export, form, err);
	export.has_failed = r < 0;
	archive_write_free(export.archive);
	if (r == 0 && rename(unfinished, path) < 0)
		r = err_set(err, -errno, "rename '%s': %m", shown(unfinished));
	if (r < 0)
		unlink(unfinished);
	return r;
}
