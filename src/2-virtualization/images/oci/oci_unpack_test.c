#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "2-virtualization/images/oci/oci_fixture.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/spawn.h"

enum { TINY_FILES = 100000 };

struct result {
	int code;
	struct err err;
	uint64_t bytes;
	char digest[SHA256_TEXT_SIZE], diff_id[SHA256_TEXT_SIZE];
	char *path;			/* Of the layer. */
};

static void unpack_file(const struct oci_fixture *fixture, const char *path, struct result *result)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_store struct oci_store store;

	*result = (struct result){ 0 };
	assert_true(fd >= 0);
	assert_int_equal(oci_store_open(&store, fixture->store, fixture->scratch, NULL, &result->err), 0);
	result->code = oci_layer_add(&store, fd, result->digest, result->diff_id, NULL, &result->bytes, &result->err);
	if (result->code == 0)
		result->path = oci_layer_path(fixture->store, result->diff_id);
}

static void unpack(const struct oci_fixture *fixture, const char *filter, const struct tar_entry *entries, size_t count,
		   struct result *result)
{
	auto_free char *tar = text_format("%s/layer", fixture->folder);

	oci_fixture_tar(tar, filter, entries, count);
	unpack_file(fixture, tar, result);
}

static void expect_success(const struct result *result)
{
	if (result->code < 0)
		fail_msg("%s", result->err.msg);
}

static void expect_refusal(const struct oci_fixture *fixture, const struct tar_entry *entries, size_t count, int code, const char *words)
{
	struct result result;

	unpack(fixture, "gzip", entries, count, &result);
	if (result.code != code || !strstr(result.err.msg, words))
		fail_msg("%d '%s' instead of %d '%s'", result.code, result.err.msg, code, words);
	oci_fixture_expect_empty(fixture, false);
	free(result.path);
}
#define refuse(fixture, code, words, ...) \
	expect_refusal(fixture, (const struct tar_entry[]){ __VA_ARGS__ }, \
		       ARRAY_COUNT(((const struct tar_entry[]){ __VA_ARGS__ })), code, words)

