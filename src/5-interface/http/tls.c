#include "5-interface/http/tls.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

enum { CA_DAYS = 3650, CERTIFICATE_DAYS = 397, RENEW_DAYS = 30, FILE_BYTES_MAX = 64 << 10, DAY_S = 86400 };
enum { CLOCK_SKEW_S = 300, SERIAL_BYTES = 16, HOST_NAME_BYTES = 256 };

static void keyp(EVP_PKEY **key) { EVP_PKEY_free(*key); }
static void certificatep(X509 **certificate) { X509_free(*certificate); }
static void biop(BIO **bio) { BIO_free(*bio); }
#define auto_key __attribute__((cleanup(keyp)))
#define auto_certificate __attribute__((cleanup(certificatep)))
#define auto_bio __attribute__((cleanup(biop)))

struct authority {
	EVP_PKEY *key;
	X509 *certificate;
};

static void authority_done(struct authority *authority)
{
	EVP_PKEY_free(authority->key);
	X509_free(authority->certificate);
}
#define auto_authority __attribute__((cleanup(authority_done)))

static int openssl_failed(struct err *err, const char *what)
{
	return err_set(err, -EIO, "OpenSSL cannot %s", what);
}

/* Text of a key or a certificate: one of them is null. */
static int to_pem(EVP_PKEY *key, X509 *certificate, struct str *out, struct err *err)
{
	auto_bio BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	long size;
	int ok;

	if (!bio)
		return openssl_failed(err, "allocate");
	ok = key ? PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) : PEM_write_bio_X509(bio, certificate);
	if (!ok)
		return openssl_failed(err, "write PEM");
	size = BIO_get_mem_data(bio, &data);
	str_append_bytes(out, data, (size_t)size);
	return 0;
}

static int save(const char *path, EVP_PKEY *key, X509 *certificate, struct err *err)
{
	auto_str struct str text = { 0 };
	int r = to_pem(key, certificate, &text, err);

	return r < 0 ? r : file_write_atomic(path, text.data, text.size, key ? 0600 : 0644, err);
}

static int load_key(const char *path, EVP_PKEY **ret_key, struct err *err)
{
	auto_str struct str text = { 0 };
	auto_bio BIO *bio = NULL;
	int r = file_read_all(path, FILE_BYTES_MAX, &text, err);

	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(str_text(&text), (int)text.size);
	*ret_key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	return *ret_key ? 0 : err_set(err, -EINVAL, "'%s' holds no private key in PEM form", path);
}

static int load_certificate(const char *path, X509 **ret_certificate, struct err *err)
{
	auto_str struct str text = { 0 };
	auto_bio BIO *bio = NULL;
	int r = file_read_all(path, FILE_BYTES_MAX, &text, err);

	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(str_text(&text), (int)text.size);
	*ret_certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	return *ret_certificate ? 0 : err_set(err, -EINVAL, "'%s' holds no certificate in PEM form", path);
}

static bool set_serial(X509 *certificate)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *number = NULL;
	bool ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] &= 0x7f;		/* Positive, RFC 5280 section 4.1.2.2. */
	bytes[0] |= 0x40;
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
	BN_free(number);
	return ok;
}

static bool set_names(X509 *certificate, const char *common_name, const X509 *issuer)
{
	X509_NAME *name = X509_get_subject_name(certificate);

	return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Strata", -1, -1, 0) &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0) &&
	       X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
}

static bool add_extension(X509 *certificate, const X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;
	bool ok;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, (X509 *)(uintptr_t)issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ok = extension && X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	return ok;
}

struct wish {			/* For a certificate. */
	const char *common_name;
	const char *usage;		/* "serverAuth", "clientAuth"; null: it is the CA's. */
	const char *names;		/* subjectAltName, or null. */
	long days;
};

static bool add_extensions(X509 *certificate, const struct wish *wish, const X509 *issuer)
{
	bool is_ca = !wish->usage;

	return add_extension(certificate, issuer, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
	       add_extension(certificate, issuer, NID_key_usage,
			     is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") &&
	       (is_ca || add_extension(certificate, issuer, NID_ext_key_usage, wish->usage)) &&
	       (!wish->names || add_extension(certificate, issuer, NID_subject_alt_name, wish->names)) &&
	       add_extension(certificate, issuer, NID_subject_key_identifier, "hash") &&
	       (is_ca || add_extension(certificate, issuer, NID_authority_key_identifier, "keyid"));
}

/* Signed by the authority, or by itself when that is null. */
static int make_certificate(const struct wish *wish, EVP_PKEY *key, const struct authority *authority,
			    X509 **ret_certificate, struct err *err)
{
	auto_certificate X509 *certificate = X509_new();
	const X509 *issuer = authority ? authority->certificate : certificate;

	if (!certificate || !X509_set_version(certificate, 2) || !set_serial(certificate) ||
	    !X509_gmtime_adj(X509_getm_notBefore(certificate), -CLOCK_SKEW_S) ||
	    !X509_gmtime_adj(X509_getm_notAfter(certificate), wish->days * DAY_S) ||
	    !X509_set_pubkey(certificate, key) || !set_names(certificate, wish->common_name, issuer) ||
	    !add_extensions(certificate, wish, issuer) ||
	    !X509_sign(certificate, authority ? authority->key : key, EVP_sha256()))
		return openssl_failed(err, "make a certificate");
	*ret_certificate = take(certificate);
	return 0;
}

static int make_key(EVP_PKEY **ret_key, struct err *err)
{
	*ret_key = EVP_EC_gen("P-256");
	return *ret_key ? 0 : openssl_failed(err, "make a key");
}

static int make_authority(const char *key_path, const char *path, struct authority *ret_authority, struct err *err)
{
	const struct wish wish = { .common_name = "Strata CA", .days = CA_DAYS };
	int r = make_key(&ret_authority->key, err);

	if (r == 0)
		r = make_certificate(&wish, ret_authority->key, NULL, &ret_authority->certificate, err);
	if (r == 0)
		r = save(key_path, ret_authority->key, NULL, err);
	/* Last: where there is a certificate there is its key. */
	return r < 0 ? r : save(path, NULL, ret_authority->certificate, err);
}

static int get_authority(const char *folder, struct authority *ret_authority, struct err *err)
{
	auto_free char *key_path = text_format("%s/ca.key", folder);
	auto_free char *path = text_format("%s/ca.crt", folder);
	int r = file_make_dirs(folder, 0700, err);

	if (r < 0)
		return r;
	if (access(path, F_OK) < 0)
		return make_authority(key_path, path, ret_authority, err);
	r = load_certificate(path, &ret_authority->certificate, err);
	if (r == 0)
		r = load_key(key_path, &ret_authority->key, err);
	if (r == 0 && X509_check_private_key(ret_authority->certificate, ret_authority->key) != 1)
		r = err_set(err, -EINVAL, "'%s' and '%s' do not belong together: remove both for a new CA", path, key_path);
	return r;
}

/* Null when the host's name cannot stand in a certificate. */
static const char *host_name(char name[HOST_NAME_BYTES])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

	if (gethostname(name, HOST_NAME_BYTES) < 0 || !memchr(name, '\0', HOST_NAME_BYTES))
		return NULL;
	return *name && strlen(name) < 64 && strspn(name, allowed) == strlen(name) ? name : NULL;
}

static bool lasts(const X509 *certificate)
{
	int days = 0, seconds = 0;

	return ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) && days >= RENEW_DAYS;
}

