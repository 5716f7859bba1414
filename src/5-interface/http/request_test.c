/*
 * Heads, targets, parameters, bodies, chunks and frames, without a server.
 */
#include "5-interface/http/request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#include "5-interface/http/chunks.h"
#include "5-interface/http/handlers.h"
#include "5-interface/http/head.h"
#include "5-interface/http/websocket.h"
#include "base/mem.h"

struct decoded {
	char path[256], query[256], allow[64];
	struct request request;
	struct err err;
	int result;
};

static struct decoded *decode(struct decoded *d, enum method method, const char *path, const char *query)
{
	char *queries[] = { d->query };

	strcpy(d->path, path);
	strcpy(d->query, query ? query : "");
	d->err = (struct err){ 0 };
	d->result = request_decode(method, d->path, queries, query ? 1 : 0, &d->request, d->allow, &d->err);
	return d;
}

static void test_every_route_is_found(void **state)
{
	struct decoded d;

	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		struct route_match match;
		char path[256];

		strcpy(path, routes[i].pattern);	/* "{name}" is a name like any other. */
		assert_int_equal(route_find(routes[i].method, path, &match, d.allow, &d.err), 0);
		assert_ptr_equal(match.route, &routes[i]);
		assert_true(!strstr(routes[i].pattern, "{name}") == !match.name);
		assert_true(!strstr(routes[i].pattern, "{child}") == !match.child);
		assert_true(routes[i].status >= 101 && routes[i].status <= 202);
		assert_non_null(routes[i].doc);
	}
}

static void test_names(void **state)
{
	struct decoded d;

	(void)state;
	decode(&d, METHOD_POST, "/v1/instances/web/snapshots/s1/restore", NULL);
	assert_int_equal(d.result, 0);
	assert_string_equal(d.request.name, "web");
	assert_string_equal(d.request.child, "s1");
	assert_int_equal(d.request.route->op, CALL_RESTORE);
	decode(&d, METHOD_GET, "/v1/images/docker.io/library/busybox:1.36", NULL);
	assert_int_equal(d.result, 0);
	assert_string_equal(d.request.name, "docker.io/library/busybox:1.36");
	assert_ptr_equal(d.request.route->handler, &handler_object);
	decode(&d, METHOD_GET, "/v1/images/docker.io/library/busybox/export", NULL);
	assert_string_equal(d.request.name, "docker.io/library/busybox");
	assert_int_equal(d.request.route->op, CALL_IMAGE_EXPORT);
	decode(&d, METHOD_GET, "/v1/images/", NULL);
	assert_ptr_equal(d.request.route->handler, &handler_list);
}

static void test_unknown_paths_name_the_nearest(void **state)
{
	struct decoded d;

	(void)state;
	assert_int_equal(decode(&d, METHOD_GET, "/v1/volume/data", NULL)->result, -ENOENT);
	assert_non_null(strstr(d.err.msg, "'/v1/volume/data': the nearest is GET /v1/volumes/{name}"));
	assert_int_equal(decode(&d, METHOD_POST, "/v1/instances/web/strat", NULL)->result, -ENOENT);
	assert_non_null(strstr(d.err.msg, "/v1/instances/{name}/start"));
	assert_int_equal(decode(&d, METHOD_GET, "x", NULL)->result, -ENOENT);
	assert_int_equal(decode(&d, METHOD_GET, "", NULL)->result, -ENOENT);
	assert_int_equal(decode(&d, METHOD_GET, "/v1//", NULL)->result, -ENOENT);
	assert_int_equal(decode(&d, METHOD_GET, "/1/2/3/4/5/6/7/8/9/10", NULL)->result, -ENOENT);
}

static void test_methods(void **state)
{
	struct decoded d;

	(void)state;
	assert_int_equal(decode(&d, METHOD_PUT, "/v1/instances/web", NULL)->result, -EPERM);
	assert_string_equal(d.allow, "GET, DELETE, PATCH");
	assert_int_equal(decode(&d, METHOD_COUNT, "/v1/version", NULL)->result, -EPERM);
	assert_string_equal(d.allow, "GET");
}

static void test_parameters(void **state)
{
	struct decoded d;

	(void)state;
	decode(&d, METHOD_GET, "/v1/instances/web", "timeout=1m30s");
	assert_int_equal(request_number(&d.request, "timeout", 0), 90000);
	assert_int_equal(request_number(&d.request, "after", 77), 77);
	decode(&d, METHOD_DELETE, "/v1/instances/web", "force");
	assert_int_equal(request_number(&d.request, "force", 0), 1);
	decode(&d, METHOD_GET, "/v1/instances/web/files", "path=/a=b&c");
	assert_string_equal(request_text(&d.request, "path"), "/a=b&c");
	assert_int_equal(decode(&d, METHOD_GET, "/v1/events", "after=9223372036854775808")->result, -EINVAL);
	assert_int_equal(decode(&d, METHOD_GET, "/v1/events", "after=-1")->result, -EINVAL);
	assert_int_equal(decode(&d, METHOD_GET, "/v1/events", "after=")->result, -EINVAL);
	assert_int_equal(decode(&d, METHOD_GET, "/v1/instances/web/files", "path=")->result, -EINVAL);
	assert_int_equal(decode(&d, METHOD_PUT, "/v1/instances/web/files", "mode=8")->result, -EINVAL);
	assert_int_equal(decode(&d, METHOD_GET, "/v1/events", "\xff=1")->result, -EINVAL);
}

