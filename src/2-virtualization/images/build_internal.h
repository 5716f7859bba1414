/* build_internal.h - what the builders share; build.h is the outside. */
#ifndef IMAGES_BUILD_INTERNAL_H
#define IMAGES_BUILD_INTERNAL_H

#include <sys/types.h>

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

/* One file; follows links. */
int build_copy(const char *from, const char *to, mode_t mode, struct err *err);

/* Takes boot/vmlinuz-VERSION below 'root' as <out>/kernel; 'ret_modules' is the folder of its modules, the caller's. */
int build_take_kernel(struct build *build, const char *root, char **ret_modules, struct err *err);

/* <out>/disk.raw: an ext4 file system with the content of the folder 'root'. */
int build_disk(struct build *build, const char *root, const char *label, uint64_t size_bytes, struct err *err);

/* Three lines of sources.list for "bookworm" or "trixie", the caller's; the last is null where the host has no security updates. */
int build_debian_sources(const struct build *build, const char *release, char *sources[3], struct err *err);

/* Runs 'make' between preparing and cleaning up; fills the checksums and writes properties.json. */
int build_run(const char *out_directory, unsigned step_count, int (*make)(struct build *build, const void *argument, struct err *err),
	      const void *argument, const struct volume_progress *progress, struct build_properties *ret_properties, struct err *err);

#endif
