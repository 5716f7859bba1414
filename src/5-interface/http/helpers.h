/*
 * helpers.h - threads that do the reading and writing of files, which may block, for streams:
 * the server's thread only ever sees the other end of a pipe.
 *
 * A helper ends when its pipe does. helpers_free() waits for all.
 *
 * Errors:  -EAGAIN: HELPERS_MAX are at work.
 * Threads: the server's.
 */
#ifndef HTTP_HELPERS_H
#define HTTP_HELPERS_H

#include <stdint.h>

#include "base/err.h"

enum { HELPERS_MAX = 32 };

struct helpers;

struct helpers *helpers_new(void);
void helpers_free(struct helpers *helpers);	/* The pipes have been closed. Null is fine. */

/* Sends the file's content into a pipe. Takes 'file_fd' (also on failure). */
int helpers_read_file(struct helpers *helpers, int file_fd, int *ret_pipe_fd, struct err *err);

struct sink;

/*
 * Stores what comes through a pipe as an upload in the folder: '*ret_pipe_fd' takes the content; from
 * '*ret_result_fd' comes one line, {"id", "size", "sha256"} or {"error", "code"}.  When the pipe
 * ends with less than sink_complete() has said, or without it, the client has gone: nothing is left of it.
 */
int helpers_store(struct helpers *helpers, const char *folder, struct sink **ret_sink, int *ret_pipe_fd,
		  int *ret_result_fd, struct err *err);
void sink_complete(struct sink *sink, uint64_t size);	/* So much is all; the pipe's end comes next. */
void sink_unref(struct sink *sink);		/* Null is fine. */

enum { UPLOAD_KEPT_S = 3600 };

/* Removes uploads that are older than that, whole or not. */
void uploads_sweep(const char *folder);
void helpers_sweep(struct helpers *helpers, const char *folder);	/* The same, by a helper. */

#endif
