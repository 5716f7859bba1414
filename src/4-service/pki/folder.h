/*
 * folder.h - what the parts of pki.h share: the CA of a folder, the certificate of a host, who is who.
 *
 * Errors, threads: as pki.h.
 */
#ifndef PKI_FOLDER_H
#define PKI_FOLDER_H

#include "4-service/pki/certificate.h"
#include "4-service/pki/pki.h"

/* O of a certificate's subject, which tells hosts from users. */
#define ORGANIZATION_NODE "strata-node"
#define ORGANIZATION_USER "Strata"		/* Also of the CA. */

enum { CERTIFICATE_DAYS = 397 };

#define auto_paths __attribute__((cleanup(pki_paths_done)))

char *ca_key_path(const char *folder);		/* Owned by the caller. */

/* Makes the CA when there is none. -ENOKEY: only its certificate is here, and that is in *ret_authority. */
int authority_get(const char *folder, struct authority *ret_authority, struct err *err);

/* 'also': a name of the machine that signs for itself, or null. */
int host_certificate_make(const struct pki_host *host, const char *also, EVP_PKEY *key, const struct authority *authority,
			  X509 **ret_certificate, struct err *err);

#endif
