#include "5-interface/http/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "5-interface/http/calls.h"
#include "base/mem.h"

enum { TIMEOUT_REASON = PENDING_TIMEOUT_USER_REASON_BASE };

/* libwebsockets sets a timeout after each piece of a body; when we pause it is we who are slow. */
static void forgive(struct connection *connection)
{
	if (connection->is_paused)
		connection_set_timeout(connection, 0);
}

void connection_pause(struct connection *connection)
{
	if (connection->is_paused)
		return;
	lws_rx_flow_control(connection->wsi, 0);
	connection->is_paused = true;
	if (connection->has_body_coming)
		connection_set_timer(connection, 0, forgive);
}

void connection_resume(struct connection *connection)
{
	if (!connection->is_paused)
		return;
	lws_rx_flow_control(connection->wsi, 1);
	connection->is_paused = false;
	if (connection->has_body_coming)
		connection_set_timeout(connection, TIMEOUT_REQUEST_S);
}

/*
 * Of a paused HTTP connection libwebsockets does not see that it can be written to.  So it is not
 * paused while it writes; connection_writable() pauses it again.
 */
void connection_want_write(struct connection *connection)
{
	if (connection->handler && !connection->handler->is_websocket)
		connection_resume(connection);
	connection->wants_write = true;
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

void connection_set_timeout(struct connection *connection, int seconds)
{
	lws_set_timeout(connection->wsi, seconds ? (enum pending_timeout)TIMEOUT_REASON : NO_PENDING_TIMEOUT, seconds);
}

void connection_end_handler(struct connection *connection)
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

/* libwebsockets forgets about a transaction's body that is still to come only when it is told to go on. */
static int next_request(struct connection *connection)
{
	bool has_unread_body = connection->has_body_coming;

	connection->has_body_coming = false;
	if (connection->must_close && !has_unread_body)
		return -1;
	connection_resume(connection);
	return lws_http_transaction_completed(connection->wsi) ? -1 : 0;
}

int connection_finish(struct connection *connection)
{
	connection_end_handler(connection);
	if (!lws_partial_buffered(connection->wsi))
		return next_request(connection);
	connection->is_finishing = true;
	connection_resume(connection);
	connection_set_timeout(connection, TIMEOUT_WRITE_S);
	lws_callback_on_writable(connection->wsi);
	return 0;
}

/* Nothing more is read before this request has its answer. */
static void pause_until_answer(struct connection *connection)
{
	if (connection->handler && !connection->has_body_coming && !connection->wants_write &&
	    !lws_partial_buffered(connection->wsi))
		connection_pause(connection);
}

int connection_writable(struct connection *connection)
{
	int r = 0;

	if (connection->is_finishing) {
		connection->is_finishing = false;
		return next_request(connection);
	}
	connection->wants_write = false;
	if (connection->handler && connection->handler->writable)
		r = connection->handler->writable(connection);
	if (r == 0)
		pause_until_answer(connection);
	return r;
}

/*
 * Where there is no Content-Length there is no body (RFC 9112, section 6.3), but libwebsockets
 * expects an endless one after these methods.
 */
static bool has_endless_body(const struct connection *connection)
{
	enum method method = connection->request.method;

	return method == METHOD_POST || method == METHOD_PUT || method == METHOD_PATCH;
}

/* What the head of the request says about its body and about the connection. */
static int read_framing(struct connection *connection, struct err *err)
{
	struct lws *wsi = connection->wsi;
	bool has_length = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
	char text[32] = "";

	connection->content_length = -1;
	connection->is_chunked = connection->has_body_coming = false;
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING)) {
		lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_TRANSFER_ENCODING);
		connection->is_chunked = connection->must_close = connection->has_body_coming = true;
		chunks_init(&connection->chunks);
		if (has_length)
			return err_set(err, -EINVAL, "the request has both Content-Length and Transfer-Encoding");
		if (strcasecmp(text, "chunked") != 0)
			return err_set(err, -EINVAL, "Transfer-Encoding '%s' is unknown: use 'chunked'", shown(text));
		return 0;
	}
	if (!has_length) {
		connection->must_close |= has_endless_body(connection);
		return 0;
	}
	if (lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0 || strlen(text) > 18 ||
	    strspn(text, "0123456789") != strlen(text)) {
		connection->must_close = true;
		return err_set(err, -EINVAL, "Content-Length '%s' is not a number of bytes", shown(text));
	}
	connection->content_length = strtoll(text, NULL, 10);
	connection->has_body_coming = connection->content_length > 0;
	return 0;
}

