#include "5-interface/cli/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

static ssize_t unix_read(struct stream *stream, void *buffer, size_t size, struct err *err)
{
	ssize_t count = recv(stream->fd, buffer, size, 0);

	if (count >= 0)
		return count;
	stream->wants = POLLIN;
	if (errno == EAGAIN || errno == EINTR)
		return -EAGAIN;
	return err_set(err, -errno, "the daemon ended the connection: %m");
}

static ssize_t unix_write(struct stream *stream, const void *bytes, size_t size, struct err *err)
{
	ssize_t count = send(stream->fd, bytes, size, MSG_NOSIGNAL);

	if (count >= 0)
		return count;
	stream->wants = POLLOUT;
	if (errno == EAGAIN || errno == EINTR)
		return -EAGAIN;
	/* Not EPIPE: that is kept for our own output. */
	return err_set(err, errno == EPIPE ? -ECONNRESET : -errno, "the daemon ended the connection: %m");
}

static void unix_close(struct stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	free(stream);
}

static const struct stream_ops unix_ops = { .read = unix_read, .write = unix_write, .close = unix_close };

static int explain_connect(const char *path, int error, struct err *err)
{
	if (error == EACCES || error == EPERM)
		return err_set(err, -error, "no permission to use %s: call with sudo, or join the group 'strata' "
			       "(%m)", shown(path));
	return err_set(err, -error, "no daemon answers on %s: start it with 'systemctl start stratad' or name "
		       "another with --socket (%m)", shown(path));
}

static int open_unix(const char *path, struct stream **ret_stream, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_close int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG, "socket path '%s' is longer than %zu bytes: use a shorter one, or "
			       "a relative one", shown(path), sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);

	/* A full backlog makes connect() wait, which is right; afterwards nothing may wait. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "make a socket: %m");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return explain_connect(path, errno, err);
	if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return err_set(err, -errno, "make the socket non-blocking: %m");

	struct stream *stream = alloc(sizeof(*stream));
	*stream = (struct stream){ .ops = &unix_ops, .fd = take_fd(fd) };
	*ret_stream = stream;
	return 0;
}

int stream_open(const struct stream_target *target, struct stream **ret_stream, struct err *err)
{
	if (target->host)
		return stream_open_tls(target, ret_stream, err);
	return open_unix(target->socket, ret_stream, err);
}

void stream_close(struct stream *stream)
{
	if (stream)
		stream->ops->close(stream);
}

ssize_t stream_read(struct stream *stream, void *buffer, size_t size, struct err *err)
{
	return stream->ops->read(stream, buffer, size, err);
}

ssize_t stream_write(struct stream *stream, const void *bytes, size_t size, struct err *err)
{
	return stream->ops->write(stream, bytes, size, err);
}
