#include "2-virtualization/images/oci/oci_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"

int oci_fixture_set_up(void **state)
{
	struct oci_fixture *fixture = alloc(sizeof(*fixture));
	char folder[] = "/tmp/strata-oci-XXXXXX";

	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(folder));
	fixture->folder = text_copy(folder);
	fixture->store = text_format("%s/store", folder);
	fixture->scratch = text_format("%s/scratch", folder);
	assert_int_equal(mkdir(fixture->scratch, 0700), 0);
	*state = fixture;
	return 0;
}

int oci_fixture_tear_down(void **state)
{
	struct oci_fixture *fixture = *state;
	struct err err;

	assert_int_equal(file_remove_tree(fixture->folder, &err), 0);
	free(fixture->folder);
	free(fixture->store);
	free(fixture->scratch);
	free(fixture);
	return 0;
}

void oci_fixture_empty_scratch(const struct oci_fixture *fixture)
{
	struct err err;

	assert_int_equal(file_remove_tree(fixture->scratch, &err), 0);
	assert_int_equal(mkdir(fixture->scratch, 0700), 0);
}

static void fill_entry(struct archive_entry *entry, const struct tar_entry *from, uint64_t size)
{
	archive_entry_set_pathname(entry, from->name);
	archive_entry_set_filetype(entry, from->type ? from->type : AE_IFREG);
	archive_entry_set_perm(entry, from->mode ? from->mode : from->type == S_IFDIR ? 0755 : 0644);
	archive_entry_set_uid(entry, from->user);
	archive_entry_set_gid(entry, from->group);
	archive_entry_set_mtime(entry, from->time ? from->time : 1700000000, 0);
	if (from->type == S_IFLNK)
		archive_entry_set_symlink(entry, from->content);
	if (from->type == 0)
		archive_entry_set_hardlink(entry, from->content);
	if (from->type == S_IFREG)
		archive_entry_set_size(entry, (la_int64_t)size);
	if (from->hole)
		archive_entry_sparse_add_entry(entry, (la_int64_t)from->hole, (la_int64_t)(size - from->hole));
	if (from->type == S_IFCHR || from->type == S_IFBLK) {
		archive_entry_set_rdevmajor(entry, from->major);
		archive_entry_set_rdevminor(entry, from->minor);
	}
	if (from->attribute)
		archive_entry_xattr_add_entry(entry, from->attribute, from->value, from->value_size ? from->value_size : strlen(from->value));
}

static void write_content(struct archive *archive, const struct tar_entry *from, uint64_t size)
{
	static const char zeroes[64 << 10];

	if (from->hole) {
		assert_int_equal(archive_write_data(archive, zeroes, 0), 0);
		for (uint64_t at = 0, n; at < from->hole; at += n) {
			n = from->hole - at < sizeof(zeroes) ? from->hole - at : sizeof(zeroes);
			assert_int_equal(archive_write_data(archive, zeroes, n), n);
		}
	}
	if (from->content)
		assert_int_equal(archive_write_data(archive, from->content, strlen(from->content)), strlen(from->content));
	for (uint64_t at = 0, n; !from->content && !from->hole && at < size; at += n) {
		n = size - at < sizeof(zeroes) ? size - at : sizeof(zeroes);
		assert_int_equal(archive_write_data(archive, zeroes, n), n);
	}
}

void oci_fixture_tar(const char *path, const char *filter, const struct tar_entry *entries, size_t count)
{
	struct archive *archive = archive_write_new();
	struct archive_entry *entry = archive_entry_new();

	if (filter)
		assert_int_equal(archive_write_add_filter_by_name(archive, filter), ARCHIVE_OK);
	assert_int_equal(archive_write_set_format_pax(archive), ARCHIVE_OK);
	/* Names are bytes. */
	assert_int_equal(archive_write_set_options(archive, "hdrcharset=BINARY"), ARCHIVE_OK);
	assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
	for (size_t i = 0; i < count; i++) {
		uint64_t size = entries[i].hole + (entries[i].content ? strlen(entries[i].content) : entries[i].size);

		archive_entry_clear(entry);
		fill_entry(entry, &entries[i], size);
		if (archive_write_header(archive, entry) != ARCHIVE_OK)
			fail_msg("%s: %s", entries[i].name, archive_error_string(archive));
		if (entries[i].type == S_IFREG)
			write_content(archive, &entries[i], size);
	}
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_write_free(archive);
	archive_entry_free(entry);
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void list_below(const char *folder, const char *prefix, struct str *out)
{
	struct dirent **names = NULL;
	int count = scandir(folder, &names, NULL, compare_names);

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		auto_free char *path = text_format("%s/%s", folder, names[i]->d_name), *name = text_format("%s%s", prefix, names[i]->d_name),
			       *deeper = text_format("%s/", name);
		char target[4096] = "";
		struct stat st;

		if (!text_equal(names[i]->d_name, ".") && !text_equal(names[i]->d_name, "..")) {
			assert_int_equal(lstat(path, &st), 0);
			str_printf(out, "%06o %u:%u %s", st.st_mode, st.st_uid, st.st_gid, name);
			if (S_ISLNK(st.st_mode) && readlink(path, target, sizeof(target) - 1) > 0)
				str_printf(out, " -> %s", target);
			str_append_char(out, '\n');
			if (S_ISDIR(st.st_mode))
				list_below(path, deeper, out);
		}
		free(names[i]);
	}
	free(names);
}