static void test_every_kind(void **state)
{
	/* cap_net_raw, permitted and effective: struct vfs_cap_data, version 2. */
	static const char capability[20] = { 1, 0, 0, 2, 0, 0x20 };
	static const struct tar_entry entries[] = {
		ENTRY("./", S_IFDIR, 0751, .time = 1600000000),
		ENTRY("bin/", S_IFDIR, 0755, .time = 1600000001),
		ENTRY("bin/su", S_IFREG, 04755, "suid", .attribute = "security.capability", .value = capability,
		      .value_size = sizeof(capability)),
		ENTRY("bin/owned", S_IFREG, 0640, "x", .user = 33, .group = 65535, .time = 1600000002),
		ENTRY("bin/hard", 0, 0, "bin/su"),
		ENTRY("bin/sh", S_IFLNK, 0, "/bin/su", .user = 7, .group = 8),
		ENTRY("run/pipe", S_IFIFO, 0622),
		ENTRY("dev/null", S_IFCHR, 0666, .major = 1, .minor = 3),
		ENTRY("etc/.wh.gone", S_IFREG),
		ENTRY("var/cache/.wh..wh..opq", S_IFREG),
		ENTRY("etc/Grüße", S_IFREG, 0, "utf-8", .attribute = "user.colour", .value = "red"),
		ENTRY("holes", S_IFREG, 0600, "end", .hole = 8 << 20),
		ENTRY("tmp", S_IFDIR, 01777),
	};
	const char *const filters[] = { NULL, "gzip", "zstd", "xz" };
	const struct oci_fixture *fixture = *state;
	char first[SHA256_TEXT_SIZE] = "";

	for (size_t i = 0; i < ARRAY_COUNT(filters); i++) {
		auto_str struct str list = { 0 };
		struct result result;
		struct stat a, b;
		char value[16];

		unpack(fixture, filters[i], entries, ARRAY_COUNT(entries), &result);
		expect_success(&result);
		oci_fixture_list(result.path, &list);
		assert_string_equal(list.data,
				    "040755 0:0 bin\n104755 0:0 bin/hard\n100640 33:65535 bin/owned\n120777 7:8 bin/sh -> /bin/su\n"
				    "104755 0:0 bin/su\n040755 0:0 dev\n020666 0:0 dev/null\n040755 0:0 etc\n100644 0:0 etc/Grüße\n"
				    "020000 0:0 etc/gone\n100600 0:0 holes\n040755 0:0 run\n010622 0:0 run/pipe\n041777 0:0 tmp\n"
				    "040755 0:0 var\n040755 0:0 var/cache\n");
		/* However compressed, it is one layer. */
		if (i)
			assert_string_equal(result.diff_id, first);
		memcpy(first, result.diff_id, sizeof(first));
		if (!filters[i])
			assert_string_equal(result.digest, result.diff_id);

		auto_free char *su = text_format("%s/bin/su", result.path), *hard = text_format("%s/bin/hard", result.path),
			       *gone = text_format("%s/etc/gone", result.path), *cache = text_format("%s/var/cache", result.path),
			       *holes = text_format("%s/holes", result.path), *name = text_format("%s/etc/Grüße", result.path),
			       *bin = text_format("%s/bin", result.path);
		assert_int_equal(stat(su, &a), 0);
		assert_int_equal(stat(hard, &b), 0);
		assert_int_equal(a.st_ino, b.st_ino);
		assert_int_equal(getxattr(su, "security.capability", NULL, 0), sizeof(capability));
		assert_int_equal(stat(gone, &a), 0);
		assert_int_equal(a.st_rdev, makedev(0, 0));
		assert_int_equal(getxattr(cache, OCI_OPAQUE_XATTR, value, sizeof(value)), 1);
		assert_int_equal(value[0], 'y');
		assert_int_equal(getxattr(name, "user.colour", value, sizeof(value)), 3);
		assert_int_equal(stat(holes, &a), 0);
		assert_int_equal(a.st_size, (8 << 20) + 3);
		assert_true(a.st_blocks < 1000);
		assert_int_equal(stat(result.path, &a), 0);
		assert_int_equal(a.st_mode & 07777, 0751);
		assert_int_equal(a.st_mtime, 1600000000);
		assert_int_equal(stat(bin, &a), 0);
		assert_int_equal(a.st_mtime, 1600000001);
		free(result.path);
	}
}

/* Overlayfs itself says whether the whiteouts are right. */
static void test_overlay(void **state)
{
	static const struct tar_entry lower[] = {
		ENTRY("keep", S_IFREG, 0, "lower"), ENTRY("gone", S_IFREG, 0, "lower"), ENTRY("folder/old", S_IFREG, 0, "lower"),
		ENTRY("anew/old", S_IFREG, 0, "lower"),
	};
	static const struct tar_entry upper[] = {
		ENTRY(".wh.gone", S_IFREG), ENTRY("folder/.wh..wh..opq", S_IFREG), ENTRY("folder/new", S_IFREG, 0, "upper"),
		ENTRY(".wh.anew", S_IFREG), ENTRY("anew/", S_IFDIR), ENTRY("anew/new", S_IFREG, 0, "upper"),
		ENTRY(".wh..wh.plnk", S_IFREG), ENTRY(".wh.keep", S_IFREG), ENTRY("keep", S_IFREG, 0, "upper"),
	};
	const struct oci_fixture *fixture = *state;
	auto_free char *merged = text_format("%s/merged", fixture->folder), *options = NULL;
	auto_str struct str list = { 0 };
	struct result a, b;

	unpack(fixture, "gzip", lower, ARRAY_COUNT(lower), &a);
	expect_success(&a);
	unpack(fixture, "zstd", upper, ARRAY_COUNT(upper), &b);
	expect_success(&b);
	assert_int_equal(mkdir(merged, 0755), 0);
	options = text_format("lowerdir=%s:%s", b.path, a.path);
	if (mount("overlay", merged, "overlay", MS_RDONLY, options) < 0)
		skip();
	oci_fixture_list(merged, &list);
	assert_int_equal(umount(merged), 0);
	assert_string_equal(list.data, "040755 0:0 anew\n100644 0:0 anew/new\n040755 0:0 folder\n100644 0:0 folder/new\n100644 0:0 keep\n");
	free(a.path);
	free(b.path);
}

