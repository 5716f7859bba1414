/*
 * tls.h - the certificates of the TLS listener: what it shows, whom it lets in.
 *
 * Errors:  -EIO: OpenSSL does not take a file; -errno of pki.h.
 * Threads: the server's.
 */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include <openssl/types.h>

#include "4-service/pki/pki.h"
#include "5-interface/http/peer.h"
#include "base/err.h"

/* Whether OpenSSL takes them. Any thread. */
int tls_try(const struct pki_paths *paths, struct err *err);
/* Certificate, key and CA out of the files, for the connections to come. Nothing has changed when it fails. */
int tls_load(SSL_CTX *context, const struct pki_paths *paths, struct err *err);

/* Who is at the other end of a connection whose handshake is done. */
void tls_identify(SSL *ssl, struct peer *peer);

#endif
