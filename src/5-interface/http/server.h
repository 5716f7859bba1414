/*
 * server.h - one listener with its thread and its libwebsockets context.
 *
 * Threads: server_start, server_finish and server_stop from the owner's thread; the
 * members belong to the server's thread.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <libwebsockets.h>
#include <openssl/types.h>
#include <pthread.h>
#include <stdatomic.h>

#include "4-service/pki/pki.h"
#include "5-interface/http/http.h"
#include "5-interface/http/poller.h"
#include "5-interface/http/stranger.h"
#include "base/str.h"

struct connection;
struct helpers;
struct mailbox;
struct tails;

struct server_params {
	struct http_params http;	/* Borrowed: core, view, call, folders. */
	int listen_fd;			/* Listening, non-blocking; taken on success. */
	bool is_tls;
	char address[64];		/* TLS: at which it listens. */
	const char *group_name;
	gid_t group;			/* (gid_t)-1: none. */
};

struct server {
	struct server_params params;
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct poller *poller;
	struct source *listener, *mailbox_source;
	lws_sorted_usec_list_t accept_timer;	/* Accept again, after the process had no fd left. */
	lws_sorted_usec_list_t sweep_timer;	/* Uploads that nobody used. */
	lws_sorted_usec_list_t renew_timer;	/* TLS: a look at the certificate's end. */
	pthread_t thread;

	struct connection *connections;
	size_t connection_count;
	struct connection *adopting;	/* Not yet given to libwebsockets for good. */

	struct mailbox *mailbox;	/* Answers of the core, shared with it. */
	size_t calls_pending;
	atomic_bool must_stop, view_changed, certificates_changed;
	atomic_uint watchers;		/* Connections that want to hear of changes. */

	struct str out;			/* The answer being built; LWS_PRE bytes are kept free in front. */
	size_t out_body;		/* Where its body begins. */
	struct helpers *helpers;	/* Threads that move bytes between files and pipes. */
	SSL_CTX *tls;			/* libwebsockets'; null without TLS. */
	char ca_fingerprint[PKI_FINGERPRINT_SIZE];	/* TLS: of whom 'tls' lets in. */
	SSL_CTX *peers;			/* For connections to other hosts; null until the first. */
	struct joins joins;
	struct tails *tails;		/* Files being followed; null until the first. */
};

int server_start(const struct server_params *params, struct server **ret_server, struct err *err);
/* Null is fine for both. The first ends the thread, and only the end of the process may follow. */
void server_finish(struct server *server);
void server_stop(struct server *server);

void server_view_changed(struct server *server);
void server_certificates_changed(struct server *server);

#endif
