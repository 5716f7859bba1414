/*
 * http_stream_fixture.h - beside http_fixture.h: pipes and files that a core answers with, and a client of WebSockets.
 *
 * Header only: nothing of it belongs into the library.
 */
#ifndef HTTP_STREAM_FIXTURE_H
#define HTTP_STREAM_FIXTURE_H

#include "5-interface/http/http_fixture.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static const struct call_fds no_fds = { -1, -1, -1, -1, -1 };

UNUSED_OK static void reply_with_fds(struct call *call, const struct call_fds *fds, const char *path)
{
	struct call_reply reply = { .http_status = 200, .fds = *fds, .path = text_copy(path) };

	call->reply(call, &reply);
	call_reply_done(&reply);
}

UNUSED_OK static void write_text(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

UNUSED_OK static char *make_file(const struct fixture *f, const char *name, const char *text)
{
	char *path = text_format("%s/%s", f->folder, name);
	struct err err;

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, &err), 0);
	return path;
}

UNUSED_OK static void append_file(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);

	write_text(fd, text);
}

/* Until the server has closed its end of the pipe we write to. */
UNUSED_OK static void wait_broken(int fd)
{
	struct pollfd p = { .fd = fd, .events = 0 };

	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	assert_true(p.revents & POLLERR);
}

UNUSED_OK static int websocket(const struct fixture *f, const char *path)
{
	auto_answer struct answer answer = { 0 };
	char request[512];
	int fd = client_connect(f);

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path);
	client_send(fd, request);
	read_head(fd, &answer);
	assert_int_equal(answer.status, 101);
	assert_non_null(strcasestr(answer.head.data, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	return fd;
}

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

UNUSED_OK static void send_frame(int fd, int opcode, const void *bytes, size_t size)
{
	unsigned char head[14] = { (unsigned char)(0x80 | opcode) };
	size_t length = 2;

	if (size < 126) {
		head[1] = (unsigned char)(0x80 | size);
	} else {
		head[1] = 0x80 | 126;
		head[2] = (unsigned char)(size >> 8);
		head[3] = (unsigned char)size;
		length = 4;
	}
	client_send_bytes(fd, head, length + 4);	/* The mask is zero. */
	client_send_bytes(fd, bytes, size);
}

UNUSED_OK static int read_frame(int fd, struct str *payload)
{
	auto_str struct str head = { 0 };
	size_t size;

	str_clear(payload);
	if (!read_exact(fd, &head, 2))
		return -1;
	size = (unsigned char)head.data[1] & 0x7f;
	if (size == 126) {
		assert_true(read_exact(fd, &head, 2));
		size = (size_t)(unsigned char)head.data[2] << 8 | (unsigned char)head.data[3];
	}
	assert_true(read_exact(fd, payload, size));
	return head.data[0] & 0x0f;
}

UNUSED_OK static void expect_frame(int fd, int opcode, const char *payload, size_t size)
{
	auto_str struct str got = { 0 };

	assert_int_equal(read_frame(fd, &got), opcode);
	assert_int_equal(got.size, size);
	assert_memory_equal(got.data, payload, size);
}

UNUSED_OK static void expect_text_part(int fd, const char *part)
{
	auto_str struct str got = { 0 };

	assert_int_equal(read_frame(fd, &got), TEXT);
	assert_non_null(strstr(got.data, part));
}

#endif
