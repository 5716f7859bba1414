/*
 * The folder of a host, a host that joins, and whom OpenSSL's own verification then lets pass.
 */
#include "4-service/pki/pki.h"

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

#include "4-service/pki/certificate.h"
#include "4-service/pki/folder.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/spawn.h"

#define UID_A "4b1a8f0e-1111-4a4a-8b8b-00000000000a"
#define UID_B "4b1a8f0e-1111-4a4a-8b8b-00000000000b"

static const char *const local_address[] = { "127.0.0.1" };
static const struct pki_host host_a = { .uid = UID_A, .addresses = local_address, .address_count = 1 };
static const char *const addresses_b[] = { "192.0.2.2", "2001:db8::2" };
static const struct pki_host host_b = { .uid = UID_B, .name = "b", .addresses = addresses_b, .address_count = 2 };

static int setup(void **state)
{
	*state = mkdtemp(text_copy("/tmp/strata-pki-XXXXXX"));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct err err;

	file_remove_tree(*state, &err);
	free(*state);
	return 0;
}

#define OK(function, ...) do { struct err err_; if (function(__VA_ARGS__, &err_) < 0) fail_msg("%s", err_.msg); } while (0)

static void read_file(const char *path, struct str *out)
{
	OK(file_read_all, path, 1 << 16, out);
}

static X509 *parse(const struct str *pem)
{
	X509 *certificate = NULL;

	OK(certificate_read, pem->data, pem->size, "certificate", &certificate);
	return certificate;
}

static void prepare(const char *folder, const struct pki_host *host, struct str *ret_certificate)
{
	auto_paths struct pki_paths paths = pki_paths(folder);

	OK(pki_prepare_host, folder, host);
	read_file(paths.certificate, ret_certificate);
}

static void assert_mode(const char *folder, const char *name, mode_t mode)
{
	auto_free char *path = text_format("%s/%s", folder, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, mode);
}

/* What a TLS library would say: X509_V_OK, or why not. */
static int verdict(const char *folder, X509 *certificate, int purpose)
{
	auto_paths struct pki_paths paths = pki_paths(folder);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	int result;

	assert_int_equal(X509_STORE_load_file(store, paths.ca), 1);
	assert_int_equal(X509_STORE_CTX_init(context, store, certificate, NULL), 1);
	X509_STORE_CTX_set_purpose(context, purpose);
	result = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	return result;
}

/* Of the folder's CA, lasting so long. */
static void make_host_lasting(const char *folder, const struct pki_host *host, long days)
{
	auto_authority struct authority authority = { 0 };
	auto_paths struct pki_paths paths = pki_paths(folder);
	auto_certificate X509 *certificate = NULL;
	auto_key EVP_PKEY *key = NULL;
	const struct certificate_wish wish = { .organization = ORGANIZATION_NODE, .common_name = host->uid,
					       .usage = "serverAuth,clientAuth", .days = days };

	OK(authority_get, folder, &authority);
	OK(key_make, &key);
	OK(certificate_make, &wish, key, &authority, &certificate);
	OK(key_save, paths.key, key);
	OK(certificate_save, paths.certificate, certificate);
}

