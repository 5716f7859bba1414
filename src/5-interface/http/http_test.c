/*
 * Requests and plain answers over the unix socket.
 */
#include <grp.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "5-interface/http/http_fixture.h"
#include "base/json.h"
#include "base/limits.h"

#define WEB "{\"kind\":\"instance\",\"meta\":{\"name\":\"web\",\"revision\":7},\"spec\":{},\"status\":{}}"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void test_reads_on_one_connection(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);

	fixture_put(f, "instances", "web", WEB);
	fixture_put(f, "instances/web/snapshots", "s1", "{\"s\":1}");
	fixture_put(f, "", "node", "{\"n\":1}");
	expect(fd, GET("/v1/version"), 200, "\"api\": \"v1\"");
	expect(fd, GET("/v1/instances/web"), 200, WEB);
	expect(fd, GET("/v1/instances/w%65b"), 200, WEB);
	expect(fd, GET("/v1/instances"), 200, "{\"items\":[" WEB "],\"revision\":2}");
	expect(fd, GET("/v1/instances/web/snapshots"), 200, "[{\"s\":1}]");
	expect(fd, GET("/v1/instances/web/snapshots/s1"), 200, "{\"s\":1}");
	expect(fd, GET("/v1/node"), 200, "{\"n\":1}");
	expect(fd, GET("/v1/images"), 200, "{\"items\":[]");
	assert_int_equal(f->core.calls, 0);
	close(fd);
}

static void test_head_is_get_without_body(void **state)
{
	auto_answer struct answer answer = { 0 };
	struct fixture *f = *state;
	int fd = client_connect(f);

	client_send(fd, "HEAD /v1/version HTTP/1.1\r\nHost: x\r\n\r\n");
	read_head(fd, &answer);
	assert_int_equal(answer.status, 200);
	assert_null(strstr(answer.head.data, "Content-Length: 0"));
	expect(fd, GET("/v1/version"), 200, "v1");
	answer_done(&answer);
	client_send(fd, "HEAD /v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
	read_head(fd, &answer);
	assert_int_equal(answer.status, 405);
	close(fd);
}

static void test_what_does_not_exist(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);

	fixture_put(f, "instances", "web", WEB);
	expect(fd, GET("/v1/instances/nope"), 404, "instance 'nope' does not exist");
	expect(fd, GET("/v1/instances/nope/snapshots"), 404, "instance 'nope' does not exist");
	expect(fd, GET("/v1/instances/web/snapshots/s9"), 404, "instance 'web' has no snapshot 's9'");
	expect(fd, GET("/v1/instance"), 404, "the nearest is GET /v1/instances;");
	expect(fd, GET("/v1/instances/web/log"), 404, "GET /v1/instances/{name}/logs");
	expect(fd, GET("/"), 404, "nothing at '/'");
	expect(fd, GET("/v1/a/b/c/d/e/f/g/h/i/j"), 404, "nothing at");
	expect(fd, GET("/v1/node"), 503, "not known yet");
	expect(fd, "POST /v1/nothing HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 404, "nothing at");
	expect(fd, GET("/v1/version"), 200, "v1");
	close(fd);
}

static void test_wrong_method(void **state)
{
	auto_answer struct answer answer = { 0 };
	struct fixture *f = *state;
	int fd = client_connect(f);

	client_send(fd, "DELETE /v1/instances HTTP/1.1\r\n\r\n");
	read_answer(fd, &answer);
	assert_int_equal(answer.status, 405);
	assert_non_null(strstr(answer.head.data, "Allow: GET, POST\r\n"));
	expect(fd, "OPTIONS /v1/node HTTP/1.1\r\n\r\n", 405, "with GET");
	expect(fd, "BREW /v1/node HTTP/1.1\r\n\r\n", 405, "with GET");
	expect(fd, "CONNECT /v1/node HTTP/1.1\r\n\r\n", 405, "with GET");
	close(fd);
}

static void test_bad_targets(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);

	fixture_put(f, "instances", "web", WEB);
	expect(fd, GET("/v1/instances/web?aftr=1"), 400, "unknown query parameter 'aftr', did you mean 'after'?");
	expect(fd, GET("/v1/instances/web?after=x"), 400, "'x' is not a number");
	expect(fd, GET("/v1/instances/web?after=1&after=2"), 400, "given twice");
	expect(fd, GET("/v1/instances/web?after=1&timeout=never"), 400, "timeout");
	expect(fd, GET("/v1/events?follow=perhaps"), 400, "neither 'true' nor 'false'");
	expect(fd, GET("/v1/instances/web/files"), 400, "'path' is missing");
	expect(fd, GET("/v1/version?x"), 400, "takes none");
	expect(fd, GET("/v1/instances/%ff"), 400, "not UTF-8");
	expect(fd, GET("/v1/instances/web;x&y"), 404, "instance 'web;x&y' does not exist");
	expect(fd, GET("/v1/instances/../version"), 404, "");
	expect(fd, GET("/v1/version"), 200, "v1");
	close(fd);
}

