/*
 * The API over TLS: only with a client certificate of the daemon's CA.
 */
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/wait.h>

#include "4-service/pki/pki.h"
#include "5-interface/http/http_fixture.h"
#include "base/free_port_fixture.h"
#include "base/json.h"
#include "base/limits.h"

#define UID_A "4b1a8f0e-1111-4a4a-8b8b-00000000000a"
#define UID_B "4b1a8f0e-1111-4a4a-8b8b-00000000000b"
#define OK(function, ...) do { struct err err_; if (function(__VA_ARGS__, &err_) < 0) fail_msg("%s", err_.msg); } while (0)

struct remote {
	SSL_CTX *context;
	SSL *ssl;
	int fd;
};

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

static bool is_whole(const struct str *text)
{
	const char *end = strstr(str_text(text), "\r\n\r\n"), *length = strcasestr(str_text(text), "content-length:");

	return end && length && text->size >= (size_t)(end + 4 - text->data) + strtoul(length + strlen("content-length:"), NULL, 10);
}

/* The status, or 0 when there is no answer. */
static int ask(struct remote *remote, const char *request, struct str *ret_text)
{
	char bytes[4096];
	int n, status = 0;

	str_clear(ret_text);
	if (SSL_connect(remote->ssl) != 1 || SSL_write(remote->ssl, request, (int)strlen(request)) <= 0)
		return 0;
	while (!is_whole(ret_text) && (n = SSL_read(remote->ssl, bytes, sizeof(bytes))) > 0)
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
		assert_non_null(strstr(text.data, "strata cert issue"));
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

#define JOIN(size) ONCE("POST /v1/cluster/join") "Content-Length: " size "\r\n\r\n"

static uint16_t listen_somewhere(struct fixture *f)
{
	uint16_t port = free_port();
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	OK(http_set_listen, f->http, address);
	return port;
}

static void *answer_join(void *data)
{
	struct call *call = fixture_take_call(data);

	assert_int_equal(call->op, CALL_CLUSTER_JOIN);
	assert_string_equal(call->peer.channel, "join");
	assert_null(call->peer.subject);
	assert_string_equal(json_string(json_at(json_get(call->body, "addresses"), 0), ""), "192.0.2.3");
	reply_with_error(call, -EOPNOTSUPP, "this host is not in a cluster");
	return NULL;
}

static void expect_stranger(uint16_t port, const char *request, int status, const char *part)
{
	struct remote remote = dial(port, NULL, 0);
	auto_str struct str text = { 0 };

	assert_int_equal(ask(&remote, request, &text), status);
	if (!strstr(text.data, part))
		fail_msg("%s, not %s", text.data, part);
	hang_up(&remote);
}

static void test_joining(void **state)
{
	static const char body[] = "{\"token_id\":\"1\",\"secret\":\"2\",\"name\":\"c\",\"uid\":\"" UID_B "\",\"csr\":\"3\","
				   "\"addresses\":[\"192.0.2.3\"]}";
	struct fixture *f = *state;
	uint16_t port = listen_somewhere(f);
	auto_free char *request = text_format(JOIN("%zu") "%s", strlen(body), body);
	pthread_t core;

	assert_int_equal(pthread_create(&core, NULL, answer_join, f), 0);
	expect_stranger(port, request, 422, "this host is not in a cluster");
	pthread_join(core, NULL);
	/* Too large, of unknown size, and with a claim to speak for others. */
	expect_stranger(port, JOIN("40000"), 413, "larger than");
	expect_stranger(port, ONCE("POST /v1/cluster/join") "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413, "larger than");
	expect_stranger(port, ONCE("GET /v1/version") "Strata-Forwarded: unix 0 0 1\r\n\r\n", 401, "certificate");
	for (int i = 1; i < LIMIT_JOINS_PER_MINUTE; i++)
		expect_stranger(port, JOIN("2") "{}", 400, "token_id");
	expect_stranger(port, JOIN("2") "{}", 429, "try again in a minute");
	assert_int_equal(f->core.calls, 1);
}

static void test_strangers_are_few(void **state)
{
	struct fixture *f = *state;
	struct remote remotes[LIMIT_STRANGERS];
	uint16_t port = listen_somewhere(f);
	auto_json struct json *alice = issue(f, "alice");
	auto_str struct str text = { 0 };
	struct remote remote;

	for (size_t i = 0; i < ARRAY_COUNT(remotes); i++) {
		remotes[i] = dial(port, NULL, 0);
		assert_int_equal(SSL_connect(remotes[i].ssl), 1);
		assert_int_equal(SSL_write(remotes[i].ssl, "GET", 3), 3);
	}
	expect_stranger(port, JOIN("2") "{}", 503, "without a certificate are here already");
	remote = dial(port, alice, 0);
	assert_int_equal(ask(&remote, ONCE("GET /v1/version") "\r\n", &text), 200);
	hang_up(&remote);
	for (size_t i = 0; i < ARRAY_COUNT(remotes); i++)
		hang_up(&remotes[i]);
}

static void test_user_cannot_speak_for_others(void **state)
{
	struct fixture *f = *state;
	uint16_t port = listen_somewhere(f);
	auto_json struct json *alice = issue(f, "alice");
	auto_str struct str text = { 0 };
	struct remote remote = dial(port, alice, 0);

	assert_int_equal(ask(&remote, ONCE("POST /v1/instances/web/start") "Strata-Forwarded: unix 0 0 1\r\nContent-Length: 0\r\n\r\n", &text),
			 403);
	assert_non_null(strstr(text.data, "Strata-Forwarded is for the hosts of a cluster only"));
	hang_up(&remote);
	assert_int_equal(f->core.calls, 0);
}

static bool is_alive(struct remote *remote)
{
	static const char request[] = "GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n";
	char bytes[4096];

	return SSL_write(remote->ssl, request, sizeof(request) - 1) > 0 && SSL_read(remote->ssl, bytes, sizeof(bytes)) > 0;
}

/* A renewed certificate disturbs nobody; another CA ends what the old one let in. */
static void test_certificates_change(void **state)
{
	struct fixture *f = *state;
	uint16_t port = listen_somewhere(f);
	auto_json struct json *alice = issue(f, "alice"), *bob = NULL;
	const struct pki_host host = { .uid = UID_A, .name = "renewed" };
	auto_str struct str text = { 0 };
	struct remote old = dial(port, alice, 0), remote;
	struct err err;

	assert_int_equal(SSL_connect(old.ssl), 1);
	assert_true(is_alive(&old));
	OK(pki_prepare_host, f->certificates, &host);
	OK(http_certificates_changed, f->http);
	do {					/* The server's thread takes its time. */
		remote = dial(port, alice, 0);
		SSL_set1_host(remote.ssl, "renewed");
		if (ask(&remote, ONCE("GET /v1/version") "\r\n", &text) == 200)
			break;
		hang_up(&remote);
	} while (true);
	hang_up(&remote);
	assert_true(is_alive(&old));

	assert_int_equal(file_remove_tree(f->certificates, &err), 0);
	assert_int_equal(http_certificates_changed(f->http, &err), -EIO);
	assert_non_null(strstr(err.msg, "ca.crt"));
	assert_true(is_alive(&old));
	OK(pki_prepare_host, f->certificates, &host);
	OK(http_certificates_changed, f->http);
	while (is_alive(&old))
		;
	hang_up(&old);
	remote = dial(port, alice, 0);
	SSL_set_verify(remote.ssl, SSL_VERIFY_NONE, NULL);
	assert_int_equal(ask(&remote, ONCE("GET /v1/version") "\r\n", &text), 0);
	hang_up(&remote);
	bob = issue(f, "bob");
	remote = dial(port, bob, 0);
	assert_int_equal(ask(&remote, ONCE("GET /v1/version") "\r\n", &text), 200);
	hang_up(&remote);
}

/* The other host, in a process of its own: libwebsockets has one context with TLS per process. It says who it thinks asks. */
static void *answer_all(void *data)
{
	for (;;) {
		struct call *call = fixture_take_call(data);
		auto_free char *text = text_format("{\"channel\":\"%s\",\"subject\":\"%s\",\"via\":\"%s\"}", call->peer.channel,
						   call->peer.subject, call->peer.via);

		reply_with(call, 202, text);
	}
	return NULL;
}

/* Until nobody holds the other end of the pipe. */
static void be_b(const char *certificates, uint16_t port, int pipe_fd)
{
	struct fixture *b = fixture_new(UID_B);
	pthread_t core;
	char address[32];
	struct err err;

	assert_int_equal(rename(certificates, b->certificates), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	OK(http_set_listen, b->http, address);
	assert_int_equal(pthread_create(&core, NULL, answer_all, b), 0);
	assert_int_equal(read(pipe_fd, &(char){ 0 }, 1), 0);
	file_remove_tree(b->folder, &err);
}

static void *send_on(void *data)
{
	struct call_reply reply = { .fds = { -1, -1, -1, -1, -1 } };
	const struct { struct fixture *a; const char *address; } *to = data;
	struct call *call = fixture_take_call(to->a);

	reply.forward = (struct call_forward){ text_copy(to->address), text_copy(UID_B), text_copy("b") };
	call->reply(call, &reply);
	call_reply_done(&reply);
	return NULL;
}

/* B listens when it answers; until then a says that it cannot be reached. */
static void ask_through(struct fixture *a, uint16_t port, const struct json *identity, const char *b_address, struct str *text)
{
	struct { struct fixture *a; const char *address; } to = { a, b_address };
	int status;

	do {
		struct remote remote = dial(port, identity, 0);
		pthread_t core;

		assert_int_equal(pthread_create(&core, NULL, send_on, &to), 0);
		status = ask(&remote, ONCE("POST /v1/instances/web/start") "Content-Length: 0\r\n\r\n", text);
		pthread_join(core, NULL);
		hang_up(&remote);
	} while (status == 503);
	assert_int_equal(status, 202);
}

static void test_users_and_hosts_through_another_host(void **state)
{
	auto_free char *folder = text_format("/tmp/strata-tls-b-%d", getpid());
	auto_free char *address = NULL;
	const struct pki_host host_b = { .uid = UID_B };
	auto_str struct str request = { 0 }, certificate = { 0 }, text = { 0 };
	uint16_t b_port = free_port(), port;
	struct pki_ca ca = { 0 };
	struct fixture *a;
	int ours, theirs;
	pid_t b;

	/* The child is there before any thread is. */
	auto_free char *ca_folder = text_format("/tmp/strata-tls-a-%d", getpid());
	OK(pki_make_ca, ca_folder);
	OK(pki_make_request, folder, &request);
	OK(pki_sign_host, ca_folder, request.data, request.size, &host_b, &certificate);
	OK(pki_get_ca, ca_folder, &ca);
	OK(pki_store_host, folder, UID_B, certificate.data, &ca);
	pki_ca_done(&ca);
	ours = make_pipe(&theirs, false);
	b = fork();
	if (b == 0) {
		close(ours);
		be_b(folder, b_port, theirs);
		_exit(0);
	}
	close(theirs);
	a = fixture_new(UID_A);
	assert_int_equal(rename(ca_folder, a->certificates), 0);
	port = listen_somewhere(a);
	address = text_format("127.0.0.1:%u", b_port);
	auto_json struct json *alice = issue(a, "alice");
	ask_through(a, port, alice, address, &text);
	assert_non_null(strstr(text.data, "{\"channel\":\"tls\",\"subject\":\"alice\",\"via\":\"" UID_A "\"}"));
	close(ours);
	assert_int_equal(waitpid(b, NULL, 0), b);
	fixture_free(a);
	(void)state;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_who_may), TEST(test_stranger_with_a_certificate_of_another_ca), TEST(test_core_knows_who_asks),
		TEST(test_on_and_off), TEST(test_joining), TEST(test_strangers_are_few), TEST(test_user_cannot_speak_for_others),
		TEST(test_certificates_change), cmocka_unit_test(test_users_and_hosts_through_another_host),
	};

	signal(SIGPIPE, SIG_IGN);	/* OpenSSL writes to sockets that may be closed. */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
