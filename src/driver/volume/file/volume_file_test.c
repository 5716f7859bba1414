#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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
	char directory[32];
	char *place;
	struct volume_params params;
	struct volume_driver *driver;
};

/* As root the files are another user's, as in the daemon; the folder above is closed to that user. */
static int set_up(void **state)
{
	struct fixture *fixture = alloc(sizeof(*fixture));
	const struct passwd *nobody = getpwnam("nobody");
	struct err err;

	strcpy(fixture->directory, "/tmp/strata-volume-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	fixture->place = text_format("%s/volumes", fixture->directory);
	fixture->params.directory = fixture->place;
	if (geteuid() == 0 && nobody) {
		fixture->params.user = nobody->pw_uid;
		fixture->params.group = nobody->pw_gid;
	}
	assert_int_equal(volume_file.open(&fixture->params, &fixture->driver, &err), 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct err err;

	volume_file.close(fixture->driver);
	assert_int_equal(file_remove_tree(fixture->directory, &err), 0);
	free(fixture->place);
	free(fixture);
	return 0;
}

static int run(const char *const *argv, struct err *err)
{
	const struct spawn_params params = { .argv = argv };
	const struct spawn_io io = { .timeout_ms = 60000 };

	return spawn_run(&params, &io, err);
}

static int guest_io(struct volume_driver *driver, const char *volume, const char *verb, unsigned content, struct err *err)
{
	auto_free char *command = text_format("%s -P %u 0 64k", verb, content);
	struct volume_info info;
	int r = driver->ops->info(driver, volume, &info, err);

	if (r < 0)
		return r;
	r = run((const char *const[]){ "qemu-io", "-f", "qcow2", "-c", command, info.layers.items[0].path, NULL }, err);
	volume_info_done(&info);
	return r;
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

/* One abandoned file, one abandoned tree, one link without a volume, and one file that somebody still builds. */
static int leave_half_built(void *data, struct volume_driver *driver, struct err *err)
{
	const struct fixture *fixture = data;
	auto_free char *abandoned = text_format("%s/half.tmp-00000001", fixture->place);
	auto_free char *link = text_format("%s/half.parent", fixture->place);
	auto_free char *tree = text_format("%s/t.tmp-00000002/root/deep", fixture->place);

	(void)driver;
	(void)err;
	assert_int_equal(symlink("a.qcow2", link), 0);
	assert_int_equal(file_make_dirs(tree, 0700, err), 0);
	return file_write_atomic(abandoned, "x", 1, 0600, err);
}

static void test_conformance(void **state)
{
	struct fixture *fixture = *state;
	struct volume_conformance conformance = {
		.ops = &volume_file, .params = fixture->params, .scratch = fixture->directory, .data = fixture,
		.write = write_content, .check = check_content, .leave_half_built = leave_half_built,
		.write_tree = tree_fixture_write, .check_tree = tree_fixture_check,
	};
	struct err err;

	for (const struct volume_case *test = volume_cases; test->name; test++)
		if (volume_conformance_run(&conformance, test, &err) < 0)
			fail_msg("%s: %s", test->name, err.msg);
	/* Nothing is left: the folder is empty. */
	assert_int_equal(rmdir(fixture->place), 0);
}

/* What somebody is building survives list(). */
static void test_list_keeps_building(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = text_format("%s/a.tmp-00000001", fixture->place);
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct volume_names names;
	struct err err;

	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(volume_file.list(fixture->driver, &names, &err), 0);
	assert_int_equal(names.items.count, 0);
	volume_names_done(&names);
	assert_int_equal(access(path, F_OK), 0);
}

static void test_folder_may_move(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *elsewhere = text_format("%s/moved", fixture->directory);
	struct volume_driver *driver;
	struct volume_params params = fixture->params;
	struct volume_info info;
	struct err err;

	assert_int_equal(volume_file.create(fixture->driver, "image", VOLUME_BLOCK, NULL, MIB, &err), 0);
	assert_int_equal(volume_file.create(fixture->driver, "a", VOLUME_BLOCK, "image", 0, &err), 0);
	assert_int_equal(rename(fixture->place, elsewhere), 0);
	params.directory = elsewhere;
	assert_int_equal(volume_file.open(&params, &driver, &err), 0);
	assert_int_equal(volume_file.info(driver, "a", &info, &err), 0);
	assert_int_equal(info.layers.count, 2);
	assert_true(text_starts_with(info.layers.items[1].path, elsewhere));
	volume_info_done(&info);
	assert_int_equal(guest_io(driver, "a", "write", 1, &err), 0);
	volume_file.close(driver);
}

static void test_owner_and_mode(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = text_format("%s/a.qcow2", fixture->place);
	struct stat st;
	struct err err;

	assert_int_equal(volume_file.create(fixture->driver, "a", VOLUME_BLOCK, NULL, MIB, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	if (geteuid() == 0)
		assert_int_equal(st.st_uid, fixture->params.user);
}

/* A machine that got out of QEMU writes another's name into its header: the volume is refused. */
static void test_foreign_parent_in_header(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = text_format("%s/a.qcow2", fixture->place);
	struct volume_info info;
	struct err err;

	assert_int_equal(volume_file.create(fixture->driver, "a", VOLUME_BLOCK, NULL, MIB, &err), 0);
	assert_int_equal(run((const char *const[]){ "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/shadow", path,
						    NULL }, &err), 0);
	assert_int_equal(volume_file.info(fixture->driver, "a", &info, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "/etc/shadow"));
}

static void test_in_use(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = text_format("%s/a.qcow2", fixture->place);
	auto_close int fd = -1;
	/* The lock that QEMU takes on an image it writes (raw_check_perm: byte 101 is "may write"). */
	struct flock lock = { .l_type = F_RDLCK, .l_start = 101, .l_len = 1 };
	struct flock unshared = { .l_type = F_RDLCK, .l_start = 201, .l_len = 1 };
	struct err err;

	assert_int_equal(volume_file.create(fixture->driver, "a", VOLUME_BLOCK, NULL, MIB, &err), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &unshared), 0);
	assert_int_equal(volume_file.snapshot_create(fixture->driver, "a", "s", &err), -EBUSY);
	assert_int_equal(volume_file.resize(fixture->driver, "a", 2 * MIB, &err), -EBUSY);
}

/* Import */

static int open_new(const struct fixture *fixture, const char *name, char **ret_path)
{
	*ret_path = text_format("%s/%s", fixture->directory, name);
	return open(*ret_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static void expect_refusal(const struct fixture *fixture, int fd, int expected, const char *words)
{
	struct volume_names names;
	struct volume_info info;
	struct err err = { 0 };

	assert_int_equal(volume_file.import(fixture->driver, "new", fd, expected, NULL, &err), -EINVAL);
	if (!strstr(err.msg, words))
		fail_msg("'%s' does not contain '%s'", err.msg, words);
	assert_int_equal(volume_file.info(fixture->driver, "new", &info, &err), -ENOENT);
	assert_int_equal(volume_file.list(fixture->driver, &names, &err), 0);
	assert_int_equal(names.items.count, 0);
	volume_names_done(&names);
}

static void test_import_raw_stays_sparse(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = NULL;
	auto_close int fd = open_new(fixture, "disk.raw", &path);
	struct volume_info info;
	struct err err;

	assert_int_equal(ftruncate(fd, (off_t)1 << 30), 0);
	assert_int_equal(file_write_at(fd, "data", 4, 5 * MIB, &err), 0);
	assert_int_equal(volume_file.import(fixture->driver, "new", fd, -1, NULL, &err), 0);
	assert_int_equal(volume_file.info(fixture->driver, "new", &info, &err), 0);
	assert_int_equal(info.size_bytes, 1 << 30);
	assert_true(info.allocated_bytes < MIB);
	volume_info_done(&info);
}

static void on_report(void *data, uint64_t done, uint64_t total)
{
	uint64_t *last = data;

	assert_true(done <= total && total == 64 * MIB);
	*last = done;
}

static void test_import_reports_progress(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = NULL;
	auto_close int fd = open_new(fixture, "disk.raw", &path);
	uint64_t last = 0;
	struct volume_progress progress = { .report = on_report, .data = &last };
	struct err err;

	assert_int_equal(ftruncate(fd, 64 * MIB), 0);
	assert_int_equal(volume_file.import(fixture->driver, "new", fd, VOLUME_RAW, &progress, &err), 0);
	assert_int_equal(last, 64 * MIB);
}

static void test_import_backing_file(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = NULL;
	auto_close int fd = open_new(fixture, "disk.qcow2", &path);
	struct err err;

	assert_int_equal(run((const char *const[]){ "qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/shadow",
						    path, "1M", NULL }, &err), 0);
	expect_refusal(fixture, fd, -1, "image has a backing file '/etc/shadow': flatten it first with qemu-img convert");
}

static void test_import_external_data(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = NULL;
	auto_close int fd = open_new(fixture, "disk.qcow2", &path);
	auto_free char *option = text_format("data_file=%s/data", fixture->directory);
	struct err err;

	assert_int_equal(run((const char *const[]){ "qemu-img", "create", "-q", "-f", "qcow2", "-o", option, path, "1M", NULL }, &err), 0);
	expect_refusal(fixture, fd, -1, "keeps its data in another file");
}

static void test_import_encrypted(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = NULL;
	auto_close int fd = open_new(fixture, "disk.qcow2", &path);
	struct err err;

	assert_int_equal(run((const char *const[]){ "qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o",
						    "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", path, "1M", NULL },
			     &err), 0);
	expect_refusal(fixture, fd, -1, "image is encrypted");
}

static void test_import_truncated(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = NULL;
	auto_close int fd = open_new(fixture, "disk.qcow2", &path);
	struct stat st;
	struct err err;

	assert_int_equal(run((const char *const[]){ "qemu-img", "create", "-q", "-f", "qcow2", path, "64M", NULL }, &err), 0);
	assert_int_equal(run((const char *const[]){ "qemu-io", "-f", "qcow2", "-c", "write -P 7 0 8M", path, NULL }, &err), 0);
	assert_int_equal(fstat(fd, &st), 0);
	/* Anywhere: in the data, in the tables, in the header. */
	const off_t lengths[] = { st.st_size / 2, 300 << 10, 150 << 10, 70 << 10, 1000, 50, 3 };
	for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
		assert_int_equal(ftruncate(fd, lengths[i]), 0);
		expect_refusal(fixture, fd, VOLUME_QCOW2, lengths[i] > 50 ? "truncated" : "");
	}
}

static void test_import_not_an_image(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = NULL;
	auto_close int fd = open_new(fixture, "disk", &path);
	struct err err;

	expect_refusal(fixture, fd, -1, "empty");
	assert_int_equal(ftruncate(fd, 4096), 0);
	expect_refusal(fixture, fd, VOLUME_QCOW2, "not a qcow2 image");
	assert_int_equal(file_write_at(fd, "KDMV", 4, 0, &err), 0);
	expect_refusal(fixture, fd, -1, "VMDK");
	assert_int_equal(file_write_at(fd, "\x1f\x8b\x08\x00", 4, 0, &err), 0);
	expect_refusal(fixture, fd, -1, "gzip");
	assert_int_equal(file_write_at(fd, "QFI\xfb\0\0\0\3", 8, 0, &err), 0);
	expect_refusal(fixture, fd, VOLUME_RAW, "qcow2 and not raw");
	expect_refusal(fixture, fd, -1, "the file is damaged");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_conformance, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_list_keeps_building, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_folder_may_move, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_owner_and_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign_parent_in_header, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_in_use, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_import_raw_stays_sparse, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_import_reports_progress, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_import_backing_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_import_external_data, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_import_encrypted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_import_truncated, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_import_not_an_image, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
