/*
 * Events as lines of JSON: those that are kept, and with "?follow" those that come.
 */
#include "4-service/view.h"
#include "5-interface/http/connection.h"
#include "base/mem.h"

enum { EVENTS_PER_PIECE = 256 };

struct events {
	int64_t after;			/* The last one sent. */
	bool follows;
};

static int send_some(struct connection *connection)
{
	struct events *events = connection->state;
	auto_str struct str lines = { 0 };

	events->after = view_events(connection->server->params.http.view, events->after, EVENTS_PER_PIECE, &lines);
	if (!lines.size && !events->follows)
		return stream_end(connection);
	if (!lines.size) {
		connection_set_timeout(connection, 0);
		return 0;
	}
	connection_want_write(connection);
	memcpy(stream_room(connection, lines.size), lines.data, lines.size);
	return stream_send(connection, lines.size);
}

static int on_start(struct connection *connection)
{
	struct events *events = alloc(sizeof(*events));

	events->after = request_number(&connection->request, "after", 0);
	events->follows = request_number(&connection->request, "follow", false);
	connection->state = events;
	if (events->follows)
		connection_watch(connection);
	connection_want_write(connection);
	return stream_begin(connection, 200, "application/x-ndjson", -1);
}

static void on_done(struct connection *connection)
{
	free(connection->state);
}

const struct handler handler_events = {
	.start = on_start, .writable = send_some, .changed = connection_want_write, .done = on_done,
};
