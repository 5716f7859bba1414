#include "2-virtualization/images/seed.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

enum { SSH_KEY_BYTES = 16 << 10 };

static int check_text(const char *field, const char *text, size_t max_bytes, struct err *err)
{
	size_t size = strlen(text);

	if (size == 0 || size > max_bytes)
		return err_set(err, -EINVAL, "%s has %zu bytes: use 1 to %zu", field, size, max_bytes);
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < ' ' && text[i] != '\t')
			return err_set(err, -EINVAL, "%s '%s' contains a control character: use one line of text", field, shown(text));
	if (!text_is_utf8(text, size))
		return err_set(err, -EINVAL, "%s '%s' is not UTF-8", field, shown(text));
	return 0;
}

static int check_seed(const struct seed *seed, struct err *err)
{
	int r;

	if ((r = check_text("instance id", seed->instance_id, LIMIT_NAME_LENGTH, err)) < 0 ||
	    (r = check_text("hostname", seed->hostname, LIMIT_NAME_LENGTH, err)) < 0)
		return r;
	for (size_t i = 0; i < seed->ssh_key_count; i++)
		if ((r = check_text("ssh key", seed->ssh_keys[i], SSH_KEY_BYTES, err)) < 0)
			return r;
	if (seed->user_data && strlen(seed->user_data) > LIMIT_TEXT_BYTES)
		return err_set(err, -EINVAL, "user data has %zu bytes: use at most %d", strlen(seed->user_data), LIMIT_TEXT_BYTES);
	return 0;
}

/* YAML reads a JSON string as what it is, whatever is in it. */
static void append_line(struct str *out, const char *before, const char *value)
{
	struct json_writer writer = { .out = out };

	str_append(out, before);
	json_write_string(&writer, NULL, value);
	str_append_char(out, '\n');
}

static void write_meta_data(struct str *out, const struct seed *seed)
{
	append_line(out, "instance-id: ", seed->instance_id);
	append_line(out, "local-hostname: ", seed->hostname);
	if (seed->ssh_key_count)
		str_append(out, "public-keys:\n");
	for (size_t i = 0; i < seed->ssh_key_count; i++)
		append_line(out, "  - ", seed->ssh_keys[i]);
}

static ssize_t append_block(struct archive *archive, void *data, const void *block, size_t size)
{
	(void)archive;
	str_append_bytes(data, block, size);
	return (ssize_t)size;
}

static int add_file(struct archive *archive, const char *name, const char *content)
{
	struct archive_entry *entry = archive_entry_new();
	size_t size = strlen(content);
	bool is_written;

	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0600);
	archive_entry_set_size(entry, (la_int64_t)size);
	is_written = archive_write_header(archive, entry) == ARCHIVE_OK &&
		     archive_write_data(archive, content, size) == (la_ssize_t)size;
	archive_entry_free(entry);
	return is_written ? ARCHIVE_OK : ARCHIVE_FATAL;
}

static int write_iso(const char *meta_data, const char *user_data, struct str *out, struct err *err)
{
	struct archive *archive = archive_write_new();
	int r = 0;

	if (archive_write_set_format_iso9660(archive) != ARCHIVE_OK ||
	    archive_write_set_options(archive, "volume-id=cidata,rockridge=useful,joliet") != ARCHIVE_OK ||
	    archive_write_open(archive, out, NULL, append_block, NULL) != ARCHIVE_OK ||
	    add_file(archive, "meta-data", meta_data) != ARCHIVE_OK || add_file(archive, "user-data", user_data) != ARCHIVE_OK ||
	    archive_write_close(archive) != ARCHIVE_OK)
		r = err_set(err, -EIO, "make the seed disk: %s", archive_error_string(archive));
	archive_write_free(archive);
	return r;
}

int seed_write(const char *path, const struct seed *seed, struct err *err)
{
	auto_str struct str meta_data = { 0 }, image = { 0 };
	int r = check_seed(seed, err);

	if (r < 0)
		return r;
	write_meta_data(&meta_data, seed);
	r = write_iso(str_text(&meta_data), seed->user_data ? seed->user_data : "#cloud-config\n{}\n", &image, err);
	return r < 0 ? r : file_write_atomic(path, image.data, image.size, 0600, err);
}
