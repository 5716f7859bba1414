#include "2-virtualization/images/initrd.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fts.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { FILE_MAX_BYTES = 64 << 20 };

static void describe(struct archive_entry *entry, const FTSENT *file, const char *name)
{
	char target[256];
	ssize_t length = file->fts_info == FTS_SL ? readlink(file->fts_accpath, target, sizeof(target) - 1) : -1;

	archive_entry_copy_stat(entry, file->fts_statp);
	archive_entry_set_pathname(entry, name);
	archive_entry_set_uid(entry, 0);
	archive_entry_set_gid(entry, 0);
	archive_entry_set_nlink(entry, 1);
	archive_entry_set_mtime(entry, 0, 0);
	if (length >= 0) {
		target[length] = '\0';
		archive_entry_set_symlink(entry, target);
	}
}

static int add(struct archive *archive, const FTSENT *file, const char *name, struct err *err)
{
	struct archive_entry *entry = archive_entry_new();
	auto_str struct str content = { 0 };
	int r = 0;

	describe(entry, file, name);
	if (file->fts_info == FTS_F)
		r = file_read_all(file->fts_accpath, FILE_MAX_BYTES, &content, err);
	if (r == 0 && (archive_write_header(archive, entry) != ARCHIVE_OK ||
		       archive_write_data(archive, str_text(&content), content.size) != (ssize_t)content.size))
		r = err_set(err, -EIO, "write the ramdisk: %s", archive_error_string(archive));
	archive_entry_free(entry);
	return r;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int add_tree(struct archive *archive, const char *directory, struct err *err)
{
	char *const roots[] = { (char *)directory, NULL };
	size_t skip = strlen(directory) + 1;
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	FTSENT *file;
	int r = 0;

	if (!tree)
		return err_set(err, -errno, "read '%s': %m", directory);
	while (r == 0 && (file = fts_read(tree)))
		if (file->fts_level > 0 && file->fts_info != FTS_DP)
			r = add(archive, file, file->fts_path + skip, err);
	fts_close(tree);
	return r;
}

int initrd_write(const char *path, const char *directory, struct err *err)
{
	struct archive *archive = archive_write_new();
	int r;

	if (archive_write_set_format_cpio_newc(archive) != ARCHIVE_OK || archive_write_open_filename(archive, path) != ARCHIVE_OK)
		r = err_set(err, -EIO, "create '%s': %s", path, archive_error_string(archive));
	else
		r = add_tree(archive, directory, err);
	if (archive_write_close(archive) != ARCHIVE_OK && r == 0)
		r = err_set(err, -EIO, "write '%s': %s", path, archive_error_string(archive));
	archive_write_free(archive);
	return r;
}
