#include "5-interface/http/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "4-service/view.h"
#include "5-interface/http/calls.h"
#include "5-interface/http/stranger.h"
#include "base/mem.h"

enum { TIMEOUT_REASON = PENDING_TIMEOUT_USER_REASON_BASE };
/* More than this of an unwanted body is not waited for: the connection is closed. */
enum { SKIP_BYTES_MAX = 1 << 20 };

void connection_set_timeout(struct connection *connection, int seconds)
{
	lws_set_timeout(connection->wsi, seconds ? (enum pending_timeout)TIMEOUT_REASON : NO_PENDING_TIMEOUT, seconds);
}

static void on_hangup(void *data, uint32_t events)
{
	struct connection *connection = data;

	(void)events;
	source_want(connection->hangup, 0);
	lws_set_timeout(connection->wsi, (enum pending_timeout)TIMEOUT_REASON, LWS_TO_KILL_ASYNC);
}

/*
 * A client that leaves must be noticed although nothing is read; libwebsockets 4.3 would only spin.  Over TCP its going is no more
 * than the end of what it sends; no client of ours ends that half alone, which TLS does not have either.
 */
static void watch_hangup(struct connection *connection)
{
	if (!connection->hangup)
		connection->hangup = source_new(connection->server->poller, lws_get_socket_fd(connection->wsi), on_hangup,
						connection);
	source_want(connection->hangup, connection->server->params.is_tls ? EPOLLRDHUP : EPOLLHUP);
}

void connection_pause(struct connection *connection)
{
	if (connection->is_paused)
		return;
	lws_rx_flow_control(connection->wsi, 0);
	watch_hangup(connection);
	connection->is_paused = true;
	connection_set_timeout(connection, 0);	/* It is we who are slow. */
}

void connection_resume(struct connection *connection)
{
	if (!connection->is_paused)
		return;
	lws_rx_flow_control(connection->wsi, 1);
	source_want(connection->hangup, 0);
	connection->is_paused = false;
	if (connection->has_body_coming)
		connection_set_timeout(connection, TIMEOUT_REQUEST_S);
}

void connection_want_write(struct connection *connection)
{
	lws_callback_on_writable(connection->wsi);
}

void connection_watch(struct connection *connection)
{
	if (!connection->is_watching)
		atomic_fetch_add(&connection->server->watchers, 1);
	connection->is_watching = true;
}

static void on_timer(lws_sorted_usec_list_t *timer)
{
	struct connection *connection = container_of(timer, struct connection, timer);

	connection->has_timer = false;
	connection->on_timer(connection);
}

void connection_set_timer(struct connection *connection, int64_t delay_ms, void (*fn)(struct connection *connection))
{
	connection->on_timer = fn;
	connection->has_timer = true;
	lws_sul_schedule(connection->server->context, 0, &connection->timer, on_timer, delay_ms * LWS_US_PER_MS);
}

void connection_start(struct connection *connection)
{
	connection->phase = PHASE_HEAD;
	connection_set_timeout(connection, TIMEOUT_REQUEST_S);
}

static void end_handler(struct connection *connection)
{
	const struct handler *handler = take(connection->handler);

	if (connection->has_timer)
		lws_sul_cancel(&connection->timer);
	connection->has_timer = false;
	if (connection->is_watching)
		atomic_fetch_sub(&connection->server->watchers, 1);
	connection->is_watching = false;
	call_abandon(connection);
	if (handler && handler->done)
		handler->done(connection);
	connection->state = NULL;
}

void connection_hand_over(struct connection *connection, const struct handler *handler, void *state)
{
	end_handler(connection);
	connection->handler = handler;
	connection->state = state;
}

void connection_end(struct connection *connection)
{
	end_handler(connection);
	source_remove(take(connection->hangup));
}

