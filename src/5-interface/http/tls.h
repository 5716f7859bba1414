/*
 * tls.h - the daemon's own CA, its server certificate, and certificates for clients (EC P-256).
 *
 * All lie in one folder, private keys with mode 0600: ca.key, ca.crt, server.key, server.crt. They are made
 * when first needed; the server's is made anew when its names no longer fit or it ends within 30 days.
 *
 * Errors:  -errno; the message names the file or the step.
 * Threads: any, one at a time per folder.
 */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include "base/err.h"
#include "base/str.h"

struct tls_files { char *certificate, *key, *ca; };	/* Paths; owned. */

/* Makes sure of CA and server certificate for this address, "localhost" and the host's name. */
int tls_prepare(const char *folder, const char *address, struct tls_files *ret_files, struct err *err);
void tls_files_done(struct tls_files *files);

struct tls_client { struct str certificate, key, ca; };	/* PEM */

/* A client certificate with this common name; the key is kept nowhere. */
int tls_issue(const char *folder, const char *name, struct tls_client *ret_client, struct err *err);
void tls_client_done(struct tls_client *client);

#endif