static int body_of(struct decoded *d, const char *text, struct json **ret_body)
{
	*ret_body = NULL;
	return request_body(&d->request, text, strlen(text), ret_body, &d->err);
}

static void test_bodies(void **state)
{
	struct json *body;
	struct decoded d;

	(void)state;
	decode(&d, METHOD_DELETE, "/v1/instances/web", "force=true");
	assert_int_equal(body_of(&d, "", &body), 0);
	assert_true(json_bool(json_get(body, "force"), false));
	json_free(body);
	decode(&d, METHOD_DELETE, "/v1/instances/web", NULL);
	assert_int_equal(body_of(&d, "", &body), 0);
	assert_null(body);
	assert_int_equal(body_of(&d, "{\"force\":1}", &body), -EINVAL);

	decode(&d, METHOD_POST, "/v1/instances/web/stop", NULL);
	assert_int_equal(body_of(&d, "{\"timeout\":\"30s\"}", &body), 0);
	assert_string_equal(json_string(json_get(body, "timeout"), ""), "30s");
	json_free(body);
	assert_int_equal(body_of(&d, "{\"timeout\":\"soon\"}", &body), -EINVAL);
	assert_non_null(strstr(d.err.msg, "timeout"));

	decode(&d, METHOD_GET, "/v1/doctor", NULL);
	assert_int_equal(body_of(&d, "{}", &body), -EINVAL);
	decode(&d, METHOD_PATCH, "/v1/volumes/data", NULL);
	assert_int_equal(body_of(&d, "", &body), -EINVAL);
	assert_int_equal(body_of(&d, "{\"a\":1}", &body), 0);
	json_free(body);
}

/* Decodes in pieces of 'step' bytes; -1 when it is refused. */
static ssize_t unchunk(const char *text, size_t step, struct str *out)
{
	struct chunks chunks;
	size_t size = strlen(text), at = 0;

	chunks_init(&chunks);
	while (at < size && !chunks_are_over(&chunks)) {
		const char *piece;
		size_t piece_size;
		ssize_t used = chunks_read(&chunks, text + at, size - at < step ? size - at : step, &piece, &piece_size);

		if (used <= 0)
			return -1;
		at += (size_t)used;
		str_append_bytes(out, piece, piece_size);
	}
	return chunks_are_over(&chunks) ? (ssize_t)at : -2;
}

static void test_chunks(void **state)
{
	static const char text[] = "4\r\nWiki\r\nA;name=\"v\"\r\npedia in\r\n\r\n0\r\nTrailer: x\r\n\r\nnext";

	(void)state;
	for (size_t step = 1; step < sizeof(text); step++) {
		auto_str struct str out = { 0 };

		assert_int_equal(unchunk(text, step, &out), strlen(text) - 4);
		assert_string_equal(out.data, "Wikipedia in\r\n");
	}
}

static void test_bad_chunks(void **state)
{
	static const char *const bad[] = {
		"\r\n", "g\r\n", "-1\r\n", "4\nWiki\r\n0\r\n\r\n", "4\r\nWikix\r\n0\r\n\r\n", "1111111111111111\r\n", "0\r\n\rx",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		auto_str struct str out = { 0 };

		if (unchunk(bad[i], 100, &out) != -1)
			fail_msg("'%s' is taken", bad[i]);
	}
}

static int head_of(char buffer[256], const char *text, struct head *ret_head)
{
	struct err err;

	strcpy(buffer, text);
	assert_int_equal(head_find(text, strlen(text)), strlen(text));
	return head_parse(buffer, strlen(text), ret_head, &err);
}

static void test_heads(void **state)
{
	struct head head;
	char text[256];

	(void)state;
	assert_int_equal(head_of(text, "PUT /a%20b/+?x=1&&y=%26%3D HTTP/1.1\r\ncontent-length: \t42 \r\nX: ,\r\n\r\n", &head), 0);
	assert_int_equal(head.method, METHOD_PUT);
	assert_string_equal(head.path, "/a b/+");
	assert_int_equal(head.query_count, 2);
	assert_string_equal(head.queries[1], "y=&=");
	assert_int_equal(head.content_length, 42);
	assert_false(head.wants_close || head.is_chunked || head.is_head || head.is_http10);

	assert_int_equal(head_of(text, "HEAD / HTTP/1.0\r\nConnection: x, Close\r\nTransfer-Encoding: Chunked\r\n\r\n", &head), 0);
	assert_true(head.wants_close && head.is_chunked && head.is_head && head.is_http10);
	assert_int_equal(head_of(text, "GET / HTTP/1.1\r\nContent-Length:\r\n\r\n", &head), 400);
	assert_int_equal(head_of(text, "GET / HTTP/1.1\r\nContent-Length: 1234567890123456789\r\n\r\n", &head), 400);
	assert_int_equal(head_of(text, "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", &head), 400);
	assert_int_equal(head_of(text, "GET  / HTTP/1.1\r\n\r\n", &head), 400);
	assert_int_equal(head_of(text, " / HTTP/1.1\r\n\r\n", &head), 400);
	assert_int_equal(head_find("GET / HTTP/1.1\r\n\r", 17), 0);
}

