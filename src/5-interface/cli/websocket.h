/*
 * websocket.h - the client's end of a WebSocket (RFC 6455), never waiting.
 *
 * Who uses it polls websocket_fd() for websocket_events(), beside whatever else, and then calls
 * websocket_receive() until it returns 0. What is sent is queued; websocket_queued() tells how much still
 * is, so that a sender stops reading its source meanwhile.
 *
 * Errors:  -EPROTO: the peer breaks the protocol or a limit; -ECONNRESET: it ended without a goodbye.
 * Memory:  a message's bytes belong to the websocket until the next websocket_receive().
 * Threads: one at a time.
 */
#ifndef CLI_WEBSOCKET_H
#define CLI_WEBSOCKET_H

#include <stdint.h>

#include "5-interface/cli/client.h"

enum { WEBSOCKET_MESSAGE_BYTES = 4 << 20 };	/* Larger messages are refused. */

enum websocket_type { WEBSOCKET_TEXT = 1, WEBSOCKET_BINARY = 2, WEBSOCKET_CLOSE = 8 };

struct websocket_message {
	enum websocket_type type;
	const char *bytes;		/* CLOSE: the reason, if any. Terminated by a zero that 'size' does not count. */
	size_t size;
	int close_code;
};

struct websocket;

/* Over a connection of its own: 'client' is used up. When the daemon answers otherwise than with 101, 0 is
 * returned with a null websocket, and the client then holds that answer for client_read(). */
int websocket_open(struct client *client, const char *path, struct websocket **ret_websocket,
		   struct client_response *ret_response, struct err *err);
void websocket_free(struct websocket *websocket);	/* Null is fine. Says no goodbye. */

int websocket_fd(const struct websocket *websocket);
short websocket_events(const struct websocket *websocket);

/* Queues a message and sends what goes at once. */
int websocket_send(struct websocket *websocket, enum websocket_type type, const void *bytes, size_t size,
		   struct err *err);
size_t websocket_queued(const struct websocket *websocket);

/* 1: a message; 0: none is whole yet. Pings are answered here, and what is queued is sent on. */
int websocket_receive(struct websocket *websocket, struct websocket_message *ret_message, struct err *err);

#endif