static bool header_is(struct lws *wsi, enum lws_token_indexes token, const char *value)
{
	char text[32];

	return lws_hdr_total_length(wsi, token) && lws_hdr_copy(wsi, text, sizeof(text), token) > 0 &&
	       strcasecmp(text, value) == 0;
}

static enum method method_of(int lws_method, bool *ret_is_head)
{
	*ret_is_head = lws_method == LWSHUMETH_HEAD;
	switch (lws_method) {
	case LWSHUMETH_GET:
	case LWSHUMETH_HEAD:	return METHOD_GET;
	case LWSHUMETH_POST:	return METHOD_POST;
	case LWSHUMETH_PUT:	return METHOD_PUT;
	case LWSHUMETH_PATCH:	return METHOD_PATCH;
	case LWSHUMETH_DELETE:	return METHOD_DELETE;
	default:		return METHOD_COUNT;
	}
}

/* Copies path and queries into connection->target, one after the other with zeros between. */
static int read_target(struct connection *connection, char *queries[], size_t *ret_count, struct err *err)
{
	struct str *target = &connection->target;
	struct lws *wsi = connection->wsi;
	char text[LIMIT_URL_BYTES + 1];
	size_t at[REQUEST_PARAMETERS_MAX], count = 0;
	int length;

	for (int i = 0; lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS); i++) {
		length = lws_hdr_copy_fragment(wsi, text, sizeof(text), WSI_TOKEN_HTTP_URI_ARGS, i);
		if (length < 0)
			break;
		if (count == REQUEST_PARAMETERS_MAX)
			return err_set(err, -EINVAL, "more than %d query parameters", REQUEST_PARAMETERS_MAX);
		at[count++] = target->size;
		str_append_bytes(target, text, (size_t)length + 1);
	}
	for (size_t i = 0; i < count; i++)
		queries[i] = target->data + at[i];
	*ret_count = count;
	return 0;
}

static int too_long(struct connection *connection)
{
	connection->must_close = true;
	return reply_status(connection, 414, "the URL is longer than %d bytes", LIMIT_URL_BYTES);
}

static int refuse(struct connection *connection, const char *allow, const struct err *err)
{
	if (err->code == -EPERM)
		return reply_not_allowed(connection, allow, err);
	return reply_error(connection, err);
}

/* Fills connection->request. 1: go on; else a reply has been given. */
static int decode(struct connection *connection, const char *path, size_t length)
{
	struct request *request = &connection->request;
	char *queries[REQUEST_PARAMETERS_MAX];
	char allow[64] = "", *uri;
	size_t count = 0;
	struct err err;
	int ignored, r;

	*request = (struct request){ 0 };
	request->method = method_of(lws_http_get_uri_and_method(connection->wsi, &uri, &ignored), &request->is_head);
	r = read_framing(connection, &err);
	if (length + (size_t)lws_hdr_total_length(connection->wsi, WSI_TOKEN_HTTP_URI_ARGS) >= LIMIT_URL_BYTES)
		return too_long(connection);
	str_clear(&connection->target);
	str_append_bytes(&connection->target, path, strlen(path) + 1);
	/* libwebsockets cuts paths at '&' and ';'. */
	if (strlen(path) != length)
		return reply_status(connection, 400, "the path has a character that must be percent-encoded");
	if (r == 0 && !connection->peer.is_allowed)
		r = peer_refusal(&connection->peer, connection->server->params.group_name, &err);
	if (r == 0)
		r = read_target(connection, queries, &count, &err);
	if (r == 0)
		r = request_decode(request->method, connection->target.data, queries, count, request, allow, &err);
	if (r < 0)
		return refuse(connection, allow, &err);
	if (request->route->unix_only && connection->server->params.is_tls)
		return reply_status(connection, 403, "%s is for the unix socket only", request->route->pattern);
	if (request->is_head && !request->route->handler->answers_head)
		return reply_not_allowed(connection, "GET", &(struct err){ .msg = "HEAD is not answered here: use GET" });
	return 1;
}

