#include "5-interface/cli/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

struct world {
	char root[40];			/* Holds "target" and "secret", the file that nobody may reach. */
};

static char *at(const struct world *world, const char *name)
{
	return text_format("%s/%s", world->root, name);
}

static int set_up(void **state)
{
	struct world *world = alloc(sizeof(*world));
	auto_free char *target = NULL, *secret = NULL;
	struct err err;

	strcpy(world->root, "/tmp/bundle-test-XXXXXX");
	if (!mkdtemp(world->root))
		return -1;
	target = at(world, "target");
	secret = at(world, "secret");
	*state = world;
	return mkdir(target, 0755) < 0 ? -1 : file_write_atomic(secret, "mine", 4, 0600, &err);
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err err;
	int result = file_remove_tree(world->root, &err);

	free(world);
	return result;
}

struct hostile { const char *name; unsigned type; const char *link, *hardlink, *content; mode_t mode; };

static int write_tar(const struct hostile *entries, size_t count)
{
	struct archive *tar = archive_write_new();
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);

	archive_write_set_format_pax(tar);
	assert_int_equal(archive_write_open_fd(tar, fd), ARCHIVE_OK);
	for (size_t i = 0; i < count; i++) {
		struct archive_entry *entry = archive_entry_new();
		const char *content = entries[i].content ? entries[i].content : "";

		archive_entry_set_pathname(entry, entries[i].name);
		archive_entry_set_filetype(entry, entries[i].type);
		archive_entry_set_perm(entry, entries[i].mode ? entries[i].mode : 0644);
		archive_entry_set_size(entry, (la_int64_t)strlen(content));
		if (entries[i].link)
			archive_entry_set_symlink(entry, entries[i].link);
		if (entries[i].hardlink)
			archive_entry_set_hardlink(entry, entries[i].hardlink);
		assert_int_equal(archive_write_header(tar, entry), ARCHIVE_OK);
		archive_write_data(tar, content, strlen(content));
		archive_entry_free(entry);
	}
	archive_write_close(tar);
	archive_write_free(tar);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int unpack(const struct world *world, const struct hostile *entries, size_t count, struct err *err)
{
	auto_free char *target = at(world, "target");
	auto_close int fd = write_tar(entries, count);

	return bundle_unpack(fd, target, err);
}

static void assert_file(const struct world *world, const char *name, const char *content)
{
	auto_free char *path = at(world, name);
	auto_str struct str text = { 0 };
	struct err err;

	assert_int_equal(file_read_all(path, 1000, &text, &err), 0);
	assert_string_equal(str_text(&text), content);
}

static void nothing_escapes(void **state)
{
	const struct world *world = *state;
	auto_free char *secret = at(world, "secret"), *outside = at(world, "outside");
	const struct hostile cases[][2] = {
		{ { .name = "../outside", .type = AE_IFREG, .content = "x" } },
		{ { .name = "a/../../outside", .type = AE_IFREG, .content = "x" } },
		{ { .name = outside, .type = AE_IFREG, .content = "x" } },
		{ { .name = "link", .type = AE_IFLNK, .link = ".." }, { .name = "link/outside", .type = AE_IFREG, .content = "x" } },
		{ { .name = "direct", .type = AE_IFLNK, .link = secret }, { .name = "direct/y", .type = AE_IFREG, .content = "x" } },
		{ { .name = "hard", .type = AE_IFREG, .hardlink = secret }, { .name = "hard", .type = AE_IFREG, .content = "x" } },
		{ { .name = "hard2", .type = AE_IFREG, .hardlink = "../secret" } },
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct err err = { 0 };

		assert_int_equal(unpack(world, cases[i], cases[i][1].name ? 2 : 1, &err), -EPERM);
		assert_non_null(strstr(err.msg, "refused"));
		assert_int_equal(access(outside, F_OK), -1);
		assert_file(world, "secret", "mine");
	}
}

static void harmless_things_arrive_without_privileges(void **state)
{
	static const struct hostile entries[] = {
		{ .name = "./", .type = AE_IFDIR, .mode = 0755 },
		{ .name = "./bin/tool", .type = AE_IFREG, .content = "run", .mode = 06755 },
		{ .name = "./bin/alias", .type = AE_IFLNK, .link = "tool" },
		{ .name = "./bin/same", .type = AE_IFREG, .hardlink = "./bin/tool" },
		{ .name = "./null", .type = AE_IFCHR },
		{ .name = "./pipe", .type = AE_IFIFO },
	};
	const struct world *world = *state;
	auto_free char *tool = at(world, "target/bin/tool"), *null = at(world, "target/null"), *pipe = at(world, "target/pipe");
	struct stat status;
	struct err err;

	assert_int_equal(unpack(world, entries, ARRAY_COUNT(entries), &err), 0);
	assert_file(world, "target/bin/alias", "run");
	assert_file(world, "target/bin/same", "run");
	assert_int_equal(stat(tool, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0755);
	assert_int_equal(access(null, F_OK), -1);
	assert_int_equal(access(pipe, F_OK), -1);
}

static void packed_folders_unpack_the_same(void **state)
{
	const struct world *world = *state;
	auto_free char *source = at(world, "source"), *deep = at(world, "source/deep"), *file = at(world, "source/deep/file"),
		*link = at(world, "source/link"), *target = at(world, "target"), *slashed = at(world, "source//");
	auto_close int first = open("/tmp", O_TMPFILE | O_RDWR, 0600), second = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	char text[40] = { 0 };
	auto_free char *copied = at(world, "target/link");
	struct err err;

	assert_int_equal(mkdir(source, 0755), 0);
	assert_int_equal(mkdir(deep, 0700), 0);
	assert_int_equal(file_write_atomic(file, "content", 7, 0640, &err), 0);
	assert_int_equal(symlink("/etc/shadow", link), 0);
	assert_int_equal(bundle_pack(slashed, false, first, &err), 0);
	lseek(first, 0, SEEK_SET);
	assert_int_equal(bundle_unpack(first, target, &err), 0);
	assert_file(world, "target/deep/file", "content");
	assert_int_equal(readlink(copied, text, sizeof(text)), strlen("/etc/shadow"));

	assert_int_equal(bundle_pack(deep, true, second, &err), 0);
	lseek(second, 0, SEEK_SET);
	assert_int_equal(bundle_unpack(second, source, &err), 0);
	assert_file(world, "source/deep/file", "content");
}

static void broken_archives_are_errors(void **state)
{
	const struct world *world = *state;
	auto_free char *target = at(world, "target");
	auto_close int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	struct err err;

	assert_int_equal(write(fd, "this is no archive, however long one looks at it", 48), 48);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(bundle_unpack(fd, target, &err), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_escapes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(harmless_things_arrive_without_privileges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(packed_folders_unpack_the_same, set_up, tear_down),
		cmocka_unit_test_setup_teardown(broken_archives_are_errors, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
