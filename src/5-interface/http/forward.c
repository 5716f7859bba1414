#include "5-interface/http/forward.h"

#include <errno.h>
#include <string.h>

#include "4-service/api.h"
#include "4-service/peer/answer.h"
#include "5-interface/http/connection.h"
#include "5-interface/http/upstream.h"
#include "base/mem.h"

enum { PIECE_BYTES = 64 << 10, ERROR_BYTES_MAX = 64 << 10 };

struct forward {
	struct upstream *upstream;	/* Null: could not be begun. */
	char *name, *address;		/* Of the node. */
	bool is_websocket;
	bool has_begun;			/* The client has got some of the answer; of a WebSocket: its head was dropped. */
	struct str head;		/* Of a WebSocket's answer, while it comes; with the body when it is an error. */
	struct err err;			/* code 0: none. */
};

static size_t forwards(const struct server *server)
{
	size_t count = 0;

	for (const struct connection *c = server->connections; c; c = c->next)
		count += c->handler == &handler_forward;
	return count;
}

/* The client is read from while what it sends is taken. */
static void pace(struct connection *connection)
{
	const struct forward *forward = connection->state;

	if (upstream_pending(forward->upstream))
		connection_pause(connection);
	else if (connection->has_body_coming || connection->phase == PHASE_TUNNEL)
		connection_resume(connection);
}

/* Room again for what the client sends, or something to hand to it. */
static void on_changed(void *data)
{
	struct connection *connection = data;

	pace(connection);
	connection_want_write(connection);
}

static void append_origin(const struct connection *connection, struct str *out)
{
	struct origin origin;

	origin_of_peer(&connection->peer, connection->server->params.is_tls, &origin);
	str_append(out, "\r\nStrata-Forwarded: ");
	origin_write(&origin, out);
}

