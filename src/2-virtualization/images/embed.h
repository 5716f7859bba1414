/*
 * embed.h - files of the images, kept as files in the source and carried inside the program.
 */
#ifndef IMAGES_EMBED_H
#define IMAGES_EMBED_H

#include <sys/types.h>

#include "base/err.h"

struct embed {
	const char *path;		/* In the image, without the leading '/'. */
	mode_t mode;
	const char *start, *end;
};

extern const struct embed tiny_init, debian_init;	/* Of the ramdisk. */
extern const struct embed tiny_files[];		/* Of the root disk; the last has no path. */
extern const struct embed debian_files[];	/* Likewise. */

/* Writes it below 'root', with the folders on the way. */
int embed_write(const struct embed *file, const char *root, struct err *err);

#endif
