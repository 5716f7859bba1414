/*
 * tool.h - the programs that images are made with: no shell, one time limit, cancellable.
 *
 * Errors: as spawn.h; -ECANCELED.
 */
#ifndef IMAGES_TOOL_H
#define IMAGES_TOOL_H

#include "base/err.h"
#include "base/str.h"
#include "port/volume.h"

/* 'directory' (may be null) is where it runs; 'output' (may be null) gets its stdout. */
int tool_run(const char *const *argv, const char *directory, const struct volume_progress *progress, struct str *output,
	     struct err *err);

#endif
