#include "driver/volume/file/tree_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/volume/file/frames.h"
#include "driver/volume/file/tree_node.h"

enum {
	LINK_KEY_SIZE = 24,
	RACY_NS = 1000000000,		/* A file changed so lately may change again without its time telling. */
};

struct copying {
	dev_t device;			/* What is mounted inside stays out. */
	int root_fd;			/* Of the copy. */
	struct map links;		/* Inode number -> path in the copy, of files that have several names. */
	struct str path;		/* Of the present folder, relative to the root, ending with a slash unless empty. */
	bool has_origins;
	uint64_t begun_ns;
	const struct volume_progress *progress;
	uint64_t done_bytes;
};

/* A file that changes within the resolution of its time cannot be told from one that does not: no mark, no trust. */
static int mark_origin(const struct copying *copying, int dir_fd, const char *name, const struct stat *st, struct err *err)
{
	uint64_t changed_ns = (uint64_t)st->st_ctim.tv_sec * 1000000000 + (uint64_t)st->st_ctim.tv_nsec;
	char path[TREE_NODE_PATH_SIZE];
	unsigned char origin[16];

	if (!copying->has_origins || changed_ns + RACY_NS > copying->begun_ns)
		return 0;
	frames_pack64(origin, st->st_ino);
	frames_pack64(origin + 8, changed_ns);
	if (lsetxattr(tree_node_path(dir_fd, name, path), TREE_NODE_ORIGIN, origin, sizeof(origin), 0) < 0 && errno != EOPNOTSUPP)
		return err_set(err, -errno, "mark '%s': %m", shown(name));
	return 0;
}

