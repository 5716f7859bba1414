/*
 * Names of a layer's entries, resolved without ever leaving the layer's folder.
 *
 * ".." and "." are taken out of the text first, as Docker does: a name that climbs above the root is an error.
 * What is left is opened by the kernel as if the layer's folder were the root (RESOLVE_IN_ROOT), so that "lib/x" where
 * lib is a link to /usr/lib lands in the layer's usr/lib. The last component is never followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/mem.h"

static int open_inside(int root_fd, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

/* "./a//b/../c" is "a/c". */
static int normalise(const char *name, char path[4096], struct err *err)
{
	size_t size = 0;

	for (const char *part = name; *part;) {
		size_t length = strcspn(part, "/");

		if (length == 2 && part[0] == '.' && part[1] == '.') {
			if (size == 0)
				return err_set(err, -EINVAL, "entry '%s' leads out of the image", shown(name));
			while (size > 0 && path[--size] != '/')
				;
		} else if (length > 0 && !(length == 1 && part[0] == '.')) {
			if (length > NAME_MAX || size + length + 2 > PATH_MAX)
				return err_set(err, -ENAMETOOLONG, "entry '%s' has a name that is too long", shown(name));
			if (size > 0)
				path[size++] = '/';
			memcpy(path + size, part, length);
			size += length;
		}
		part += length;
		part += strspn(part, "/");
	}
	path[size] = '\0';
	return 0;
}

/* In this layer the name was removed, and then comes something below it: a folder that hides the one below. */
static int replace_whiteout(int parent_fd, const char *base)
{
	struct stat st;
	auto_close int fd = -1;

	if (fstatat(parent_fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(0, 0))
		return -ENOTDIR;
	if (unlinkat(parent_fd, base, 0) < 0 || mkdirat(parent_fd, base, 0755) < 0)
		return -errno;
	fd = openat(parent_fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 || fsetxattr(fd, OCI_OPAQUE_XATTR, "y", 1, 0) < 0 ? -errno : 0;
}

static int make_folder(int parent_fd, const char *base)
{
	if (mkdirat(parent_fd, base, 0755) == 0)
		return fchmodat(parent_fd, base, 0755, 0) < 0 ? -errno : 0;	/* Whatever the umask. */
	return errno == EEXIST ? replace_whiteout(parent_fd, base) : -errno;
}

/* Opens 'path' below the root, folder by folder, with those made that are missing. */
static int make_way(int root_fd, char *path)
{
	auto_close int fd = -1;

	for (char *end = path;; end++) {
		auto_close int above_fd = take_fd(fd);
		char *base, *slash;

		end += strcspn(end, "/");
		slash = *end ? end : NULL;
		*end = '\0';
		fd = open_inside(root_fd, path);
		if (fd == -ENOENT || fd == -ENOTDIR) {
			int r;

			base = strrchr(path, '/');
			r = make_folder(above_fd >= 0 ? above_fd : root_fd, base ? base + 1 : path);
			fd = r < 0 ? r : open_inside(root_fd, path);
		}
		if (slash)
			*slash = '/';
		if (fd < 0 || !slash)
			return take_fd(fd);
	}
}

static int open_parent(struct oci_confine *confine, const char *path, bool is_making)
{
	char parent[4096];
	int fd;

	snprintf(parent, sizeof(parent), "%s", path);
	if (confine->parent_fd >= 0 && !confine->is_stale && strcmp(parent, confine->parent) == 0)
		return 0;
	oci_confine_forget(confine);
	fd = open_inside(confine->root_fd, parent[0] ? parent : ".");
	if ((fd == -ENOENT || fd == -ENOTDIR) && is_making)
		fd = make_way(confine->root_fd, parent);
	if (fd < 0)
		return fd;
	confine->parent_fd = fd;
	memcpy(confine->parent, parent, sizeof(parent));
	return 0;
}

int oci_confine_find(struct oci_confine *confine, const char *name, bool is_making, struct oci_place *ret_place, struct err *err)
{
	char path[4096];
	char *slash;
	int r = normalise(name, path, err);

	if (r < 0)
		return r;
	slash = strrchr(path, '/');
	/* normalise() has seen to it that it fits. */
	memccpy(ret_place->base, slash ? slash + 1 : path, '\0', sizeof(ret_place->base));
	if (slash)
		*slash = '\0';
	else
		path[0] = '\0';
	r = open_parent(confine, path, is_making);
	if (r == -ELOOP || r == -ENOTDIR || r == -EEXIST || r == -ENOENT || r == -EXDEV)
		return err_set(err, is_making ? -EINVAL : -ENOENT, "entry '%s' lies below something that is no folder in its layer",
			       shown(name));
	if (r < 0)
		return err_set(err, r, "entry '%s': open its folder: %m", shown(name));
	ret_place->parent_fd = confine->parent_fd;
	return 0;
}

void oci_confine_forget(struct oci_confine *confine)
{
	closep(&confine->parent_fd);
	confine->parent_fd = -1;
	confine->is_stale = false;
}
