/*
 * A folder as a layer's tar stream (POSIX pax). libarchive walks it: without following links, within its file system, with
 * holes of sparse files and extended attributes.
 *
 * Of an overlay's upper folder, what hides something below becomes what OCI has for that: a 0:0 device is ".wh.NAME", an
 * opaque folder holds ".wh..wh..opq". An upper folder whose files only refer to those below (redirect_dir, metacopy) is refused:
 * our mounts have neither.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/mem.h"

struct tree {
	const struct oci_store *store;
	const char *folder;
	bool is_upper;
	struct oci_packer *packer;
	struct archive *disk, *tar;
	struct archive_entry_linkresolver *links;
	struct err packer_err;
	int packer_code;
	bool has_failed;		/* Nothing more is written, not even what closing would add. */
	uint64_t done;
};

static la_ssize_t take_output(struct archive *archive, void *data, const void *bytes, size_t size)
{
	struct tree *tree = data;

	if (tree->has_failed)
		return -1;
	tree->packer_code = oci_packer_write(tree->packer, bytes, size, &tree->packer_err);
	if (tree->packer_code == 0)
		return (la_ssize_t)size;
	archive_set_error(archive, EIO, "%s", tree->packer_err.msg);
	return -1;
}

static int explain_write(struct tree *tree, struct err *err)
{
	if (tree->packer_code < 0)
		return err_set(err, tree->packer_code, "%s", tree->packer_err.msg);
	return err_set(err, -EIO, "write the layer: %s", archive_error_string(tree->tar));
}

static int explain_read(struct tree *tree, struct err *err)
{
	return err_set(err, -EIO, "read '%s': %s", shown(tree->folder), shown(archive_error_string(tree->disk)));
}

/* The writer wants zeroes where the header tells of a hole; it throws them away. */
static int write_hole(struct tree *tree, uint64_t size, struct err *err)
{
	static const char zeroes[64 << 10];

	while (size > 0) {
		size_t part = size < sizeof(zeroes) ? (size_t)size : sizeof(zeroes);

		if (archive_write_data(tree->tar, zeroes, part) < 0)
			return explain_write(tree, err);
		size -= part;
	}
	return 0;
}

static int write_data(struct tree *tree, struct err *err)
{
	uint64_t at = 0;

	for (;;) {
		const void *bytes;
		size_t size;
		la_int64_t offset;
		int r = archive_read_data_block(tree->disk, &bytes, &size, &offset);

		if (r == ARCHIVE_EOF)
			return 0;
		if (r != ARCHIVE_OK)
			return explain_read(tree, err);
		if (volume_is_cancelled(tree->store->progress))
			return err_set(err, -ECANCELED, "cancelled");
		if ((uint64_t)offset > at && (r = write_hole(tree, (uint64_t)offset - at, err)) < 0)
			return r;
		at = (uint64_t)offset + size;
		if (archive_write_data(tree->tar, bytes, size) < 0)
			return explain_write(tree, err);
		tree->done += size;
		oci_report(tree->store, tree->done);
	}
}

static int write_entry(struct tree *tree, struct archive_entry *entry, struct err *err)
{
	if (archive_write_header(tree->tar, entry) < ARCHIVE_WARN)
		return explain_write(tree, err);
	if (archive_entry_size(entry) > 0 && !archive_entry_hardlink(entry))
		return write_data(tree, err);
	return 0;
}

/* An empty file with this name, as old as its folder. */
static int write_whiteout(struct tree *tree, struct archive_entry *like, const char *name, struct err *err)
{
	struct archive_entry *entry = archive_entry_new();
	int r;

	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0600);
	archive_entry_set_size(entry, 0);
	archive_entry_set_mtime(entry, archive_entry_mtime(like), 0);
	r = write_entry(tree, entry, err);
	archive_entry_free(entry);
	return r;
}

static bool is_kept(const char *attribute)
{
	if (text_equal(attribute, "security.capability"))
		return true;
	return text_starts_with(attribute, "user.") && !text_starts_with(attribute, "user.overlay.");
}

struct attribute { char *name; void *value; size_t size; };

/* Leaves only what a layer may have. */
static int sift_attributes(struct tree *tree, struct archive_entry *entry, bool *ret_is_opaque, struct err *err)
{
	VEC(struct attribute) kept = { 0 };
	const char *name;
	const void *value;
	size_t size;
	int r = 0;

	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
		if (tree->is_upper && text_equal(name, OCI_OPAQUE_XATTR) && size == 1 && *(const char *)value == 'y')
			*ret_is_opaque = true;
		if (tree->is_upper && (text_equal(name, "trusted.overlay.redirect") || text_equal(name, "trusted.overlay.metacopy")))
			r = err_set(err, -EINVAL, "'%s' only refers to a file below (%s): mount without redirect_dir and metacopy",
				    shown(archive_entry_pathname(entry)), name);
		if (!is_kept(name))
			continue;
		struct attribute *attribute = vec_push(&kept);

		*attribute = (struct attribute){ .name = text_copy(name), .value = alloc(size + 1), .size = size };
		memcpy(attribute->value, value, size);
	}
	archive_entry_xattr_clear(entry);
	for (size_t i = 0; i < kept.count; i++) {
		archive_entry_xattr_add_entry(entry, kept.items[i].name, kept.items[i].value, kept.items[i].size);
		free(kept.items[i].name);
		free(kept.items[i].value);
	}
	vec_done(&kept);
	return r;
}

