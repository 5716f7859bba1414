/*
 * The thread, libwebsockets' context, and the door: accepting and naming connections.
 *
 * libwebsockets does the sockets: readiness, TLS, buffered writing, timeouts, timers.  Its HTTP/1.1
 * is not used: with 4.1 the body of a request whose head was read together with the request
 * before it is read from freed memory (and from the wrong place), chunked bodies are not decoded,
 * and too long or odd heads get no answer. So connections are "raw" to it, and connection.c speaks HTTP.
 *
 * libwebsockets does not listen itself: we accept and let it adopt, so that systemd's socket, our
 * own checks before and limits at the door work the same with 4.1 and 4.3, plain and TLS.
 *
 * It is told nothing about idle pings, and has no timer of ours while nothing happens: an idle
 * server sleeps (but for libwebsockets' own look around every 30 s).
 */
#include "5-interface/http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "5-interface/http/calls.h"
#include "5-interface/http/connection.h"
#include "5-interface/http/helpers.h"
#include "5-interface/http/tail.h"
#include "5-interface/http/tls.h"
#include "base/limits.h"
#include "base/mem.h"

enum {
	READ_BYTES = 64 << 10,		/* One piece of a body. */
	WRITE_BYTES = 1 << 20,		/* One write(2): a whole list of a thousand. */
	ACCEPTS_PER_TURN = 32,
	ACCEPT_AGAIN_MS = 100,
	FD_RESERVE = 16,
	RENEW_LOOK_S = 24 * 3600,
	LAST_TURNS = 3,
};

static const lws_retry_bo_t no_pings = { 0 };

static void connection_free(struct connection *connection)
{
	struct server *server = connection->server;

	connection_end(connection);
	if (connection->previous)
		connection->previous->next = connection->next;
	else
		server->connections = connection->next;
	if (connection->next)
		connection->next->previous = connection->previous;
	if (server->adopting == connection)
		server->adopting = NULL;
	server->connection_count--;
	free(connection->peer.subject);
	str_done(&connection->input);
	str_done(&connection->line);
	str_done(&connection->target);
	free(connection);
}

static struct connection *connection_new(struct server *server, const struct peer *peer)
{
	struct connection *connection = alloc(sizeof(*connection));

	connection->server = server;
	connection->peer = *peer;
	connection->next = server->connections;
	if (connection->next)
		connection->next->previous = connection;
	server->connections = connection;
	server->connection_count++;
	return connection;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
	struct connection *connection = lws_get_opaque_user_data(wsi);