static void expect_refused(const struct fixture *f, const char *request, int status, const char *part)
{
	int fd = client_connect(f);

	expect(fd, request, status, part);
	close(fd);
}

static void test_bad_heads(void **state)
{
	struct fixture *f = *state;

	expect_refused(f, GET("/v1/instances/%zz"), 400, "not an encoded byte");
	expect_refused(f, GET("/v1/instances/a%00b"), 400, "not an encoded byte");
	expect_refused(f, GET("/v1/events?after=%4"), 400, "not an encoded byte");
	expect_refused(f, GET("/v1/events?a&b&c&d&e&f&g&h&i&j"), 400, "more than 8 query parameters");
	expect_refused(f, GET("http://x/v1/version"), 400, "begins with '/'");
	expect_refused(f, "GET /v1/version HTTP/2.0\r\n\r\n", 505, "use HTTP/1.1");
	expect_refused(f, "GET /v1/version\r\n\r\n", 400, "request line");
	expect_refused(f, "\x16\x03\x01 hello\r\n\r\n", 400, "request line");
	expect_refused(f, "GET /v1/version HTTP/1.1\nHost: x\r\n\r\n", 400, "CR LF");
	expect_refused(f, "GET /v1/version HTTP/1.1\r\nHost : x\r\n\r\n", 400, "'Host : x' is not");
	expect_refused(f, "GET /v1/version HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400, "' folded' is not");
	expect_refused(f, "POST /v1/images HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "twice");
	expect_refused(f, "POST /v1/images HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400, "use 'chunked'");
}

static void test_long_headers(void **state)
{
	struct fixture *f = *state;
	auto_str struct str request = { 0 };
	int fd = client_connect(f);

	str_append(&request, "GET /v1/version HTTP/1.1\r\nCookie: ");
	for (int i = 0; i < 1 << 20; i++)
		str_append_char(&request, 'a');
	str_append(&request, "\r\n\r\n");
	expect(fd, request.data, 431, "longer than 8192 bytes");
	close(fd);
}

static void test_long_url(void **state)
{
	struct fixture *f = *state;
	auto_str struct str request = { 0 };
	int fd = client_connect(f);

	str_append(&request, "GET /v1/instances/");
	for (int i = 0; i < 1 << 20; i++)
		str_append_char(&request, 'a');
	str_append(&request, " HTTP/1.1\r\nHost: x\r\n\r\n");
	expect(fd, request.data, 414, "longer than 2048 bytes");
	close(fd);
}

static void test_pipelined_requests(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);
	struct call *call;

	fixture_put(f, "instances", "web", WEB);
	client_send(fd, GET("/v1/version") "POST /v1/instances/web/start HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
		    GET("/v1/instances/web") GET("/v1/nothing"));
	expect(fd, "", 200, "api");
	call = fixture_take_call(f);
	assert_int_equal(call->op, CALL_START);
	reply_with(call, 202, "{\"started\":true}");
	expect(fd, "", 202, "started");
	expect(fd, "", 200, WEB);
	expect(fd, "", 404, "nothing");
	close(fd);
}

/* A body that has come with the request before it. */
static void test_pipelined_bodies(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);

	for (int i = 0; i < 3; i++)
		client_send(fd, GET("/v1/version") "POST /v1/instances/web/rename HTTP/1.1\r\nContent-Length: 14\r\n\r\n"
			    "{\"name\": \"db\"}" "\r\n");
	for (int i = 0; i < 3; i++) {
		struct call *call;

		expect(fd, "", 200, "api");
		call = fixture_take_call(f);
		assert_string_equal(json_string(json_get(call->body, "name"), ""), "db");
		reply_with(call, 200, "{}");
		expect(fd, "", 200, "{}");
	}
	close(fd);
}

static void test_create_reaches_the_core(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);
	struct call *call;

	client_send(fd, "POST /v1/images HTTP/1.1\r\nContent-Length: 23\r\n\r\n{\"meta\":{\"name\":\"tiny\"}}");
	expect(fd, "", 400, "line 1");	/* One byte short. */
	close(fd);

	fd = client_connect(f);
	client_send(fd, "POST /v1/images HTTP/1.1\r\nContent-Length: 24\r\n\r\n{\"meta\":{\"name\":\"tiny\"}}");
	call = fixture_take_call(f);
	assert_int_equal(call->op, CALL_CREATE);
	assert_ptr_equal(call->kind, &kinds[KIND_IMAGE]);
	assert_null(call->name);
	assert_string_equal(json_string(json_path(call->body, "meta.name"), ""), "tiny");
	assert_int_equal(call->peer.uid, getuid());
	assert_int_equal(call->peer.pid, getpid());
	assert_string_equal(call->peer.channel, "unix");
	reply_with(call, 201, "{\"made\":1}");
	expect(fd, "", 201, "{\"made\":1}");

	client_send(fd, "DELETE /v1/images/tiny?force=true HTTP/1.1\r\n\r\n");
	call = fixture_take_call(f);
	assert_int_equal(call->op, CALL_DELETE);
	assert_string_equal(call->name, "tiny");
	assert_true(json_bool(json_get(call->body, "force"), false));
	reply_with_error(call, -EBUSY, "image 'tiny' is in use");
	expect(fd, "", 409, "{\"error\":{\"code\":409,\"message\":\"image 'tiny' is in use\"}}");

	client_send(fd, "DELETE /v1/instances/web/snapshots/s1 HTTP/1.1\r\n\r\n");
	call = fixture_take_call(f);
	assert_ptr_equal(call->kind, &kinds[KIND_SNAPSHOT]);
	assert_string_equal(call->child, "s1");
	reply_with(call, 0, "");
	expect(fd, "", 202, "{}");
	close(fd);
}

