/*
 * certificate.h - keys, certificates and requests as OpenSSL's objects: making them, PEM, files.
 *
 * Errors:  -EIO: OpenSSL cannot do the step; -EINVAL: the text or file is not what it should be; files: -errno.
 * Threads: any.
 */
#ifndef PKI_CERTIFICATE_H
#define PKI_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/err.h"
#include "base/str.h"

static inline void keyp(EVP_PKEY **key) { EVP_PKEY_free(*key); }
static inline void certificatep(X509 **certificate) { X509_free(*certificate); }
static inline void requestp(X509_REQ **request) { X509_REQ_free(*request); }
static inline void biop(BIO **bio) { BIO_free(*bio); }
#define auto_key __attribute__((cleanup(keyp)))
#define auto_certificate __attribute__((cleanup(certificatep)))
#define auto_request __attribute__((cleanup(requestp)))
#define auto_bio __attribute__((cleanup(biop)))

struct authority {
	EVP_PKEY *key;
	X509 *certificate;
};
void authority_done(struct authority *authority);
#define auto_authority __attribute__((cleanup(authority_done)))

struct certificate_wish {
	const char *organization, *common_name;
	const char *usage;		/* extendedKeyUsage as OpenSSL writes it, "serverAuth"; null: it is a CA's. */
	const char *names;		/* subjectAltName as OpenSSL writes it, "IP:::1,DNS:a"; null: none. */
	bool is_key_usage_critical;
	long days;
};

int key_make(EVP_PKEY **ret_key, struct err *err);
bool key_is_ours(EVP_PKEY *key);		/* EC P-256. */

/* Of this key; signed by the authority, or by itself when that is null. */
int certificate_make(const struct certificate_wish *wish, EVP_PKEY *key, const struct authority *authority,
		     X509 **ret_certificate, struct err *err);
/* Names nobody: a name is given by who signs. */
int request_make(EVP_PKEY *key, struct str *ret_text, struct err *err);
/* The key of a request that is signed with it. */
int request_read(const char *text, size_t size, EVP_PKEY **ret_key, struct err *err);

/* PEM, appended. A text of a key is to be cleansed (text_cleanse). */
int key_write(EVP_PKEY *key, struct str *out, struct err *err);
int certificate_write(X509 *certificate, struct str *out, struct err *err);
/* 'what' names the text in errors: a path, a field. */
int key_read(const char *text, size_t size, const char *what, EVP_PKEY **ret_key, struct err *err);
int certificate_read(const char *text, size_t size, const char *what, X509 **ret_certificate, struct err *err);

int key_save(const char *path, EVP_PKEY *key, struct err *err);		/* Mode 0600. */
int certificate_save(const char *path, X509 *certificate, struct err *err);
int key_load(const char *path, EVP_PKEY **ret_key, struct err *err);
int certificate_load(const char *path, X509 **ret_certificate, struct err *err);

void text_cleanse(struct str *text);		/* A key must not linger in freed memory. */
#define auto_secret __attribute__((cleanup(text_cleanse)))

#endif
