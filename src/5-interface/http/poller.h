/*
 * poller.h - fds that are not connections: pipes, eventfds, inotify, listening sockets.
 *
 * An epoll instance nested into libwebsockets' poll loop as one file.  Its own treatment of
 * foreign fds closes a pipe whose writer has gone even when data is left in it; here nothing
 * happens to a source but what its owner asks for.
 *
 * Memory:  fds stay the caller's; a source is removed before its fd is closed.
 * Threads: all functions in the thread of the libwebsockets context.
 */
#ifndef HTTP_POLLER_H
#define HTTP_POLLER_H

#include <stdint.h>
#include <sys/epoll.h>

#include "base/err.h"

struct poller;
struct source;

int poller_new(struct poller **ret_poller, struct err *err);
void poller_free(struct poller *poller);	/* Sources have been removed. Null is fine. */

int poller_fd(const struct poller *poller);	/* Readable when poller_dispatch() has something to do. */
void poller_dispatch(struct poller *poller);

typedef void source_fn(void *data, uint32_t events);

/* Watches nothing until source_want(). */
struct source *source_new(struct poller *poller, int fd, source_fn *fn, void *data);
void source_want(struct source *source, uint32_t events);	/* 0: nothing, not even a hang-up. */
void source_remove(struct source *source);			/* Null is fine. 'fn' does not run again. */

#endif
