#include "5-interface/http/tls.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

static int setup(void **state)
{
	*state = mkdtemp(text_copy("/tmp/strata-tls-XXXXXX"));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct err err;

	file_remove_tree(*state, &err);
	free(*state);
	return 0;
}

static X509 *parse(const char *pem, size_t size)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)size);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	BIO_free(bio);
	assert_non_null(certificate);
	return certificate;
}

static void read_file(const char *path, struct str *out)
{
	struct err err;

	if (file_read_all(path, 1 << 16, out, &err) < 0)
		fail_msg("%s", err.msg);
}

static void prepare(const char *folder, const char *address, struct str *ret_certificate)
{
	struct tls_files files = { 0 };
	struct err err;

	if (tls_prepare(folder, address, &files, &err) < 0)
		fail_msg("%s", err.msg);
	read_file(files.certificate, ret_certificate);
	tls_files_done(&files);
}

static void assert_mode(const char *folder, const char *name, mode_t mode)
{
	auto_free char *path = text_format("%s/%s", folder, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, mode);
}

static void test_made_once(void **state)
{
	auto_free char *folder = text_format("%s/deep/tls", (char *)*state);
	auto_str struct str first = { 0 }, second = { 0 };
	X509 *certificate;

	prepare(folder, "127.0.0.1", &first);
	prepare(folder, "127.0.0.1", &second);
	assert_string_equal(first.data, second.data);
	assert_mode(folder, "ca.key", 0600);
	assert_mode(folder, "server.key", 0600);
	certificate = parse(first.data, first.size);
	assert_int_equal(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_host(certificate, "localhost", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(certificate, "elsewhere", 0, 0, NULL), 0);
	X509_free(certificate);
}

static void test_made_anew_for_another_address(void **state)
{
	auto_str struct str first = { 0 }, second = { 0 };
	X509 *certificate;

	prepare(*state, "127.0.0.1", &first);
	prepare(*state, "::1", &second);
	assert_string_not_equal(first.data, second.data);
	certificate = parse(second.data, second.size);
	assert_int_equal(X509_check_ip_asc(certificate, "::1", 0), 1);
	X509_free(certificate);
}

static void test_client_belongs_to_the_ca(void **state)
{
	struct tls_client client = { 0 }, other = { 0 };
	X509 *certificate, *ca;
	struct err err;
	char name[64];

	if (tls_issue(*state, "alice", &client, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(tls_issue(*state, "bob", &other, &err), 0);
	assert_string_equal(client.ca.data, other.ca.data);
	assert_string_not_equal(client.key.data, other.key.data);
	certificate = parse(client.certificate.data, client.certificate.size);
	ca = parse(client.ca.data, client.ca.size);
	assert_int_equal(X509_verify(certificate, X509_get0_pubkey(ca)), 1);
	X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
	assert_string_equal(name, "alice");
	assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_CLIENT);
	assert_true(X509_get_extension_flags(ca) & EXFLAG_CA);
	X509_free(certificate);
	X509_free(ca);
	tls_client_done(&client);
	tls_client_done(&other);
}

static void test_broken_ca_is_told_and_kept(void **state)
{
	auto_free char *path = text_format("%s/ca.crt", (char *)*state);
	struct tls_client client = { 0 };
	struct err err;

	assert_int_equal(file_write_atomic(path, "nonsense", 8, 0644, &err), 0);
	assert_int_equal(tls_issue(*state, "alice", &client, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "ca.crt' holds no certificate"));
	assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_made_anew_for_another_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_belongs_to_the_ca, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_ca_is_told_and_kept, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