static int next_request(struct connection *connection)
{
	bool has_unread_body = connection->has_body_coming;

	if (connection->must_close && !has_unread_body)
		return -1;
	connection->has_body_coming = false;
	connection_resume(connection);
	connection->phase = connection->must_close ? PHASE_LINGER : has_unread_body ? PHASE_SKIP : PHASE_HEAD;
	connection_set_timeout(connection, connection->must_close ? TIMEOUT_LINGER_S :
			       has_unread_body ? TIMEOUT_REQUEST_S : TIMEOUT_IDLE_S);
	return 0;
}

int connection_finish(struct connection *connection)
{
	end_handler(connection);
	if (!lws_partial_buffered(connection->wsi))
		return next_request(connection);
	connection->is_finishing = true;
	connection->phase = PHASE_ANSWER;
	connection_pause(connection);
	connection_set_timeout(connection, TIMEOUT_WRITE_S);
	connection_want_write(connection);
	return 0;
}

bool connection_can_go_on(const struct connection *connection)
{
	return !connection->has_body_coming ||
	       (!connection->head.is_chunked && connection->body_left <= SKIP_BYTES_MAX);
}

/* The handler has the whole request. */
static int body_ended(struct connection *connection)
{
	int r = 0;

	connection->has_body_coming = false;
	connection->phase = PHASE_ANSWER;
	if (connection->handler->body_end)
		r = connection->handler->body_end(connection);
	if (r == 0 && connection->phase == PHASE_ANSWER && !connection->is_finishing) {
		connection_pause(connection);
		connection_set_timeout(connection, 0);
	}
	return r;
}

/* Its certificate is good until it ends, whatever the cluster has decided. */
static int check_not_removed(const struct connection *connection, struct err *err)
{
	const struct peer *peer = &connection->peer;
	auto_view_text struct view_text *gone = peer->is_node ? view_get(connection->server->params.http.view, VIEW_GONE, peer->subject) : NULL;

	return gone ? err_set(err, -EACCES, "your host was removed from this cluster") : 0;
}

/* Who has asked where the request came to first. */
static int read_origin(struct connection *connection, struct err *err)
{
	const char *forwarded = connection->head.forwarded;

	if (!forwarded)
		return 0;
	if (!connection->peer.is_node)
		return err_set(err, -EACCES, "the header Strata-Forwarded is for the hosts of a cluster only: leave it away");
	return origin_parse(forwarded, &connection->origin, err);
}

/* 1: the request is decoded; else a reply has been given. */
static int decode(struct connection *connection)
{
	struct head *head = &connection->head;
	struct request *request = &connection->request;
	char allow[64] = "";
	struct err err;
	int r = 0, checked;

	*request = (struct request){ .is_head = head->is_head };
	if (!connection->peer.is_allowed)
		r = peer_refusal(&connection->peer, connection->server->params.group_name, &err);
	if (r == 0)
		r = check_not_removed(connection, &err);
	if (r == 0)
		r = read_origin(connection, &err);
	if (r == 0)
		r = request_decode(head->method, head->path, head->queries, head->query_count, request, allow, &err);
	if (connection->peer.is_stranger && (checked = stranger_check(connection, r == 0 ? request->route : NULL)) <= 0)
		return checked;
	if (r == -EPERM)
		return reply_not_allowed(connection, allow, &err);
	if (r < 0)
		return reply_error(connection, &err);
	if (head->is_head && !request->route->handler->answers_head)
		return reply_not_allowed(connection, "GET", &(struct err){ .msg = "HEAD is not answered here: use GET" });
	if (request->route->unix_only && connection->server->params.is_tls)
		return reply_status(connection, 403, "%s is for the unix socket only", request->route->pattern);
	if (request->route->handler->is_websocket && !head->wants_websocket)
		return reply_status(connection, 426, "%s is a WebSocket (version 13)", request->route->pattern);
	return 1;
}

static int start_websocket(struct connection *connection)
{
	if (reply_upgrade(connection) < 0)
		return -1;
	connection->phase = PHASE_WEBSOCKET;
	connection->websocket = (struct websocket){ 0 };
	connection_set_timeout(connection, 0);
	return connection->handler->established(connection);
}

