/*
 * Two hosts of a cluster in one process: a request comes to a, whose core says that b must answer it; b's core does.
 */
#include <netinet/in.h>
#include <openssl/err.h>
#include <signal.h>
#include <sys/wait.h>

#include "4-service/peer/peer.h"
#include "4-service/pki/pki.h"
#include "5-interface/http/http_stream_fixture.h"
#include "base/free_port_fixture.h"
#include "base/json.h"
#include "base/limits.h"

#define UID_A "4b1a8f0e-1111-4a4a-8b8b-00000000000a"
#define UID_B "4b1a8f0e-1111-4a4a-8b8b-00000000000b"
#define START "POST /v1/instances/web/start HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
#define OK(function, ...) do { struct err err_; if (function(__VA_ARGS__, &err_) < 0) fail_msg("%s", err_.msg); } while (0)

struct pair {
	struct fixture *a, *b;
	char address[32];		/* Of b's TLS listener. */
};

/* The host with this folder gets a certificate of the CA of the other. */
static void join(const char *folder, const char *uid, const char *ca_folder)
{
	auto_str struct str request = { 0 }, certificate = { 0 };
	const struct pki_host host = { .uid = uid };
	struct pki_ca ca = { 0 };

	OK(pki_make_request, folder, &request);
	OK(pki_sign_host, ca_folder, request.data, request.size, &host, &certificate);
	OK(pki_get_ca, ca_folder, &ca);
	OK(pki_store_host, folder, uid, certificate.data, &ca);
	pki_ca_done(&ca);
}

static int setup(void **state)
{
	struct pair *pair = alloc(sizeof(*pair));

	pair->a = fixture_new(UID_A);
	pair->b = fixture_new(UID_B);
	snprintf(pair->address, sizeof(pair->address), "127.0.0.1:%u", free_port());
	OK(http_set_listen, pair->b->http, pair->address);
	join(pair->a->certificates, UID_A, pair->b->certificates);
	fixture_put(pair->a, "instances", "web", "{}");
	fixture_put(pair->b, "instances", "web", "{}");
	*state = pair;
	return 0;
}

static int teardown(void **state)
{
	struct pair *pair = *state;

	fixture_free(pair->a);
	fixture_free(pair->b);
	free(pair);
	return 0;
}

static void send_on(struct call *call, const char *address, const char *uid)
{
	struct call_reply reply = { .fds = no_fds, .forward = { .address = text_copy(address), .uid = text_copy(uid), .name = text_copy("b") } };

	call->reply(call, &reply);
	call_reply_done(&reply);
}

/* A's core sends the call on; what b's is asked. */
static struct call *pass(struct pair *pair)
{
	struct call *call = fixture_take_call(pair->a);
	enum call_op op = call->op;

	assert_null(call->peer.via);
	send_on(call, pair->address, UID_B);
	call = fixture_take_call(pair->b);
	assert_int_equal(call->op, op);
	assert_string_equal(call->peer.via, UID_A);
	assert_string_equal(call->peer.channel, "unix");
	assert_int_equal(call->peer.uid, getuid());
	assert_int_equal(call->peer.pid, getpid());
	return call;
}

static void fill(struct str *text, size_t size)
{
	str_reserve(text, size);
	while (text->size < size)
		str_printf(text, "%zu,", text->size);
}

