/*
 * program.h - crun and its words.
 *
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_OCI_PROGRAM_H
#define DRIVER_MACHINE_OCI_PROGRAM_H

#include "base/err.h"

/* The absolute path, on the heap. -ENOENT with the package to install. */
int program_find(const char *name, char **ret_path, struct err *err);
/* Why crun could not run 'command', from what it said: -ENOENT, -EACCES ...; else -EIO. */
int program_explain(const char *text, const char *command, struct err *err);

#endif