static int copy_content(struct copying *copying, int from_dir_fd, int to_dir_fd, const char *name, const struct stat *st,
			struct err *err)
{
	auto_close int from_fd = openat(from_dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	auto_close int to_fd = openat(to_dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	const struct file_progress progress = {
		.is_cancelled = copying->progress ? copying->progress->is_cancelled : NULL,
	};
	int r;

	if (from_fd < 0 || to_fd < 0)
		return err_set(err, -errno, "copy file '%s': %m", shown(name));
	r = st->st_size ? file_copy_sparse(from_fd, to_fd, &progress, err) : 0;
	if (r < 0)
		return err_prefix(err, "file '%s'", shown(name));
	copying->done_bytes += (uint64_t)st->st_size;
	volume_report(copying->progress, copying->done_bytes, 0);
	return 0;
}

/* Whether 'name' is another name of something copied already; then it is linked. */
static int copy_link(struct copying *copying, int to_dir_fd, const char *name, const struct stat *st, bool *ret_is_link,
		     struct err *err)
{
	char key[LINK_KEY_SIZE];
	const char *first;

	*ret_is_link = false;
	if (st->st_nlink < 2)
		return 0;
	snprintf(key, sizeof(key), "%" PRIu64, (uint64_t)st->st_ino);
	first = map_get(&copying->links, key);
	if (!first) {
		map_put(&copying->links, key, text_format("%s%s", str_text(&copying->path), name));
		return 0;
	}
	*ret_is_link = true;
	if (linkat(copying->root_fd, first, to_dir_fd, name, 0) < 0)
		return err_set(err, -errno, "link '%s': %m", shown(name));
	return 0;
}

static int copy_special(int from_dir_fd, int to_dir_fd, const char *name, const struct stat *st, struct err *err)
{
	char target[PATH_MAX] = "";

	if (S_ISLNK(st->st_mode) && readlinkat(from_dir_fd, name, target, sizeof(target) - 1) < 0)
		return err_set(err, -errno, "read link '%s': %m", shown(name));
	return tree_node_make_special(to_dir_fd, name, st, target, err);
}

static int copy_attributes(struct copying *copying, int from_dir_fd, const char *from_name, int to_dir_fd, const char *to_name,
			   const struct stat *st, struct err *err)
{
	auto_xattrs struct tree_xattrs xattrs = { 0 };
	int r;

	if ((r = tree_node_read_xattrs(from_dir_fd, from_name, &xattrs, err)) < 0 ||
	    (r = tree_node_set(to_dir_fd, to_name, st, &xattrs, err)) < 0 ||
	    (r = mark_origin(copying, to_dir_fd, to_name, st, err)) < 0)
		return r;
	return tree_node_set_times(to_dir_fd, to_name, st, err);
}

static int copy_entries(struct copying *copying, int from_fd, int to_fd, int depth, struct err *err);

static int copy_folder(struct copying *copying, int from_dir_fd, int to_dir_fd, const char *name, const struct stat *st, int depth,
		       struct err *err)
{
	size_t length = copying->path.size;
	auto_close int from_fd = openat(from_dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), to_fd = -1;
	int r;

	if (from_fd < 0)
		return err_set(err, -errno, "open folder '%s': %m", shown(name));
	if (mkdirat(to_dir_fd, name, 0700) < 0 ||
	    (to_fd = openat(to_dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return err_set(err, -errno, "make folder '%s': %m", shown(name));
	if (st->st_dev != copying->device)
		return 0;
	str_printf(&copying->path, "%s/", name);
	r = copy_entries(copying, from_fd, to_fd, depth + 1, err);
	copying->path.size = length;
	copying->path.data[length] = '\0';
	return r;
}

static int copy_entry(struct copying *copying, int from_fd, int to_fd, const char *name, int depth, struct err *err)
{
	struct stat st;
	bool is_link = false;
	int r;

	if (volume_is_cancelled(copying->progress))
		return err_set(err, -ECANCELED, "cancelled");
	if (fstatat(from_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -errno, "look at '%s': %m", shown(name));
	if (S_ISDIR(st.st_mode))
		r = copy_folder(copying, from_fd, to_fd, name, &st, depth, err);
	else if ((r = copy_link(copying, to_fd, name, &st, &is_link, err)) < 0 || is_link)
		return r;
	else if (S_ISREG(st.st_mode))
		r = copy_content(copying, from_fd, to_fd, name, &st, err);
	else
		r = copy_special(from_fd, to_fd, name, &st, err);
	return r < 0 ? r : copy_attributes(copying, from_fd, name, to_fd, name, &st, err);
}

static int copy_entries(struct copying *copying, int from_fd, int to_fd, int depth, struct err *err)
{
	int own_fd = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int r = 0;
	DIR *dir;

	if (depth > TREE_DEPTH_MAX) {
		closep(&own_fd);
		return err_set(err, -ELOOP, "folders are nested more than %d deep: move those at the bottom up", TREE_DEPTH_MAX);
	}
	if (own_fd < 0 || !(dir = fdopendir(own_fd))) {
		err_set(err, -errno, "read folder: %m");
		closep(&own_fd);
		return err->code;
	}
	while (r == 0 && (errno = 0, entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = copy_entry(copying, from_fd, to_fd, entry->d_name, depth, err);
	if (r == 0 && errno)
		r = err_set(err, -errno, "read folder: %m");
	closedir(dir);
	return r;
}

int tree_copy(int from_fd, int to_dir_fd, const char *to_name, int to_fd, bool has_origins, const struct volume_progress *progress,
	      struct err *err)
{
	struct copying copying = {
		.root_fd = to_fd, .has_origins = has_origins, .progress = progress, .begun_ns = clock_ns(CLOCK_REALTIME),
	};
	struct stat st;
	int r;

	if (fstat(from_fd, &st) < 0)
		return err_set(err, -errno, "look at the folder: %m");
	copying.device = st.st_dev;
	r = copy_entries(&copying, from_fd, to_fd, 0, err);
	if (r == 0)
		r = copy_attributes(&copying, from_fd, ".", to_dir_fd, to_name, &st, err);
	for (size_t i = 0; i < copying.links.count; i++)
		free(copying.links.entries[i].value);
	map_done(&copying.links);
	str_done(&copying.path);
	return r;
}
