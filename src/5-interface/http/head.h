/*
 * head.h - the head of an HTTP/1.1 request (RFC 9112): request line and the headers that matter here.
 *
 * Strict where leniency lets two readers of one stream disagree about where a request ends:
 * line ends are CR LF, header names are tokens, a length is digits and given once, and never beside a transfer
 * coding.  Paths and queries are percent-decoded.
 *
 * Memory:  everything points into the text, which is changed in place.
 * Threads: any.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "5-interface/http/request.h"
#include "base/err.h"

enum { HEAD_BYTES_MAX = 8 << 10 };

struct head {
	enum method method;
	bool is_head;			/* HEAD: GET without a body. */
	bool is_http10;
	char *path;
	char *queries[REQUEST_PARAMETERS_MAX];
	size_t query_count;
	int64_t content_length;		/* -1: not said. */
	bool is_chunked;
	bool wants_close;		/* Connection: close. */
	bool expects_continue;
	bool wants_websocket;		/* Upgrade: websocket, version 13, with a key. */
	const char *websocket_key;
	const char *forwarded;		/* Strata-Forwarded; null: not given. */
};

/* Size of the head at the beginning of 'bytes', with its empty line; 0: it has not ended yet. */
size_t head_find(const char *bytes, size_t size);

/*
 * 'text' is a head as found, of 'size' bytes, with a zero after it.  Returns 0, or the status to refuse with
 * and the reason in *err; then *ret_head is good for nothing.
 */
int head_parse(char *text, size_t size, struct head *ret_head, struct err *err);

/* No end within HEAD_BYTES_MAX: the status, and the reason in *err. */
int head_too_long(const char *bytes, size_t size, struct err *err);

#endif
