/*
 * mem.h - memory with one owner.
 *
 * Allocation failure aborts: the daemon is crash-only and loses nothing by
 * it.  Sizes that come from outside are checked against base/limits.h first.
 * 'auto_x' variables are released at the end of their scope; take() moves
 * ownership out.
 *
 * Threads: any.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define take(p) ({ __auto_type taken_ = (p); (p) = NULL; taken_; })
#define take_fd(fd) ({ int taken_ = (fd); (fd) = -1; taken_; })
#define container_of(p, type, member) \
	((type *)((char *)(p) - offsetof(type, member)))

void *alloc(size_t size_bytes);				/* Zeroed. */
void *alloc_array(void *old, size_t count, size_t size_bytes);	/* realloc, overflow checked. */
char *text_copy(const char *text);			/* Null gives null. */
char *text_copy_length(const char *text, size_t length);
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Frees *target and puts a copy of 'text' (may be null) there. */
void text_replace(char **target, const char *text);

static inline void freep(void *p) { free(*(void **)p); }
static inline void closep(int *fd) { if (*fd >= 0) close(*fd); }
static inline void fclosep(FILE **file) { if (*file) fclose(*file); }
#define auto_free __attribute__((cleanup(freep)))
#define auto_close __attribute__((cleanup(closep)))
#define auto_fclose __attribute__((cleanup(fclosep)))

#endif
