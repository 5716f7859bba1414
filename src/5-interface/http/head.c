#include "5-interface/http/head.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/mem.h"

static const char token_chars[] =
	"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

size_t head_find(const char *bytes, size_t size)
{
	const char *end = memmem(bytes, size, "\r\n\r\n", 4);

	return end ? (size_t)(end - bytes) + 4 : 0;
}

static int url_too_long(struct err *err)
{
	err_set(err, -ENAMETOOLONG, "the URL is longer than %d bytes", LIMIT_URL_BYTES);
	return 414;
}

int head_too_long(const char *bytes, size_t size, struct err *err)
{
	if (!memchr(bytes, '\n', size < LIMIT_URL_BYTES ? size : LIMIT_URL_BYTES))
		return url_too_long(err);
	err_set(err, -E2BIG, "the headers are longer than %d bytes", HEAD_BYTES_MAX);
	return 431;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. A zero would end the text for some and not for others. */
static bool percent_decode(char *text)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		if (*in != '%') {
			*out++ = *in;
			continue;
		}
		if (hex(in[1]) < 0 || hex(in[2]) < 0 || (in[1] == '0' && in[2] == '0'))
			return false;
		*out++ = (char)(hex(in[1]) << 4 | hex(in[2]));
		in += 2;
	}
	*out = '\0';
	return true;
}

static int parse_queries(char *text, struct head *head, struct err *err)
{
	while (text) {
		char *query = strsep(&text, "&");

		if (!*query)
			continue;
		if (head->query_count == REQUEST_PARAMETERS_MAX)
			return err_set(err, -EINVAL, "there are more than %d query parameters", REQUEST_PARAMETERS_MAX);
		if (!percent_decode(query))
			return err_set(err, -EINVAL, "the query '%s' has a '%%' that is not an encoded byte", shown(query));
		head->queries[head->query_count++] = query;
	}
	return 0;
}

static int parse_target(char *target, struct head *head, struct err *err)
{
	char *query = strchr(target, '?');

	if (strlen(target) > LIMIT_URL_BYTES)
		return url_too_long(err);
	if (query)
		*query++ = '\0';
	head->path = target;
	if (target[0] != '/') {
		err_set(err, -EINVAL, "the target '%s' is not a path that begins with '/'", shown(target));
		return 400;
	}
	if (!percent_decode(target)) {
		err_set(err, -EINVAL, "the path '%s' has a '%%' that is not an encoded byte", shown(target));
		return 400;
	}
	return parse_queries(query, head, err) < 0 ? 400 : 0;
}

static enum method parse_method(const char *text, bool *ret_is_head)
{
	*ret_is_head = text_equal(text, "HEAD");
	if (*ret_is_head)
		return METHOD_GET;
	for (enum method method = 0; method < METHOD_COUNT; method++)
		if (text_equal(text, method_names[method]))
			return method;
	return METHOD_COUNT;
}

/* "GET /v1/version HTTP/1.1" */
static int parse_request_line(char *line, struct head *head, struct err *err)
{
	char *method = strsep(&line, " "), *target = strsep(&line, " ");

	if (!line || strspn(method, token_chars) != strlen(method) || !*method) {
		err_set(err, -EINVAL, "the request line is not 'METHOD /path HTTP/1.1'");
		return 400;
	}
	if (!text_equal(line, "HTTP/1.1") && !text_equal(line, "HTTP/1.0")) {
		err_set(err, -EINVAL, "the protocol '%s' is not spoken here: use HTTP/1.1", shown(line));
		return text_starts_with(line, "HTTP/") ? 505 : 400;
	}
	head->is_http10 = text_equal(line, "HTTP/1.0");
	head->method = parse_method(method, &head->is_head);
	return parse_target(target, head, err);
}

/* Whether a comma-separated list has the word. */
static bool list_has(const char *list, const char *word)
{
	size_t length = strlen(word);

	while (*list) {
		size_t item;

		list += strspn(list, ", \t");
		item = strcspn(list, ", \t");
		if (item == length && strncasecmp(list, word, length) == 0)
			return true;
		list += item;
	}
	return false;
}

static int parse_length(const char *value, struct head *head, struct err *err)
{
	if (head->content_length >= 0)
		return err_set(err, -EINVAL, "Content-Length is given twice");
	if (!*value || strlen(value) > 18 || strspn(value, "0123456789") != strlen(value))
		return err_set(err, -EINVAL, "Content-Length '%s' is not a number of bytes", shown(value));
	head->content_length = strtoll(value, NULL, 10);
	return 0;
}

