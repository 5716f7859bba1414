#include "5-interface/cli/http_head.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"

static int not_http(struct err *err)
{
	return err_set(err, -EPROTO, "what answers is not a Strata daemon: it does not speak HTTP/1.1");
}

/* The line at 'bytes' without its end; -EAGAIN when the end is not there yet. */
static int take_line(const char *bytes, size_t size, const char **ret_line, size_t *ret_length, size_t *ret_used)
{
	const char *end = memchr(bytes, '\n', size);

	if (!end)
		return -EAGAIN;
	*ret_line = bytes;
	*ret_length = (size_t)(end - bytes);
	*ret_used = *ret_length + 1;
	if (*ret_length && bytes[*ret_length - 1] == '\r')
		(*ret_length)--;
	return 0;
}

/* "HTTP/1.1 200 OK" */
static int parse_status(const char *line, size_t length, struct http_head *head, struct err *err)
{
	if (length < 12 || memcmp(line, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)line[7]) || line[8] != ' ')
		return not_http(err);
	for (int i = 9; i < 12; i++)
		if (!isdigit((unsigned char)line[i]))
			return not_http(err);
	head->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
	if (head->status < 100 || (length > 12 && line[12] != ' '))
		return not_http(err);
	head->closes = line[7] == '0';
	return 0;
}

static int parse_length(const char *value, struct http_head *head, struct err *err)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (!isdigit((unsigned char)value[0]) || *end || errno)
		return err_set(err, -EPROTO, "the daemon's answer has Content-Length '%s'", shown(value));
	if (head->content_length >= 0 && head->content_length != number)
		return err_set(err, -EPROTO, "the daemon's answer has two lengths");
	head->content_length = number;
	return 0;
}

static bool is_header(const char *line, size_t name_length, const char *name)
{
	return strlen(name) == name_length && strncasecmp(line, name, name_length) == 0;
}

static void keep_value(char *to, size_t size, const char *value)
{
	if (strlen(value) < size)
		memcpy(to, value, strlen(value) + 1);
}

static int parse_header(const char *line, size_t length, struct http_head *head, struct err *err)
{
	const char *colon = memchr(line, ':', length);
	auto_free char *value = NULL;
	size_t name_length;

	if (!colon || colon == line || line[0] == ' ' || line[0] == '\t')
		return not_http(err);
	name_length = (size_t)(colon - line);
	for (colon++, length -= name_length + 1; length && (*colon == ' ' || *colon == '\t'); length--)
		colon++;
	while (length && (colon[length - 1] == ' ' || colon[length - 1] == '\t'))
		length--;
	value = text_copy_length(colon, length);

	if (is_header(line, name_length, "content-length"))
		return parse_length(value, head, err);
	if (is_header(line, name_length, "transfer-encoding")) {
		if (strcasecmp(value, "chunked") != 0)
			return err_set(err, -EPROTO, "the daemon's answer is encoded as '%s'", shown(value));
		head->is_chunked = true;
	} else if (is_header(line, name_length, "connection")) {
		head->closes = strcasecmp(value, "close") == 0 || (head->closes && strcasecmp(value, "keep-alive") != 0);
	} else if (is_header(line, name_length, "content-type")) {
		keep_value(head->content_type, sizeof(head->content_type), value);
	} else if (is_header(line, name_length, "sec-websocket-accept")) {
		keep_value(head->websocket_accept, sizeof(head->websocket_accept), value);
	}
	return 0;
}

int http_head_parse(const char *bytes, size_t size, struct http_head *ret_head, size_t *ret_used, struct err *err)
{
	struct http_head head = { .content_length = -1 };
	size_t used = 0;

	for (;;) {
		size_t length, step;
		const char *line;
		int result;

		if (take_line(bytes + used, size - used, &line, &length, &step) < 0)
			break;
		if (used + step > HTTP_HEAD_BYTES)
			break;
		if (used > 0 && length == 0) {
			*ret_head = head;
			*ret_used = used + step;
			return 0;
		}
		result = used == 0 ? parse_status(line, length, &head, err) : parse_header(line, length, &head, err);
		if (result < 0)
			return result;
		used += step;
	}
	if (size > HTTP_HEAD_BYTES)
		return err_set(err, -EPROTO, "the daemon's answer has a head of more than %d bytes", HTTP_HEAD_BYTES);
	/* Say at once that this is something else, rather than wait for the end of its line. */
	if (size >= 7 && memcmp(bytes, "HTTP/1.", 7) != 0)
		return not_http(err);
	return -EAGAIN;
}

/* "1a;name=value" */
static int parse_chunk_size(const char *line, size_t length, uint64_t *ret_size, struct err *err)
{
	uint64_t size = 0;
	size_t i = 0;

	for (; i < length && isxdigit((unsigned char)line[i]); i++) {
		int digit = isdigit((unsigned char)line[i]) ? line[i] - '0' : tolower((unsigned char)line[i]) - 'a' + 10;

		if (size >> 56)
			return err_set(err, -EPROTO, "the daemon's answer has a chunk that is too large");
		size = size << 4 | (unsigned)digit;
	}
	if (i == 0 || (i < length && line[i] != ';' && line[i] != ' ' && line[i] != '\t'))
		return err_set(err, -EPROTO, "the daemon's answer is broken: no chunk size where one belongs");
	*ret_size = size;
	return 0;
}

static int need_more(size_t size, struct err *err)
{
	if (size > HTTP_HEAD_BYTES)
		return err_set(err, -EPROTO, "the daemon's answer is broken: a chunk's head is too long");
	return -EAGAIN;
}

int http_chunk_parse(const char *bytes, size_t size, bool is_first, uint64_t *ret_size, size_t *ret_used,
		     struct err *err)
{
	size_t used = 0, length, step;
	uint64_t chunk_size = 0;
	const char *line;
	int result;

	if (!is_first) {
		if (take_line(bytes, size, &line, &length, &step) < 0)
			return size > 1 ? err_set(err, -EPROTO, "the daemon's answer is broken: a chunk is too long") : -EAGAIN;
		if (length)
			return err_set(err, -EPROTO, "the daemon's answer is broken: a chunk is too long");
		used += step;
	}
	if (take_line(bytes + used, size - used, &line, &length, &step) < 0)
		return need_more(size, err);
	result = parse_chunk_size(line, length, &chunk_size, err);
	if (result < 0)
		return result;
	used += step;
	while (chunk_size == 0) {		/* Trailers, to an empty line. */
		if (take_line(bytes + used, size - used, &line, &length, &step) < 0)
			return need_more(size, err);
		used += step;
		if (length == 0)
			break;
	}
	*ret_size = chunk_size;
	*ret_used = used;
	return 0;
}