void oci_fixture_list(const char *folder, struct str *out)
{
	list_below(folder, "", out);
}

void oci_fixture_expect_empty(const struct oci_fixture *fixture, bool has_blobs)
{
	auto_free char *layers = text_format("%s/layers", fixture->store), *blobs = text_format("%s/blobs/sha256", fixture->store);
	auto_str struct str list = { 0 };

	if (access(fixture->store, F_OK) < 0)
		return;
	oci_fixture_list(layers, &list);
	if (!has_blobs)
		oci_fixture_list(blobs, &list);
	if (list.size)
		fail_msg("left behind: %s", list.data);
}

/* A layout */

static void put(const char *layout, const void *bytes, size_t size, char digest[SHA256_TEXT_SIZE])
{
	auto_sha256 struct sha256 sha256;
	auto_free char *path = NULL;
	struct err err;

	sha256_init(&sha256);
	sha256_update(&sha256, bytes, size);
	sha256_finish(&sha256, digest);
	path = text_format("%s/blobs/sha256/%s", layout, digest);
	assert_int_equal(file_write_atomic(path, bytes, size, 0644, &err), 0);
}

static void find_sums(const struct oci_fixture *fixture, const char *path, struct oci_blob *blob, char diff_id[SHA256_TEXT_SIZE])
{
	const struct oci_store store = { .folder = fixture->store, .scratch = fixture->scratch };
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_stream struct oci_stream *stream = NULL;
	struct err err;

	blob->digest = alloc(SHA256_TEXT_SIZE);
	assert_int_equal(oci_stream_open(fd, &stream, &err), 0);
	/* A layer damaged on purpose has no DiffID. */
	if (oci_stream_finish(stream, &store, blob->digest, diff_id, &err) < 0) {
		assert_int_equal(sha256_file(fd, NULL, blob->digest, &err), 0);
		memcpy(diff_id, blob->digest, SHA256_TEXT_SIZE);
	}
	blob->compression = oci_stream_compression(stream);
}

void oci_fixture_layout(const struct oci_fixture *fixture, const char *layout, const char *const *layers, size_t count, const char *config)
{
	static const char marker[] = "{\"imageLayoutVersion\": \"1.0.0\"}";
	auto_free char *blobs = text_format("%s/blobs/sha256", layout), *marker_path = text_format("%s/oci-layout", layout),
		       *index_path = text_format("%s/index.json", layout);
	auto_manifest struct oci_manifest manifest = { 0 };
	auto_str struct str ids = { 0 }, text = { 0 }, index = { 0 };
	char digest[SHA256_TEXT_SIZE], diff_id[SHA256_TEXT_SIZE];
	struct err err;

	assert_int_equal(file_make_dirs(blobs, 0755, &err), 0);
	for (size_t i = 0; i < count; i++) {
		struct oci_blob *blob = vec_push(&manifest.layers);
		auto_str struct str content = { 0 };

		assert_int_equal(file_read_all(layers[i], 1 << 30, &content, &err), 0);
		find_sums(fixture, layers[i], blob, diff_id);
		blob->size = content.size;
		put(layout, str_text(&content), content.size, digest);
		assert_string_equal(digest, blob->digest);
		str_printf(&ids, "%s\"sha256:%s\"", i ? ", " : "", diff_id);
	}
	str_printf(&text, "{\"architecture\": \"amd64\", \"os\": \"linux\", \"config\": %s, \"rootfs\": {\"type\": \"layers\", \"diff_ids\": [%s]}}",
		   config ? config : "{}", str_text(&ids));
	put(layout, text.data, text.size, digest);
	manifest.config = (struct oci_blob){ .digest = text_copy(digest), .size = text.size };
	str_clear(&text);
	oci_manifest_write(&manifest, &text);
	put(layout, text.data, text.size, digest);
	str_printf(&index, "{\"schemaVersion\": 2, \"manifests\": [{\"mediaType\": \"application/vnd.oci.image.manifest.v1+json\", "
		   "\"digest\": \"sha256:%s\", \"size\": %zu, \"annotations\": {\"org.opencontainers.image.ref.name\": \"image\"}}]}",
		   digest, text.size);
	assert_int_equal(file_write_atomic(marker_path, marker, strlen(marker), 0644, &err), 0);
	assert_int_equal(file_write_atomic(index_path, index.data, index.size, 0644, &err), 0);
}
