#include "4-service/peer/answer.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"

static int no_http(struct err *err)
{
	return err_set(err, -EPROTO, "its answer is no HTTP/1.1");
}

/* "HTTP/1.1 200 OK" */
static int read_status(const char *line, int *ret_status)
{
	const char *digits = line + strlen("HTTP/1.1 ");

	if (strncmp(line, "HTTP/1.1 ", strlen("HTTP/1.1 ")) != 0 || strspn(digits, "0123456789") != 3 || (digits[3] && digits[3] != ' '))
		return -EPROTO;
	*ret_status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + digits[2] - '0';
	return *ret_status >= 100 ? 0 : -EPROTO;
}

static int read_length(const char *text, int64_t *ret_length)
{
	size_t digits;

	text += strspn(text, " \t");
	digits = strspn(text, "0123456789");
	if (!digits || digits > 18 || text[digits + strspn(text + digits, " \t")])
		return -EPROTO;
	*ret_length = strtoll(text, NULL, 10);
	return 0;
}

static int read_lines(char *text, struct answer_head *head)
{
	char *line = strsep(&text, "\n");
	int r = 0;

	line[strcspn(line, "\r")] = '\0';
	r = read_status(line, &head->status);
	while (r == 0 && text) {
		line = strsep(&text, "\n");
		line[strcspn(line, "\r")] = '\0';
		if (strncasecmp(line, "Content-Length:", strlen("Content-Length:")) == 0)
			r = head->content_length >= 0 ? -EPROTO : read_length(line + strlen("Content-Length:"), &head->content_length);
	}
	return r;
}

int answer_read_head(const char *bytes, size_t size, struct answer_head *ret_head, struct err *err)
{
	size_t part = size < ANSWER_HEAD_BYTES_MAX ? size : ANSWER_HEAD_BYTES_MAX;
	const char *end = memmem(bytes, part, "\r\n\r\n", 4);
	struct answer_head head = { .content_length = -1 };
	auto_free char *text = NULL;

	if (!end)
		return size >= ANSWER_HEAD_BYTES_MAX ? no_http(err) : 0;
	text = text_copy_length(bytes, (size_t)(end - bytes));
	if (strlen(text) != (size_t)(end - bytes) || read_lines(text, &head) < 0)
		return no_http(err);
	head.size = (size_t)(end - bytes) + 4;
	*ret_head = head;
	return 1;
}

int answer_error(int status, const char *body, size_t size, struct err *err)
{
	auto_json struct json *json = NULL;
	const char *message = "";
	struct err ignored;

	if (size && json_parse(body, size, &json, &ignored) == 0)
		message = json_string(json_path(json, "error.message"), "");
	return err_set(err, err_from_http_status(status), "%s", message[0] ? message : "it answers without saying why");
}
