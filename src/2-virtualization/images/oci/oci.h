/*
 * oci.h - layered images of containers: pull, import, unpack, build, commit, export, collect garbage.
 *
 * The store is a folder of this node:
 *
 *   blobs/sha256/<hex>     manifests, configurations and layers as they came, an OCI blob folder
 *   layers/<hex>/          each layer unpacked once, named by its DiffID (SHA-256 of the uncompressed tar);
 *                          whiteouts are overlayfs's (a 0:0 character device, trusted.overlay.opaque);
 *                          <hex>.info beside it: size and blobs
 *   lock                   flock(2): shared by who works here, exclusive for oci_collect()
 *
 * A blob or layer appears under its name when it is whole (built beside, synced, renamed), so what is there is
 * true. Nothing is removed but by oci_collect(), which gets told what is in use.
 *
 * Everything that comes from outside is hostile: registries, archives, manifests, configurations, tar streams.
 * Sizes and counts meet limits before they meet memory or the disk; nothing is written outside a layer's
 * folder, whatever names, links and device nodes say.
 *
 * Errors:  -EINVAL what is wrong with the image; -ENOENT no such image, tag or platform; -EACCES credentials;
 *          -ENOSPC, -EFBIG; -ECANCELED; -EAGAIN the registry does not answer (try again later); -EPROTO no safe
 *          connection to it (TLS); -ENOTSUP a tool is not installed; -EPERM not root. The message names the layer or field.
 * Memory:  'ret_image' passes to the caller on success: oci_image_done().
 * Threads: blocking, call from workers; several at once on one store are fine; oci_collect() runs alone (else -EBUSY).
 * Source:  OCI image spec 1.1 (image.md, config.md, layer.md, image-layout.md), Docker image spec 1.2 (docker-archive).
 */
#ifndef IMAGES_OCI_OCI_H
#define IMAGES_OCI_OCI_H

#include "base/err.h"
#include "base/vec.h"
#include "model/image.h"
#include "port/volume.h"

struct oci_layer {
	char *diff_id;			/* 64 hex digits: its folder in layers/. */
	char *digest;			/* 64 hex digits: its blob. */
	uint64_t blob_bytes, unpacked_bytes;
	char *created_by;		/* From the configuration's history; may be null. */
	int64_t created_at;		/* Wall ms; 0: unknown. */
};

struct oci_image {
	char *manifest;			/* 64 hex digits: the manifest's blob. */
	char *config;			/* 64 hex digits: the configuration's blob. */
	VEC(struct oci_layer) layers;	/* Bottom first, as in the manifest. Empty ones of the history are left out. */
	struct image_config settings;	/* What the configuration says about running it (model/image.h). */
	uint64_t blob_bytes, unpacked_bytes;
};
void oci_image_done(struct oci_image *image);

struct oci_pull {
	const char *reference;		/* "docker.io/library/busybox:1.36", "127.0.0.1:5000/x@sha256:...", "busybox". */
	const char *username, *password;	/* May be null. Never on a command line or in a message. */
	const char *policy;		/* Path of a containers-policy.json(5); null: accept unsigned images. */
	bool is_plain_http;		/* The registry has no TLS (only for loopback and when asked for). */
};

enum oci_archive_form { OCI_ARCHIVE_AUTO, OCI_ARCHIVE_DOCKER, OCI_ARCHIVE_OCI, OCI_ARCHIVE_ROOTFS };

/* 'folder' is made when missing: the store. 'scratch' is an empty folder of the caller's on the same file system, removed by
 * the caller also after a crash. */
int oci_pull(const char *folder, const char *scratch, const struct oci_pull *pull, const struct volume_progress *progress,
	     struct oci_image *ret_image, struct err *err);
/* A docker-archive, oci-archive, tar of an OCI layout, or the tar of a root file system (also gzip or zstd); 'path' may be a
 * folder with an OCI layout too. AUTO: by what is in it. */
int oci_import(const char *folder, const char *scratch, const char *path, enum oci_archive_form form,
	       const struct volume_progress *progress, struct oci_image *ret_image, struct err *err);
/* "busybox" (static, about 1 MB), "debian:12", "debian:13" (mmdebstrap, with systemd) as an image of one layer. */
int oci_build(const char *folder, const char *scratch, const char *recipe, const struct volume_progress *progress,
	      struct oci_image *ret_image, struct err *err);
/* 'base' with the overlay upper folder 'upper' as one more layer. Whoever writes to 'upper' is frozen. 'settings'
 * replaces that of 'base' when not null. */
int oci_commit(const char *folder, const char *scratch, const struct oci_image *base, const char *upper,
	       const struct image_config *settings, const char *comment, const struct volume_progress *progress,
	       struct oci_image *ret_image, struct err *err);
/* Writes the new file 'path': DOCKER or OCI (skopeo and others read it; digests are the same as when it came), tagged 'name'. */
int oci_export(const char *folder, const char *scratch, const struct oci_image *image, const char *name,
	       enum oci_archive_form form, const char *path, const struct volume_progress *progress, struct err *err);
/* The image whose manifest is in the store, read again; unpacks layers that are missing. */
int oci_load(const char *folder, const char *scratch, const char *manifest, const struct volume_progress *progress,
	     struct oci_image *ret_image, struct err *err);
/* Absolute path of a layer's folder. The caller frees. */
char *oci_layer_path(const char *folder, const char *diff_id);
/* Removes every blob and layer that none of the 'count' manifests needs, and half-made ones. 'ret_bytes' may be null.
 * -EBUSY while anything above runs on this store. A manifest in use that cannot be read stops it: nothing is removed. */
int oci_collect(const char *folder, const char *const *manifests, size_t count, uint64_t *ret_bytes, struct err *err);

#endif
