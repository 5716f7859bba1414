#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "2-virtualization/images/oci/oci_fixture.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/spawn.h"

static const struct tar_entry lower_entries[] = {
	ENTRY("bin/", S_IFDIR), ENTRY("bin/tool", S_IFREG, 04755, "tool"), ENTRY("bin/alias", 0, 0, "bin/tool"),
	ENTRY("etc/motd", S_IFREG, 0644, "hello"), ENTRY("etc/old", S_IFREG, 0644, "old"), ENTRY("data/inner/x", S_IFREG, 0644, "x"),
};
static const struct tar_entry upper_entries[] = { ENTRY("etc/.wh.old", S_IFREG), ENTRY("etc/new", S_IFREG, 0600, "new", .user = 33) };

#define CONFIG \
	"{\"Env\": [\"PATH=/bin\", \"A=b\"], \"Entrypoint\": [\"/bin/tool\"], \"Cmd\": [\"-v\"], \"User\": \"33\", \"WorkingDir\": \"/data\"," \
	" \"ExposedPorts\": {\"80/tcp\": {}}, \"Volumes\": {\"/data\": {}}, \"Labels\": {\"k\": \"v\"}, \"StopSignal\": \"SIGINT\", \"Future\": 1}"

static void run(const char *const *argv)
{
	struct err err;

	if (spawn_run(&(struct spawn_params){ .argv = argv }, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}
#define command(...) run((const char *const[]){ __VA_ARGS__, NULL })

/* A layout folder with two layers. */
static char *make_layout(const struct oci_fixture *fixture, const char *config, const char *filter)
{
	auto_free char *lower = text_format("%s/lower", fixture->folder), *upper = text_format("%s/upper", fixture->folder);
	char *layout = text_format("%s/layout", fixture->folder);

	oci_fixture_tar(lower, "gzip", lower_entries, ARRAY_COUNT(lower_entries));
	oci_fixture_tar(upper, filter, upper_entries, ARRAY_COUNT(upper_entries));
	oci_fixture_layout(fixture, layout, (const char *const[]){ lower, upper }, 2, config);
	return layout;
}

static void import(const struct oci_fixture *fixture, const char *path, struct oci_image *image)
{
	struct err err;

	if (oci_import(fixture->store, fixture->scratch, path, OCI_ARCHIVE_AUTO, NULL, image, &err) < 0)
		fail_msg("%s", err.msg);
	oci_fixture_empty_scratch(fixture);
}

static void refuse_import(const struct oci_fixture *fixture, const char *path, enum oci_archive_form form, int code, const char *words)
{
	struct oci_image image;
	struct err err = { 0 };
	int r = oci_import(fixture->store, fixture->scratch, path, form, NULL, &image, &err);

	if (r != code || !strstr(err.msg, words))
		fail_msg("%d '%s' instead of %d '%s'", r, err.msg, code, words);
	oci_fixture_expect_empty(fixture, true);
	oci_fixture_empty_scratch(fixture);
}

static void test_layout(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_free char *layout = make_layout(fixture, CONFIG, "zstd"), *tar = text_format("%s/layout.tar", fixture->folder);
	auto_str struct str json = { 0 };
	struct json_writer writer = { .out = &json };
	struct oci_image image, again;
	struct err err;

	import(fixture, layout, &image);
	assert_int_equal(image.layers.count, 2);
	assert_int_equal(image.layers.items[0].unpacked_bytes, 4 + 5 + 3 + 1);
	field_encode(&image_config_table, &image.settings, &writer, NULL);
	assert_string_equal(json.data,
			    "{\"entrypoint\":[\"/bin/tool\"],\"command\":[\"-v\"],\"env\":[\"PATH=/bin\",\"A=b\"],\"user\":\"33\","
			    "\"directory\":\"/data\",\"stop_signal\":\"SIGINT\",\"ports\":[\"80/tcp\"],\"volumes\":[\"/data\"],"
			    "\"labels\":{\"k\":\"v\"},\"architecture\":\"amd64\",\"os\":\"linux\"}");
	/* The same from its tar, and from the store. */
	command("tar", "-C", layout, "-czf", tar, ".");
	import(fixture, tar, &again);
	assert_string_equal(again.manifest, image.manifest);
	oci_image_done(&again);
	if (oci_load(fixture->store, fixture->scratch, image.manifest, NULL, &again, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(again.config, image.config);
	assert_int_equal(again.unpacked_bytes, image.unpacked_bytes);
	oci_image_done(&again);
	oci_image_done(&image);
	assert_int_equal(oci_load(fixture->store, fixture->scratch, "nonsense", NULL, &again, &err), -EINVAL);
}

static void export(const struct oci_fixture *fixture, const struct oci_image *image, enum oci_archive_form form, const char *path)
{
	struct err err;

	if (oci_export(fixture->store, fixture->scratch, image, "example.org/some/name:tag", form, path, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

/* skopeo reads what we write, and what it writes of that is the same image. */
static void test_round_trips(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_free char *layout = make_layout(fixture, CONFIG, "gzip"), *oci = text_format("%s/oci.tar", fixture->folder),
		       *docker = text_format("%s/docker.tar", fixture->folder), *foreign = text_format("%s/foreign.tar", fixture->folder),
		       *from = text_format("oci-archive:%s", oci), *to = text_format("docker-archive:%s:x:y", foreign),
		       *check = text_format("docker-archive:%s", docker), *copy = text_format("%s/copy.tar", fixture->folder),
		       *copy_to = text_format("oci-archive:%s", copy);
	struct oci_image image, again;
	struct err err;

	import(fixture, layout, &image);
	export(fixture, &image, OCI_ARCHIVE_OCI, oci);
	export(fixture, &image, OCI_ARCHIVE_DOCKER, docker);
	command("skopeo", "inspect", from);
	command("skopeo", "inspect", check);
	command("skopeo", "--insecure-policy", "copy", from, to);
	command("skopeo", "--insecure-policy", "copy", "--preserve-digests", from, copy_to);

	assert_int_equal(file_remove_tree(fixture->store, &err), 0);
	import(fixture, oci, &again);
	assert_string_equal(again.manifest, image.manifest);
	oci_image_done(&again);
	assert_int_equal(file_remove_tree(fixture->store, &err), 0);
	import(fixture, copy, &again);
	assert_string_equal(again.manifest, image.manifest);
	oci_image_done(&again);
	assert_int_equal(file_remove_tree(fixture->store, &err), 0);
	import(fixture, docker, &again);
	assert_string_equal(again.config, image.config);
	oci_image_done(&again);
	/* skopeo uncompresses layers for Docker; their content stays. */
	import(fixture, foreign, &again);
	assert_int_equal(again.layers.count, 2);
	assert_string_equal(again.layers.items[0].diff_id, image.layers.items[0].diff_id);
	assert_string_equal(again.layers.items[1].diff_id, image.layers.items[1].diff_id);
	assert_string_equal(*field_list_at(&again.settings.entrypoint, char *, 0), "/bin/tool");
	oci_image_done(&again);
	oci_image_done(&image);
}

static void test_rootfs(void **state)
{
	const char *const filters[] = { NULL, "gzip", "zstd", "xz" };
	const struct oci_fixture *fixture = *state;
	auto_free char *tar = text_format("%s/rootfs", fixture->folder);

	for (size_t i = 0; i < ARRAY_COUNT(filters); i++) {
		auto_str struct str list = { 0 };
		struct oci_image image;

		oci_fixture_tar(tar, filters[i], lower_entries, ARRAY_COUNT(lower_entries));
		import(fixture, tar, &image);
		assert_int_equal(image.layers.count, 1);
		auto_free char *path = oci_layer_path(fixture->store, image.layers.items[0].diff_id);
		oci_fixture_list(path, &list);
		assert_non_null(strstr(list.data, "104755 0:0 bin/tool\n"));
		assert_string_equal(*field_list_at(&image.settings.command, char *, 0), "/bin/sh");
		oci_image_done(&image);
	}
}

static void write_file(const char *folder, const char *name, const char *text)
{
	auto_free char *path = text_format("%s/%s", folder, name);
	struct err err;

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0644, &err), 0);
}

static void test_bad_archives(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_free char *tar = text_format("%s/bad.tar", fixture->folder), *layout = make_layout(fixture, NULL, "zstd");
	const struct tar_entry no_manifest[] = { ENTRY("repositories", S_IFREG, 0, "{}") };
	const struct tar_entry missing_layer[] = {
		ENTRY("manifest.json", S_IFREG, 0, "[{\"Config\": \"c.json\", \"Layers\": [\"../../../etc/passwd\"]}]"),
		ENTRY("c.json", S_IFREG, 0, "{\"rootfs\": {\"diff_ids\": [\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}}"),
	};
	const struct tar_entry linked[] = {
		ENTRY("manifest.json", S_IFLNK, 0, "/etc/passwd"),
	};
	const struct tar_entry circle[] = { ENTRY("manifest.json", S_IFLNK, 0, "manifest.json") };
	const struct tar_entry two[] = { ENTRY("manifest.json", S_IFREG, 0, "[{}, {}]") };
	const struct tar_entry no_index[] = { ENTRY("oci-layout", S_IFREG, 0, "{}") };
	const struct tar_entry twice[] = { ENTRY("index.json", S_IFREG, 0, "{}"), ENTRY("index.json", S_IFREG, 0, "{}") };

	oci_fixture_tar(tar, "gzip", no_manifest, 1);
	refuse_import(fixture, tar, OCI_ARCHIVE_AUTO, -EINVAL, "there is no manifest.json");
	oci_fixture_tar(tar, NULL, missing_layer, 2);
	refuse_import(fixture, tar, OCI_ARCHIVE_AUTO, -EINVAL, "'../../../etc/passwd' is missing in the archive");
	oci_fixture_tar(tar, NULL, linked, 1);
	refuse_import(fixture, tar, OCI_ARCHIVE_AUTO, -EINVAL, "there is no manifest.json");
	oci_fixture_tar(tar, NULL, circle, 1);
	refuse_import(fixture, tar, OCI_ARCHIVE_AUTO, -EINVAL, "there is no manifest.json");
	oci_fixture_tar(tar, NULL, two, 1);
	refuse_import(fixture, tar, OCI_ARCHIVE_AUTO, -EINVAL, "the archive holds 2 images");
	oci_fixture_tar(tar, NULL, no_index, 1);
	refuse_import(fixture, tar, OCI_ARCHIVE_AUTO, -EINVAL, "there is no index.json");
	oci_fixture_tar(tar, NULL, twice, 2);
	refuse_import(fixture, tar, OCI_ARCHIVE_AUTO, -EINVAL, "'index.json' is twice");
	write_file(fixture->folder, "bad.tar", "this is no tar");
	refuse_import(fixture, tar, OCI_ARCHIVE_AUTO, -EINVAL, "is no tar");
	refuse_import(fixture, "/nowhere", OCI_ARCHIVE_AUTO, -ENOENT, "/nowhere");
	refuse_import(fixture, layout, OCI_ARCHIVE_DOCKER, -EINVAL, "only an OCI layout");

	write_file(layout, "index.json", "{\"schemaVersion\": 2, \"manifests\": [{\"digest\": \"sha256:00\", \"platform\": {\"os\": \"linux\", "
		   "\"architecture\": \"riscv64\"}}, {\"platform\": {\"os\": \"windows\", \"architecture\": \"amd64\"}}]}");
	refuse_import(fixture, layout, OCI_ARCHIVE_AUTO, -ENOENT, "nothing for linux/amd64; it has: linux/riscv64, windows/amd64");
	write_file(layout, "index.json", "{\"schemaVersion\": 2, \"manifests\": [], \"layers\": []}");
	refuse_import(fixture, layout, OCI_ARCHIVE_AUTO, -EINVAL, "also a list of manifests");
	write_file(layout, "index.json", "{\"schemaVersion\": 1}");
	refuse_import(fixture, layout, OCI_ARCHIVE_AUTO, -EINVAL, "schema version 1");
}

/* A blob that is not what its name says; a megabyte of environment. */
static void test_bad_images(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_free char *value = alloc((1 << 20) + 1), *large = NULL, *layout = NULL, *blobs = text_format("%s/layout/blobs/sha256", fixture->folder);
	auto_free char *lower = text_format("%s/lower", fixture->folder), *digest = alloc(SHA256_TEXT_SIZE), *blob = NULL;
	struct err err;

	memset(value, 'x', 1 << 20);
	large = text_format("{\"Env\": [\"A=%s\"]}", value);
	layout = make_layout(fixture, large, "zstd");
	refuse_import(fixture, layout, OCI_ARCHIVE_AUTO, -EFBIG, "the image's environment (Env) has 1048579 bytes: at most 262144 are taken");

	assert_int_equal(file_remove_tree(layout, &err), 0);
	assert_int_equal(file_remove_tree(fixture->store, &err), 0);
	free(make_layout(fixture, NULL, "zstd"));
	auto_close int fd = open(lower, O_RDONLY | O_CLOEXEC);
	assert_int_equal(sha256_file(fd, NULL, digest, &err), 0);
	blob = text_format("%s/%s", blobs, digest);
	assert_int_equal(truncate(blob, 100), 0);
	refuse_import(fixture, layout, OCI_ARCHIVE_AUTO, -EINVAL, "it is damaged");
}

static void test_commit(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_free char *layout = make_layout(fixture, CONFIG, "zstd"), *upper = text_format("%s/changes", fixture->folder),
		       *file = text_format("%s/changes/etc/motd", fixture->folder), *hard = text_format("%s/changes/motd", fixture->folder),
		       *gone = text_format("%s/changes/bin", fixture->folder), *data = text_format("%s/changes/data", fixture->folder),
		       *etc = text_format("%s/changes/etc", fixture->folder), *name = text_format("%s/changes/Grüße", fixture->folder),
		       *second_gone = text_format("%s/changes/etc/new", fixture->folder), *sparse = text_format("%s/changes/sparse", fixture->folder);
	struct oci_image image, changed, second;
	auto_str struct str list = { 0 };
	char value[4];
	struct stat st;
	struct err err;

	import(fixture, layout, &image);
	assert_int_equal(mkdir(upper, 0711), 0);
	assert_int_equal(mkdir(etc, 0755), 0);
	assert_int_equal(mkdir(data, 0700), 0);
	assert_int_equal(file_write_atomic(file, "changed", 7, 0644, &err), 0);
	assert_int_equal(file_write_atomic(name, "x", 1, 0640, &err), 0);
	assert_int_equal(chown(name, 1, 65534), 0);
	assert_int_equal(link(file, hard), 0);
	assert_int_equal(setxattr(data, OCI_OPAQUE_XATTR, "y", 1, 0), 0);
	assert_int_equal(setxattr(file, "trusted.overlay.origin", "x", 1, 0), 0);
	assert_int_equal(mknod(gone, S_IFCHR, makedev(0, 0)), 0);
	assert_int_equal(link(gone, second_gone), 0);	/* As overlayfs does. */
	assert_int_equal(file_write_atomic(sparse, "start", 5, 0600, &err), 0);
	assert_int_equal(truncate(sparse, 64 << 20), 0);
	if (oci_commit(fixture->store, fixture->scratch, &image, upper, NULL, "a change", NULL, &changed, &err) < 0)
		fail_msg("%s", err.msg);
	oci_fixture_empty_scratch(fixture);
	assert_int_equal(changed.layers.count, 3);
	assert_string_equal(changed.layers.items[0].digest, image.layers.items[0].digest);
	assert_string_equal(changed.layers.items[2].created_by, "commit");
	assert_string_equal(changed.settings.user, "33");

	auto_free char *path = oci_layer_path(fixture->store, changed.layers.items[2].diff_id), *opaque = text_format("%s/data", path),
		       *committed = text_format("%s/sparse", path);
	oci_fixture_list(path, &list);
	assert_string_equal(list.data, "100640 1:65534 Grüße\n020000 0:0 bin\n040700 0:0 data\n040755 0:0 etc\n100644 0:0 etc/motd\n"
				       "020000 0:0 etc/new\n100644 0:0 motd\n100600 0:0 sparse\n");
	assert_int_equal(getxattr(opaque, OCI_OPAQUE_XATTR, value, sizeof(value)), 1);
	assert_int_equal(stat(committed, &st), 0);
	assert_int_equal(st.st_size, 64 << 20);
	assert_true(st.st_blocks < 1000);

	/* What cannot be said in a layer is refused. */
	auto_free char *bad = text_format("%s/.wh.file", upper);
	write_file(upper, ".wh.file", "x");
	assert_int_equal(oci_commit(fixture->store, fixture->scratch, &changed, upper, NULL, NULL, NULL, &second, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "names that begin with .wh."));
	assert_int_equal(unlink(bad), 0);
	assert_int_equal(setxattr(etc, "trusted.overlay.redirect", "/x", 2, 0), 0);
	assert_int_equal(oci_commit(fixture->store, fixture->scratch, &changed, upper, NULL, NULL, NULL, &second, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "redirect_dir"));
	oci_image_done(&image);
	oci_image_done(&changed);
}

static void test_collect(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_free char *layout = make_layout(fixture, NULL, "zstd"), *tar = text_format("%s/rootfs", fixture->folder),
		       *half = text_format("%s/layers/.tmp-abc/x", fixture->store), *blobs = text_format("%s/blobs/sha256", fixture->store);
	auto_str struct str list = { 0 };
	struct oci_image image, other, again;
	struct oci_store busy;
	uint64_t bytes = 0;
	struct err err;

	import(fixture, layout, &image);
	oci_fixture_tar(tar, NULL, upper_entries, ARRAY_COUNT(upper_entries));	/* Shares its content with the image's second layer. */
	import(fixture, tar, &other);
	assert_string_equal(other.layers.items[0].diff_id, image.layers.items[1].diff_id);
	assert_int_equal(file_make_dirs(half, 0700, &err), 0);

	assert_int_equal(oci_store_open(&busy, fixture->store, fixture->scratch, NULL, &err), 0);
	assert_int_equal(oci_collect(fixture->store, NULL, 0, &bytes, &err), -EBUSY);
	oci_store_done(&busy);

	const char *in_use[] = { other.manifest };
	if (oci_collect(fixture->store, in_use, 1, &bytes, &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(bytes > 0);
	oci_fixture_list(blobs, &list);
	assert_non_null(strstr(list.data, other.manifest));
	assert_null(strstr(list.data, image.manifest));
	if (oci_load(fixture->store, fixture->scratch, other.manifest, NULL, &again, &err) < 0)
		fail_msg("%s", err.msg);
	oci_image_done(&again);
	assert_int_equal(oci_load(fixture->store, fixture->scratch, image.manifest, NULL, &again, &err), -ENOENT);
	assert_int_equal(oci_collect(fixture->store, NULL, 0, &bytes, &err), 0);
	oci_fixture_expect_empty(fixture, false);
	oci_image_done(&image);
	oci_image_done(&other);
}

static void test_cancel(void **state)
{
	const bool is_cancelled = true;
	const struct volume_progress progress = { .is_cancelled = &is_cancelled };
	const struct oci_fixture *fixture = *state;
	auto_free char *layout = make_layout(fixture, NULL, "zstd");
	auto_free char *archive = text_format("%s/archive", fixture->folder), *unfinished = text_format("%s.new", archive);
	struct oci_image image;
	struct err err;

	assert_int_equal(oci_import(fixture->store, fixture->scratch, layout, OCI_ARCHIVE_AUTO, &progress, &image, &err), -ECANCELED);
	oci_fixture_expect_empty(fixture, true);
	oci_fixture_empty_scratch(fixture);
	import(fixture, layout, &image);
	assert_int_equal(oci_export(fixture->store, fixture->scratch, &image, "x", OCI_ARCHIVE_OCI, archive, &progress, &err), -ECANCELED);
	assert_true(access(archive, F_OK) < 0 && access(unfinished, F_OK) < 0);
	oci_image_done(&image);
}

static void build(const struct oci_fixture *fixture, const char *recipe, struct oci_image *image)
{
	struct err err;

	if (oci_build(fixture->store, fixture->scratch, recipe, NULL, image, &err) < 0) {
		if (strstr(err.msg, "download packages") || strstr(err.msg, "apt") || err.code == -ENOENT) {
			print_message("skipped: %s\n", err.msg);
			skip();
		}
		fail_msg("%s", err.msg);
	}
}

static void test_busybox(void **state)
{
	const struct oci_fixture *fixture = *state;
	auto_str struct str output = { 0 };
	struct oci_image image;
	struct err err;

	build(fixture, "busybox", &image);
	assert_int_equal(image.layers.count, 1);
	assert_true(image.blob_bytes < 3 << 20);
	assert_string_equal(*field_list_at(&image.settings.command, char *, 0), "sh");
	auto_free char *root = oci_layer_path(fixture->store, image.layers.items[0].diff_id);
	const char *const argv[] = { "chroot", root, "/bin/sh", "-c", "ls -ld /tmp && id -un && busybox true && echo fine", NULL };
	if (spawn_run(&(struct spawn_params){ .argv = argv }, &(struct spawn_io){ .output = &output }, &err) < 0)
		fail_msg("%s", err.msg);
	assert_non_null(strstr(output.data, "drwxrwxrwt"));
	assert_non_null(strstr(output.data, "root\nfine\n"));
	oci_image_done(&image);
	assert_int_equal(oci_build(fixture->store, fixture->scratch, "gentoo", NULL, &image, &err), -EINVAL);
}

static void test_debian(void **state)
{
	const struct oci_fixture *fixture = *state;

	if (!getenv("STRATA_TEST_SLOW"))
		skip();			/* A minute, and packages: set STRATA_TEST_SLOW=1. */
	for (const char *recipe = "debian:12"; recipe; recipe = text_equal(recipe, "debian:12") ? "debian:13" : NULL) {
		struct oci_image image;
		struct stat st;

		build(fixture, recipe, &image);
		print_message("%s: %llu bytes, unpacked %llu\n", recipe, (unsigned long long)image.blob_bytes,
			      (unsigned long long)image.unpacked_bytes);
		auto_free char *root = oci_layer_path(fixture->store, image.layers.items[0].diff_id),
			       *init = text_format("%s/usr/lib/systemd/systemd", root);
		assert_int_equal(stat(init, &st), 0);
		assert_string_equal(image.settings.stop_signal, "SIGRTMIN+3");
		command("chroot", root, "/usr/lib/systemd/systemd", "--version");
		oci_image_done(&image);
		oci_fixture_empty_scratch(fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_layout, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_round_trips, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_rootfs, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_bad_archives, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_bad_images, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_commit, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_collect, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_cancel, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_busybox, oci_fixture_set_up, oci_fixture_tear_down),
		cmocka_unit_test_setup_teardown(test_debian, oci_fixture_set_up, oci_fixture_tear_down),
	};

	return cmocka_run_group_tests_name("oci_image", tests, NULL, NULL);
}
