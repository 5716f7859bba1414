#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "driver/volume/file/tree_fixture.h"
#include "port/volume_conformance.h"

enum { MIB = 1 << 20 };

struct fixture {
	char folder[32];
	char *place, *source;
	struct volume_params params;
	struct volume_driver *driver;	/* Null when a test needs none. */
};

static int run(const char *const *argv, struct err *err)
{
	const struct spawn_params params = { .argv = argv };
	const struct spawn_io io = { .timeout_ms = 60000 };

	return spawn_run(&params, &io, err);
}

/* What a host or container may lack: then there is nothing to test. */
static bool can_run(void)
{
	struct err err;

	return geteuid() == 0 && access("/dev/loop-control", R_OK | W_OK) == 0 &&
	       run((const char *const[]){ "grep", "-qw", "btrfs", "/proc/filesystems", NULL }, &err) == 0 &&
	       run((const char *const[]){ "btrfs", "--version", NULL }, &err) == 0;
}

static int set_up(void **state)
{
	struct fixture *fixture = alloc(sizeof(*fixture));
	const struct passwd *nobody = getpwnam("nobody");
	struct err err;

	*state = fixture;
	strcpy(fixture->folder, "/tmp/strata-btrfs-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	assert_int_equal(chmod(fixture->folder, 0711), 0);
	fixture->place = text_format("%s/pool", fixture->folder);
	fixture->source = text_format("%s/pool.img", fixture->folder);
	fixture->params = (struct volume_params){ .directory = fixture->place, .source = fixture->source, .size_bytes = (uint64_t)512 * MIB };
	if (nobody) {
		fixture->params.user = nobody->pw_uid;
		fixture->params.group = nobody->pw_gid;
	}
	if (!can_run())
		return 0;
	if (volume_btrfs.open(&fixture->params, &fixture->driver, &err) < 0)
		fail_msg("%s", err.msg);
	return 0;
}

/* Whatever happened, nothing stays mounted; the loop device goes with the mount. */
static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct err err;

	volume_btrfs.close(fixture->driver);
	while (umount2(fixture->place, MNT_DETACH) == 0)
		;
	assert_int_equal(file_remove_tree(fixture->folder, &err), 0);
	free(fixture->place);
	free(fixture->source);
	free(fixture);
	return 0;
}

#define NEED_BTRFS(fixture) \
	do { \
		if (!(fixture)->driver) { \
			print_message("loop devices, btrfs or root are missing here\n"); \
			skip(); \
		} \
	} while (0)

static int guest_io(struct volume_driver *driver, const char *volume, const char *verb, unsigned content, struct err *err)
{
	auto_free char *command = text_format("%s -P %u 0 64k", verb, content);
	auto_info struct volume_info info = { 0 };
	int r = driver->ops->info(driver, volume, &info, err);

	return r < 0 ? r : run((const char *const[]){ "qemu-io", "-f", "qcow2", "-c", command, info.layers.items[0].path, NULL }, err);
}

static int write_content(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err)
{
	(void)data;
	return guest_io(driver, volume, "write", content, err);
}

static int check_content(void *data, struct volume_driver *driver, const char *volume, unsigned content, struct err *err)
{
	(void)data;
	return guest_io(driver, volume, "read", content, err);
}

/* A tree whose builder has gone, with a subvolume that somebody made inside it. */
static int leave_half_built(void *data, struct volume_driver *driver, struct err *err)
{
	const struct fixture *fixture = data;
	auto_free char *abandoned = text_format("%s/t.tmp-00000001", fixture->place);
	auto_free char *tree = text_format("%s/root", abandoned), *inner = text_format("%s/root/a", abandoned);
	auto_free char *inmost = text_format("%s/root/a/b", abandoned);
	int r = 0;

	(void)driver;
	assert_int_equal(mkdir(abandoned, 0700), 0);
	for (const char **path = (const char *[]){ tree, inner, inmost, NULL }; *path && r == 0; path++)
		r = run((const char *const[]){ "btrfs", "-q", "subvolume", "create", *path, NULL }, err);
	return r;
}

