#include "5-interface/http/upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "4-service/peer/peer_tls.h"
#include "5-interface/http/server.h"
#include "base/mem.h"

/* A host that has gone without a word is noticed after idle + interval * probes seconds. */
enum { KEEPALIVE_IDLE_S = 10, KEEPALIVE_INTERVAL_S = 5, KEEPALIVE_PROBES = 3, UNACKNOWLEDGED_MS = 25000 };

enum upstream_phase { UPSTREAM_CONNECTING, UPSTREAM_SHAKING_HANDS, UPSTREAM_OPEN, UPSTREAM_ENDED, UPSTREAM_FAILED };

struct upstream {
	struct server *server;
	enum upstream_phase phase;
	int fd;
	SSL *ssl;
	struct source *source;
	lws_sorted_usec_list_t timer;	/* While it is not open. */
	char *uid;
	void (*changed)(void *data);
	void *data;
	struct str out;
	bool wants_read;		/* upstream_read() has found nothing. */
	bool writes_want_read, reads_want_write;	/* TLS has something of its own to say first. */
	bool is_deaf;			/* It takes nothing any more; it may still have something to say. */
	struct err err;
};

static void watch(struct upstream *upstream)
{
	uint32_t events = 0;

	if (upstream->wants_read || upstream->writes_want_read)
		events |= EPOLLIN;
	if ((upstream->out.size && !upstream->writes_want_read) || upstream->reads_want_write)
		events |= EPOLLOUT;
	source_want(upstream->source, upstream->phase == UPSTREAM_OPEN ? events : 0);
}

/* upstream->err says why. */
static void failed(struct upstream *upstream)
{
	lws_sul_cancel(&upstream->timer);
	upstream->phase = UPSTREAM_FAILED;
	str_done(&upstream->out);
	source_want(upstream->source, 0);
	upstream->changed(upstream->data);
}

static void flush(struct upstream *upstream)
{
	upstream->writes_want_read = false;
	while (upstream->out.size && !upstream->is_deaf) {
		struct err ignored;
		int n, kind;

		ERR_clear_error();	/* What the listener's own connections have left would be taken for ours. */
		n = SSL_write(upstream->ssl, upstream->out.data, (int)upstream->out.size);
		if (n > 0) {
			str_remove_front(&upstream->out, (size_t)n);
			continue;
		}
		kind = SSL_get_error(upstream->ssl, n);
		upstream->writes_want_read = kind == SSL_ERROR_WANT_READ;
		if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
			return;
		peer_tls_failed(upstream->ssl, n, &ignored);	/* Reading will say why, or has an answer first. */
		upstream->is_deaf = true;
	}
	str_done(&upstream->out);
}

static void is_open(struct upstream *upstream)
{
	lws_sul_cancel(&upstream->timer);
	upstream->phase = UPSTREAM_OPEN;
	flush(upstream);
	watch(upstream);
	upstream->changed(upstream->data);
}

static void shake_hands(struct upstream *upstream)
{
	int n, kind;

	ERR_clear_error();
	n = SSL_connect(upstream->ssl);
	if (n == 1) {
		if (peer_tls_check(upstream->ssl, upstream->uid, &upstream->err) < 0)
			failed(upstream);
		else
			is_open(upstream);
		return;
	}
	kind = SSL_get_error(upstream->ssl, n);
	if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
		source_want(upstream->source, kind == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT);
		return;
	}
	peer_tls_failed(upstream->ssl, n, &upstream->err);
	failed(upstream);
}

static void on_late(lws_sorted_usec_list_t *timer)
{
	struct upstream *upstream = container_of(timer, struct upstream, timer);

	err_set(&upstream->err, -EHOSTUNREACH, upstream->phase == UPSTREAM_CONNECTING ? "nothing answers there" :
		"it does not answer in time");
	failed(upstream);
}

static void connected(struct upstream *upstream)
{
	int failure = 0;
	socklen_t size = sizeof(failure);

	getsockopt(upstream->fd, SOL_SOCKET, SO_ERROR, &failure, &size);
	if (failure) {
		err_set(&upstream->err, -EHOSTUNREACH, "%s", strerror(failure));
		failed(upstream);
		return;
	}
	upstream->phase = UPSTREAM_SHAKING_HANDS;
	lws_sul_schedule(upstream->server->context, 0, &upstream->timer, on_late, UPSTREAM_HANDSHAKE_MS * LWS_US_PER_MS);
	shake_hands(upstream);
}

