/*
 * bundle.h - folders as tar files, for cp.
 *
 * libarchive is loaded when first needed: with all it brings along it would triple the time that `strata ls` takes to start.
 *
 * What comes out of a guest is hostile: nothing is written outside the target folder, through
 * no symbolic link, and no devices, sockets or set-user-id bits are made.
 *
 * Errors:  -ENOTSUP: libarchive is not installed; -EPERM: an entry tries to escape; else -EIO with libarchive's words.
 * Threads: bundle_unpack() changes the working folder while it runs.
 */
#ifndef CLI_BUNDLE_H
#define CLI_BUNDLE_H

#include <stdbool.h>

#include "base/err.h"

/* Everything in 'folder' as "./...", or when 'has_name' the one thing at 'path' under its own name. Symbolic links stay such. */
int bundle_pack(const char *path, bool has_name, int tar_fd, struct err *err);
/* 'folder' must exist. */
int bundle_unpack(int tar_fd, const char *folder, struct err *err);

#endif