static void test_conformance(void **state)
{
	struct fixture *fixture = *state;
	struct volume_conformance conformance = {
		.ops = &volume_btrfs, .params = fixture->params, .scratch = fixture->folder, .data = fixture,
		.write = write_content, .check = check_content, .write_tree = tree_fixture_write, .check_tree = tree_fixture_check,
		.has_limits = true, .leave_half_built = leave_half_built,
	};
	struct err err;

	NEED_BTRFS(fixture);
	volume_btrfs.close(take(fixture->driver));
	for (const struct volume_case *test = volume_cases; test->name; test++)
		if (volume_conformance_run(&conformance, test, &err) < 0)
			fail_msg("%s: %s", test->name, err.msg);
	assert_int_equal(volume_btrfs.destroy(&fixture->params, &err), 0);
	assert_int_equal(access(fixture->source, F_OK), -1);
	assert_int_equal(access(fixture->place, F_OK), -1);
}

static unsigned count_mounts(const char *directory)
{
	auto_str struct str text = { 0 };
	auto_free char *needle = text_format(" %s ", directory);
	unsigned count = 0;
	struct err err;

	assert_int_equal(file_read_all("/proc/self/mountinfo", 4 << 20, &text, &err), 0);
	for (const char *at = str_text(&text); (at = strstr(at, needle)); at++)
		count++;
	return count;
}

/* The daemon starts again, once with the pool mounted, once after a reboot. */
static void test_mounted_once(void **state)
{
	struct fixture *fixture = *state;
	struct volume_info info = { 0 };
	struct err err;

	NEED_BTRFS(fixture);
	assert_int_equal(volume_btrfs.create(fixture->driver, "t", VOLUME_TREE, NULL, 0, &err), 0);
	volume_btrfs.close(take(fixture->driver));
	assert_int_equal(volume_btrfs.open(&fixture->params, &fixture->driver, &err), 0);
	assert_int_equal(count_mounts(fixture->place), 1);
	volume_btrfs.close(take(fixture->driver));
	assert_int_equal(umount(fixture->place), 0);
	assert_int_equal(volume_btrfs.open(&fixture->params, &fixture->driver, &err), 0);
	assert_int_equal(count_mounts(fixture->place), 1);
	assert_int_equal(volume_btrfs.info(fixture->driver, "t", &info, &err), 0);
	volume_info_done(&info);
}

static void test_foreign_mount(void **state)
{
	struct fixture *fixture = *state;
	struct volume_params params = fixture->params;
	struct volume_driver *driver;
	struct err err;

	NEED_BTRFS(fixture);
	auto_free char *other = text_format("%s/other", fixture->folder);
	params.directory = other;
	assert_int_equal(mkdir(other, 0755), 0);
	assert_int_equal(mount("tmpfs", other, "tmpfs", 0, NULL), 0);
	assert_int_equal(volume_btrfs.open(&params, &driver, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "something else"));
	assert_int_equal(volume_btrfs.destroy(&params, &err), -EBUSY);
	assert_int_equal(umount(other), 0);
	/* A file that a person made and that holds something else is not overwritten. */
	auto_free char *file = text_format("%s/precious", fixture->folder);
	auto_free char *bytes = alloc(MIB);
	memset(bytes, 'x', MIB);
	assert_int_equal(file_write_atomic(file, bytes, MIB, 0600, &err), 0);
	params.source = file;
	assert_int_equal(volume_btrfs.open(&params, &driver, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "holds no btrfs"));
	assert_int_equal(count_mounts(other), 0);
}

/* A folder of somebody's btrfs is bound to the pool's, and stays when the pool goes. */
static void test_folder_on_btrfs(void **state)
{
	struct fixture *fixture = *state;
	struct volume_params params = fixture->params;
	struct volume_driver *driver;
	struct err err;

	NEED_BTRFS(fixture);
	auto_free char *source = text_format("%s/mine", fixture->place), *bound = text_format("%s/bound", fixture->folder);
	params.source = source;
	params.directory = bound;
	assert_int_equal(mkdir(source, 0755), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(volume_btrfs.open(&params, &driver, &err), 0);
		assert_int_equal(count_mounts(bound), 1);
		assert_int_equal(volume_btrfs.create(driver, "t", VOLUME_TREE, NULL, 8 * MIB, &err), 0);
		volume_btrfs.close(driver);
	}
	assert_int_equal(volume_btrfs.destroy(&params, &err), -EBUSY);
	assert_int_equal(volume_btrfs.open(&params, &driver, &err), 0);
	assert_int_equal(volume_btrfs.remove(driver, "t", &err), 0);
	volume_btrfs.close(driver);
	assert_int_equal(volume_btrfs.destroy(&params, &err), 0);
	assert_int_equal(count_mounts(bound), 0);
	assert_int_equal(access(source, F_OK), 0);
	/* And a folder where there is no btrfs. */
	params.source = fixture->folder;
	assert_int_equal(volume_btrfs.open(&params, &driver, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "not on btrfs"));
}

