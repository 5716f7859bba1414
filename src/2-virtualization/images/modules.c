#include "2-virtualization/images/modules.h"

#include <archive.h>
#include <errno.h>
#include <fts.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { MODULE_MAX_BYTES = 64 << 20, NAME_SIZE = 64 };

/* "virtio-rng.ko.xz" is the module virtio_rng. False: not a module. */
static bool module_name(const char *file, char name[NAME_SIZE])
{
	const char *end = strstr(file, ".ko");
	size_t length = end ? (size_t)(end - file) : 0;

	if (length == 0 || length >= NAME_SIZE)
		return false;
	for (size_t i = 0; i < length; i++)
		name[i] = file[i] == '-' ? '_' : file[i];
	name[length] = '\0';
	return true;
}

int modules_open(const char *directory, struct modules *modules, struct err *err)
{
	char *const roots[] = { (char *)directory, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	char name[NAME_SIZE];
	FTSENT *entry;

	*modules = (struct modules){ 0 };
	if (!tree)
		return err_set(err, -errno, "read '%s': %m", directory);
	while ((entry = fts_read(tree)))
		if (entry->fts_info == FTS_F && module_name(entry->fts_name, name))
			free(map_put(&modules->paths, name, text_copy(entry->fts_path)));
	fts_close(tree);
	if (modules->paths.count == 0)
		return err_set(err, -ENOENT, "no kernel modules below '%s'", directory);
	return 0;
}

void modules_done(struct modules *modules)
{
	for (size_t i = 0; i < modules->paths.count; i++)
		free(modules->paths.entries[i].value);
	map_done(&modules->paths);
	map_done(&modules->copied);
}

/* Newer kernel packages compress them (xz); the ramdisk's insmod need not know. */
static int read_module(const char *path, struct str *out, struct err *err)
{
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	char chunk[64 << 10];
	ssize_t n = -1;

	archive_read_support_filter_all(archive);
	archive_read_support_format_raw(archive);
	if (archive_read_open_filename(archive, path, sizeof(chunk)) == ARCHIVE_OK &&
	    archive_read_next_header(archive, &entry) == ARCHIVE_OK)
		while ((n = archive_read_data(archive, chunk, sizeof(chunk))) > 0 && out->size < MODULE_MAX_BYTES)
			str_append_bytes(out, chunk, (size_t)n);
	if (n != 0)
		err_set(err, -EIO, "read kernel module '%s': %s", path, archive_error_string(archive));
	archive_read_free(archive);
	return n == 0 ? 0 : -EIO;
}

/* The section .modinfo holds "depends=a,b" between zero bytes. Null: there is none. */
static char *module_depends(const struct str *module)
{
	static const char key[] = "\0depends=";
	const char *found = memmem(module->data, module->size, key, sizeof(key) - 1);

	return found ? text_copy(found + sizeof(key) - 1) : NULL;
}

static int copy_one(struct modules *modules, const char *wanted, const char *directory, struct str *order, struct err *err)
{
	auto_str struct str content = { 0 };
	auto_free char *depends = NULL, *target = NULL;
	char name[NAME_SIZE], *rest, *path;
	int r;

	snprintf(name, sizeof(name), "%s", wanted);
	for (char *c = name; *c; c++)
		*c = *c == '-' ? '_' : *c;
	path = map_get(&modules->paths, name);
	if (!path || map_put(&modules->copied, name, modules))
		return 0;
	r = read_module(path, &content, err);
	if (r < 0)
		return r;
	rest = depends = module_depends(&content);
	for (const char *need; (need = strsep(&rest, ","));)
		if (*need && (r = copy_one(modules, need, directory, order, err)) < 0)
			return r;
	str_printf(order, "%s.ko\n", name);
	target = text_format("%s/%s.ko", directory, name);
	return file_write_atomic(target, content.data, content.size, 0644, err);
}

int modules_copy(struct modules *modules, const char *const *names, const char *directory, struct err *err)
{
	auto_free char *path = text_format("%s/order", directory);
	auto_str struct str order = { 0 };
	int r = file_make_dirs(directory, 0755, err);

	for (; r == 0 && *names; names++)
		r = copy_one(modules, *names, directory, &order, err);
	return r < 0 ? r : file_write_atomic(path, str_text(&order), order.size, 0644, err);
}
