/*
 * Who a certificate names. Every part must be right: one O, one CN, and what the certificate may be used for.
 */
#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "4-service/pki/folder.h"
#include "4-service/pki/pki.h"
#include "base/mem.h"

/* The only entry of its kind, as text. */
static bool get_entry(const X509 *certificate, int nid, char text[PKI_NAME_SIZE])
{
	const X509_NAME *name = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(name, nid, -1);
	const ASN1_STRING *value;

	if (at < 0 || X509_NAME_get_index_by_NID(name, nid, at) >= 0)
		return false;
	value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
	if (ASN1_STRING_length(value) < 1 || ASN1_STRING_length(value) >= PKI_NAME_SIZE ||
	    memchr(ASN1_STRING_get0_data(value), '\0', (size_t)ASN1_STRING_length(value)))
		return false;
	memcpy(text, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
	text[ASN1_STRING_length(value)] = '\0';
	return true;
}

int pki_identify(const X509 *certificate, struct pki_identity *ret_identity, struct err *err)
{
	uint32_t usage = X509_get_extended_key_usage((X509 *)(uintptr_t)certificate);
	struct pki_identity identity = { 0 };
	char organization[PKI_NAME_SIZE];

	/* Without the extension OpenSSL says "everything". */
	if (usage == UINT32_MAX || !get_entry(certificate, NID_commonName, identity.name) ||
	    !get_entry(certificate, NID_organizationName, organization))
		return err_set(err, -EACCES, "the certificate names neither a host nor a user");
	identity.is_node = text_equal(organization, ORGANIZATION_NODE) && usage == (XKU_SSL_SERVER | XKU_SSL_CLIENT);
	if (!identity.is_node && (!text_equal(organization, ORGANIZATION_USER) || usage != XKU_SSL_CLIENT))
		return err_set(err, -EACCES, "the certificate of '%s' is neither a host's nor a user's", shown(identity.name));
	*ret_identity = identity;
	return 0;
}

void pki_fingerprint_of(const X509 *certificate, char text[PKI_FINGERPRINT_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	X509_digest(certificate, EVP_sha256(), digest, &size);
	for (unsigned i = 0; i < size; i++)
		snprintf(text + 2 * (size_t)i, 3, "%02x", digest[i]);
}
