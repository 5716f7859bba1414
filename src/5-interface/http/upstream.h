/*
 * upstream.h - a TLS connection of ours to another host, on which nothing blocks.
 *
 * What is written waits in memory until the host takes it: who writes stops while upstream_pending().  Nothing is read but by
 * upstream_read(): a client that takes nothing holds the other host up.  Whoever has asked is told by changed() when
 * there is something new: it can be read, all is written, it has failed.
 *
 * Memory:  texts in the params are copied.
 * Threads: the server's.
 */
#ifndef HTTP_UPSTREAM_H
#define HTTP_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct server;
struct upstream;

enum { UPSTREAM_CONNECT_MS = 2000, UPSTREAM_HANDSHAKE_MS = 5000 };

struct upstream_params {
	const char *address;		/* "192.0.2.2:8443" */
	const char *uid;		/* Of the node that must be there. */
	void (*changed)(void *data);
	void *data;
};

/* Begins to connect. Errors: as peer_tls.h, at once; later ones come from upstream_read(). */
int upstream_new(struct server *server, const struct upstream_params *params, struct upstream **ret_upstream, struct err *err);
void upstream_free(struct upstream *upstream);		/* Null is fine. */

void upstream_write(struct upstream *upstream, const void *bytes, size_t size);
size_t upstream_pending(const struct upstream *upstream);	/* Bytes. */

/*
 * How many bytes have been read; 0: the end; -EAGAIN: changed() will tell; else why it has failed: -EHOSTUNREACH nobody answers
 * there, -EACCES it is not that node or does not take us, -ECONNRESET later.
 */
ssize_t upstream_read(struct upstream *upstream, void *bytes, size_t size, struct err *err);

#endif
