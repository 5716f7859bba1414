/*
 * The console's history as text, and with "?follow" what comes.
 */
#include <errno.h>
#include <string.h>

#include "4-service/api.h"
#include "4-service/view.h"
#include "5-interface/http/connection.h"
#include "5-interface/http/tail.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"

enum { PIECE_BYTES = 64 << 10, LOOK_MS = 300 };

struct logs {
	struct tail *tail;		/* Null: not opened yet. */
	char *path;			/* Null: nothing was answered yet. */
	bool follows, has_begun, has_failed, has_records;
	int64_t since_ms;		/* Wall time; 0: from the beginning. */
	struct err err;
};

/* A time, or how long ago. */
static int parse_since(const char *text, int64_t *ret_ms, struct err *err)
{
	struct err ignored;
	int64_t ago_ms;

	if (units_parse_time(text, ret_ms, &ignored) == 0)
		return 0;
	if (units_parse_duration(text, &ago_ms, &ignored) < 0)
		return err_set(err, -EINVAL, "query parameter 'since': '%s' is neither a time like 2026-11-23T10:00:00Z nor how long ago, like 10m",
			       shown(text));
	*ret_ms = clock_wall_ms() - ago_ms;
	return 0;
}

static int read_parameters(const struct request *request, struct logs *logs, struct err *err)
{
	const char *since = request_text(request, "since");

	logs->follows = request_number(request, "follow", false);
	if (request_text(request, "tail") && request_text(request, "lines"))
		return err_set(err, -EINVAL, "query parameters 'tail' and 'lines' both say where to begin: use one");
	return since ? parse_since(since, &logs->since_ms, err) : 0;
}

static int on_start(struct connection *connection)
{
	struct logs *logs = alloc(sizeof(*logs));
	struct err err;
	int r;

	connection->state = logs;
	if ((r = read_parameters(&connection->request, logs, &err)) == 0)
		r = call_send(connection, call_of_request(connection), &err);
	return r < 0 ? reply_error(connection, &err) : 0;
}

static void on_changed(void *data)
{
	connection_want_write(data);
}

/* A number, or TAIL_ALL. */
static uint64_t begin_of(const struct request *request, const char *name)
{
	return request_text(request, name) ? (uint64_t)request_number(request, name, 0) : TAIL_ALL;
}

/* A new instance has no folder yet: with 'follow' that is no error, it comes. */
static int open_log(struct connection *connection, struct logs *logs)
{
	const struct request *request = &connection->request;
	struct tail_params params = {
		.path = logs->path, .bytes = begin_of(request, "tail"), .lines = begin_of(request, "lines"),
		.must_follow = logs->follows, .changed = on_changed, .data = connection, .has_records = logs->has_records,
		.since_ms = logs->since_ms, .shows_times = request_number(request, "timestamps", false),
	};
	int r;

	if (!logs->has_records && (logs->since_ms || params.shows_times))
		return err_set(&logs->err, -EINVAL, "query parameter '%s': the console of a vm has no times: use 'lines' or 'tail'",
			       logs->since_ms ? "since" : "timestamps");
	r = tail_new(connection->server, &params, &logs->tail, &logs->err);
	return r == -ENOENT && logs->follows ? 0 : r;
}

static void on_replied(struct connection *connection, struct call_reply *reply)
{
	struct logs *logs = connection->state;

	logs->path = text_copy(reply->path ? reply->path : "");
	logs->has_records = reply->has_records;
	logs->err = reply->err;
	logs->has_failed = reply->err.code < 0 || open_log(connection, logs) < 0;
	connection_want_write(connection);
}

/* A container has a last line; the console of a machine goes on with its next start. */
static bool has_ended(struct connection *connection)
{
	const struct logs *logs = connection->state;
	auto_view_text struct view_text *text = view_get(connection->server->params.http.view, "instances", connection->request.name);
	auto_json struct json *json = NULL;
	const char *state;
	struct err ignored;

	if (!text || json_parse(text->bytes, text->size, &json, &ignored) < 0)
		return true;
	if (!logs->has_records)
		return false;
	state = json_string(json_path(json, "status.state"), "");
	if (json_type(json_path(json, "status.next_start_at")) != JSON_ABSENT)
		return false;			/* It comes back soon. */
	return text_equal(state, "stopped") || text_equal(state, "failed") || text_equal(state, "deleting");
}

static void look_again(struct connection *connection)
{
	connection_want_write(connection);
}

/* Nothing more at present: until there is, or until what would write it has ended. */
static int wait_for_more(struct connection *connection)
{
	struct logs *logs = connection->state;

	connection_set_timeout(connection, 0);
	if (!logs->has_records && logs->tail)
		return 0;			/* With the instance its folder goes, which the tail sees. */
	if (has_ended(connection)) {
		logs->follows = false;		/* What it wrote last is still read. */
		connection_want_write(connection);
	} else {
		connection_set_timer(connection, LOOK_MS, look_again);
	}
	return 0;
}

static int on_writable(struct connection *connection)
{
	struct logs *logs = connection->state;
	ssize_t size;

	if (logs->has_failed)
		return reply_error(connection, &logs->err);
	if (!logs->path)
		return 0;
	if (!logs->has_begun) {
		logs->has_begun = true;
		connection_want_write(connection);
		return stream_begin(connection, 200, "text/plain; charset=utf-8", -1);
	}
	if (!logs->tail && open_log(connection, logs) < 0)
		return stream_end(connection);
	size = logs->tail ? tail_read(logs->tail, stream_room(connection, PIECE_BYTES), PIECE_BYTES) : 0;
	if (size == -EAGAIN) {
		connection_want_write(connection);
		return 0;
	}
	if (size < 0 || (size == 0 && !logs->follows))
		return stream_end(connection);
	if (size == 0)
		wait_for_more(connection);
	else
		connection_want_write(connection);
	return stream_send(connection, (size_t)size);
}

static void on_done(struct connection *connection)
{
	struct logs *logs = connection->state;

	tail_free(logs->tail);
	free(logs->path);
	free(logs);
}

const struct handler handler_logs = {
	.start = on_start, .writable = on_writable, .replied = on_replied, .done = on_done,
};