static void test_bad_bodies(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);

#define POST(path, length, body) "POST " path " HTTP/1.1\r\nContent-Length: " #length "\r\n\r\n" body
	expect(fd, POST("/v1/images", 9, "{\"a\": 1,\n"), 400, "line 2");
	expect(fd, POST("/v1/images", 2, "[]"), 400, "must be an object");
	expect(fd, POST("/v1/images", 0, ""), 400, "no body");
	expect(fd, POST("/v1/instances/web/stop", 12, "{\"forse\": 1}"), 400, "did you mean 'force'");
	expect(fd, POST("/v1/instances/web/clone", 2, "{}"), 400, "name");
	expect(fd, POST("/v1/images", 2000000, ""), 413, "larger than 1048576");
	close(fd);

	fd = client_connect(f);
	expect(fd, POST("/v1/images", -5, ""), 400, "is not a number of bytes");
	close(fd);
	fd = client_connect(f);
	expect(fd, "POST /v1/images HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "both");
	close(fd);
	assert_int_equal(f->core.calls, 0);
}

static void test_no_content_length_is_no_body(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);

	client_send(fd, "POST /v1/instances/web/start HTTP/1.1\r\n\r\n");
	reply_with(fixture_take_call(f), 202, "{}");
	expect(fd, "", 202, "{}");
	expect(fd, GET("/v1/version"), 200, "v1");
	close(fd);
}

