/*
 * Answers. What goes out is built in server->out behind LWS_PRE free bytes (which libwebsockets
 * asks for), head and body together, so that an answer is one write.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "5-interface/http/connection.h"
#include "base/mem.h"

enum {
	CHUNK_HEAD = 10,		/* Eight hex digits, CR, LF. */
	CHUNK_TAIL = 2,
	OUT_KEPT_BYTES = 512 << 10,	/* A larger buffer is given back after use. */
};

static const struct {
	int status;
	const char *line;
} status_lines[] = {
	{ 200, "HTTP/1.1 200 OK\r\n" },
	{ 201, "HTTP/1.1 201 Created\r\n" },
	{ 202, "HTTP/1.1 202 Accepted\r\n" },
	{ 400, "HTTP/1.1 400 Bad Request\r\n" },
	{ 401, "HTTP/1.1 401 Unauthorized\r\n" },
	{ 403, "HTTP/1.1 403 Forbidden\r\n" },
	{ 404, "HTTP/1.1 404 Not Found\r\n" },
	{ 405, "HTTP/1.1 405 Method Not Allowed\r\n" },
	{ 408, "HTTP/1.1 408 Request Timeout\r\n" },
	{ 409, "HTTP/1.1 409 Conflict\r\n" },
	{ 412, "HTTP/1.1 412 Precondition Failed\r\n" },
	{ 413, "HTTP/1.1 413 Content Too Large\r\n" },
	{ 414, "HTTP/1.1 414 URI Too Long\r\n" },
	{ 422, "HTTP/1.1 422 Unprocessable Content\r\n" },
	{ 426, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" },
	{ 429, "HTTP/1.1 429 Too Many Requests\r\n" },
	{ 431, "HTTP/1.1 431 Request Header Fields Too Large\r\n" },
	{ 500, "HTTP/1.1 500 Internal Server Error\r\n" },
	{ 501, "HTTP/1.1 501 Not Implemented\r\n" },
	{ 502, "HTTP/1.1 502 Bad Gateway\r\n" },
	{ 503, "HTTP/1.1 503 Service Unavailable\r\n" },
	{ 504, "HTTP/1.1 504 Gateway Timeout\r\n" },
	{ 505, "HTTP/1.1 505 HTTP Version Not Supported\r\n" },
	{ 507, "HTTP/1.1 507 Insufficient Storage\r\n" },
};

static const char *status_line(int status)
{
	for (size_t i = 0; i < ARRAY_COUNT(status_lines); i++)
		if (status_lines[i].status == status)
			return status_lines[i].line;
	return "HTTP/1.1 500 Internal Server Error\r\n";
}

static struct str *out_begin(struct server *server, size_t size)
{
	str_clear(&server->out);
	str_reserve(&server->out, LWS_PRE + size);
	server->out.size = LWS_PRE;
	return &server->out;
}

/* From 'begin' on; LWS_PRE bytes before it may be overwritten. */
static int out_write_from(struct connection *connection, size_t begin)
{
	struct str *out = &connection->server->out;
	int r = lws_write(connection->wsi, (unsigned char *)out->data + begin, out->size - begin, LWS_WRITE_RAW);

	if (out->capacity > OUT_KEPT_BYTES)
		str_done(out);
	return r < 0 ? -1 : 0;
}

static int out_write(struct connection *connection)
{
	return out_write_from(connection, LWS_PRE);
}

/* 'allow' is for status 405, else null. */
static struct str *head_begin(struct connection *connection, int status, const char *content_type, const char *allow)
{
	struct str *out = out_begin(connection->server, 1024);

	connection->must_close |= !connection_can_go_on(connection);
	str_append(out, status_line(status));
	if (allow) {
		str_append(out, "Allow: ");
		str_append(out, allow);
		str_append(out, "\r\n");
	}
	str_append(out, "Content-Type: ");
	str_append(out, content_type);
	str_append(out, connection->must_close ? "\r\nConnection: close" : "");
	return out;
}

static struct str *reply_begin_allow(struct connection *connection, int status, const char *content_type,
				     const char *allow)
{
	/* Spaces for the digits, which reply_end() knows: leading spaces are allowed. */
	static const char room[] = "\r\nContent-Length:                    \r\n\r\n";
	struct str *out = head_begin(connection, status, content_type, allow);

	str_append_bytes(out, room, sizeof(room) - 1);
	connection->server->out_body = out->size;
	return out;
}

struct str *reply_begin(struct connection *connection, int status, const char *content_type)
{
	return reply_begin_allow(connection, status, content_type, NULL);
}

static void fill_length(char *end, size_t number)
{
	do {
		*--end = (char)('0' + number % 10);
		number /= 10;
	} while (number);
}

int reply_end(struct connection *connection)
{
	struct server *server = connection->server;

	fill_length(server->out.data + server->out_body - strlen("\r\n\r\n"), server->out.size - server->out_body);
	if (connection->request.is_head)
		server->out.size = server->out_body;
	if (out_write(connection) < 0)
		return -1;
	return connection_finish(connection);
}

int reply_json(struct connection *connection, int status, const char *json, size_t size)
{
	struct str *out = reply_begin(connection, status, "application/json");

	str_append_bytes(out, size ? json : "{}", size ? size : 2);
	return reply_end(connection);
}

void error_append(struct str *out, int status, const char *message)
{
	struct json_writer writer = { .out = out };

	json_write_object(&writer, NULL);
	json_write_object(&writer, "error");
	json_write_int(&writer, "code", status);
	json_write_string(&writer, "message", message);
	json_write_end_object(&writer);
	json_write_end_object(&writer);
}

int reply_not_allowed(struct connection *connection, const char *allow, const struct err *err)
{
	error_append(reply_begin_allow(connection, 405, "application/json", allow), 405, err->msg);
	return reply_end(connection);
}

static int reply_message(struct connection *connection, int status, const char *message)
{
	struct str *out = reply_begin(connection, status, "application/json");

	error_append(out, status, message);
	return reply_end(connection);
}

int reply_error(struct connection *connection, const struct err *err)
{
	return reply_message(connection, err_http_status(err->code), err->msg);
}

int reply_status(struct connection *connection, int status, const char *format, ...)
{
	char message[sizeof(((struct err *)NULL)->msg)];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return reply_message(connection, status, message);
}

int stream_begin(struct connection *connection, int status, const char *content_type, int64_t size)
{
	struct str *out;

	connection->sends_chunks = size < 0 && !connection->head.is_http10;
	out = head_begin(connection, status, content_type, NULL);
	if (size >= 0)
		str_printf(out, "\r\nContent-Length: %lld", (long long)size);
	else if (connection->sends_chunks)
		str_append(out, "\r\nTransfer-Encoding: chunked");
	str_append(out, "\r\n\r\n");
	connection_set_timeout(connection, TIMEOUT_WRITE_S);
	return out_write(connection);
}

char *stream_room(struct connection *connection, size_t size)
{
	return out_begin(connection->server, CHUNK_HEAD + size + CHUNK_TAIL)->data + LWS_PRE + CHUNK_HEAD;
}

int stream_send(struct connection *connection, size_t size)
{
	struct str *out = &connection->server->out;
	char *body = out->data + LWS_PRE + CHUNK_HEAD;
	char head[CHUNK_HEAD + 1];

	if (!size)
		return 0;
	connection_set_timeout(connection, TIMEOUT_WRITE_S);
	if (!connection->sends_chunks)
		return lws_write(connection->wsi, (unsigned char *)body, size, LWS_WRITE_RAW) < 0 ? -1 : 0;
	snprintf(head, sizeof(head), "%08x\r\n", (unsigned)size);
	memcpy(body - CHUNK_HEAD, head, CHUNK_HEAD);
	memcpy(body + size, "\r\n", CHUNK_TAIL);
	out->size = LWS_PRE + CHUNK_HEAD + size + CHUNK_TAIL;
	return out_write(connection);
}

int stream_end(struct connection *connection)
{
	if (connection->sends_chunks) {
		str_append(out_begin(connection->server, 8), "0\r\n\r\n");
		if (out_write(connection) < 0)
			return -1;
	}
	return connection_finish(connection);
}

int reply_continue(struct connection *connection)
{
	str_append(out_begin(connection->server, 64), "HTTP/1.1 100 Continue\r\n\r\n");
	return out_write(connection);
}

int reply_upgrade(struct connection *connection)
{
	struct str *out = out_begin(connection->server, 256);
	char accept[WEBSOCKET_ACCEPT_SIZE];

	websocket_accept(connection->head.websocket_key, accept);
	str_append(out, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		   "Sec-WebSocket-Accept: ");
	str_append(out, accept);
	str_append(out, "\r\n\r\n");
	return out_write(connection);
}

/* The payload lies behind the largest head. */
static char *payload_room(struct connection *connection, size_t size)
{
	struct str *out = out_begin(connection->server, WEBSOCKET_HEAD_MAX + size);

	out->size = LWS_PRE + WEBSOCKET_HEAD_MAX;
	return out->data + out->size;
}

static int payload_send(struct connection *connection, enum websocket_opcode opcode, size_t size)
{
	struct str *out = &connection->server->out;
	size_t payload = LWS_PRE + WEBSOCKET_HEAD_MAX;
	size_t head_size = websocket_write_head(out->data + payload, opcode, size);

	out->size = payload + size;
	return out_write_from(connection, payload - head_size);
}

char *frame_room(struct connection *connection, int channel, size_t size)
{
	char *payload = payload_room(connection, size + 1);

	if (channel < 0)
		return payload;
	*payload = (char)channel;
	return payload + 1;
}

int frame_send(struct connection *connection, int channel, size_t size, bool is_text)
{
	connection_set_timeout(connection, TIMEOUT_WRITE_S);
	return payload_send(connection, is_text ? WEBSOCKET_TEXT : WEBSOCKET_BINARY, size + (channel < 0 ? 0 : 1));
}

int frame_pong(struct connection *connection, const char *bytes, size_t size)
{
	memcpy(payload_room(connection, size), bytes, size);
	return payload_send(connection, WEBSOCKET_PONG, size);
}

int frame_close(struct connection *connection, int code)
{
	char *payload = payload_room(connection, 2);

	payload[0] = (char)(code >> 8);
	payload[1] = (char)code;
	connection->must_close = true;
	if (payload_send(connection, WEBSOCKET_CLOSE, 2) < 0)
		return -1;
	return connection_finish(connection);
}

int frame_error(struct connection *connection, const struct err *err)
{
	auto_str struct str text = { 0 };

	error_append(&text, err_http_status(err->code), err->msg);
	memcpy(frame_room(connection, -1, text.size), text.data, text.size);
	if (frame_send(connection, -1, text.size, true) < 0)
		return -1;
	return frame_close(connection, WEBSOCKET_NORMAL);
}