static int start_handler(struct connection *connection)
{
	int r;

	connection->handler = connection->request.route->handler;
	r = connection->handler->start(connection);
	if (r < 0 || !connection->handler)
		return r;
	if (connection->handler->is_websocket)
		return start_websocket(connection);
	if (!connection->has_body_coming)
		return body_ended(connection);
	if (!connection->is_paused)
		connection_set_timeout(connection, TIMEOUT_REQUEST_S);
	return connection->head.expects_continue ? reply_continue(connection) : 0;
}

static int refuse_head(struct connection *connection, int status, const struct err *err)
{
	connection->must_close = true;
	connection->has_body_coming = true;	/* Whatever follows: nobody knows where it ends. */
	connection->request = (struct request){ 0 };
	return reply_status(connection, status, "%s", err->msg);
}

static int begin_request(struct connection *connection, const char *bytes, size_t size)
{
	struct head *head = &connection->head;
	struct err err;
	int status, r;

	str_clear(&connection->line);
	str_append_bytes(&connection->line, bytes, (size_t)((const char *)memchr(bytes, '\r', size) - bytes));
	connection->origin = (struct origin){ 0 };
	str_clear(&connection->target);
	str_append_bytes(&connection->target, bytes, size);
	status = head_parse(connection->target.data, size, head, &err);
	connection->must_close = status || head->is_http10 || head->wants_close;
	if (status)
		return refuse_head(connection, status, &err);
	connection->body_left = head->content_length > 0 ? (uint64_t)head->content_length : 0;
	connection->has_body_coming = head->is_chunked || connection->body_left;
	connection->phase = connection->has_body_coming ? PHASE_BODY : PHASE_ANSWER;
	chunks_init(&connection->chunks);
	r = decode(connection);
	return r <= 0 ? r : start_handler(connection);
}

/* The consumers: each returns how many bytes it has used, 0: it needs more; -1: drop the connection. */

static ssize_t consume_head(struct connection *connection, const char *bytes, size_t size)
{
	size_t head_size, blank = 0;
	struct err err;
	int status;

	while (size - blank >= 2 && bytes[blank] == '\r' && bytes[blank + 1] == '\n')
		blank += 2;		/* Empty lines before a request are let pass (RFC 9112, section 2.2). */
	if (blank)
		return (ssize_t)blank;
	head_size = head_find(bytes, size < HEAD_BYTES_MAX ? size : HEAD_BYTES_MAX);
	if (head_size)
		return begin_request(connection, bytes, head_size) < 0 ? -1 : (ssize_t)head_size;
	if (size >= HEAD_BYTES_MAX) {
		status = head_too_long(bytes, size, &err);
		return refuse_head(connection, status, &err) < 0 ? -1 : (ssize_t)size;
	}
	if (!connection->input.size)	/* The head has begun; it must not take for ever. */
		connection_set_timeout(connection, TIMEOUT_REQUEST_S);
	return 0;
}

static int give_body(struct connection *connection, const char *bytes, size_t size)
{
	if (!connection->is_paused)
		connection_set_timeout(connection, TIMEOUT_REQUEST_S);
	return size && connection->handler->body ? connection->handler->body(connection, bytes, size) : 0;
}

static ssize_t consume_chunks(struct connection *connection, const char *bytes, size_t size)
{
	const char *piece;
	size_t piece_size;
	ssize_t used = chunks_read(&connection->chunks, bytes, size, &piece, &piece_size);
	int r;

	if (used < 0) {
		connection->must_close = true;
		r = reply_status(connection, 400, "the body is not in the chunked transfer coding");
		return r < 0 ? -1 : (ssize_t)size;
	}
	r = give_body(connection, piece, piece_size);
	if (r == 0 && connection->phase == PHASE_BODY && chunks_are_over(&connection->chunks))
		r = body_ended(connection);
	return r < 0 ? -1 : used;
}

