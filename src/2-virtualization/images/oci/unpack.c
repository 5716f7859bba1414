/*
 * A layer's tar stream into its folder (OCI image spec, layer.md), with overlayfs's whiteouts.
 *
 * The stream is hostile. Names are confined (confine.c); nothing is opened by a name that could be a link;
 * counts and sizes meet limits first. Of extended attributes only file capabilities and "user." come through:
 * the "trusted.overlay." ones would make overlayfs look elsewhere. Times of folders are set last, for filling them changes them.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "2-virtualization/images/oci/internal.h"
#include "2-virtualization/images/oci/node.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/units.h"

struct folder_time {
	char *path;
	struct timespec time;
};

struct unpack {
	struct oci_stream *stream;
	const struct oci_store *store;
	struct archive *archive;
	struct oci_confine confine, targets;	/* Of entries; of what hard links point to. */
	VEC(struct folder_time) folders;
	uint64_t entries, devices, name_bytes, file_bytes, free_bytes;
	int input_code;			/* Why the stream ended early. */
	struct err input_err;
};

static la_ssize_t take_input(struct archive *archive, void *data, const void **ret_bytes)
{
	struct unpack *unpack = data;
	ssize_t n = oci_stream_next(unpack->stream, ret_bytes, &unpack->input_err);

	if (n >= 0)
		return n;
	unpack->input_code = (int)n;
	archive_set_error(archive, EIO, "%s", unpack->input_err.msg);
	return -1;
}

static int explain(struct unpack *unpack, struct err *err)
{
	const char *reason = archive_error_string(unpack->archive);

	/* Damage of the compressed stream is the cause of damage of the tar in it. */
	if (unpack->input_code)
		return err_set(err, unpack->input_code, "%s", unpack->input_err.msg);
	return err_set(err, -EINVAL, "it is no sound tar archive (%s)", reason ? shown(reason) : "unexpected end");
}

static int count_entry(struct unpack *unpack, const char *name, struct err *err)
{
	unpack->name_bytes += strlen(name);
	if (++unpack->entries > LIMIT_LAYER_ENTRIES)
		return err_set(err, -EFBIG, "it has more than %d entries (at '%s')", LIMIT_LAYER_ENTRIES, shown(name));
	if (unpack->name_bytes > LIMIT_LAYER_NAME_BYTES)
		return err_set(err, -EFBIG, "the names of its entries have more than %d bytes (at '%s')", LIMIT_LAYER_NAME_BYTES,
			       shown(name));
	return 0;
}

/* Before the first byte is written, so that a disk is not filled for nothing. */
static int count_file(struct unpack *unpack, struct archive_entry *entry, const char *name, struct err *err)
{
	int64_t size = archive_entry_size(entry);
	char text[UNITS_TEXT_SIZE], limit[UNITS_TEXT_SIZE];
	struct statvfs vfs;

	if (size < 0)
		return err_set(err, -EINVAL, "entry '%s' has no size", shown(name));
	if (archive_entry_sparse_count(entry) > 0 && (uint64_t)size > LIMIT_SPARSE_BYTES)
		return err_set(err, -EFBIG, "entry '%s' is a sparse file of %s: at most %s are taken", shown(name),
			       units_format_size((uint64_t)size, text), units_format_size(LIMIT_SPARSE_BYTES, limit));
	if ((uint64_t)size > LIMIT_LAYER_BYTES - unpack->file_bytes)
		return err_set(err, -EFBIG, "its files have more than %s (at '%s')", units_format_size(LIMIT_LAYER_BYTES, limit), shown(name));
	unpack->file_bytes += (uint64_t)size;
	if (archive_entry_sparse_count(entry) > 0)
		return 0;
	if ((uint64_t)size > unpack->free_bytes) {
		if (fstatvfs(unpack->confine.root_fd, &vfs) < 0)
			return err_set(err, -errno, "ask for free space: %m");
		unpack->free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	}
	if ((uint64_t)size > unpack->free_bytes)
		return err_set(err, -ENOSPC, "entry '%s' of %s does not fit: %s are free", shown(name),
			       units_format_size((uint64_t)size, text), units_format_size(unpack->free_bytes, limit));
	unpack->free_bytes -= (uint64_t)size;
	return 0;
}

