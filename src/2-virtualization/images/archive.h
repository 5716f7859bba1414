/*
 * archive.h - an exported instance: one tar file (POSIX pax).
 *
 * In this order: manifest.json, then disk-0.qcow2, disk-1.qcow2, ... and kernel, initrd, nvram where the instance
 * has them, then SHA256SUMS. The sums come last, so that an archive without them is one that was cut off.
 *
 * Reading trusts nothing: only regular files with exactly these names, each once, are taken; links, devices,
 * sparse entries, other paths and more than 'max_bytes' are refused. On failure nothing is left.
 *
 * Errors:  -EINVAL with what is wrong with the archive, -EFBIG, -ENOSPC, -ECANCELED, -errno.
 * Threads: blocking, call from a worker.
 */
#ifndef IMAGES_ARCHIVE_H
#define IMAGES_ARCHIVE_H

#include "base/err.h"
#include "base/str.h"
#include "port/volume.h"

enum { ARCHIVE_DISKS_MAX = 16 };

struct archive_part {
	const char *name;		/* "disk-0.qcow2", "kernel", ... */
	const char *path;		/* The file with its content. */
};

/* Writes the new file 'path' (an older one there is replaced). */
int archive_write_instance(const char *path, const char *manifest_json, const struct archive_part *parts, size_t part_count,
			   const struct volume_progress *progress, struct err *err);

/* Unpacks into 'out_directory' (which exists and is empty) under the parts' names; the manifest is appended to 'manifest' and
 * is no file. It is not parsed here: that is for who knows what it must say. */
int archive_read_instance(int fd, const char *out_directory, uint64_t max_bytes, struct str *manifest,
			  const struct volume_progress *progress, struct err *err);

#endif
