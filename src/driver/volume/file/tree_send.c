/* Sending a tree of plain folders: two snapshots are walked side by side. tree_stream.h says what is written. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/tree_node.h"
#include "driver/volume/file/tree_stream.h"

enum { COMPARED_AT_ONCE = 256 << 10, LINK_KEY_SIZE = 24 };

struct sending {
	struct frames_writer *writer;
	struct str path;		/* Of the present folder, ending with a slash unless empty. */
	struct map links;		/* Inode number -> path of what has been sent and has several names. */
	unsigned char *buffer;		/* FRAMES_DATA_MAX */
};

/* One thing in a snapshot: 'name' in 'dir_fd'. */
struct node { int dir_fd; const char *name; struct stat st; };

static int look(int dir_fd, const char *name, struct node *node, struct err *err)
{
	*node = (struct node){ .dir_fd = dir_fd, .name = name };
	if (fstatat(dir_fd, name, &node->st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? -ENOENT : err_set(err, -errno, "look at '%s': %m", shown(name));
	return 0;
}

static int open_node(const struct node *node, int flags, struct err *err)
{
	int fd = openat(node->dir_fd, node->name, flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? err_set(err, -errno, "open '%s': %m", shown(node->name)) : fd;
}

static size_t enter(struct sending *sending, const char *name)
{
	size_t length = sending->path.size;

	str_printf(&sending->path, "%s/", name);
	return length;
}

static void leave(struct sending *sending, size_t length)
{
	sending->path.size = length;
	sending->path.data[length] = '\0';
}

/* Comparing */

static bool has_same_origin(const struct node *a, const struct node *b)
{
	char path_a[TREE_NODE_PATH_SIZE], path_b[TREE_NODE_PATH_SIZE], origin_a[16], origin_b[16];

	return lgetxattr(tree_node_path(a->dir_fd, a->name, path_a), TREE_NODE_ORIGIN, origin_a, sizeof(origin_a)) == sizeof(origin_a) &&
	       lgetxattr(tree_node_path(b->dir_fd, b->name, path_b), TREE_NODE_ORIGIN, origin_b, sizeof(origin_b)) == sizeof(origin_b) &&
	       memcmp(origin_a, origin_b, sizeof(origin_a)) == 0;
}

static int compare_xattrs(const struct node *a, const struct node *b, bool *ret_same, struct err *err)
{
	auto_xattrs struct tree_xattrs in_a = { 0 }, in_b = { 0 };
	int r;

	if ((r = tree_node_read_xattrs(a->dir_fd, a->name, &in_a, err)) < 0 ||
	    (r = tree_node_read_xattrs(b->dir_fd, b->name, &in_b, err)) < 0)
		return r;
	*ret_same = in_a.items.count == in_b.items.count;
	for (size_t i = 0; i < in_a.items.count && *ret_same; i++) {
		const struct tree_xattr *x = &in_a.items.items[i], *y = &in_b.items.items[i];

		*ret_same = text_equal(x->name, y->name) && x->size == y->size && memcmp(x->value, y->value, x->size) == 0;
	}
	return 0;
}

/* What is said of the two, but for the content. */
static int compare_attributes(const struct node *a, const struct node *b, bool *ret_same, struct err *err)
{
	const struct stat *x = &a->st, *y = &b->st;

	*ret_same = x->st_mode == y->st_mode && x->st_uid == y->st_uid && x->st_gid == y->st_gid && x->st_rdev == y->st_rdev &&
		    x->st_mtim.tv_sec == y->st_mtim.tv_sec && x->st_mtim.tv_nsec == y->st_mtim.tv_nsec;
	return *ret_same ? compare_xattrs(a, b, ret_same, err) : 0;
}

static int compare_files(struct sending *sending, const struct node *a, const struct node *b, bool *ret_same, struct err *err)
{
	auto_close int fd_a = -1, fd_b = -1;
	int r;

	*ret_same = a->st.st_size == b->st.st_size;
	if (!*ret_same)
		return 0;
	if ((r = fd_a = open_node(a, 0, err)) < 0 || (r = fd_b = open_node(b, 0, err)) < 0)
		return r;
	for (off_t at = 0; at < a->st.st_size && *ret_same; at += COMPARED_AT_ONCE) {
		ssize_t in_a = pread(fd_a, sending->buffer, COMPARED_AT_ONCE, at);
		ssize_t in_b = pread(fd_b, sending->buffer + COMPARED_AT_ONCE, COMPARED_AT_ONCE, at);

		if (in_a < 0 || in_b < 0)
			return err_set(err, -errno, "read '%s': %m", shown(a->name));
		if (volume_is_cancelled(sending->writer->progress))
			return err_set(err, -ECANCELED, "cancelled");
		*ret_same = in_a == in_b && memcmp(sending->buffer, sending->buffer + COMPARED_AT_ONCE, (size_t)in_a) == 0;
	}
	return 0;
}

static int compare_links(const struct node *a, const struct node *b, bool *ret_same, struct err *err)
{
	char target_a[PATH_MAX], target_b[PATH_MAX];
	ssize_t size_a = readlinkat(a->dir_fd, a->name, target_a, sizeof(target_a));
	ssize_t size_b = readlinkat(b->dir_fd, b->name, target_b, sizeof(target_b));

	if (size_a < 0 || size_b < 0)
		return err_set(err, -errno, "read link '%s': %m", shown(a->name));
	*ret_same = size_a == size_b && memcmp(target_a, target_b, (size_t)size_a) == 0;
	return 0;
}

/* Whether the base's must go before the new one comes: of another kind, or one of several names of a file. */
static bool must_go(const struct node *node, const struct node *base)
{
	if ((node->st.st_mode ^ base->st.st_mode) & S_IFMT)
		return true;
	return !S_ISDIR(node->st.st_mode) && (node->st.st_nlink > 1 || base->st.st_nlink > 1) && !has_same_origin(node, base);
}

/* Writing */

static int put_path(struct sending *sending, enum frames_type type, const char *name, struct err *err)
{
	auto_free char *path = text_format("%s%s", str_text(&sending->path), name);

	return frames_put(sending->writer, type, path, strlen(path), NULL, 0, err);
}

static int put_entry(struct sending *sending, const struct node *node, const char *path, const char *target, mode_t mode, uint32_t flags,
		     struct err *err)
{
	unsigned char entry[TREE_ENTRY_BYTES] = { 0 };
	auto_str struct str names = { 0 };

	frames_pack32(entry, mode);
	frames_pack32(entry + 4, node->st.st_uid);
	frames_pack32(entry + 8, node->st.st_gid);
	frames_pack32(entry + 12, major(node->st.st_rdev));
	frames_pack32(entry + 16, minor(node->st.st_rdev));
	frames_pack64(entry + 24, S_ISREG(mode) ? (uint64_t)node->st.st_size : 0);
	frames_pack64(entry + 32, (uint64_t)node->st.st_mtim.tv_sec);
	frames_pack32(entry + 40, (uint32_t)node->st.st_mtim.tv_nsec);
	frames_pack32(entry + 44, flags);
	str_append_bytes(&names, path, strlen(path) + 1);
	str_append_bytes(&names, target, strlen(target) + 1);
	return frames_put(sending->writer, FRAMES_ENTRY, entry, sizeof(entry), names.data, names.size, err);
}

static int put_xattrs(struct sending *sending, const struct node *node, struct err *err)
{
	auto_xattrs struct tree_xattrs xattrs = { 0 };
	int r = tree_node_read_xattrs(node->dir_fd, node->name, &xattrs, err);

	for (size_t i = 0; i < xattrs.items.count && r == 0; i++) {
		const struct tree_xattr *xattr = &xattrs.items.items[i];

		r = frames_put(sending->writer, FRAMES_XATTR, xattr->name, strlen(xattr->name) + 1, xattr->value, xattr->size, err);
	}
	return r;
}

static int put_extent(struct sending *sending, int fd, off_t start, off_t end, struct err *err)
{
	while (start < end) {
		size_t want = end - start < FRAMES_DATA_MAX ? (size_t)(end - start) : FRAMES_DATA_MAX;
		ssize_t n = pread(fd, sending->buffer, want, start);
		unsigned char head[8];
		int r;

		if (n < 0)
			return err_set(err, -errno, "read a file: %m");
		if (n == 0)
			return 0;
		frames_pack64(head, (uint64_t)start);
		if ((r = frames_put(sending->writer, FRAMES_CONTENT, head, sizeof(head), sending->buffer, (size_t)n, err)) < 0)
			return r;
		volume_report(sending->writer->progress, sending->writer->bytes, 0);
		start += n;
	}
	return 0;
}

static int put_content(struct sending *sending, const struct node *node, struct err *err)
{
	auto_close int fd = open_node(node, 0, err);
	off_t at = 0;
	int r = 0;

	if (fd < 0)
		return fd;
	while (r == 0 && at < node->st.st_size) {
		off_t start = lseek(fd, at, SEEK_DATA), end;

		if (start < 0 && errno == ENXIO)
			return 0;
		start = start < 0 ? at : start;
		end = lseek(fd, start, SEEK_HOLE);
		at = end < 0 || end > node->st.st_size ? node->st.st_size : end;
		r = put_extent(sending, fd, start, at, err);
	}
	return r;
}

/* Another name of something sent before. */
static int put_name(struct sending *sending, const struct node *node, const char *path, bool *ret_done, struct err *err)
{
	char key[LINK_KEY_SIZE];
	const char *first;
	int r;

	*ret_done = false;
	if (S_ISDIR(node->st.st_mode) || node->st.st_nlink < 2)
		return 0;
	snprintf(key, sizeof(key), "%" PRIu64, (uint64_t)node->st.st_ino);
	first = map_get(&sending->links, key);
	if (!first) {
		map_put(&sending->links, key, text_copy(path));
		return 0;
	}
	*ret_done = true;
	if ((r = put_entry(sending, node, path, first, 0, 0, err)) < 0)
		return r;
	return frames_put(sending->writer, FRAMES_DONE, NULL, 0, NULL, 0, err);
}

/* All of it, or all but the content when that is the base's. */
static int put_node(struct sending *sending, const struct node *node, const char *path, bool is_same_content, struct err *err)
{
	char target[PATH_MAX] = "";
	bool is_done;
	int r;

	if ((r = put_name(sending, node, path, &is_done, err)) < 0 || is_done)
		return r;
	if (S_ISLNK(node->st.st_mode) && readlinkat(node->dir_fd, node->name, target, sizeof(target) - 1) < 0)
		return err_set(err, -errno, "read link '%s': %m", shown(path));
	if ((r = put_entry(sending, node, path, target, node->st.st_mode, is_same_content ? TREE_ENTRY_SAME_CONTENT : 0, err)) < 0 ||
	    (r = put_xattrs(sending, node, err)) < 0 ||
	    (S_ISREG(node->st.st_mode) && !is_same_content && (r = put_content(sending, node, err)) < 0))
		return r;
	return frames_put(sending->writer, FRAMES_DONE, NULL, 0, NULL, 0, err);
}

/* 'base' is null when there is none, or it has gone. */
static int send_node(struct sending *sending, const struct node *node, const struct node *base, const char *path, struct err *err)
{
	bool same_attributes = false, same_content = false;
	int r = 0;

	if (base && !S_ISDIR(node->st.st_mode) && has_same_origin(node, base))
		return 0;
	if (base)
		r = compare_attributes(node, base, &same_attributes, err);
	if (r == 0 && base && S_ISREG(node->st.st_mode))
		r = compare_files(sending, node, base, &same_content, err);
	else if (r == 0 && base && S_ISLNK(node->st.st_mode))
		r = compare_links(node, base, &same_content, err);
	else if (base)
		same_content = S_ISDIR(node->st.st_mode) || same_attributes;
	if (r < 0 || (same_attributes && same_content))
		return r;
	return put_node(sending, node, path, same_content && S_ISREG(node->st.st_mode), err);
}

/* The walk */

static int send_removals(struct sending *sending, int fd, int base_fd, struct err *err)
{
	auto_names struct volume_names names = { 0 };
	int r = place_names(base_fd, &names, err);

	for (size_t i = 0; i < names.items.count && r >= 0; i++) {
		auto_close int below_fd = -1, base_below_fd = -1;
		const char *name = names.items.items[i];
		struct node node, base;
		size_t length;
		int found = look(fd, name, &node, err);

		if ((r = look(base_fd, name, &base, err)) < 0)
			return r;
		if (found == -ENOENT || (found == 0 && must_go(&node, &base))) {
			r = put_path(sending, FRAMES_REMOVE, name, err);
			continue;
		}
		if ((r = found) < 0 || !S_ISDIR(node.st.st_mode))
			continue;
		if ((r = below_fd = open_node(&node, O_DIRECTORY, err)) < 0 || (r = base_below_fd = open_node(&base, O_DIRECTORY, err)) < 0)
			return r;
		length = enter(sending, name);
		r = send_removals(sending, below_fd, base_below_fd, err);
		leave(sending, length);
	}
	return r < 0 ? r : 0;
}

static int send_folder(struct sending *sending, int fd, int base_fd, struct err *err);

static int send_entry(struct sending *sending, int fd, int base_fd, const char *name, struct err *err)
{
	auto_close int below_fd = -1, base_below_fd = -1;
	auto_free char *path = text_format("%s%s", str_text(&sending->path), name);
	struct node node, base;
	bool has_base = false;
	size_t length;
	int r = look(fd, name, &node, err);

	if (r == 0 && base_fd >= 0) {
		r = look(base_fd, name, &base, err);
		has_base = r == 0 && !must_go(&node, &base);
		r = r == -ENOENT ? 0 : r;
	}
	if (r < 0 || (r = send_node(sending, &node, has_base ? &base : NULL, path, err)) < 0 || !S_ISDIR(node.st.st_mode))
		return r;
	if ((r = below_fd = open_node(&node, O_DIRECTORY, err)) < 0 ||
	    (has_base && (r = base_below_fd = open_node(&base, O_DIRECTORY, err)) < 0))
		return r;
	length = enter(sending, name);
	r = send_folder(sending, below_fd, base_below_fd, err);
	leave(sending, length);
	return r;
}

static int send_folder(struct sending *sending, int fd, int base_fd, struct err *err)
{
	auto_names struct volume_names names = { 0 };
	int r = place_names(fd, &names, err);

	for (size_t i = 0; i < names.items.count && r == 0; i++)
		r = send_entry(sending, fd, base_fd, names.items.items[i], err);
	return r;
}

static int send_root(struct sending *sending, int fd, int base_fd, struct err *err)
{
	struct node node, base;
	int r = look(fd, ".", &node, err);

	if (r == 0 && base_fd >= 0)
		r = look(base_fd, ".", &base, err);
	return r < 0 ? r : send_node(sending, &node, base_fd >= 0 ? &base : NULL, "", err);
}

int tree_stream_send(const struct place *place, int snapshot_fd, int base_fd, struct frames_writer *writer, struct err *err)
{
	struct sending sending = { .writer = writer };
	int r = 0;

	(void)place;
	sending.buffer = alloc(FRAMES_DATA_MAX);
	str_append(&sending.path, "");
	if (base_fd >= 0)
		r = send_removals(&sending, snapshot_fd, base_fd, err);
	if (r == 0 && (r = send_root(&sending, snapshot_fd, base_fd, err)) == 0)
		r = send_folder(&sending, snapshot_fd, base_fd, err);
	for (size_t i = 0; i < sending.links.count; i++)
		free(sending.links.entries[i].value);
	map_done(&sending.links);
	str_done(&sending.path);
	free(sending.buffer);
	return r;
}
