/*
 * layers/: a layer is unpacked into layers/.tmp-XXXXXX, synced and renamed to its DiffID. Two who do so at once
 * both succeed: the later throws its own away.
 *
 * Beside the folder lies "<DiffID>.info": a line with the size of its files, then one for each blob that was seen to be
 * this layer, so that an image's claim "this blob is that layer" is checked once.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/file.h"
#include "base/mem.h"

enum { INFO_MAX_BYTES = 1 << 20 };

static char *info_path(const struct oci_store *store, const char *diff_id)
{
	return text_format("%s/layers/%s.info", store->folder, diff_id);
}

static bool is_there(const struct oci_store *store, const char *diff_id)
{
	auto_free char *path = oci_layer_path(store->folder, diff_id);

	return access(path, F_OK) == 0;
}

/* False when nothing is known. */
static bool read_info(const struct oci_store *store, const char *diff_id, const char *digest, bool *ret_is_listed, uint64_t *ret_bytes)
{
	auto_free char *path = info_path(store, diff_id);
	auto_str struct str text = { 0 };
	struct err ignored;

	if (file_read_all(path, INFO_MAX_BYTES, &text, &ignored) < 0 || sscanf(str_text(&text), "%" SCNu64, ret_bytes) != 1)
		return false;
	*ret_is_listed = strstr(str_text(&text), digest) != NULL;
	return true;
}

/* Through the scratch folder, for others may do the same at this moment. Losing one's line to another's costs a check later. */
static int write_info(const struct oci_store *store, const char *diff_id, const char *digest, uint64_t bytes, struct err *err)
{
	auto_free char *path = info_path(store, diff_id), *scratch = text_format("%s/info", store->scratch);
	auto_str struct str text = { 0 };
	struct err ignored;
	int r;

	if (file_read_all(path, INFO_MAX_BYTES, &text, &ignored) < 0)
		str_printf(&text, "%" PRIu64 "\n", bytes);
	if (strstr(str_text(&text), digest))
		return 0;
	str_printf(&text, "%s\n", digest);
	r = file_write_atomic(scratch, text.data, text.size, 0600, err);
	if (r == 0 && rename(scratch, path) < 0)
		r = err_set(err, -errno, "rename '%s': %m", shown(scratch));
	return r;
}

/* What it turned out to be is what was announced, where something was. */
static int check(const char *digest, const char *diff_id, char expected_digest[SHA256_TEXT_SIZE], char expected_diff_id[SHA256_TEXT_SIZE],
		 struct err *err)
{
	if (expected_digest[0] && !text_equal(digest, expected_digest))
		return err_set(err, -EINVAL, "its digest is sha256:%.12s instead of sha256:%.12s: it is damaged", digest, expected_digest);
	if (expected_diff_id[0] && !text_equal(diff_id, expected_diff_id))
		return err_set(err, -EINVAL, "its content is sha256:%.12s, the image's configuration says sha256:%.12s: the image is damaged",
			       diff_id, expected_diff_id);
	memcpy(expected_digest, digest, SHA256_TEXT_SIZE);
	memcpy(expected_diff_id, diff_id, SHA256_TEXT_SIZE);
	return 0;
}

/* The finished folder gets its name. Its files reach the disk first: all that is on the file system, which is much cheaper
 * than one after another. */
