/*
 * image.h - the noun "image": what instances are made from.
 */
#ifndef MODEL_IMAGE_H
#define MODEL_IMAGE_H

#include "model/meta.h"

enum image_format { IMAGE_FORMAT_AUTO, IMAGE_FORMAT_RAW, IMAGE_FORMAT_QCOW2 };

/* One place the content comes from: a file uploaded before, or a URL. */
struct image_part {
	char *upload;			/* Id from POST /v1/uploads. */
	char *url;			/* http or https. */
	char *sha256;			/* Expected; null: not checked. */
};

struct image_spec {
	char *build;			/* "tiny", "debian:12", "debian:13": made here; else null. */
	struct image_part disk, kernel, initrd;
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
};

struct image {
	struct meta meta;
	struct image_spec spec;
	struct image_status status;
};

extern const struct field_table image_spec_table, image_status_table;

#endif
