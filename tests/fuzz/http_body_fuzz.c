/*
 * A request's target and body through routing and decoding.  The input is lines: method digit and path,
 * then queries, an empty line, the body; a first byte 'c' instead is a chunked body.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "5-interface/http/chunks.h"
#include "5-interface/http/request.h"
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
	auto_free char *text = text_copy_length((const char *)data, size);

	if (!size)
		return 0;
	if (text[0] == 'c')
		fuzz_chunks(text + 1, size - 1);
	else
		fuzz_request(text, text + size);
	return 0;
}