static int count_device(struct unpack *unpack, const char *name, struct err *err)
{
	if (++unpack->devices > LIMIT_LAYER_DEVICES)
		return err_set(err, -EFBIG, "it has more than %d device nodes (at '%s')", LIMIT_LAYER_DEVICES, shown(name));
	return 0;
}

static int check_owner(struct archive_entry *entry, const char *name, struct err *err)
{
	int64_t user = archive_entry_uid(entry), group = archive_entry_gid(entry);

	if (user < 0 || user > 65535 || group < 0 || group > 65535)
		return err_set(err, -EINVAL, "entry '%s' belongs to %" PRId64 ":%" PRId64 ": ids go up to 65535 in a container", shown(name),
			       user, group);
	return 0;
}

static int write_content(struct unpack *unpack, int fd, uint64_t size, const char *name, struct err *err)
{
	uint64_t end = 0;

	for (;;) {
		const void *bytes;
		size_t count;
		la_int64_t offset;
		int r = archive_read_data_block(unpack->archive, &bytes, &count, &offset);

		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK)
			return explain(unpack, err);
		if (volume_is_cancelled(unpack->store->progress))
			return err_set(err, -ECANCELED, "cancelled");
		if (offset < 0 || (uint64_t)offset > size || count > size - (uint64_t)offset)
			return err_set(err, -EINVAL, "entry '%s' is longer than it says", shown(name));
		if (count > 0 && (r = oci_node_write(fd, bytes, count, (uint64_t)offset, err)) < 0)
			return err_prefix(err, "entry '%s'", shown(name));
		end = (uint64_t)offset + count;
	}
	/* A hole at its end. */
	if (end < size && ftruncate(fd, (off_t)size) < 0)
		return err_set(err, -errno, "entry '%s': %m", shown(name));
	return 0;
}

static int make_file(struct unpack *unpack, struct archive_entry *entry, const struct oci_place *place, const char *name, struct err *err)
{
	auto_close int fd = -1;
	int r = count_file(unpack, entry, name, err);

	if (r < 0)
		return r;
	fd = oci_node_file(&unpack->confine, place, name, err);
	if (fd < 0)
		return fd;
	if ((r = write_content(unpack, fd, (uint64_t)archive_entry_size(entry), name, err)) < 0)
		return r;
	return oci_node_dress(fd, entry, true, name, err);
}

static void remember_time(struct unpack *unpack, struct archive_entry *entry, const char *name)
{
	struct folder_time *folder;

	if (!archive_entry_mtime_is_set(entry))
		return;
	folder = vec_push(&unpack->folders);
	folder->path = text_copy(name);
	folder->time = (struct timespec){ .tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry) };
}

static int make_folder(struct unpack *unpack, struct archive_entry *entry, const struct oci_place *place, const char *name, struct err *err)
{
	auto_close int fd = oci_node_folder(&unpack->confine, place, name, err);

	if (fd < 0)
		return fd;
	remember_time(unpack, entry, name);
	return oci_node_dress(fd, entry, false, name, err);
}

static int make_hard_link(struct unpack *unpack, struct archive_entry *entry, const struct oci_place *place, const char *name,
			  struct err *err)
{
	const char *target = archive_entry_hardlink(entry);
	struct oci_place from;
	int r = oci_confine_find(&unpack->targets, target, false, &from, err);

	if (r == 0 && !from.base[0])
		r = err_set(err, -EINVAL, "it is the root");
	if (r == -ENOENT)
		return err_set(err, -EINVAL, "entry '%s' is a hard link to '%s', which is not in its layer", shown(name), shown(target));
	if (r < 0)
		return err_prefix(err, "entry '%s' is a hard link to '%s'", shown(name), shown(target));
	r = oci_node_link(&unpack->confine, &from, place, name, target, err);
	oci_confine_forget(&unpack->targets);	/* Whatever comes next may change the way there. */
	return r;
}