static bool is_fit(X509 *certificate, EVP_PKEY *key, const struct authority *authority, const char *address,
		   const char *host)
{
	return lasts(certificate) && X509_check_private_key(certificate, key) == 1 &&
	       X509_verify(certificate, authority->key) == 1 && X509_check_ip_asc(certificate, address, 0) == 1 &&
	       X509_check_host(certificate, "localhost", 0, 0, NULL) == 1 &&
	       (!host || X509_check_host(certificate, host, 0, 0, NULL) == 1);
}

static int make_server_certificate(const struct authority *authority, const struct tls_files *files,
				   const char *address, const char *host, struct err *err)
{
	auto_free char *names = text_format("IP:%s,DNS:localhost%s%s", address, host ? ",DNS:" : "", host ? host : "");
	const struct wish wish = { .common_name = "Strata", .usage = "serverAuth", .names = names,
				   .days = CERTIFICATE_DAYS };
	auto_certificate X509 *certificate = NULL;
	auto_key EVP_PKEY *key = NULL;
	int r = make_key(&key, err);

	if (r == 0)
		r = make_certificate(&wish, key, authority, &certificate, err);
	if (r == 0)
		r = save(files->key, key, NULL, err);
	return r < 0 ? r : save(files->certificate, NULL, certificate, err);
}

static bool has_fit_certificate(const struct authority *authority, const struct tls_files *files, const char *address,
				const char *host)
{
	auto_certificate X509 *certificate = NULL;
	auto_key EVP_PKEY *key = NULL;
	struct err ignored;

	return load_certificate(files->certificate, &certificate, &ignored) == 0 &&
	       load_key(files->key, &key, &ignored) == 0 && is_fit(certificate, key, authority, address, host);
}

int tls_prepare(const char *folder, const char *address, struct tls_files *ret_files, struct err *err)
{
	auto_authority struct authority authority = { 0 };
	struct tls_files files;
	char buffer[HOST_NAME_BYTES];
	const char *host = host_name(buffer);
	int r = get_authority(folder, &authority, err);

	if (r < 0)
		return r;
	files.certificate = text_format("%s/server.crt", folder);
	files.key = text_format("%s/server.key", folder);
	files.ca = text_format("%s/ca.crt", folder);
	if (!has_fit_certificate(&authority, &files, address, host))
		r = make_server_certificate(&authority, &files, address, host, err);
	if (r < 0)
		tls_files_done(&files);
	else
		*ret_files = files;
	return r;
}

void tls_files_done(struct tls_files *files)
{
	free(files->certificate);
	free(files->key);
	free(files->ca);
	*files = (struct tls_files){ 0 };
}

int tls_issue(const char *folder, const char *name, struct tls_client *ret_client, struct err *err)
{
	const struct wish wish = { .common_name = name, .usage = "clientAuth", .days = CERTIFICATE_DAYS };
	auto_authority struct authority authority = { 0 };
	auto_certificate X509 *certificate = NULL;
	auto_key EVP_PKEY *key = NULL;
	struct tls_client client = { 0 };
	int r = get_authority(folder, &authority, err);

	if (r == 0)
		r = make_key(&key, err);
	if (r == 0)
		r = make_certificate(&wish, key, &authority, &certificate, err);
	if (r == 0)
		r = to_pem(key, NULL, &client.key, err);
	if (r == 0)
		r = to_pem(NULL, certificate, &client.certificate, err);
	if (r == 0)
		r = to_pem(NULL, authority.certificate, &client.ca, err);
	if (r < 0)
		tls_client_done(&client);
	else
		*ret_client = client;
	return r;
}

void tls_client_done(struct tls_client *client)
{
	str_done(&client->certificate);
	/* The key must not linger in freed memory. */
	if (client->key.data)
		OPENSSL_cleanse(client->key.data, client->key.capacity);
	str_done(&client->key);
	str_done(&client->ca);
}
