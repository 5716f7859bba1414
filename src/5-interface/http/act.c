/*
 * Requests that change something: the body as JSON to the core, its answer as JSON back.
 */
#include "4-service/api.h"
#include "5-interface/http/connection.h"
#include "base/mem.h"

struct act {
	struct str body;
	struct call_reply reply;
};

static int too_large(struct connection *connection)
{
	return reply_status(connection, 413, "the body is larger than %d bytes", LIMIT_BODY_BYTES);
}

static int on_start(struct connection *connection)
{
	struct act *act = alloc(sizeof(*act));

	act->reply.fds = (struct call_fds){ -1, -1, -1, -1, -1 };
	connection->state = act;
	if (connection->head.content_length > LIMIT_BODY_BYTES)
		return too_large(connection);
	return 0;
}

static int on_body(struct connection *connection, const char *bytes, size_t size)
{
	struct act *act = connection->state;

	if (act->body.size + size > LIMIT_BODY_BYTES)
		return too_large(connection);
	str_append_bytes(&act->body, bytes, size);
	return 0;
}

static int on_body_end(struct connection *connection)
{
	struct act *act = connection->state;
	struct call *call = call_of_request(connection);
	struct err err;
	int r;

	r = request_body(&connection->request, str_text(&act->body), act->body.size, &call->body, &err);
	if (r < 0) {
		call_free(call);
		return reply_error(connection, &err);
	}
	r = call_send(connection, call, &err);
	return r < 0 ? reply_error(connection, &err) : 0;
}

static void on_replied(struct connection *connection, struct call_reply *reply)
{
	struct act *act = connection->state;

	act->reply = *reply;
	*reply = (struct call_reply){ .fds = { -1, -1, -1, -1, -1 } };
	connection_want_write(connection);
}

static void take_received(struct connection *connection, struct str *ret_received)
{
	struct act *act = connection->state;

	*ret_received = act->body;
	act->body = (struct str){ 0 };
}

static int on_writable(struct connection *connection)
{
	struct act *act = connection->state;
	struct call_reply *reply = &act->reply;

	if (connection->pending || connection->has_body_coming)
		return 0;
	if (reply->err.code < 0)
		return reply_error(connection, &reply->err);
	return reply_json(connection, reply->http_status ? reply->http_status : connection->request.route->status,
			  str_text(&reply->body), reply->body.size);
}

static void on_done(struct connection *connection)
{
	struct act *act = connection->state;

	str_done(&act->body);
	call_reply_done(&act->reply);
	free(act);
}

const struct handler handler_call = {
	.start = on_start, .body = on_body, .body_end = on_body_end, .writable = on_writable,
	.replied = on_replied, .take_received = take_received, .done = on_done,
};
