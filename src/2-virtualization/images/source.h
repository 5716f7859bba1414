/*
 * source.h - the real image source (agent.h): recipes from Debian packages, downloads by http(s).
 */
#ifndef IMAGES_SOURCE_H
#define IMAGES_SOURCE_H

#include "2-virtualization/agent/agent.h"

extern const struct image_source image_source_real;

/* For `--driver sim`: a recipe yields small files that nothing can boot, without any network. */
extern const struct image_source image_source_sim;

#endif
