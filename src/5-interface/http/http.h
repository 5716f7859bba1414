/*
 * http.h - the REST API: JSON, streams and WebSockets over a unix socket, and over TLS when asked.
 *
 * One thread per listener runs libwebsockets.  Reads are answered from the view; everything
 * else becomes a 'struct call' for the core, whose answer comes back to the thread as a message.
 * docs/api.md is the contract.
 *
 * Errors:  -EADDRINUSE another daemon answers on the socket; else -errno of what failed.
 * Memory:  texts in the params are copied; core and view must outlive http_stop().
 * Threads: http_start, http_set_listen, http_stop and http_finish from one thread. Calls may still be
 *          unanswered when one of the last two returns: their replies are then dropped.
 */
#ifndef HTTP_H
#define HTTP_H

#include "base/err.h"

struct call;
struct core;
struct view;
struct http;

struct http_params {
	struct core *core;
	struct view *view;
	void (*call)(struct core *core, struct call *call);	/* api_call() */

	const char *socket_path;	/* Of the unix socket. */
	int listen_fd;			/* From systemd's socket activation, instead of the path; -1: none. Is taken. */
	const char *group;		/* Whose members may use the daemon; null: "strata". Need not exist. */
	const char *staging;		/* Folder for uploads; exists. */
	const char *certificates;	/* Folder for CA, keys and certificates; made when first needed. */
	const char *node_uid;		/* Of this host: whom its certificate names. */
	const char *listen;		/* "ADDRESS:PORT" for TLS, or null. */
};

int http_start(const struct http_params *params, struct http **ret_http, struct err *err);
/* Answers that the core has given go out to who takes them at once; then every connection is closed. Null is fine. */
void http_stop(struct http *http);
/* The same for a process that ends right away or begins anew: nothing is freed, and no helper that still moves bytes is waited for.
 * Null is fine. */
void http_finish(struct http *http);

/* Switches TLS on, to another address, or off (null). When the address or the certificates are at fault
 * nothing has changed. */
int http_set_listen(struct http *http, const char *listen, struct err *err);

/* The files in the folder for certificates are others now (this host has joined a cluster): they count from here. Connections by
 * TLS that another CA has let in are cut. Any thread, but not beside the functions above. */
int http_certificates_changed(struct http *http, struct err *err);

#endif
