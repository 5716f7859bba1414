/*
 * The API over TLS: only with a client certificate of the daemon's CA.
 */
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>

#include "5-interface/http/http_fixture.h"
#include "base/json.h"

struct remote {
	SSL_CTX *context;
	SSL *ssl;
	int fd;
};

static uint16_t free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	auto_close int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	return ntohs(address.sin_port);
}

/* With the CA, certificate and key of the answer to POST /v1/certificates, or with none. */
static SSL_CTX *make_context(const struct json *identity)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	BIO *bio;

	if (!identity)
		return context;
	bio = BIO_new_mem_buf(json_string(json_get(identity, "ca"), ""), -1);
	X509 *ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	bio = BIO_new_mem_buf(json_string(json_get(identity, "certificate"), ""), -1);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	bio = BIO_new_mem_buf(json_string(json_get(identity, "key"), ""), -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_true(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca));
	assert_true(SSL_CTX_use_certificate(context, certificate));
	assert_true(SSL_CTX_use_PrivateKey(context, key));
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	X509_free(ca);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return context;
}

static struct remote dial(uint16_t port, const struct json *identity, int max_version)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons(port) };
	struct remote remote = { .context = make_context(identity), .fd = socket(AF_INET, SOCK_STREAM, 0) };

	assert_int_equal(connect(remote.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (max_version)
		SSL_CTX_set_max_proto_version(remote.context, max_version);
	remote.ssl = SSL_new(remote.context);
	SSL_set1_host(remote.ssl, "localhost");
	SSL_set_fd(remote.ssl, remote.fd);
	return remote;
}

static void hang_up(struct remote *remote)
{
	SSL_free(remote->ssl);
	SSL_CTX_free(remote->context);
	close(remote->fd);
	ERR_clear_error();
}

/* The status, or 0 when there is no answer. */
static int ask(struct remote *remote, const char *request, struct str *ret_text)
{
	char bytes[4096];
	int n, status = 0;

	str_clear(ret_text);
	if (SSL_connect(remote->ssl) != 1 || SSL_write(remote->ssl, request, (int)strlen(request)) <= 0)
		return 0;
	while ((n = SSL_read(remote->ssl, bytes, sizeof(bytes))) > 0)
		str_append_bytes(ret_text, bytes, (size_t)n);
	sscanf(str_text(ret_text), "HTTP/1.1 %d", &status);
	return status;
}

static struct json *issue(const struct fixture *f, const char *name)
{
	auto_answer struct answer answer = { 0 };
	struct json *identity = NULL;
	char request[256];
	int fd = client_connect(f);
	struct err err;

	snprintf(request, sizeof(request), "POST /v1/certificates HTTP/1.1\r\nContent-Length: %zu\r\n\r\n{\"name\":\"%s\"}",
		 strlen(name) + 11, name);
	client_send(fd, request);
	read_answer(fd, &answer);
	close(fd);
	assert_int_equal(answer.status, 201);
	assert_int_equal(json_parse(answer.body.data, answer.body.size, &identity, &err), 0);
	return identity;
}

#define ONCE(line) line " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

static void test_who_may(void **state)
{
	static const char *const requests[] = {
		ONCE("GET /v1/version") "\r\n", ONCE("GET /v1/nothing") "\r\n", ONCE("GET /v1/openapi.json") "\r\n",
		ONCE("GET /v1/cluster/join") "\r\n", ONCE("POST /v1/instances/web/start") "Content-Length: 0\r\n\r\n",
		ONCE("POST /v1/certificates") "Content-Length: 14\r\n\r\n{\"name\":\"eve\"}",
		ONCE("GET /v1/instances/web/console") "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n",
	};
	struct fixture *f = *state;
	auto_json struct json *alice = issue(f, "alice");
	auto_str struct str text = { 0 };
	uint16_t port = free_port();
	char address[32];
	struct remote remote;
	struct err err;

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	if (http_set_listen(f->http, address, &err) < 0)
		fail_msg("%s", err.msg);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		remote = dial(port, alice, version);
		assert_int_equal(ask(&remote, ONCE("GET /v1/version") "\r\n", &text), 200);
		hang_up(&remote);
	}
	remote = dial(port, alice, 0);
	assert_int_equal(ask(&remote, ONCE("POST /v1/certificates") "Content-Length: 14\r\n\r\n{\"name\":\"eve\"}",
			     &text), 403);
	hang_up(&remote);
	/* Without a certificate there is no API. */
	for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
		remote = dial(port, NULL, 0);
		assert_int_equal(ask(&remote, requests[i], &text), 401);
		assert_non_null(strstr(text.data, "strata node certificate"));
		assert_non_null(strstr(text.data, "Connection: close"));
		hang_up(&remote);
	}
	assert_int_equal(f->core.calls, 0);
	remote = dial(port, alice, TLS1_1_VERSION);
	assert_int_equal(ask(&remote, ONCE("GET /v1/version") "\r\n", &text), 0);
	hang_up(&remote);
}

