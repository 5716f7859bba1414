/*
 * http_head.h - heads of HTTP answers and of chunks, as pure functions over bytes (RFC 9112).
 *
 * Errors:  -EAGAIN (no message): more bytes are needed; -EPROTO: this is not HTTP/1, or beyond the limits.
 * Threads: any.
 */
#ifndef CLI_HTTP_HEAD_H
#define CLI_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { HTTP_HEAD_BYTES = 32 << 10 };	/* A longer head is refused; so are the extensions and trailers of chunks. */

struct http_head {
	int status;
	bool is_chunked;
	bool closes;			/* The connection ends after this answer. */
	int64_t content_length;		/* -1: absent. */
	char content_type[64];
	char websocket_accept[64];
};

int http_head_parse(const char *bytes, size_t size, struct http_head *ret_head, size_t *ret_used, struct err *err);

/*
 * The line before a chunk, with the line end of the chunk before unless 'is_first'. 'ret_size' is
 * the chunk's size; 0 is the end of the body, and the trailers are then used up too.
 */
int http_chunk_parse(const char *bytes, size_t size, bool is_first, uint64_t *ret_size, size_t *ret_used,
		     struct err *err);

#endif