static void test_whole_answers(void **state)
{
	struct pair *pair = *state;
	int fd = client_connect(pair->a);
	auto_str struct str request = { 0 }, body = { 0 };
	struct call *call;

	client_send(fd, "POST /v1/instances/web/stop HTTP/1.1\r\nContent-Length: 16\r\n\r\n{\"force\": true }");
	call = pass(pair);
	assert_string_equal(call->name, "web");
	assert_true(json_bool(json_get(call->body, "force"), false));
	reply_with(call, 202, "{\"stopping\":true}");
	expect(fd, "", 202, "{\"stopping\":true}");
	expect_closed(fd);

	/* A parameter of the address, no body; an error. */
	fd = client_connect(pair->a);
	client_send(fd, "DELETE /v1/instances/web?force=true HTTP/1.1\r\n\r\n");
	call = pass(pair);
	assert_true(json_bool(json_get(call->body, "force"), false));
	reply_with_error(call, -EBUSY, "instance 'web' is busy");
	expect(fd, "", 409, "instance 'web' is busy");
	expect_closed(fd);

	/* As large as bodies may be, both ways. */
	fill(&body, LIMIT_BODY_BYTES - 100);
	str_printf(&request, "PATCH /v1/instances/web HTTP/1.1\r\nContent-Length: %zu\r\n\r\n{\"meta\":{\"labels\":{\"x\":\"%s\"}}}", body.size + 28,
		   body.data);
	fd = client_connect(pair->a);
	client_send_bytes(fd, request.data, request.size);
	call = pass(pair);
	assert_string_equal(json_string(json_path(call->body, "meta.labels.x"), ""), body.data);
	reply_with(call, 200, strchr(request.data, '{'));
	expect(fd, "", 200, strchr(request.data, '{'));
	expect_closed(fd);

	/* In chunks. */
	fd = client_connect(pair->a);
	client_send(fd, "POST /v1/instances/web/stop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"fo\r\n9\r\nrce\":true\r\n1\r\n}\r\n0\r\n\r\n");
	call = pass(pair);
	assert_true(json_bool(json_get(call->body, "force"), false));
	reply_with(call, 202, "{}");
	expect(fd, "", 202, "{}");
	expect_closed(fd);
}

/* What is held up here is held up there; then all of it comes, the same. */
static void test_download_to_a_slow_reader(void **state)
{
	enum { BYTES = 32 << 20 };
	struct pair *pair = *state;
	int fd = client_connect(pair->a), output, result;
	auto_answer struct answer answer = { 0 };
	auto_str struct str text = { 0 };
	struct call_fds fds = no_fds;
	size_t written = 0, at = 0;

	fill(&text, BYTES);
	client_send(fd, GET("/v1/instances/web/export"));
	output = make_pipe(&fds.output, false);
	result = make_pipe(&fds.result, false);
	reply_with_fds(pass(pair), &fds, NULL);
	fcntl(output, F_SETFL, O_NONBLOCK);
	for (;;) {
		struct pollfd p = { .fd = output, .events = POLLOUT };
		ssize_t n;

		if (poll(&p, 1, 200) == 0)
			break;
		n = write(output, text.data + written, 4096);
		assert_true(n > 0);
		written += (size_t)n;
		assert_true(written < BYTES / 2);	/* The rest of it is not in anybody's memory. */
	}
	read_head(fd, &answer);
	assert_int_equal(answer.status, 200);
	while (written < text.size) {
		struct pollfd p[] = { { .fd = output, .events = POLLOUT }, { .fd = fd, .events = POLLIN } };

		assert_true(poll(p, 2, PATIENCE_MS) > 0);
		if (p[0].revents) {
			size_t left = text.size - written;
			ssize_t n = write(output, text.data + written, left < 65536 ? left : 65536);

			assert_true(n > 0);
			written += (size_t)n;
		}
		if (p[1].revents) {
			assert_true(read_chunk(fd, &answer));
			assert_memory_equal(answer.body.data + at, text.data + at, answer.body.size - at);
			at = answer.body.size;
		}
	}
	close(output);
	write_text(result, "{}\n");
	close(result);
	while (read_chunk(fd, &answer))
		;
	assert_false(answer.is_cut);
	assert_int_equal(answer.body.size, text.size);
	assert_memory_equal(answer.body.data, text.data, text.size);
	expect_closed(fd);
}

static void test_client_leaves_a_download(void **state)
{
	struct pair *pair = *state;
	int fd = client_connect(pair->a), output;
	struct call_fds fds = no_fds;
	auto_answer struct answer answer = { 0 };

	client_send(fd, GET("/v1/instances/web/export"));
	output = make_pipe(&fds.output, false);
	reply_with_fds(pass(pair), &fds, NULL);
	write_text(output, "something");
	read_head(fd, &answer);
	close(fd);
	wait_broken(output);
	close(output);
}

