/* Garbage: everything that no manifest in use needs, and what a crash left half-made. Alone in the store, so nobody is making it now. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

struct collection {
	const struct oci_store *store;
	struct map blobs, layers;	/* In use. */
	uint64_t bytes;
};

static void use(struct map *map, const char *name)
{
	map_put(map, name, map);
}

/* What a manifest needs. One that cannot be read stops everything: better garbage than a hole. */
static int use_image(struct collection *collection, const char *digest, struct err *err)
{
	auto_manifest struct oci_manifest manifest = { 0 };
	auto_config struct oci_config config = { 0 };
	auto_str struct str text = { 0 };
	int r;

	use(&collection->blobs, digest);
	if (!oci_blob_is_there(collection->store, digest))
		return 0;
	if ((r = oci_blob_read(collection->store, "manifest", digest, LIMIT_OCI_MANIFEST_BYTES, &text, err)) < 0 ||
	    (r = oci_manifest_parse(str_text(&text), text.size, &manifest, err)) < 0)
		return r;
	use(&collection->blobs, manifest.config.digest);
	for (size_t i = 0; i < manifest.layers.count; i++)
		use(&collection->blobs, manifest.layers.items[i].digest);
	if ((r = oci_blob_read(collection->store, "configuration", manifest.config.digest, LIMIT_OCI_CONFIG_BYTES, &text, err)) < 0 ||
	    (r = oci_config_parse(str_text(&text), text.size, &config, err)) < 0)
		return r;
	for (size_t i = 0; i < config.diff_ids.count; i++)
		use(&collection->layers, config.diff_ids.items[i]);
	return 0;
}

static int remove_blob(struct collection *collection, const char *folder, const char *name, struct err *err)
{
	auto_free char *path = text_format("%s/%s", folder, name);
	struct stat st;

	if (map_get(&collection->blobs, name))
		return 0;
	if (lstat(path, &st) == 0 && st.st_nlink == 1)
		collection->bytes += (uint64_t)st.st_blocks * 512;
	return file_remove_tree(path, err);
}

static uint64_t layer_bytes(const char *folder, const char *name)
{
	auto_free char *path = text_format("%s/%s.info", folder, name);
	auto_str struct str text = { 0 };
	struct err ignored;
	uint64_t bytes = 0;

	if (file_read_all(path, 1 << 20, &text, &ignored) == 0)
		bytes = strtoull(str_text(&text), NULL, 10);
	return bytes;
}

/* Out of its name first: under that it is whole or not at all. */
static int remove_layer(struct collection *collection, const char *folder, const char *name, struct err *err)
{
	auto_free char *path = text_format("%s/%s", folder, name), *gone = text_format("%s/.tmp-%s", folder, name),
		       *info = text_format("%s/%s.info", folder, name);
	char digest[SHA256_TEXT_SIZE] = "";
	int r;

	if (strlen(name) < 64 || name[0] == '.')
		return file_remove_tree(path, err);
	memcpy(digest, name, 64);
	if (map_get(&collection->layers, digest))
		return 0;
	if (name[64])			/* Its .info. */
		return file_remove_tree(path, err);
	collection->bytes += layer_bytes(folder, name);
	if ((r = file_remove_tree(gone, err)) < 0)
		return r;
	if (rename(path, gone) < 0 && errno != ENOENT)
		return err_set(err, -errno, "rename '%s': %m", shown(path));
	if ((r = file_remove_tree(info, err)) < 0)
		return r;
	return file_remove_tree(gone, err);
}

typedef int remove_fn(struct collection *collection, const char *folder, const char *name, struct err *err);

static int sweep(struct collection *collection, const char *name, remove_fn *remove, struct err *err)
{
	auto_free char *folder = text_format("%s/%s", collection->store->folder, name);
	struct dirent **names = NULL;
	int count = scandir(folder, &names, NULL, alphasort), r = 0;

	if (count < 0)
		return err_set(err, -errno, "read '%s': %m", shown(folder));
	for (int i = 0; i < count; i++) {
		if (r == 0 && !text_equal(names[i]->d_name, ".") && !text_equal(names[i]->d_name, ".."))
			r = remove(collection, folder, names[i]->d_name, err);
		free(names[i]);
	}
	free(names);
	return r;
}

int oci_collect(const char *folder, const char *const *manifests, size_t count, uint64_t *ret_bytes, struct err *err)
{
	auto_store struct oci_store store;
	struct collection collection = { .store = &store };
	int r = oci_store_open_alone(&store, folder, err);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = use_image(&collection, manifests[i], err);
	/* Layers first: a blob without its layer can be unpacked again. */
	if (r == 0)
		r = sweep(&collection, "layers", remove_layer, err);
	if (r == 0)
		r = sweep(&collection, "blobs/sha256", remove_blob, err);
	map_done(&collection.blobs);
	map_done(&collection.layers);
	if (r == 0 && ret_bytes)
		*ret_bytes = collection.bytes;
	return r;
}
