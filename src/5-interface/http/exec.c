/*
 * A program in the guest on a WebSocket; docs/api.md has the frames.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "4-service/api.h"
#include "4-service/view.h"
#include "5-interface/http/connection.h"
#include "5-interface/http/outlet.h"
#include "5-interface/http/result.h"
#include "base/mem.h"

enum { PIECE_BYTES = 32 << 10 };
enum { CHANNEL_STDIN = 0, CHANNEL_STDOUT = 1, CHANNEL_STDERR = 2, CHANNEL_SIZE = 3, CHANNEL_NONE = -1 };
enum { SIZE_FRAME_BYTES = 4 };

struct inlet {			/* stdout or stderr. */
	struct connection *connection;
	int fd;				/* -1: at its end. */
	struct source *source;
	bool is_ready;
};

struct exec {
	struct str message;		/* The request, while it comes; then a size frame. */
	int channel;			/* Of the message that is coming. */
	bool is_empty;			/* Nothing but the channel has come of it. */
	bool has_request, is_open;
	struct outlet outlet;
	struct inlet inlets[2];
	int resize_fd;
	struct result result;
	bool has_failed;
	struct err err;
};

static size_t sessions(const struct server *server)
{
	size_t count = 0;

	for (const struct connection *c = server->connections; c; c = c->next)
		count += (c->handler == &handler_exec || c->handler == &handler_attach) && c->state;
	return count;
}

static int on_start(struct connection *connection)
{
	const char *name = connection->request.name;
	auto_view_text struct view_text *text = view_get(connection->server->params.http.view, "instances", name);
	struct exec *exec;

	if (!text)
		return reply_status(connection, 404, "instance '%s' does not exist", shown(name));
	if (sessions(connection->server) >= LIMIT_EXEC_SESSIONS)
		return reply_status(connection, 503, "%d programs are being run already: try again later",
				    LIMIT_EXEC_SESSIONS);
	exec = alloc(sizeof(*exec));
	*exec = (struct exec){ .inlets = { { .fd = -1 }, { .fd = -1 } }, .resize_fd = -1, .result.fd = -1 };
	outlet_init(&exec->outlet, connection);
	connection->state = exec;
	return 0;
}

static int send_request(struct connection *connection);

/* An attach says everything in its address. */
static int on_attached(struct connection *connection)
{
	return send_request(connection);
}

static int on_established(struct connection *connection)
{
	connection_set_timeout(connection, TIMEOUT_REQUEST_S);	/* For the request. */
	return 0;
}

static int fail(struct connection *connection, const struct err *err)
{
	struct exec *exec = connection->state;

	exec->has_failed = true;
	exec->err = *err;
	connection_want_write(connection);
	return 0;
}

static int send_request(struct connection *connection)
{
	struct exec *exec = connection->state;
	struct call *call = call_of_request(connection);
	struct err err;
	int r;

	exec->has_request = true;
	connection_set_timeout(connection, 0);
	r = request_body(&connection->request, str_text(&exec->message), exec->message.size, &call->body, &err);
	if (r < 0) {
		call_free(call);
		return fail(connection, &err);
	}
	r = call_send(connection, call, &err);
	return r < 0 ? fail(connection, &err) : 0;
}

static int receive_request(struct connection *connection, const char *bytes, size_t size)
{
	struct exec *exec = connection->state;

	if (exec->message.size + size > LIMIT_BODY_BYTES)
		return fail(connection, &(struct err){ -EFBIG, "the request is too large" });
	str_append_bytes(&exec->message, bytes, size);
	if (!connection->piece.is_last)
		return 0;
	if (connection->piece.opcode == WEBSOCKET_BINARY)
		return fail(connection, &(struct err){ -EINVAL, "the first frame must be text, the request" });
	return send_request(connection);
}

/* Rows and columns come big-endian and go on as the core wants them. */
static void receive_size(struct exec *exec, const char *bytes, size_t size, bool is_last)
{
	const unsigned char *text;

	if (exec->message.size + size <= SIZE_FRAME_BYTES)
		str_append_bytes(&exec->message, bytes, size);
	if (!is_last)
		return;
	text = (const unsigned char *)str_text(&exec->message);
	if (exec->message.size == SIZE_FRAME_BYTES && exec->resize_fd >= 0) {
		const uint16_t rows_columns[2] = { (uint16_t)(text[0] << 8 | text[1]), (uint16_t)(text[2] << 8 | text[3]) };

		(void)!write(exec->resize_fd, rows_columns, sizeof(rows_columns));	/* A full pipe has newer ones. */
	}
	str_clear(&exec->message);
}