static void test_logs(void **state)
{
	struct pair *pair = *state;
	auto_free char *path = make_file(pair->b, "log", "one\n");
	int fd = client_connect(pair->a);
	auto_answer struct answer answer = { 0 };

	client_send(fd, GET("/v1/instances/web/logs?follow=true"));
	reply_with_fds(pass(pair), &no_fds, path);
	read_head(fd, &answer);
	assert_true(read_chunk(fd, &answer));
	append_file(path, "two\n");
	assert_true(read_chunk(fd, &answer));
	assert_string_equal(answer.body.data, "one\ntwo\n");
	close(fd);
}

static bool read_pipe(int fd, struct str *out)
{
	char bytes[65536];
	ssize_t n;

	wait_readable(fd);
	n = read(fd, bytes, sizeof(bytes));
	str_append_bytes(out, bytes, n > 0 ? (size_t)n : 0);
	return n > 0;
}

/* The body as it goes over the wire; 'chunk' 0: not in chunks. */
static void encode(const struct str *text, size_t chunk, struct str *wire)
{
	if (!chunk) {
		str_append_bytes(wire, text->data, text->size);
		return;
	}
	for (size_t at = 0; at < text->size; at += chunk) {
		size_t size = text->size - at < chunk ? text->size - at : chunk;

		str_printf(wire, "%zx\r\n", size);
		str_append_bytes(wire, text->data + at, size);
		str_append(wire, "\r\n");
	}
	str_append(wire, "0\r\n\r\n");
}

/* As much as is taken while nobody reads at the other end. */
static size_t send_until_held_up(int fd, const struct str *wire)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	size_t sent = 0;

	while (poll(&p, 1, 200) == 1) {
		ssize_t n = send(fd, wire->data + sent, 4096, MSG_NOSIGNAL | MSG_DONTWAIT);

		assert_true(n > 0);
		sent += (size_t)n;
		assert_true(sent < wire->size / 2);	/* The rest of it is not in anybody's memory. */
	}
	return sent;
}

/* The guest takes it slowly, and the client is held up; then all of it comes, the same. */
static void upload(struct pair *pair, size_t chunk)
{
	enum { BYTES = 32 << 20 };
	int fd = client_connect(pair->a), input, result;
	auto_str struct str text = { 0 }, wire = { 0 }, got = { 0 };
	struct call_fds fds = no_fds;
	char head[256];
	size_t sent;
	pid_t client;

	fill(&text, BYTES);
	encode(&text, chunk, &wire);
	snprintf(head, sizeof(head), "PUT /v1/instances/web/files?path=/x&mode=0600 HTTP/1.1\r\n%s%zu\r\n\r\n",
		 chunk ? "Transfer-Encoding: chunked\r\nX-Size: " : "Content-Length: ", text.size);
	client_send(fd, head);
	input = make_pipe(&fds.input, true);
	result = make_pipe(&fds.result, false);
	reply_with_fds(pass(pair), &fds, NULL);
	sent = send_until_held_up(fd, &wire);
	client = fork();
	if (client == 0) {			/* The client goes on while we are the guest. */
		client_send_bytes(fd, wire.data + sent, wire.size - sent);
		_exit(0);
	}
	while (got.size < text.size)
		if (!read_pipe(input, &got))
			fail_msg("it ended after %zu bytes", got.size);
	assert_memory_equal(got.data, text.data, text.size);
	assert_false(read_pipe(input, &got));
	assert_int_equal(waitpid(client, NULL, 0), client);
	close(input);
	write_text(result, "{}\n");
	close(result);
	expect(fd, "", 200, "{}");
	expect_closed(fd);
}

static void test_uploads(void **state)
{
	upload(*state, 0);
	upload(*state, 70000);
}

/* Many chunks are read at once: there is no room for one of them and room again for the next. */
static void test_uploads_in_small_chunks(void **state)
{
	upload(*state, 2000);
}

