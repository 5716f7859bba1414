/*
 * One loop waits for the daemon (a WebSocket), for keys or piped input, and for signals.
 *
 * Consoles: bytes both ways.  Commands: the first byte of each binary frame names the channel, and
 * the last frame is a text with the exit code (docs/api.md).
 *
 * Nobody is read from while what came from there still waits to be written: so a slow end slows the other one, and
 * neither fills our memory. The terminal gets its settings back on every way out.
 */
#include "5-interface/cli/session_loop.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "5-interface/cli/request.h"
#include "base/str.h"

enum { BLOCK_BYTES = 32 << 10, QUEUE_BYTES = 256 << 10 };
enum channel { CHANNEL_INPUT, CHANNEL_OUTPUT, CHANNEL_ERROR, CHANNEL_SIZE };

void session_done(struct session *session)
{
	terminal_raw_end(&session->raw);
	if (session->has_signals)
		terminal_signals_end(&session->signals);
	websocket_free(session->websocket);
	client_free(session->client);
}

int session_open(struct session *session, const char *path, struct err *err)
{
	struct client_response response;
	int result;

	session->client = client_new(&session->cli->target);
	result = websocket_open(session->client, path, &session->websocket, &response, err);
	if (result < 0)
		return result;
	if (!session->websocket)
		return request_refused(session->client, &response, err);
	result = terminal_signals_begin(&session->signals, err);
	session->has_signals = result == 0;
	return result;
}

/* To the guest. */

int session_send_size(struct session *session, struct err *err)
{
	unsigned short rows, columns;
	unsigned char frame[5] = { CHANNEL_SIZE };

	terminal_size(session->output, &rows, &columns);
	frame[1] = (unsigned char)(rows >> 8);
	frame[2] = (unsigned char)rows;
	frame[3] = (unsigned char)(columns >> 8);
	frame[4] = (unsigned char)columns;
	return websocket_send(session->websocket, WEBSOCKET_BINARY, frame, sizeof(frame), err);
}

static int send_keys(struct session *session, char *bytes, size_t size, struct err *err)
{
	char unmatched[1 + BLOCK_BYTES + DETACH_KEYS_MAX] = { CHANNEL_INPUT };
	const char *escape = session->escape == SESSION_NO_ESCAPE ? NULL : memchr(bytes + 1, session->escape, size);

	if (escape) {
		size = (size_t)(escape - bytes) - 1;
		session->has_ended = true;
	}
	if (session->detach) {
		size = detach_filter(session->detach, bytes + 1, size, unmatched + 1, &session->is_detached);
		session->has_ended = session->is_detached;
		bytes = unmatched;
		if (!size)		/* Without bytes it would be the end of the input. */
			return 0;
	}
	if (session->has_channels)
		return websocket_send(session->websocket, WEBSOCKET_BINARY, bytes, size + 1, err);
	return size ? websocket_send(session->websocket, WEBSOCKET_BINARY, bytes + 1, size, err) : 0;
}

