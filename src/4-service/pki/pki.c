/*
 * The folder and its CA. Files are written so that a crash leaves what can be completed: a key before its certificate.
 */
#include "4-service/pki/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "4-service/pki/certificate.h"
#include "4-service/pki/folder.h"
#include "base/file.h"
#include "base/mem.h"

enum { CA_DAYS = 3650 };

struct pki_paths pki_paths(const char *folder)
{
	return (struct pki_paths){
		.certificate = text_format("%s/server.crt", folder),
		.key = text_format("%s/server.key", folder),
		.ca = text_format("%s/ca.crt", folder),
	};
}

void pki_paths_done(struct pki_paths *paths)
{
	free(paths->certificate);
	free(paths->key);
	free(paths->ca);
	*paths = (struct pki_paths){ 0 };
}

char *ca_key_path(const char *folder)
{
	return text_format("%s/ca.key", folder);
}

bool pki_has_ca_key(const char *folder)
{
	auto_free char *path = ca_key_path(folder);

	return access(path, F_OK) == 0;
}

static int make_authority(const char *key_path, const char *path, struct authority *ret_authority, struct err *err)
{
	const struct certificate_wish wish = { .organization = ORGANIZATION_USER, .common_name = "Strata CA", .days = CA_DAYS };
	int r = key_make(&ret_authority->key, err);

	if (r == 0)
		r = certificate_make(&wish, ret_authority->key, NULL, &ret_authority->certificate, err);
	if (r == 0)
		r = key_save(key_path, ret_authority->key, err);
	/* Last: where there is a certificate there is its key, but on a host that was not given it. */
	return r < 0 ? r : certificate_save(path, ret_authority->certificate, err);
}

static int load_authority(const char *key_path, const char *path, struct authority *ret_authority, struct err *err)
{
	int r = certificate_load(path, &ret_authority->certificate, err);

	if (r < 0)
		return r;
	if (access(key_path, F_OK) < 0)
		return err_set(err, -ENOKEY, "the CA's key is not on this host ('%s'): ask another host of the cluster", key_path);
	r = key_load(key_path, &ret_authority->key, err);
	if (r == 0 && X509_check_private_key(ret_authority->certificate, ret_authority->key) != 1)
		r = err_set(err, -EINVAL, "'%s' and '%s' do not belong together: remove both for a new CA", path, key_path);
	return r;
}

int authority_get(const char *folder, struct authority *ret_authority, struct err *err)
{
	auto_free char *key_path = ca_key_path(folder);
	auto_free char *path = text_format("%s/ca.crt", folder);
	auto_close int lock_fd = -1;
	int r = file_make_dirs(folder, 0700, err);

	if (r < 0)
		return r;
	lock_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock_fd < 0 || flock(lock_fd, LOCK_EX) < 0)
		return err_set(err, -errno, "lock '%s': %m", folder);
	if (access(path, F_OK) < 0)
		return make_authority(key_path, path, ret_authority, err);
	return load_authority(key_path, path, ret_authority, err);
}

int pki_make_ca(const char *folder, struct err *err)
{
	auto_authority struct authority authority = { 0 };
	int r = authority_get(folder, &authority, err);

	return r == -ENOKEY ? 0 : r;
}

int pki_fingerprint(const char *folder, char text[PKI_FINGERPRINT_SIZE], struct err *err)
{
	auto_free char *path = text_format("%s/ca.crt", folder);
	auto_certificate X509 *certificate = NULL;
	int r = certificate_load(path, &certificate, err);

	if (r == 0)
		pki_fingerprint_of(certificate, text);
	return r;
}

int pki_get_ca(const char *folder, struct pki_ca *ret_ca, struct err *err)
{
	auto_authority struct authority authority = { 0 };
	struct pki_ca ca = { 0 };
	int r = authority_get(folder, &authority, err);

	if (r == 0)
		r = certificate_write(authority.certificate, &ca.certificate, err);
	if (r == 0)
		r = key_write(authority.key, &ca.key, err);
	if (r < 0)
		pki_ca_done(&ca);
	else
		*ret_ca = ca;
	return r;
}

void pki_ca_done(struct pki_ca *ca)
{
	str_done(&ca->certificate);
	text_cleanse(&ca->key);
}

int pki_issue_user(const char *folder, const char *name, struct pki_user *ret_user, struct err *err)
{
	const struct certificate_wish wish = { .organization = ORGANIZATION_USER, .common_name = name, .usage = "clientAuth",
					       .is_key_usage_critical = true, .days = CERTIFICATE_DAYS };
	auto_authority struct authority authority = { 0 };
	auto_certificate X509 *certificate = NULL;
	auto_key EVP_PKEY *key = NULL;
	struct pki_user user = { 0 };
	int r = authority_get(folder, &authority, err);

	if (r == 0)
		r = key_make(&key, err);
	if (r == 0)
		r = certificate_make(&wish, key, &authority, &certificate, err);
	if (r == 0)
		r = key_write(key, &user.key, err);
	if (r == 0)
		r = certificate_write(certificate, &user.certificate, err);
	if (r == 0)
		r = certificate_write(authority.certificate, &user.ca, err);
	if (r < 0)
		pki_user_done(&user);
	else
		*ret_user = user;
	return r;
}

void pki_user_done(struct pki_user *user)
{
	str_done(&user->certificate);
	text_cleanse(&user->key);
	str_done(&user->ca);
}

int pki_export_for_qemu(const char *folder, const char *target, struct err *err)
{
	auto_paths struct pki_paths paths = pki_paths(folder);
	const struct { const char *from, *to; mode_t mode; } files[] = {
		{ paths.ca, "ca-cert.pem", 0644 },
		{ paths.certificate, "server-cert.pem", 0644 }, { paths.key, "server-key.pem", 0600 },
		{ paths.certificate, "client-cert.pem", 0644 }, { paths.key, "client-key.pem", 0600 },
	};
	int r = file_make_dirs(target, 0700, err);

	for (size_t i = 0; r == 0 && i < ARRAY_COUNT(files); i++) {
		auto_free char *path = text_format("%s/%s", target, files[i].to);
		auto_secret struct str text = { 0 };

		r = file_read_all(files[i].from, 64 << 10, &text, err);
		if (r == 0)
			r = file_write_atomic(path, text.data, text.size, files[i].mode, err);
	}
	return r;
}