/* Relative to the folder, "" for itself. */
static const char *name_of(const struct tree *tree, struct archive_entry *entry)
{
	const char *name = archive_entry_pathname(entry) + strlen(tree->folder);

	return name + strspn(name, "/");
}

static bool is_whiteout(struct archive_entry *entry)
{
	return archive_entry_filetype(entry) == AE_IFCHR && archive_entry_rdev(entry) == makedev(0, 0);
}

static int take_whiteout(struct tree *tree, struct archive_entry *entry, const char *name, struct err *err)
{
	const char *slash = strrchr(name, '/');
	int length = slash ? (int)(slash - name) + 1 : 0;
	auto_free char *hidden = text_format("%.*s" OCI_WHITEOUT "%s", length, name, name + length);

	return write_whiteout(tree, entry, hidden, err);
}

static int take_named(struct tree *tree, struct archive_entry *entry, const char *name, struct err *err)
{
	auto_free char *opaque = text_format("%s%s" OCI_WHITEOUT_OPAQUE, name, name[0] ? "/" : "");
	auto_free char *path = text_format("%s%s", name[0] ? name : ".", archive_entry_filetype(entry) == AE_IFDIR ? "/" : "");
	struct archive_entry *spare = NULL;
	bool is_opaque = false;
	int r = sift_attributes(tree, entry, &is_opaque, err);

	if (r < 0)
		return r;
	archive_entry_set_pathname(entry, path);
	archive_entry_acl_clear(entry);
	archive_entry_unset_atime(entry);
	archive_entry_unset_ctime(entry);
	archive_entry_unset_birthtime(entry);
	archive_entry_linkify(tree->links, &entry, &spare);
	if (entry)
		r = write_entry(tree, entry, err);
	if (r == 0 && is_opaque)
		r = write_whiteout(tree, entry, opaque, err);
	return r;
}

static int take_entry(struct tree *tree, struct archive_entry *entry, struct err *err)
{
	auto_free char *name = text_copy(name_of(tree, entry));
	const char *slash = strrchr(name, '/');

	if (archive_entry_filetype(entry) == AE_IFSOCK)		/* Nobody listens any more, and a tar has none. */
		return 0;
	if (tree->is_upper && is_whiteout(entry))
		return take_whiteout(tree, entry, name, err);
	if (text_starts_with(slash ? slash + 1 : name, OCI_WHITEOUT))
		return err_set(err, -EINVAL, "'%s' cannot be in an image: names that begin with .wh. mean something else there", shown(name));
	return take_named(tree, entry, name, err);
}

static int open_both(struct tree *tree, struct err *err)
{
	if (archive_write_set_format_pax_restricted(tree->tar) != ARCHIVE_OK ||
	    archive_write_set_options(tree->tar, "hdrcharset=BINARY") != ARCHIVE_OK ||
	    archive_write_open(tree->tar, tree, NULL, take_output, NULL) != ARCHIVE_OK)
		return explain_write(tree, err);
	archive_entry_linkresolver_set_strategy(tree->links, archive_format(tree->tar));
	archive_read_disk_set_symlink_physical(tree->disk);
	archive_read_disk_set_behavior(tree->disk, ARCHIVE_READDISK_NO_TRAVERSE_MOUNTS | ARCHIVE_READDISK_NO_ACL | ARCHIVE_READDISK_NO_FFLAGS);
	return archive_read_disk_open(tree->disk, tree->folder) != ARCHIVE_OK ? explain_read(tree, err) : 0;
}

static int take_all(struct tree *tree, struct err *err)
{
	struct archive_entry *entry = archive_entry_new();
	int r = open_both(tree, err);

	while (r == 0) {
		archive_entry_clear(entry);
		r = archive_read_next_header2(tree->disk, entry);
		if (r == ARCHIVE_EOF)
			break;
		if (r < ARCHIVE_WARN) {
			r = explain_read(tree, err);
			break;
		}
		archive_read_disk_descend(tree->disk);
		r = volume_is_cancelled(tree->store->progress) ? err_set(err, -ECANCELED, "cancelled") : take_entry(tree, entry, err);
	}
	archive_entry_free(entry);
	if (r == ARCHIVE_EOF)
		r = archive_write_close(tree->tar) != ARCHIVE_OK ? explain_write(tree, err) : 0;
	return r;
}

int oci_pack_tree(const struct oci_store *store, const char *folder, bool is_upper, struct oci_blob *ret_blob,
		  char ret_diff_id[SHA256_TEXT_SIZE], struct err *err)
{
	auto_packer struct oci_packer *packer = NULL;
	struct tree tree = { .store = store, .folder = folder, .is_upper = is_upper };
	/* Names are bytes: see unpack.c. */
	locale_t plain, before;
	int r = oci_packer_open(store, &packer, err);

	if (r < 0)
		return r;
	tree.packer = packer;
	tree.disk = archive_read_disk_new();
	tree.tar = archive_write_new();
	tree.links = archive_entry_linkresolver_new();
	plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	before = uselocale(plain);
	r = take_all(&tree, err);
	archive_entry_linkresolver_free(tree.links);
	archive_read_free(tree.disk);
	tree.has_failed = r < 0;
	archive_write_free(tree.tar);
	uselocale(before);
	freelocale(plain);
	return r < 0 ? r : oci_packer_finish(packer, ret_blob, ret_diff_id, err);
}
