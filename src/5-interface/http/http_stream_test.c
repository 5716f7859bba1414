/*
 * Streams, uploads and WebSockets over the unix socket.
 */
#include <dirent.h>

#include "5-interface/http/helpers.h"
#include "5-interface/http/http_stream_fixture.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/sha256.h"

static void reply_with_records(struct call *call, const struct call_fds *fds, const char *path)
{
	struct call_reply reply = { .http_status = 200, .fds = *fds, .path = text_copy(path), .has_records = true };

	call->reply(call, &reply);
	call_reply_done(&reply);
}

static size_t files_in(const char *folder)
{
	DIR *dir = opendir(folder);
	size_t count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

static void test_download_of_a_file_has_its_length(void **state)
{
	auto_answer struct answer answer = { 0 };
	struct fixture *f = *state;
	struct call_fds fds = no_fds;
	auto_free char *path = NULL;
	auto_str struct str text = { 0 };
	int fd = client_connect(f);

	for (int i = 0; i < 300000; i++)
		str_printf(&text, "%d\n", i);
	path = make_file(f, "backup", text.data);
	client_send(fd, GET("/v1/backup") GET("/v1/version"));
	fds.output = open(path, O_RDONLY);
	reply_with_fds(fixture_take_call(f), &fds, NULL);
	read_answer(fd, &answer);
	assert_int_equal(answer.status, 200);
	assert_non_null(strstr(answer.head.data, "Content-Length: "));
	assert_int_equal(answer.body.size, text.size);
	assert_string_equal(answer.body.data, text.data);
	expect(fd, "", 200, "v1");
	close(fd);
}

static void test_download_of_a_pipe(void **state)
{
	auto_answer struct answer answer = { 0 };
	struct fixture *f = *state;
	struct call_fds fds = no_fds;
	int fd = client_connect(f), output, result;
	struct call *call;

	client_send(fd, GET("/v1/instances/web/files?path=/etc/a%20b") GET("/v1/version"));
	call = fixture_take_call(f);
	assert_int_equal(call->op, CALL_FILE_READ);
	assert_string_equal(json_string(json_get(call->body, "path"), ""), "/etc/a b");
	output = make_pipe(&fds.output, false);
	result = make_pipe(&fds.result, false);
	reply_with_fds(call, &fds, NULL);
	write_text(output, "one ");
	read_head(fd, &answer);
	assert_true(read_chunk(fd, &answer));
	write_text(output, "two");
	close(output);
	assert_true(read_chunk(fd, &answer));
	write_text(result, "{}\n");
	close(result);
	assert_false(read_chunk(fd, &answer));
	assert_false(answer.is_cut);
	assert_string_equal(answer.body.data, "one two");
	expect(fd, "", 200, "v1");
	close(fd);
}

static void test_download_that_fails(void **state)
{
	struct fixture *f = *state;
	struct call_fds fds = no_fds;
	int fd = client_connect(f), output, result;

	client_send(fd, GET("/v1/instances/web/export"));
	reply_with_error(fixture_take_call(f), -ENOENT, "instance 'web' does not exist");
	expect(fd, "", 404, "instance 'web' does not exist");

	/* Before the first byte the status can still tell. */
	client_send(fd, GET("/v1/instances/web/export"));
	output = make_pipe(&fds.output, false);
	result = make_pipe(&fds.result, false);
	reply_with_fds(fixture_take_call(f), &fds, NULL);
	write_text(result, "{\"error\": \"no space\", \"code\": -28}\n");
	close(result);
	close(output);
	expect(fd, "", 507, "no space");

	/* After it the body is cut. */
	auto_answer struct answer answer = { 0 };
	client_send(fd, GET("/v1/instances/web/export"));
	output = make_pipe(&fds.output, false);
	result = make_pipe(&fds.result, false);
	reply_with_fds(fixture_take_call(f), &fds, NULL);
	write_text(output, "something");
	close(output);
	write_text(result, "{\"error\": \"broken\", \"code\": -5}\n");
	close(result);
	read_answer(fd, &answer);
	assert_int_equal(answer.status, 200);
	assert_true(answer.is_cut);
	close(fd);
}

static void test_client_leaves_a_download(void **state)
{
	struct fixture *f = *state;
	struct call_fds fds = no_fds;
	int fd = client_connect(f), output;
	char bytes[4096] = "";

	client_send(fd, GET("/v1/instances/web/export"));
	output = make_pipe(&fds.output, false);
	reply_with_fds(fixture_take_call(f), &fds, NULL);
	/* The client does not read: the producer is held up by full buffers, not by our memory. */
	fcntl(output, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 100000; i++) {
		struct pollfd p = { .fd = output, .events = POLLOUT };

		if (poll(&p, 1, 50) == 0)
			break;
		assert_true(write(output, bytes, sizeof(bytes)) > 0);
		assert_true(i < 99999);
	}
	close(fd);
	wait_broken(output);
	close(output);
}

static void test_writing_a_file(void **state)
{
	struct fixture *f = *state;
	struct call_fds fds = no_fds;
	int fd = client_connect(f), input, result;
	auto_str struct str got = { 0 };
	auto_str struct str body = { 0 };
	struct call *call;

	client_send(fd, "PUT /v1/instances/web/files?path=/tmp/x&mode=0755 HTTP/1.1\r\nContent-Length: 1000000\r\n"
		    "Expect: 100-continue\r\n\r\n");
	call = fixture_take_call(f);
	assert_int_equal(call->op, CALL_FILE_WRITE);
	assert_int_equal(json_int(json_get(call->body, "mode"), 0), 0755);
	auto_answer struct answer answer = { 0 };
	read_head(fd, &answer);
	assert_int_equal(answer.status, 100);
	input = make_pipe(&fds.input, true);
	result = make_pipe(&fds.result, false);
	reply_with_fds(call, &fds, NULL);

	str_reserve(&body, 1000000);
	for (size_t i = 0; i < 1000000 / 8; i++)
		str_printf(&body, "%07zu\n", i);
	for (size_t sent = 0; sent < body.size; ) {	/* Much more than the pipe holds, so we read in between. */
		client_send_bytes(fd, body.data + sent, 50000);
		sent += 50000;
		for (size_t left = 50000; left; ) {
			char bytes[50000];
			ssize_t n = read(input, bytes, left);

			assert_true(n > 0);
			str_append_bytes(&got, bytes, (size_t)n);
			left -= (size_t)n;
		}
	}
	assert_int_equal(read(input, &(char){ 0 }, 1), 0);	/* End of file. */
	close(input);
	assert_int_equal(got.size, body.size);
	assert_memory_equal(got.data, body.data, body.size);
	write_text(result, "{}\n");
	close(result);
	expect(fd, "", 200, "{}");
	expect(fd, GET("/v1/version"), 200, "v1");
	close(fd);
}

static void test_writing_a_file_fails_early(void **state)
{
	struct fixture *f = *state;
	struct call_fds fds = no_fds;
	int fd = client_connect(f), input, result;

	client_send(fd, "PUT /v1/instances/web/files?path=/tmp/x HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc");
	input = make_pipe(&fds.input, true);
	result = make_pipe(&fds.result, false);
	reply_with_fds(fixture_take_call(f), &fds, NULL);
	close(input);
	write_text(result, "{\"error\": \"read-only file system\", \"code\": -13}\n");
	close(result);
	expect(fd, "", 403, "read-only");
	client_send(fd, "def");		/* The rest is thrown away. */
	expect(fd, GET("/v1/version"), 200, "v1");

	client_send(fd, "PUT /v1/instances/web/files?path=/tmp/x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
	reply_with_error(fixture_take_call(f), -ENOENT, "no such instance");
	expect(fd, "", 404, "no such");
	expect(fd, GET("/v1/version"), 200, "v1");
	close(fd);
}

static void upload(int fd, const char *head, const struct str *body, struct answer *answer)
{
	client_send(fd, head);
	client_send_bytes(fd, body->data, body->size);
	read_answer(fd, answer);
}

static void test_upload_is_stored(void **state)
{
	auto_answer struct answer answer = { 0 };
	auto_sha256 struct sha256 sha256 = { 0 };
	auto_json struct json *json = NULL;
	auto_str struct str body = { 0 };
	auto_str struct str stored = { 0 };
	auto_free char *path = NULL;
	char head[128], digest[SHA256_TEXT_SIZE];
	struct fixture *f = *state;
	int fd = client_connect(f);
	struct err err;

	for (int i = 0; i < 1000000; i++)
		str_printf(&body, "%d\n", i);
	snprintf(head, sizeof(head), "POST /v1/uploads HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", body.size);
	upload(fd, head, &body, &answer);
	assert_int_equal(answer.status, 201);
	assert_int_equal(json_parse(answer.body.data, answer.body.size, &json, &err), 0);
	assert_int_equal(json_int(json_get(json, "size"), 0), body.size);
	sha256_init(&sha256);
	sha256_update(&sha256, body.data, body.size);
	sha256_finish(&sha256, digest);
	assert_string_equal(json_string(json_get(json, "sha256"), ""), digest);
	path = text_format("%s/%s", f->staging, json_string(json_get(json, "id"), ""));
	assert_int_equal(file_read_all(path, body.size, &stored, &err), 0);
	assert_memory_equal(stored.data, body.data, body.size);
	expect(fd, "POST /v1/uploads HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 201,
	       "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	close(fd);
	assert_int_equal(files_in(f->staging), 2);
}

static void test_upload_cut_short_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f);

	client_send(fd, "POST /v1/uploads HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc");
	while (!files_in(f->staging))
		sched_yield();
	close(fd);
	http_stop(take(f->http));	/* Waits for all that is being stored. */
	assert_int_equal(files_in(f->staging), 0);
}

static void test_old_uploads_are_swept(void **state)
{
	struct fixture *f = *state;
	auto_free char *old = make_file(f, "uploads/old", "1"), *young = make_file(f, "uploads/young", "2");
	const struct timespec times[2] = { { .tv_sec = time(NULL) - 3700 }, { .tv_sec = time(NULL) - 3700 } };

	assert_int_equal(utimensat(AT_FDCWD, old, times, 0), 0);
	uploads_sweep(f->staging);
	assert_int_equal(access(old, F_OK), -1);
	assert_int_equal(access(young, F_OK), 0);
}

static void test_logs(void **state)
{
	auto_answer struct answer answer = { 0 };
	struct fixture *f = *state;
	auto_free char *path = make_file(f, "log", "first\nsecond\n");
	int fd = client_connect(f);

	client_send(fd, GET("/v1/instances/web/logs"));
	reply_with_fds(fixture_take_call(f), &no_fds, path);
	expect(fd, "", 200, "first\nsecond\n");
	client_send(fd, GET("/v1/instances/web/logs?tail=7&follow=true"));
	reply_with_fds(fixture_take_call(f), &no_fds, path);
	read_head(fd, &answer);
	assert_true(read_chunk(fd, &answer));
	assert_string_equal(answer.body.data, "second\n");

	append_file(path, "third\n");
	assert_true(read_chunk(fd, &answer));
	assert_int_equal(truncate(path, 0), 0);
	append_file(path, "cut\n");
	assert_true(read_chunk(fd, &answer));
	free(make_file(f, "log", "another file, longer than the one before\n"));	/* By rename. */
	assert_true(read_chunk(fd, &answer));
	assert_string_equal(answer.body.data, "second\nthird\ncut\nanother file, longer than the one before\n");
	close(fd);
}

static void test_logs_of_a_file_that_comes_later(void **state)
{
	auto_answer struct answer answer = { 0 };
	struct fixture *f = *state;
	auto_free char *folder = text_format("%s/machine", f->folder);
	auto_free char *path = text_format("%s/log", folder);
	int fd = client_connect(f);
	struct err err;

	assert_int_equal(mkdir(folder, 0700), 0);
	client_send(fd, GET("/v1/instances/web/logs?follow=true"));
	reply_with_fds(fixture_take_call(f), &no_fds, path);
	read_head(fd, &answer);
	append_file(path, "hello\n");
	assert_true(read_chunk(fd, &answer));
	assert_string_equal(answer.body.data, "hello\n");
	/* With the instance its folder goes, and there is nothing to wait for any more. */
	assert_int_equal(file_remove_tree(folder, &err), 0);
	assert_false(read_chunk(fd, &answer));
	assert_false(answer.is_cut);
	close(fd);
}

/* Asked for as soon as it was created: what runs it has not made its folder yet. */
static void test_logs_of_an_instance_that_is_new(void **state)
{
	auto_answer struct answer answer = { 0 }, last = { 0 };
	struct fixture *f = *state;
	auto_free char *folder = text_format("%s/machine", f->folder);
	auto_free char *path = text_format("%s/log", folder), *no_path = text_format("%s/none/log", f->folder);
	int fd = client_connect(f);

	fixture_put(f, "instances", "web", "{\"status\":{\"state\":\"pending\"}}");
	client_send(fd, GET("/v1/instances/web/logs?follow=true"));
	reply_with_fds(fixture_take_call(f), &no_fds, path);
	read_head(fd, &answer);
	assert_int_equal(answer.status, 200);
	assert_int_equal(mkdir(folder, 0700), 0);
	append_file(path, "hello\n");
	assert_true(read_chunk(fd, &answer));
	assert_string_equal(answer.body.data, "hello\n");
	close(fd);

	/* It was removed before it had one. */
	fd = client_connect(f);
	client_send(fd, GET("/v1/instances/web/logs?follow=true"));
	reply_with_fds(fixture_take_call(f), &no_fds, no_path);
	read_head(fd, &last);
	view_remove(f->view, "instances", "web");
	assert_false(read_chunk(fd, &last));
	assert_false(last.is_cut);
	close(fd);
}

static void expect_log(struct fixture *f, int fd, const char *query, const char *path, bool has_records, int status, const char *text)
{
	auto_free char *request = text_format("GET /v1/instances/web/logs%s HTTP/1.1\r\nHost: x\r\n\r\n", query);
	auto_answer struct answer answer = { 0 };

	client_send(fd, request);
	(has_records ? reply_with_records : reply_with_fds)(fixture_take_call(f), &no_fds, path);
	read_answer(fd, &answer);
	if (answer.status != status || (status == 200 ? strcmp(answer.body.data, text) != 0 : !strstr(answer.body.data, text)))
		fail_msg("logs%s: %d '%s', not %d '%s'", query, answer.status, answer.body.data, status, text);
}

#define T1 "2026-11-30T05:24:38.129123456+00:00"
#define T2 "2026-11-30T05:24:39.129123456+00:00"

/* What a container prints is kept with its times; they are shown to who asks. */
static void test_logs_of_a_container(void **state)
{
	auto_answer struct answer answer = { 0 };
	struct fixture *f = *state;
	auto_free char *path = make_file(f, "log", T1 " stdout F one\n" T1 " stdout P tw\n" T2 " stdout F o\n" T2 " stderr F three\n");
	auto_free char *young = NULL;
	int fd = client_connect(f);
	time_t now = time(NULL);
	struct tm tm;
	char date[32];

	expect_log(f, fd, "", path, true, 200, "one\ntwo\nthree\n");
	expect_log(f, fd, "?lines=2", path, true, 200, "two\nthree\n");
	expect_log(f, fd, "?lines=0", path, true, 200, "");
	expect_log(f, fd, "?tail=70", path, true, 200, "three\n");
	expect_log(f, fd, "?since=2026-11-30T05:24:39Z", path, true, 200, "o\nthree\n");
	expect_log(f, fd, "?since=2026-11-30T05:24:39%2B00:00&lines=1", path, true, 200, "three\n");
	expect_log(f, fd, "?timestamps=true", path, true, 200, T1 " one\n" T1 " two\n" T2 " three\n");
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	young = text_format("2001-01-01T00:00:00Z stdout F old\n%s stdout F young\n", date);
	free(make_file(f, "log", young));
	expect_log(f, fd, "?since=10m", path, true, 200, "young\n");
	expect(fd, GET("/v1/instances/web/logs?since=yesterday"), 400, "neither a time like");
	expect(fd, GET("/v1/instances/web/logs?lines=1&tail=1"), 400, "use one");

	fixture_put(f, "instances", "web", "{\"status\":{\"state\":\"running\"}}");
	client_send(fd, GET("/v1/instances/web/logs?lines=0&follow=true"));
	reply_with_records(fixture_take_call(f), &no_fds, path);
	read_head(fd, &answer);
	append_file(path, T2 " stdout P begins ");		/* Written in two pieces. */
	assert_true(read_chunk(fd, &answer));
	append_file(path, "here\n" T2 " stdout F, ends\n");
	while (!strstr(answer.body.data, "here"))
		assert_true(read_chunk(fd, &answer));
	append_file(path, T2 " stdout F there\n");
	while (!strstr(answer.body.data, "there"))
		assert_true(read_chunk(fd, &answer));
	assert_int_equal(truncate(path, 0), 0);
	append_file(path, "torn\n" T2 " stderr F cut\n");
	while (!strstr(answer.body.data, "cut"))
		assert_true(read_chunk(fd, &answer));
	assert_string_equal(answer.body.data, "begins herethere\ncut\n");
	/* It ends with the container, and has its last words. */
	append_file(path, T2 " stdout F last\n");
	fixture_put(f, "instances", "web", "{\"status\":{\"state\":\"stopped\"}}");
	while (read_chunk(fd, &answer))
		;
	assert_non_null(strstr(answer.body.data, "last"));
	close(fd);
}

/* Far more than fits into one piece, of which nothing is wanted but the end. */
static void test_logs_since_late_in_a_long_log(void **state)
{
	struct fixture *f = *state;
	auto_str struct str log = { 0 };
	auto_free char *path = NULL;
	int fd = client_connect(f);

	for (int i = 0; i < 60000; i++)
		str_printf(&log, T1 " stdout F old line %d\n", i);
	str_append(&log, T2 " stdout F new\n");
	path = make_file(f, "log", log.data);
	expect_log(f, fd, "?since=2026-11-30T05:24:39Z", path, true, 200, "new\n");
	close(fd);
}

static void test_logs_without_times(void **state)
{
	struct fixture *f = *state;
	auto_free char *path = make_file(f, "log", "one\n" T1 " stdout F two\nlogin: ");
	int fd = client_connect(f);

	expect_log(f, fd, "?lines=2", path, false, 200, T1 " stdout F two\nlogin: ");
	expect_log(f, fd, "?since=10m", path, false, 400, "'since': the console of a vm has no times");
	expect_log(f, fd, "?timestamps=true", path, false, 400, "'timestamps': the console of a vm has no times");
	close(fd);
}

/* WebSockets by hand (RFC 6455). */

static void test_console(void **state)
{
	struct fixture *f = *state;
	auto_free char *path = make_file(f, "log", "boot\nlogin: ");
	struct call_fds fds = no_fds;
	int fd, input;
	char keys[16] = "";

	fixture_put(f, "instances", "web", "{}");
	fd = websocket(f, "/v1/instances/web/console?tail=7");
	input = make_pipe(&fds.input, true);
	reply_with_fds(fixture_take_call(f), &fds, path);
	expect_frame(fd, BINARY, "login: ", 7);
	send_frame(fd, BINARY, "root\n", 5);
	assert_int_equal(read(input, keys, sizeof(keys)), 5);
	assert_memory_equal(keys, "root\n", 5);
	append_file(path, "# ");
	expect_frame(fd, BINARY, "# ", 2);
	close(fd);
	assert_int_equal(read(input, keys, sizeof(keys)), 0);
	close(input);

	fd = websocket(f, "/v1/instances/web/console");
	reply_with_error(fixture_take_call(f), -EINVAL, "instance 'web' has no console");
	expect_text_part(fd, "{\"error\":{\"code\":400,\"message\":\"instance 'web' has no console\"}}");
	close(fd);
}

/* As a terminal shows it: a container without one ends its lines with newlines alone. */
static void test_console_of_a_container(void **state)
{
	struct fixture *f = *state;
	auto_free char *path = make_file(f, "log", T1 " stdout F hello\n" T1 " stdout P # \n");
	struct call_fds fds = no_fds;
	int fd, input;

	fixture_put(f, "instances", "web", "{}");
	fd = websocket(f, "/v1/instances/web/console?tail=10000");
	input = make_pipe(&fds.input, true);
	reply_with_records(fixture_take_call(f), &fds, path);
	expect_frame(fd, BINARY, "hello\r\n# ", 9);
	append_file(path, T2 " stdout F ls\r\n");
	expect_frame(fd, BINARY, "ls\r\n", 4);
	close(fd);
	close(input);
}

struct program {		/* The test's ends of an exec. */
	int fd, input, output, error, resize, result;
};

static struct program start_program(struct fixture *f, const char *request)
{
	struct call_fds fds = no_fds;
	struct program p = { .fd = websocket(f, "/v1/instances/web/exec") };
	struct call *call;

	send_frame(p.fd, TEXT, request, strlen(request));
	call = fixture_take_call(f);
	assert_int_equal(call->op, CALL_EXEC);
	assert_string_equal(json_string(json_at(json_get(call->body, "argv"), 0), ""), "/bin/sh");
	p.input = make_pipe(&fds.input, true);
	p.output = make_pipe(&fds.output, false);
	p.error = make_pipe(&fds.error, false);
	p.resize = make_pipe(&fds.resize, true);
	p.result = make_pipe(&fds.result, false);
	reply_with_fds(call, &fds, NULL);
	return p;
}

static void test_exec(void **state)
{
	struct fixture *f = *state;
	uint16_t size[2];
	struct program p;
	char bytes[16];

	fixture_put(f, "instances", "web", "{}");
	p = start_program(f, "{\"argv\": [\"/bin/sh\"], \"env\": {\"A\": \"b\"}, \"terminal\": true, \"rows\": 24, "
			  "\"columns\": 80, \"stdin\": true}");
	send_frame(p.fd, BINARY, "\0ls\n", 4);
	assert_int_equal(read(p.input, bytes, sizeof(bytes)), 3);
	send_frame(p.fd, BINARY, "\3\0\x32\1\2", 5);
	assert_int_equal(read(p.resize, size, sizeof(size)), 4);
	assert_int_equal(size[0], 50);
	assert_int_equal(size[1], 258);
	write_text(p.output, "out");
	expect_frame(p.fd, BINARY, "\1out", 4);
	write_text(p.error, "bad");
	expect_frame(p.fd, BINARY, "\2bad", 4);
	send_frame(p.fd, BINARY, "\0", 1);
	assert_int_equal(read(p.input, bytes, sizeof(bytes)), 0);
	write_text(p.result, "{\"exit_code\": 3}\n");
	close(p.result);
	write_text(p.output, "last");
	close(p.output);
	close(p.error);
	expect_frame(p.fd, BINARY, "\1last", 5);
	expect_frame(p.fd, TEXT, "{\"exit_code\": 3}", 16);
	auto_str struct str reason = { 0 };
	assert_int_equal(read_frame(p.fd, &reason), CLOSE);
	close(p.fd);
	close(p.input);
	close(p.resize);
}

/* Who attaches tells the size of the terminal at once; the program it is for may not have begun. */
static void test_a_size_that_comes_before_the_program(void **state)
{
	struct fixture *f = *state;
	struct call_fds fds = no_fds;
	auto_str struct str answer = { 0 };
	uint16_t size[2];
	struct call *call;
	int fd, resize;

	fixture_put(f, "instances", "web", "{}");
	fd = websocket(f, "/v1/instances/web/attach");
	call = fixture_take_call(f);
	send_frame(fd, BINARY, "\3\0\x18\0\x50", 5);
	send_frame(fd, BINARY, "\3\0\x19\0\x51", 5);
	send_frame(fd, PING, "x", 1);
	resize = make_pipe(&fds.resize, true);
	reply_with_fds(call, &fds, NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(read(resize, size, sizeof(size)), 4);
		assert_int_equal(size[0], 24 + i);
		assert_int_equal(size[1], 80 + i);
	}
	assert_int_equal(read_frame(fd, &answer), PONG);
	close(fd);
	close(resize);
}

/* The guest does not read: what the client sends is held up, and its answers still come. */
static void test_exec_with_a_full_stdin(void **state)
{
	struct fixture *f = *state;
	struct program p;
	char frame[8192] = "";
	size_t sent = 0, received = 0;

	fixture_put(f, "instances", "web", "{}");
	p = start_program(f, "{\"argv\": [\"/bin/sh\"]}");
	for (;;) {
		struct pollfd ready = { .fd = p.fd, .events = POLLOUT };

		if (poll(&ready, 1, 100) == 0)
			break;
		send_frame(p.fd, BINARY, frame, sizeof(frame));
		sent += sizeof(frame) - 1;
		assert_true(sent < 64 << 20);
	}
	write_text(p.output, "still here");
	expect_frame(p.fd, BINARY, "\1still here", 11);
	while (received < sent) {
		ssize_t n = read(p.input, frame, sizeof(frame));

		assert_true(n > 0);
		received += (size_t)n;
	}
	assert_int_equal(received, sent);
	close(p.fd);
	wait_broken(p.output);
	assert_int_equal(read(p.input, frame, sizeof(frame)), 0);
	close(p.input);
	close(p.output);
	close(p.error);
	close(p.resize);
	close(p.result);
}

static void test_exec_that_fails(void **state)
{
	struct fixture *f = *state;
	struct program p;
	int fd;

	fixture_put(f, "instances", "web", "{}");
	fd = websocket(f, "/v1/instances/web/exec");
	send_frame(fd, TEXT, "{\"argv\": []}", 12);
	expect_text_part(fd, "argv");
	close(fd);
	fd = websocket(f, "/v1/instances/web/exec");
	send_frame(fd, BINARY, "\0x", 2);
	expect_text_part(fd, "first frame must be text");
	close(fd);
	fd = websocket(f, "/v1/instances/web/exec");
	send_frame(fd, TEXT, "{\"argv\": [\"/bin/sh\"]}", 21);
	reply_with_error(fixture_take_call(f), -EAGAIN, "the guest agent does not answer");
	expect_text_part(fd, "\"code\":503");
	close(fd);

	p = start_program(f, "{\"argv\": [\"/bin/sh\"]}");
	close(p.output);
	close(p.error);
	write_text(p.result, "{\"error\": \"'/bin/sh': not found\", \"code\": -2}\n");
	expect_text_part(p.fd, "{\"error\":{\"code\":404,\"message\":\"'/bin/sh': not found\"}}");
	close(p.fd);
	close(p.input);
	close(p.resize);
	close(p.result);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_download_of_a_file_has_its_length), TEST(test_download_of_a_pipe), TEST(test_download_that_fails),
		TEST(test_client_leaves_a_download), TEST(test_writing_a_file), TEST(test_writing_a_file_fails_early),
		TEST(test_upload_is_stored), TEST(test_upload_cut_short_leaves_nothing), TEST(test_old_uploads_are_swept),
		TEST(test_logs),
		TEST(test_logs_of_a_file_that_comes_later), TEST(test_logs_of_an_instance_that_is_new),
		TEST(test_logs_of_a_container), TEST(test_logs_since_late_in_a_long_log),
		TEST(test_logs_without_times), TEST(test_console), TEST(test_console_of_a_container), TEST(test_exec),
		TEST(test_a_size_that_comes_before_the_program), TEST(test_exec_with_a_full_stdin), TEST(test_exec_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
