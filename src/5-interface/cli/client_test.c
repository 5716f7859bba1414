#include "5-interface/cli/client.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "5-interface/cli/fake_daemon.h"

/* One GET against the script; the body in 'body'. */
static int get(const char *path, struct client_response *response, struct str *body, struct err *err)
{
	struct client *client = client_new(&(struct stream_target){ .socket = path });
	struct client_request request = { .method = "GET", .path = "/v1/x" };
	int result = client_send(client, &request, response, err);

	if (result == 0)
		result = client_read_all(client, 1 << 20, body, err);
	client_free(client);
	return result;
}

static int get_reply(const char *reply, size_t size, struct client_response *response, struct str *body, struct err *err)
{
	struct fake_step step = { .expect = "GET /v1/x HTTP/1.1\r\n", .reply = reply, .size = size };
	struct fake_daemon daemon;
	int result;

	fake_start(&daemon, &step, 1);
	result = get(daemon.path, response, body, err);
	fake_stop(&daemon);
	return result;
}

static void bodies_are_read_in_every_form(void **state)
{
	static const char *const replies[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nhello",
		"HTTP/1.1 200 OK\ncontent-length:5\n\nhello",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(replies); i++) {
		struct client_response response;
		auto_str struct str body = { 0 };
		struct err err;

		assert_int_equal(get_reply(replies[i], 0, &response, &body, &err), 0);
		assert_int_equal(response.status, 200);
		assert_string_equal(str_text(&body), "hello");
	}
}

static void broken_answers_are_errors(void **state)
{
	static const struct { const char *reply; int code; } cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", -EIO },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", -EIO },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello", -EIO },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello", -EPROTO },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello", -EPROTO },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n", -EPROTO },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", -EPROTO },
		{ "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", -EPROTO },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello", -EPROTO },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", -EPROTO },
		{ "SSH-2.0-OpenSSH_9.2\r\n", -EPROTO },
		{ "HTTP/1.1 2000 OK\r\n\r\n", -EPROTO },
		{ "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", -EPROTO },
		{ "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", -EPROTO },
		{ "HTTP/1.1 200 OK\r\nContent-", -ECONNRESET },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct client_response response;
		auto_str struct str body = { 0 };
		struct err err = { 0 };

		assert_int_equal(get_reply(cases[i].reply, 0, &response, &body, &err), cases[i].code);
		assert_true(strlen(err.msg) > 10);
	}
}

