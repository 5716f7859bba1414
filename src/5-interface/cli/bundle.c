#include "5-interface/cli/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { BLOCK_BYTES = 256 << 10 };

/* What we use of libarchive, one member per function. */
#define FUNCTIONS(X) \
	X(archive_read_new) X(archive_read_support_format_tar) X(archive_read_open_fd) X(archive_read_next_header) \
	X(archive_read_free) X(archive_read_data) X(archive_read_data_block) X(archive_write_data_block) \
	X(archive_read_disk_new) X(archive_read_disk_set_symlink_physical) X(archive_read_disk_open) \
	X(archive_read_next_header2) X(archive_read_disk_descend) \
	X(archive_write_new) X(archive_write_set_format_pax_restricted) X(archive_write_open_fd) \
	X(archive_write_disk_new) X(archive_write_disk_set_options) X(archive_write_header) X(archive_write_data) \
	X(archive_write_finish_entry) X(archive_write_close) X(archive_write_free) X(archive_error_string) X(archive_errno) \
	X(archive_entry_new) X(archive_entry_free) X(archive_entry_pathname) X(archive_entry_set_pathname) \
	X(archive_entry_filetype) X(archive_entry_hardlink) X(archive_entry_size) X(archive_entry_perm) X(archive_entry_set_perm) \
	X(archive_entry_set_uname) X(archive_entry_set_gname)

#define MEMBER(name) __typeof__(name) *name;
struct library {
	void *handle;
	FUNCTIONS(MEMBER)
};

static int library_open(struct library *library, struct err *err)
{
#define NAME(name) { #name, offsetof(struct library, name) },
	static const struct { const char *name; size_t offset; } functions[] = { FUNCTIONS(NAME) };

	library->handle = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
	if (!library->handle)
		return err_set(err, -ENOTSUP, "copying folders needs libarchive: install the package libarchive13");
	for (size_t i = 0; i < ARRAY_COUNT(functions); i++) {
		void *function = dlsym(library->handle, functions[i].name);

		if (!function)
			return err_set(err, -ENOTSUP, "libarchive has no %s: install a newer one", functions[i].name);
		memcpy((char *)library + functions[i].offset, &function, sizeof(function));
	}
	return 0;
}

static int broken(const struct library *library, struct archive *archive, const char *what, struct err *err)
{
	const char *reason = library->archive_error_string(archive);

	return err_set(err, -EIO, "%s: %s", shown(what), shown(reason ? reason : "it is broken"));
}

/* Unpacking. */

static int copy_data(const struct library *library, struct archive *from, struct archive *to, const char *name, struct err *err)
{
	for (;;) {
		const void *block;
		size_t size;
		int64_t offset;
		int result = library->archive_read_data_block(from, &block, &size, &offset);

		if (result == ARCHIVE_EOF)
			return 0;
		if (result < ARCHIVE_WARN)
			return broken(library, from, name, err);
		if (library->archive_write_data_block(to, block, size, offset) < ARCHIVE_WARN)
			return broken(library, to, name, err);
	}
}

static bool is_harmless(const struct library *library, struct archive_entry *entry)
{
	unsigned type = library->archive_entry_filetype(entry);

	return type == AE_IFREG || type == AE_IFDIR || type == AE_IFLNK || library->archive_entry_hardlink(entry);
}

static int unpack_entry(const struct library *library, struct archive *tar, struct archive *disk, struct archive_entry *entry,
			struct err *err)
{
	auto_free char *name = text_copy(library->archive_entry_pathname(entry));

	if (!name)
		return err_set(err, -EIO, "the guest's archive has an entry whose name is not text");
	if (!is_harmless(library, entry))
		return 0;
	library->archive_entry_set_perm(entry, library->archive_entry_perm(entry) & 0777);
	if (library->archive_write_header(disk, entry) < ARCHIVE_WARN)
		return err_set(err, -EPERM, "'%s' from the guest is refused: %s", shown(name),
			       shown(library->archive_error_string(disk)));
	if (library->archive_entry_size(entry) > 0) {
		int result = copy_data(library, tar, disk, name, err);

		if (result < 0)
			return result;
	}
	return library->archive_write_finish_entry(disk) < ARCHIVE_WARN ? broken(library, disk, name, err) : 0;
}

