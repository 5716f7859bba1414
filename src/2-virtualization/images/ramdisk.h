/*
 * ramdisk.h - the initial ramdisk of the images made here: busybox, the drivers of a virtio root disk, and a
 * script that mounts /dev/vda and goes on there. It is small because its size is time until the guest's first line.
 */
#ifndef IMAGES_RAMDISK_H
#define IMAGES_RAMDISK_H

#include "2-virtualization/images/build_internal.h"
#include "2-virtualization/images/embed.h"
#include "2-virtualization/images/modules.h"

/* The packages it is made from. */
#define RAMDISK_PACKAGES "busybox-static"

/* <out>/initrd, from busybox below 'packages' and 'modules'; 'init' is its script. */
int ramdisk_write(struct build *build, const char *packages, struct modules *modules, const struct embed *init, struct err *err);

/* Shared with who fills the root disk. */
int ramdisk_copy_busybox(const char *packages, const char *root, struct err *err);
/* The first of two names that exists below 'root': Debian moved files from /bin to /usr/bin. The path is the caller's. */
int ramdisk_find(const char *root, const char *const names[2], char **ret_path, struct err *err);

#endif