/* 'received': what has been read of the body already. */
static void send_head(struct connection *connection, const struct str *received)
{
	const struct forward *forward = connection->state;
	const struct head *head = &connection->head;
	auto_str struct str out = { 0 };

	str_append(&out, str_text(&connection->line));
	str_printf(&out, "\r\nHost: %s", forward->address);
	append_origin(connection, &out);
	if (forward->is_websocket)	/* The key protects from proxies that do not know WebSockets; there is none between hosts. */
		str_append(&out, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
			   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==");
	else
		str_append(&out, "\r\nConnection: close");
	if (connection->has_body_coming && head->is_chunked)
		str_append(&out, "\r\nTransfer-Encoding: chunked");
	else if (connection->has_body_coming)
		str_printf(&out, "\r\nContent-Length: %lld", (long long)head->content_length);
	else if (!forward->is_websocket && (received->size || head->content_length >= 0))
		str_printf(&out, "\r\nContent-Length: %zu", received->size);
	str_append(&out, "\r\n\r\n");
	upstream_write(forward->upstream, out.data, out.size);
}

/* The first message of a client again, as a client sends it: masked, with a mask that does nothing. */
static void send_message(struct upstream *upstream, const struct str *message)
{
	static const char mask[4] = { 0 };
	char head[WEBSOCKET_HEAD_MAX];
	size_t size = websocket_write_head(head + sizeof(head), WEBSOCKET_TEXT, message->size);
	char *begin = head + sizeof(head) - size;

	begin[1] = (char)(begin[1] | 0x80);
	upstream_write(upstream, begin, size);
	upstream_write(upstream, mask, sizeof(mask));
	upstream_write(upstream, message->data, message->size);
}

/* Of a body; 'is_chunk': in the chunked transfer coding. */
static void send_piece(struct upstream *upstream, bool is_chunk, const char *bytes, size_t size)
{
	char line[24];

	if (is_chunk)
		upstream_write(upstream, line, (size_t)snprintf(line, sizeof(line), "%zx\r\n", size));
	upstream_write(upstream, bytes, size);
	if (is_chunk)
		upstream_write(upstream, "\r\n", 2);
}

static int connect_upstream(struct connection *connection, const struct call_reply *reply, const struct str *received, struct err *err)
{
	struct forward *forward = connection->state;
	const struct upstream_params params = { .address = reply->forward.address, .uid = reply->forward.uid, .changed = on_changed,
						.data = connection };
	int r;

	if (connection->origin.channel)
		return err_set(err, -EAGAIN, "two hosts do not agree where it has to be done: try again");
	if (forwards(connection->server) > LIMIT_FORWARDS)
		return err_set(err, -EAGAIN, "%d requests are being sent on to other nodes already: try again later", LIMIT_FORWARDS);
	r = upstream_new(connection->server, &params, &forward->upstream, err);
	if (r < 0)
		return r;
	send_head(connection, received);
	if (forward->is_websocket && received->size)
		send_message(forward->upstream, received);
	else if (received->size)
		send_piece(forward->upstream, connection->has_body_coming && connection->head.is_chunked, str_text(received), received->size);
	return 0;
}

static void explain(const struct forward *forward, struct err *err)
{
	switch (err->code) {
	case -EAGAIN:
		return;
	case -EHOSTUNREACH:
		err_prefix(err, "node '%s' cannot be reached at %s", shown(forward->name), forward->address);
		return;
	case -ECONNRESET:
		err_prefix(err, "node '%s' at %s has broken off, so whether it was done is not known: look and try again",
			   shown(forward->name), forward->address);
		return;
	case -EACCES:
		err->code = -ECONNREFUSED;	/* It is not the client who may not. */
		err_prefix(err, "node '%s' at %s", shown(forward->name), forward->address);
		return;
	default:
		err_prefix(err, "node '%s' at %s", shown(forward->name), forward->address);
	}
}

static void fail(struct connection *connection)
{
	struct forward *forward = connection->state;

	explain(forward, &forward->err);
	connection_want_write(connection);
}

void forward_start(struct connection *connection, const struct call_reply *reply)
{
	const struct handler *handler = connection->handler;
	struct forward *forward = alloc(sizeof(*forward));
	auto_str struct str received = { 0 };

	forward->is_websocket = handler->is_websocket;
	forward->name = text_copy(reply->forward.name);
	forward->address = text_copy(reply->forward.address);
	if (handler->take_received)
		handler->take_received(connection, &received);
	connection_hand_over(connection, &handler_forward, forward);
	if (forward->is_websocket)
		connection->phase = PHASE_TUNNEL;
	/* An upload goes on when there is somebody to take it. */
	connection_pause(connection);
	if (connect_upstream(connection, reply, &received, &forward->err) < 0)
		fail(connection);
}

static int on_body(struct connection *connection, const char *bytes, size_t size)
{
	struct forward *forward = connection->state;

	if (forward->err.code || !size)
		return 0;
	send_piece(forward->upstream, connection->phase == PHASE_BODY && connection->head.is_chunked, bytes, size);
	pace(connection);	/* Of many chunks in one go, each can find room again that the one before has not. */
	return 0;
}

static int on_body_end(struct connection *connection)
{
	const struct forward *forward = connection->state;

	if (!forward->err.code && connection->head.is_chunked)
		upstream_write(forward->upstream, "0\r\n\r\n", 5);
	return 0;
}

/* Nothing more will come. */
static int finish(struct connection *connection)
{
	struct forward *forward = connection->state;

	if (!forward->has_begun && !forward->err.code) {
		err_set(&forward->err, -ECONNRESET, "it has ended the connection without an answer");
		explain(forward, &forward->err);
	}
	if (!forward->has_begun && forward->is_websocket)
		return frame_error(connection, &forward->err);
	if (!forward->has_begun)
		return reply_error(connection, &forward->err);
	/* Whether all has come the client sees by the answer's length, or by the last frame. */
	connection->must_close = true;
	return connection_finish(connection);
}

/* Of a WebSocket: the head of the other host's answer. What follows it is the client's. */
static int receive_head(struct connection *connection, const char *bytes, size_t size)
{
	struct forward *forward = connection->state;
	struct answer_head head;
	int r;

	str_append_bytes(&forward->head, bytes, size);
	r = answer_read_head(forward->head.data, forward->head.size, &head, &forward->err);
	connection_want_write(connection);
	if (r == 1 && head.status == 101) {
		size = forward->head.size - head.size;
		memcpy(stream_room(connection, size), forward->head.data + head.size, size);
		str_done(&forward->head);
		forward->has_begun = true;
		return stream_send(connection, size);
	}
	if (r == 1 && (head.content_length < 0 || head.content_length > ERROR_BYTES_MAX))
		r = err_set(&forward->err, -EPROTO, "it answers %d", head.status);
	else if (r == 1 && forward->head.size - head.size >= (size_t)head.content_length)
		r = answer_error(head.status, forward->head.data + head.size, (size_t)head.content_length, &forward->err);
	else
		return r < 0 ? finish(connection) : 0;
	return finish(connection);
}

static int on_writable(struct connection *connection)
{
	struct forward *forward = connection->state;
	char *room;
	ssize_t size;

	if (forward->err.code)
		return finish(connection);
	room = stream_room(connection, PIECE_BYTES);
	size = upstream_read(forward->upstream, room, PIECE_BYTES, &forward->err);
	if (size == -EAGAIN) {
		connection_set_timeout(connection, 0);	/* It is not the client that we wait for. */
		return 0;
	}
	if (size < 0)
		explain(forward, &forward->err);
	if (size <= 0)
		return finish(connection);
	if (forward->is_websocket && !forward->has_begun) {
		auto_free char *piece = text_copy_length(room, (size_t)size);

		return receive_head(connection, piece, (size_t)size);
	}
	forward->has_begun = true;
	connection->sends_chunks = false;
	connection_want_write(connection);
	return stream_send(connection, (size_t)size);
}

static void on_done(struct connection *connection)
{
	struct forward *forward = connection->state;

	upstream_free(forward->upstream);
	free(forward->name);
	free(forward->address);
	str_done(&forward->head);
	free(forward);
}

const struct handler handler_forward = {
	.body = on_body, .body_end = on_body_end, .writable = on_writable, .done = on_done,
};
