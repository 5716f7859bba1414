/*
 * stream.h - a connection as bytes: a unix socket, or TLS over TCP.
 *
 * Reading and writing never wait: who uses a stream polls 'fd' (as many places need: with a
 * terminal, signals, a progress line) and tries again.  After -EAGAIN 'wants' says for what to poll:
 * TLS sometimes must write before it can read.
 *
 * Errors:  -errno; -EAGAIN without a message when nothing moved.
 * Threads: one at a time per stream.
 */
#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct stream {
	const struct stream_ops *ops;
	int fd;				/* Non-blocking. */
	short wants;			/* POLLIN or POLLOUT, set with -EAGAIN. */
};

struct stream_ops {
	ssize_t (*read)(struct stream *stream, void *buffer, size_t size, struct err *err);
	ssize_t (*write)(struct stream *stream, const void *bytes, size_t size, struct err *err);
	void (*close)(struct stream *stream);
};

/* Where the daemon is. */
struct stream_target {
	const char *socket;		/* Path; used when 'host' is null. */
	const char *host, *port;	/* Name or address for TLS. */
	const char *certificate, *key;	/* PEM files: who we are. */
	const char *authority;		/* PEM file: who may vouch for the server. */
};

int stream_open(const struct stream_target *target, struct stream **ret_stream, struct err *err);
int stream_open_tls(const struct stream_target *target, struct stream **ret_stream, struct err *err);
void stream_close(struct stream *stream);		/* Null is fine. */

/* Bytes moved (read: 0 at the end). */
ssize_t stream_read(struct stream *stream, void *buffer, size_t size, struct err *err);
ssize_t stream_write(struct stream *stream, const void *bytes, size_t size, struct err *err);

#endif
