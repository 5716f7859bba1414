/*
 * The serial console on a WebSocket: what the guest writes comes from the log the machine keeps, so
 * any number may watch; what a watcher types goes into the machine's input.
 */
#include <errno.h>

#include "4-service/api.h"
#include "4-service/view.h"
#include "5-interface/http/connection.h"
#include "5-interface/http/outlet.h"
#include "5-interface/http/tail.h"
#include "base/mem.h"

enum { PIECE_BYTES = 32 << 10 };

struct console {
	struct outlet outlet;
	struct tail *tail;
	bool has_failed;
	struct err err;
};

static size_t watchers_of(const struct server *server, const char *name)
{
	size_t count = 0;

	for (const struct connection *c = server->connections; c; c = c->next)
		count += c->handler == &handler_console && c->state && text_equal(c->request.name, name);
	return count;
}

static int on_start(struct connection *connection)
{
	const char *name = connection->request.name;
	auto_view_text struct view_text *text = view_get(connection->server->params.http.view, "instances", name);
	struct console *console;

	if (!text)
		return reply_status(connection, 404, "instance '%s' does not exist", shown(name));
	if (watchers_of(connection->server, name) >= LIMIT_CONSOLE_WATCHERS)
		return reply_status(connection, 503, "instance '%s' has %d watchers already", shown(name),
				    LIMIT_CONSOLE_WATCHERS);
	console = alloc(sizeof(*console));
	outlet_init(&console->outlet, connection);
	connection->state = console;
	return 0;
}

static int on_established(struct connection *connection)
{
	struct console *console = connection->state;

	console->has_failed = call_send(connection, call_of_request(connection), &console->err) < 0;
	if (console->has_failed)
		connection_want_write(connection);
	return 0;
}

static void on_changed(void *data)
{
	connection_want_write(data);
}

static void on_replied(struct connection *connection, struct call_reply *reply)
{
	struct console *console = connection->state;
	struct tail_params params = {
		.path = reply->path ? reply->path : "", .bytes = (uint64_t)request_number(&connection->request, "tail", 0),
		.lines = TAIL_ALL, .must_follow = true, .changed = on_changed, .data = connection,
		.has_records = reply->has_records, .is_for_terminal = true,
	};

	console->err = reply->err;
	console->has_failed = reply->err.code < 0 ||
			      tail_new(connection->server, &params, &console->tail, &console->err) < 0;
	if (!console->has_failed && reply->fds.input >= 0)
		outlet_open(&console->outlet, take_fd(reply->fds.input));
	else
		outlet_break(&console->outlet);
	connection_want_write(connection);
}

static int on_receive(struct connection *connection, const char *bytes, size_t size)
{
	struct console *console = connection->state;

	outlet_write(&console->outlet, bytes, size);
	return 0;
}

static int on_writable(struct connection *connection)
{
	struct console *console = connection->state;
	ssize_t size;

	if (console->has_failed)
		return frame_error(connection, &console->err);
	if (!console->tail)
		return 0;
	size = tail_read(console->tail, frame_room(connection, -1, PIECE_BYTES), PIECE_BYTES);
	if (size < 0 && size != -EAGAIN)
		return frame_close(connection, WEBSOCKET_NORMAL);
	if (size == -EAGAIN) {
		connection_want_write(connection);
		return 0;
	}
	if (size == 0) {
		connection_set_timeout(connection, 0);
		return 0;
	}
	connection_want_write(connection);
	return frame_send(connection, -1, (size_t)size, false);
}

static void on_done(struct connection *connection)
{
	struct console *console = connection->state;

	if (!console)
		return;
	outlet_done(&console->outlet);
	tail_free(console->tail);
	free(console);
}

const struct handler handler_console = {
	.is_websocket = true, .start = on_start, .established = on_established, .receive = on_receive,
	.writable = on_writable, .replied = on_replied, .done = on_done,
};
