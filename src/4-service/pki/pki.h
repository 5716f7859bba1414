/*
 * pki.h - the certificates of a cluster (X.509, RFC 5280; EC P-256): its CA, its hosts, its users.
 *
 * All lie in one folder, private keys with mode 0600: ca.key, ca.crt, server.key, server.crt (the host's).  A host by
 * itself makes a CA when one is first needed.  The CA of the first host of a cluster is the cluster's, and a host that
 * joins is given it with its key, so that any host can let the next one in and renews its own certificate.
 *
 * Who a certificate names (pki_identify):
 *	a host:	O = "strata-node", CN = uid of the node, for servers and clients; names and addresses of the host
 *	a user:	O = "Strata", CN = the user's name, for clients only
 * What is signed for a user cannot have another O, so a user never passes as a host.
 *
 * Joining: pki_make_request() on the new host, whose key never leaves it; pki_sign_host() on one that has the CA's key;
 * pki_store_host() on the new one, which changes all files of the folder in one step (rename(2) of the folder).
 *
 * Errors:  -errno; the message names the file, the field or the step.
 * Memory:  texts in a 'struct pki_host' are borrowed.
 * Threads: any; processes and threads that make a CA in one folder wait for each other.
 */
#ifndef PKI_H
#define PKI_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum {
	PKI_RENEW_DAYS = 30,		/* A host's certificate is renewed when it has less left. */
	PKI_ADDRESSES_MAX = 16,		/* Per host. */
	PKI_REQUEST_BYTES_MAX = 8 << 10,	/* A certificate signing request. */
	PKI_FINGERPRINT_SIZE = 65,	/* 64 lower-case hex digits and a zero. */
	PKI_NAME_SIZE = 65,		/* Common name, RFC 5280 ub-common-name. */
};

struct pki_host {
	const char *uid;		/* Of the node. */
	const char *name;		/* Of the node; null: none. */
	const char *const *addresses;	/* Numeric, IPv4 or IPv6. */
	size_t address_count;
};

struct pki_identity {
	bool is_node;			/* Else a user. */
	char name[PKI_NAME_SIZE];	/* Uid of the node, name of the user. */
};

struct pki_paths { char *certificate, *key, *ca; };	/* Of files; owned. */
struct pki_user { struct str certificate, key, ca; };	/* PEM; owned. */
struct pki_ca { struct str certificate, key; };		/* PEM; owned. */

/* Makes sure that there is a CA. */
int pki_make_ca(const char *folder, struct err *err);
bool pki_has_ca_key(const char *folder);		/* So that it can sign. */
int pki_fingerprint(const char *folder, char text[PKI_FINGERPRINT_SIZE], struct err *err);	/* SHA-256 of the CA's DER. */
int pki_get_ca(const char *folder, struct pki_ca *ret_ca, struct err *err);	/* For a host that joins. */
void pki_ca_done(struct pki_ca *ca);

/*
 * Makes sure that this host has a certificate of its CA for this uid, these names and addresses, "localhost" and the
 * name the kernel knows, which lasts PKI_RENEW_DAYS; the CA too.  -ENOKEY: it must be made anew, and the CA's key is elsewhere.
 */
int pki_prepare_host(const char *folder, const struct pki_host *host, struct err *err);
struct pki_paths pki_paths(const char *folder);	/* Of the host's certificate and its CA. */
void pki_paths_done(struct pki_paths *paths);
int pki_days_left(const char *folder, int *ret_days, struct err *err);	/* Of the host's certificate; 0: it has ended. */

/* A new key, which waits beside the folder, and the request (PKCS #10, PEM) for its certificate. */
int pki_make_request(const char *folder, struct str *ret_request, struct err *err);
/*
 * Signs the request's key; whatever else the request asks for is ignored: names come from 'host'. -EINVAL: the request
 * is not proven to come from the key's owner, or the key is not EC P-256.
 */
int pki_sign_host(const char *folder, const char *request, size_t size, const struct pki_host *host, struct str *ret_certificate,
		  struct err *err);
/*
 * Takes what has come for the request made last: the certificate must be of that key, for this uid, and of that CA. The CA's key
 * may be empty. All or nothing, whatever happens.
 */
int pki_store_host(const char *folder, const char *uid, const char *certificate, const struct pki_ca *ca, struct err *err);

/* A user's certificate; the key is kept nowhere. */
int pki_issue_user(const char *folder, const char *name, struct pki_user *ret_user, struct err *err);
void pki_user_done(struct pki_user *user);

/* The certificate has been verified against the CA already. -EACCES: it names neither a host nor a user. */
int pki_identify(const X509 *certificate, struct pki_identity *ret_identity, struct err *err);
void pki_fingerprint_of(const X509 *certificate, char text[PKI_FINGERPRINT_SIZE]);

/*
 * Copies of CA and host certificate as QEMU's tls-creds-x509 wants them in 'target', which is made (0700): ca-cert.pem,
 * server-cert.pem, server-key.pem, client-cert.pem, client-key.pem. Who owns them is the caller's business.
 */
int pki_export_for_qemu(const char *folder, const char *target, struct err *err);

#endif
