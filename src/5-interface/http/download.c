/*
 * An fd of the core as the body of an answer.  The head is sent with the first bytes, so that work
 * which fails before it has produced anything still gets the fitting status; a failure after
 * that cuts the connection, which is how HTTP tells a client that a body is not whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "4-service/api.h"
#include "5-interface/http/connection.h"
#include "5-interface/http/helpers.h"
#include "5-interface/http/result.h"
#include "base/mem.h"

enum { PIECE_BYTES = 64 << 10 };

struct download {
	int fd;
	struct source *source;
	struct result result;
	int64_t size, sent;		/* -1: unknown. */
	bool has_begun, has_ended;
	bool has_failed;
	struct err err;
};

static int on_start(struct connection *connection)
{
	struct download *download = alloc(sizeof(*download));
	struct call *call = call_of_request(connection);
	struct err err;
	int r;

	download->fd = download->result.fd = -1;
	download->size = -1;
	connection->state = download;
	r = request_body(&connection->request, NULL, 0, &call->body, &err);
	if (r < 0) {
		call_free(call);
		return reply_error(connection, &err);
	}
	r = call_send(connection, call, &err);
	return r < 0 ? reply_error(connection, &err) : 0;
}

static void on_source(void *data, uint32_t events)
{
	struct connection *connection = data;
	struct download *download = connection->state;

	(void)events;
	source_want(download->source, 0);
	connection_want_write(connection);
}

/* A regular file is read by a helper: its disk may be slow. */
static int open_output(struct connection *connection, int fd, struct err *err)
{
	struct download *download = connection->state;
	struct stat st;
	int r;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		download->size = st.st_size;
		r = helpers_read_file(connection->server->helpers, fd, &fd, err);
		if (r < 0)
			return r;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	download->fd = fd;
	download->source = source_new(connection->server->poller, fd, on_source, connection);
	source_want(download->source, EPOLLIN);
	return 0;
}

static void on_replied(struct connection *connection, struct call_reply *reply)
{
	struct download *download = connection->state;

	download->err = reply->err;
	download->has_failed = reply->err.code < 0;
	if (!download->has_failed && reply->fds.output < 0)
		download->has_failed = err_set(&download->err, -EIO, "there is nothing to read") < 0;
	if (!download->has_failed)
		download->has_failed = open_output(connection, take_fd(reply->fds.output), &download->err) < 0;
	if (download->has_failed)
		connection_want_write(connection);
	else
		result_open(&download->result, connection, take_fd(reply->fds.result));
}

static int begin(struct connection *connection)
{
	struct download *download = connection->state;

	if (download->has_begun)
		return 0;
	download->has_begun = true;
	return stream_begin(connection, 200, "application/octet-stream", download->size);
}

/* The fd has ended; the result decides. */
static int finish(struct connection *connection)
{
	struct download *download = connection->state;
	struct err err;

	if (!download->result.is_over)
		return 0;
	if (result_check(&download->result, &err) < 0)
		return download->has_begun ? -1 : reply_error(connection, &err);
	if (begin(connection) < 0 || (download->size >= 0 && download->sent != download->size))
		return -1;
	return stream_end(connection);
}

static int send_piece(struct connection *connection, const char *bytes, size_t size)
{
	struct download *download = connection->state;

	/* The file has grown since it was opened: its length is promised already. */
	if (download->size >= 0 && download->size - download->sent < (int64_t)size)
		size = (size_t)(download->size - download->sent);
	if (begin(connection) < 0)
		return -1;
	memcpy(stream_room(connection, size), bytes, size);
	download->sent += (int64_t)size;
	connection_want_write(connection);
	return stream_send(connection, size);
}

static int on_writable(struct connection *connection)
{
	struct download *download = connection->state;
	char bytes[PIECE_BYTES];
	ssize_t size;

	if (download->has_failed)
		return reply_error(connection, &download->err);
	if (download->has_ended)
		return finish(connection);
	if (download->fd < 0)
		return 0;
	size = read(download->fd, bytes, sizeof(bytes));
	if (size > 0)
		return send_piece(connection, bytes, (size_t)size);
	if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
		connection_set_timeout(connection, 0);	/* It is not the client that we wait for. */
		source_want(download->source, EPOLLIN);
		return 0;
	}
	download->has_ended = true;
	return finish(connection);
}

static void on_done(struct connection *connection)
{
	struct download *download = connection->state;

	source_remove(download->source);
	if (download->fd >= 0)
		close(download->fd);
	result_done(&download->result);
	free(download);
}

const struct handler handler_download = {
	.start = on_start, .writable = on_writable, .replied = on_replied, .done = on_done,
};
