/*
 * websocket.h - WebSocket frames (RFC 6455), the server's side.
 *
 * Messages are handed on as they come, in pieces; pings are answered here; a client that breaks
 * the rules is told which and dropped. No extensions.
 */
#ifndef HTTP_WEBSOCKET_H
#define HTTP_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	WEBSOCKET_HEAD_MAX = 10,	/* Of the frames we send. */
	WEBSOCKET_CONTROL_MAX = 125,	/* Payload of a control frame. */
	WEBSOCKET_ACCEPT_SIZE = 32,
};
enum websocket_opcode { WEBSOCKET_CONTINUATION = 0, WEBSOCKET_TEXT = 1, WEBSOCKET_BINARY = 2, WEBSOCKET_CLOSE = 8,
			WEBSOCKET_PING = 9, WEBSOCKET_PONG = 10 };
enum { WEBSOCKET_NORMAL = 1000, WEBSOCKET_PROTOCOL_ERROR = 1002 };

struct websocket {		/* { 0 } before the first frame. */
	unsigned char head[14];
	size_t head_size;		/* Of the present frame, so far. */
	bool has_head;
	uint64_t left;			/* Payload to come. */
	size_t mask_at;
	unsigned char control[WEBSOCKET_CONTROL_MAX];
	size_t control_size;
	bool in_message;		/* Some of a message has been handed on, not its end. */
	bool is_binary;			/* The message. */
};

struct websocket_piece {
	enum websocket_opcode opcode;	/* TEXT, BINARY: a piece of a message. Else a whole control frame. */
	const char *bytes;
	size_t size;
	bool is_first, is_last;		/* Of the message. */
};

/*
 * Uses some of 'bytes' (unmasked in place). Returns how many, with *ret_has_piece telling whether there is a
 * piece in *ret_piece; or -EPROTO.
 */
ssize_t websocket_read(struct websocket *websocket, char *bytes, size_t size, struct websocket_piece *ret_piece,
		       bool *ret_has_piece);

/* Writes a frame's head so that it ends at 'end'; returns its size. */
size_t websocket_write_head(char *end, enum websocket_opcode opcode, size_t size);

/* The answer to a client's key. */
void websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_SIZE]);

#endif
