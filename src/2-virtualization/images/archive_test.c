#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/archive.h"
#include "base/file.h"
#include "base/mem.h"

enum { MIB = 1 << 20, DISK_BYTES = 3 * MIB + 5 };

#define MANIFEST "{\"name\": \"web\"}"

struct fixture {
	char directory[32];
	char *tar, *out, *disk;
};

static int set_up(void **state)
{
	struct fixture *fixture = alloc(sizeof(*fixture));
	auto_free char *content = alloc(DISK_BYTES);
	struct err err;

	strcpy(fixture->directory, "/tmp/strata-archive-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	fixture->tar = text_format("%s/export.tar", fixture->directory);
	fixture->out = text_format("%s/out", fixture->directory);
	fixture->disk = text_format("%s/disk", fixture->directory);
	assert_int_equal(mkdir(fixture->out, 0700), 0);
	for (size_t i = 0; i < DISK_BYTES; i++)
		content[i] = (char)(i * 31 >> 3);
	assert_int_equal(file_write_atomic(fixture->disk, content, DISK_BYTES, 0600, &err), 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct err err;

	assert_int_equal(file_remove_tree(fixture->directory, &err), 0);
	free(fixture->tar);
	free(fixture->out);
	free(fixture->disk);
	free(fixture);
	return 0;
}

static void export_both(const struct fixture *fixture)
{
	const struct archive_part parts[] = { { "disk-0.qcow2", fixture->disk }, { "kernel", fixture->disk } };
	struct err err;

	if (archive_write_instance(fixture->tar, MANIFEST, parts, 2, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

static int import_from(const struct fixture *fixture, uint64_t max_bytes, struct str *manifest, struct err *err)
{
	auto_close int fd = open(fixture->tar, O_RDONLY | O_CLOEXEC);

	return archive_read_instance(fd, fixture->out, max_bytes, manifest, NULL, err);
}

static void expect_refusal(const struct fixture *fixture, int code, const char *words)
{
	auto_str struct str manifest = { 0 };
	struct err err = { 0 };
	int r = import_from(fixture, 100 * MIB, &manifest, &err);

	if (r != code || !strstr(err.msg, words))
		fail_msg("%d '%s' instead of %d '%s'", r, err.msg, code, words);
	assert_int_equal(manifest.size, 0);
	assert_int_equal(rmdir(fixture->out), 0);	/* Nothing was left in it. */
	assert_int_equal(mkdir(fixture->out, 0700), 0);
}

static void expect_same(const struct fixture *fixture, const char *name)
{
	auto_free char *path = text_format("%s/%s", fixture->out, name);
	auto_str struct str a = { 0 }, b = { 0 };
	struct err err;

	assert_int_equal(file_read_all(path, 8 * MIB, &a, &err), 0);
	assert_int_equal(file_read_all(fixture->disk, 8 * MIB, &b, &err), 0);
	assert_int_equal(a.size, b.size);
	assert_memory_equal(a.data, b.data, b.size);
}

static void test_round_trip(void **state)
{
	const struct fixture *fixture = *state;
	auto_str struct str manifest = { 0 };
	struct err err;

	export_both(fixture);
	if (import_from(fixture, 100 * MIB, &manifest, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(manifest.data, MANIFEST);
	expect_same(fixture, "disk-0.qcow2");
	expect_same(fixture, "kernel");
}

static void test_limit(void **state)
{
	const struct fixture *fixture = *state;
	auto_str struct str manifest = { 0 };
	struct err err;

	export_both(fixture);
	assert_int_equal(import_from(fixture, 5 * MIB, &manifest, &err), -EFBIG);
	assert_int_equal(rmdir(fixture->out), 0);
	assert_int_equal(mkdir(fixture->out, 0700), 0);
}

static void test_truncated_anywhere(void **state)
{
	const struct fixture *fixture = *state;
	struct stat st;

	export_both(fixture);
	assert_int_equal(stat(fixture->tar, &st), 0);
	for (off_t length = st.st_size - 12 * 1024; length > 0; length -= 300 * 1024 + 77) {
		assert_int_equal(truncate(fixture->tar, length), 0);
		expect_refusal(fixture, -EINVAL, "archive");
	}
	assert_int_equal(truncate(fixture->tar, 0), 0);
	expect_refusal(fixture, -EINVAL, "archive");
}

static void test_flipped_bit(void **state)
{
	const struct fixture *fixture = *state;
	auto_close int fd = -1;
	struct err err;

	export_both(fixture);
	fd = open(fixture->tar, O_RDWR | O_CLOEXEC);
	assert_int_equal(file_write_at(fd, "!", 1, MIB, &err), 0);
	expect_refusal(fixture, -EINVAL, "checksums do not match");
}

static void test_not_an_archive(void **state)
{
	const struct fixture *fixture = *state;
	struct err err;

	assert_int_equal(file_write_atomic(fixture->tar, "hello\n", 6, 0600, &err), 0);
	expect_refusal(fixture, -EINVAL, "archive is damaged");
}

/* Hostile archives: each is a good beginning and then one bad entry. */

struct bad_entry { const char *name; unsigned type; const char *hardlink, *symlink; bool is_sparse; const char *words; };

static void add(struct archive *archive, const struct bad_entry *bad, const char *content)
{
	struct archive_entry *entry = archive_entry_new();
	size_t size = strlen(content);

	archive_entry_set_pathname(entry, bad->name);
	archive_entry_set_filetype(entry, bad->type ? bad->type : AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	if (bad->hardlink)
		archive_entry_set_hardlink(entry, bad->hardlink);
	if (bad->symlink)
		archive_entry_set_symlink(entry, bad->symlink);
	archive_entry_set_size(entry, bad->type || bad->hardlink ? 0 : bad->is_sparse ? 1 << 30 : (la_int64_t)size);
	if (bad->is_sparse)
		archive_entry_sparse_add_entry(entry, 0, (la_int64_t)size);
	assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
	if (!bad->type && !bad->hardlink)
		archive_write_data(archive, content, size);
	archive_entry_free(entry);
}

static void write_bad(const struct fixture *fixture, const struct bad_entry *bad)
{
	struct archive *archive = archive_write_new();

	archive_write_set_format_pax(archive);
	assert_int_equal(archive_write_open_filename(archive, fixture->tar), ARCHIVE_OK);
	add(archive, &(struct bad_entry){ .name = "manifest.json" }, MANIFEST);
	add(archive, &(struct bad_entry){ .name = "disk-1.qcow2" }, "disk");
	add(archive, bad, "text");
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_write_free(archive);
}

static void test_bad_entries(void **state)
{
	const struct fixture *fixture = *state;
	const struct bad_entry bad[] = {
		{ .name = "../disk-0.qcow2", .words = "not part of an exported instance" },
		{ .name = "/etc/cron.d/x", .words = "'/etc/cron.d/x' is not part" },
		{ .name = "./kernel", .words = "not part" },
		{ .name = "disk-0.qcow2/../kernel", .words = "not part" },
		{ .name = "disk-00.qcow2", .words = "not part" },
		{ .name = "disk-16.qcow2", .words = "not part" },
		{ .name = "kernel\n", .words = "'kernel?' is not part" },
		{ .name = "kernel", .type = AE_IFLNK, .symlink = "/etc/passwd", .words = "link or device" },
		{ .name = "kernel", .hardlink = "manifest.json", .words = "link or device" },
		{ .name = "kernel", .type = AE_IFCHR, .words = "link or device" },
		{ .name = "kernel", .type = AE_IFIFO, .words = "link or device" },
		{ .name = "kernel", .type = AE_IFDIR, .words = "not part" },	/* tar adds a '/'. */
		{ .name = "kernel", .is_sparse = true, .words = "sparse" },
		{ .name = "manifest.json", .words = "there twice" },
		{ .name = "disk-1.qcow2", .words = "there twice" },
		{ .name = "initrd", .words = "no checksums" },
		{ .name = "SHA256SUMS", .words = "checksums do not match" },
	};

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		write_bad(fixture, &bad[i]);
		expect_refusal(fixture, -EINVAL, bad[i].words);
	}
}

static void test_manifest_must_come_first(void **state)
{
	const struct fixture *fixture = *state;
	struct archive *archive = archive_write_new();

	archive_write_set_format_pax(archive);
	assert_int_equal(archive_write_open_filename(archive, fixture->tar), ARCHIVE_OK);
	add(archive, &(struct bad_entry){ .name = "kernel" }, "x");
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_write_free(archive);
	expect_refusal(fixture, -EINVAL, "does not begin with its manifest.json");
}

static void test_cancelled(void **state)
{
	const struct fixture *fixture = *state;
	const struct archive_part part = { "disk-0.qcow2", fixture->disk };
	const bool is_cancelled = true;
	const struct volume_progress progress = { .is_cancelled = &is_cancelled };
	struct err err;

	assert_int_equal(archive_write_instance(fixture->tar, MANIFEST, &part, 1, &progress, &err), -ECANCELED);
	assert_int_equal(access(fixture->tar, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_truncated_anywhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flipped_bit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_an_archive, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_entries, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_manifest_must_come_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cancelled, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
