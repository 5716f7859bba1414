#include "2-virtualization/images/oci/members.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"

enum { MEMBERS_MAX = 4096, NAME_LENGTH_MAX = 512, READ_BLOCK_BYTES = 256 << 10, LINKS_MAX = 8 };

static const char *without_dot(const char *name)
{
	while (text_starts_with(name, "./"))
		name += 2 + strspn(name + 2, "/");
	return name;
}

static struct archive *open_tar(int fd, struct err *err)
{
	struct archive *archive = archive_read_new();

	archive_read_support_format_tar(archive);
	archive_read_support_filter_gzip(archive);
	archive_read_support_filter_zstd(archive);
	archive_read_support_filter_xz(archive);
	if (lseek(fd, 0, SEEK_SET) == 0 && archive_read_open_fd(archive, fd, READ_BLOCK_BYTES) == ARCHIVE_OK)
		return archive;
	err_set(err, -EINVAL, "the archive is no tar (%s)", shown(archive_error_string(archive) ? archive_error_string(archive) : "unreadable"));
	archive_read_free(archive);
	return NULL;
}

static int explain(struct archive *archive, struct err *err)
{
	const char *reason = archive_error_string(archive);

	return err_set(err, -EINVAL, "the archive is damaged or cut off (%s)", reason ? shown(reason) : "unexpected end");
}

/* Guessing */

/* docker-archive: manifest.json, repositories, <hex>.json, sha256:<hex>, <hex>/ or <hex>.tar, in any order. */
static bool is_docker_name(const char *name)
{
	if (text_starts_with(name, "sha256:"))
		name += strlen("sha256:");
	return text_equal(name, "manifest.json") || text_equal(name, "repositories") ||
	       (strspn(name, "0123456789abcdef") == 64 && (name[64] == '/' || name[64] == '.' || name[64] == '\0'));
}

static bool is_oci_name(const char *name)
{
	return text_equal(name, "oci-layout") || text_equal(name, "index.json") || text_equal(name, "blobs") || text_starts_with(name, "blobs/");
}

