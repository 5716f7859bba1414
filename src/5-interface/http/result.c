#include "5-interface/http/result.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "5-interface/http/connection.h"
#include "base/json.h"
#include "base/mem.h"

enum { RESULT_BYTES_MAX = 64 << 10 };

static void close_result(struct result *result)
{
	source_remove(take(result->source));
	if (result->fd >= 0)
		close(take_fd(result->fd));
}

static void on_source(void *data, uint32_t events)
{
	struct result *result = data;
	char text[4096];
	ssize_t size = read(result->fd, text, sizeof(text));

	(void)events;
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size > 0)
		str_append_bytes(&result->text, text, (size_t)size);
	if (size > 0 && result->text.size < RESULT_BYTES_MAX && result->text.data[result->text.size - 1] != '\n')
		return;
	if (result->text.size && result->text.data[result->text.size - 1] == '\n')
		result->text.data[--result->text.size] = '\0';
	result->is_over = true;
	close_result(result);
	connection_want_write(result->connection);
}

void result_open(struct result *result, struct connection *connection, int fd)
{
	*result = (struct result){ .connection = connection, .fd = fd };
	if (fd < 0) {
		str_append(&result->text, "{}");
		result->is_over = true;
		connection_want_write(connection);
		return;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	result->source = source_new(connection->server->poller, fd, on_source, result);
	source_want(result->source, EPOLLIN);
}

int result_check(const struct result *result, struct err *err)
{
	auto_json struct json *json = NULL;
	const char *message;
	int64_t code;

	if (json_parse(str_text(&result->text), result->text.size, &json, err) < 0)
		return err_set(err, -EIO, "the work ended without saying how");
	message = json_string(json_get(json, "error"), NULL);
	if (!message)
		return 0;
	code = json_int(json_get(json, "code"), -EIO);
	return err_set(err, code < 0 && code > -4096 ? (int)code : -EIO, "%s", message);
}

void result_done(struct result *result)
{
	close_result(result);
	str_done(&result->text);
}
