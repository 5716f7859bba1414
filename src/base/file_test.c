#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

/* Every test has a folder of its own, removed afterwards. */

static int make_folder(void **state)
{
	*state = mkdtemp(text_copy("/tmp/strata-file-XXXXXX"));
	return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
	struct err err;
	int r = file_remove_tree(*state, &err);

	free(*state);
	return r;
}

#define PATH_IN(state, name) text_format("%s/%s", (char *)*(state), (name))

static void write_file(const char *path, const char *text)
{
	struct err err;

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0644, &err), 0);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Reading and writing */

static void test_written_file_is_read_back(void **state)
{
	auto_free char *path = PATH_IN(state, "a");
	auto_free char *new_path = PATH_IN(state, "a.new");
	auto_str struct str content = { 0 };
	struct stat st;
	struct err err;

	write_file(path, "old");
	assert_int_equal(symlink("/etc/passwd", new_path), 0);		/* Left by a crash, or laid as a trap. */
	assert_int_equal(file_write_atomic(path, "new\0x", 5, 0600, &err), 0);
	assert_false(exists(new_path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	str_append(&content, "before ");
	assert_int_equal(file_read_all(path, 5, &content, &err), 0);
	assert_int_equal(content.size, 12);
	assert_memory_equal(content.data, "before new\0x", 13);
}

static void test_too_large_or_missing_file_changes_nothing(void **state)
{
	auto_free char *path = PATH_IN(state, "a");
	auto_free char *none = PATH_IN(state, "none");
	auto_str struct str content = { 0 };
	struct err err;

	write_file(path, "12345");
	str_append(&content, "kept");
	assert_int_equal(file_read_all(path, 4, &content, &err), -EFBIG);
	assert_int_equal(file_read_all(none, 4, &content, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "none"));
	assert_string_equal(str_text(&content), "kept");
	assert_int_equal(file_write_atomic("/nowhere/x", "a", 1, 0644, &err), -ENOENT);
}

static void test_full_disk_keeps_the_old_file(void **state)
{
	auto_free char *path = PATH_IN(state, "disk/a");
	auto_free char *disk = PATH_IN(state, "disk");
	auto_free char *big = alloc(1 << 20);
	auto_str struct str content = { 0 };
	struct err err;
	int r;

	assert_int_equal(mkdir(disk, 0755), 0);
	if (mount("strata-test", disk, "tmpfs", 0, "size=64k") < 0)
		skip();
	write_file(path, "old");
	r = file_write_atomic(path, big, 1 << 20, 0644, &err);
	file_read_all(path, 100, &content, &err);
	umount(disk);
	assert_int_equal(r, -ENOSPC);
	assert_string_equal(str_text(&content), "old");
}

/* Folders */

static void test_missing_folders_are_made(void **state)
{
	auto_free char *path = PATH_IN(state, "x//y/z/");
	auto_free char *file = PATH_IN(state, "file");
	auto_free char *below_file = PATH_IN(state, "file/below");
	struct err err;

	assert_int_equal(file_make_dirs(path, 0755, &err), 0);
	assert_int_equal(file_make_dirs(path, 0755, &err), 0);
	assert_true(exists(path));
	write_file(file, "");
	assert_int_equal(file_make_dirs(below_file, 0755, &err), -ENOTDIR);
}

static void test_tree_is_removed_without_following_links(void **state)
{
	auto_free char *outside = PATH_IN(state, "outside");
	auto_free char *kept = PATH_IN(state, "outside/kept");
	auto_free char *tree = PATH_IN(state, "tree");
	auto_free char *deep = PATH_IN(state, "tree/a/b/c");
	auto_free char *link = PATH_IN(state, "tree/a/link");
	auto_free char *file = PATH_IN(state, "tree/a/b/file");
	auto_free char *link_to_tree = PATH_IN(state, "link-to-tree");
	struct err err;

	assert_int_equal(file_make_dirs(outside, 0755, &err), 0);
	assert_int_equal(file_make_dirs(deep, 0755, &err), 0);
	write_file(kept, "");
	write_file(file, "");
	assert_int_equal(symlink(outside, link), 0);
	assert_int_equal(symlink(tree, link_to_tree), 0);

	assert_int_equal(file_remove_tree(link_to_tree, &err), 0);
	assert_true(exists(file));
	assert_int_equal(file_remove_tree(tree, &err), 0);
	assert_false(exists(tree));
	assert_true(exists(kept));

	assert_int_equal(file_remove_tree(tree, &err), 0);
	assert_int_equal(file_remove_tree(kept, &err), 0);
	assert_false(exists(kept));
	assert_int_equal(file_remove_tree("/nowhere/at/all", &err), 0);
}

static void test_nameless_trees_are_refused(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(file_remove_tree("/", &err), -EINVAL);
	assert_int_equal(file_remove_tree("///", &err), -EINVAL);
	assert_int_equal(file_remove_tree("", &err), -EINVAL);
	assert_int_equal(file_remove_tree("/tmp/..", &err), -EINVAL);
	assert_int_equal(file_remove_tree(".", &err), -EINVAL);
}

/* Deeper than there are fds and longer than PATH_MAX: a guest's or an archive's revenge. */
static void test_very_deep_tree_is_removed(void **state)
{
	enum { DEPTH = 3000 };
	auto_free char *tree = PATH_IN(state, "tree");
	int fd = AT_FDCWD;
	struct err err;

	assert_int_equal(mkdir(tree, 0755), 0);
	fd = open(tree, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < DEPTH; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "d", 0755), 0);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
		close(fd);
		fd = next;
	}
	close(fd);
	assert_int_equal(file_remove_tree(tree, &err), 0);
	assert_false(exists(tree));
}

