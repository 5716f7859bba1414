#include "5-interface/http/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"

static int not_taken(const char *path, struct err *err)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	err_set(err, -EIO, "%s: %s", path, reason ? reason : "OpenSSL does not take it");
	ERR_clear_error();
	return err->code;
}

int tls_try(const struct pki_paths *paths, struct err *err)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	int r = 0;

	if (!context || SSL_CTX_load_verify_file(context, paths->ca) != 1)
		r = not_taken(paths->ca, err);
	else if (SSL_CTX_use_certificate_file(context, paths->certificate, SSL_FILETYPE_PEM) != 1)
		r = not_taken(paths->certificate, err);
	else if (SSL_CTX_use_PrivateKey_file(context, paths->key, SSL_FILETYPE_PEM) != 1)
		r = not_taken(paths->key, err);
	SSL_CTX_free(context);
	return r;
}

int tls_load(SSL_CTX *context, const struct pki_paths *paths, struct err *err)
{
	X509_STORE *store = X509_STORE_new();
	int r = tls_try(paths, err);	/* Half of a change would shut everybody out. */

	if (r == 0 && (!store || X509_STORE_load_file(store, paths->ca) != 1))
		r = not_taken(paths->ca, err);
	if (r < 0) {
		X509_STORE_free(store);
		return r;
	}
	SSL_CTX_set_cert_store(context, store);		/* Takes it. */
	SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(paths->ca));
	if (SSL_CTX_use_certificate_file(context, paths->certificate, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, paths->key, SSL_FILETYPE_PEM) != 1)
		return not_taken(paths->certificate, err);
	return 0;
}

void tls_identify(SSL *ssl, struct peer *peer)
{
	const X509 *certificate = SSL_get0_peer_certificate(ssl);
	struct pki_identity identity;
	struct err ignored;		/* A certificate of our CA that names nobody is as good as none. */

	peer->is_stranger = !certificate || pki_identify(certificate, &identity, &ignored) < 0;
	peer->is_allowed = true;	/* Strangers not for everything: see stranger.c. */
	if (peer->is_stranger)
		return;
	peer->is_node = identity.is_node;
	peer->subject = text_copy(identity.name);
}
