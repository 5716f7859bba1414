#include "5-interface/cli/websocket.h"

#include <errno.h>
#include <poll.h>

#include "5-interface/cli/fake_daemon.h"

#define FRAMES(bytes) .is_websocket = true, .reply = bytes, .size = sizeof(bytes) - 1

static struct websocket *open_socket(const struct fake_daemon *daemon)
{
	struct client *client = client_new(&(struct stream_target){ .socket = daemon->path });
	struct websocket *websocket = NULL;
	struct client_response response;
	struct err err;

	assert_int_equal(websocket_open(client, "/v1/instances/web/console", &websocket, &response, &err), 0);
	assert_non_null(websocket);
	client_free(client);
	return websocket;
}

/* The next message, waiting for it. */
static int receive(struct websocket *websocket, struct websocket_message *message, struct err *err)
{
	int result;

	while ((result = websocket_receive(websocket, message, err)) == 0) {
		struct pollfd fd = { .fd = websocket_fd(websocket), .events = websocket_events(websocket) };

		assert_int_equal(poll(&fd, 1, 10000), 1);
	}
	return result;
}

static void messages_come_whole_pings_are_answered_and_a_goodbye_too(void **state)
{
	static const struct fake_step step = { .expect = "Sec-WebSocket-Version: 13\r\n",
		FRAMES("\x82\x03" "abc" "\x01\x02" "he" "\x89\x02" "hi" "\x00\x01" "l"
		       "\x80\x02" "lo" "\x8a\x00" "\x88\x06\x03\xe8" "over") };
	struct websocket_message message;
	struct fake_daemon daemon;
	struct websocket *websocket;
	struct err err;

	(void)state;
	fake_start(&daemon, &step, 1);
	websocket = open_socket(&daemon);
	assert_int_equal(receive(websocket, &message, &err), 1);
	assert_int_equal(message.type, WEBSOCKET_BINARY);
	assert_string_equal(message.bytes, "abc");
	assert_int_equal(receive(websocket, &message, &err), 1);
	assert_int_equal(message.type, WEBSOCKET_TEXT);
	assert_string_equal(message.bytes, "hello");
	assert_int_equal(receive(websocket, &message, &err), 1);
	assert_int_equal(message.type, WEBSOCKET_CLOSE);
	assert_int_equal(message.close_code, 1000);
	assert_string_equal(message.bytes, "over");
	websocket_free(websocket);
	pthread_join(daemon.workers[0], NULL);
	daemon.worker_count = 0;
	assert_non_null(strstr(daemon.seen.data, "<10>hi<8>\x03\xe8"));
	fake_stop(&daemon);
}