static void test_made_once(void **state)
{
	auto_free char *folder = text_format("%s/deep/tls", (char *)*state);
	auto_str struct str first = { 0 }, second = { 0 };
	auto_certificate X509 *certificate = NULL;
	struct pki_identity identity;
	int days = 0;

	prepare(folder, &host_a, &first);
	prepare(folder, &host_a, &second);
	assert_string_equal(first.data, second.data);
	assert_mode(folder, "ca.key", 0600);
	assert_mode(folder, "server.key", 0600);
	certificate = parse(&first);
	assert_int_equal(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_host(certificate, "localhost", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(certificate, UID_A, 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(certificate, "elsewhere", 0, 0, NULL), 0);
	assert_int_equal(verdict(folder, certificate, X509_PURPOSE_SSL_SERVER), X509_V_OK);
	assert_int_equal(verdict(folder, certificate, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
	OK(pki_identify, certificate, &identity);
	assert_true(identity.is_node);
	assert_string_equal(identity.name, UID_A);
	OK(pki_days_left, folder, &days);
	assert_in_range(days, 390, 397);
}

static void test_made_anew_for_other_names(void **state)
{
	auto_str struct str first = { 0 }, second = { 0 }, third = { 0 };

	prepare(*state, &host_a, &first);
	prepare(*state, &(struct pki_host){ .uid = UID_A, .addresses = (const char *[]){ "::1" }, .address_count = 1 }, &second);
	assert_string_not_equal(first.data, second.data);
	prepare(*state, &host_b, &third);
	assert_string_not_equal(second.data, third.data);
}

static void test_users_and_hosts_are_told_apart(void **state)
{
	struct pki_user user = { 0 }, other = { 0 };
	auto_certificate X509 *certificate = NULL;
	struct pki_identity identity;

	OK(pki_issue_user, *state, "alice", &user);
	OK(pki_issue_user, *state, "bob", &other);
	assert_string_equal(user.ca.data, other.ca.data);
	assert_string_not_equal(user.key.data, other.key.data);
	certificate = parse(&user.certificate);
	assert_int_equal(verdict(*state, certificate, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
	assert_int_not_equal(verdict(*state, certificate, X509_PURPOSE_SSL_SERVER), X509_V_OK);
	OK(pki_identify, certificate, &identity);
	assert_false(identity.is_node);
	assert_string_equal(identity.name, "alice");
	pki_user_done(&user);
	pki_user_done(&other);
}

/* A user who is called like a node is a user; a host's name with a user's usage is nobody's. */
static void test_forged_names(void **state)
{
	static const struct { const char *organization, *usage; int code; bool is_node; } forged[] = {
		{ ORGANIZATION_USER, "clientAuth", 0, false },
		{ ORGANIZATION_NODE, "clientAuth", -EACCES, false },
		{ ORGANIZATION_NODE, "serverAuth", -EACCES, false },
		{ ORGANIZATION_USER, "serverAuth,clientAuth", -EACCES, false },
		{ "strata-node2", "serverAuth,clientAuth", -EACCES, false },
		{ "strata-nod", "serverAuth,clientAuth", -EACCES, false },
		{ ORGANIZATION_NODE, "serverAuth,clientAuth", 0, true },
		{ ORGANIZATION_NODE, "serverAuth,clientAuth,codeSigning", -EACCES, false },
	};
	auto_authority struct authority authority = { 0 };
	struct pki_identity identity;
	struct err ignored;

	OK(authority_get, *state, &authority);
	for (size_t i = 0; i < ARRAY_COUNT(forged); i++) {
		const struct certificate_wish wish = { .organization = forged[i].organization, .common_name = UID_A,
						       .usage = forged[i].usage, .days = 1 };
		auto_certificate X509 *certificate = NULL;

		OK(certificate_make, &wish, authority.key, &authority, &certificate);
		assert_int_equal(pki_identify(certificate, &identity, &ignored), forged[i].code);
		if (forged[i].code == 0)
			assert_int_equal(identity.is_node, forged[i].is_node);
	}
	/* The CA's own certificate is nobody's either. */
	assert_int_equal(pki_identify(authority.certificate, &identity, &ignored), -EACCES);
}

static void test_expired_forged_and_of_another_cluster(void **state)
{
	auto_free char *ours = text_format("%s/a", (char *)*state);
	auto_free char *theirs = text_format("%s/b", (char *)*state);
	auto_paths struct pki_paths paths = pki_paths(ours);
	auto_str struct str text = { 0 };
	auto_certificate X509 *good = NULL, *expired = NULL, *foreign = NULL, *forged = NULL;
	auto_key EVP_PKEY *key = NULL;
	int days = 1;

	prepare(ours, &host_a, &text);
	good = parse(&text);
	make_host_lasting(ours, &host_a, -1);
	OK(certificate_load, paths.certificate, &expired);
	assert_int_equal(verdict(ours, expired, X509_PURPOSE_SSL_SERVER), X509_V_ERR_CERT_HAS_EXPIRED);
	OK(pki_days_left, ours, &days);
	assert_int_equal(days, 0);

	str_clear(&text);
	prepare(theirs, &host_a, &text);
	foreign = parse(&text);
	assert_int_not_equal(verdict(ours, foreign, X509_PURPOSE_SSL_SERVER), X509_V_OK);

	/* Everything as in ours, but signed by somebody else. */
	forged = X509_dup(good);
	OK(key_make, &key);
	assert_true(X509_sign(forged, key, EVP_sha256()));
	assert_int_equal(verdict(ours, good, X509_PURPOSE_SSL_SERVER), X509_V_OK);
	assert_int_equal(verdict(ours, forged, X509_PURPOSE_SSL_SERVER), X509_V_ERR_CERT_SIGNATURE_FAILURE);
}

static void test_renewed_before_its_end(void **state)
{
	auto_str struct str before = { 0 }, after = { 0 };
	auto_paths struct pki_paths paths = pki_paths(*state);
	char fingerprint[PKI_FINGERPRINT_SIZE], again[PKI_FINGERPRINT_SIZE];
	int days = 0;

	OK(pki_make_ca, *state);
	OK(pki_fingerprint, *state, fingerprint);
	make_host_lasting(*state, &(struct pki_host){ .uid = UID_A }, PKI_RENEW_DAYS);
	read_file(paths.certificate, &before);
	prepare(*state, &host_a, &after);
	assert_string_not_equal(before.data, after.data);
	OK(pki_days_left, *state, &days);
	assert_in_range(days, 390, 397);
	OK(pki_fingerprint, *state, again);
	assert_string_equal(fingerprint, again);
}

/* What goes from host to host when b joins the cluster of a. */
static void join(const char *a, const char *b, bool with_key, struct str *ret_certificate)
{
	auto_str struct str request = { 0 };
	struct pki_ca ca = { 0 };

	OK(pki_make_request, b, &request);
	OK(pki_sign_host, a, request.data, request.size, &host_b, ret_certificate);
	OK(pki_get_ca, a, &ca);
	if (!with_key)
		str_clear(&ca.key);
	OK(pki_store_host, b, UID_B, ret_certificate->data, &ca);
	pki_ca_done(&ca);
}

static void test_joining(void **state)
{
	auto_free char *a = text_format("%s/a", (char *)*state), *b = text_format("%s/b", (char *)*state);
	auto_free char *left_over = text_format("%s.new", b);
	char ours[PKI_FINGERPRINT_SIZE], theirs[PKI_FINGERPRINT_SIZE];
	auto_str struct str certificate_text = { 0 }, kept = { 0 }, own = { 0 };
	auto_certificate X509 *certificate = NULL;

	prepare(a, &host_a, &own);
	str_clear(&own);
	prepare(b, &host_b, &own);		/* It was a host by itself before. */
	join(a, b, true, &certificate_text);
	OK(pki_fingerprint, a, ours);
	OK(pki_fingerprint, b, theirs);
	assert_string_equal(ours, theirs);
	assert_true(sha256_is_text(ours));
	assert_int_equal(access(left_over, F_OK), -1);
	assert_mode(b, "ca.key", 0600);
	assert_mode(b, "server.key", 0600);
	certificate = parse(&certificate_text);
	assert_int_equal(verdict(a, certificate, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
	assert_int_equal(X509_check_ip_asc(certificate, "2001:db8::2", 0), 1);
	assert_int_equal(X509_check_host(certificate, "b", 0, 0, NULL), 1);

	/* With the key b goes on by itself: it renews, and makes certificates that a takes. */
	make_host_lasting(b, &host_b, 1);
	prepare(b, &host_b, &kept);
	X509_free(take(certificate));
	certificate = parse(&kept);
	assert_int_equal(verdict(a, certificate, X509_PURPOSE_SSL_SERVER), X509_V_OK);
}

static void test_renewal_without_the_key_of_the_ca(void **state)
{
	auto_free char *a = text_format("%s/a", (char *)*state), *b = text_format("%s/b", (char *)*state);
	auto_paths struct pki_paths paths = pki_paths(b);
	auto_str struct str first = { 0 }, second = { 0 }, used = { 0 };
	const struct pki_host named = { .uid = UID_B, .name = "b" };
	struct pki_user user = { 0 };
	char name[256] = "";
	struct err err;

	OK(pki_make_ca, a);
	join(a, b, false, &first);
	assert_false(pki_has_ca_key(b));
	assert_int_equal(pki_issue_user(b, "alice", &user, &err), -ENOKEY);
	assert_non_null(strstr(err.msg, "ask another host"));
	OK(pki_make_ca, b);
	assert_false(pki_has_ca_key(b));
	/* It is not good enough: the machine's own name is missing. */
	assert_int_equal(gethostname(name, sizeof(name) - 1), 0);
	if (strcmp(name, "b") != 0)
		assert_int_equal(pki_prepare_host(b, &named, &err), -ENOKEY);
	join(a, b, false, &second);
	assert_string_not_equal(first.data, second.data);
	read_file(paths.certificate, &used);
	assert_string_equal(used.data, second.data);
}

/* Nothing of the folder changes when what comes is wrong. */
static void test_wrong_answers_are_refused(void **state)
{
	auto_free char *a = text_format("%s/a", (char *)*state), *b = text_format("%s/b", (char *)*state);
	auto_free char *c = text_format("%s/c", (char *)*state);
	auto_str struct str request = { 0 }, old_request = { 0 }, good = { 0 }, old = { 0 }, before = { 0 }, after = { 0 };
	auto_paths struct pki_paths paths = pki_paths(b);
	struct pki_ca ca = { 0 }, other = { 0 };
	struct err err;

	prepare(b, &host_b, &before);
	OK(pki_make_ca, a);
	OK(pki_make_ca, c);
	OK(pki_get_ca, a, &ca);
	OK(pki_get_ca, c, &other);
	OK(pki_make_request, b, &old_request);
	OK(pki_make_request, b, &request);
	OK(pki_sign_host, a, old_request.data, old_request.size, &host_b, &old);
	OK(pki_sign_host, a, request.data, request.size, &host_b, &good);
	assert_int_equal(pki_store_host(b, UID_B, old.data, &ca, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "not of the key"));
	assert_int_equal(pki_store_host(b, UID_B, good.data, &other, &err), -EINVAL);
	assert_int_equal(pki_store_host(b, UID_A, good.data, &ca, &err), -EINVAL);
	assert_non_null(strstr(err.msg, UID_B));
	assert_int_equal(pki_store_host(b, UID_B, "nonsense", &ca, &err), -EINVAL);
	str_clear(&ca.key);
	str_append_bytes(&ca.key, other.key.data, other.key.size);
	assert_int_equal(pki_store_host(b, UID_B, good.data, &ca, &err), -EINVAL);
	read_file(paths.certificate, &after);
	assert_string_equal(before.data, after.data);
	pki_ca_done(&ca);
	pki_ca_done(&other);
}

static void test_requests_are_checked(void **state)
{
	auto_str struct str request = { 0 }, certificate = { 0 }, text = { 0 };
	auto_free char *b = text_format("%s/b", (char *)*state);
	auto_key EVP_PKEY *rsa = EVP_RSA_gen(2048);
	struct pki_host bad = host_b;
	struct err err;

	OK(pki_make_request, b, &request);
	bad.name = "b,IP:127.0.0.1";
	assert_int_equal(pki_sign_host(*state, request.data, request.size, &bad, &certificate, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "name: 'b,IP"));
	bad = (struct pki_host){ .uid = UID_B, .addresses = (const char *[]){ "here" }, .address_count = 1 };
	assert_int_equal(pki_sign_host(*state, request.data, request.size, &bad, &certificate, &err), -EINVAL);
	assert_int_equal(pki_sign_host(*state, "nonsense", 8, &host_b, &certificate, &err), -EINVAL);
	OK(request_make, rsa, &text);
	assert_int_equal(pki_sign_host(*state, text.data, text.size, &host_b, &certificate, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "EC P-256"));
	str_reserve(&request, PKI_REQUEST_BYTES_MAX);
	assert_int_equal(pki_sign_host(*state, request.data, PKI_REQUEST_BYTES_MAX + 1, &host_b, &certificate, &err), -EINVAL);
	assert_int_equal(certificate.size, 0);
}

/* A request that asks for much gets what the signer says. */
static void test_wishes_of_a_request_are_ignored(void **state)
{
	auto_str struct str signed_text = { 0 };
	auto_request X509_REQ *request = X509_REQ_new();
	auto_certificate X509 *certificate = NULL;
	auto_key EVP_PKEY *key = NULL;
	auto_bio BIO *bio = BIO_new(BIO_s_mem());
	STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
	char *data;
	long size;

	OK(key_make, &key);
	X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_UTF8, (const unsigned char *)UID_A, -1, -1, 0);
	sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE"));
	assert_true(X509_REQ_add_extensions(request, extensions));
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	assert_true(X509_REQ_set_pubkey(request, key) && X509_REQ_sign(request, key, EVP_sha256()));
	assert_true(PEM_write_bio_X509_REQ(bio, request));
	size = BIO_get_mem_data(bio, &data);
	OK(pki_sign_host, *state, data, (size_t)size, &host_b, &signed_text);
	certificate = parse(&signed_text);
	assert_int_equal(X509_check_ca(certificate), 0);
	assert_int_equal(X509_check_host(certificate, UID_A, 0, 0, NULL), 0);
	assert_int_equal(X509_check_host(certificate, UID_B, 0, 0, NULL), 1);
}

static void test_broken_ca_is_told_and_kept(void **state)
{
	auto_free char *path = text_format("%s/ca.crt", (char *)*state);
	struct pki_user user = { 0 };
	struct err err;

	OK(file_write_atomic, path, "nonsense", 8, 0644);
	assert_int_equal(pki_issue_user(*state, "alice", &user, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "ca.crt' holds no certificate"));
	assert_int_equal(access(path, F_OK), 0);
}

/* QEMU checks certificates itself before it uses them, more strictly than OpenSSL. */
static void test_qemu_takes_them(void **state)
{
	auto_free char *tls = text_format("%s/tls", (char *)*state), *target = text_format("%s/qemu", (char *)*state);
	auto_str struct str text = { 0 };

	if (access("/usr/bin/qemu-system-x86_64", X_OK) < 0)
		skip();
	prepare(tls, &host_a, &text);
	OK(pki_export_for_qemu, tls, target);
	assert_mode(target, "server-key.pem", 0600);
	for (int i = 0; i < 2; i++) {
		auto_free char *object = text_format("tls-creds-x509,id=t,dir=%s,verify-peer=on,endpoint=%s", target,
						     i ? "server" : "client");
		const char *const argv[] = { "qemu-system-x86_64", "-M", "none", "-display", "none", "-nodefaults", "-object", object,
					     "-monitor", "stdio", NULL };
		const struct spawn_io io = { .input = "quit\n", .input_size = 5, .timeout_ms = 20000 };

		OK(spawn_run, &(struct spawn_params){ .argv = argv }, &io);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_made_once), TEST(test_made_anew_for_other_names), TEST(test_users_and_hosts_are_told_apart),
		TEST(test_forged_names), TEST(test_expired_forged_and_of_another_cluster), TEST(test_renewed_before_its_end),
		TEST(test_joining), TEST(test_renewal_without_the_key_of_the_ca), TEST(test_wrong_answers_are_refused),
		TEST(test_requests_are_checked), TEST(test_wishes_of_a_request_are_ignored), TEST(test_broken_ca_is_told_and_kept),
		TEST(test_qemu_takes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
