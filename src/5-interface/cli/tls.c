/*
 * TLS with certificates on both sides (TLS 1.2 or newer), for a daemon on another machine.
 *
 * The server must show a certificate that --ca vouches for and that names the address asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "5-interface/cli/stream.h"
#include "base/mem.h"
#include "base/str.h"

enum { HANDSHAKE_TIMEOUT_MS = 20000 };

struct tls_stream {
	struct stream base;
	SSL_CTX *context;
	SSL *ssl;
};

static struct tls_stream *tls_of(struct stream *stream)
{
	return container_of(stream, struct tls_stream, base);
}

static const char *tls_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason ? reason : "the connection ended";
}

/* What a failed SSL_ call means: -EAGAIN with 'wants', 0 for the peer's goodbye, or an error. */
static int tls_result(struct tls_stream *tls, int result, struct err *err)
{
	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		tls->base.wants = POLLIN;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		tls->base.wants = POLLOUT;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return err_set(err, -EIO, "TLS: %s", tls_reason());
	}
}

static ssize_t tls_read(struct stream *stream, void *buffer, size_t size, struct err *err)
{
	struct tls_stream *tls = tls_of(stream);
	size_t count = 0;
	int result;

	ERR_clear_error();
	result = SSL_read_ex(tls->ssl, buffer, size, &count);
	return result > 0 ? (ssize_t)count : tls_result(tls, result, err);
}

static ssize_t tls_write(struct stream *stream, const void *bytes, size_t size, struct err *err)
{
	struct tls_stream *tls = tls_of(stream);
	size_t count = 0;
	int result;

	ERR_clear_error();
	result = SSL_write_ex(tls->ssl, bytes, size, &count);
	if (result > 0)
		return (ssize_t)count;
	result = tls_result(tls, result, err);
	return result ? result : err_set(err, -ECONNRESET, "the daemon ended the connection");
}

static void tls_close(struct stream *stream)
{
	struct tls_stream *tls = tls_of(stream);

	if (tls->ssl && SSL_is_init_finished(tls->ssl))
		SSL_shutdown(tls->ssl);
	SSL_free(tls->ssl);
	SSL_CTX_free(tls->context);
	if (stream->fd >= 0)
		close(stream->fd);
	free(tls);
}

static const struct stream_ops tls_ops = { .read = tls_read, .write = tls_write, .close = tls_close };

static int connect_tcp(const struct stream_target *target, int *ret_fd, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	int result = getaddrinfo(target->host, target->port, &hints, &found);
	int error = EADDRNOTAVAIL;

	if (result)
		return err_set(err, -EHOSTUNREACH, "host '%s' is not known: %s", shown(target->host),
			       gai_strerror(result));
	for (struct addrinfo *at = found; at; at = at->ai_next) {
		auto_close int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);

		if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) == 0 &&
		    fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0) {
			*ret_fd = take_fd(fd);
			freeaddrinfo(found);
			return 0;
		}
		error = errno;
	}
	freeaddrinfo(found);
	return err_set(err, -error, "no daemon answers on https://%s:%s: set it to listen there with "
		       "'strata config set api.listen' (%m)", shown(target->host), shown(target->port));
}

static int load_identity(struct tls_stream *tls, const struct stream_target *target, struct err *err)
{
	if (!target->certificate || !target->key || !target->authority)
		return err_set(err, -EINVAL, "--host needs --cert, --key and --ca: make them on the host with "
			       "'strata cert issue NAME'");
	if (SSL_CTX_use_certificate_chain_file(tls->context, target->certificate) != 1)
		return err_set(err, -EINVAL, "--cert %s: %s", shown(target->certificate), tls_reason());
	if (SSL_CTX_use_PrivateKey_file(tls->context, target->key, SSL_FILETYPE_PEM) != 1)
		return err_set(err, -EINVAL, "--key %s: %s", shown(target->key), tls_reason());
	if (SSL_CTX_load_verify_file(tls->context, target->authority) != 1)
		return err_set(err, -EINVAL, "--ca %s: %s", shown(target->authority), tls_reason());
	return 0;
}

static int expect_name(struct tls_stream *tls, const char *host, struct err *err)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return 0;
	ERR_clear_error();
	if (SSL_set1_host(tls->ssl, host) != 1 || SSL_set_tlsext_host_name(tls->ssl, host) != 1)
		return err_set(err, -EINVAL, "--host: '%s' is not a host name", shown(host));
	return 0;
}

static int handshake(struct tls_stream *tls, const struct stream_target *target, struct err *err)
{
	for (;;) {
		struct pollfd fd = { .fd = tls->base.fd };
		int result, count;

		ERR_clear_error();
		result = SSL_connect(tls->ssl);
		if (result == 1)
			return 0;
		result = tls_result(tls, result, err);
		if (result != -EAGAIN) {
			long verified = SSL_get_verify_result(tls->ssl);

			return err_set(err, -EACCES, "no trust between us and https://%s:%s: %s", shown(target->host),
				       shown(target->port), verified != X509_V_OK ?
				       X509_verify_cert_error_string(verified) : tls_reason());
		}
		fd.events = tls->base.wants;
		count = poll(&fd, 1, HANDSHAKE_TIMEOUT_MS);
		if (count == 0)
			return err_set(err, -ETIMEDOUT, "https://%s:%s does not answer: is it a Strata daemon?",
				       shown(target->host), shown(target->port));
	}
}

int stream_open_tls(const struct stream_target *target, struct stream **ret_stream, struct err *err)
{
	struct tls_stream *tls = alloc(sizeof(*tls));
	int result;

	tls->base = (struct stream){ .ops = &tls_ops, .fd = -1 };
	tls->context = SSL_CTX_new(TLS_client_method());
	if (!tls->context)
		abort();
	SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
	SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
	/* What a retry of a write sends has been moved meanwhile: only its bytes are the same. */
	SSL_CTX_set_mode(tls->context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);

	result = load_identity(tls, target, err);
	if (result == 0)
		result = connect_tcp(target, &tls->base.fd, err);
	if (result == 0) {
		tls->ssl = SSL_new(tls->context);
		if (!tls->ssl || SSL_set_fd(tls->ssl, tls->base.fd) != 1)
			abort();
		result = expect_name(tls, target->host, err);
	}
	if (result == 0)
		result = handshake(tls, target, err);
	if (result < 0) {
		tls_close(&tls->base);
		return result;
	}
	*ret_stream = &tls->base;
	return 0;
}