int members_guess(int fd, enum oci_archive_form *ret_form, struct err *err)
{
	struct archive *archive = open_tar(fd, err);
	struct archive_entry *entry;
	const char *name = "";
	int r;

	if (!archive)
		return err->code;
	while ((r = archive_read_next_header(archive, &entry)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		name = archive_entry_pathname(entry) ? without_dot(archive_entry_pathname(entry)) : "";
		if (name[0])
			break;
	}
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
		r = r == ARCHIVE_EOF ? err_set(err, -EINVAL, "the archive is empty") : explain(archive, err);
	else
		r = 0;
	if (r == 0)
		*ret_form = is_docker_name(name) ? OCI_ARCHIVE_DOCKER : is_oci_name(name) ? OCI_ARCHIVE_OCI : OCI_ARCHIVE_ROOTFS;
	archive_read_free(archive);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = err_set(err, -errno, "rewind the archive: %m");
	return r;
}

/* Tars */

static struct member *add(struct members *members, const char *name)
{
	struct member *member = vec_push(&members->items);

	member->name = text_copy(name);
	return member;
}

static struct member *look_up(const struct members *members, const char *name)
{
	for (size_t i = 0; i < members->items.count; i++)
		if (text_equal(members->items.items[i].name, name))
			return &members->items.items[i];
	return NULL;
}

/* A symbolic link is relative to its own folder: "<hex>/layer.tar" -> "../<hex>/layer.tar". */
static char *resolve(const char *name, const char *target)
{
	const char *slash = strrchr(name, '/');
	size_t length = slash ? (size_t)(slash - name) + 1 : 0;

	while (text_starts_with(target, "../") && length > 0) {
		target += 3;
		for (length--; length > 0 && name[length - 1] != '/'; length--)
			;
	}
	return text_format("%.*s%s", (int)length, name, target);
}

static int copy_content(struct members *members, struct archive *archive, struct member *member, struct err *err)
{
	auto_close int fd = open(member->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	auto_sha256 struct sha256 sha256;
	int r = 0;

	sha256_init(&sha256);
	if (fd < 0)
		return err_set(err, -errno, "create '%s': %m", shown(member->path));
	while (r == 0) {
		const void *bytes;
		size_t count;
		la_int64_t offset;

		r = archive_read_data_block(archive, &bytes, &count, &offset);
		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK)
			return explain(archive, err);
		if (volume_is_cancelled(members->store->progress))
			return err_set(err, -ECANCELED, "cancelled");
		if ((uint64_t)offset != member->size)
			return err_set(err, -EINVAL, "'%s' in the archive is sparse: only plain files are taken", shown(member->name));
		if (member->size + count > LIMIT_LAYER_BYTES)
			return err_set(err, -EFBIG, "'%s' in the archive has more than %llu bytes", shown(member->name), LIMIT_LAYER_BYTES);
		r = file_write_at(fd, bytes, count, member->size, err);
		sha256_update(&sha256, bytes, count);
		member->size += count;
		oci_report(members->store, (uint64_t)archive_filter_bytes(archive, -1));
	}
	if (r < 0)
		return err_prefix(err, "'%s' in the archive", shown(member->name));
	sha256_finish(&sha256, member->digest);
	return 0;
}

static int take_member(struct members *members, struct archive *archive, struct archive_entry *entry, struct err *err)
{
	const char *name = archive_entry_pathname(entry), *hard = archive_entry_hardlink(entry), *soft = archive_entry_symlink(entry);
	struct member *member;

	if (!name || strlen(name) > NAME_LENGTH_MAX)
		return err_set(err, -EINVAL, "the archive has an entry with a name that no image archive has");
	name = without_dot(name);
	if (archive_entry_filetype(entry) == AE_IFDIR && !hard)
		return 0;
	if (members->items.count >= MEMBERS_MAX)
		return err_set(err, -EFBIG, "the archive has more than %d files: it is no image archive", MEMBERS_MAX);
	if (look_up(members, name))
		return err_set(err, -EINVAL, "'%s' is twice in the archive", shown(name));
	if (!hard && !soft && archive_entry_filetype(entry) != AE_IFREG)
		return err_set(err, -EINVAL, "'%s' in the archive is neither a file nor a link", shown(name));
	member = add(members, name);
	if (hard)
		member->target = text_copy(without_dot(hard));
	else if (soft)
		member->target = resolve(name, soft);
	if (hard || soft)
		return 0;
	member->path = text_format("%s/member-%zu", members->store->scratch, members->items.count);
	return copy_content(members, archive, member, err);
}

int members_open_tar(struct members *members, const struct oci_store *store, int fd, struct err *err)
{
	struct archive *archive = open_tar(fd, err);
	struct archive_entry *entry;
	int r = 0;

	*members = (struct members){ .store = store, .folder_fd = -1 };
	if (!archive)
		return err->code;
	for (;;) {
		int result = archive_read_next_header(archive, &entry);

		r = 0;
		if (result == ARCHIVE_EOF)
			break;
		r = result == ARCHIVE_OK || result == ARCHIVE_WARN ? take_member(members, archive, entry, err) : explain(archive, err);
		if (r < 0)
			break;
	}
	archive_read_free(archive);
	return r;
}

/* Folders */

int members_open_folder(struct members *members, const struct oci_store *store, const char *path, struct err *err)
{
	*members = (struct members){ .store = store, .folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	return members->folder_fd < 0 ? err_set(err, -errno, "open '%s': %m", shown(path)) : 0;
}

static const struct member *copy_from_folder(struct members *members, const char *name, struct err *err)
{
	auto_close int from_fd = file_open_beneath(members->folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, err), to_fd = -1;
	const bool *is_cancelled = members->store->progress ? members->store->progress->is_cancelled : NULL;
	const struct file_progress progress = { .is_cancelled = is_cancelled };
	struct member *member;
	struct stat st;

	if (from_fd < 0)
		return NULL;
	if (fstat(from_fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		err_set(err, -EINVAL, "'%s' in the layout is no file", shown(name));
		return NULL;
	}
	if ((uint64_t)st.st_size > LIMIT_LAYER_BYTES) {
		err_set(err, -EFBIG, "'%s' in the layout has more than %llu bytes", shown(name), LIMIT_LAYER_BYTES);
		return NULL;
	}
	member = add(members, name);
	member->size = (uint64_t)st.st_size;
	member->path = text_format("%s/member-%zu", members->store->scratch, members->items.count);
	to_fd = open(member->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to_fd < 0)
		err_set(err, -errno, "create '%s': %m", shown(member->path));
	else if (file_copy_sparse(from_fd, to_fd, &progress, err) == 0 && sha256_file(to_fd, is_cancelled, member->digest, err) == 0)
		return member;
	return NULL;
}

/* Both */

const struct member *members_find(struct members *members, const char *name, struct err *err)
{
	const struct member *member = look_up(members, name);

	if (!member && members->folder_fd >= 0)
		return copy_from_folder(members, name, err);
	for (int i = 0; member && member->target && i < LINKS_MAX; i++)
		member = look_up(members, member->target);
	if (member && member->path)
		return member;
	err_set(err, -ENOENT, "'%s' is missing in the archive", shown(name));
	return NULL;
}

int members_read(struct members *members, const char *name, size_t max_bytes, struct str *out, struct err *err)
{
	const struct member *member = members_find(members, name, err);

	if (!member)
		return err->code;
	if (member->size > max_bytes)
		return err_set(err, -EFBIG, "'%s' in the archive has %" PRIu64 " bytes: at most %zu are taken", shown(name), member->size, max_bytes);
	str_clear(out);
	return file_read_all(member->path, max_bytes, out, err);
}

void members_done(struct members *members)
{
	for (size_t i = 0; i < members->items.count; i++) {
		struct member *member = &members->items.items[i];

		if (member->path)
			unlink(member->path);
		free(member->name);
		free(member->path);
		free(member->target);
	}
	vec_done(&members->items);
	closep(&members->folder_fd);
}
