/* An image and what a container changed in it, as a new image with one layer more. */
#include <errno.h>
#include <sys/stat.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

/* The compressions of the base's layers stand in its manifest. */
static int read_manifest(const struct oci_store *store, const char *digest, struct oci_manifest *manifest, struct err *err)
{
	auto_str struct str text = { 0 };
	int r = oci_blob_read(store, "manifest", digest, LIMIT_OCI_MANIFEST_BYTES, &text, err);

	return r < 0 ? r : oci_manifest_parse(str_text(&text), text.size, manifest, err);
}

static void add_step(struct oci_config *config, const char *created_by, int64_t created_at)
{
	struct oci_step *step = vec_push(&config->steps);

	*step = (struct oci_step){ .created_by = text_copy(created_by), .created_at = created_at };
}

static int commit(struct oci_store *store, const struct oci_image *base, const char *upper, const struct image_config *settings,
		  const char *comment, struct oci_image *ret_image, struct err *err)
{
	auto_manifest struct oci_manifest manifest = { 0 };
	auto_config struct oci_config config = { 0 };
	char diff_id[SHA256_TEXT_SIZE];
	struct oci_blob blob = { 0 };
	int r = read_manifest(store, base->manifest, &manifest, err);

	if (r < 0 || (r = oci_pack_tree(store, upper, true, &blob, diff_id, err)) < 0)
		return r;
	*vec_push(&manifest.layers) = blob;
	field_copy(&image_config_table, settings ? settings : &base->settings, &config.settings);
	config.settings.created_at = clock_wall_ms();
	for (size_t i = 0; i < base->layers.count; i++) {
		*vec_push(&config.diff_ids) = text_copy(base->layers.items[i].diff_id);
		add_step(&config, base->layers.items[i].created_by, base->layers.items[i].created_at);
	}
	*vec_push(&config.diff_ids) = text_copy(diff_id);
	add_step(&config, "commit", config.settings.created_at);
	return oci_image_make(store, &config, manifest.layers.items, comment, ret_image, err);
}

int oci_commit(const char *folder, const char *scratch, const struct oci_image *base, const char *upper,
	       const struct image_config *settings, const char *comment, const struct volume_progress *progress,
	       struct oci_image *ret_image, struct err *err)
{
	auto_store struct oci_store store;
	struct stat st;
	int r = oci_store_open(&store, folder, scratch, progress, err);

	if (r < 0)
		return r;
	if (stat(upper, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, -EINVAL, "'%s' is no folder: there is nothing to commit", shown(upper));
	if (base->layers.count >= LIMIT_OCI_LAYERS)
		return err_set(err, -EFBIG, "the image has %zu layers already: at most %d can be stacked", base->layers.count, LIMIT_OCI_LAYERS);
	return commit(&store, base, upper, settings, comment, ret_image, err);
}
