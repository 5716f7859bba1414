/*
 * peer_tls.h - our side of TLS to another host of the cluster: what it must show, what we show.
 *
 * Errors:  -EACCES: the other side is not who it should be, or does not take us; the message says which.
 * Threads: a context may be used by several; an SSL belongs to one.
 */
#ifndef PEER_TLS_H
#define PEER_TLS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"

/* Trusts the CA of the folder (pki.h) and shows its host certificate. */
int peer_tls_new(const char *folder, SSL_CTX **ret_context, struct err *err);
/* Trusts the CA with this fingerprint, which the other side has to send along, and shows nothing. 'fingerprint' is borrowed. */
int peer_tls_new_for_join(const char *fingerprint, SSL_CTX **ret_context, struct err *err);

/* After the handshake: the other side is a host, and the node 'uid' unless that is null. */
int peer_tls_check(const SSL *ssl, const char *uid, struct err *err);
/* Why a call of OpenSSL has failed; 'result' is what it returned. Empties OpenSSL's queue of errors. */
int peer_tls_failed(const SSL *ssl, int result, struct err *err);

/* "192.0.2.1:8443", "[::1]:8443". Names are looked up, which blocks, only with 'may_resolve'. */
int peer_address(const char *text, bool may_resolve, struct sockaddr_storage *ret_address, socklen_t *ret_size, struct err *err);

#endif
