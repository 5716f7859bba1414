/*
 * answer.h - the head and the end of an HTTP/1.1 answer (RFC 9112), as another host of the cluster gives it.
 *
 * Errors:  -EPROTO: it is no HTTP answer.
 * Threads: any.
 */
#ifndef PEER_ANSWER_H
#define PEER_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { ANSWER_HEAD_BYTES_MAX = 8 << 10 };

struct answer_head {
	int status;
	size_t size;			/* Of the head, with its empty line. */
	int64_t content_length;		/* -1: not said. */
};

/* 1: the head is whole; 0: more of it must come. Interim answers (1xx but 101) are the caller's to skip. */
int answer_read_head(const char *bytes, size_t size, struct answer_head *ret_head, struct err *err);

/* The error that {"error": {"code", "message"}} tells, or what the status alone does. */
int answer_error(int status, const char *body, size_t size, struct err *err);

#endif
