/*
 * connection.h - one client's connection, and all a handler may do with it.
 *
 * Theory of operation.  Bytes come from the socket (server.c) and are consumed by what the
 * connection is in the middle of: a head, a body, WebSocket frames.  A head that is whole
 * starts the handler of its route.  A handler answers at once (reply_*), or waits for the core
 * (call_send), the view (connection_watch), a timer, or a pipe (poller.h), each of which ends in
 * connection_want_write() and then the handler's writable(), where it may reply: libwebsockets
 * wants writing and closing to happen in a connection's own turn.
 *
 * While a request is being answered nothing more is read from its client (connection_pause), so
 * a pipelining or flooding client fills its own socket and not our memory: what had been read
 * before (at most one read's size) waits in 'input'.
 *
 * Threads: only the server's.
 */
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include <libwebsockets.h>

#include "5-interface/http/chunks.h"
#include "5-interface/http/handlers.h"
#include "5-interface/http/head.h"
#include "5-interface/http/origin.h"
#include "5-interface/http/peer.h"
#include "5-interface/http/request.h"
#include "5-interface/http/server.h"
#include "5-interface/http/websocket.h"
#include "base/limits.h"

enum {
	TIMEOUT_REQUEST_S = 20,		/* For the head of a request, and for each piece of its body. */
	TIMEOUT_IDLE_S = 300,		/* Between requests. */
	TIMEOUT_WRITE_S = 60,		/* For a client to take anything of what we write. */
	TIMEOUT_LINGER_S = 5,		/* For a client to notice that we do not want the rest of its body. */
};

enum connection_phase {
	PHASE_HEAD,
	PHASE_BODY,
	PHASE_ANSWER,			/* The handler has all it gets, the client waits. */
	PHASE_SKIP,			/* The answer is out; the rest of a body is thrown away. */
	PHASE_WEBSOCKET,
	PHASE_TUNNEL,			/* Of a WebSocket that another node answers: bytes for handler->body(). */
	PHASE_LINGER,			/* The answer is out and the end; what still comes is thrown away. Closing at
					 * once could take the answer away from a client that is still sending. */
};

struct connection {
	struct server *server;
	struct lws *wsi;
	struct source *hangup;		/* Of the client, while it is not read. */
	struct connection *previous, *next;	/* All of the server. */
	struct peer peer;

	enum connection_phase phase;
	struct str input;		/* Read and not consumed. */
	struct str line;		/* The request line as it came, for another host. */
	struct str target;		/* Head of the request; 'head' and 'request' point into it. */
	struct head head;
	struct request request;
	struct origin origin;		/* Of a request that another node has sent on; channel null: of this client. */
	uint64_t body_left;		/* Without chunks. */
	struct chunks chunks;
	struct websocket websocket;
	struct websocket_piece piece;	/* The one handler->receive() is being given. */

	const struct handler *handler;	/* Of the request in progress; null between requests. */
	void *state;			/* The handler's. */
	struct pending *pending;	/* Call without an answer yet. */
	bool must_close;		/* After this answer. */
	bool must_end;			/* At once, in its next turn. */
	bool sends_chunks;
	bool is_paused;
	bool is_finishing;		/* All is written, the last bytes are on their way. */
	bool is_watching;
	bool has_body_coming;		/* The request has a body that has not ended. */
	bool has_timer;
	lws_sorted_usec_list_t timer;
	void (*on_timer)(struct connection *connection);
};

/* Stops and resumes reading from the client. */
void connection_pause(struct connection *connection);
void connection_resume(struct connection *connection);

void connection_want_write(struct connection *connection);
/* handler->changed() will run after changes of the view, until the end of the request. */
void connection_watch(struct connection *connection);
/* Calls 'fn' once, after 'delay_ms', unless the request ends before. */
void connection_set_timer(struct connection *connection, int64_t delay_ms, void (*fn)(struct connection *connection));
/* The client must take or send something within these seconds; 0: it need not. */
void connection_set_timeout(struct connection *connection, int seconds);

/* For server.c; each returns 0, or -1: drop the connection. */
void connection_start(struct connection *connection);	/* It can be read and written. */
int connection_receive(struct connection *connection, char *bytes, size_t size);
int connection_writable(struct connection *connection);
void connection_end(struct connection *connection);	/* It is about to be closed. */

/* After the present answer another request can be read: its body has ended, or little of it is left. */
bool connection_can_go_on(const struct connection *connection);

/* Another handler goes on with the request, with this state. */
void connection_hand_over(struct connection *connection, const struct handler *handler, void *state);

/* The whole answer has been written: end of the handler. */
int connection_finish(struct connection *connection);
/*
 * Plain answers, written whole.  reply_begin() returns where to append the body; reply_end()
 * sends it. One answer at a time per server.
 */
struct str *reply_begin(struct connection *connection, int status, const char *content_type);
int reply_end(struct connection *connection);
int reply_json(struct connection *connection, int status, const char *json, size_t size);
int reply_error(struct connection *connection, const struct err *err);
int reply_status(struct connection *connection, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* 405 with the header Allow. */
int reply_not_allowed(struct connection *connection, const char *allow, const struct err *err);
/* {"error": {"code", "message"}} */
void error_append(struct str *out, int status, const char *message);

/*
 * Answers in pieces.  'size' < 0: unknown, chunks are used.  Between the calls wait for
 * writable(); each returns 0 or -1. stream_end() finishes the request.
 */
int stream_begin(struct connection *connection, int status, const char *content_type, int64_t size);
/* Room for a piece of up to 'size' bytes; fill it and give the number to stream_send(). */
char *stream_room(struct connection *connection, size_t size);
int stream_send(struct connection *connection, size_t size);
int stream_end(struct connection *connection);

/* One WebSocket message. 'channel' < 0: none; else the first byte. Room as for streams. */
char *frame_room(struct connection *connection, int channel, size_t size);
int frame_send(struct connection *connection, int channel, size_t size, bool is_text);
/* The end of a WebSocket: a close frame with this code; finishes. */
int frame_close(struct connection *connection, int code);
/* The same after {"error": ...} as text. */
int frame_error(struct connection *connection, const struct err *err);
int frame_pong(struct connection *connection, const char *bytes, size_t size);
/* Interim answers: go on with the body; the connection is a WebSocket from here. */
int reply_continue(struct connection *connection);
int reply_upgrade(struct connection *connection);

/* Asks the core; handler->replied() gets the answer. Takes the call. -EAGAIN: too much is waiting. */
int call_send(struct connection *connection, struct call *call, struct err *err);
/* The call that the request stands for: op, kind, names; the body is not there yet. */
struct call *call_of_request(struct connection *connection);

#endif
