#include "driver/volume/file/tree_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { OWNER = 1234, BIG_BYTES = 3 << 20, HOLE_AT = 64 << 20, OLD_SECONDS = 1000000000 };

#define EXPECT(condition) \
	do { \
		if (!(condition)) \
			return err_set(err, -EPROTO, "tree '%s', content %u, line %d: not true: %s (%s)", volume, content, __LINE__, \
				       #condition, strerror(errno)); \
	} while (0)

static int open_tree(struct volume_driver *driver, const char *volume, struct err *err)
{
	auto_info struct volume_info info = { 0 };
	int r = driver->ops->info(driver, volume, &info, err), fd;

	if (r < 0)
		return r;
	fd = open(info.tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_set(err, -errno, "open '%s': %m", info.tree) : fd;
}

static bool write_file(int dir_fd, const char *name, const char *text, size_t size, off_t offset)
{
	auto_close int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	return fd >= 0 && pwrite(fd, text, size, offset) == (ssize_t)size;
}

static bool has_text(int dir_fd, const char *name, const char *text, size_t size, off_t offset)
{
	auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	auto_free char *found = alloc(size);

	return fd >= 0 && pread(fd, found, size, offset) == (ssize_t)size && memcmp(found, text, size) == 0;
}

static const char *path_in(int dir_fd, const char *name, char path[64])
{
	snprintf(path, 64, "/proc/self/fd/%d/%s", dir_fd, name);
	return path;
}

static bool set_attribute(int dir_fd, const char *file, const char *name, const char *value)
{
	char path[64];

	return lsetxattr(path_in(dir_fd, file, path), name, value, strlen(value), 0) == 0;
}

static bool has_attribute(int dir_fd, const char *file, const char *name, const char *value)
{
	char path[64], found[64];
	ssize_t size = lgetxattr(path_in(dir_fd, file, path), name, found, sizeof(found));

	return size == (ssize_t)strlen(value) && memcmp(found, value, (size_t)size) == 0;
}

/* What was there before but for the root folder itself. */
static int clear(int fd, struct err *err)
{
	static const char *const names[] = {
		"file", "big", "holes", "deep", "link", "fifo", "whiteout", "one", "two", "three", "setuid", "swap", "moving",
		"odd\nname \xff", "only-odd", "only-even", "quiet", "empty",
	};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		char path[64];
		int r = file_remove_tree(path_in(fd, names[i], path), err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* What only root can make. */
static int write_owned(int fd, const char *volume, unsigned content, struct err *err)
{
	if (geteuid() != 0)
		return 0;
	EXPECT(mknodat(fd, "whiteout", S_IFCHR, makedev(0, 0)) == 0);
	EXPECT(fchownat(fd, "file", OWNER, OWNER + content, 0) == 0);
	EXPECT(fchownat(fd, "link", OWNER, OWNER, AT_SYMLINK_NOFOLLOW) == 0);
	EXPECT(set_attribute(fd, "deep", "trusted.overlay.opaque", "y"));
	EXPECT(set_attribute(fd, "whiteout", "trusted.fixture", content % 2 ? "odd" : "even"));
	return 0;
}

static int write_names(int fd, const char *volume, unsigned content, struct err *err)
{
	EXPECT(write_file(fd, "one", "linked", 6, 0));
	EXPECT(linkat(fd, "one", fd, "two", 0) == 0);
	/* A third name of the same file, or another file. */
	EXPECT(content % 2 ? linkat(fd, "one", fd, "deep/three", 0) == 0 : write_file(fd, "deep/three", "other", 5, 0));
	EXPECT(symlinkat("/etc/passwd", fd, "link") == 0);
	EXPECT(content % 2 ? mkdirat(fd, "swap", 0700) == 0 : symlinkat("deep", fd, "swap") == 0);
	EXPECT(mkfifoat(fd, "fifo", 0640) == 0);
	EXPECT(write_file(fd, "odd\nname \xff", "odd", 3, 0));
	EXPECT(mkdirat(fd, "empty", 0711) == 0);
	return 0;
}

int tree_fixture_write(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err)
{
	const struct timespec times[2] = { { .tv_sec = OLD_SECONDS, .tv_nsec = 1 }, { .tv_sec = OLD_SECONDS, .tv_nsec = 123456789 } };
	auto_close int fd = open_tree(driver, volume, err);
	auto_free char *big = alloc(BIG_BYTES);
	char text[16];
	int r;

	(void)data;
	if (fd < 0 || (r = clear(fd, err)) < 0)
		return fd < 0 ? fd : r;
	snprintf(text, sizeof(text), "content %03u", content);
	memset(big, (int)content, BIG_BYTES);
	EXPECT(mkdirat(fd, "deep", 0755) == 0 && mkdirat(fd, "deep/er", 0750) == 0);
	EXPECT(write_file(fd, "file", text, strlen(text), 0) && write_file(fd, "deep/er/file", text, strlen(text), 0));
	EXPECT(write_file(fd, "big", big, BIG_BYTES, 0) && write_file(fd, "holes", text, strlen(text), HOLE_AT));
	EXPECT(write_file(fd, content % 2 ? "only-odd" : "only-even", text, strlen(text), 0));
	EXPECT(set_attribute(fd, "file", "user.fixture", text));
	EXPECT(content % 2 == 0 || set_attribute(fd, "file", "user.odd", "1"));
	EXPECT(write_file(fd, "setuid", "#!", 2, 0) && fchmodat(fd, "setuid", 04755, 0) == 0);
	/* Same size and time, other content: to be noticed all the same. */
	EXPECT(write_file(fd, "quiet", text, strlen(text), 0) && utimensat(fd, "quiet", times, 0) == 0);
	if ((r = write_names(fd, volume, content, err)) < 0 || (r = write_owned(fd, volume, content, err)) < 0)
		return r;
	EXPECT(fchmod(fd, content % 2 ? 0755 : 0711) == 0);
	EXPECT(utimensat(fd, "deep/er", times, 0) == 0 && utimensat(fd, "link", times, AT_SYMLINK_NOFOLLOW) == 0);
	EXPECT(futimens(fd, times) == 0);
	return 0;
}

static bool has_time(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtim.tv_sec == OLD_SECONDS &&
	       st.st_mtim.tv_nsec == 123456789;
}

static bool has_mode(int dir_fd, const char *name, mode_t mode)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mode == mode;
}

static ino_t inode(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static int check_owned(int fd, const char *volume, unsigned content, struct err *err)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	EXPECT(fstatat(fd, "whiteout", &st, 0) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
	EXPECT(fstatat(fd, "file", &st, 0) == 0 && st.st_uid == OWNER && st.st_gid == OWNER + content);
	EXPECT(fstatat(fd, "link", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == OWNER);
	EXPECT(has_attribute(fd, "deep", "trusted.overlay.opaque", "y"));
	EXPECT(has_attribute(fd, "whiteout", "trusted.fixture", content % 2 ? "odd" : "even"));
	EXPECT(fstat(fd, &st) == 0 && st.st_uid == 0);
	return 0;
}

static int check_names(int fd, const char *volume, unsigned content, struct err *err)
{
	char target[32] = "";

	EXPECT(inode(fd, "one") && inode(fd, "one") == inode(fd, "two") && has_text(fd, "two", "linked", 6, 0));
	EXPECT((inode(fd, "one") == inode(fd, "deep/three")) == (content % 2 == 1));
	EXPECT(readlinkat(fd, "link", target, sizeof(target) - 1) > 0 && text_equal(target, "/etc/passwd"));
	EXPECT(content % 2 ? has_mode(fd, "swap", S_IFDIR | 0700) : has_mode(fd, "swap", S_IFLNK | 0777));
	EXPECT(has_mode(fd, "fifo", S_IFIFO | 0640));
	EXPECT(has_text(fd, "odd\nname \xff", "odd", 3, 0));
	EXPECT(has_mode(fd, "empty", S_IFDIR | 0711));
	return 0;
}

int tree_fixture_check(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err)
{
	auto_close int fd = open_tree(driver, volume, err);
	auto_free char *big = alloc(BIG_BYTES);
	struct stat st;
	char text[16];
	int r;

	(void)data;
	if (fd < 0)
		return fd;
	snprintf(text, sizeof(text), "content %03u", content);
	memset(big, (int)content, BIG_BYTES);
	EXPECT(has_text(fd, "file", text, strlen(text), 0) && has_text(fd, "deep/er/file", text, strlen(text), 0));
	EXPECT(has_text(fd, "big", big, BIG_BYTES, 0) && has_text(fd, "holes", text, strlen(text), HOLE_AT));
	EXPECT(fstatat(fd, "holes", &st, 0) == 0 && st.st_size == HOLE_AT + (off_t)strlen(text) && st.st_blocks * 512 < 1 << 20);
	EXPECT(has_text(fd, content % 2 ? "only-odd" : "only-even", text, strlen(text), 0));
	EXPECT(faccessat(fd, content % 2 ? "only-even" : "only-odd", F_OK, 0) < 0);
	EXPECT(has_attribute(fd, "file", "user.fixture", text) && has_attribute(fd, "file", "user.odd", "1") == (content % 2 == 1));
	EXPECT(has_mode(fd, "setuid", S_IFREG | 04755) && has_mode(fd, ".", S_IFDIR | (content % 2 ? 0755 : 0711)));
	EXPECT(has_mode(fd, "deep/er", S_IFDIR | 0750));
	EXPECT(has_text(fd, "quiet", text, strlen(text), 0) && has_time(fd, "quiet"));
	EXPECT(has_time(fd, "deep/er") && has_time(fd, "link") && has_time(fd, "."));
	r = check_names(fd, volume, content, err);
	return r < 0 ? r : check_owned(fd, volume, content, err);
}
