/*
 * embed.h - files of the images, kept as files in the source and carried inside the program.
 */
#ifndef IMAGES_EMBED_H
#define IMAGES_EMBED_H

#include <sys/types.h>

struct embed {
	const char *path;		/* In the image, without the leading '/'. */
	mode_t mode;
	const char *start, *end;
};

extern const struct embed tiny_init;		/* Of the ramdisk. */
extern const struct embed tiny_files[];		/* Of the root disk; the last has no path. */
extern const struct embed debian_files[];	/* Likewise. */

#endif
