#include "2-virtualization/images/oci/node.h"

#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"

int oci_node_write(int fd, const void *bytes, size_t size, uint64_t offset, struct err *err)
{
	int r = file_write_at(fd, bytes, size, offset, err);

	return r == -ENOSPC ? err_set(err, r, "no space left: free some") : r;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* A later entry of a name replaces the earlier one, with all that is below. */
static int remove_old(struct oci_confine *confine, const struct oci_place *place, const char *name, struct err *err)
{
	/* The folder is open: by its fd the name leads nowhere else. */
	auto_free char *path = text_format("/proc/self/fd/%d/%s", place->parent_fd, place->base);
	int r = file_remove_tree(path, err);

	if (r < 0)
		return err_prefix(err, "replace entry '%s'", shown(name));
	/* Its folder stays, but the way there may have led through what is gone. */
	confine->is_stale = true;
	return 0;
}

int oci_node_file(struct oci_confine *confine, const struct oci_place *place, const char *name, struct err *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(place->parent_fd, place->base, flags, 0600);
	int r;

	if (fd < 0 && errno == EEXIST) {
		if ((r = remove_old(confine, place, name, err)) < 0)
			return r;
		fd = openat(place->parent_fd, place->base, flags, 0600);
	}
	return fd < 0 ? err_set(err, -errno, "create entry '%s': %m", shown(name)) : fd;
}

/* A folder in the place of what this layer itself has removed hides the one of the layers below. */
static int make_folder(struct oci_confine *confine, const struct oci_place *place, const char *name, bool *ret_is_opaque, struct err *err)
{
	struct stat st;
	int r;

	if (mkdirat(place->parent_fd, place->base, 0755) == 0)
		return 0;
	if (errno != EEXIST || fstatat(place->parent_fd, place->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -errno, "create entry '%s': %m", shown(name));
	if (S_ISDIR(st.st_mode))
		return 0;
	*ret_is_opaque = is_whiteout(&st);
	if ((r = remove_old(confine, place, name, err)) < 0)
		return r;
	return mkdirat(place->parent_fd, place->base, 0755) < 0 ? err_set(err, -errno, "create entry '%s': %m", shown(name)) : 0;
}

int oci_node_folder(struct oci_confine *confine, const struct oci_place *place, const char *name, struct err *err)
{
	auto_close int fd = -1;
	bool is_opaque = false;
	int r = place->base[0] ? make_folder(confine, place, name, &is_opaque, err) : 0;

	if (r < 0)
		return r;
	fd = openat(place->parent_fd, place->base[0] ? place->base : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || (is_opaque && fsetxattr(fd, OCI_OPAQUE_XATTR, "y", 1, 0) < 0))
		return err_set(err, -errno, "open entry '%s': %m", shown(name));
	return take_fd(fd);
}

static int create_special(struct archive_entry *entry, const struct oci_place *place)
{
	mode_t mode = archive_entry_perm(entry);
	dev_t device = makedev((unsigned)archive_entry_rdevmajor(entry), (unsigned)archive_entry_rdevminor(entry));

	switch (archive_entry_filetype(entry)) {
	case AE_IFLNK:
		return symlinkat(archive_entry_symlink(entry) ? archive_entry_symlink(entry) : "", place->parent_fd, place->base);
	case AE_IFIFO:
		return mknodat(place->parent_fd, place->base, S_IFIFO | mode, 0);
	default:
		return mknodat(place->parent_fd, place->base, archive_entry_filetype(entry) | mode, device);
	}
}

int oci_node_special(struct oci_confine *confine, struct archive_entry *entry, const struct oci_place *place, const char *name,
		     struct err *err)
{
	const struct timespec time = { .tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry) };
	const struct timespec times[2] = { time, time };
	uid_t user = (uid_t)archive_entry_uid(entry);
	gid_t group = (gid_t)archive_entry_gid(entry);
	int r = create_special(entry, place);

	if (r < 0 && errno == EEXIST) {
		if ((r = remove_old(confine, place, name, err)) < 0)
			return r;
		r = create_special(entry, place);
	}
	if (r < 0 || fchownat(place->parent_fd, place->base, user, group, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -errno, "create entry '%s': %m", shown(name));
	/* Whatever the umask; it is what we have just made, and no link. */
	if (archive_entry_filetype(entry) != AE_IFLNK && fchmodat(place->parent_fd, place->base, archive_entry_perm(entry), 0) < 0)
		return err_set(err, -errno, "mode of entry '%s': %m", shown(name));
	if (archive_entry_mtime_is_set(entry))
		utimensat(place->parent_fd, place->base, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

int oci_node_link(struct oci_confine *confine, const struct oci_place *from, const struct oci_place *to, const char *name,
		  const char *target, struct err *err)
{
	struct stat a, b;
	int r;

	if (fstatat(from->parent_fd, from->base, &a, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -EINVAL, "entry '%s' is a hard link to '%s', which is not in its layer", shown(name), shown(target));
	/* To itself: nothing to do, and the old must not be removed. */
	if (fstatat(to->parent_fd, to->base, &b, AT_SYMLINK_NOFOLLOW) == 0) {
		if (a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			return 0;
		if ((r = remove_old(confine, to, name, err)) < 0)
			return r;
	}
	if (linkat(from->parent_fd, from->base, to->parent_fd, to->base, 0) < 0)
		return err_set(err, errno == ENOSPC ? -ENOSPC : -EINVAL, "entry '%s' cannot be a hard link to '%s': %s", shown(name),
			       shown(target), strerror(errno));
	return 0;
}

static int make_opaque(int fd, const char *name, struct err *err)
{
	if (fsetxattr(fd, OCI_OPAQUE_XATTR, "y", 1, 0) < 0)
		return err_set(err, -errno, "entry '%s': mark its folder opaque: %m", shown(name));
	return 0;
}

int oci_node_whiteout(const struct oci_place *place, const char *name, struct err *err)
{
	const char *hidden = place->base + strlen(OCI_WHITEOUT);
	auto_close int fd = -1;

	if (text_equal(place->base, OCI_WHITEOUT_OPAQUE))
		return make_opaque(place->parent_fd, name, err);
	if (text_starts_with(hidden, OCI_WHITEOUT))	/* aufs's own, like .wh..wh.plnk: they hide nothing. */
		return 0;
	if (!hidden[0] || text_equal(hidden, ".") || text_equal(hidden, ".."))
		return err_set(err, -EINVAL, "entry '%s' hides nothing that can be hidden", shown(name));
	if (mknodat(place->parent_fd, hidden, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST)
		return err_set(err, -errno, "entry '%s': hide what it names: %m", shown(name));
	/* The layer has it anew: a folder then hides the older one, anything else does so by being there. */
	fd = openat(place->parent_fd, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? 0 : make_opaque(fd, name, err);
}

static bool may_have(const char *attribute)
{
	if (text_equal(attribute, "security.capability"))
		return true;
	return text_starts_with(attribute, "user.") && !text_starts_with(attribute, "user.overlay.");
}

static int set_attributes(int fd, struct archive_entry *entry, const char *name, struct err *err)
{
	const char *attribute;
	const void *value;
	size_t size;

	if (archive_entry_xattr_reset(entry) == 0)
		return 0;
	while (archive_entry_xattr_next(entry, &attribute, &value, &size) == ARCHIVE_OK) {
		if (!attribute || !may_have(attribute))
			continue;
		if (size > LIMIT_LAYER_XATTR_BYTES)
			return err_set(err, -EFBIG, "entry '%s' has an attribute '%s' of %zu bytes: at most %d are taken", shown(name),
				       shown(attribute), size, LIMIT_LAYER_XATTR_BYTES);
		if (fsetxattr(fd, attribute, value, size, 0) < 0 && errno != EOPNOTSUPP)
			return err_set(err, -errno, "attribute '%s' of entry '%s': %m", shown(attribute), shown(name));
	}
	return 0;
}

int oci_node_dress(int fd, struct archive_entry *entry, bool has_time, const char *name, struct err *err)
{
	const struct timespec time = { .tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry) };
	const struct timespec times[2] = { time, time };
	int r;

	/* In this order: a new owner takes capabilities and setuid bits away. */
	if (fchown(fd, (uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry)) < 0)
		return err_set(err, -errno, "owner of entry '%s': %m", shown(name));
	if ((r = set_attributes(fd, entry, name, err)) < 0)
		return r;
	if (fchmod(fd, archive_entry_perm(entry)) < 0)
		return err_set(err, -errno, "mode of entry '%s': %m", shown(name));
	if (has_time && archive_entry_mtime_is_set(entry) && futimens(fd, times) < 0)
		return err_set(err, -errno, "time of entry '%s': %m", shown(name));
	return 0;
}