/* All or some of the body comes in one go with the head, before anybody knows that it is to be sent on. */
static void upload_with_head(struct pair *pair, const char *head, const char *rest)
{
	int fd = client_connect(pair->a), input, result;
	struct call_fds fds = no_fds;
	auto_str struct str got = { 0 };

	client_send(fd, head);
	input = make_pipe(&fds.input, true);
	result = make_pipe(&fds.result, false);
	reply_with_fds(pass(pair), &fds, NULL);
	client_send(fd, rest);
	while (read_pipe(input, &got))
		continue;
	assert_string_equal(str_text(&got), "small file");
	close(input);
	write_text(result, "{}\n");
	close(result);
	expect(fd, "", 200, "{}");
	expect_closed(fd);
}

#define PUT "PUT /v1/instances/web/files?path=/x&mode=0600 HTTP/1.1\r\n"

static void test_uploads_with_head(void **state)
{
	upload_with_head(*state, PUT "Content-Length: 10\r\n\r\nsmall file", "");
	upload_with_head(*state, PUT "Content-Length: 10\r\n\r\nsmall", " file");
	upload_with_head(*state, PUT "Transfer-Encoding: chunked\r\n\r\na\r\nsmall file\r\n0\r\n\r\n", "");
	upload_with_head(*state, PUT "Transfer-Encoding: chunked\r\n\r\n5\r\nsmall\r\n", "5\r\n file\r\n0\r\n\r\n");
}

static void test_exec(void **state)
{
	struct pair *pair = *state;
	struct call_fds fds = no_fds;
	int fd = websocket(pair->a, "/v1/instances/web/exec"), input, output, error, resize, result;
	static const char request[] = "{\"argv\": [\"/bin/sh\"], \"stdin\": true}";
	auto_str struct str payload = { 0 };
	uint16_t size[2];
	struct call *call;
	char bytes[16];

	/* Input and size come behind the request at once, before anybody knows where it goes. */
	send_frame(fd, TEXT, request, strlen(request));
	send_frame(fd, BINARY, "\0ls\n", 4);
	send_frame(fd, BINARY, "\3\0\x32\1\2", 5);
	call = pass(pair);
	assert_string_equal(json_string(json_at(json_get(call->body, "argv"), 0), ""), "/bin/sh");
	input = make_pipe(&fds.input, true);
	output = make_pipe(&fds.output, false);
	error = make_pipe(&fds.error, false);
	resize = make_pipe(&fds.resize, true);
	result = make_pipe(&fds.result, false);
	reply_with_fds(call, &fds, NULL);
	assert_int_equal(read(input, bytes, sizeof(bytes)), 3);
	assert_int_equal(read(resize, size, sizeof(size)), 4);
	assert_int_equal(size[0], 50);
	write_text(output, "out");
	expect_frame(fd, BINARY, "\1out", 4);
	write_text(error, "bad");
	expect_frame(fd, BINARY, "\2bad", 4);
	send_frame(fd, PING, "x", 1);
	expect_frame(fd, PONG, "x", 1);
	send_frame(fd, BINARY, "\0", 1);
	assert_int_equal(read(input, bytes, sizeof(bytes)), 0);
	write_text(result, "{\"exit_code\": 3}\n");
	close(result);
	close(output);
	close(error);
	expect_frame(fd, TEXT, "{\"exit_code\": 3}", 16);
	assert_int_equal(read_frame(fd, &payload), CLOSE);
	expect_closed(fd);
	close(input);
	close(resize);
}

/* Nothing is being said when the client leaves. */
static void test_client_leaves_a_silent_exec(void **state)
{
	struct pair *pair = *state;
	struct call_fds fds = no_fds;
	int fd = websocket(pair->a, "/v1/instances/web/exec"), input, output;
	char byte;

	send_frame(fd, TEXT, "{\"argv\": [\"x\"]}", 15);
	input = make_pipe(&fds.input, true);
	output = make_pipe(&fds.output, false);
	reply_with_fds(pass(pair), &fds, NULL);
	send_frame(fd, BINARY, "\0x", 2);
	assert_int_equal(read(input, &byte, 1), 1);
	close(fd);
	assert_int_equal(read(input, &byte, 1), 0);
	close(input);
	close(output);
}