/* A masked frame. */
static void add_frame(struct str *out, unsigned char first, const char *payload, size_t size)
{
	static const char mask[] = "\x12\x34\x56\x78";

	str_append_char(out, (char)first);
	str_append_char(out, (char)(0x80 | (size < 126 ? size : 126)));
	if (size >= 126) {
		str_append_char(out, (char)(size >> 8));
		str_append_char(out, (char)size);
	}
	str_append_bytes(out, mask, 4);
	for (size_t i = 0; i < size; i++)
		str_append_char(out, (char)(payload[i] ^ mask[i % 4]));
}

/* What comes out, read in pieces of 'step' bytes: B or T begins a message, '.' ends it, P is a ping. */
static bool read_frames(const struct str *frames, size_t step, struct str *out)
{
	struct websocket websocket = { 0 };
	auto_str struct str bytes = { 0 };

	str_append_bytes(&bytes, frames->data, frames->size);
	for (size_t at = 0; at < bytes.size; ) {
		size_t size = bytes.size - at < step ? bytes.size - at : step;
		struct websocket_piece piece;
		bool has_piece;
		ssize_t used = websocket_read(&websocket, bytes.data + at, size, &piece, &has_piece);

		if (used <= 0)
			return false;
		at += (size_t)used;
		if (!has_piece)
			continue;
		if (piece.opcode == WEBSOCKET_PING)
			str_append(out, "P");
		else if (piece.is_first)
			str_append(out, piece.opcode == WEBSOCKET_BINARY ? "B" : "T");
		str_append_bytes(out, piece.bytes, piece.size);
		if (piece.is_last)
			str_append(out, ".");
	}
	return true;
}

static void test_frames(void **state)
{
	auto_str struct str frames = { 0 };
	char longer[300];

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[299] = '\0';
	add_frame(&frames, 0x81, "hello", 5);
	add_frame(&frames, 0x02, "on", 2);
	add_frame(&frames, 0x89, "ping", 4);	/* Between the parts of a message. */
	add_frame(&frames, 0x00, "", 0);
	add_frame(&frames, 0x80, "e", 1);
	add_frame(&frames, 0x82, "", 0);
	add_frame(&frames, 0x82, longer, 299);
	for (size_t step = 1; step < frames.size; step++) {
		auto_str struct str out = { 0 };

		assert_true(read_frames(&frames, step, &out));
		if (step > 300) {
			auto_free char *expected = text_format("Thello.BonPpinge.B.B%s.", longer);
			assert_string_equal(out.data, expected);
		}
	}
}

static void test_bad_frames(void **state)
{
	static const unsigned char first[] = { 0x80, 0x83, 0x8b, 0xc1, 0x09, 0x08 };

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(first); i++) {
		auto_str struct str frame = { 0 };
		auto_str struct str out = { 0 };

		add_frame(&frame, first[i], "x", 1);
		assert_false(read_frames(&frame, 100, &out));
	}
	auto_str struct str out = { 0 };
	struct str unmasked = { .data = (char[]){ "\x81\x01xyzabc" }, .size = 6 };
	assert_false(read_frames(&unmasked, 100, &out));
}

static void test_frame_heads(void **state)
{
	char bytes[WEBSOCKET_HEAD_MAX];
	char *end = bytes + sizeof(bytes);

	(void)state;
	assert_int_equal(websocket_write_head(end, WEBSOCKET_TEXT, 125), 2);
	assert_memory_equal(end - 2, "\x81\x7d", 2);
	assert_int_equal(websocket_write_head(end, WEBSOCKET_BINARY, 126), 4);
	assert_memory_equal(end - 4, "\x82\x7e\0\x7e", 4);
	assert_int_equal(websocket_write_head(end, WEBSOCKET_BINARY, 65536), 10);
	assert_memory_equal(end - 10, "\x82\x7f\0\0\0\0\0\1\0\0", 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_route_is_found), cmocka_unit_test(test_names),
		cmocka_unit_test(test_unknown_paths_name_the_nearest), cmocka_unit_test(test_methods),
		cmocka_unit_test(test_parameters), cmocka_unit_test(test_bodies), cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_bad_chunks), cmocka_unit_test(test_heads), cmocka_unit_test(test_frames),
		cmocka_unit_test(test_bad_frames), cmocka_unit_test(test_frame_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
