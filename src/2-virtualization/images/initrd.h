/*
 * initrd.h - an initial ramdisk (cpio "newc", as the kernel's initramfs wants it) from a folder.
 * It is not compressed: unpacking would cost a guest more than reading does.
 */
#ifndef IMAGES_INITRD_H
#define IMAGES_INITRD_H

#include "base/err.h"

/* Everything below 'directory', owned by root, into the new file 'path'. */
int initrd_write(const char *path, const char *directory, struct err *err);

#endif