static void test_stranger_with_a_certificate_of_another_ca(void **state)
{
	struct fixture *f = *state;
	auto_json struct json *mallory = issue(f, "mallory");
	auto_str struct str text = { 0 };
	uint16_t port = free_port();
	char address[32];
	struct remote remote;
	struct err err;

	assert_int_equal(file_remove_tree(f->certificates, &err), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(http_set_listen(f->http, address, &err), 0);
	remote = dial(port, mallory, 0);
	SSL_CTX_set_verify(remote.context, SSL_VERIFY_NONE, NULL);
	SSL_set_verify(remote.ssl, SSL_VERIFY_NONE, NULL);
	assert_int_equal(ask(&remote, ONCE("GET /v1/version") "\r\n", &text), 0);
	hang_up(&remote);
}

static void *answer_start(void *data)
{
	struct call *call = fixture_take_call(data);

	assert_string_equal(call->peer.channel, "tls");
	assert_string_equal(call->peer.subject, "alice");
	reply_with(call, 202, "{\"started\":true}");
	return NULL;
}

static void test_core_knows_who_asks(void **state)
{
	struct fixture *f = *state;
	auto_json struct json *alice = issue(f, "alice");
	auto_str struct str text = { 0 };
	uint16_t port = free_port();
	pthread_t core;
	char address[32];
	struct remote remote;
	struct err err;

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(http_set_listen(f->http, address, &err), 0);
	assert_int_equal(pthread_create(&core, NULL, answer_start, f), 0);
	remote = dial(port, alice, 0);
	assert_int_equal(ask(&remote, ONCE("POST /v1/instances/web/start") "Content-Length: 0\r\n\r\n", &text), 202);
	assert_non_null(strstr(text.data, "started"));
	pthread_join(core, NULL);
	hang_up(&remote);

	/* A long list, in many records. */
	for (int i = 0; i < 2000; i++) {
		char name[16], json[1100];

		snprintf(name, sizeof(name), "i%04d", i);
		snprintf(json, sizeof(json), "\"%01000d\"", i);
		fixture_put(f, "instances", name, json);
	}
	remote = dial(port, alice, 0);
	assert_int_equal(ask(&remote, ONCE("GET /v1/instances") "\r\n", &text), 200);
	assert_true(text.size > 2000 * 1002);
	assert_non_null(strstr(text.data + text.size - 30, "\"revision\":"));
	hang_up(&remote);
}

static void test_on_and_off(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char listen[32];
	struct err err;
	int fd;

	assert_int_equal(http_set_listen(f->http, "here", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "ADDRESS:PORT"));
	assert_int_equal(http_set_listen(f->http, "127.0.0.1:99999", &err), -EINVAL);
	assert_int_equal(http_set_listen(f->http, "example.org:443", &err), -EINVAL);
	assert_int_equal(http_set_listen(f->http, NULL, &err), 0);
	for (int i = 0; i < 3; i++) {
		uint16_t port = free_port();

		snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
		assert_int_equal(http_set_listen(f->http, listen, &err), 0);
		address.sin_port = htons(port);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		close(fd);
	}
	assert_int_equal(http_set_listen(f->http, NULL, &err), 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), -1);
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_who_may), TEST(test_stranger_with_a_certificate_of_another_ca), TEST(test_core_knows_who_asks),
		TEST(test_on_and_off),
	};

	signal(SIGPIPE, SIG_IGN);	/* OpenSSL writes to sockets that may be closed. */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
