/*
 * internal.h - what the parts of this folder share; oci.h is the outside.
 *
 * Memory:  as oci.h. Digests are 64 hex digits without "sha256:".
 */
#ifndef IMAGES_OCI_INTERNAL_H
#define IMAGES_OCI_INTERNAL_H

#include "2-virtualization/images/oci/oci.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/str.h"

#if defined(__aarch64__)
#define OCI_ARCHITECTURE "arm64"
#else
#define OCI_ARCHITECTURE "amd64"
#endif

/* store.c: the folder. Who works in it shares the lock; oci_collect() has it alone. */

struct oci_store {
	const char *folder, *scratch;
	const struct volume_progress *progress;
	uint64_t done_bytes, total_bytes;	/* Steps before the present one; of all. */
	int lock_fd;			/* -1: not open. */
};
int oci_store_open(struct oci_store *store, const char *folder, const char *scratch, const struct volume_progress *progress,
		   struct err *err);
/* Alone: -EBUSY when anybody else works in it. */
int oci_store_open_alone(struct oci_store *store, const char *folder, struct err *err);
void oci_store_done(struct oci_store *store);
#define auto_store __attribute__((cleanup(oci_store_done)))
void oci_report(const struct oci_store *store, uint64_t done_bytes);	/* Of the present step. */

char *oci_blob_path(const char *folder, const char *digest);
bool oci_blob_is_there(const struct oci_store *store, const char *digest);
uint64_t oci_blob_size(const struct oci_store *store, const char *digest);	/* 0: not there. */
/* A text as a blob; 'ret_digest' may be null. */
int oci_blob_put(const struct oci_store *store, const void *bytes, size_t size, char ret_digest[SHA256_TEXT_SIZE], struct err *err);
/* The file 'path' on the store's file system, complete and known to have that digest, gets its name there too. */
int oci_blob_adopt(const struct oci_store *store, const char *path, const char *digest, struct err *err);
/* Reads a blob and checks its digest; 'what' is "manifest" or "configuration". */
int oci_blob_read(const struct oci_store *store, const char *what, const char *digest, size_t max_bytes, struct str *out, struct err *err);

/* manifest.c: manifests and indexes (OCI image spec 1.1, Docker schema 2). */

enum oci_compression { OCI_PLAIN, OCI_GZIP, OCI_ZSTD };
struct oci_blob {
	char *digest;
	uint64_t size;
	enum oci_compression compression;
};
struct oci_manifest {
	struct oci_blob config;
	VEC(struct oci_blob) layers;
};
void oci_manifest_done(struct oci_manifest *manifest);
#define auto_manifest __attribute__((cleanup(oci_manifest_done)))
int oci_manifest_parse(const char *text, size_t size, struct oci_manifest *ret_manifest, struct err *err);
/* An index instead of a manifest: '*ret_digest' is that of the manifest for this host. A manifest: null. */
int oci_index_choose(const char *text, size_t size, char **ret_digest, struct err *err);
void oci_manifest_write(const struct oci_manifest *manifest, struct str *out);
/* "sha256:<hex>" as <hex>. */
int oci_digest_parse(const char *text, const char *what, char ret_digest[SHA256_TEXT_SIZE], struct err *err);

/* config.c: configurations (config.md). */

struct oci_step {			/* Of the history; only those that made a layer. */
	char *created_by;
	int64_t created_at;
};
struct oci_config {
	struct image_config settings;
	VEC(char *) diff_ids;
	VEC(struct oci_step) steps;	/* As many as diff_ids, or none. */
};
void oci_config_done(struct oci_config *config);
#define auto_config __attribute__((cleanup(oci_config_done)))
int oci_config_parse(const char *text, size_t size, struct oci_config *ret_config, struct err *err);
void oci_config_write(const struct oci_config *config, const char *comment, struct str *out);
void oci_list_add(struct field_list *list, const char *text);	/* One more char *. */

/* stream.c: a compressed blob as a tar stream, with both checksums, by a thread of its own. */

struct oci_stream;
int oci_stream_open(int fd, struct oci_stream **ret_stream, struct err *err);	/* 'fd' is borrowed. */
/* The next bytes, valid until the next call; 0 at the end, or -errno. */
ssize_t oci_stream_next(struct oci_stream *stream, const void **ret_bytes, struct err *err);
/* Reads what is left; then both sums are known. */
int oci_stream_finish(struct oci_stream *stream, const struct oci_store *store, char ret_digest[SHA256_TEXT_SIZE],
		      char ret_diff_id[SHA256_TEXT_SIZE], struct err *err);