static ssize_t consume_body(struct connection *connection, const char *bytes, size_t size)
{
	int r;

	if (connection->head.is_chunked)
		return consume_chunks(connection, bytes, size);
	if (size > connection->body_left)
		size = (size_t)connection->body_left;
	connection->body_left -= size;
	r = give_body(connection, bytes, size);
	if (r == 0 && connection->phase == PHASE_BODY && !connection->body_left)
		r = body_ended(connection);
	return r < 0 ? -1 : (ssize_t)size;
}

static ssize_t consume_rest(struct connection *connection, size_t size)
{
	if (size > connection->body_left)
		size = (size_t)connection->body_left;
	connection->body_left -= size;
	if (!connection->body_left) {
		connection->phase = PHASE_HEAD;
		connection_set_timeout(connection, TIMEOUT_IDLE_S);
	}
	return (ssize_t)size;
}

static int take_piece(struct connection *connection)
{
	const struct websocket_piece *piece = &connection->piece;

	switch (piece->opcode) {
	case WEBSOCKET_CLOSE:
		return frame_close(connection, WEBSOCKET_NORMAL);
	case WEBSOCKET_PING:
		return frame_pong(connection, piece->bytes, piece->size);
	case WEBSOCKET_PONG:
		return 0;
	default:
		return connection->handler->receive(connection, piece->bytes, piece->size);
	}
}

static ssize_t consume_frames(struct connection *connection, char *bytes, size_t size)
{
	bool has_piece;
	ssize_t used = websocket_read(&connection->websocket, bytes, size, &connection->piece, &has_piece);

	if (used < 0)
		return frame_close(connection, WEBSOCKET_PROTOCOL_ERROR) < 0 ? -1 : (ssize_t)size;
	return has_piece && take_piece(connection) < 0 ? -1 : used;
}

static ssize_t consume_some(struct connection *connection, char *bytes, size_t size)
{
	switch (connection->phase) {
	case PHASE_HEAD:	return consume_head(connection, bytes, size);
	case PHASE_BODY:	return consume_body(connection, bytes, size);
	case PHASE_SKIP:	return consume_rest(connection, size);
	case PHASE_WEBSOCKET:	return consume_frames(connection, bytes, size);
	case PHASE_TUNNEL:	return connection->handler->body(connection, bytes, size) < 0 ? -1 : (ssize_t)size;
	case PHASE_LINGER:	return (ssize_t)size;
	case PHASE_ANSWER:	break;
	}
	return 0;
}

/* What follows a WebSocket's request is for whoever answers it, which the core is still being asked. */
static bool must_wait(const struct connection *connection)
{
	return connection->phase == PHASE_WEBSOCKET && connection->pending;
}

static ssize_t consume(struct connection *connection, char *bytes, size_t size)
{
	size_t used = 0;

	while (used < size && !must_wait(connection)) {
		ssize_t n = consume_some(connection, bytes + used, size - used);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

static int consume_input(struct connection *connection)
{
	struct str *input = &connection->input;
	ssize_t used = consume(connection, input->data, input->size);

	if (used < 0)
		return -1;
	if ((size_t)used == input->size)
		str_done(input);	/* Most clients do not pipeline. */
	else
		str_remove_front(input, (size_t)used);
	return 0;
}

int connection_receive(struct connection *connection, char *bytes, size_t size)
{
	ssize_t used;

	if (connection->must_end)
		return -1;
	if (connection->input.size) {
		str_append_bytes(&connection->input, bytes, size);
		return consume_input(connection);
	}
	used = consume(connection, bytes, size);
	if (used < 0)
		return -1;
	if ((size_t)used < size)
		str_append_bytes(&connection->input, bytes + used, size - (size_t)used);
	return 0;
}

int connection_writable(struct connection *connection)
{
	int r = 0;

	if (connection->must_end)
		return -1;
	if (connection->is_finishing) {
		connection->is_finishing = false;
		r = next_request(connection);
	} else if (connection->handler && connection->handler->writable) {
		r = connection->handler->writable(connection);
	}
	if (r == 0 && connection->input.size && connection->phase != PHASE_ANSWER && !connection->is_paused)
		r = consume_input(connection);
	return r;
}
