/* An image as a whole: from its manifest in the store to unpacked layers and what is said about them. */
#include <errno.h>
#include <string.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/limits.h"
#include "base/mem.h"

void oci_image_done(struct oci_image *image)
{
	for (size_t i = 0; i < image->layers.count; i++) {
		free(image->layers.items[i].diff_id);
		free(image->layers.items[i].digest);
		free(image->layers.items[i].created_by);
	}
	vec_done(&image->layers);
	free(image->manifest);
	free(image->config);
	field_done(&image_config_table, &image->settings);
	*image = (struct oci_image){ 0 };
}

static int read_both(const struct oci_store *store, const char *digest, struct oci_manifest *manifest, struct oci_config *config,
		     struct err *err)
{
	auto_str struct str text = { 0 };
	int r = oci_blob_read(store, "manifest", digest, LIMIT_OCI_MANIFEST_BYTES, &text, err);

	if (r < 0 || (r = oci_manifest_parse(str_text(&text), text.size, manifest, err)) < 0 ||
	    (r = oci_blob_read(store, "configuration", manifest->config.digest, LIMIT_OCI_CONFIG_BYTES, &text, err)) < 0 ||
	    (r = oci_config_parse(str_text(&text), text.size, config, err)) < 0)
		return r;
	if (config->diff_ids.count != manifest->layers.count)
		return err_set(err, -EINVAL, "the image's manifest has %zu layers and its configuration %zu: the image is damaged",
			       manifest->layers.count, config->diff_ids.count);
	return 0;
}

static int add_layer(struct oci_store *store, const struct oci_blob *blob, const struct oci_config *config, size_t index,
		     struct oci_image *image, struct err *err)
{
	struct oci_layer *layer = vec_push(&image->layers);
	int r;

	layer->diff_id = text_copy(config->diff_ids.items[index]);
	layer->digest = text_copy(blob->digest);
	layer->blob_bytes = blob->size;
	if (config->steps.count) {
		layer->created_by = text_copy(config->steps.items[index].created_by);
		layer->created_at = config->steps.items[index].created_at;
	}
	r = oci_layer_ensure(store, layer->digest, layer->diff_id, &layer->unpacked_bytes, err);
	if (r < 0)
		return err_prefix(err, "layer %zu of the image (sha256:%.12s)", index + 1, layer->digest);
	image->blob_bytes += layer->blob_bytes;
	image->unpacked_bytes += layer->unpacked_bytes;
	store->done_bytes += blob->size;
	oci_report(store, 0);
	return 0;
}

int oci_image_load(struct oci_store *store, const char *digest, struct oci_image *ret_image, struct err *err)
{
	auto_manifest struct oci_manifest manifest = { 0 };
	auto_config struct oci_config config = { 0 };
	struct oci_image image = { 0 };
	int r = read_both(store, digest, &manifest, &config, err);

	for (size_t i = 0; r == 0 && i < manifest.layers.count; i++)
		store->total_bytes += manifest.layers.items[i].size;
	for (size_t i = 0; r == 0 && i < manifest.layers.count; i++)
		r = add_layer(store, &manifest.layers.items[i], &config, i, &image, err);
	if (r < 0) {
		oci_image_done(&image);
		return r;
	}
	image.manifest = text_copy(digest);
	image.config = text_copy(manifest.config.digest);
	image.blob_bytes += manifest.config.size + oci_blob_size(store, digest);
	image.settings = config.settings;
	config.settings = (struct image_config){ 0 };
	*ret_image = image;
	return 0;
}

int oci_image_finish(struct oci_store *store, const char *config_digest, const struct oci_blob *layers, size_t count,
		     struct oci_image *ret_image, struct err *err)
{
	auto_manifest struct oci_manifest manifest = { 0 };
	auto_str struct str text = { 0 };
	char digest[SHA256_TEXT_SIZE];
	int r;

	for (size_t i = 0; i < count; i++) {
		struct oci_blob *layer = vec_push(&manifest.layers);

		*layer = layers[i];
		layer->digest = text_copy(layers[i].digest);
	}
	manifest.config = (struct oci_blob){ .digest = text_copy(config_digest), .size = oci_blob_size(store, config_digest) };
	oci_manifest_write(&manifest, &text);
	r = oci_blob_put(store, text.data, text.size, digest, err);
	return r < 0 ? r : oci_image_load(store, digest, ret_image, err);
}

int oci_image_make(struct oci_store *store, const struct oci_config *config, const struct oci_blob *layers, const char *comment,
		   struct oci_image *ret_image, struct err *err)
{
	auto_str struct str text = { 0 };
	char digest[SHA256_TEXT_SIZE];
	int r;

	oci_config_write(config, comment, &text);
	r = oci_blob_put(store, text.data, text.size, digest, err);
	return r < 0 ? r : oci_image_finish(store, digest, layers, config->diff_ids.count, ret_image, err);
}

int oci_load(const char *folder, const char *scratch, const char *manifest, const struct volume_progress *progress,
	     struct oci_image *ret_image, struct err *err)
{
	auto_store struct oci_store store;
	int r = oci_store_open(&store, folder, scratch, progress, err);

	if (r == 0 && !sha256_is_text(manifest))
		r = err_set(err, -EINVAL, "'%s' is not the digest of a manifest: use 64 hexadecimal digits", shown(manifest));
	return r < 0 ? r : oci_image_load(&store, manifest, ret_image, err);
}
