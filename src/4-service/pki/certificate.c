#include "4-service/pki/certificate.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/file.h"
#include "base/mem.h"

/* Clocks that are hours behind must not lock a host out of its own cluster. */
enum { FILE_BYTES_MAX = 64 << 10, DAY_S = 86400, CLOCK_SKEW_S = DAY_S, SERIAL_BYTES = 16 };

void authority_done(struct authority *authority)
{
	EVP_PKEY_free(authority->key);
	X509_free(authority->certificate);
}

static int openssl_failed(struct err *err, const char *what)
{
	return err_set(err, -EIO, "OpenSSL cannot %s", what);
}

int key_make(EVP_PKEY **ret_key, struct err *err)
{
	*ret_key = EVP_EC_gen("P-256");
	return *ret_key ? 0 : openssl_failed(err, "make a key");
}

bool key_is_ours(EVP_PKEY *key)
{
	char curve[32] = "";

	return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL) &&
	       text_equal(curve, "prime256v1");
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

static bool set_names(X509 *certificate, const struct certificate_wish *wish, const X509 *issuer)
{
	X509_NAME *name = X509_get_subject_name(certificate);
	const unsigned char *organization = (const unsigned char *)wish->organization;
	const unsigned char *common_name = (const unsigned char *)wish->common_name;

	return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, organization, -1, -1, 0) &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, common_name, -1, -1, 0) &&
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

static bool add_extensions(X509 *certificate, const struct certificate_wish *wish, const X509 *issuer)
{
	bool is_ca = !wish->usage;

	return add_extension(certificate, issuer, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
	       add_extension(certificate, issuer, NID_key_usage,
			     is_ca ? "critical,keyCertSign,cRLSign" :
			     wish->is_key_usage_critical ? "critical,digitalSignature" : "digitalSignature") &&
	       (is_ca || add_extension(certificate, issuer, NID_ext_key_usage, wish->usage)) &&
	       (!wish->names || add_extension(certificate, issuer, NID_subject_alt_name, wish->names)) &&
	       add_extension(certificate, issuer, NID_subject_key_identifier, "hash") &&
	       (is_ca || add_extension(certificate, issuer, NID_authority_key_identifier, "keyid"));
}

int certificate_make(const struct certificate_wish *wish, EVP_PKEY *key, const struct authority *authority,
		     X509 **ret_certificate, struct err *err)
{
	auto_certificate X509 *certificate = X509_new();
	const X509 *issuer = authority ? authority->certificate : certificate;

	if (!certificate || !X509_set_version(certificate, 2) || !set_serial(certificate) ||
	    !X509_gmtime_adj(X509_getm_notBefore(certificate), -CLOCK_SKEW_S) ||
	    !X509_gmtime_adj(X509_getm_notAfter(certificate), wish->days * DAY_S) ||
	    !X509_set_pubkey(certificate, key) || !set_names(certificate, wish, issuer) ||
	    !add_extensions(certificate, wish, issuer) ||
	    !X509_sign(certificate, authority ? authority->key : key, EVP_sha256()))
		return openssl_failed(err, "make a certificate");
	*ret_certificate = take(certificate);
	return 0;
}

static void append_bio(BIO *bio, struct str *out)
{
	char *data;
	long size = BIO_get_mem_data(bio, &data);

	str_append_bytes(out, data, (size_t)size);
}

int request_make(EVP_PKEY *key, struct str *ret_text, struct err *err)
{
	auto_request X509_REQ *request = X509_REQ_new();
	auto_bio BIO *bio = BIO_new(BIO_s_mem());

	if (!request || !bio || !X509_REQ_set_pubkey(request, key) || !X509_REQ_sign(request, key, EVP_sha256()) ||
	    !PEM_write_bio_X509_REQ(bio, request))
		return openssl_failed(err, "make a certificate signing request");
	append_bio(bio, ret_text);
	return 0;
}

int request_read(const char *text, size_t size, EVP_PKEY **ret_key, struct err *err)
{
	auto_bio BIO *bio = BIO_new_mem_buf(text, (int)size);
	auto_request X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
	auto_key EVP_PKEY *key = request ? X509_REQ_get_pubkey(request) : NULL;

	if (!request)
		return err_set(err, -EINVAL, "csr: is not a certificate signing request in PEM form");
	if (!key || !key_is_ours(key))
		return err_set(err, -EINVAL, "csr: the key is not of the kind EC P-256");
	if (X509_REQ_verify(request, key) != 1)
		return err_set(err, -EINVAL, "csr: it is not signed with its own key");
	*ret_key = take(key);
	return 0;
}

int key_write(EVP_PKEY *key, struct str *out, struct err *err)
{
	auto_bio BIO *bio = BIO_new(BIO_s_secmem());

	if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
		return openssl_failed(err, "write a key");
	append_bio(bio, out);
	return 0;
}

int certificate_write(X509 *certificate, struct str *out, struct err *err)
{
	auto_bio BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || !PEM_write_bio_X509(bio, certificate))
		return openssl_failed(err, "write a certificate");
	append_bio(bio, out);
	return 0;
}

int key_read(const char *text, size_t size, const char *what, EVP_PKEY **ret_key, struct err *err)
{
	auto_bio BIO *bio = BIO_new_mem_buf(text, (int)size);

	*ret_key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	return *ret_key ? 0 : err_set(err, -EINVAL, "'%s' holds no private key in PEM form", what);
}

int certificate_read(const char *text, size_t size, const char *what, X509 **ret_certificate, struct err *err)
{
	auto_bio BIO *bio = BIO_new_mem_buf(text, (int)size);

	*ret_certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	return *ret_certificate ? 0 : err_set(err, -EINVAL, "'%s' holds no certificate in PEM form", what);
}

int key_save(const char *path, EVP_PKEY *key, struct err *err)
{
	auto_secret struct str text = { 0 };
	int r = key_write(key, &text, err);

	return r < 0 ? r : file_write_atomic(path, text.data, text.size, 0600, err);
}

int certificate_save(const char *path, X509 *certificate, struct err *err)
{
	auto_str struct str text = { 0 };
	int r = certificate_write(certificate, &text, err);

	return r < 0 ? r : file_write_atomic(path, text.data, text.size, 0644, err);
}

int key_load(const char *path, EVP_PKEY **ret_key, struct err *err)
{
	auto_secret struct str text = { 0 };
	int r = file_read_all(path, FILE_BYTES_MAX, &text, err);

	return r < 0 ? r : key_read(str_text(&text), text.size, path, ret_key, err);
}

int certificate_load(const char *path, X509 **ret_certificate, struct err *err)
{
	auto_str struct str text = { 0 };
	int r = file_read_all(path, FILE_BYTES_MAX, &text, err);

	return r < 0 ? r : certificate_read(str_text(&text), text.size, path, ret_certificate, err);
}

void text_cleanse(struct str *text)
{
	if (text->data)
		OPENSSL_cleanse(text->data, text->capacity);
	str_done(text);
}
