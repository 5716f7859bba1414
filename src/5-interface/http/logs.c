/*
 * The console's history as text, and with "?follow" what comes.
 */
#include "4-service/api.h"
#include "5-interface/http/connection.h"
#include "5-interface/http/tail.h"
#include "base/mem.h"

enum { PIECE_BYTES = 64 << 10 };

struct logs {
	struct tail *tail;
	bool follows, has_begun, has_failed;
	struct err err;
};

static int on_start(struct connection *connection)
{
	struct logs *logs = alloc(sizeof(*logs));
	struct err err;
	int r;

	logs->follows = request_number(&connection->request, "follow", false);
	connection->state = logs;
	r = call_send(connection, call_of_request(connection), &err);
	return r < 0 ? reply_error(connection, &err) : 0;
}

static void on_changed(void *data)
{
	connection_want_write(data);
}

static void on_replied(struct connection *connection, struct call_reply *reply)
{
	struct logs *logs = connection->state;
	uint64_t before_end = (uint64_t)request_number(&connection->request, "tail", INT64_MAX);

	logs->err = reply->err;
	logs->has_failed = reply->err.code < 0 ||
			   tail_new(connection->server, reply->path ? reply->path : "", before_end, logs->follows,
				    on_changed, connection, &logs->tail, &logs->err) < 0;
	connection_want_write(connection);
}

static int on_writable(struct connection *connection)
{
	struct logs *logs = connection->state;
	ssize_t size;

	if (logs->has_failed)
		return reply_error(connection, &logs->err);
	if (!logs->tail)
		return 0;
	if (!logs->has_begun) {
		logs->has_begun = true;
		connection_want_write(connection);
		return stream_begin(connection, 200, "text/plain; charset=utf-8", -1);
	}
	size = tail_read(logs->tail, stream_room(connection, PIECE_BYTES), PIECE_BYTES);
	if (size < 0 || (size == 0 && !logs->follows))
		return stream_end(connection);
	if (size == 0)
		connection_set_timeout(connection, 0);
	else
		connection_want_write(connection);
	return stream_send(connection, (size_t)size);
}

static void on_done(struct connection *connection)
{
	struct logs *logs = connection->state;

	tail_free(logs->tail);
	free(logs);
}

const struct handler handler_logs = {
	.start = on_start, .writable = on_writable, .replied = on_replied, .done = on_done,
};
