/* The store's folder: its lock, and blobs. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/file.h"
#include "base/mem.h"

char *oci_layer_path(const char *folder, const char *diff_id)
{
	return text_format("%s/layers/%s", folder, diff_id);
}

char *oci_blob_path(const char *folder, const char *digest)
{
	return text_format("%s/blobs/sha256/%s", folder, digest);
}

/* Layers hold programs with setuid bits and device nodes: only root may get near them. */
static int make_folders(const char *folder, struct err *err)
{
	auto_free char *blobs = text_format("%s/blobs/sha256", folder), *layers = text_format("%s/layers", folder);
	int r;

	if ((r = file_make_dirs(folder, 0700, err)) < 0 || (r = file_make_dirs(blobs, 0700, err)) < 0)
		return r;
	return file_make_dirs(layers, 0700, err);
}

static int lock(struct oci_store *store, int operation, struct err *err)
{
	auto_free char *path = text_format("%s/lock", store->folder);

	store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->lock_fd < 0)
		return err_set(err, -errno, "open '%s': %m", shown(path));
	while (flock(store->lock_fd, operation) < 0) {
		if (errno == EWOULDBLOCK)
			return err_set(err, -EBUSY, "images are being pulled or made: try again later");
		if (errno != EINTR)
			return err_set(err, -errno, "lock '%s': %m", shown(path));
	}
	return 0;
}

int oci_store_open(struct oci_store *store, const char *folder, const char *scratch, const struct volume_progress *progress,
		   struct err *err)
{
	int r;

	*store = (struct oci_store){ .folder = folder, .scratch = scratch, .progress = progress, .lock_fd = -1 };
	if (geteuid() != 0)
		return err_set(err, -EPERM, "container images need root: their files belong to many users");
	r = make_folders(folder, err);
	return r < 0 ? r : lock(store, LOCK_SH, err);
}

int oci_store_open_alone(struct oci_store *store, const char *folder, struct err *err)
{
	int r;

	*store = (struct oci_store){ .folder = folder, .lock_fd = -1 };
	r = make_folders(folder, err);
	return r < 0 ? r : lock(store, LOCK_EX | LOCK_NB, err);
}

void oci_store_done(struct oci_store *store)
{
	closep(&store->lock_fd);
	store->lock_fd = -1;
}

void oci_report(const struct oci_store *store, uint64_t done_bytes)
{
	uint64_t done = store->done_bytes + done_bytes;

	volume_report(store->progress, done < store->total_bytes ? done : store->total_bytes, store->total_bytes);
}

uint64_t oci_blob_size(const struct oci_store *store, const char *digest)
{
	auto_free char *path = oci_blob_path(store->folder, digest);
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

bool oci_blob_is_there(const struct oci_store *store, const char *digest)
{
	auto_free char *path = oci_blob_path(store->folder, digest);

	return access(path, F_OK) == 0;
}

int oci_blob_put(const struct oci_store *store, const void *bytes, size_t size, char ret_digest[SHA256_TEXT_SIZE], struct err *err)
{
	auto_free char *path = NULL, *scratch = text_format("%s/put", store->scratch);
	auto_sha256 struct sha256 sha256;
	char digest[SHA256_TEXT_SIZE];
	int r;

	sha256_init(&sha256);
	sha256_update(&sha256, bytes, size);
	sha256_finish(&sha256, digest);
	path = oci_blob_path(store->folder, digest);
	/* In the scratch folder first: two may write the same blob at once. */
	if (access(path, F_OK) < 0) {
		r = file_write_atomic(scratch, bytes, size, 0600, err);
		if (r == 0)
			r = oci_blob_adopt(store, scratch, digest, err);
		unlink(scratch);
		if (r < 0)
			return r;
	}
	if (ret_digest)
		memcpy(ret_digest, digest, sizeof(digest));
	return 0;
}

int oci_blob_adopt(const struct oci_store *store, const char *path, const char *digest, struct err *err)
{
	auto_free char *to = oci_blob_path(store->folder, digest), *folder = text_format("%s/blobs/sha256", store->folder);
	auto_close int fd = -1;

	if (access(to, F_OK) == 0)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fsync(fd) < 0)
		return err_set(err, -errno, "write '%s' to disk: %m", shown(path));
	if (link(path, to) < 0 && errno != EEXIST)
		return err_set(err, -errno, "keep the blob %.12s: %m", digest);
	return file_sync_dir(folder, err);
}

int oci_blob_read(const struct oci_store *store, const char *what, const char *digest, size_t max_bytes, struct str *out, struct err *err)
{
	auto_free char *path = oci_blob_path(store->folder, digest);
	auto_sha256 struct sha256 sha256;
	char sum[SHA256_TEXT_SIZE];
	int r;

	sha256_init(&sha256);
	if (access(path, F_OK) < 0)
		return err_set(err, -ENOENT, "the image's %s sha256:%.12s is not here: pull or import it again", what, digest);
	str_clear(out);
	if ((r = file_read_all(path, max_bytes, out, err)) < 0)
		return err_prefix(err, "the image's %s", what);
	sha256_update(&sha256, str_text(out), out->size);
	sha256_finish(&sha256, sum);
	if (text_equal(sum, digest))
		return 0;
	unlink(path);			/* So that it is fetched again. */
	return err_set(err, -EINVAL, "the image's %s sha256:%.12s is damaged: pull or import it again", what, digest);
}
