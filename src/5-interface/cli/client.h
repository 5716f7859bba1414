/*
 * client.h - HTTP/1.1 (RFC 9112) as this command needs it: one connection, kept alive, one
 * request at a time, bodies streamed both ways.
 *
 * The daemon is trusted no more than any peer: heads, header lines and chunk sizes have
 * limits, an answer that ends too early is an error, and what goes to people is shown().
 *
 * Life:    client_new() connects nothing; client_send() does, and again when the daemon has closed a
 *          kept connection. Then client_read() until it returns 0; then the next request.
 * Errors:  0 or -errno; -EINTR when the watch's interrupt came; a status of 400 and more
 *          is not an error here (request.h makes it one).
 * Memory:  'ret_x' passes to the caller; the response's text belongs to the client until the next request.
 * Threads: one at a time per client.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "5-interface/cli/stream.h"
#include "base/str.h"

struct client;

/* Who looks on while a client waits. */
struct client_watch {
	int interrupt_fd;		/* Readable: waiting ends with -EINTR. -1: none. */
	int tick_ms;			/* Call 'tick' so often; 0: never. */
	void (*tick)(void *data);
	void *data;
};

struct client_request {
	const char *method;
	const char *path;		/* With query, percent-encoded. */
	const char *content_type;	/* Null: application/json. */
	uint64_t body_size;
	const void *body;		/* All of it, or null and: */
	/* The next bytes of the body, at most 'size', at least one; or -errno. */
	ssize_t (*produce)(void *data, void *buffer, size_t size, struct err *err);
	void *data;
	int patience_ms;		/* How long the daemon may be silent; 0: CLIENT_PATIENCE_MS; -1: for ever. */
	bool wants_websocket;		/* Adds 'websocket_key' and what else RFC 6455 asks for. */
	const char *websocket_key;
};

enum { CLIENT_PATIENCE_MS = 120000 };

struct client_response {
	int status;
	int64_t content_length;		/* -1: not known before the end. */
	char content_type[64];
	char websocket_accept[64];
};

struct client *client_new(const struct stream_target *target);
void client_free(struct client *client);		/* Null is fine. */

void client_watch(struct client *client, const struct client_watch *watch);	/* Copied; null: nobody. */

/* Sends the request and reads the head of the answer. */
int client_send(struct client *client, const struct client_request *request,
		struct client_response *ret_response, struct err *err);
/* Bytes of the body of the answer; 0 at its end. */
ssize_t client_read(struct client *client, void *buffer, size_t size, struct err *err);
/* The rest of the body, -EFBIG beyond 'max'. */
int client_read_all(struct client *client, size_t max, struct str *out, struct err *err);

/* For websocket.c, after 101: the connection, and what had come beyond the head. Both pass to the caller. */
void client_take_stream(struct client *client, struct stream **ret_stream, struct str *ret_early);

#endif
