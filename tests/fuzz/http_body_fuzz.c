/*
 * What a client sends, through everything that reads it but the socket.  The first byte chooses: 'h' the head of
 * a request, 'c' a chunked body, 'w' WebSocket frames; else a decoded request: a byte for the
 * method and a line with the path, then lines with queries, an empty line, the body.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "5-interface/http/chunks.h"
#include "5-interface/http/head.h"
#include "5-interface/http/request.h"
#include "5-interface/http/websocket.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_chunks(const char *bytes, size_t size)
{
	struct chunks chunks;

	chunks_init(&chunks);
	while (size && !chunks_are_over(&chunks)) {
		const char *piece;
		size_t piece_size, step = size < 7 ? size : 7;
		ssize_t used = chunks_read(&chunks, bytes, step, &piece, &piece_size);

		if (used < 0)
			return;
		if (!used || (size_t)used > step || piece < bytes || piece + piece_size > bytes + used)
			abort();
		bytes += used;
		size -= (size_t)used;
	}
}

static void fuzz_head(char *text, size_t size)
{
	char allow[64];
	struct request request = { 0 };
	struct head head;
	struct err err;

	size = head_find(text, size);
	if (!size)
		return;
	text[size] = '\0';
	if (head_parse(text, size, &head, &err) == 0)
		request_decode(head.method, head.path, head.queries, head.query_count, &request, allow, &err);
}

static void fuzz_frames(char *bytes, size_t size)
{
	struct websocket websocket = { 0 };

	while (size) {
		struct websocket_piece piece;
		size_t step = size < 11 ? size : 11;
		bool has_piece;
		ssize_t used = websocket_read(&websocket, bytes, step, &piece, &has_piece);

		if (used < 0)
			return;
		if (!used || (size_t)used > step || (has_piece && piece.size > WEBSOCKET_CONTROL_MAX))
			abort();
		bytes += used;
		size -= (size_t)used;
	}
}

/* The line's end becomes a zero; returns the next line, or null. */
static char *cut_line(char *line)
{
	char *end = strchr(line, '\n');

	if (end)
		*end++ = '\0';
	return end;
}

static void fuzz_request(char *text, const char *end)
{
	char *queries[REQUEST_PARAMETERS_MAX], *path = text + 1, allow[64];
	enum method method = (enum method)((unsigned char)text[0] % (METHOD_COUNT + 1));
	char *line = cut_line(path);
	struct request request = { 0 };
	struct json *body = NULL;
	size_t count = 0;
	struct err err;

	while (line && *line && *line != '\n' && count < REQUEST_PARAMETERS_MAX) {
		queries[count++] = line;
		line = cut_line(line);
	}
	if (request_decode(method, path, queries, count, &request, allow, &err) < 0)
		return;
	if (line && *line == '\n')
		line++;
	if (request_body(&request, line ? line : "", line ? (size_t)(end - line) : 0, &body, &err) == 0)
		json_free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = alloc(size + 1);

	if (!size)
		return 0;
	memcpy(text, data, size);
	if (text[0] == 'c')
		fuzz_chunks(text + 1, size - 1);
	else if (text[0] == 'h')
		fuzz_head(text + 1, size - 1);
	else if (text[0] == 'w')
		fuzz_frames(text + 1, size - 1);
	else
		fuzz_request(text, text + size);
	return 0;
}