static void test_escapes(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_free char *canary = text_format("%s/canary", fixture->folder), *evil = text_format("%s/evil", fixture->folder);
	struct stat st;
	struct err err;

	assert_int_equal(file_write_atomic(canary, "1", 1, 0600, &err), 0);
	refuse(fixture, -EINVAL, "entry '../../etc/passwd' leads out of the image", ENTRY("../../etc/passwd", S_IFREG, 0, "root::0:0"));
	refuse(fixture, -EINVAL, "entry 'a/../../canary' leads out", ENTRY("a/../../canary", S_IFREG, 0, "2"));
	refuse(fixture, -EINVAL, "'../../../canary' leads out of the image", ENTRY("link", 0, 0, "../../../canary"));
	refuse(fixture, -EINVAL, "which is not in its layer", ENTRY("link", 0, 0, canary));
	refuse(fixture, -EINVAL, "is a hard link to '.'", ENTRY("link", 0, 0, "."));
	refuse(fixture, -EINVAL, "would replace the root", ENTRY("./", S_IFLNK, 0, "/"));
	refuse(fixture, -EINVAL, "hides nothing", ENTRY("a/.wh...", S_IFREG));
	refuse(fixture, -EINVAL, "hides nothing", ENTRY("a/.wh.", S_IFREG));
	refuse(fixture, -EINVAL, "'up/evil' lies below something", ENTRY("up", S_IFLNK, 0, "nowhere"), ENTRY("up/evil", S_IFREG, 0, "x"));
	refuse(fixture, -EINVAL, "'file/evil' lies below something", ENTRY("file", S_IFREG, 0, "x"), ENTRY("file/evil", S_IFREG, 0, "x"));
	refuse(fixture, -EINVAL, "belongs to 70000:0", ENTRY("file", S_IFREG, 0, "x", .user = 70000));
	assert_int_equal(stat(canary, &st), 0);
	assert_int_equal(st.st_size, 1);
	assert_int_equal(access(evil, F_OK), -1);
}

/* Links are followed as the container itself would: inside. */
static void test_links_stay_inside(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_free char *outside = text_format("%s/outside", fixture->folder), *file = text_format("%s/file", outside);
	const struct tar_entry entries[] = {
		ENTRY("/absolute", S_IFREG, 0, "x"),
		ENTRY("usr/lib/", S_IFDIR), ENTRY("lib", S_IFLNK, 0, "/usr/lib"), ENTRY("lib/so", S_IFREG, 0, "x"),
		ENTRY("trap", S_IFLNK, 0, outside), ENTRY(outside, S_IFDIR), ENTRY("trap/file", S_IFREG, 0, "x"),
		ENTRY("climb", S_IFLNK, 0, "../../../../../../usr"), ENTRY("climb/file", S_IFREG, 0, "x"),
		ENTRY("self", S_IFLNK, 0, "."), ENTRY("self/self", S_IFDIR), ENTRY("self/inner", S_IFREG, 0, "x"),
		ENTRY("over", S_IFLNK, 0, "/absolute"), ENTRY("over", S_IFREG, 0600, "own"),
		ENTRY("dir/deep/file", S_IFREG, 0, "x"), ENTRY("dir", S_IFREG, 0600, "now a file"),
	};
	auto_str struct str list = { 0 };
	struct result result;

	assert_int_equal(mkdir(outside, 0755), 0);
	unpack(fixture, "gzip", entries, ARRAY_COUNT(entries), &result);
	expect_success(&result);
	assert_int_equal(access(file, F_OK), -1);
	oci_fixture_list(result.path, &list);
	assert_non_null(strstr(list.data, "100644 0:0 absolute\n"));
	assert_non_null(strstr(list.data, "100644 0:0 usr/lib/so\n"));
	assert_non_null(strstr(list.data, "100644 0:0 usr/file\n"));
	assert_non_null(strstr(list.data, "040755 0:0 self\n100644 0:0 self/inner\n"));
	assert_non_null(strstr(list.data, "100600 0:0 over\n"));
	assert_non_null(strstr(list.data, "100600 0:0 dir\n"));
	assert_non_null(strstr(list.data, file + 1));
	free(result.path);
}

