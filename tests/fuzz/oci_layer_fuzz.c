/*
 * Whatever the bytes: unpacking a layer ends, changes nothing outside the layer's folder, leaves nothing half-made, and what
 * it accepts is what overlayfs and a container may get.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/file.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check_node(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)kind;
	(void)ftw;
	assert(st->st_uid <= 65535 && st->st_gid <= 65535);
	assert(lgetxattr(path, "trusted.overlay.redirect", NULL, 0) < 0);
	assert(lgetxattr(path, "user.overlay.opaque", NULL, 0) < 0);
	return 0;
}

/* Only the lock, blobs and layers are in a store, and beside it only what we made. */
static unsigned count_names(const char *folder)
{
	unsigned count = 0;
	struct dirent **names = NULL;
	int n = scandir(folder, &names, NULL, NULL);

	for (int i = 0; i < n; i++) {
		count += names[i]->d_name[0] != '.';
		assert(!text_starts_with(names[i]->d_name, ".tmp"));
		free(names[i]);
	}
	free(names);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char folder[] = "/dev/shm/strata-layer-fuzz-XXXXXX", digest[SHA256_TEXT_SIZE] = "", diff_id[SHA256_TEXT_SIZE] = "";
	auto_close int fd = memfd_create("layer", MFD_CLOEXEC);
	auto_free char *path = NULL, *layers = NULL;
	uint64_t bytes;
	struct err err;
	int r;

	if (fd < 0 || geteuid() != 0 || !mkdtemp(folder) || file_write_at(fd, data, size, 0, &err) < 0)
		return 0;
	auto_free char *store_path = text_format("%s/store", folder), *scratch = text_format("%s/scratch", folder),
		       *canary = text_format("%s/canary", folder);
	assert(mkdir(scratch, 0700) == 0 && file_write_atomic(canary, "1", 1, 0600, &err) == 0);
	{
		auto_store struct oci_store store;
		struct stat st;

		assert(oci_store_open(&store, store_path, scratch, NULL, &err) == 0);
		r = oci_layer_add(&store, fd, digest, diff_id, NULL, &bytes, &err);
		assert(stat(canary, &st) == 0 && st.st_size == 1 && st.st_nlink == 1);
	}
	layers = text_format("%s/layers", store_path);
	assert(count_names(folder) == 3 && count_names(store_path) == 3 && count_names(scratch) == 0);
	assert(count_names(layers) == (r < 0 ? 0 : 2));
	if (r == 0) {
		path = oci_layer_path(store_path, diff_id);
		assert(nftw(path, check_node, 16, FTW_PHYS) == 0);
	}
	assert(file_remove_tree(folder, &err) == 0);
	return 0;
}