static int publish(const struct oci_store *store, const char *temporary, const char *digest, const char *diff_id, uint64_t bytes,
		   struct err *err)
{
	auto_free char *path = oci_layer_path(store->folder, diff_id), *layers = text_format("%s/layers", store->folder);
	auto_close int fd = open(temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err ignored;
	int r;

	if (fd < 0 || syncfs(fd) < 0)
		return err_set(err, errno == ENOSPC ? -ENOSPC : -errno, "write it to disk: %m");
	if ((r = write_info(store, diff_id, digest, bytes, err)) < 0)
		return r;
	if (rename(temporary, path) == 0)
		return file_sync_dir(layers, err);
	if (errno != EEXIST && errno != ENOTEMPTY)
		return err_set(err, -errno, "rename '%s': %m", shown(temporary));
	file_remove_tree(temporary, &ignored);
	return 0;
}

static int unpack_into(const struct oci_store *store, int blob_fd, const char *temporary, char digest[SHA256_TEXT_SIZE],
		       char diff_id[SHA256_TEXT_SIZE], enum oci_compression *ret_compression, uint64_t *ret_bytes, struct err *err)
{
	auto_close int root_fd = open(temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_stream struct oci_stream *stream = NULL;
	char is_digest[SHA256_TEXT_SIZE], is_diff_id[SHA256_TEXT_SIZE];
	int r;

	if (root_fd < 0 || fchmod(root_fd, 0755) < 0)	/* What a root is when the layer says nothing. */
		return err_set(err, -errno, "open '%s': %m", shown(temporary));
	if ((r = oci_stream_open(blob_fd, &stream, err)) < 0 || (r = oci_unpack_tree(stream, root_fd, store, ret_bytes, err)) < 0 ||
	    (r = oci_stream_finish(stream, store, is_digest, is_diff_id, err)) < 0 ||
	    (r = check(is_digest, is_diff_id, digest, diff_id, err)) < 0)
		return r;
	if (!oci_stream_is_standard(stream) && ret_compression)
		return err_set(err, -EINVAL, "it is compressed in a way that images do not use: use gzip or zstd");
	if (ret_compression)
		*ret_compression = oci_stream_compression(stream);
	return publish(store, temporary, is_digest, is_diff_id, *ret_bytes, err);
}

int oci_layer_add(const struct oci_store *store, int fd, char digest[SHA256_TEXT_SIZE], char diff_id[SHA256_TEXT_SIZE],
		  enum oci_compression *ret_compression, uint64_t *ret_unpacked_bytes, struct err *err)
{
	auto_free char *temporary = text_format("%s/layers/.tmp-XXXXXX", store->folder);
	struct err ignored;
	int r;

	if (!mkdtemp(temporary))
		return err_set(err, -errno, "make a folder in '%s/layers': %m", shown(store->folder));
	r = unpack_into(store, fd, temporary, digest, diff_id, ret_compression, ret_unpacked_bytes, err);
	if (r < 0)
		file_remove_tree(temporary, &ignored);
	return r;
}

/* The layer is there, made from another blob: is this one the same? */
static int compare(const struct oci_store *store, int fd, const char *digest, const char *diff_id, uint64_t bytes, struct err *err)
{
	auto_stream struct oci_stream *stream = NULL;
	char expected_digest[SHA256_TEXT_SIZE], expected_diff_id[SHA256_TEXT_SIZE], is_digest[SHA256_TEXT_SIZE], is_diff_id[SHA256_TEXT_SIZE];
	int r = oci_stream_open(fd, &stream, err);

	memcpy(expected_digest, digest, SHA256_TEXT_SIZE);
	memcpy(expected_diff_id, diff_id, SHA256_TEXT_SIZE);
	if (r < 0 || (r = oci_stream_finish(stream, store, is_digest, is_diff_id, err)) < 0 ||
	    (r = check(is_digest, is_diff_id, expected_digest, expected_diff_id, err)) < 0)
		return r;
	return write_info(store, diff_id, digest, bytes, err);
}

/* Unpacking failed. When it is the blob on this disk that is not what it was, it must go, or no pull would fetch it again. */
static int explain_damage(const struct oci_store *store, int fd, const char *path, const char *digest, struct err *err)
{
	char is_digest[SHA256_TEXT_SIZE];
	struct err ignored;

	if (sha256_file(fd, store->progress ? store->progress->is_cancelled : NULL, is_digest, &ignored) < 0 || text_equal(is_digest, digest))
		return err->code;
	unlink(path);
	return err_set(err, -EINVAL, "its blob was damaged on this host's disk: pull or import it again");
}

int oci_layer_ensure(const struct oci_store *store, const char *digest, const char *diff_id, uint64_t *ret_unpacked_bytes, struct err *err)
{
	auto_free char *path = oci_blob_path(store->folder, digest);
	auto_close int fd = -1;
	char expected_digest[SHA256_TEXT_SIZE], expected_diff_id[SHA256_TEXT_SIZE];
	bool is_here = is_there(store, diff_id), is_listed = false, is_known;
	int r;

	is_known = read_info(store, diff_id, digest, &is_listed, ret_unpacked_bytes);
	if (is_here && is_known && is_listed)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return err_set(err, -ENOENT, "its blob sha256:%.12s is not here: pull or import it again", digest);
	if (fd < 0)
		return err_set(err, -errno, "open '%s': %m", shown(path));
	memcpy(expected_digest, digest, SHA256_TEXT_SIZE);
	memcpy(expected_diff_id, diff_id, SHA256_TEXT_SIZE);
	if (is_here && is_known)
		r = compare(store, fd, digest, diff_id, *ret_unpacked_bytes, err);
	else
		r = oci_layer_add(store, fd, expected_digest, expected_diff_id, NULL, ret_unpacked_bytes, err);
	return r == -EINVAL ? explain_damage(store, fd, path, digest, err) : r;
}
