/*
 * build.h - images made here, from Debian packages: "tiny" and "debian:12", "debian:13".
 *
 * The result lies in 'out_directory', which must be empty or missing: kernel, initrd, disk.raw (sparse)
 * and properties.json. Until then everything is below <out_directory>/work; nothing is mounted,
 * installed or changed elsewhere. On failure the folder is as it was found.
 *
 * Errors:  -EPERM not root (files of a root file system belong to root), -ENOENT a tool or package is
 *          missing, -EIO with the tool's own reason, -ENOSPC, -ECANCELED.
 * Threads: blocking, call from a worker. Progress counts steps as bytes do elsewhere.
 */
#ifndef IMAGES_BUILD_H
#define IMAGES_BUILD_H

#include "base/err.h"
#include "base/sha256.h"
#include "port/volume.h"

struct build_properties {
	char cmdline[160];		/* What the kernel needs on its command line. */
	char kernel_version[80];
	char kernel_sha256[SHA256_TEXT_SIZE], initrd_sha256[SHA256_TEXT_SIZE], disk_sha256[SHA256_TEXT_SIZE];
	uint64_t disk_bytes;		/* Of the disk as the guest sees it. */
};

/* busybox, the guest agent and Debian's cloud kernel: boots in a second or two. */
int build_tiny(const char *out_directory, const struct volume_progress *progress, struct build_properties *ret_properties,
	       struct err *err);

/* A Debian server with systemd, ssh, cloud-init and the guest agent. 'release': "12" or "13". */
int build_debian(const char *release, const char *out_directory, const struct volume_progress *progress,
		 struct build_properties *ret_properties, struct err *err);

/* "tiny", "debian:12", "debian:13": calls one of the above. -EINVAL for another name, with those there are. */
int build_image(const char *name, const char *out_directory, const struct volume_progress *progress,
		struct build_properties *ret_properties, struct err *err);

#endif