static void test_attributes(void **state)
{
	static const struct tar_entry entries[] = {
		ENTRY("a", S_IFDIR, .attribute = "trusted.overlay.redirect", .value = "/etc"),
		ENTRY("b", S_IFDIR, .attribute = "user.overlay.opaque", .value = "y"),
		ENTRY("c", S_IFREG, 0, "x", .attribute = "security.ima", .value = "y"),
	};
	const struct oci_fixture *fixture = *state;
	auto_free char *large = alloc(LIMIT_LAYER_XATTR_BYTES + 2);
	struct result result;

	unpack(fixture, "gzip", entries, ARRAY_COUNT(entries), &result);
	expect_success(&result);
	for (size_t i = 0; i < ARRAY_COUNT(entries); i++) {
		auto_free char *path = text_format("%s/%s", result.path, entries[i].name);

		assert_int_equal(getxattr(path, entries[i].attribute, NULL, 0), -1);
	}
	free(result.path);
	assert_int_equal(file_remove_tree(fixture->store, &result.err), 0);
	memset(large, 'x', LIMIT_LAYER_XATTR_BYTES + 1);
	refuse(fixture, -EFBIG, "has an attribute 'user.large' of 65537 bytes", ENTRY("a", S_IFREG, 0, "x", .attribute = "user.large", .value = large));
}

static void test_device_bomb(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_free struct tar_entry *entries = alloc((LIMIT_LAYER_DEVICES + 1) * sizeof(entries[0]));
	auto_free char *names = alloc((LIMIT_LAYER_DEVICES + 1) * 16);

	for (size_t i = 0; i <= LIMIT_LAYER_DEVICES; i++) {
		snprintf(names + 16 * i, 16, "dev/%zu", i);
		entries[i] = (struct tar_entry){ names + 16 * i, i & 1 ? S_IFBLK : S_IFCHR, 0666, .major = 8, .minor = (unsigned)i };
	}
	expect_refusal(fixture, entries, LIMIT_LAYER_DEVICES + 1, -EFBIG, "more than 512 device nodes (at 'dev/512')");
}

static void test_sparse_bomb(void **state)
{
	refuse(*state, -EFBIG, "entry 'bomb' is a sparse file of 10", ENTRY("bomb", S_IFREG, 0, "x", .hole = UINT64_C(10) << 30));
}

/* Cut off in the middle, and with a byte changed. */
static void test_damaged(void **state)
{
	const char *const filters[] = { "gzip", "zstd", "xz", NULL };
	const struct oci_fixture *fixture = *state;
	auto_free char *tar = text_format("%s/layer", fixture->folder), *noise = alloc(300001);

	for (size_t i = 0; i < 300000; i++)
		noise[i] = (char)('a' + (i * i / 7 + i) % 26);
	const struct tar_entry entries[] = { ENTRY("noise", S_IFREG, 0, noise), ENTRY("end", S_IFREG, 0, "x") };
	for (size_t i = 0; i < ARRAY_COUNT(filters); i++) {
		struct result result;
		struct stat st;

		oci_fixture_tar(tar, filters[i], entries, ARRAY_COUNT(entries));
		assert_int_equal(stat(tar, &st), 0);
		assert_int_equal(truncate(tar, st.st_size / 2), 0);
		unpack_file(fixture, tar, &result);
		assert_int_equal(result.code, -EINVAL);
		if (!strstr(result.err.msg, filters[i] ? "damaged or cut off" : "no sound tar archive"))
			fail_msg("%s", result.err.msg);
		oci_fixture_expect_empty(fixture, false);
	}
	assert_int_equal(file_write_atomic(tar, "not a tar at all", 16, 0600, &(struct err){ 0 }), 0);
	refuse(fixture, -EINVAL, "leads out", ENTRY("..", S_IFDIR));
}

