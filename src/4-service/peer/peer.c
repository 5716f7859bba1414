/*
 * One request, one answer, one deadline. The socket never blocks; waiting is poll(2), a tenth of a second at most, so
 * that a cancelled worker goes home.
 */
#include "4-service/peer/peer.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "4-service/peer/answer.h"
#include "4-service/peer/peer_tls.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

enum { TICK_MS = 100, READ_BYTES = 16 << 10 };

struct exchange {
	const struct peer_request *request;
	int64_t deadline_ms;		/* Monotonic. */
	int fd;
	SSL_CTX *context;
	SSL *ssl;
};

static void exchange_done(struct exchange *exchange)
{
	SSL_free(exchange->ssl);
	SSL_CTX_free(exchange->context);
	if (exchange->fd >= 0)
		close(exchange->fd);
}

static int wait_for(const struct exchange *exchange, short events, int64_t deadline_ms, struct err *err)
{
	struct pollfd p = { .fd = exchange->fd, .events = events };

	for (;;) {
		int64_t left_ms = deadline_ms - clock_monotonic_ms();
		int n;

		if (exchange->request->is_cancelled && __atomic_load_n(exchange->request->is_cancelled, __ATOMIC_RELAXED))
			return err_set(err, -ECANCELED, "cancelled");
		if (left_ms <= 0)
			return err_set(err, -ETIMEDOUT, "it does not answer in time");
		n = poll(&p, 1, left_ms < TICK_MS ? (int)left_ms : TICK_MS);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "poll: %m");
	}
}