static void test_console_and_refused_websockets(void **state)
{
	struct pair *pair = *state;
	auto_free char *path = make_file(pair->b, "log", "boot\nlogin: ");
	struct call_fds fds = no_fds;
	int fd = websocket(pair->a, "/v1/instances/web/console?tail=7"), input;
	char keys[16];

	input = make_pipe(&fds.input, true);
	reply_with_fds(pass(pair), &fds, path);
	expect_frame(fd, BINARY, "login: ", 7);
	send_frame(fd, BINARY, "root\n", 5);
	assert_int_equal(read(input, keys, sizeof(keys)), 5);
	append_file(path, "# ");
	expect_frame(fd, BINARY, "# ", 2);
	close(fd);
	assert_int_equal(read(input, keys, sizeof(keys)), 0);
	close(input);

	/* Said by b's core after its 101, and in place of it. */
	fd = websocket(pair->a, "/v1/instances/web/attach");
	reply_with_error(pass(pair), -EINVAL, "instance 'web' is not a container");
	expect_text_part(fd, "instance 'web' is not a container");
	close(fd);
	view_remove(pair->b->view, "instances", "web");
	fd = websocket(pair->a, "/v1/instances/web/attach");
	send_on(fixture_take_call(pair->a), pair->address, UID_B);
	expect_text_part(fd, "{\"error\":{\"code\":404,\"message\":\"instance 'web' does not exist\"}}");
	close(fd);
}

static void test_other_host_breaks_off(void **state)
{
	struct pair *pair = *state;
	struct call_fds fds = no_fds;
	int before = client_connect(pair->a), during = client_connect(pair->a), shell, output, input, printed;
	auto_answer struct answer answer = { 0 };
	auto_str struct str payload = { 0 };
	struct call *held;

	client_send(during, GET("/v1/instances/web/export"));
	output = make_pipe(&fds.output, false);
	reply_with_fds(pass(pair), &fds, NULL);
	write_text(output, "something");
	read_head(during, &answer);
	fds = no_fds;
	shell = websocket(pair->a, "/v1/instances/web/attach");
	input = make_pipe(&fds.input, true);
	printed = make_pipe(&fds.output, false);
	reply_with_fds(pass(pair), &fds, NULL);
	write_text(printed, "hello");
	expect_frame(shell, BINARY, "\1hello", 6);
	client_send(before, START);
	held = pass(pair);

	OK(http_set_listen, pair->b->http, NULL);
	expect(before, "", 502, "node 'b' at 127.0.0.1:");
	close(before);
	while (read_chunk(during, &answer))
		;
	assert_true(answer.is_cut);
	close(during);
	assert_int_equal(read_frame(shell, &payload), -1);
	close(shell);
	reply_with(held, 202, "{}");
	close(output);
	close(input);
	close(printed);

	/* And is not there at all. */
	before = client_connect(pair->a);
	client_send(before, START);
	send_on(fixture_take_call(pair->a), pair->address, UID_B);
	expect(before, "", 503, "node 'b' cannot be reached at 127.0.0.1:");
	/* What failed here has its end known: the connection goes on. */
	expect(before, GET("/v1/version"), 200, "v1");
	close(before);
	shell = websocket(pair->a, "/v1/instances/web/attach");
	send_on(fixture_take_call(pair->a), pair->address, UID_B);
	expect_text_part(shell, "node 'b' cannot be reached");
	close(shell);
}

/* Something that takes no connections any more, as a host whose packets are lost. */
static void test_nothing_answers(void **state)
{
	struct pair *pair = *state;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), waiting[4], fd = client_connect(pair->a);
	char text[32];

	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	for (size_t i = 0; i < ARRAY_COUNT(waiting); i++) {
		waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(waiting[i], (struct sockaddr *)&address, size);
	}
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(address.sin_port));
	client_send(fd, START);
	send_on(fixture_take_call(pair->a), text, UID_B);
	expect(fd, "", 503, "nothing answers there");
	close(fd);
	for (size_t i = 0; i < ARRAY_COUNT(waiting); i++)
		close(waiting[i]);
	close(listener);
}

