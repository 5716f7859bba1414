#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

enum { PIECE_BYTES = 256 << 10 };

static const char head_end[] = "\r\n\r\n", length_name[] = "\r\ncontent-length:";

int wire_open_socket(struct wire *wire, const char *path, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	*wire = (struct wire){ .fd = -1 };
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG, "'%s' is too long for a socket", path);
	memcpy(address.sun_path, path, strlen(path));
	wire->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (wire->fd < 0 || connect(wire->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, -errno, "connect to '%s': %m", path);
	return 0;
}

int wire_open_port(struct wire *wire, uint16_t port, struct err *err)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	*wire = (struct wire){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	if (wire->fd < 0 || connect(wire->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, -errno, "connect to port %d: %m", port);
	setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	return 0;
}

void wire_close(struct wire *wire)
{
	if (wire->fd >= 0)
		close(wire->fd);
	str_done(&wire->in);
}

int wire_send(struct wire *wire, const struct str *request, struct err *err)
{
	size_t sent = 0;

	str_clear(&wire->in);
	while (sent < request->size) {
		ssize_t size = send(wire->fd, request->data + sent, request->size - sent, MSG_NOSIGNAL);

		if (size < 0)
			return err_set(err, -errno, "send: %m");
		sent += (size_t)size;
	}
	return 0;
}

int wire_receive(struct wire *wire, struct err *err)
{
	ssize_t size;

	str_reserve(&wire->in, PIECE_BYTES);
	size = recv(wire->fd, wire->in.data + wire->in.size, PIECE_BYTES, 0);
	if (size <= 0)
		return err_set(err, size < 0 ? -errno : -ECONNRESET, "receive: %m");
	wire->in.size += (size_t)size;
	wire->in.data[wire->in.size] = '\0';
	return 0;
}

static bool is_complete(const struct str *in)
{
	const char *end = strstr(str_text(in), head_end), *length = strcasestr(str_text(in), length_name);

	return end && length && length < end &&
	       (size_t)(in->data + in->size - (end + strlen(head_end))) >= strtoull(length + strlen(length_name), NULL, 10);
}

int wire_answer(struct wire *wire, const char **ret_body, struct err *err)
{
	int r = 0;

	while (r == 0 && !is_complete(&wire->in))
		r = wire_receive(wire, err);
	if (r < 0)
		return r;
	*ret_body = strstr(wire->in.data, head_end) + strlen(head_end);
	if (atoi(wire->in.data + strlen("HTTP/1.1 ")) / 100 != 2)
		return err_set(err, -EIO, "answer: %.12s %s", wire->in.data, shown(*ret_body));
	return 0;
}
