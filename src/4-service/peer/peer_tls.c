#include "4-service/peer/peer_tls.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "4-service/pki/pki.h"
#include "base/mem.h"
#include "base/str.h"

static SSL_CTX *new_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context)
		return NULL;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	return context;
}

static int openssl_failed(struct err *err, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	err_set(err, -EIO, "%s: %s", what, reason ? reason : "OpenSSL cannot do it");
	ERR_clear_error();
	return err->code;
}

int peer_tls_new(const char *folder, SSL_CTX **ret_context, struct err *err)
{
	struct pki_paths paths = pki_paths(folder);
	SSL_CTX *context = new_context();
	int r = 0;

	if (!context || SSL_CTX_load_verify_file(context, paths.ca) != 1)
		r = openssl_failed(err, paths.ca);
	else if (SSL_CTX_use_certificate_file(context, paths.certificate, SSL_FILETYPE_PEM) != 1)
		r = openssl_failed(err, paths.certificate);
	else if (SSL_CTX_use_PrivateKey_file(context, paths.key, SSL_FILETYPE_PEM) != 1)
		r = openssl_failed(err, paths.key);
	pki_paths_done(&paths);
	if (r < 0)
		SSL_CTX_free(context);
	else
		*ret_context = context;
	return r;
}

/* In place of OpenSSL's own: the same, with the one certificate of what was sent that we know as the only root. */
static int verify_by_fingerprint(X509_STORE_CTX *store, void *data)
{
	const char *fingerprint = data;
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store), *roots = sk_X509_new_null();
	char text[PKI_FINGERPRINT_SIZE];
	int r;

	for (int i = 0; roots && i < sk_X509_num(sent); i++) {
		pki_fingerprint_of(sk_X509_value(sent, i), text);
		if (text_equal(text, fingerprint))
			sk_X509_push(roots, sk_X509_value(sent, i));
	}
	X509_STORE_CTX_set0_trusted_stack(store, roots);
	r = roots ? X509_verify_cert(store) : 0;
	X509_STORE_CTX_set0_trusted_stack(store, NULL);
	sk_X509_free(roots);
	return r;
}

int peer_tls_new_for_join(const char *fingerprint, SSL_CTX **ret_context, struct err *err)
{
	SSL_CTX *context = new_context();

	if (!context)
		return openssl_failed(err, "TLS");
	SSL_CTX_set_cert_verify_callback(context, verify_by_fingerprint, (void *)(uintptr_t)fingerprint);
	*ret_context = context;
	return 0;
}

int peer_tls_check(const SSL *ssl, const char *uid, struct err *err)
{
	const X509 *certificate = SSL_get0_peer_certificate(ssl);
	struct pki_identity identity;
	int r;

	if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK)
		return err_set(err, -EACCES, "it shows no certificate of this cluster");
	r = pki_identify(certificate, &identity, err);
	if (r < 0)
		return r;
	if (!identity.is_node)
		return err_set(err, -EACCES, "it shows a user's certificate, that of '%s', not a host's", shown(identity.name));
	if (uid && !text_equal(identity.name, uid))
		return err_set(err, -EACCES, "it shows the certificate of node %s, not of %s: is its address right?", shown(identity.name),
			       shown(uid));
	return 0;
}

/* TLS 1.3 says only while reading that a certificate was not taken. */
static bool is_refusal(int reason)
{
	return reason == SSL_R_TLSV1_ALERT_UNKNOWN_CA || reason == SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN ||
	       reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE || reason == SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED ||
	       reason == SSL_R_TLSV1_ALERT_DECRYPT_ERROR || reason == SSL_R_TLSV1_ALERT_ACCESS_DENIED ||
	       reason == SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED || reason == SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE ||
	       reason == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED;
}

int peer_tls_failed(const SSL *ssl, int result, struct err *err)
{
	int kind = SSL_get_error(ssl, result), saved = errno;
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);
	long verdict = SSL_get_verify_result(ssl);

	ERR_clear_error();
	if (code && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return err_set(err, -EACCES, "its certificate is not of this cluster (%s)", X509_verify_cert_error_string(verdict));
	if (code && is_refusal(ERR_GET_REASON(code)))
		return err_set(err, -EACCES, "it does not take this host's certificate (%s): is this host in its cluster?", reason);
	if (kind == SSL_ERROR_SYSCALL && saved)
		return err_set(err, -ECONNRESET, "%s", strerror(saved));
	return err_set(err, -ECONNRESET, "%s", reason && kind == SSL_ERROR_SSL ? reason : "it has ended the connection");
}

int peer_address(const char *text, bool may_resolve, struct sockaddr_storage *ret_address, socklen_t *ret_size, struct err *err)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICSERV | (may_resolve ? 0 : AI_NUMERICHOST), .ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(text, ':');
	auto_free char *host = text_copy_length(text, colon ? (size_t)(colon - text) : 0);
	struct addrinfo *info = NULL;
	size_t length = strlen(host);
	int r;

	if (!length || !colon[1])
		return err_set(err, -EINVAL, "'%s' is not of the form ADDRESS:PORT", shown(text));
	if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
		memmove(host, host + 1, length - 2);
		host[length - 2] = '\0';
	}
	r = getaddrinfo(host, colon + 1, &hints, &info);
	if (r != 0)
		return err_set(err, -EHOSTUNREACH, "'%s': %s", shown(text), gai_strerror(r));
	memcpy(ret_address, info->ai_addr, info->ai_addrlen);
	*ret_size = info->ai_addrlen;
	freeaddrinfo(info);
	return 0;
}
