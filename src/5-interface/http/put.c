/*
 * A body of any size into a pipe: into a file of the guest (the core's pipe), or into an upload (a
 * helper's).  At the pipe's other end somebody says in one line how it went.
 */
#include <errno.h>

#include "4-service/api.h"
#include "5-interface/http/connection.h"
#include "5-interface/http/helpers.h"
#include "5-interface/http/outlet.h"
#include "5-interface/http/result.h"
#include "base/mem.h"

struct put {
	struct outlet outlet;
	struct result result;
	struct sink *sink;		/* Uploads. */
	uint64_t size;			/* Received. */
	bool has_failed;
	struct err err;
};

static struct put *put_new(struct connection *connection)
{
	struct put *put = alloc(sizeof(*put));

	outlet_init(&put->outlet, connection);
	put->result.fd = -1;
	connection->state = put;
	return put;
}

static void sweep(lws_sorted_usec_list_t *timer)
{
	struct server *server = container_of(timer, struct server, sweep_timer);

	helpers_sweep(server->helpers, server->params.http.staging);
}

static int start_upload(struct connection *connection)
{
	struct server *server = connection->server;
	struct put *put = put_new(connection);
	int pipe_fd, result_fd, r;
	struct err err;

	r = helpers_store(server->helpers, server->params.http.staging, &put->sink, &pipe_fd, &result_fd, &err);
	if (r < 0)
		return reply_error(connection, &err);
	result_open(&put->result, connection, result_fd);
	outlet_open(&put->outlet, pipe_fd);
	lws_sul_schedule(server->context, 0, &server->sweep_timer, sweep, (UPLOAD_KEPT_S + 60) * LWS_US_PER_SEC);
	return 0;
}

static int start_file_write(struct connection *connection)
{
	struct call *call = call_of_request(connection);
	struct err err;
	int r;

	put_new(connection);
	r = request_body(&connection->request, NULL, 0, &call->body, &err);
	if (r == 0) {
		r = call_send(connection, call, &err);
		call = NULL;
	}
	call_free(call);
	if (r < 0)
		return reply_error(connection, &err);
	connection_pause(connection);
	return 0;
}

static void on_replied(struct connection *connection, struct call_reply *reply)
{
	struct put *put = connection->state;

	put->has_failed = reply->err.code < 0;
	put->err = reply->err;
	if (put->has_failed) {
		connection_want_write(connection);
		return;
	}
	result_open(&put->result, connection, take_fd(reply->fds.result));
	outlet_open(&put->outlet, take_fd(reply->fds.input));
}

/* What came in one go with the head. */
static void take_received(struct connection *connection, struct str *ret_received)
{
	struct put *put = connection->state;

	*ret_received = put->outlet.pending;
	put->outlet.pending = (struct str){ 0 };
}

static int on_body(struct connection *connection, const char *bytes, size_t size)
{
	struct put *put = connection->state;

	put->size += size;
	outlet_write(&put->outlet, bytes, size);
	return 0;
}

static int on_body_end(struct connection *connection)
{
	struct put *put = connection->state;

	if (put->sink)
		sink_complete(put->sink, put->size);
	outlet_end(&put->outlet);
	return 0;
}

static int on_writable(struct connection *connection)
{
	struct put *put = connection->state;
	struct err err;

	if (put->has_failed)
		return reply_error(connection, &put->err);
	if (!put->result.is_over)
		return 0;
	if (result_check(&put->result, &err) < 0)
		return reply_error(connection, &err);
	return reply_json(connection, connection->request.route->status, put->result.text.data, put->result.text.size);
}

static void on_done(struct connection *connection)
{
	struct put *put = connection->state;

	outlet_done(&put->outlet);
	result_done(&put->result);
	sink_unref(put->sink);
	free(put);
}

const struct handler handler_upload = {
	.start = start_upload, .body = on_body, .body_end = on_body_end, .writable = on_writable, .done = on_done,
};

const struct handler handler_file_write = {
	.start = start_file_write, .body = on_body, .body_end = on_body_end, .writable = on_writable,
	.replied = on_replied, .take_received = take_received, .done = on_done,
};