static int fill(const char *folder, const char *name, size_t bytes)
{
	auto_free char *path = text_format("%s/%s", folder, name), *chunk = alloc(MIB);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	memset(chunk, 'x', MIB);
	for (size_t done = 0; done < bytes;) {
		ssize_t n = write(fd, chunk, MIB);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* The limit holds, also through subvolumes that the container makes itself; afterwards there is room again. */
static void test_limit_holds(void **state)
{
	struct fixture *fixture = *state;
	struct volume_info info = { 0 };
	struct err err;

	NEED_BTRFS(fixture);
	assert_int_equal(volume_btrfs.create(fixture->driver, "t", VOLUME_TREE, NULL, 32 * MIB, &err), 0);
	assert_int_equal(volume_btrfs.info(fixture->driver, "t", &info, &err), 0);
	auto_free char *inner = text_format("%s/inner", info.tree);
	assert_int_equal(fill(info.tree, "a", 16 * MIB), 0);
	assert_int_equal(run((const char *const[]){ "btrfs", "-q", "subvolume", "create", inner, NULL }, &err), 0);
	assert_int_equal(fill(inner, "b", 64 * MIB), -EDQUOT);
	assert_int_equal(fill(info.tree, "c", 64 * MIB), -EDQUOT);
	if (volume_btrfs.resize(fixture->driver, "t", 64 * MIB, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(fill(info.tree, "d", 8 * MIB), 0);
	volume_info_done(&info);
	assert_int_equal(volume_btrfs.info(fixture->driver, "t", &info, &err), 0);
	assert_int_equal(info.size_bytes, 64 * MIB);
	assert_true(info.allocated_bytes >= 8 * MIB);
	volume_info_done(&info);
	assert_int_equal(volume_btrfs.remove(fixture->driver, "t", &err), 0);
}

static void test_full_and_read_only(void **state)
{
	struct fixture *fixture = *state;
	struct volume_names names = { 0 };
	struct err err;

	NEED_BTRFS(fixture);
	auto_free char *image = text_format("%s/image.raw", fixture->folder);
	auto_close int fd = -1;
	assert_int_equal(fill(fixture->folder, "image.raw", 600 * (size_t)MIB), 0);
	fd = open(image, O_RDONLY | O_CLOEXEC);
	assert_int_equal(volume_btrfs.import(fixture->driver, "big", fd, VOLUME_RAW, NULL, &err), -ENOSPC);
	if (!strstr(err.msg, "free some"))
		fail_msg("%s", err.msg);
	assert_int_equal(volume_btrfs.list(fixture->driver, &names, &err), 0);
	assert_int_equal(names.items.count, 0);
	volume_names_done(&names);

	assert_int_equal(mount(NULL, fixture->place, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(volume_btrfs.create(fixture->driver, "t", VOLUME_TREE, NULL, 0, &err), -EROFS);
	assert_non_null(strstr(err.msg, "mount it writable"));
	assert_int_equal(volume_btrfs.create(fixture->driver, "b", VOLUME_BLOCK, NULL, MIB, &err), -EROFS);
}

/* A clone shares the blocks of what it was cloned from. */
static void test_clone_shares(void **state)
{
	struct fixture *fixture = *state;
	struct volume_space before, after;
	struct err err;

	NEED_BTRFS(fixture);
	auto_free char *image = text_format("%s/image.raw", fixture->folder);
	auto_close int fd = -1;
	assert_int_equal(fill(fixture->folder, "image.raw", 200 * (size_t)MIB), 0);
	fd = open(image, O_RDONLY | O_CLOEXEC);
	assert_int_equal(volume_btrfs.import(fixture->driver, "a", fd, VOLUME_RAW, NULL, &err), 0);
	assert_int_equal(volume_btrfs.snapshot_create(fixture->driver, "a", "s", &err), 0);
	assert_int_equal(volume_btrfs.space(fixture->driver, &before, &err), 0);
	assert_int_equal(volume_btrfs.clone(fixture->driver, "b", "a", "s", NULL, &err), 0);
	assert_int_equal(volume_btrfs.space(fixture->driver, &after, &err), 0);
	assert_true(before.free_bytes - after.free_bytes < 20 * MIB);
}

/* Changes to another snapshot, which happens to have the same name. */
static void test_base_of_same_name(void **state)
{
	struct fixture *fixture = *state;
	struct err err;

	NEED_BTRFS(fixture);
	auto_free char *path = text_format("%s/stream", fixture->folder);
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	for (const char **name = (const char *[]){ "a", "b", NULL }; *name; name++) {
		assert_int_equal(volume_btrfs.create(fixture->driver, *name, VOLUME_TREE, NULL, 0, &err), 0);
		assert_int_equal(volume_btrfs.snapshot_create(fixture->driver, *name, "s1", &err), 0);
	}
	assert_int_equal(volume_btrfs.snapshot_create(fixture->driver, "a", "s2", &err), 0);
	assert_int_equal(volume_btrfs.send(fixture->driver, "a", "s2", "s1", fd, NULL, &err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(volume_btrfs.receive(fixture->driver, "b", fd, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "another snapshot"));
}

static char *path_in(struct volume_driver *driver, const char *volume, const char *name)
{
	auto_info struct volume_info info = { 0 };
	struct err err;

	assert_int_equal(driver->ops->info(driver, volume, &info, &err), 0);
	return text_format("%s/%s", info.tree, name);
}

/* A file whose blocks are those of one that the base has: they are shared again where it is received, under another UUID. */
static void test_shared_blocks_of_base(void **state)
{
	struct fixture *fixture = *state;
	struct stat st;
	struct err err;

	NEED_BTRFS(fixture);
	auto_free char *whole = text_format("%s/whole", fixture->folder), *changes = text_format("%s/changes", fixture->folder);
	auto_close int whole_fd = open(whole, O_RDWR | O_CREAT | O_CLOEXEC, 0600), changes_fd = open(changes, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_close int from = -1, to = -1, received = -1;
	auto_free char *bytes = alloc(MIB), *found = alloc(MIB);

	assert_int_equal(volume_btrfs.create(fixture->driver, "a", VOLUME_TREE, NULL, 0, &err), 0);
	auto_free char *first = path_in(fixture->driver, "a", "first"), *second = path_in(fixture->driver, "a", "second");
	memset(bytes, 'b', MIB);
	assert_int_equal(file_write_atomic(first, bytes, MIB, 0600, &err), 0);
	assert_int_equal(volume_btrfs.snapshot_create(fixture->driver, "a", "s1", &err), 0);
	from = open(first, O_RDONLY | O_CLOEXEC);
	to = open(second, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ioctl(to, FICLONE, from), 0);
	assert_int_equal(unlink(first), 0);
	assert_int_equal(volume_btrfs.snapshot_create(fixture->driver, "a", "s2", &err), 0);
	assert_int_equal(volume_btrfs.send(fixture->driver, "a", "s1", NULL, whole_fd, NULL, &err), 0);
	assert_int_equal(volume_btrfs.send(fixture->driver, "a", "s2", "s1", changes_fd, NULL, &err), 0);
	assert_int_equal(fstat(changes_fd, &st), 0);
	assert_true(st.st_size < MIB / 8);
	/* Twice, so that two subvolumes say they were received from the same one. */
	for (const char **name = (const char *[]){ "b", "c", NULL }; *name; name++) {
		assert_int_equal(lseek(whole_fd, 0, SEEK_SET) | lseek(changes_fd, 0, SEEK_SET), 0);
		assert_int_equal(volume_btrfs.receive(fixture->driver, *name, whole_fd, NULL, &err), 0);
		if (volume_btrfs.receive(fixture->driver, *name, changes_fd, NULL, &err) < 0)
			fail_msg("%s", err.msg);
	}
	auto_free char *copy = path_in(fixture->driver, "c", "second"), *gone = path_in(fixture->driver, "c", "first");
	received = open(copy, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(received, found, MIB), MIB);
	assert_memory_equal(found, bytes, MIB);
	assert_int_equal(access(gone, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_conformance, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mounted_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign_mount, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_folder_on_btrfs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limit_holds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_and_read_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_clone_shares, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_base_of_same_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_shared_blocks_of_base, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
