/*
 * skopeo.h - skopeo(1) as a process: it speaks with registries, we do not.
 *
 * Files for it (credentials, policy) lie in the scratch folder; nothing secret is on its command line.
 *
 * Errors:  as oci.h, in words that name the image; -ENOTSUP when skopeo is not installed.
 */
#ifndef IMAGES_OCI_SKOPEO_H
#define IMAGES_OCI_SKOPEO_H

#include "2-virtualization/images/oci/internal.h"

struct skopeo {
	const struct oci_store *store;
	const struct oci_pull *pull;
	const struct oci_patience *patience;
	char *registry;			/* "docker.io", "127.0.0.1:5000" */
	char *repository;		/* "docker.io/library/busybox": with the registry, without tag. */
	char *tag, *digest;		/* One of them; digest is 64 hex digits. */
	char *auth_path, *policy_path;
};
int skopeo_init(struct skopeo *skopeo, const struct oci_store *store, const struct oci_pull *pull, const struct oci_patience *patience,
		struct err *err);
void skopeo_done(struct skopeo *skopeo);
#define auto_skopeo __attribute__((cleanup(skopeo_done)))

/* The manifest or index as the registry has it; 'digest' null: what the reference says. */
int skopeo_manifest(const struct skopeo *skopeo, const char *digest, struct str *out, struct err *err);
int skopeo_config(const struct skopeo *skopeo, const char *digest, struct str *out, struct err *err);

/* Called now and then; returns how many bytes have come so far. */
typedef uint64_t skopeo_watch_fn(void *data);
/* Copies the manifest's layers to <scratch>/blobs/sha256/; those that are there already are not fetched. */
int skopeo_copy(const struct skopeo *skopeo, const char *digest, skopeo_watch_fn *watch, void *data, struct err *err);

#endif