static int parse_coding(const char *value, struct head *head, struct err *err)
{
	if (head->is_chunked || strcasecmp(value, "chunked") != 0)
		return err_set(err, -EINVAL, "Transfer-Encoding '%s' is unknown: use 'chunked'", shown(value));
	head->is_chunked = true;
	return 0;
}

static int parse_forwarded(const char *value, struct head *head, struct err *err)
{
	if (head->forwarded)
		return err_set(err, -EINVAL, "Strata-Forwarded is given twice");
	head->forwarded = value;
	return 0;
}

struct upgrade { bool is_websocket, is_version_13; };

static int parse_header(const char *name, const char *value, struct head *head, struct upgrade *upgrade, struct err *err)
{
	switch (name[0] | 0x20) {	/* Most headers are of no interest. */
	case 'c':
		if (strcasecmp(name, "Content-Length") == 0)
			return parse_length(value, head, err);
		if (strcasecmp(name, "Connection") == 0 && list_has(value, "close"))
			head->wants_close = true;
		return 0;
	case 't':
		return strcasecmp(name, "Transfer-Encoding") == 0 ? parse_coding(value, head, err) : 0;
	case 'e':
		if (strcasecmp(name, "Expect") == 0 && strcasecmp(value, "100-continue") == 0)
			head->expects_continue = true;
		return 0;
	case 'u':
		if (strcasecmp(name, "Upgrade") == 0)
			upgrade->is_websocket = list_has(value, "websocket");
		return 0;
	case 's':
		if (strcasecmp(name, "Sec-WebSocket-Key") == 0)
			head->websocket_key = value;
		if (strcasecmp(name, "Strata-Forwarded") == 0)
			return parse_forwarded(value, head, err);
		if (strcasecmp(name, "Sec-WebSocket-Version") == 0)
			upgrade->is_version_13 = text_equal(value, "13");
		return 0;
	default:
		return 0;
	}
}

/* Cuts "Name: value" in two. */
static int split_header(char *line, const char **ret_name, const char **ret_value, struct err *err)
{
	size_t name_length = strspn(line, token_chars);
	char *value, *end;

	if (!name_length || line[name_length] != ':')
		return err_set(err, -EINVAL, "the header line '%s' is not 'Name: value'", shown(line));
	line[name_length] = '\0';
	value = line + name_length + 1;
	value += strspn(value, " \t");
	end = value + strlen(value);
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	*ret_name = line;
	*ret_value = value;
	return 0;
}

/* Ends the line with a zero; null when it does not end in CR LF. Returns the next. */
static char *cut_line(char *line)
{
	char *end = strpbrk(line, "\r\n");

	if (!end || end[0] != '\r' || end[1] != '\n')
		return NULL;
	*end = '\0';
	return end + 2;
}

static int parse_headers(char *line, struct head *head, struct err *err)
{
	struct upgrade upgrade = { 0 };
	const char *name = NULL, *value = NULL;
	char *next;
	int r;

	for (; *line != '\r'; line = next) {
		next = cut_line(line);
		if (!next)
			return err_set(err, -EINVAL, "a header line does not end in CR LF");
		r = split_header(line, &name, &value, err);
		if (r == 0)
			r = parse_header(name, value, head, &upgrade, err);
		if (r < 0)
			return r;
	}
	if (head->is_chunked && head->content_length >= 0)
		return err_set(err, -EINVAL, "the request has both Content-Length and Transfer-Encoding");
	head->wants_websocket = upgrade.is_websocket && upgrade.is_version_13 && head->websocket_key &&
				head->method == METHOD_GET;
	return 0;
}

int head_parse(char *text, size_t size, struct head *ret_head, struct err *err)
{
	char *headers;
	int status;

	*ret_head = (struct head){ .content_length = -1 };
	if (memchr(text, '\0', size)) {
		err_set(err, -EINVAL, "the head of the request has a zero byte");
		return 400;
	}
	headers = cut_line(text);
	if (!headers) {
		err_set(err, -EINVAL, "the request line does not end in CR LF");
		return 400;
	}
	status = parse_request_line(text, ret_head, err);
	if (status)
		return status;
	return parse_headers(headers, ret_head, err) < 0 ? 400 : 0;
}