static void begin(struct connection *connection)
{
	struct lws *wsi = connection->wsi;
	char version[16] = "";

	lws_hdr_copy(wsi, version, sizeof(version), WSI_TOKEN_HTTP);
	connection->is_http10 = strcmp(version, "HTTP/1.1") != 0;
	connection->must_close = connection->is_http10 || header_is(wsi, WSI_TOKEN_CONNECTION, "close");
	connection->expects_continue = header_is(wsi, WSI_TOKEN_HTTP_EXPECT, "100-continue");
}

static int body_ended(struct connection *connection)
{
	int r = 0;

	connection->has_body_coming = false;
	if (connection->handler->body_end)
		r = connection->handler->body_end(connection);
	if (r < 0 || !connection->handler)
		return r;
	connection_set_timeout(connection, 0);
	pause_until_answer(connection);
	return 0;
}

int connection_request(struct connection *connection, const char *path, size_t length)
{
	int r;

	begin(connection);
	r = decode(connection, path, length);
	if (r <= 0)
		return r;
	if (connection->request.route->handler->is_websocket)
		return reply_status(connection, 426, "%s is a WebSocket", connection->request.route->pattern);
	connection->handler = connection->request.route->handler;
	r = connection->handler->start(connection);
	if (r < 0 || !connection->handler)
		return r;
	if (!connection->has_body_coming)
		return body_ended(connection);
	if (connection->expects_continue)
		return lws_write(connection->wsi, (unsigned char *)(char[]){ "HTTP/1.1 100 Continue\r\n\r\n" }, 25,
				 LWS_WRITE_HTTP) < 0 ? -1 : 0;
	return 0;
}

int connection_upgrade(struct connection *connection, const char *protocol)
{
	char *path;
	int length, r;

	if (lws_http_get_uri_and_method(connection->wsi, &path, &length) < 0)
		return -1;
	begin(connection);
	connection->must_close = true;
	r = decode(connection, path, (size_t)length);
	if (r <= 0)
		return -1;
	if (strcasecmp(protocol, "websocket") != 0 || !connection->request.route->handler->is_websocket) {
		reply_status(connection, 400, "%s cannot be upgraded to '%s'", connection->request.route->pattern,
			     shown(protocol));
		return -1;
	}
	connection->handler = connection->request.route->handler;
	r = connection->handler->start(connection);
	return r < 0 || !connection->handler ? -1 : 0;
}

static int bad_chunks(struct connection *connection)
{
	return reply_status(connection, 400, "the body is not in the chunked transfer coding");
}

static int chunked_body(struct connection *connection, const char *bytes, size_t size)
{
	while (size && connection->handler) {
		const char *piece;
		size_t piece_size;
		ssize_t used = chunks_read(&connection->chunks, bytes, size, &piece, &piece_size);
		int r = 0;

		if (used < 0)
			return bad_chunks(connection);
		bytes += used;
		size -= (size_t)used;
		if (piece_size && connection->handler->body)
			r = connection->handler->body(connection, piece, piece_size);
		if (r < 0)
			return r;
		if (connection->handler && chunks_are_over(&connection->chunks))
			return body_ended(connection);
	}
	return 0;
}

int connection_body(struct connection *connection, const char *bytes, size_t size)
{
	if (!connection->handler || !connection->has_body_coming)
		return 0;
	if (connection->is_chunked)
		return chunked_body(connection, bytes, size);
	return connection->handler->body ? connection->handler->body(connection, bytes, size) : 0;
}

int connection_body_end(struct connection *connection)
{
	if (!connection->handler || !connection->has_body_coming)
		return 0;
	if (connection->is_chunked)	/* libwebsockets gives up after 100 MiB when it was told no length. */
		return reply_status(connection, 413, "a chunked body may have at most 100 MiB: send its Content-Length");
	return body_ended(connection);
}