uint64_t oci_stream_taken(const struct oci_stream *stream);	/* Compressed bytes so far. */
enum oci_compression oci_stream_compression(const struct oci_stream *stream);	/* After finish. */
bool oci_stream_is_standard(const struct oci_stream *stream);	/* After finish: a compression that manifests have a name for. */
void oci_stream_free(struct oci_stream *stream);
static inline void oci_stream_freep(struct oci_stream **stream) { oci_stream_free(*stream); }
#define auto_stream __attribute__((cleanup(oci_stream_freep)))

/* unpack.c: a tar stream into a folder. confine.c: names in it, kept inside. */

struct oci_confine {
	int root_fd;			/* Borrowed. */
	char parent[4096];		/* Of the folder kept open, as it was named. */
	int parent_fd;			/* -1: none. */
	bool is_stale;			/* The way there may lead elsewhere now. */
};
/* Where an entry goes: 'base' in the open folder 'parent_fd'; base "" is the root itself. */
struct oci_place {
	int parent_fd;			/* Borrowed from the confine; valid until its next call. */
	char base[256];
};
/* Symbolic links on the way are followed inside the root, as a process with that root would. Missing folders are made with 'is_making'. */
int oci_confine_find(struct oci_confine *confine, const char *name, bool is_making, struct oci_place *ret_place, struct err *err);
void oci_confine_forget(struct oci_confine *confine);

#define OCI_OPAQUE_XATTR "trusted.overlay.opaque"
#define OCI_WHITEOUT ".wh."
#define OCI_WHITEOUT_OPAQUE ".wh..wh..opq"


/* Into the empty folder 'root_fd'; on failure what was made until then is in it. 'ret_bytes': of all its files. */
int oci_unpack_tree(struct oci_stream *stream, int root_fd, const struct oci_store *store, uint64_t *ret_bytes, struct err *err);

/* layer.c: layers/. */

/* Unpacks the file 'fd' as a layer unless it is there. 'digest' and 'diff_id' hold what is expected, or "": then
 * they are what it turned out to be. */
int oci_layer_add(const struct oci_store *store, int fd, char digest[SHA256_TEXT_SIZE], char diff_id[SHA256_TEXT_SIZE],
		  enum oci_compression *ret_compression, uint64_t *ret_unpacked_bytes, struct err *err);
/* The layer 'diff_id' made from the store's blob 'digest', verified. */
int oci_layer_ensure(const struct oci_store *store, const char *digest, const char *diff_id, uint64_t *ret_unpacked_bytes, struct err *err);

/* image.c */

int oci_image_load(struct oci_store *store, const char *manifest, struct oci_image *ret_image, struct err *err);
/* A manifest of these layers and that configuration, a blob by now. Then loads. */
int oci_image_finish(struct oci_store *store, const char *config_digest, const struct oci_blob *layers, size_t count,
		     struct oci_image *ret_image, struct err *err);
/* Configuration and manifest of 'config' (whose diff_ids are the layers') become blobs; then loads. */
int oci_image_make(struct oci_store *store, const struct oci_config *config, const struct oci_blob *layers, const char *comment,
		   struct oci_image *ret_image, struct err *err);

/* pack.c: a tar stream as a layer's blob. tree.c: a folder as a tar stream. */

struct oci_packer;
int oci_packer_open(const struct oci_store *store, struct oci_packer **ret_packer, struct err *err);
int oci_packer_write(struct oci_packer *packer, const void *bytes, size_t size, struct err *err);
/* The blob is in the store. 'ret_blob' has memory of its own. */
int oci_packer_finish(struct oci_packer *packer, struct oci_blob *ret_blob, char ret_diff_id[SHA256_TEXT_SIZE], struct err *err);
void oci_packer_free(struct oci_packer *packer);
static inline void oci_packer_freep(struct oci_packer **packer) { oci_packer_free(*packer); }
#define auto_packer __attribute__((cleanup(oci_packer_freep)))

/* With 'is_upper' overlayfs's whiteouts become OCI's. */
int oci_pack_tree(const struct oci_store *store, const char *folder, bool is_upper, struct oci_blob *ret_blob,
		  char ret_diff_id[SHA256_TEXT_SIZE], struct err *err);
/* That, and an image of this one layer. Takes 'settings' over. */
int oci_image_of_tree(struct oci_store *store, const char *folder, struct image_config *settings, const char *created_by,
		      struct oci_image *ret_image, struct err *err);

/* pull.c: oci_pull() with another patience than the usual one, for tests. */

struct oci_patience {
	uint64_t stall_ms;		/* Without a byte for so long an attempt is given up. */
	unsigned attempts;
	unsigned pause_ms;		/* Before the second; doubled each time. */
};
int oci_pull_patiently(const char *folder, const char *scratch, const struct oci_pull *pull, const struct oci_patience *patience,
		       const struct volume_progress *progress, struct oci_image *ret_image, struct err *err);

#endif