static void expect_refusal(struct pair *pair, const char *uid, const char *part)
{
	int fd = client_connect(pair->a);

	client_send(fd, START);
	send_on(fixture_take_call(pair->a), pair->address, uid);
	expect(fd, "", 502, part);
	close(fd);
	assert_int_equal(pair->b->core.calls, 0);
}

static void test_hosts_of_other_clusters(void **state)
{
	struct pair *pair = *state;
	auto_free char *other = text_format("%s/other", pair->a->folder);
	auto_free char *ca = text_format("%s/ca.crt", pair->a->certificates);
	auto_str struct str ours = { 0 };
	struct err err;

	expect_refusal(pair, UID_A, "node 'b' at");		/* It is another node of the cluster. */
	/* A is of another cluster and does not take b. */
	assert_int_equal(file_read_all(ca, 1 << 16, &ours, &err), 0);
	OK(pki_make_ca, other);
	join(pair->a->certificates, UID_A, other);
	OK(http_certificates_changed, pair->a->http);
	expect_refusal(pair, UID_B, "its certificate is not of this cluster");
	/* It takes b, which does not take it. */
	OK(file_write_atomic, ca, ours.data, ours.size, 0644);
	OK(http_certificates_changed, pair->a->http);
	expect_refusal(pair, UID_B, "does not take this host's certificate");
	/* Back in the cluster. */
	join(pair->a->certificates, UID_A, pair->b->certificates);
	OK(http_certificates_changed, pair->a->http);
	int fd = client_connect(pair->a);
	client_send(fd, START);
	reply_with(pass(pair), 202, "{}");
	expect(fd, "", 202, "{}");
	close(fd);
}

static void test_sent_on_once(void **state)
{
	struct pair *pair = *state;
	int fd = client_connect(pair->a);

	client_send(fd, START);
	send_on(pass(pair), "127.0.0.1:1", UID_A);
	expect(fd, "", 503, "two hosts do not agree");
	expect_closed(fd);
	/* Nobody but a host may say who has asked. */
	fd = client_connect(pair->a);
	expect(fd, "POST /v1/instances/web/start HTTP/1.1\r\nStrata-Forwarded: unix 0 0 1\r\nContent-Length: 0\r\n\r\n", 403,
	       "Strata-Forwarded is for the hosts of a cluster only");
	close(fd);
	assert_int_equal(pair->a->core.calls, 1);
}

static void *answer_as_b(void *data)
{
	struct pair *pair = data;
	struct call *call = fixture_take_call(pair->b);

	assert_string_equal(call->peer.channel, "node");
	assert_string_equal(call->peer.subject, UID_A);
	assert_null(call->peer.via);
	reply_with(call, 202, "{\"started\":true}");
	return NULL;
}

static void test_a_host_asks_for_itself(void **state)
{
	struct pair *pair = *state;
	auto_json struct json *answer = NULL;
	struct peer_request request = {
		.address = pair->address, .method = "POST", .path = "/v1/instances/web/start", .body = "{}", .folder = pair->a->certificates,
		.node_uid = UID_B, .timeout_ms = PATIENCE_MS,
	};
	struct err err;
	pthread_t core;

	assert_int_equal(pthread_create(&core, NULL, answer_as_b, pair), 0);
	OK(peer_ask, &request, &answer);
	assert_true(json_bool(json_get(answer, "started"), false));
	pthread_join(core, NULL);
	request.path = "/v1/nothing";
	assert_int_equal(peer_ask(&request, &answer, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "there is nothing at '/v1/nothing'"));
	request.node_uid = UID_A;
	assert_int_equal(peer_ask(&request, &answer, &err), -EACCES);
	assert_non_null(strstr(err.msg, "is its address right?"));
}

