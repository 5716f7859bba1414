/*
 * Receiving a tree of plain folders. The stream is a stranger's: every path is resolved below the tree's own folder
 * and through no link, whatever the stream made before.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/tree_copy.h"
#include "driver/volume/file/tree_node.h"
#include "driver/volume/file/tree_stream.h"

enum { PATH_BYTES_MAX = TREE_DEPTH_MAX * (NAME_MAX + 1), XATTR_NAME_BYTES_MAX = 255, XATTR_VALUE_BYTES_MAX = 64 << 10 };

struct place_of_entry {			/* Where a path leads: an open folder and a name in it. */
	int dir_fd;
	char name[NAME_MAX + 1];
};

struct receiving {
	struct frames_reader *reader;
	int root_fd;
	struct map folders;		/* Path -> struct stat *: the times that folders get when all is done. */
	bool is_in_entry;
	struct place_of_entry at;	/* Of the present entry; dir_fd is its own. */
	char *path;
	struct stat st;
	bool is_name, is_same_content;	/* Another name of something; a file that keeps its content. */
	struct tree_xattrs xattrs;
	int fd;				/* Of the present file. */
	uint64_t written;
};

static int damaged(const struct receiving *receiving, struct err *err)
{
	return frames_damaged(receiving->reader, err);
}

static void end_entry(struct receiving *receiving)
{
	tree_xattrs_done(&receiving->xattrs);
	closep(&receiving->at.dir_fd);
	closep(&receiving->fd);
	free(receiving->path);
	receiving->path = NULL;
	receiving->at.dir_fd = receiving->fd = -1;
	receiving->is_in_entry = false;
}

/* Remembers the times of the folder at 'path', which what happens in it would change. */
static void keep_times(struct receiving *receiving, const char *path, const struct stat *st)
{
	struct stat *copy = alloc(sizeof(*copy));

	*copy = *st;
	copy->st_atim = copy->st_mtim;
	free(map_put(&receiving->folders, path, copy));
}

/* Opens the folder that 'path' is in. The tree itself ("") is "." in itself. */
static int locate(struct receiving *receiving, const char *path, struct place_of_entry *at, struct err *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path[0] ? path : ".";
	auto_free char *parent = text_copy_length(path, slash ? (size_t)(slash - path) : 0);
	struct stat st;

	if (strlen(name) > NAME_MAX || (path[0] && (!name[0] || !strcmp(name, ".") || !strcmp(name, ".."))))
		return damaged(receiving, err);
	at->dir_fd = file_open_beneath(receiving->root_fd, parent[0] ? parent : ".", O_RDONLY | O_DIRECTORY, 0, err);
	if (at->dir_fd < 0)
		return err_set(err, -EINVAL, "the stream's path '%s' leads nowhere, or out of its tree", shown(path));
	strcpy(at->name, name);
	if (path[0] && !map_get(&receiving->folders, parent) && fstat(at->dir_fd, &st) == 0)
		keep_times(receiving, parent, &st);
	return 0;
}

static int remove_at(const struct place_of_entry *at, struct err *err)
{
	auto_free char *path = text_format("/proc/self/fd/%d/%s", at->dir_fd, at->name);

	return file_remove_tree(path, err);
}

static int take_removal(struct receiving *receiving, struct err *err)
{
	const struct frames_reader *reader = receiving->reader;
	auto_free char *path = text_copy_length((const char *)reader->payload, reader->size);
	struct place_of_entry at = { .dir_fd = -1 };
	int r;

	if (reader->size == 0 || reader->size > PATH_BYTES_MAX || strlen(path) != reader->size)
		return damaged(receiving, err);
	r = locate(receiving, path, &at, err);
	if (r == 0)
		r = remove_at(&at, err);
	closep(&at.dir_fd);
	return r;
}

/* Entries */