static void test_wrong_digests(void **state)
{
	static const struct tar_entry entries[] = { ENTRY("file", S_IFREG, 0, "x") };
	const struct oci_fixture *fixture = *state;
	auto_free char *tar = text_format("%s/layer", fixture->folder);
	auto_store struct oci_store store;
	char wrong[SHA256_TEXT_SIZE], none[SHA256_TEXT_SIZE] = "";
	uint64_t bytes;
	struct err err;

	oci_fixture_tar(tar, "gzip", entries, 1);
	auto_close int fd = open(tar, O_RDONLY | O_CLOEXEC);
	memset(wrong, 'a', 64);
	wrong[64] = '\0';
	assert_int_equal(oci_store_open(&store, fixture->store, fixture->scratch, NULL, &err), 0);
	assert_int_equal(oci_layer_add(&store, fd, wrong, none, NULL, &bytes, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "instead of sha256:aaaaaaaaaaaa"));
	assert_int_equal(oci_layer_add(&store, fd, none, wrong, NULL, &bytes, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "configuration says sha256:aaaaaaaaaaaa"));
	oci_fixture_expect_empty(fixture, false);
}

static void test_many_tiny_files(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_free struct tar_entry *entries = alloc(TINY_FILES * sizeof(entries[0]));
	auto_free char *names = alloc(TINY_FILES * 32);
	struct result result;
	int64_t start;

	for (size_t i = 0; i < TINY_FILES; i++) {
		snprintf(names + 32 * i, 32, "folder%zu/file%zu", i / 100, i);
		entries[i] = (struct tar_entry)ENTRY(names + 32 * i, S_IFREG, 0, "tiny");
	}
	/* In memory, for disks that are slow to make files (bench/unpack.c is about those). */
	bool is_mounted = mount("tmpfs", fixture->folder, "tmpfs", 0, "size=1g,nr_inodes=300k") == 0;
	if (is_mounted)
		assert_int_equal(mkdir(fixture->scratch, 0700), 0);
	auto_free char *tar = text_format("%s/layer", fixture->folder);
	oci_fixture_tar(tar, "gzip", entries, TINY_FILES);
	start = clock_monotonic_ms();
	unpack_file(fixture, tar, &result);
	if (is_mounted)
		assert_int_equal(umount(fixture->folder), 0);
	expect_success(&result);
	print_message("100,000 files: %lld ms\n", (long long)(clock_monotonic_ms() - start));
	assert_int_equal(result.bytes, 4 * TINY_FILES);
	free(result.path);
}

static void test_full_disk(void **state)
{
	static const struct tar_entry large[] = { ENTRY("large", S_IFREG, .size = 16 << 20) };
	auto_free struct tar_entry *many = alloc(4000 * sizeof(many[0]));
	auto_free char *names = alloc(4000 * 16);
	const struct oci_fixture *fixture = *state;
	struct result result, second;

	assert_int_equal(mkdir(fixture->store, 0700), 0);
	if (mount("tmpfs", fixture->store, "tmpfs", 0, "size=8m") < 0)
		skip();
	unpack(fixture, "gzip", large, 1, &result);
	/* Small files, of which nobody knows beforehand. */
	for (size_t i = 0; i < 4000; i++) {
		snprintf(names + 16 * i, 16, "file%zu", i);
		many[i] = (struct tar_entry){ names + 16 * i, S_IFREG, .size = 4000 };
	}
	unpack(fixture, "gzip", many, 4000, &second);
	oci_fixture_expect_empty(fixture, false);
	assert_int_equal(umount(fixture->store), 0);
	assert_int_equal(result.code, -ENOSPC);
	assert_non_null(strstr(result.err.msg, "entry 'large' of 16MiB does not fit: 8MiB are free"));
	assert_int_equal(second.code, -ENOSPC);
}