static int unpack_all(const struct library *library, int tar_fd, struct err *err)
{
	struct archive *tar = library->archive_read_new(), *disk = library->archive_write_disk_new();
	struct archive_entry *entry;
	int result = 0, status;

	library->archive_read_support_format_tar(tar);
	library->archive_write_disk_set_options(disk, ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
						ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
	if (library->archive_read_open_fd(tar, tar_fd, BLOCK_BYTES) != ARCHIVE_OK)
		result = broken(library, tar, "the guest's archive", err);
	while (result == 0 && (status = library->archive_read_next_header(tar, &entry)) != ARCHIVE_EOF)
		result = status < ARCHIVE_WARN ? broken(library, tar, "the guest's archive", err) :
			unpack_entry(library, tar, disk, entry, err);
	if (result == 0 && library->archive_write_close(disk) < ARCHIVE_WARN)
		result = broken(library, disk, "the guest's files", err);
	library->archive_read_free(tar);
	library->archive_write_free(disk);
	return result;
}

int bundle_unpack(int tar_fd, const char *folder, struct err *err)
{
	auto_close int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct library library = { 0 };
	int result = library_open(&library, err);

	if (result < 0)
		return result;
	/* The checks for links are made for every part of a name: so names must be relative to the target. */
	if (here < 0 || chdir(folder) < 0)
		return err_set(err, -errno, "enter '%s': %m", shown(folder));
	result = unpack_all(&library, tar_fd, err);
	if (fchdir(here) < 0 && result == 0)
		result = err_set(err, -errno, "return to the working folder: %m");
	return result;
}

/* Packing. */

static int pack_file(const struct library *library, struct archive *disk, struct archive *tar, const char *name, struct err *err)
{
	auto_free char *block = alloc(BLOCK_BYTES);
	la_ssize_t count;

	while ((count = library->archive_read_data(disk, block, BLOCK_BYTES)) > 0)
		if (library->archive_write_data(tar, block, (size_t)count) < 0)
			return broken(library, tar, name, err);
	return count < 0 ? broken(library, disk, name, err) : 0;
}

/* Names in the archive begin where 'path' ends: "./x", or with its own name. */
static char *name_in_archive(const char *path, bool has_name, const char *full)
{
	const char *rest = full + strlen(path), *slash = strrchr(path, '/');

	assert(text_starts_with(full, path));
	if (has_name)
		return text_format("%s%s", slash ? slash + 1 : path, rest);
	return text_format(".%s%s", rest[0] && rest[0] != '/' ? "/" : "", rest);
}

static int pack_entry(const struct library *library, struct archive *disk, struct archive *tar, struct archive_entry *entry,
		      const char *name, struct err *err)
{
	int status;

	library->archive_entry_set_pathname(entry, name);
	/* Users of this host mean nothing in the guest: there the files belong to who unpacks them. */
	library->archive_entry_set_uname(entry, NULL);
	library->archive_entry_set_gname(entry, NULL);
	status = library->archive_write_header(tar, entry);
	if (status == ARCHIVE_FATAL)
		return broken(library, tar, name, err);
	if (status < ARCHIVE_WARN)
		return 0;		/* A socket: tar has no such thing. */
	if (library->archive_entry_filetype(entry) == AE_IFREG && library->archive_entry_size(entry) > 0)
		return pack_file(library, disk, tar, name, err);
	return 0;
}

static int pack_all(const struct library *library, struct archive *disk, struct archive *tar, const char *path, bool has_name,
		    struct err *err)
{
	struct archive_entry *entry = library->archive_entry_new();
	int result = 0, status;

	while (result == 0 && (status = library->archive_read_next_header2(disk, entry)) != ARCHIVE_EOF) {
		const char *full = library->archive_entry_pathname(entry);
		auto_free char *name = NULL;

		if (status < ARCHIVE_WARN || !full) {
			result = broken(library, disk, path, err);
			break;
		}
		name = name_in_archive(path, has_name, full);
		library->archive_read_disk_descend(disk);
		result = pack_entry(library, disk, tar, entry, name, err);
	}
	library->archive_entry_free(entry);
	return result;
}

/* "site//" is "site" to libarchive. */
static char *without_slashes(const char *path)
{
	size_t length = strlen(path);

	while (length > 1 && path[length - 1] == '/')
		length--;
	return text_copy_length(path, length);
}

int bundle_pack(const char *given, bool has_name, int tar_fd, struct err *err)
{
	auto_free char *path = without_slashes(given);
	struct library library = { 0 };
	struct archive *disk, *tar;
	int result = library_open(&library, err);

	if (result < 0)
		return result;
	disk = library.archive_read_disk_new();
	tar = library.archive_write_new();
	library.archive_read_disk_set_symlink_physical(disk);
	library.archive_write_set_format_pax_restricted(tar);
	if (library.archive_write_open_fd(tar, tar_fd) != ARCHIVE_OK)
		result = broken(&library, tar, "the archive", err);
	else if (library.archive_read_disk_open(disk, path) != ARCHIVE_OK)
		result = broken(&library, disk, path, err);
	else
		result = pack_all(&library, disk, tar, path, has_name, err);
	if (result == 0 && library.archive_write_close(tar) != ARCHIVE_OK)
		result = broken(&library, tar, "the archive", err);
	library.archive_read_free(disk);
	library.archive_write_free(tar);
	return result;
}
