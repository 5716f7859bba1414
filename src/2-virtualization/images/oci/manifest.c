/*
 * Manifests and indexes, as others write them: unknown members are passed over, known ones must be right.
 *
 * A document that reads as a manifest and as an index at once could mean one image to us and another to
 * who checked its signature: refused.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "2-virtualization/images/oci/internal.h"
#include "base/limits.h"
#include "base/mem.h"

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"

static const struct layer_type { const char *name; enum oci_compression compression; } layer_types[] = {
	{ "application/vnd.oci.image.layer.v1.tar", OCI_PLAIN },
	{ "application/vnd.oci.image.layer.v1.tar+gzip", OCI_GZIP },
	{ "application/vnd.oci.image.layer.v1.tar+zstd", OCI_ZSTD },
	{ "application/vnd.docker.image.rootfs.diff.tar", OCI_PLAIN },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", OCI_GZIP },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", OCI_ZSTD },
};

static const char *const config_types[] = { CONFIG_TYPE, "application/vnd.docker.container.image.v1+json" };

void oci_manifest_done(struct oci_manifest *manifest)
{
	free(manifest->config.digest);
	for (size_t i = 0; i < manifest->layers.count; i++)
		free(manifest->layers.items[i].digest);
	vec_done(&manifest->layers);
	*manifest = (struct oci_manifest){ 0 };
}

int oci_digest_parse(const char *text, const char *what, char ret_digest[SHA256_TEXT_SIZE], struct err *err)
{
	const char *hex = text && text_starts_with(text, "sha256:") ? text + strlen("sha256:") : NULL;

	if (!hex || strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64)
		return err_set(err, -EINVAL, "%s has the digest '%s': only sha256: and 64 hex digits are understood", what,
			       shown(text ? text : ""));
	memcpy(ret_digest, hex, SHA256_TEXT_SIZE);
	return 0;
}

static int parse_document(const char *text, size_t size, struct json **ret_json, struct err *err)
{
	auto_json struct json *json = NULL;
	const struct json *version;
	int r;

	if (size > LIMIT_OCI_MANIFEST_BYTES)
		return err_set(err, -EFBIG, "the image's manifest has %zu bytes: at most %d are taken", size, LIMIT_OCI_MANIFEST_BYTES);
	r = json_parse(text, size, &json, err);
	if (r < 0)
		return err_prefix(err, "the image's manifest");
	version = json_get(json, "schemaVersion");
	if (json_type(json) != JSON_OBJECT || json_int(version, 0) != 2)
		return err_set(err, -EINVAL, "the image's manifest has schema version %" PRId64 ": only 2 is understood, push the image "
			       "again with a newer tool", json_int(version, 0));
	if (json_get(json, "manifests") && (json_get(json, "layers") || json_get(json, "config")))
		return err_set(err, -EINVAL, "the image's manifest is also a list of manifests: it cannot be trusted");
	*ret_json = take(json);
	return 0;
}

/* A descriptor: digest and size of a blob. */
static int parse_blob(const struct json *json, const char *what, struct oci_blob *ret_blob, struct err *err)
{
	char digest[SHA256_TEXT_SIZE];
	const struct json *size = json_get(json, "size");
	int r = oci_digest_parse(json_string(json_get(json, "digest"), NULL), what, digest, err);

	if (r < 0)
		return r;
	if (json_type(size) != JSON_INT || json_int(size, -1) < 0)
		return err_set(err, -EINVAL, "%s has no size", what);
	if ((uint64_t)json_int(size, 0) > LIMIT_LAYER_BYTES)
		return err_set(err, -EFBIG, "%s has %" PRId64 " bytes: at most %llu are taken", what, json_int(size, 0), LIMIT_LAYER_BYTES);
	ret_blob->size = (uint64_t)json_int(size, 0);
	ret_blob->digest = text_copy(digest);
	return 0;
}

static int parse_config(const struct json *json, struct oci_manifest *manifest, struct err *err)
{
	const char *type = json_string(json_get(json, "mediaType"), NULL);
	bool is_known = !type;

	for (size_t i = 0; i < ARRAY_COUNT(config_types); i++)
		is_known = is_known || text_equal(type, config_types[i]);
	if (json_type(json) != JSON_OBJECT)
		return err_set(err, -EINVAL, "the image's manifest names no configuration: it is no container image");
	if (!is_known)
		return err_set(err, -EINVAL, "its configuration is '%s': it is no container image", shown(type));
	return parse_blob(json, "the image's configuration", &manifest->config, err);
}

