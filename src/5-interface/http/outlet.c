#include "5-interface/http/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "5-interface/http/connection.h"
#include "base/mem.h"

void outlet_init(struct outlet *outlet, struct connection *connection)
{
	*outlet = (struct outlet){ .connection = connection, .fd = -1 };
}

static void close_outlet(struct outlet *outlet)
{
	source_remove(take(outlet->source));
	if (outlet->fd >= 0)
		close(take_fd(outlet->fd));
}

static void drop_all(struct outlet *outlet)
{
	outlet->is_broken = true;
	str_done(&outlet->pending);
	close_outlet(outlet);
}

static void write_some(struct outlet *outlet)
{
	while (outlet->pending.size) {
		ssize_t size = write(outlet->fd, outlet->pending.data, outlet->pending.size);

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0 && errno == EAGAIN)
			return;
		if (size < 0)
			return drop_all(outlet);
		str_remove_front(&outlet->pending, (size_t)size);
	}
}

static void flush(struct outlet *outlet)
{
	struct connection *connection = outlet->connection;
	bool reads = connection->has_body_coming || connection->handler->is_websocket;

	if (outlet->fd >= 0)
		write_some(outlet);
	if (outlet->pending.size) {
		connection_pause(connection);
		if (outlet->source)
			source_want(outlet->source, EPOLLOUT);
		return;
	}
	if (outlet->source)
		source_want(outlet->source, 0);
	if (outlet->is_ending)
		close_outlet(outlet);
	else if (reads)
		connection_resume(connection);
}

static void on_source(void *data, uint32_t events)
{
	(void)events;
	flush(data);
}

void outlet_open(struct outlet *outlet, int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	outlet->fd = fd;
	outlet->source = source_new(outlet->connection->server->poller, fd, on_source, outlet);
	flush(outlet);
}

void outlet_write(struct outlet *outlet, const char *bytes, size_t size)
{
	if (outlet->is_broken || outlet->is_ending)
		return;
	str_append_bytes(&outlet->pending, bytes, size);
	flush(outlet);
}

void outlet_end(struct outlet *outlet)
{
	outlet->is_ending = true;
	if (outlet->fd >= 0)
		flush(outlet);
}

void outlet_break(struct outlet *outlet)
{
	drop_all(outlet);
	flush(outlet);
}

void outlet_done(struct outlet *outlet)
{
	close_outlet(outlet);
	str_done(&outlet->pending);
}
