/*
 * import.h - foreign disk images, made into a qcow2 of our own.
 *
 * Nothing of the foreign file's structure survives: its content is read by an unprivileged
 * qemu-img and written anew, so no later start of a machine parses a stranger's metadata.
 *
 * Errors:  -EINVAL with what is wrong with the file and the remedy, -ENOSPC, -ECANCELED.
 */
#ifndef VOLUME_FILE_IMPORT_H
#define VOLUME_FILE_IMPORT_H

#include "driver/volume/file/place.h"

/* Writes the content of 'file_fd' into the empty file 'to_fd'. 'expected': an enum volume_format, or -1. */
int import_convert(struct place *place, const char *volume, int file_fd, int expected, int to_fd,
		   const struct volume_progress *progress, struct err *err);

#endif