static int parse_layer(const struct json *json, size_t number, struct oci_manifest *manifest, struct err *err)
{
	const char *type = json_string(json_get(json, "mediaType"), "");
	auto_free char *what = text_format("layer %zu of the image", number);
	struct oci_blob *layer;

	for (size_t i = 0; i < ARRAY_COUNT(layer_types); i++) {
		if (!text_equal(type, layer_types[i].name))
			continue;
		layer = vec_push(&manifest->layers);
		layer->compression = layer_types[i].compression;
		return parse_blob(json, what, layer, err);
	}
	return err_set(err, -EINVAL, "%s is '%s': only tar, plain or with gzip or zstd, is understood", what, shown(type));
}

int oci_manifest_parse(const char *text, size_t size, struct oci_manifest *ret_manifest, struct err *err)
{
	auto_manifest struct oci_manifest manifest = { 0 };
	auto_json struct json *json = NULL;
	const struct json *layers;
	int r = parse_document(text, size, &json, err);

	if (r < 0 || (r = parse_config(json_get(json, "config"), &manifest, err)) < 0)
		return r;
	layers = json_get(json, "layers");
	if (json_type(layers) != JSON_ARRAY || json_count(layers) == 0)
		return err_set(err, -EINVAL, "the image has no layers: there is nothing to run in it");
	if (json_count(layers) > LIMIT_OCI_LAYERS)
		return err_set(err, -EFBIG, "the image has %zu layers: at most %d can be stacked", json_count(layers), LIMIT_OCI_LAYERS);
	for (size_t i = 0; r == 0 && i < json_count(layers); i++)
		r = parse_layer(json_at(layers, i), i + 1, &manifest, err);
	if (r < 0)
		return r;
	*ret_manifest = manifest;
	manifest = (struct oci_manifest){ 0 };
	return 0;
}

static bool is_for_this_host(const struct json *platform)
{
	return text_equal(json_string(json_get(platform, "os"), ""), "linux") &&
	       text_equal(json_string(json_get(platform, "architecture"), ""), OCI_ARCHITECTURE);
}

/* "linux/arm64, windows/amd64": what the index has instead. */
static void name_platforms(const struct json *list, struct str *out)
{
	for (size_t i = 0; i < json_count(list) && out->size < 200; i++) {
		const struct json *platform = json_get(json_at(list, i), "platform");
		const char *os = json_string(json_get(platform, "os"), "unknown");

		if (text_equal(os, "unknown"))	/* Attestations beside images. */
			continue;
		str_printf(out, "%s%s/%s", out->size ? ", " : "", shown(os), shown(json_string(json_get(platform, "architecture"), "unknown")));
	}
}

int oci_index_choose(const char *text, size_t size, char **ret_digest, struct err *err)
{
	auto_json struct json *json = NULL;
	auto_str struct str others = { 0 };
	char digest[SHA256_TEXT_SIZE];
	const struct json *list, *chosen = NULL;
	int r = parse_document(text, size, &json, err);

	if (r < 0)
		return r;
	list = json_get(json, "manifests");
	if (!list) {
		*ret_digest = NULL;
		return 0;
	}
	for (size_t i = 0; !chosen && i < json_count(list); i++) {
		const struct json *platform = json_get(json_at(list, i), "platform");

		/* The only one needs no platform: archives of one image say none. */
		if (is_for_this_host(platform) || (!platform && json_count(list) == 1))
			chosen = json_at(list, i);
	}
	if (!chosen) {
		name_platforms(list, &others);
		return err_set(err, -ENOENT, "the image has nothing for linux/" OCI_ARCHITECTURE "; it has: %s",
			       others.size ? str_text(&others) : "no platform at all");
	}
	r = oci_digest_parse(json_string(json_get(chosen, "digest"), NULL), "the image's manifest", digest, err);
	if (r == 0)
		*ret_digest = text_copy(digest);
	return r;
}

static void write_blob(struct json_writer *writer, const char *key, const char *type, const struct oci_blob *blob)
{
	auto_free char *digest = text_format("sha256:%s", blob->digest);

	json_write_object(writer, key);
	json_write_string(writer, "mediaType", type);
	json_write_string(writer, "digest", digest);
	json_write_uint(writer, "size", blob->size);
	json_write_end_object(writer);
}

void oci_manifest_write(const struct oci_manifest *manifest, struct str *out)
{
	struct json_writer writer = { .out = out };

	json_write_object(&writer, NULL);
	json_write_int(&writer, "schemaVersion", 2);
	json_write_string(&writer, "mediaType", MANIFEST_TYPE);
	write_blob(&writer, "config", CONFIG_TYPE, &manifest->config);
	json_write_array(&writer, "layers");
	for (size_t i = 0; i < manifest->layers.count; i++)
		write_blob(&writer, NULL, layer_types[manifest->layers.items[i].compression].name, &manifest->layers.items[i]);
	json_write_end_array(&writer);
	json_write_end_object(&writer);
}
