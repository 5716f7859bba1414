/*
 * handlers.h - the ways to answer a request; one file fills one of these.
 *
 * A handler lives from start() to done() on one connection.  Its functions run in the server's
 * thread, each returns 0, or -1 to drop the connection, which is also what the reply functions of
 * connection.h return: "return reply_error(connection, &err);".
 */
#ifndef HTTP_HANDLERS_H
#define HTTP_HANDLERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct call_reply;
struct connection;
struct str;

struct handler {
	/* A request for it has been decoded; connection->handler is set. WebSockets: before the
	 * upgrade is accepted; a reply refuses it. */
	int (*start)(struct connection *connection);
	/* Null where a body is of no interest. */
	int (*body)(struct connection *connection, const char *bytes, size_t size);
	int (*body_end)(struct connection *connection);
	/* The connection can take more, after connection_want_write(). */
	int (*writable)(struct connection *connection);
	/* The core has answered the call of call_send(). May take fds and path from the reply. No writing
	 * here: this is not the connection's turn. */
	void (*replied)(struct connection *connection, struct call_reply *reply);
	/* Something in the view has changed, after connection_watch(). No writing here. */
	void (*changed)(struct connection *connection);
	/* Another node must do it: hand out what has been read of the body (WebSockets: the first message) before the core was
	 * asked. Null: nothing is. */
	void (*take_received)(struct connection *connection, struct str *ret_received);
	/* The end, by whatever cause: free connection->state. */
	void (*done)(struct connection *connection);

	bool answers_head;		/* HEAD is GET without the body. */

	/* WebSockets only: the upgrade is done; bytes of a message have come, more in connection->piece. */
	bool is_websocket;
	int (*established)(struct connection *connection);
	int (*receive)(struct connection *connection, const char *bytes, size_t size);
};

extern const struct handler handler_version, handler_openapi;	/* simple.c */
extern const struct handler handler_object, handler_list;	/* watch.c */
extern const struct handler handler_events;			/* events.c */
extern const struct handler handler_call;			/* act.c */
extern const struct handler handler_certificate;		/* simple.c */
extern const struct handler handler_download;			/* download.c */
extern const struct handler handler_file_write;			/* file_write.c */
extern const struct handler handler_upload;			/* upload.c */
extern const struct handler handler_logs;			/* logs.c */
extern const struct handler handler_console;			/* console.c */
extern const struct handler handler_exec, handler_attach;			/* exec.c */
extern const struct handler handler_forward;			/* forward.c */

#endif