	switch (reason) {
	case LWS_CALLBACK_RAW_RX_FILE:
		poller_dispatch(((struct server *)lws_context_user(lws_get_context(wsi)))->poller);
		return 0;
	case LWS_CALLBACK_RAW_ADOPT:
		connection->wsi = wsi;
		connection_start(connection);
		return 0;
	case LWS_CALLBACK_RAW_RX:
		/* By then the handshake is done, and a certificate was checked against our CA. */
		if (connection->server->params.is_tls && !connection->peer.is_allowed)
			tls_identify(lws_get_ssl(wsi), &connection->peer);
		return connection_receive(connection, in, size);
	case LWS_CALLBACK_RAW_WRITEABLE:
		return connection_writable(connection);
	case LWS_CALLBACK_RAW_CLOSE:
		connection_end(connection);
		return 0;
	case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
		((struct server *)lws_context_user(lws_get_context(wsi)))->tls = user;
		return 0;
	case LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION:
		/* What we return counts instead of OpenSSL's own verdict, which comes as 'size': 1 is good. */
		return size == 1 ? 0 : 1;
	case LWS_CALLBACK_WSI_DESTROY:
		if (connection)
			connection_free(connection);
		return 0;
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = {
	{ .name = "strata", .callback = callback, .rx_buffer_size = READ_BYTES, .tx_packet_size = WRITE_BYTES },
	{ 0 },
};

static void refuse_full(int fd)
{
	static const char answer[] =
		"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
		"\r\n"
		"{\"error\": {\"code\": 503, \"message\": \"too many connections: try again in a while\"}}";

	(void)!send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void adopt(struct server *server, int fd)
{
	const struct server_params *params = &server->params;
	lws_adopt_desc_t description = { .vh = server->vhost, .type = LWS_ADOPT_SOCKET, .fd.sockfd = fd };
	struct peer peer = { .uid = (uid_t)-1, .gid = (gid_t)-1 };

	if (params->is_tls) {
		description.type |= LWS_ADOPT_ALLOW_SSL;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
	} else {
		peer_of_socket(fd, params->group, &peer);
	}
	description.opaque = server->adopting = connection_new(server, &peer);
	/* Closes the fd when it fails; the connection then goes with it, or is left to us. */
	if (!lws_adopt_descriptor_vhost_via_info(&description) && server->adopting)
		connection_free(server->adopting);
	server->adopting = NULL;
}

static void accept_again(lws_sorted_usec_list_t *timer)
{
	source_want(container_of(timer, struct server, accept_timer)->listener, EPOLLIN);
}

static void on_listener(void *data, uint32_t events)
{
	struct server *server = data;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(server->params.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0 && server->connection_count < LIMIT_CONNECTIONS) {
			adopt(server, fd);
		} else if (fd >= 0) {
			refuse_full(fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			/* The client waits in the queue; without a pause this would spin. */
			source_want(server->listener, 0);
			lws_sul_schedule(server->context, 0, &server->accept_timer, accept_again,
					 ACCEPT_AGAIN_MS * LWS_US_PER_MS);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

static void tell_watchers(struct server *server)
{
	for (struct connection *connection = server->connections; connection; connection = connection->next)
		if (connection->is_watching)
			connection->handler->changed(connection);
}

/* Who got in by another CA does not stay. */
static void drop_all(struct server *server)
{
	for (struct connection *connection = server->connections; connection; connection = connection->next) {
		connection->must_end = true;
		if (connection->wsi)
			connection_want_write(connection);
	}
}

/* For connections to come; http_certificates_changed() has tried the files. */
static void load_certificates(struct server *server)
{
	struct pki_paths paths = pki_paths(server->params.http.certificates);
	char fingerprint[PKI_FINGERPRINT_SIZE];
	struct err ignored;

	SSL_CTX_free(take(server->peers));
	if (server->tls && tls_load(server->tls, &paths, &ignored) == 0 &&
	    pki_fingerprint(server->params.http.certificates, fingerprint, &ignored) == 0 &&
	    !text_equal(fingerprint, server->ca_fingerprint)) {
		strcpy(server->ca_fingerprint, fingerprint);
		drop_all(server);
	}
	pki_paths_done(&paths);
}

/* Once a year or so it makes two small files, which is the one time that this thread waits for a disk. */
static void renew(lws_sorted_usec_list_t *timer)
{
	struct server *server = container_of(timer, struct server, renew_timer);
	const struct pki_host host = {
		.uid = server->params.http.node_uid, .addresses = (const char *[]){ server->params.address }, .address_count = 1,
	};
	struct err ignored;		/* Another try tomorrow: there are PKI_RENEW_DAYS of them. */

	if (pki_prepare_host(server->params.http.certificates, &host, &ignored) == 0)
		load_certificates(server);
	lws_sul_schedule(server->context, 0, timer, renew, (lws_usec_t)RENEW_LOOK_S * LWS_US_PER_SEC);
}

static void on_mailbox(void *data, uint32_t events)
{
	struct server *server = data;

	(void)events;
	mailbox_deliver(server->mailbox);
	if (atomic_exchange(&server->view_changed, false))
		tell_watchers(server);
	if (atomic_exchange(&server->certificates_changed, false))
		load_certificates(server);
}

void server_view_changed(struct server *server)
{
	if (!atomic_load(&server->watchers))
		return;
	atomic_store(&server->view_changed, true);
	mailbox_wake(server->mailbox);
}

void server_certificates_changed(struct server *server)
{
	atomic_store(&server->certificates_changed, true);
	mailbox_wake(server->mailbox);
}

static int create_context(struct server *server, struct err *err)
{
	const struct server_params *params = &server->params;
	struct pki_paths paths = pki_paths(params->http.certificates);
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.vhost_name = "strata",
		.user = server,
		.pt_serv_buf_size = READ_BYTES,
		.fd_limit_per_thread = LIMIT_CONNECTIONS + FD_RESERVE,
		.timeout_secs = TIMEOUT_REQUEST_S,
		.retry_and_idle_policy = &no_pings,
		.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME |
			   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
	};

	lws_set_log_level(0, NULL);	/* Its complaints about clients are answers of ours. */
	if (params->is_tls) {
		info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT |
				LWS_SERVER_OPTION_PEER_CERT_NOT_REQUIRED;	/* A host that joins has none. */
		info.ssl_cert_filepath = paths.certificate;
		info.ssl_private_key_filepath = paths.key;
		info.ssl_ca_filepath = paths.ca;
		info.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_RENEGOTIATION;
		info.alpn = "http/1.1";
	}
	server->context = lws_create_context(&info);
	server->vhost = server->context ? lws_create_vhost(server->context, &info) : NULL;
	pki_paths_done(&paths);
	if (!server->vhost)
		return err_set(err, -EIO, "libwebsockets does not start%s", params->is_tls ? " with these certificates" : "");
	return 0;
}

/* Puts poller, mailbox, listener and timer into libwebsockets' loop. */
static int create_sources(struct server *server, struct err *err)
{
	lws_adopt_desc_t description = { .vh = server->vhost, .type = LWS_ADOPT_RAW_FILE_DESC, .vh_prot_name = "strata" };
	int r = poller_new(&server->poller, err);

	if (r < 0)
		return r;
	/* libwebsockets closes what it has adopted. */
	description.fd.filefd = fcntl(poller_fd(server->poller), F_DUPFD_CLOEXEC, 0);
	if (description.fd.filefd < 0)
		return err_set(err, -errno, "dup: %m");
	if (!lws_adopt_descriptor_vhost_via_info(&description))
		return err_set(err, -EIO, "libwebsockets does not take a file");
	r = mailbox_new(&server->mailbox, err);
	if (r < 0)
		return r;
	server->mailbox_source = source_new(server->poller, mailbox_fd(server->mailbox), on_mailbox, server);
	source_want(server->mailbox_source, EPOLLIN);
	server->listener = source_new(server->poller, server->params.listen_fd, on_listener, server);
	source_want(server->listener, EPOLLIN);
	if (server->params.is_tls)
		lws_sul_schedule(server->context, 0, &server->renew_timer, renew, (lws_usec_t)RENEW_LOOK_S * LWS_US_PER_SEC);
	return 0;
}

/* The thread has ended, or has not started. */
static void clean_up(struct server *server)
{
	if (server->context) {
		lws_sul_cancel(&server->accept_timer);
		lws_sul_cancel(&server->sweep_timer);
		lws_sul_cancel(&server->renew_timer);
		lws_context_destroy(server->context);	/* Ends every connection. */
	}
	SSL_CTX_free(server->peers);
	helpers_free(server->helpers);
	tails_free(server->tails);
	source_remove(server->listener);
	source_remove(server->mailbox_source);
	poller_free(server->poller);
	mailbox_close(server->mailbox);
	str_done(&server->out);
}

static void *run(void *data)
{
	struct server *server = data;

	pthread_setname_np(pthread_self(), server->params.is_tls ? "https" : "http");
	/* Once at least: a context that never ran does not free all of itself. */
	while (lws_service(server->context, 0) >= 0 && !atomic_load(&server->must_stop))
		;
	/* What the core has answered goes out: it is handed over in one turn and written in the next. Nobody is waited for. */
	for (int turn = 0; turn < LAST_TURNS; turn++) {
		mailbox_wake(server->mailbox);
		lws_service(server->context, 0);
	}
	return NULL;
}

/* Signals are for the core's thread. */
static int start_thread(struct server *server, struct err *err)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&server->thread, NULL, run, server);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r < 0 ? err_set(err, r, "start a thread: %m") : 0;
}

int server_start(const struct server_params *params, struct server **ret_server, struct err *err)
{
	struct server *server = alloc(sizeof(*server));
	int r;

	server->params = *params;
	server->helpers = helpers_new();
	r = params->is_tls ? pki_fingerprint(params->http.certificates, server->ca_fingerprint, err) : 0;
	if (r == 0)
		r = create_context(server, err);
	if (r == 0)
		r = create_sources(server, err);
	if (r == 0)
		r = start_thread(server, err);
	if (r < 0) {
		clean_up(server);
		free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

void server_finish(struct server *server)
{
	if (!server)
		return;
	atomic_store(&server->must_stop, true);
	mailbox_wake(server->mailbox);
	pthread_join(server->thread, NULL);
}

void server_stop(struct server *server)
{
	if (!server)
		return;
	server_finish(server);
	clean_up(server);
	close(server->params.listen_fd);
	free(server);
}