static int dial(struct exchange *exchange, struct err *err)
{
	int64_t deadline_ms = clock_monotonic_ms() + PEER_CONNECT_MS;
	struct sockaddr_storage address;
	int failure = 0, r;
	socklen_t size;

	r = peer_address(exchange->request->address, true, &address, &size, err);
	if (r < 0)
		return r;
	exchange->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (exchange->fd < 0)
		return err_set(err, -errno, "socket: %m");
	if (connect(exchange->fd, (const struct sockaddr *)&address, size) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return err_set(err, -EHOSTUNREACH, "%s", strerror(errno));
	r = wait_for(exchange, POLLOUT, deadline_ms < exchange->deadline_ms ? deadline_ms : exchange->deadline_ms, err);
	if (r == -ETIMEDOUT)
		return err_set(err, -EHOSTUNREACH, "nothing answers there");
	size = sizeof(failure);
	if (r == 0 && (getsockopt(exchange->fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0 || failure))
		return err_set(err, -EHOSTUNREACH, "%s", strerror(failure));
	return r;
}

/* A call of OpenSSL has returned "result": 0: make it again. */
static int wait_tls(struct exchange *exchange, int result, struct err *err)
{
	switch (SSL_get_error(exchange->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(exchange, POLLIN, exchange->deadline_ms, err);
	case SSL_ERROR_WANT_WRITE:
		return wait_for(exchange, POLLOUT, exchange->deadline_ms, err);
	default:
		return peer_tls_failed(exchange->ssl, result, err);
	}
}

static int shake_hands(struct exchange *exchange, struct err *err)
{
	const struct peer_request *request = exchange->request;
	int r, n;

	r = request->ca_fingerprint ? peer_tls_new_for_join(request->ca_fingerprint, &exchange->context, err)
				    : peer_tls_new(request->folder, &exchange->context, err);
	if (r < 0)
		return r;
	exchange->ssl = SSL_new(exchange->context);
	if (!exchange->ssl || SSL_set_fd(exchange->ssl, exchange->fd) != 1)
		return err_set(err, -EIO, "OpenSSL cannot begin");
	while ((n = SSL_connect(exchange->ssl)) != 1)
		if ((r = wait_tls(exchange, n, err)) < 0)
			return r;
	return peer_tls_check(exchange->ssl, request->node_uid, err);
}

static int send_all(struct exchange *exchange, const struct str *text, struct err *err)
{
	for (size_t sent = 0; sent < text->size; ) {
		int n = SSL_write(exchange->ssl, text->data + sent, (int)(text->size - sent)), r;

		if (n > 0)
			sent += (size_t)n;
		else if ((r = wait_tls(exchange, n, err)) < 0)
			return r;
	}
	return 0;
}

static int send_request(struct exchange *exchange, struct err *err)
{
	const struct peer_request *request = exchange->request;
	auto_str struct str text = { 0 };

	str_printf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", request->method, request->path, request->address);
	if (request->body)
		str_printf(&text, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(request->body));
	str_append(&text, "\r\n");
	str_append(&text, request->body ? request->body : "");
	return send_all(exchange, &text, err);
}

/* 1: some has come, 0: there will be no more. */
static int read_some(struct exchange *exchange, struct str *text, struct err *err)
{
	char bytes[READ_BYTES];
	int r;

	for (;;) {
		int n = SSL_read(exchange->ssl, bytes, sizeof(bytes));

		if (n > 0) {
			str_append_bytes(text, bytes, (size_t)n);
			return 1;
		}
		if (SSL_get_error(exchange->ssl, n) == SSL_ERROR_ZERO_RETURN)
			return 0;
		if ((r = wait_tls(exchange, n, err)) < 0)
			return r;
	}
}

static int read_head(struct exchange *exchange, struct str *text, struct answer_head *head, struct err *err)
{
	int r;

	while ((r = answer_read_head(str_text(text), text->size, head, err)) == 0)
		if ((r = read_some(exchange, text, err)) <= 0)
			return r < 0 ? r : err_set(err, -ECONNRESET, "it has ended the connection without an answer");
	return r < 0 ? r : 0;
}

static int read_body(struct exchange *exchange, struct str *text, struct answer_head *head, struct err *err)
{
	int r;

	if (head->content_length < 0 || head->content_length > PEER_ANSWER_BYTES_MAX)
		return err_set(err, -EPROTO, "its answer has no length, or is larger than %d bytes", PEER_ANSWER_BYTES_MAX);
	while (text->size - head->size < (size_t)head->content_length)
		if ((r = read_some(exchange, text, err)) <= 0)
			return r < 0 ? r : err_set(err, -ECONNRESET, "it has ended the connection in the middle of its answer");
	return 0;
}

static int decode_answer(const struct str *text, const struct answer_head *head, struct json **ret_answer, struct err *err)
{
	const char *body = text->data + head->size;
	size_t size = (size_t)head->content_length;

	if (head->status < 200 || head->status > 299)
		return answer_error(head->status, body, size, err);
	if (!size)
		*ret_answer = NULL;
	return size ? json_parse(body, size, ret_answer, err) : 0;
}

static int begin(struct exchange *exchange, struct str *text, struct answer_head *head, struct err *err)
{
	int r = dial(exchange, err);

	if (r == 0)
		r = shake_hands(exchange, err);
	if (r == 0)
		r = send_request(exchange, err);
	return r < 0 ? r : read_head(exchange, text, head, err);
}

int peer_ask(const struct peer_request *request, struct json **ret_answer, struct err *err)
{
	struct exchange exchange = { .request = request, .deadline_ms = clock_monotonic_ms() + request->timeout_ms, .fd = -1 };
	auto_str struct str text = { 0 };
	struct answer_head head = { 0 };
	int r;

	r = begin(&exchange, &text, &head, err);
	if (r == 0)
		r = read_body(&exchange, &text, &head, err);
	exchange_done(&exchange);
	if (r < 0)
		return err_prefix(err, "the host at '%s' cannot be asked", shown(request->address));
	return decode_answer(&text, &head, ret_answer, err);
}

static int write_all(int fd, const char *bytes, size_t size, struct err *err)
{
	while (size) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "write: %m");
		bytes += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* 'text' has the head and what came with it. */
static int pass_body(struct exchange *exchange, struct str *text, const struct answer_head *head, int to_fd, struct err *err)
{
	int64_t left = head->content_length;
	int r;

	if (left < 0)
		return err_set(err, -EPROTO, "its answer has no length");
	str_remove_front(text, head->size);
	for (;;) {
		if ((int64_t)text->size > left)
			return err_set(err, -EPROTO, "its answer is longer than it says");
		r = write_all(to_fd, str_text(text), text->size, err);
		left -= (int64_t)text->size;
		str_clear(text);
		if (r < 0 || left == 0)
			return r;
		exchange->deadline_ms = clock_monotonic_ms() + exchange->request->timeout_ms;
		if ((r = read_some(exchange, text, err)) <= 0)
			return r < 0 ? r : err_set(err, -ECONNRESET, "it has ended the connection in the middle of its answer");
	}
}

int peer_get(const struct peer_request *request, int to_fd, struct err *err)
{
	struct exchange exchange = { .request = request, .deadline_ms = clock_monotonic_ms() + request->timeout_ms, .fd = -1 };
	auto_str struct str text = { 0 };
	struct answer_head head = { 0 };
	bool is_refused;
	int r = begin(&exchange, &text, &head, err);

	is_refused = r == 0 && (head.status < 200 || head.status > 299);
	if (is_refused)
		r = read_body(&exchange, &text, &head, err);
	else if (r == 0)
		r = pass_body(&exchange, &text, &head, to_fd, err);
	exchange_done(&exchange);
	if (r < 0)
		return err_prefix(err, "the host at '%s' cannot be asked", shown(request->address));
	return is_refused ? answer_error(head.status, text.data + head.size, (size_t)head.content_length, err) : 0;
}
