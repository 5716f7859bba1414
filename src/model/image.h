/*
 * image.h - the noun "image": what instances are made from.
 */
#ifndef MODEL_IMAGE_H
#define MODEL_IMAGE_H

#include "model/meta.h"

/* How a container image wants to be run (OCI image config.md). */
struct image_config {
	struct field_list entrypoint, command;	/* char * */
	struct field_list env;			/* char *: "NAME=value" */
	char *user, *directory, *stop_signal;	/* Null: not said. */
	struct field_list ports;		/* char *: "80/tcp" */
	struct field_list volumes;		/* char *: paths */
	struct field_list labels;		/* struct field_pair */
	char *architecture, *os;
	int64_t created_at;
};
extern const struct field_table image_config_table;
/* What 'over' says replaces what 'config' said; labels and environment are added. */
void image_config_overlay(const struct image_config *over, struct image_config *config);

enum image_kind { IMAGE_VM, IMAGE_CONTAINER };
enum image_format { IMAGE_FORMAT_AUTO, IMAGE_FORMAT_RAW, IMAGE_FORMAT_QCOW2 };

/* One place the content comes from: a file uploaded before, or a URL. */
struct image_part {
	char *upload;			/* Id from POST /v1/uploads. */
	char *url;			/* http or https. */
	char *sha256;			/* Expected; null: not checked. */
};

/* A layer of a container image, top first. */
struct image_layer {
	char *diff_id;			/* 64 hex digits: SHA-256 of the uncompressed layer. */
	char *digest;			/* 64 hex digits: SHA-256 of the layer as it came. */
	uint64_t size;			/* Unpacked. */
	char *created_by;
	int64_t created_at;
};

struct image_pull {			/* From a registry. */
	char *reference;		/* "docker.io/library/busybox:1.36" or with "@sha256:...". */
	char *username, *password;
	bool plain_http;
};

struct image_spec {
	int kind;
	char *node;			/* Filled in: uid of the node that makes it; others copy it from there when they need it. */
	char *build;			/* "tiny", "debian:12", "debian:13": made here; else null. */
	struct image_part disk, kernel, initrd;
	struct image_pull pull;		/* Containers. */
	struct image_part archive;	/* Containers: docker-archive, oci-archive, OCI layout, root file system. */
	char *tag_of;			/* Filled in: uid of the image it is another name of. */
	char *commit_of;		/* Filled in: uid of the instance it is made from. */
	char *comment;			/* Of a commit ... */
	struct image_config config;	/* ... and what it says otherwise than the container's image. */
	int format;			/* Of the disk. */
	char *cmdline;			/* Kernel command line. */
};

enum image_state { IMAGE_PENDING, IMAGE_IMPORTING, IMAGE_READY, IMAGE_DELETING, IMAGE_FAILED };
extern const char *const image_state_names[];

struct image_status {
	int state;
	char *reason;
	char *step;			/* "download", "convert", ... while importing. */
	uint64_t done_bytes, total_bytes;	/* Progress of the step; total 0: unknown. */
	bool has_disk, has_kernel, has_initrd;
	uint64_t size;			/* Virtual size of the disk. */
	uint64_t allocated;		/* On disk, all parts. */
	char *sha256;			/* Of what was imported (the disk, else the kernel). */
	char *cmdline;			/* In force. */
	char *manifest;			/* Containers: 64 hex digits, SHA-256 of the manifest. */
	struct image_config config;
	struct field_list layers;	/* struct image_layer */
};

struct image {
	struct meta meta;
	struct image_spec spec;
	struct image_status status;
};

extern const struct field_table image_spec_table, image_status_table;

#endif
