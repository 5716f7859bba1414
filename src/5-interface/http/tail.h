/*
 * tail.h - follow a growing file: console logs.
 *
 * The folder is watched by inotify, so the file may also be created later or be replaced. When it
 * is shorter than what was read of it, or another one, it was rotated: reading goes on at its beginning.
 *
 * Threads: the server's.
 */
#ifndef HTTP_TAIL_H
#define HTTP_TAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct server;
struct tail;
struct tails;

/* 'changed' is called when there may be more to read. Begins 'before_end' bytes before the end, or with
 * UINT64_MAX at the beginning. 'must_follow' false: 'changed' is never called. */
int tail_new(struct server *server, const char *path, uint64_t before_end, bool must_follow,
	     void (*changed)(void *data), void *data, struct tail **ret_tail, struct err *err);
void tail_free(struct tail *tail);		/* Null is fine. */

/* Up to 'size' bytes; 0: nothing more at present; -EPIPE: the folder has gone, nothing more will come. */
ssize_t tail_read(struct tail *tail, char *bytes, size_t size);

void tails_free(struct tails *tails);		/* All have been freed. Null is fine. */

#endif