static void broken_frames_are_errors(void **state)
{
	static const struct fake_step cases[] = {
		{ FRAMES("\xc2\x01x") },				/* A reserved bit. */
		{ FRAMES("\x82\x81" "abcd" "x") },			/* Masked. */
		{ FRAMES("\x83\x01x") },				/* No such kind. */
		{ FRAMES("\x09\x01x") },				/* A ping in parts. */
		{ FRAMES("\x89\x7e\x00\x80") },				/* A ping of 128 bytes. */
		{ FRAMES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff") },	/* 8 EiB. */
		{ FRAMES("\x80\x01x") },				/* The rest of nothing. */
		{ FRAMES("\x02\x01x\x82\x01y") },			/* A message inside another. */
		{ FRAMES("\x88\x01x") },				/* A goodbye of one byte. */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct websocket_message message;
		struct fake_daemon daemon;
		struct websocket *websocket;
		struct err err;

		fake_start(&daemon, &cases[i], 1);
		websocket = open_socket(&daemon);
		assert_int_equal(receive(websocket, &message, &err), -EPROTO);
		websocket_free(websocket);
		fake_stop(&daemon);
	}
}

static void many_parts_together_meet_the_limit(void **state)
{
	enum { PART = 60000, PARTS = 80 };
	struct fake_step step = { .is_websocket = true };
	struct websocket_message message;
	auto_str struct str frames = { 0 };
	struct fake_daemon daemon;
	struct websocket *websocket;
	struct err err;

	(void)state;
	for (int i = 0; i < PARTS; i++) {
		str_append_bytes(&frames, i ? "\x00\x7e\xea\x60" : "\x02\x7e\xea\x60", 4);
		str_reserve(&frames, PART);
		memset(frames.data + frames.size, 'x', PART);
		frames.size += PART;
	}
	step.reply = frames.data;
	step.size = frames.size;
	fake_start(&daemon, &step, 1);
	websocket = open_socket(&daemon);
	assert_int_equal(receive(websocket, &message, &err), -EPROTO);
	websocket_free(websocket);
	fake_stop(&daemon);
}

static void all_lengths_are_sent_and_masked(void **state)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 65535, 65536, 200000 };
	static const struct fake_step step = { FRAMES("\x82\x02ok") };
	struct websocket_message message;
	auto_str struct str expected = { 0 };
	struct fake_daemon daemon;
	struct websocket *websocket;
	struct err err;

	(void)state;
	fake_start(&daemon, &step, 1);
	websocket = open_socket(&daemon);
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		auto_free char *bytes = alloc(sizes[i] + 1);

		memset(bytes, 'a' + (int)i, sizes[i]);
		str_append(&expected, "<2>");
		str_append_bytes(&expected, bytes, sizes[i]);
		assert_int_equal(websocket_send(websocket, WEBSOCKET_BINARY, bytes, sizes[i], &err), 0);
	}
	assert_int_equal(receive(websocket, &message, &err), 1);
	while (websocket_queued(websocket)) {
		struct pollfd fd = { .fd = websocket_fd(websocket), .events = POLLOUT };

		assert_int_equal(poll(&fd, 1, 10000), 1);
		assert_int_equal(websocket_receive(websocket, &message, &err), 0);
	}
	websocket_free(websocket);
	pthread_join(daemon.workers[0], NULL);
	daemon.worker_count = 0;
	assert_non_null(strstr(daemon.seen.data, expected.data));
	fake_stop(&daemon);
}

static void an_end_without_goodbye_is_an_error(void **state)
{
	struct websocket_message message;
	struct fake_daemon daemon;
	struct websocket *websocket;
	struct err err;
	static const struct fake_step step = { FRAMES("\x82\x05he") };

	(void)state;
	fake_start(&daemon, &step, 1);
	websocket = open_socket(&daemon);
	/* A goodbye of ours makes the fake close in the middle of its frame. */
	assert_int_equal(websocket_send(websocket, WEBSOCKET_CLOSE, "\x03\xe8", 2, &err), 0);
	assert_int_equal(receive(websocket, &message, &err), -ECONNRESET);
	websocket_free(websocket);
	fake_stop(&daemon);
}

static void other_answers_and_wrong_keys_are_told_apart(void **state)
{
	static const struct fake_step steps[] = {
		{ .reply = FAKE_CLOSE("404 Not Found", "{}") },
		{ .reply = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAA\r\n\r\n" },
	};
	struct websocket *websocket = NULL;
	struct client_response response;
	struct fake_daemon daemon;
	struct client *client;
	struct err err;

	(void)state;
	fake_start(&daemon, steps, 2);
	client = client_new(&(struct stream_target){ .socket = daemon.path });
	assert_int_equal(websocket_open(client, "/x", &websocket, &response, &err), 0);
	assert_null(websocket);
	assert_int_equal(response.status, 404);
	assert_int_equal(websocket_open(client, "/x", &websocket, &response, &err), -EPROTO);
	client_free(client);
	fake_stop(&daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_whole_pings_are_answered_and_a_goodbye_too),
		cmocka_unit_test(broken_frames_are_errors),
		cmocka_unit_test(many_parts_together_meet_the_limit),
		cmocka_unit_test(all_lengths_are_sent_and_masked),
		cmocka_unit_test(an_end_without_goodbye_is_an_error),
		cmocka_unit_test(other_answers_and_wrong_keys_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