static void on_source(void *data, uint32_t events)
{
	struct upstream *upstream = data;
	bool was_pending = upstream->out.size > 0;

	(void)events;
	if (upstream->phase == UPSTREAM_CONNECTING) {
		connected(upstream);
		return;
	}
	if (upstream->phase == UPSTREAM_SHAKING_HANDS) {
		shake_hands(upstream);
		return;
	}
	flush(upstream);
	if (upstream->wants_read || (was_pending && !upstream->out.size)) {
		upstream->wants_read = upstream->reads_want_write = false;
		watch(upstream);
		upstream->changed(upstream->data);
	} else {
		watch(upstream);
	}
}

static void set_options(int fd)
{
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){ KEEPALIVE_IDLE_S }, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){ KEEPALIVE_INTERVAL_S }, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){ KEEPALIVE_PROBES }, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(int){ UNACKNOWLEDGED_MS }, sizeof(int));
}

static int dial(struct upstream *upstream, const char *address_text, struct err *err)
{
	struct sockaddr_storage address;
	socklen_t size;
	int r = peer_address(address_text, false, &address, &size, err);

	if (r < 0)
		return r;
	upstream->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (upstream->fd < 0)
		return err_set(err, -errno, "socket: %m");
	set_options(upstream->fd);
	if (connect(upstream->fd, (const struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS)
		return err_set(err, -EHOSTUNREACH, "%s", strerror(errno));
	if (SSL_set_fd(upstream->ssl, upstream->fd) != 1)
		return err_set(err, -EIO, "OpenSSL cannot begin");
	upstream->source = source_new(upstream->server->poller, upstream->fd, on_source, upstream);
	source_want(upstream->source, EPOLLOUT);
	lws_sul_schedule(upstream->server->context, 0, &upstream->timer, on_late, UPSTREAM_CONNECT_MS * LWS_US_PER_MS);
	return 0;
}

int upstream_new(struct server *server, const struct upstream_params *params, struct upstream **ret_upstream, struct err *err)
{
	struct upstream *upstream;
	int r = 0;

	if (!server->peers)
		r = peer_tls_new(server->params.http.certificates, &server->peers, err);
	if (r < 0)
		return r;
	upstream = alloc(sizeof(*upstream));
	*upstream = (struct upstream){ .server = server, .fd = -1, .uid = text_copy(params->uid), .changed = params->changed,
				       .data = params->data, .ssl = SSL_new(server->peers) };
	r = upstream->ssl ? dial(upstream, params->address, err) : err_set(err, -EIO, "OpenSSL cannot begin");
	if (r < 0)
		upstream_free(upstream);
	else
		*ret_upstream = upstream;
	return r;
}

void upstream_free(struct upstream *upstream)
{
	if (!upstream)
		return;
	lws_sul_cancel(&upstream->timer);
	source_remove(upstream->source);
	if (upstream->phase == UPSTREAM_OPEN)
		SSL_shutdown(upstream->ssl);	/* A word of good-bye; nobody waits for the answer. */
	SSL_free(upstream->ssl);
	if (upstream->fd >= 0)
		close(upstream->fd);
	str_done(&upstream->out);
	free(upstream->uid);
	free(upstream);
}

void upstream_write(struct upstream *upstream, const void *bytes, size_t size)
{
	if (upstream->phase > UPSTREAM_OPEN || upstream->is_deaf)
		return;
	str_append_bytes(&upstream->out, bytes, size);
	if (upstream->phase != UPSTREAM_OPEN)
		return;
	flush(upstream);
	watch(upstream);
}

size_t upstream_pending(const struct upstream *upstream)
{
	return upstream->out.size;
}

ssize_t upstream_read(struct upstream *upstream, void *bytes, size_t size, struct err *err)
{
	int n, kind;

	if (upstream->phase == UPSTREAM_ENDED)
		return 0;
	if (upstream->phase == UPSTREAM_FAILED)
		return err_set(err, upstream->err.code, "%s", upstream->err.msg);
	if (upstream->phase != UPSTREAM_OPEN)
		return -EAGAIN;
	ERR_clear_error();
	n = SSL_read(upstream->ssl, bytes, (int)size);
	if (n > 0)
		return n;
	kind = SSL_get_error(upstream->ssl, n);
	if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
		upstream->wants_read = true;
		upstream->reads_want_write = kind == SSL_ERROR_WANT_WRITE;
		watch(upstream);
		return -EAGAIN;
	}
	source_want(upstream->source, 0);
	if (kind == SSL_ERROR_ZERO_RETURN) {
		upstream->phase = UPSTREAM_ENDED;
		return 0;
	}
	upstream->phase = UPSTREAM_FAILED;
	peer_tls_failed(upstream->ssl, n, &upstream->err);
	return err_set(err, upstream->err.code, "%s", upstream->err.msg);
}