static void test_mount_point_stops_the_removal(void **state)
{
	auto_free char *tree = PATH_IN(state, "tree");
	auto_free char *mounted = PATH_IN(state, "tree/mounted");
	auto_free char *kept = PATH_IN(state, "tree/mounted/kept");
	struct err err;
	bool is_kept;
	int r;

	assert_int_equal(file_make_dirs(mounted, 0755, &err), 0);
	if (mount("strata-test", mounted, "tmpfs", 0, "size=64k") < 0)
		skip();
	write_file(kept, "");
	r = file_remove_tree(tree, &err);
	is_kept = exists(kept);
	umount(mounted);
	assert_int_equal(r, -EXDEV);
	assert_non_null(strstr(err.msg, "unmount"));
	assert_true(is_kept);
}

/* Opening beneath */

static void test_beneath_lets_nothing_out(void **state)
{
	auto_free char *inside = PATH_IN(state, "inside");
	auto_free char *secret = PATH_IN(state, "secret");
	auto_free char *link = PATH_IN(state, "inside/link");
	auto_close int dir = -1;
	struct err err;
	int fd;

	assert_int_equal(mkdir(inside, 0755), 0);
	write_file(secret, "secret");
	assert_int_equal(symlink("../secret", link), 0);
	dir = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(file_open_beneath(dir, "../secret", O_RDONLY, 0, &err), -EACCES);
	assert_int_equal(file_open_beneath(dir, secret, O_RDONLY, 0, &err), -EACCES);
	assert_int_equal(file_open_beneath(dir, "link", O_RDONLY, 0, &err), -EACCES);
	assert_int_equal(file_open_beneath(dir, "none", O_RDONLY, 0, &err), -ENOENT);

	fd = file_open_beneath(dir, "made", O_WRONLY | O_CREAT | O_EXCL, 0640, &err);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	fd = file_open_beneath(dir, "../inside/made", O_RDONLY, 0, &err);
	assert_int_equal(fd, -EACCES);
}

/* Copying */

struct seen {
	uint64_t done, total;
	bool is_cancelled;
};

static void note_progress(void *data, uint64_t done_bytes, uint64_t total_bytes)
{
	struct seen *seen = data;

	assert_true(done_bytes >= seen->done && done_bytes <= total_bytes);
	seen->done = done_bytes;
	seen->total = total_bytes;
}

static int open_new(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	return fd;
}

static void assert_same_content(int a, int b, off_t size)
{
	enum { CHUNK = 1 << 16 };
	char left[CHUNK], right[CHUNK];

	for (off_t at = 0; at < size; at += CHUNK) {
		ssize_t n = pread(a, left, CHUNK, at);

		assert_int_equal(pread(b, right, CHUNK, at), n);
		assert_memory_equal(left, right, (size_t)n);
	}
}

