#include "driver/volume/file/tree_node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"

enum { XATTRS_MAX = 64 << 10 };		/* The kernel's own limit for the list and for each value. */

const char *tree_node_path(int dir_fd, const char *name, char path[TREE_NODE_PATH_SIZE])
{
	snprintf(path, TREE_NODE_PATH_SIZE, "/proc/self/fd/%d/%s", dir_fd, name);
	return path;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct tree_xattr *)a)->name, ((const struct tree_xattr *)b)->name);
}

static int read_value(const char *path, const char *name, struct tree_xattrs *xattrs, struct err *err)
{
	ssize_t size = lgetxattr(path, name, NULL, 0);
	auto_free char *value = NULL;

	if (size < 0)
		return err_set(err, -errno, "read attribute '%s': %m", shown(name));
	value = alloc((size_t)size + 1);
	size = lgetxattr(path, name, value, (size_t)size);
	if (size < 0)
		return err_set(err, -errno, "read attribute '%s': %m", shown(name));
	*vec_push(&xattrs->items) = (struct tree_xattr){ .name = text_copy(name), .value = take(value), .size = (size_t)size };
	return 0;
}

int tree_node_read_xattrs(int dir_fd, const char *name, struct tree_xattrs *xattrs, struct err *err)
{
	char path[TREE_NODE_PATH_SIZE];
	ssize_t size = llistxattr(tree_node_path(dir_fd, name, path), NULL, 0);
	auto_free char *list = NULL;
	int r = 0;

	if (size < 0 && errno == EOPNOTSUPP)
		return 0;
	if (size > 0) {
		list = alloc(XATTRS_MAX);
		size = llistxattr(path, list, XATTRS_MAX);
	}
	if (size < 0)
		return err_set(err, -errno, "list the attributes of '%s': %m", shown(name));
	for (const char *at = list; r == 0 && size > 0 && at < list + size; at += strlen(at) + 1)
		if (!text_equal(at, TREE_NODE_ORIGIN))
			r = read_value(path, at, xattrs, err);
	if (xattrs->items.count)
		qsort(xattrs->items.items, xattrs->items.count, sizeof(xattrs->items.items[0]), by_name);
	return r;
}

void tree_xattrs_done(struct tree_xattrs *xattrs)
{
	for (size_t i = 0; i < xattrs->items.count; i++) {
		free(xattrs->items.items[i].name);
		free(xattrs->items.items[i].value);
	}
	vec_done(&xattrs->items);
}

static bool has_xattr(const struct tree_xattrs *xattrs, const char *name)
{
	for (size_t i = 0; i < xattrs->items.count; i++)
		if (text_equal(xattrs->items.items[i].name, name))
			return true;
	return false;
}

int tree_node_keep_xattrs(int dir_fd, const char *name, const struct tree_xattrs *wanted, struct err *err)
{
	auto_xattrs struct tree_xattrs present = { 0 };
	char path[TREE_NODE_PATH_SIZE];
	int r = tree_node_read_xattrs(dir_fd, name, &present, err);

	tree_node_path(dir_fd, name, path);
	for (size_t i = 0; i < present.items.count && r == 0; i++) {
		const char *xattr = present.items.items[i].name;

		if (!has_xattr(wanted, xattr) && lremovexattr(path, xattr) < 0 && errno != ENODATA)
			r = err_set(err, -errno, "remove attribute '%s' of '%s': %m", shown(xattr), shown(name));
	}
	return r;
}

int tree_node_make_special(int dir_fd, const char *name, const struct stat *st, const char *target, struct err *err)
{
	int r = S_ISLNK(st->st_mode) ? symlinkat(target, dir_fd, name) : mknodat(dir_fd, name, st->st_mode & S_IFMT, st->st_rdev);

	return r < 0 ? err_set(err, -errno, "make '%s': %m", shown(name)) : 0;
}

int tree_node_set(int dir_fd, const char *name, const struct stat *st, const struct tree_xattrs *xattrs, struct err *err)
{
	char path[TREE_NODE_PATH_SIZE];

	if (fchownat(dir_fd, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -errno, "set the owner of '%s': %m", shown(name));
	if (!S_ISLNK(st->st_mode) && fchmodat(dir_fd, name, st->st_mode & 07777, 0) < 0)
		return err_set(err, -errno, "set the mode of '%s': %m", shown(name));
	tree_node_path(dir_fd, name, path);
	for (size_t i = 0; i < xattrs->items.count; i++) {
		const struct tree_xattr *xattr = &xattrs->items.items[i];

		if (lsetxattr(path, xattr->name, xattr->value, xattr->size, 0) < 0)
			return err_set(err, -errno, "set attribute '%s' of '%s': %m", shown(xattr->name), shown(name));
	}
	return 0;
}

int tree_node_set_times(int dir_fd, const char *name, const struct stat *st, struct err *err)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (utimensat(dir_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -errno, "set the times of '%s': %m", shown(name));
	return 0;
}
