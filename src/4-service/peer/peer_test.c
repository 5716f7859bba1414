/*
 * What the other side may show and say: a server of the test's own, by OpenSSL.
 */
#include "4-service/peer/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "4-service/pki/certificate.h"
#include "4-service/pki/folder.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#define UID_A "4b1a8f0e-1111-4a4a-8b8b-00000000000a"
#define OK(function, ...) do { struct err err_; if (function(__VA_ARGS__, &err_) < 0) fail_msg("%s", err_.msg); } while (0)

struct fixture {
	char folder[64];
	char *tls, *other;		/* Folders of two CAs. */
	int listener;
	char address[32];
	/* What the server shows and says. */
	char *certificate, *key, *ca;
	const char *answer;
	bool is_silent;
	pthread_t thread;
};

static void prepare(const char *folder)
{
	const struct pki_host host = { .uid = UID_A };

	OK(pki_prepare_host, folder, &host);
}

static int setup(void **state)
{
	struct fixture *f = alloc(sizeof(*f));
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	strcpy(f->folder, "/tmp/strata-peer-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->tls = text_format("%s/tls", f->folder);
	f->other = text_format("%s/other", f->folder);
	prepare(f->tls);
	prepare(f->other);
	f->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(f->listener, 8), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&address, &size), 0);
	snprintf(f->address, sizeof(f->address), "127.0.0.1:%u", ntohs(address.sin_port));
	f->answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\": 1}";
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct err err;

	close(f->listener);
	file_remove_tree(f->folder, &err);
	free(f->tls);
	free(f->other);
	free(f);
	return 0;
}

/* One connection. */
static void *serve(void *data)
{
	struct fixture *f = data;
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	int fd = accept(f->listener, NULL, NULL);
	SSL *ssl;
	char bytes[4096];

	if (f->is_silent) {
		while (read(fd, bytes, sizeof(bytes)) > 0)
			;
		close(fd);
		SSL_CTX_free(context);
		return NULL;
	}
	assert_int_equal(SSL_CTX_use_certificate_file(context, f->certificate, SSL_FILETYPE_PEM), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(context, f->key, SSL_FILETYPE_PEM), 1);
	assert_int_equal(SSL_CTX_load_verify_file(context, f->ca), 1);
	ssl = SSL_new(context);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1 && SSL_read(ssl, bytes, sizeof(bytes)) > 0) {
		SSL_write(ssl, f->answer, (int)strlen(f->answer));
		SSL_shutdown(ssl);
	}
	ERR_clear_error();
	SSL_free(ssl);
	SSL_CTX_free(context);
	close(fd);
	return NULL;
}

static int ask(struct fixture *f, const struct peer_request *request, struct json **ret_answer, struct err *err)
{
	int r;

	assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
	r = peer_ask(request, ret_answer, err);
	pthread_join(f->thread, NULL);
	return r;
}

static void show(struct fixture *f, const char *folder, struct pki_paths *paths)
{
	*paths = pki_paths(folder);
	f->certificate = paths->certificate;
	f->key = paths->key;
	f->ca = paths->ca;
}

static void expect_refusal(struct fixture *f, const struct peer_request *request, int code, const char *part)
{
	auto_json struct json *answer = NULL;
	struct err err = { 0 };
	int r = ask(f, request, &answer, &err);

	if (r != code || !strstr(err.msg, part))
		fail_msg("%d %s, not %d %s", r, err.msg, code, part);
}

static void test_who_answers(void **state)
{
	struct fixture *f = *state;
	auto_paths struct pki_paths ours = { 0 }, theirs = { 0 };
	char fingerprint[PKI_FINGERPRINT_SIZE];
	struct peer_request request = { .address = f->address, .method = "GET", .path = "/", .folder = f->tls, .node_uid = UID_A,
					.timeout_ms = 10000 };
	const struct peer_request join = { .address = f->address, .method = "GET", .path = "/", .ca_fingerprint = fingerprint,
					   .timeout_ms = 10000 };
	auto_json struct json *answer = NULL, *again = NULL;

	show(f, f->tls, &ours);
	OK(ask, f, &request, &answer);
	assert_int_equal(json_int(json_get(answer, "a"), 0), 1);
	OK(pki_fingerprint, f->tls, fingerprint);
	OK(ask, f, &join, &again);
	request.node_uid = "another";
	expect_refusal(f, &request, -EACCES, "shows the certificate of node " UID_A);
	request.node_uid = NULL;

	show(f, f->other, &theirs);
	expect_refusal(f, &request, -EACCES, "not of this cluster");
	expect_refusal(f, &join, -EACCES, "not of this cluster");
	/* It sends our CA along, which anybody can who has seen it. */
	f->ca = ours.ca;
	expect_refusal(f, &join, -EACCES, "not of this cluster");
}

