/*
 * source.h - files of the kernel that are read again and again: opened once, read with one pread(2).
 *
 * Errors:  -errno of open and read; -ENODEV when what it spoke of has gone.
 * Memory:  the caller's; source_close() also of one that is not open.
 * Threads: one at a time per source.
 */
#ifndef TELEMETRY_SOURCE_H
#define TELEMETRY_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source { int fd_plus_one; };		/* { 0 } is not open. */

enum { SOURCE_TEXT_SIZE = 4096 };		/* Enough for all but /proc/stat. */

int source_open(struct source *source, const char *root, const char *path);
void source_close(struct source *source);
static inline bool source_is_open(const struct source *source) { return source->fd_plus_one != 0; }

/* The text as far as it fits, with a zero behind it. */
int source_read(const struct source *source, char *text, size_t size);
/* A file that is one number. */
int source_read_number(const struct source *source, uint64_t *ret_number);

/* The number behind 'key' at the beginning of a line, as in "MemTotal:   123 kB" and "usage_usec 5". */
bool text_number_after(const char *text, const char *key, uint64_t *ret_number);

#endif
