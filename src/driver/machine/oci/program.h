/*
 * program.h - crun and its words.
 *
 * Threads: any.
 */
#ifndef DRIVER_MACHINE_OCI_PROGRAM_H
#define DRIVER_MACHINE_OCI_PROGRAM_H

#include <stddef.h>

#include "base/err.h"

/* The absolute path, on the heap. -ENOENT with the package to install. */
int program_find(const char *name, char **ret_path, struct err *err);
/* What crun said, without its name and times, on one line. */
void program_words(const char *text, char *words, size_t size);
/* -ENOENT, -EACCES ..., from the end of what crun said; else -EIO. */
int program_error(const char *text);

#endif