/* 'bytes' begins with room for the channel. An empty frame on the input's channel is its end. */
static int take_input(struct session *session, struct err *err)
{
	char bytes[1 + BLOCK_BYTES] = { CHANNEL_INPUT };
	ssize_t count = read(session->input, bytes + 1, BLOCK_BYTES);

	if (count < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (count <= 0) {
		session->input = -1;
		return session->has_channels ? websocket_send(session->websocket, WEBSOCKET_BINARY, bytes, 1, err) : 0;
	}
	return send_keys(session, bytes, (size_t)count, err);
}

/* From the guest. */

static int take_result(struct session *session, const struct websocket_message *message, struct err *err)
{
	auto_json struct json *json = NULL;
	const struct json *error, *code;
	int result = json_parse(message->bytes, message->size, &json, err);

	if (result < 0)
		return err_prefix(err, "the daemon's answer");
	error = json_get(json, "error");
	if (error) {
		const char *text = json_string(json_get(error, "message"), "the command failed");
		char buffer[sizeof(err->msg)];

		return err_set(err, err_from_http_status((int)json_int(json_get(error, "code"), 500)), "%s",
			       text_shown(text, sizeof(buffer) - sizeof("..."), buffer, sizeof(buffer)));
	}
	code = json_get(json, "exit_code");
	if (json_type(code) != JSON_INT)
		return err_set(err, -EPROTO, "the daemon's answer has no exit code");
	session->exit_code = (int)(json_int(code, 1) & 0xff);
	session->has_ended = true;
	return 0;
}

static int take_output(struct session *session, const struct websocket_message *message, struct err *err)
{
	session->has_output = true;
	if (!session->has_channels)
		return write_all(session->output, message->bytes, message->size, err);
	if (message->size == 0)
		return 0;
	if (message->bytes[0] == CHANNEL_OUTPUT)
		return write_all(session->output, message->bytes + 1, message->size - 1, err);
	if (message->bytes[0] == CHANNEL_ERROR)
		return write_all(session->error, message->bytes + 1, message->size - 1, err);
	return 0;
}

static int take_close(struct session *session, const struct websocket_message *message, struct err *err)
{
	session->has_ended = true;
	if (session->is_attached)
		return err_set(err, -EIO, message->size ? "the connection was cut, the container may go on: %s" :
			       "the connection was cut, the container may go on", shown(message->bytes));
	if (session->has_channels)
		return err_set(err, -EIO, message->size ? "the command was cut off: %s" : "the command was cut off",
			       shown(message->bytes));
	if (message->size)
		fprintf(session->cli->messages, "\r\nthe console has ended: %s\r\n", shown(message->bytes));
	else
		fprintf(session->cli->messages, "\r\nthe console has ended\r\n");
	return 0;
}

/* Everything that has come. */
static int take_messages(struct session *session, struct err *err)
{
	struct websocket_message message;
	int result = 0;

	while (!session->has_ended && (result = websocket_receive(session->websocket, &message, err)) > 0) {
		if (message.type == WEBSOCKET_BINARY)
			result = take_output(session, &message, err);
		else if (message.type == WEBSOCKET_TEXT && session->has_channels)
			result = take_result(session, &message, err);
		else if (message.type == WEBSOCKET_CLOSE)
			result = take_close(session, &message, err);
		if (result < 0)
			return result;
	}
	return result < 0 ? result : 0;
}

static int take_signals(struct session *session, struct err *err)
{
	int number;

	while ((number = terminal_signals_next(&session->signals))) {
		int result = 0;

		if (number == SIGWINCH) {
			result = session->has_channels && session->raw.is_raw ? session_send_size(session, err) : 0;
			if (result < 0)
				return result;
		} else if (session->on_signal && (result = session->on_signal(session, number, err))) {
			if (result < 0)
				return result;
		} else {
			session->exit_code = 128 + number;
			session->has_ended = true;
		}
	}
	return 0;
}

static int turn(struct session *session, struct err *err)
{
	bool has_room = websocket_queued(session->websocket) < QUEUE_BYTES;
	struct pollfd fds[] = {
		{ .fd = websocket_fd(session->websocket), .events = websocket_events(session->websocket) },
		{ .fd = session->signals.fd, .events = POLLIN },
		{ .fd = has_room ? session->input : -1, .events = POLLIN },
	};
	int result = 0;

	if (poll(fds, ARRAY_COUNT(fds), -1) < 0 && errno != EINTR)
		return err_set(err, -errno, "wait: %m");
	if (fds[1].revents)
		result = take_signals(session, err);
	if (result == 0 && fds[2].revents)
		result = take_input(session, err);
	return result;
}

int session_run(struct session *session, struct err *err)
{
	while (!session->has_ended) {
		int result = take_messages(session, err);

		if (result == 0 && !session->has_ended)
			result = turn(session, err);
		if (result < 0)
			return result;
	}
	return session->exit_code;
}