/* Of our CA, but no host's: a user who plays a host; a host whose time is over; a host's name in a user's certificate. */
static void test_certificates_that_do_not_do(void **state)
{
	static const struct { const char *organization, *usage; long days; } bad[] = {
		{ ORGANIZATION_USER, "clientAuth", 1 }, { ORGANIZATION_USER, "serverAuth,clientAuth", 1 },
		{ ORGANIZATION_NODE, "clientAuth", 1 }, { ORGANIZATION_NODE, "serverAuth", 1 }, { ORGANIZATION_NODE, "serverAuth,clientAuth", -1 },
	};
	struct fixture *f = *state;
	auto_paths struct pki_paths ours = { 0 };
	auto_free char *path = text_format("%s/bad.crt", f->folder), *key_path = text_format("%s/bad.key", f->folder);
	auto_authority struct authority authority = { 0 };
	auto_key EVP_PKEY *key = NULL;
	char fingerprint[PKI_FINGERPRINT_SIZE];
	const struct peer_request request = { .address = f->address, .method = "GET", .path = "/", .folder = f->tls, .node_uid = UID_A,
					      .timeout_ms = 10000 };
	const struct peer_request join = { .address = f->address, .method = "GET", .path = "/", .ca_fingerprint = fingerprint,
					   .timeout_ms = 10000 };

	show(f, f->tls, &ours);
	OK(pki_fingerprint, f->tls, fingerprint);
	OK(authority_get, f->tls, &authority);
	OK(key_make, &key);
	OK(key_save, key_path, key);
	f->certificate = path;
	f->key = key_path;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		const struct certificate_wish wish = { .organization = bad[i].organization, .common_name = UID_A, .usage = bad[i].usage,
						       .names = "DNS:localhost", .days = bad[i].days };
		auto_certificate X509 *certificate = NULL;

		OK(certificate_make, &wish, key, &authority, &certificate);
		OK(certificate_save, path, certificate);
		expect_refusal(f, &request, -EACCES, "cannot be asked");
		expect_refusal(f, &join, -EACCES, "cannot be asked");
	}
}

static void test_bad_answers(void **state)
{
	struct fixture *f = *state;
	auto_paths struct pki_paths ours = { 0 };
	const struct peer_request request = { .address = f->address, .method = "GET", .path = "/", .folder = f->tls, .timeout_ms = 10000 };

	show(f, f->tls, &ours);
	f->answer = "nonsense\r\n\r\n";
	expect_refusal(f, &request, -EPROTO, "no HTTP");
	f->answer = "HTTP/1.1 200 OK\r\n\r\n";
	expect_refusal(f, &request, -EPROTO, "no length");
	f->answer = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
	expect_refusal(f, &request, -EPROTO, "larger than");
	f->answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\"";
	expect_refusal(f, &request, -ECONNRESET, "in the middle of its answer");
	f->answer = "HTTP/1.1 200 OK\r\nConte";
	expect_refusal(f, &request, -ECONNRESET, "without an answer");
	f->answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{\"a";
	expect_refusal(f, &request, -EINVAL, "line 1");
	f->answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 41\r\n\r\n{\"error\": {\"message\": \"the token ended\"}}";
	expect_refusal(f, &request, -EIO, "the token ended");
}

static void test_time_and_cancelling(void **state)
{
	struct fixture *f = *state;
	bool is_cancelled = true;
	struct peer_request request = { .address = f->address, .method = "GET", .path = "/", .folder = f->tls, .timeout_ms = 300 };
	int64_t begin_ms = clock_monotonic_ms();

	f->is_silent = true;
	expect_refusal(f, &request, -ETIMEDOUT, "in time");
	assert_true(clock_monotonic_ms() - begin_ms >= 300);
	request.timeout_ms = 60000;
	request.is_cancelled = &is_cancelled;
	expect_refusal(f, &request, -ECANCELED, "cancelled");
}

static void test_nobody_there(void **state)
{
	struct fixture *f = *state;
	struct peer_request request = { .address = f->address, .method = "GET", .path = "/", .folder = f->tls, .timeout_ms = 1000 };
	auto_json struct json *answer = NULL;
	struct err err;

	close(f->listener);
	assert_int_equal(peer_ask(&request, &answer, &err), -EHOSTUNREACH);
	request.address = "nowhere";
	assert_int_equal(peer_ask(&request, &answer, &err), -EINVAL);
	request.address = "[::1]:";
	assert_int_equal(peer_ask(&request, &answer, &err), -EINVAL);
	request.address = "name.invalid:1";
	assert_int_equal(peer_ask(&request, &answer, &err), -EHOSTUNREACH);
	f->listener = socket(AF_INET, SOCK_STREAM, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_who_answers), TEST(test_certificates_that_do_not_do), TEST(test_bad_answers), TEST(test_time_and_cancelling),
		TEST(test_nobody_there),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
