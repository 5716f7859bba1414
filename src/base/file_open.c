/* file_open_beneath() and file_remove_tree(): walking where others may have laid traps. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

enum { DEPTH_MAX = 64 };		/* Folders open at once, each with an fd. */

static int open_resolving(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? mode : 0,
		.resolve = resolve,
	};
	long fd;

	/* EAGAIN: somebody renamed a folder on the way, so the kernel could not be sure. */
	do
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

int file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode, struct err *err)
{
	int fd = open_resolving(dir_fd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);

	if (fd == -EXDEV)
		return err_set(err, -EACCES, "path '%s' leads out of its folder", shown(path));
	if (fd == -ELOOP)
		return err_set(err, -EACCES, "path '%s' goes through a symbolic link", shown(path));
	if (fd < 0)
		return err_set(err, fd, "open '%s': %m", shown(path));
	return fd;
}

/* Removing trees */

struct removal {
	int root_fd;			/* The tree's own folder. */
	unsigned shelf_count;		/* Folders moved up to it, from deeper than fds reach. */
};

static int remove_entries(struct removal *removal, int dir_fd, int depth, struct err *err);

/* Moves a folder that is too deep up to the root of the tree, where a later pass finds it. */
static int shelve(struct removal *removal, int dir_fd, const char *name, struct err *err)
{
	char shelf[32];

	do {
		snprintf(shelf, sizeof(shelf), ".removing-%u", removal->shelf_count++);
		if (renameat(dir_fd, name, removal->root_fd, shelf) == 0)
			return 0;
	} while (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR);
	return err_set(err, -errno, "move folder '%s' up: %m", shown(name));
}

/* The fd of a folder to be emptied, or -errno. */
static int open_folder(int dir_fd, const char *name, struct err *err)
{
	int fd = open_resolving(dir_fd, name, O_RDONLY | O_DIRECTORY, 0,
				RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);

	if (fd == -EXDEV)
		return err_set(err, fd, "'%s' is a mount point; unmount it first", shown(name));
	if (fd < 0)
		return err_set(err, fd, "open folder '%s': %m", shown(name));
	return fd;
}

static int remove_folder(struct removal *removal, int dir_fd, const char *name, int depth, struct err *err)
{
	int fd, r;

	if (depth >= DEPTH_MAX)
		return shelve(removal, dir_fd, name, err);
	fd = open_folder(dir_fd, name, err);
	r = fd < 0 ? fd : remove_entries(removal, fd, depth + 1, err);
	if (r == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = err_set(err, -errno, "remove folder '%s': %m", shown(name));
	return r;
}

static int remove_entry(struct removal *removal, int dir_fd, const char *name, int depth, struct err *err)
{
	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return err_set(err, -errno, "remove '%s': %m", shown(name));
	return remove_folder(removal, dir_fd, name, depth, err);
}

/* Takes over 'dir_fd'. */
static int remove_entries(struct removal *removal, int dir_fd, int depth, struct err *err)
{
	DIR *dir = fdopendir(dir_fd);
	struct dirent *entry;
	int r = 0;

	if (!dir) {
		err_set(err, -errno, "read folder: %m");
		close(dir_fd);
		return err->code;
	}
	while (r == 0 && (errno = 0, entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = remove_entry(removal, dir_fd, entry->d_name, depth, err);
	if (r == 0 && errno)
		r = err_set(err, -errno, "read folder: %m");
	closedir(dir);
	return r;
}

/* Again and again while a pass has moved folders up to the root. */
static int remove_root(int parent_fd, const char *name, struct err *err)
{
	auto_close int root_fd = open_folder(parent_fd, name, err);
	struct removal removal = { .root_fd = root_fd };
	unsigned shelf_count;

	if (root_fd < 0)
		return root_fd;
	do {
		int fd, r;

		shelf_count = removal.shelf_count;
		fd = open_folder(parent_fd, name, err);
		r = fd < 0 ? fd : remove_entries(&removal, fd, 1, err);
		if (r < 0)
			return r;
	} while (removal.shelf_count != shelf_count);
	if (unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove folder '%s': %m", shown(name));
	return 0;
}

static int remove_in(const char *parent, const char *name, struct err *err)
{
	auto_close int parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (parent_fd < 0 && errno == ENOENT)
		return 0;
	if (parent_fd < 0)
		return err_set(err, -errno, "open folder '%s': %m", shown(parent));
	if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return err_set(err, -errno, "remove '%s': %m", shown(name));
	return remove_root(parent_fd, name, err);
}

int file_remove_tree(const char *path, struct err *err)
{
	size_t length = strlen(path);
	auto_free char *trimmed = NULL;
	auto_free char *parent = NULL;
	const char *slash, *name;

	while (length > 1 && path[length - 1] == '/')
		length--;
	trimmed = text_copy_length(path, length);
	slash = strrchr(trimmed, '/');
	name = slash ? slash + 1 : trimmed;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(err, -EINVAL, "'%s' cannot be removed; give the name of a folder", shown(path));
	/* With its slash, so that it is right for "/" too. */
	parent = slash ? text_copy_length(trimmed, (size_t)(name - trimmed)) : text_copy(".");
	return remove_in(parent, name, err);
}