/* Data, hole, data, hole; from the disk of the test to 'to'. */
static void copy_sparse_file(void **state, int to)
{
	enum { SIZE = 64 << 20 };
	auto_free char *from_path = PATH_IN(state, "from");
	auto_close int from = open_new(from_path);
	auto_free char *data = alloc(3 << 20);
	struct seen seen = { 0 };
	struct file_progress progress = { .on_progress = note_progress, .data = &seen };
	struct stat st;
	struct err err;

	memset(data, 'x', 3 << 20);
	assert_int_equal(file_write_at(from, data, 3 << 20, 0, &err), 0);
	assert_int_equal(file_write_at(from, data, 12345, 40 << 20, &err), 0);
	assert_int_equal(ftruncate(from, SIZE), 0);
	assert_int_equal(file_copy_sparse(from, to, &progress, &err), 0);
	assert_int_equal(fstat(to, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_true(st.st_blocks * 512 < 8 << 20);
	assert_int_equal(seen.done, SIZE);
	assert_int_equal(seen.total, SIZE);
	assert_same_content(from, to, SIZE);
}

static void test_copy_keeps_holes(void **state)
{
	auto_free char *to_path = PATH_IN(state, "to");
	auto_close int to = open_new(to_path);

	copy_sparse_file(state, to);
}

static void test_copy_to_another_file_system_keeps_holes(void **state)
{
	char path[] = "/dev/shm/strata-copy-XXXXXX";
	auto_close int to = mkstemp(path);

	if (to < 0)
		skip();
	unlink(path);
	copy_sparse_file(state, to);
}

static void test_copy_can_be_cancelled(void **state)
{
	auto_free char *from_path = PATH_IN(state, "from");
	auto_free char *to_path = PATH_IN(state, "to");
	auto_close int from = open_new(from_path);
	auto_close int to = open_new(to_path);
	const bool is_cancelled = true;
	struct file_progress progress = { .is_cancelled = &is_cancelled };
	struct err err;

	assert_int_equal(file_write_at(from, "x", 1, 0, &err), 0);
	assert_int_equal(file_copy_sparse(from, to, &progress, &err), -ECANCELED);
}

/* A child that does nothing until it is killed, and has all that we had. */
static pid_t start_child(void)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		for (;;)
			pause();
	return child;
}

static void end_child(pid_t child)
{
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_lock_of_who_lives(void **state)
{
	auto_free char *path = PATH_IN(state, "lock");
	auto_str struct str text = { 0 };
	pid_t holder, child = fork();
	struct err err;
	int fd = -1, r = 0;

	assert_true(child >= 0);
	if (child == 0) {
		file_lock(path, &fd, &holder, &err);
		for (;;)
			pause();
	}
	while (file_read_all(path, 100, &text, &err) < 0 || !text.size)
		poll(NULL, 0, 1);
	assert_int_equal(atoi(str_text(&text)), child);
	r = file_lock(path, &fd, &holder, &err);
	end_child(child);
	assert_int_equal(r, -EBUSY);
	assert_int_equal(holder, child);
	assert_int_equal(file_lock(path, &fd, &holder, &err), 0);
	close(fd);
}

static void *end_soon(void *data)
{
	const pid_t *child = data;

	poll(NULL, 0, 100);
	kill(*child, SIGKILL);
	return NULL;
}

/* Killed between fork and exec of a program that it starts. */
static void test_lock_of_who_is_dead_is_waited_for(void **state)
{
	auto_free char *path = PATH_IN(state, "lock");
	pid_t holder, dead = start_child(), heir;
	char text[16];
	pthread_t thread;
	struct err err;
	int fd = -1;

	end_child(dead);
	assert_int_equal(file_lock(path, &fd, &holder, &err), 0);
	snprintf(text, sizeof(text), "%d\n", (int)dead);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
	heir = start_child();
	close(fd);
	assert_int_equal(pthread_create(&thread, NULL, end_soon, &heir), 0);
	assert_int_equal(file_lock(path, &fd, &holder, &err), 0);
	assert_int_equal(holder, dead);
	pthread_join(thread, NULL);
	assert_int_equal(waitpid(heir, NULL, 0), heir);
	close(fd);
}

#define FOLDER_TEST(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FOLDER_TEST(test_written_file_is_read_back),
		FOLDER_TEST(test_too_large_or_missing_file_changes_nothing),
		FOLDER_TEST(test_full_disk_keeps_the_old_file),
		FOLDER_TEST(test_missing_folders_are_made),
		FOLDER_TEST(test_lock_of_who_lives), FOLDER_TEST(test_lock_of_who_is_dead_is_waited_for),
		FOLDER_TEST(test_tree_is_removed_without_following_links),
		cmocka_unit_test(test_nameless_trees_are_refused),
		FOLDER_TEST(test_very_deep_tree_is_removed),
		FOLDER_TEST(test_mount_point_stops_the_removal),
		FOLDER_TEST(test_beneath_lets_nothing_out),
		FOLDER_TEST(test_copy_keeps_holes),
		FOLDER_TEST(test_copy_to_another_file_system_keeps_holes),
		FOLDER_TEST(test_copy_can_be_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
