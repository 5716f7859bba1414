/* archive_names.h - the names that an exported instance may contain. */
#ifndef IMAGES_ARCHIVE_NAMES_H
#define IMAGES_ARCHIVE_NAMES_H

#include <stdbool.h>

#define ARCHIVE_MANIFEST "manifest.json"
#define ARCHIVE_SUMS "SHA256SUMS"

/* disk-0.qcow2 .. disk-15.qcow2, kernel, initrd, nvram. */
bool archive_is_part_name(const char *name);

#endif