static int on_receive(struct connection *connection, const char *bytes, size_t size)
{
	struct exec *exec = connection->state;
	bool is_last = connection->piece.is_last;

	if (exec->has_failed)
		return 0;
	if (!exec->has_request)
		return receive_request(connection, bytes, size);
	if (connection->piece.is_first)
		exec->channel = CHANNEL_NONE;
	if (exec->channel == CHANNEL_NONE) {
		if (!size)
			return 0;
		exec->channel = (unsigned char)*bytes++;
		exec->is_empty = true;
		size--;
	}
	exec->is_empty &= !size;
	if (exec->channel == CHANNEL_SIZE)
		receive_size(exec, bytes, size, is_last);
	else if (exec->channel != CHANNEL_STDIN)
		return fail(connection, &(struct err){ -EINVAL, "the first byte of a frame must be 0 (stdin) or 3 (size)" });
	else if (is_last && exec->is_empty)
		outlet_end(&exec->outlet);
	else if (size)
		outlet_write(&exec->outlet, bytes, size);
	return 0;
}

static void on_inlet(void *data, uint32_t events)
{
	struct inlet *inlet = data;

	(void)events;
	source_want(inlet->source, 0);
	inlet->is_ready = true;
	connection_want_write(inlet->connection);
}

static void inlet_open(struct inlet *inlet, struct connection *connection, int fd)
{
	inlet->connection = connection;
	inlet->fd = fd;
	if (fd < 0)
		return;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	inlet->source = source_new(connection->server->poller, fd, on_inlet, inlet);
	source_want(inlet->source, EPOLLIN);
}

static void inlet_close(struct inlet *inlet)
{
	source_remove(take(inlet->source));
	if (inlet->fd >= 0)
		close(take_fd(inlet->fd));
	inlet->is_ready = false;
}

static void on_replied(struct connection *connection, struct call_reply *reply)
{
	struct exec *exec = connection->state;

	str_clear(&exec->message);	/* The request, kept until here: another node may have to do it. */
	if (reply->err.code < 0) {
		fail(connection, &reply->err);
		return;
	}
	exec->is_open = true;
	inlet_open(&exec->inlets[0], connection, take_fd(reply->fds.output));
	inlet_open(&exec->inlets[1], connection, take_fd(reply->fds.error));
	exec->resize_fd = take_fd(reply->fds.resize);
	if (exec->resize_fd >= 0)
		fcntl(exec->resize_fd, F_SETFL, fcntl(exec->resize_fd, F_GETFL) | O_NONBLOCK);
	result_open(&exec->result, connection, take_fd(reply->fds.result));
	if (reply->fds.input >= 0)
		outlet_open(&exec->outlet, take_fd(reply->fds.input));
	else
		outlet_break(&exec->outlet);
}

static void take_received(struct connection *connection, struct str *ret_received)
{
	struct exec *exec = connection->state;

	*ret_received = exec->message;
	exec->message = (struct str){ 0 };
}

static int send_inlet(struct connection *connection, struct inlet *inlet, int channel)
{
	ssize_t size = read(inlet->fd, frame_room(connection, channel, PIECE_BYTES), PIECE_BYTES);

	connection_want_write(connection);
	if (size > 0)
		return frame_send(connection, channel, (size_t)size, false);
	if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
		inlet->is_ready = false;
		source_want(inlet->source, EPOLLIN);
		return 0;
	}
	inlet_close(inlet);
	return 0;
}

static int finish(struct connection *connection)
{
	struct exec *exec = connection->state;
	struct err err;

	if (result_check(&exec->result, &err) < 0)
		return frame_error(connection, &err);
	memcpy(frame_room(connection, CHANNEL_NONE, exec->result.text.size), exec->result.text.data,
	       exec->result.text.size);
	if (frame_send(connection, CHANNEL_NONE, exec->result.text.size, true) < 0)
		return -1;
	return frame_close(connection, WEBSOCKET_NORMAL);
}

/* One frame per turn, stdout and stderr as they are ready; the result when both have ended. */
static int on_writable(struct connection *connection)
{
	struct exec *exec = connection->state;

	if (exec->has_failed)
		return frame_error(connection, &exec->err);
	for (int i = 0; i < 2; i++)
		if (exec->inlets[i].is_ready)
			return send_inlet(connection, &exec->inlets[i], i ? CHANNEL_STDERR : CHANNEL_STDOUT);
	connection_set_timeout(connection, exec->has_request ? 0 : TIMEOUT_REQUEST_S);
	if (exec->is_open && exec->result.is_over && exec->inlets[0].fd < 0 && exec->inlets[1].fd < 0)
		return finish(connection);
	return 0;
}

static void on_done(struct connection *connection)
{
	struct exec *exec = connection->state;

	if (!exec)
		return;
	str_done(&exec->message);
	outlet_done(&exec->outlet);
	inlet_close(&exec->inlets[0]);
	inlet_close(&exec->inlets[1]);
	if (exec->resize_fd >= 0)
		close(exec->resize_fd);
	result_done(&exec->result);
	free(exec);
}

const struct handler handler_attach = {
	.is_websocket = true, .start = on_start, .established = on_attached, .receive = on_receive,
	.writable = on_writable, .replied = on_replied, .take_received = take_received, .done = on_done,
};

const struct handler handler_exec = {
	.is_websocket = true, .start = on_start, .established = on_established, .receive = on_receive,
	.writable = on_writable, .replied = on_replied, .take_received = take_received, .done = on_done,
};