/* kill -9 in the middle: what is there is whole, what is half-made is garbage, and doing it again works. */
static void test_killed(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_free struct tar_entry *entries = alloc(5000 * sizeof(entries[0]));
	auto_free char *names = alloc(5000 * 16), *tar = text_format("%s/layer", fixture->folder),
		       *layers = text_format("%s/layers", fixture->store);
	struct result result;
	struct err err;

	for (size_t i = 0; i < 5000; i++) {
		snprintf(names + 16 * i, 16, "d%zu/f%zu", i / 50, i);
		entries[i] = (struct tar_entry){ names + 16 * i, S_IFREG, .size = 2000 };
	}
	oci_fixture_tar(tar, "gzip", entries, 5000);
	for (int i = 0; i < 5; i++) {
		auto_str struct str list = { 0 };
		pid_t pid = fork();

		if (pid == 0) {
			unpack_file(fixture, tar, &result);
			_exit(0);
		}
		nanosleep(&(struct timespec){ .tv_nsec = 5000000L << i }, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		if (access(layers, F_OK) == 0)
			oci_fixture_list(layers, &list);
		/* Either it is there with its last file, or not under its name. */
		for (const char *line = str_text(&list); *line; line += strcspn(line, "\n") + 1)
			if (text_starts_with(line, "040755 0:0 ") && line[11] != '.' && strcspn(line, "\n") == 11 + 64)
				assert_non_null(strstr(list.data, "/d99/f4999\n"));
	}
	assert_int_equal(oci_collect(fixture->store, NULL, 0, NULL, &err), 0);
	oci_fixture_expect_empty(fixture, false);
	unpack_file(fixture, tar, &result);
	expect_success(&result);
	assert_int_equal(result.bytes, 5000 * 2000);
	free(result.path);
}

static void *unpack_again(void *data)
{
	struct result *result = alloc(sizeof(*result));
	const struct oci_fixture *fixture = data;
	auto_free char *tar = text_format("%s/layer", fixture->folder);
	struct oci_fixture own = *fixture;
	char scratch[] = "/tmp/strata-oci-XXXXXX";

	assert_non_null(mkdtemp(scratch));
	own.scratch = scratch;
	unpack_file(&own, tar, result);
	rmdir(scratch);
	return result;
}

static void test_at_once(void **state)
{
	static const struct tar_entry entries[] = { ENTRY("file", S_IFREG, .size = 1 << 20), ENTRY("b/c", S_IFREG, 0, "x") };
	const struct oci_fixture *fixture = *state;
	auto_free char *tar = text_format("%s/layer", fixture->folder), *layers = text_format("%s/layers", fixture->store);
	auto_str struct str list = { 0 };
	pthread_t threads[8];

	oci_fixture_tar(tar, "gzip", entries, 2);
	for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, unpack_again, *state), 0);
	for (size_t i = 0; i < ARRAY_COUNT(threads); i++) {
		struct result *result;

		assert_int_equal(pthread_join(threads[i], (void **)&result), 0);
		expect_success(result);
		free(result->path);
		free(result);
	}
	oci_fixture_list(layers, &list);
	assert_null(strstr(list.data, ".tmp"));
	assert_non_null(strstr(list.data, "/b/c\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_kind, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_overlay, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_escapes, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_links_stay_inside, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_attributes, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_device_bomb, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_sparse_bomb, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_digests, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_many_tiny_files, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_full_disk, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_killed, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_at_once, oci_fixture_set_up, oci_fixture_tear_down),
	};

	return cmocka_run_group_tests_name("oci_unpack", tests, NULL, NULL);
}