static void test_a_host_that_was_removed(void **state)
{
	struct pair *pair = *state;
	auto_json struct json *answer = NULL;
	struct peer_request request = {
		.address = pair->address, .method = "GET", .path = "/v1/instances/web", .folder = pair->a->certificates, .node_uid = UID_B,
		.timeout_ms = PATIENCE_MS,
	};
	int fd = client_connect(pair->a);
	struct err err;

	OK(peer_ask, &request, &answer);
	json_free(take(answer));
	fixture_put(pair->b, VIEW_GONE, UID_A, "{}");
	/* Not for itself, not even for what is only read, and not in the name of others. */
	assert_int_equal(peer_ask(&request, &answer, &err), -EACCES);
	assert_non_null(strstr(err.msg, "your host was removed from this cluster"));
	client_send(fd, START);
	send_on(fixture_take_call(pair->a), pair->address, UID_B);
	expect(fd, "", 403, "your host was removed from this cluster");
	close(fd);
	assert_int_equal(pair->b->core.calls, 0);
	/* It has joined anew. */
	view_remove(pair->b->view, VIEW_GONE, UID_A);
	OK(peer_ask, &request, &answer);
}

static void *join_as_b(void *data)
{
	struct pair *pair = data;
	struct call *call = fixture_take_call(pair->b);

	assert_int_equal(call->op, CALL_CLUSTER_JOIN);
	assert_string_equal(call->peer.channel, "join");
	assert_null(call->peer.subject);
	reply_with(call, 200, "{\"certificate\":\"x\"}");
	return NULL;
}

static void test_joining_by_fingerprint(void **state)
{
	struct pair *pair = *state;
	auto_json struct json *answer = NULL;
	char fingerprint[PKI_FINGERPRINT_SIZE];
	struct peer_request request = {
		.address = pair->address, .method = "POST", .path = "/v1/cluster/join", .ca_fingerprint = fingerprint, .timeout_ms = PATIENCE_MS,
		.body = "{\"token_id\":\"1\",\"secret\":\"2\",\"name\":\"c\",\"uid\":\"" UID_A "\",\"csr\":\"3\",\"addresses\":[\"192.0.2.3\"]}",
	};
	struct err err;
	pthread_t core;

	OK(pki_fingerprint, pair->b->certificates, fingerprint);
	assert_int_equal(pthread_create(&core, NULL, join_as_b, pair), 0);
	OK(peer_ask, &request, &answer);
	assert_string_equal(json_string(json_get(answer, "certificate"), ""), "x");
	pthread_join(core, NULL);
	/* Whoever answers there has another CA than the token says. */
	fingerprint[0] = fingerprint[0] == '0' ? '1' : '0';
	assert_int_equal(peer_ask(&request, &answer, &err), -EACCES);
	assert_int_equal(pair->b->core.calls, 1);
}

static void test_many_at_once(void **state)
{
	enum { COUNT = 64 };
	struct pair *pair = *state;
	struct call_fds fds[COUNT];
	int clients[COUNT], outputs[COUNT];

	for (int i = 0; i < COUNT; i++) {
		clients[i] = client_connect(pair->a);
		client_send(clients[i], GET("/v1/instances/web/export"));
		fds[i] = no_fds;
		outputs[i] = make_pipe(&fds[i].output, false);
		reply_with_fds(pass(pair), &fds[i], NULL);
	}
	for (int i = COUNT; i--; ) {
		auto_free char *text = text_format("stream %d", i);
		auto_answer struct answer answer = { 0 };

		write_text(outputs[i], text);
		close(outputs[i]);
		read_answer(clients[i], &answer);
		assert_string_equal(answer.body.data, text);
		expect_closed(clients[i]);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_whole_answers), TEST(test_download_to_a_slow_reader), TEST(test_client_leaves_a_download), TEST(test_logs),
		TEST(test_uploads), TEST(test_uploads_in_small_chunks), TEST(test_uploads_with_head), TEST(test_exec), TEST(test_client_leaves_a_silent_exec),
		TEST(test_console_and_refused_websockets),
		TEST(test_other_host_breaks_off), TEST(test_nothing_answers), TEST(test_hosts_of_other_clusters), TEST(test_sent_on_once),
		TEST(test_a_host_asks_for_itself), TEST(test_a_host_that_was_removed), TEST(test_joining_by_fingerprint), TEST(test_many_at_once),
	};

	signal(SIGPIPE, SIG_IGN);	/* OpenSSL writes to sockets that may be closed. */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
