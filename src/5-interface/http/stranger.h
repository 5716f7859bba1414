/*
 * stranger.h - clients of the TLS listener without a certificate: a host that joins, or anybody.
 *
 * They may ask to join, and nothing else; how many are heard at a time and how often is limited by name.
 *
 * Threads: the server's.
 */
#ifndef HTTP_STRANGER_H
#define HTTP_STRANGER_H

#include <stdint.h>

struct connection;
struct route;

struct joins {			/* Of a server: a bucket that fills up again. { 0 } is full. */
	unsigned spent;
	int64_t since_ms;
};

/* The request has been decoded, or has no route ('route' null). 1: it may go on; else a reply has been given, its result. */
int stranger_check(struct connection *connection, const struct route *route);

#endif