static int make_name(struct receiving *receiving, const char *target, struct err *err)
{
	struct place_of_entry first = { .dir_fd = -1 };
	struct stat st;
	int r = locate(receiving, target, &first, err);

	if (r < 0)
		return r;
	if (fstatat(first.dir_fd, first.name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
		r = damaged(receiving, err);
	else if (linkat(first.dir_fd, first.name, receiving->at.dir_fd, receiving->at.name, 0) < 0)
		r = err_set(err, -errno, "link '%s': %m", shown(receiving->path));
	closep(&first.dir_fd);
	return r;
}

static int open_file(struct receiving *receiving, int flags, struct err *err)
{
	receiving->fd = openat(receiving->at.dir_fd, receiving->at.name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0600);
	return receiving->fd < 0 ? err_set(err, -errno, "write '%s': %m", shown(receiving->path)) : 0;
}

/* Makes the entry without what is said of it; 'was' is what is there already, or null. */
static int make_entry(struct receiving *receiving, const struct stat *was, const char *target, struct err *err)
{
	const struct stat *st = &receiving->st;
	int r = 0;

	if (S_ISDIR(st->st_mode)) {
		if (was && !S_ISDIR(was->st_mode))
			return damaged(receiving, err);
		if (!was && mkdirat(receiving->at.dir_fd, receiving->at.name, 0700) < 0)
			return err_set(err, -errno, "make folder '%s': %m", shown(receiving->path));
		return 0;
	}
	if (!receiving->path[0] || (was && S_ISDIR(was->st_mode)))
		return damaged(receiving, err);
	if (receiving->is_same_content)
		return was && S_ISREG(was->st_mode) && S_ISREG(st->st_mode) ? open_file(receiving, 0, err) : damaged(receiving, err);
	if (was && (r = remove_at(&receiving->at, err)) < 0)
		return r;
	if (receiving->is_name)
		return make_name(receiving, target, err);
	return S_ISREG(st->st_mode) ? open_file(receiving, O_CREAT | O_EXCL, err) :
				      tree_node_make_special(receiving->at.dir_fd, receiving->at.name, st, target, err);
}

static int read_stat(struct receiving *receiving, struct err *err)
{
	const unsigned char *entry = receiving->reader->payload;
	struct stat *st = &receiving->st;
	uint64_t size = frames_unpack64(entry + 24);
	uint32_t ns = frames_unpack32(entry + 40), flags = frames_unpack32(entry + 44);

	*st = (struct stat){ 0 };
	st->st_mode = frames_unpack32(entry);
	st->st_uid = frames_unpack32(entry + 4);
	st->st_gid = frames_unpack32(entry + 8);
	st->st_rdev = makedev(frames_unpack32(entry + 12), frames_unpack32(entry + 16));
	st->st_size = (off_t)size;
	st->st_mtim = (struct timespec){ .tv_sec = (time_t)frames_unpack64(entry + 32), .tv_nsec = ns };
	st->st_atim = st->st_mtim;
	receiving->is_name = (st->st_mode & S_IFMT) == 0;
	receiving->is_same_content = flags & TREE_ENTRY_SAME_CONTENT;
	if (size > VOLUME_SIZE_MAX || ns >= 1000000000 || flags & ~(uint32_t)TREE_ENTRY_SAME_CONTENT || st->st_uid == UINT32_MAX ||
	    st->st_gid == UINT32_MAX || st->st_mode & ~(mode_t)(S_IFMT | 07777))
		return damaged(receiving, err);
	return 0;
}

static int take_entry(struct receiving *receiving, struct err *err)
{
	const struct frames_reader *reader = receiving->reader;
	const char *path = (const char *)reader->payload + TREE_ENTRY_BYTES, *target;
	size_t left = reader->size > TREE_ENTRY_BYTES ? reader->size - TREE_ENTRY_BYTES : 0;
	bool is_there;
	struct stat was;
	int r;

	/* Two texts, each with its zero. */
	if (left < 2 || path[left - 1] || strnlen(path, left) + 1 >= left || strlen(path) > PATH_BYTES_MAX)
		return damaged(receiving, err);
	target = path + strlen(path) + 1;
	if (target + strlen(target) + 1 != path + left || (r = read_stat(receiving, err)) < 0)
		return damaged(receiving, err);
	receiving->is_in_entry = true;
	receiving->written = 0;
	receiving->path = text_copy(path);
	if ((r = locate(receiving, path, &receiving->at, err)) < 0)
		return r;
	is_there = fstatat(receiving->at.dir_fd, receiving->at.name, &was, AT_SYMLINK_NOFOLLOW) == 0;
	return make_entry(receiving, is_there ? &was : NULL, target, err);
}

static int take_xattr(struct receiving *receiving, struct err *err)
{
	const struct frames_reader *reader = receiving->reader;
	const char *name = (const char *)reader->payload;
	size_t length = strnlen(name, reader->size), size;
	struct tree_xattr *xattr;

	if (length == 0 || length == reader->size || length > XATTR_NAME_BYTES_MAX || text_equal(name, TREE_NODE_ORIGIN) || receiving->is_name)
		return damaged(receiving, err);
	size = reader->size - length - 1;
	if (size > XATTR_VALUE_BYTES_MAX || receiving->xattrs.items.count * XATTR_NAME_BYTES_MAX > XATTR_VALUE_BYTES_MAX)
		return damaged(receiving, err);
	xattr = vec_push(&receiving->xattrs.items);
	xattr->name = text_copy(name);
	xattr->value = alloc(size + 1);
	xattr->size = size;
	memcpy(xattr->value, name + length + 1, size);
	return 0;
}

static int take_content(struct receiving *receiving, struct err *err)
{
	const struct frames_reader *reader = receiving->reader;
	uint64_t offset, size = reader->size - 8;

	if (reader->size <= 8 || receiving->fd < 0 || receiving->is_same_content)
		return damaged(receiving, err);
	offset = frames_unpack64(reader->payload);
	if (offset < receiving->written || offset > (uint64_t)receiving->st.st_size || size > (uint64_t)receiving->st.st_size - offset)
		return damaged(receiving, err);
	receiving->written = offset + size;
	return file_write_at(receiving->fd, reader->payload + 8, size, offset, err);
}

static int take_done(struct receiving *receiving, struct err *err)
{
	const struct stat *st = &receiving->st;
	const struct place_of_entry *at = &receiving->at;
	int r;

	if (receiving->is_name)
		return 0;
	if (receiving->fd >= 0 && ftruncate(receiving->fd, st->st_size) < 0)
		return err_set(err, -errno, "set the size of '%s': %m", shown(receiving->path));
	if (S_ISDIR(st->st_mode))
		keep_times(receiving, receiving->path, st);
	if ((r = tree_node_keep_xattrs(at->dir_fd, at->name, &receiving->xattrs, err)) < 0 ||
	    (r = tree_node_set(at->dir_fd, at->name, st, &receiving->xattrs, err)) < 0)
		return r;
	return tree_node_set_times(at->dir_fd, at->name, st, err);
}

static int take_record(struct receiving *receiving, struct err *err)
{
	enum frames_type type = receiving->reader->type;
	int r;

	if (receiving->is_in_entry != (type == FRAMES_XATTR || type == FRAMES_CONTENT || type == FRAMES_DONE))
		return damaged(receiving, err);
	switch (type) {
	case FRAMES_REMOVE: return take_removal(receiving, err);
	case FRAMES_ENTRY: return take_entry(receiving, err);
	case FRAMES_XATTR: return take_xattr(receiving, err);
	case FRAMES_CONTENT: return take_content(receiving, err);
	case FRAMES_DONE:
		r = take_done(receiving, err);
		end_entry(receiving);
		return r;
	default: return damaged(receiving, err);
	}
}

/* A folder that has gone meanwhile needs no times. */
static int set_folder_times(struct receiving *receiving, struct err *err)
{
	for (size_t i = 0; i < receiving->folders.count; i++) {
		const char *path = receiving->folders.entries[i].key;
		struct err ignored;
		auto_close int fd = file_open_beneath(receiving->root_fd, path[0] ? path : ".", O_RDONLY | O_DIRECTORY, 0, &ignored);
		int r = fd < 0 ? 0 : tree_node_set_times(fd, ".", receiving->folders.entries[i].value, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int tree_stream_apply(struct frames_reader *reader, int root_fd, struct err *err)
{
	struct receiving receiving = { .reader = reader, .root_fd = root_fd, .at.dir_fd = -1, .fd = -1 };
	int r;

	while ((r = frames_next(reader, err)) == 0 && !reader->has_ended)
		if ((r = take_record(&receiving, err)) < 0)
			break;
	if (r == 0 && receiving.is_in_entry)
		r = damaged(&receiving, err);
	if (r == 0)
		r = set_folder_times(&receiving, err);
	end_entry(&receiving);
	for (size_t i = 0; i < receiving.folders.count; i++)
		free(receiving.folders.entries[i].value);
	map_done(&receiving.folders);
	return r;
}

int tree_stream_receive(const struct place *place, int base_fd, struct frames_reader *reader, int dir_fd, const char *name,
			struct err *err)
{
	auto_close int fd = -1;
	int r;

	if (mkdirat(dir_fd, name, 0700) < 0 || (fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return err_set(err, -errno, "make a folder in '%s': %m%s", shown(place->directory), place_remedy(errno));
	if (base_fd >= 0 && (r = tree_copy(base_fd, dir_fd, name, fd, false, reader->progress, err)) < 0)
		return place_add_remedy(r, err);
	if ((r = tree_stream_apply(reader, fd, err)) < 0)
		return place_add_remedy(r, err);
	return syncfs(fd) < 0 ? err_set(err, -errno, "write what was received to disk: %m") : 0;
}
