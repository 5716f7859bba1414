/*
 * The certificate of a host, and its renewal where the CA's key is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

#include "4-service/pki/certificate.h"
#include "4-service/pki/folder.h"
#include "4-service/pki/pki.h"
#include "base/mem.h"

enum { HOST_NAME_BYTES = 256, LABEL_LENGTH_MAX = 63 };

static const char name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

static bool is_dns_name(const char *name)
{
	return *name && strlen(name) <= LABEL_LENGTH_MAX && strspn(name, name_chars) == strlen(name);
}

/* Null when the host's name cannot stand in a certificate. */
static const char *host_name(char name[HOST_NAME_BYTES])
{
	if (gethostname(name, HOST_NAME_BYTES) < 0 || !memchr(name, '\0', HOST_NAME_BYTES))
		return NULL;
	return is_dns_name(name) ? name : NULL;
}

static bool is_address(const char *text)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* What goes into a subjectAltName text must not be able to say more than one name. */
static int check_host(const struct pki_host *host, struct err *err)
{
	if (!is_dns_name(host->uid))
		return err_set(err, -EINVAL, "uid: '%s' cannot stand in a certificate: use letters, digits and '-'", shown(host->uid));
	if (host->name && !is_dns_name(host->name))
		return err_set(err, -EINVAL, "name: '%s' cannot stand in a certificate: use letters, digits and '-'", shown(host->name));
	if (host->address_count > PKI_ADDRESSES_MAX)
		return err_set(err, -EINVAL, "addresses: %zu are too many: give %d at most", host->address_count, PKI_ADDRESSES_MAX);
	for (size_t i = 0; i < host->address_count; i++)
		if (!is_address(host->addresses[i]))
			return err_set(err, -EINVAL, "addresses: '%s' is not a numeric address", shown(host->addresses[i]));
	return 0;
}

int host_certificate_make(const struct pki_host *host, const char *also, EVP_PKEY *key, const struct authority *authority,
				 X509 **ret_certificate, struct err *err)
{
	auto_str struct str names = { 0 };
	struct certificate_wish wish = {
		.organization = ORGANIZATION_NODE, .common_name = host->uid, .usage = "serverAuth,clientAuth",
		.days = CERTIFICATE_DAYS,
		/* QEMU before 10.2 refuses one that is critical and lacks keyEncipherment, which RFC 8813 forbids EC keys. */
		.is_key_usage_critical = false,
	};
	int r = check_host(host, err);

	if (r < 0)
		return r;
	str_printf(&names, "DNS:localhost,DNS:%s", host->uid);
	if (host->name)
		str_printf(&names, ",DNS:%s", host->name);
	if (also && !text_equal(also, host->name))
		str_printf(&names, ",DNS:%s", also);
	for (size_t i = 0; i < host->address_count; i++)
		str_printf(&names, ",IP:%s", host->addresses[i]);
	wish.names = names.data;
	return certificate_make(&wish, key, authority, ret_certificate, err);
}

static int seconds_left(const X509 *certificate, int *ret_days)
{
	int seconds = 0;

	*ret_days = 0;
	return ASN1_TIME_diff(ret_days, &seconds, NULL, X509_get0_notAfter(certificate)) ? seconds : -1;
}

static bool names_host(X509 *certificate, const struct pki_host *host, const char *also)
{
	struct pki_identity identity;
	struct err ignored;

	if (pki_identify(certificate, &identity, &ignored) < 0 || !identity.is_node || !text_equal(identity.name, host->uid))
		return false;
	for (size_t i = 0; i < host->address_count; i++)
		if (X509_check_ip_asc(certificate, host->addresses[i], 0) != 1)
			return false;
	return X509_check_host(certificate, "localhost", 0, 0, NULL) == 1 &&
	       (!host->name || X509_check_host(certificate, host->name, 0, 0, NULL) == 1) &&
	       (!also || X509_check_host(certificate, also, 0, 0, NULL) == 1);
}

static bool has_fit_certificate(const X509 *ca, const struct pki_paths *paths, const struct pki_host *host, const char *also)
{
	auto_certificate X509 *certificate = NULL;
	auto_key EVP_PKEY *key = NULL;
	struct err ignored;
	int days = 0;

	return certificate_load(paths->certificate, &certificate, &ignored) == 0 && key_load(paths->key, &key, &ignored) == 0 &&
	       seconds_left(certificate, &days) >= 0 && days >= PKI_RENEW_DAYS &&
	       X509_check_private_key(certificate, key) == 1 && X509_verify(certificate, X509_get0_pubkey(ca)) == 1 &&
	       names_host(certificate, host, also);
}

static int renew_host(const struct authority *authority, const struct pki_paths *paths, const struct pki_host *host,
		      const char *also, struct err *err)
{
	auto_certificate X509 *certificate = NULL;
	auto_key EVP_PKEY *key = NULL;
	int r = key_make(&key, err);

	if (r == 0)
		r = host_certificate_make(host, also, key, authority, &certificate, err);
	if (r == 0)
		r = key_save(paths->key, key, err);
	return r < 0 ? r : certificate_save(paths->certificate, certificate, err);
}

int pki_prepare_host(const char *folder, const struct pki_host *host, struct err *err)
{
	auto_authority struct authority authority = { 0 };
	auto_paths struct pki_paths paths = pki_paths(folder);
	char buffer[HOST_NAME_BYTES];
	const char *also = host_name(buffer);
	int r = check_host(host, err);

	if (r == 0)
		r = authority_get(folder, &authority, err);
	/* Without the CA's key what is there may still be good. */
	if ((r == 0 || r == -ENOKEY) && has_fit_certificate(authority.certificate, &paths, host, also))
		return 0;
	return r < 0 ? r : renew_host(&authority, &paths, host, also, err);
}

int pki_days_left(const char *folder, int *ret_days, struct err *err)
{
	auto_paths struct pki_paths paths = pki_paths(folder);
	auto_certificate X509 *certificate = NULL;
	int r = certificate_load(paths.certificate, &certificate, err);
	int days = 0;

	if (r < 0)
		return r;
	seconds_left(certificate, &days);
	*ret_days = days > 0 ? days : 0;
	return 0;
}