static void giant_heads_and_bodies_meet_a_limit(void **state)
{
	struct client_response response;
	auto_str struct str head = { 0 }, body = { 0 };
	struct err err;

	(void)state;
	str_append(&head, "HTTP/1.1 200 OK\r\n");
	while (head.size < 64 << 10)
		str_append(&head, "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
	assert_int_equal(get_reply(head.data, head.size, &response, &body, &err), -EPROTO);

	str_clear(&head);
	str_append(&head, "HTTP/1.1 200 OK\r\nContent-Length: 2097152\r\n\r\n");
	str_reserve(&head, 2 << 20);
	memset(head.data + head.size, 'x', 2 << 20);
	assert_int_equal(get_reply(head.data, head.size + (2 << 20), &response, &body, &err), -EFBIG);
}

static void connections_are_kept_and_renewed(void **state)
{
	static const struct fake_step steps[] = {
		{ .expect = "/1 ", .reply = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1", .keeps = true },
		{ .expect = "/2 ", .reply = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2" },	/* Closes silently. */
		{ .expect = "/3 ", .reply = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n3" },
		{ .expect = "/4 ", .reply = "HTTP/1.1 204 No Content\r\n\r\n" },
	};
	struct fake_daemon daemon;
	struct client *client;

	(void)state;
	fake_start(&daemon, steps, ARRAY_COUNT(steps));
	client = client_new(&(struct stream_target){ .socket = daemon.path });
	for (int i = 1; i <= 4; i++) {
		auto_free char *path = text_format("/%d", i);
		struct client_response response;
		auto_str struct str body = { 0 };
		struct err err;

		assert_int_equal(client_send(client, &(struct client_request){ .method = "GET", .path = path }, &response, &err), 0);
		assert_int_equal(client_read_all(client, 10, &body, &err), 0);
		assert_int_equal(body.size, i == 4 ? 0 : 1);
	}
	client_free(client);
	assert_int_equal(daemon.worker_count, 3);
	fake_stop(&daemon);
}

static ssize_t zeros(void *data, void *buffer, size_t size, struct err *err)
{
	(void)err;
	*(uint64_t *)data += size;
	memset(buffer, 0, size);
	return (ssize_t)size;
}

static void a_refusal_before_the_end_of_the_body_is_heard(void **state)
{
	uint64_t sent = 0;
	struct client_request request = { .method = "POST", .path = "/v1/uploads", .body_size = 64 << 20, .produce = zeros,
		.data = &sent };
	struct fake_daemon daemon;
	struct client_response response;
	auto_str struct str body = { 0 };
	struct client *client;
	struct err err;
	static const struct fake_step step = { .reply = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig",
		.reads_no_body = true };

	(void)state;
	fake_start(&daemon, &step, 1);
	client = client_new(&(struct stream_target){ .socket = daemon.path });
	assert_int_equal(client_send(client, &request, &response, &err), 0);
	assert_int_equal(response.status, 413);
	assert_int_equal(client_read_all(client, 10, &body, &err), 0);
	assert_string_equal(str_text(&body), "big");
	assert_true(sent < request.body_size);
	client_free(client);
	fake_stop(&daemon);
}

static void bodies_are_sent_whole(void **state)
{
	uint64_t sent = 0;
	struct client_request request = { .method = "PUT", .path = "/v1/f", .body_size = 300000, .produce = zeros, .data = &sent,
		.content_type = "application/octet-stream" };
	static const struct fake_step step = { .expect = "Content-Length: 300000\r\n",
		.reply = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n" };
	struct client_response response;
	struct fake_daemon daemon;
	struct client *client;
	struct err err;

	(void)state;
	fake_start(&daemon, &step, 1);
	client = client_new(&(struct stream_target){ .socket = daemon.path });
	assert_int_equal(client_send(client, &request, &response, &err), 0);
	assert_int_equal(response.status, 201);
	assert_int_equal(sent, 300000);
	client_free(client);
	fake_stop(&daemon);
}

static void count_tick(void *data)
{
	uint64_t one = 1;

	/* The third tick interrupts. */
	if (++((int *)data)[0] == 3)
		assert_int_equal(write(((int *)data)[1], &one, sizeof(one)), sizeof(one));
}

static void waiting_ticks_and_can_be_interrupted(void **state)
{
	static const struct fake_step step = { .reply = "HTTP/1.1 200 OK\r\n", .keeps = true };
	int ticks[2] = { 0, eventfd(0, EFD_CLOEXEC) };
	struct client_watch watch = { .interrupt_fd = ticks[1], .tick_ms = 1, .tick = count_tick, .data = ticks };
	struct client_response response;
	struct fake_daemon daemon;
	struct client *client;
	struct err err;

	(void)state;
	fake_start(&daemon, &step, 1);
	client = client_new(&(struct stream_target){ .socket = daemon.path });
	client_watch(client, &watch);
	assert_int_equal(client_send(client, &(struct client_request){ .method = "GET", .path = "/" }, &response, &err), -EINTR);
	assert_true(ticks[0] >= 3);
	client_free(client);
	close(ticks[1]);
	fake_stop(&daemon);
}

static void silence_has_an_end(void **state)
{
	static const struct fake_step step = { .reply = "HTTP/1.1 200 OK\r\n", .keeps = true };
	struct client_response response;
	struct fake_daemon daemon;
	struct client *client;
	struct err err;

	(void)state;
	fake_start(&daemon, &step, 1);
	client = client_new(&(struct stream_target){ .socket = daemon.path });
	assert_int_equal(client_send(client, &(struct client_request){ .method = "GET", .path = "/", .patience_ms = 20 },
				     &response, &err), -ETIMEDOUT);
	client_free(client);
	fake_stop(&daemon);
}

static void a_missing_daemon_is_explained(void **state)
{
	struct client_response response;
	auto_str struct str body = { 0 };
	char longer[200];
	struct err err;

	(void)state;
	assert_int_equal(get("/nonexistent/sock", &response, &body, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "no daemon answers on /nonexistent/sock"));
	assert_non_null(strstr(err.msg, "--socket"));
	memset(longer, 'x', sizeof(longer));
	longer[199] = '\0';
	assert_int_equal(get(longer, &response, &body, &err), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_read_in_every_form),
		cmocka_unit_test(broken_answers_are_errors),
		cmocka_unit_test(giant_heads_and_bodies_meet_a_limit),
		cmocka_unit_test(connections_are_kept_and_renewed),
		cmocka_unit_test(a_refusal_before_the_end_of_the_body_is_heard),
		cmocka_unit_test(bodies_are_sent_whole),
		cmocka_unit_test(waiting_ticks_and_can_be_interrupted),
		cmocka_unit_test(silence_has_an_end),
		cmocka_unit_test(a_missing_daemon_is_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