static void test_chunked_body(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);
	struct call *call;

	client_send(fd, "PATCH /v1/config HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"api\r\n");
	client_send(fd, "a;x=y\r\n\":{\"listen\r\n0007\r\n\":null}\r\n1\r\n}\r\n0\r\nTrailer: 1\r\n\r\n");
	call = fixture_take_call(f);
	assert_int_equal(call->op, CALL_CONFIG);
	assert_int_equal(json_type(json_path(call->body, "api.listen")), JSON_NULL);
	reply_with(call, 200, "{}");
	expect(fd, "", 200, "{}");
	expect(fd, "PATCH /v1/config HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400, "chunked");
	close(fd);
}

/* The answer comes although the client goes on sending, and nothing of it is kept. */
static void test_endless_body(void **state)
{
	struct fixture *f = *state;
	auto_str struct str chunk = { 0 };
	int fd = client_connect(f);

	client_send(fd, "POST /v1/images HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
	str_append(&chunk, "10000\r\n");
	for (int i = 0; i < 0x10000; i++)
		str_append_char(&chunk, ' ');
	str_append(&chunk, "\r\n");
	for (int i = 0; i < 1500; i++)		/* 98 MB */
		client_send_bytes(fd, chunk.data, chunk.size);
	expect(fd, "", 413, "larger than");
	close(fd);
	expect(client_connect(f), GET("/v1/version"), 200, "v1");
}

static void test_slow_client(void **state)
{
	static const char request[] = "POST /v1/instances/web/rename HTTP/1.1\r\nContent-Length: 14\r\n\r\n{\"name\": \"db\"}";
	struct fixture *f = *state;
	int fd = client_connect(f);
	struct call *call;

	for (const char *c = request; *c; c++)
		client_send_bytes(fd, c, 1);
	call = fixture_take_call(f);
	assert_int_equal(call->op, CALL_RENAME);
	reply_with(call, 200, "{}");
	expect(fd, "", 200, "{}");
	close(fd);
}

static void test_client_leaves_while_the_core_works(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);
	struct call *call;

	client_send(fd, "POST /v1/instances/web/start HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
	call = fixture_take_call(f);
	close(fd);
	while (!__atomic_load_n(&call->is_cancelled, __ATOMIC_RELAXED))
		sched_yield();
	reply_with(call, 202, "{}");
	fd = client_connect(f);
	expect(fd, GET("/v1/version"), 200, "v1");
	close(fd);
}

static void test_server_stops_while_the_core_works(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);
	struct call *call;

	client_send(fd, "POST /v1/instances/web/start HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
	call = fixture_take_call(f);
	http_stop(take(f->http));
	expect_closed(fd);
	reply_with(call, 202, "{}");
}

/* As does a daemon that begins anew: who was answered hears it. */
static void test_answers_go_out_before_the_server_stops(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);

	client_send(fd, "POST /v1/cluster/leave HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
	reply_with(fixture_take_call(f), 202, "{\"state\": \"moving\"}");
	http_stop(take(f->http));
	expect(fd, "", 202, "moving");
	expect_closed(fd);
}

static void test_waiting_for_an_object(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);

	fixture_put(f, "instances", "web", WEB);
	expect(fd, GET("/v1/instances/web?after=6"), 200, WEB);
	expect(fd, GET("/v1/instances/web?after=7&timeout=20ms"), 200, WEB);
	expect(fd, GET("/v1/instances/nope?after=7"), 404, "nope");

	client_send(fd, GET("/v1/instances/web?after=7&timeout=10m") GET("/v1/version"));
	fixture_put(f, "instances", "other", WEB);
	fixture_put(f, "instances", "web", "{\"meta\":{\"revision\":8}}");
	expect(fd, "", 200, "{\"meta\":{\"revision\":8}}");
	expect(fd, "", 200, "v1");

	client_send(fd, GET("/v1/instances/web?after=8"));
	view_remove(f->view, "instances", "web");
	expect(fd, "", 404, "does not exist");
	close(fd);
}

static void test_waiting_for_a_list(void **state)
{
	auto_answer struct answer answer = { 0 };
	struct fixture *f = *state;
	int fd = client_connect(f);
	char request[128];

	fixture_put(f, "images", "a", "1");
	snprintf(request, sizeof(request), GET("/v1/images?after=%d"), (int)view_list(f->view, "images", NULL));
	client_send(fd, request);
	fixture_put(f, "instances", "web", WEB);
	fixture_put(f, "images", "b", "2");
	read_answer(fd, &answer);
	assert_non_null(strstr(answer.body.data, "[1,2]"));
	/* A revision from before the daemon's restart. */
	expect(fd, GET("/v1/images?after=1000000"), 200, "[1,2]");
	close(fd);
}

static void test_events(void **state)
{
	auto_answer struct answer answer = { 0 };
	struct fixture *f = *state;
	int fd = client_connect(f);

	view_add_event(f->view, 1, "{\"id\":1}", 8);
	view_add_event(f->view, 2, "{\"id\":2}", 8);
	expect(fd, GET("/v1/events"), 200, "{\"id\":1}\n{\"id\":2}\n");
	expect(fd, GET("/v1/events?after=1"), 200, "{\"id\":2}\n");
	expect(fd, GET("/v1/events?after=2"), 200, "");
	client_send(fd, GET("/v1/events?after=1&follow=true"));
	read_head(fd, &answer);
	assert_true(read_chunk(fd, &answer));
	assert_string_equal(answer.body.data, "{\"id\":2}\n");
	view_add_event(f->view, 3, "{\"id\":3}", 8);
	assert_true(read_chunk(fd, &answer));
	view_add_event(f->view, 4, "{\"id\":4}", 8);
	assert_true(read_chunk(fd, &answer));
	assert_string_equal(answer.body.data, "{\"id\":2}\n{\"id\":3}\n{\"id\":4}\n");
	close(fd);
}

static void test_http_1_0_is_closed(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);

	expect(fd, "GET /v1/version HTTP/1.0\r\n\r\n", 200, "v1");
	expect_closed(fd);
	fd = client_connect(f);
	expect(fd, "GET /v1/version HTTP/1.1\r\nConnection: close\r\n\r\n", 200, "v1");
	expect_closed(fd);
}

