/*
 * A host joins: what must change together is made in a folder beside the present one, "<folder>.new", which then takes its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "4-service/pki/certificate.h"
#include "4-service/pki/folder.h"
#include "4-service/pki/pki.h"
#include "base/file.h"
#include "base/mem.h"

int pki_make_request(const char *folder, struct str *ret_request, struct err *err)
{
	auto_free char *next = text_format("%s.new", folder);
	auto_paths struct pki_paths paths = pki_paths(next);
	auto_key EVP_PKEY *key = NULL;
	int r = file_remove_tree(next, err);	/* Of one that came to nothing. */

	if (r == 0)
		r = file_make_dirs(next, 0700, err);
	if (r == 0)
		r = key_make(&key, err);
	if (r == 0)
		r = key_save(paths.key, key, err);
	return r < 0 ? r : request_make(key, ret_request, err);
}

int pki_sign_host(const char *folder, const char *request, size_t size, const struct pki_host *host, struct str *ret_certificate,
		  struct err *err)
{
	auto_authority struct authority authority = { 0 };
	auto_certificate X509 *certificate = NULL;
	auto_key EVP_PKEY *key = NULL;
	int r;

	if (size > PKI_REQUEST_BYTES_MAX)
		return err_set(err, -EINVAL, "csr: %zu bytes are too many: %d at most", size, PKI_REQUEST_BYTES_MAX);
	r = request_read(request, size, &key, err);
	if (r == 0)
		r = authority_get(folder, &authority, err);
	if (r == 0)
		r = host_certificate_make(host, NULL, key, &authority, &certificate, err);
	return r < 0 ? r : certificate_write(certificate, ret_certificate, err);
}

/* What has come is what was asked for; nothing of it is used before. */
static int check_answer(EVP_PKEY *key, X509 *certificate, const struct authority *authority, const char *uid, struct err *err)
{
	struct pki_identity identity;
	int r;

	if (X509_check_private_key(certificate, key) != 1)
		return err_set(err, -EINVAL, "the certificate is not of the key that it was asked for: ask again");
	if (X509_check_ca(authority->certificate) != 1 || X509_verify(certificate, X509_get0_pubkey(authority->certificate)) != 1)
		return err_set(err, -EINVAL, "the certificate is not of the CA it came with");
	if (authority->key && X509_check_private_key(authority->certificate, authority->key) != 1)
		return err_set(err, -EINVAL, "the CA's key is not of its certificate");
	r = pki_identify(certificate, &identity, err);
	if (r == 0 && (!identity.is_node || !text_equal(identity.name, uid)))
		r = err_set(err, -EINVAL, "the certificate is for '%s', not for the node '%s'", shown(identity.name), shown(uid));
	return r;
}

/* 'next' takes the place of 'folder', which is then removed. */
static int replace_folder(const char *next, const char *folder, struct err *err)
{
	auto_free char *above = text_copy(folder);
	unsigned flags = access(folder, F_OK) == 0 ? RENAME_EXCHANGE : 0;
	char *slash = strrchr(above, '/');
	struct err ignored;

	if (renameat2(AT_FDCWD, next, AT_FDCWD, folder, flags) < 0)
		return err_set(err, -errno, "rename '%s' to '%s': %m", next, folder);
	if (flags)
		file_remove_tree(next, &ignored);
	if (slash && slash > above)
		*slash = '\0';
	return file_sync_dir(slash ? above : ".", err);
}

int pki_store_host(const char *folder, const char *uid, const char *certificate_text, const struct pki_ca *ca, struct err *err)
{
	auto_free char *next = text_format("%s.new", folder);
	auto_free char *ca_key = ca_key_path(next);
	auto_paths struct pki_paths paths = pki_paths(next);
	auto_authority struct authority authority = { 0 };
	auto_certificate X509 *certificate = NULL;
	auto_key EVP_PKEY *key = NULL;
	int r = key_load(paths.key, &key, err);

	if (r == 0)
		r = certificate_read(certificate_text, strlen(certificate_text), "certificate", &certificate, err);
	if (r == 0)
		r = certificate_read(str_text(&ca->certificate), ca->certificate.size, "ca", &authority.certificate, err);
	if (r == 0 && ca->key.size)
		r = key_read(str_text(&ca->key), ca->key.size, "ca key", &authority.key, err);
	if (r == 0)
		r = check_answer(key, certificate, &authority, uid, err);
	if (r == 0)
		r = certificate_save(paths.certificate, certificate, err);
	if (r == 0 && authority.key)
		r = key_save(ca_key, authority.key, err);
	if (r == 0)
		r = certificate_save(paths.ca, authority.certificate, err);
	return r < 0 ? r : replace_folder(next, folder, err);
}
