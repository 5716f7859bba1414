/* build_internal.h - what the builders share; build.h is the outside. */
#ifndef IMAGES_BUILD_INTERNAL_H
#define IMAGES_BUILD_INTERNAL_H

#include "2-virtualization/images/build.h"

struct build {
	const char *out;		/* The result's folder. */
	char *work;			/* <out>/work */
	const struct volume_progress *progress;
	unsigned step, step_count;
	struct build_properties properties;
};

/* The next step begins; -ECANCELED when it should not. */
int build_step(struct build *build, struct err *err);

/* Copies <from> to <out>/<name>. */
int build_keep(struct build *build, const char *from, const char *name, struct err *err);

/* <out>/disk.raw: an ext4 file system with the content of 'root' (a folder or a tar file). */
int build_disk(struct build *build, const char *root, const char *label, uint64_t size_bytes, struct err *err);

/* Runs 'make' between preparing and cleaning up; fills the checksums and writes properties.json. */
int build_run(const char *out_directory, unsigned step_count, int (*make)(struct build *build, const void *argument, struct err *err),
	      const void *argument, const struct volume_progress *progress, struct build_properties *ret_properties, struct err *err);

#endif