static void test_upgrades_that_are_none(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);

	expect(fd, GET("/v1/instances/web/console"), 426, "is a WebSocket");
	expect(fd, "GET /v1/version HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n", 200,
	       "api");
	expect(fd, "GET /v1/instances/x/console HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", 404, "'x' does not exist");
	expect(fd, GET("/v1/version"), 200, "v1");
	close(fd);
}

/* As a stranger: what the answer is. */
static int ask_as_stranger(const struct fixture *f)
{
	auto_answer struct answer answer = { 0 };
	int fd;

	if (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
		return 1;
	fd = client_connect(f);
	client_send(fd, GET("/v1/version"));
	read_answer(fd, &answer);
	return answer.status == 403 && strstr(answer.body.data, "may not use this daemon: add the user to the group") ? 0 : 2;
}

static void test_strangers_are_refused(void **state)
{
	struct fixture *f = *state;
	int status = -1;
	pid_t pid;

	if (getuid() != 0)
		skip();
	chmod(f->folder, 0755);
	chmod(f->socket_path, 0666);
	pid = fork();
	if (pid == 0)
		_exit(ask_as_stranger(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_socket_belongs_to_one_daemon(void **state)
{
	struct fixture *f = *state;
	struct http_params params = { .core = &f->core, .call = fixture_call, .view = f->view, .listen_fd = -1,
				      .socket_path = f->socket_path, .staging = f->staging };
	struct http *http = NULL;
	struct stat st;
	struct err err;
	int fd;

	assert_int_equal(stat(f->socket_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(http_start(&params, &http, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, "another daemon answers"));
	assert_int_equal(access(f->socket_path, F_OK), 0);

	http_stop(take(f->http));
	assert_int_equal(access(f->socket_path, F_OK), -1);

	/* What a killed daemon leaves. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strcpy(address.sun_path, f->socket_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(http_start(&params, &f->http, &err), 0);
	fd = client_connect(f);
	expect(fd, GET("/v1/version"), 200, "v1");
	close(fd);
}

static void test_connections_are_limited(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit;
	int fds[LIMIT_CONNECTIONS], fd;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < 2 * LIMIT_CONNECTIONS + 100)
		skip();
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (int i = 0; i < LIMIT_CONNECTIONS; i++)
		fds[i] = client_connect(f);
	expect(fds[0], GET("/v1/version"), 200, "v1");
	expect(fds[LIMIT_CONNECTIONS - 1], GET("/v1/version"), 200, "v1");
	auto_answer struct answer answer = { 0 };
	fd = client_connect(f);
	read_head(fd, &answer);
	assert_int_equal(answer.status, 503);
	close(fd);
	for (int i = 0; i < LIMIT_CONNECTIONS; i++)
		close(fds[i]);
}

static void test_openapi_is_json(void **state)
{
	auto_answer struct answer answer = { 0 };
	auto_json struct json *json = NULL;
	struct fixture *f = *state;
	int fd = client_connect(f);
	struct err err;

	client_send(fd, GET("/v1/openapi.json"));
	read_answer(fd, &answer);
	if (json_parse(answer.body.data, answer.body.size, &json, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(json_string(json_get(json, "openapi"), ""), "3.1.0");
	assert_non_null(json_get(json_get(json_get(json, "paths"), "/v1/instances/{name}/exec"), "get"));
	assert_non_null(json_path(json, "components.schemas.instance_spec.properties.cpus"));
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_reads_on_one_connection), TEST(test_head_is_get_without_body), TEST(test_what_does_not_exist),
		TEST(test_wrong_method), TEST(test_bad_targets), TEST(test_bad_heads),
		TEST(test_long_url), TEST(test_long_headers), TEST(test_pipelined_requests), TEST(test_pipelined_bodies),
		TEST(test_create_reaches_the_core), TEST(test_bad_bodies), TEST(test_no_content_length_is_no_body),
		TEST(test_chunked_body), TEST(test_endless_body), TEST(test_slow_client),
		TEST(test_client_leaves_while_the_core_works), TEST(test_server_stops_while_the_core_works),
		TEST(test_answers_go_out_before_the_server_stops),
		TEST(test_waiting_for_an_object), TEST(test_waiting_for_a_list), TEST(test_events),
		TEST(test_http_1_0_is_closed), TEST(test_upgrades_that_are_none), TEST(test_strangers_are_refused),
		TEST(test_socket_belongs_to_one_daemon), TEST(test_connections_are_limited), TEST(test_openapi_is_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