static int make_node(struct unpack *unpack, struct archive_entry *entry, const struct oci_place *place, const char *name, struct err *err)
{
	int r;

	if (archive_entry_hardlink(entry))
		return make_hard_link(unpack, entry, place, name, err);
	if ((r = check_owner(entry, name, err)) < 0)
		return r;
	switch (archive_entry_filetype(entry)) {
	case AE_IFDIR:
		return make_folder(unpack, entry, place, name, err);
	case AE_IFREG:
		return make_file(unpack, entry, place, name, err);
	case AE_IFCHR:
	case AE_IFBLK:
		if ((r = count_device(unpack, name, err)) < 0)
			return r;
		return oci_node_special(&unpack->confine, entry, place, name, err);
	case AE_IFIFO:
	case AE_IFLNK:
		return oci_node_special(&unpack->confine, entry, place, name, err);
	default:
		return err_set(err, -EINVAL, "entry '%s' is of a kind that layers do not have", shown(name));
	}
}

static int take_entry(struct unpack *unpack, struct archive_entry *entry, struct err *err)
{
	const char *name = archive_entry_pathname(entry);
	struct oci_place place;
	int r;

	if (!name)
		return err_set(err, -EINVAL, "entry %" PRIu64 " has no name", unpack->entries + 1);
	if ((r = count_entry(unpack, name, err)) < 0 || (r = oci_confine_find(&unpack->confine, name, true, &place, err)) < 0)
		return r;
	if (text_starts_with(place.base, OCI_WHITEOUT))
		return oci_node_whiteout(&place, name, err);
	if (!place.base[0] && (archive_entry_filetype(entry) != AE_IFDIR || archive_entry_hardlink(entry)))
		return err_set(err, -EINVAL, "entry '%s' would replace the root by a file", shown(name));
	return make_node(unpack, entry, &place, name, err);
}

/* In their order: what is said last counts. */
static void set_folder_times(struct unpack *unpack)
{
	struct err ignored;

	for (size_t i = 0; i < unpack->folders.count; i++) {
		const struct folder_time *folder = &unpack->folders.items[i];
		const struct timespec times[2] = { folder->time, folder->time };
		struct oci_place place;

		/* It may have been replaced since; a wrong time harms nobody. */
		if (oci_confine_find(&unpack->confine, folder->path, false, &place, &ignored) == 0)
			utimensat(place.parent_fd, place.base[0] ? place.base : ".", times, AT_SYMLINK_NOFOLLOW);
	}
}

static int take_all(struct unpack *unpack, struct err *err)
{
	struct archive_entry *entry;
	int r;

	archive_read_support_format_tar(unpack->archive);
	archive_read_support_format_empty(unpack->archive);
	if (archive_read_open(unpack->archive, unpack, NULL, take_input, NULL) != ARCHIVE_OK)
		return explain(unpack, err);
	/* A warning: a name in letters that the "C" locale does not know; it is as it was in the archive. */
	while ((r = archive_read_next_header(unpack->archive, &entry)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		if (volume_is_cancelled(unpack->store->progress))
			return err_set(err, -ECANCELED, "cancelled");
		oci_report(unpack->store, oci_stream_taken(unpack->stream));
		if ((r = take_entry(unpack, entry, err)) < 0)
			return r;
	}
	if (r != ARCHIVE_EOF)
		return explain(unpack, err);
	set_folder_times(unpack);
	return 0;
}

static void unpack_done(struct unpack *unpack)
{
	archive_read_free(unpack->archive);
	oci_confine_forget(&unpack->confine);
	oci_confine_forget(&unpack->targets);
	for (size_t i = 0; i < unpack->folders.count; i++)
		free(unpack->folders.items[i].path);
	vec_done(&unpack->folders);
}

int oci_unpack_tree(struct oci_stream *stream, int root_fd, const struct oci_store *store, uint64_t *ret_bytes, struct err *err)
{
	struct unpack unpack = {
		.stream = stream, .store = store, .archive = archive_read_new(),
		.confine = { .root_fd = root_fd, .parent_fd = -1 }, .targets = { .root_fd = root_fd, .parent_fd = -1 },
	};
	/* libarchive turns names into the locale's letters, and in UTF-8 into their composed form; "C" leaves them alone. */
	locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(plain);
	int r = take_all(&unpack, err);

	if (r == 0)
		*ret_bytes = unpack.file_bytes;
	unpack_done(&unpack);
	uselocale(before);
	freelocale(plain);
	return r;
}
