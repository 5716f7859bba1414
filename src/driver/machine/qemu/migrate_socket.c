/*
 * The source's connections are made here, so that a destination that does not answer costs us some seconds and the
 * machine nothing. The kernel breaks one whose other side acknowledges nothing any more, also when this daemon is dead by then: a
 * guest's write waits for its copy no longer than that.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "driver/machine/qemu/migrate.h"

enum { KEEPALIVE_IDLE_S = 5, KEEPALIVE_INTERVAL_S = 2, KEEPALIVE_COUNT = 3 };

static int resolve(const char *address, uint16_t port, struct addrinfo **ret_found, struct err *err)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	if (!address || getaddrinfo(address, service, &hints, ret_found) != 0)
		return err_set(err, -EINVAL, "address '%s' is not an IP address", shown(address ? address : ""));
	return 0;
}

static void set_options(int fd)
{
	const struct { int level, option, value; } options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, MIGRATE_TCP_TIMEOUT_MS },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
	};

	for (size_t i = 0; i < ARRAY_COUNT(options); i++)
		setsockopt(fd, options[i].level, options[i].option, &options[i].value, sizeof(options[i].value));
}

static int finish_connect(int fd, struct err *err)
{
	struct pollfd waiting = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 0;

	if (poll(&waiting, 1, MIGRATE_CONNECT_MS) == 0)
		return err_set(err, -ETIMEDOUT, "no answer");
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	return error ? err_set(err, -error, "%s", strerror(error)) : 0;
}

static int connect_to(const struct addrinfo *found, struct err *err)
{
	auto_close int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = 0;

	if (fd < 0)
		return err_set(err, -errno, "socket: %m");
	if (connect(fd, found->ai_addr, found->ai_addrlen) < 0)
		r = errno == EINPROGRESS ? finish_connect(fd, err) : err_set(err, -errno, "%m");
	if (r < 0)
		return r;
	set_options(fd);
	return take_fd(fd);
}

int migrate_connect(const char *address, uint16_t port, struct err *err)
{
	struct addrinfo *found;
	int fd, r = resolve(address, port, &found, err);

	if (r < 0)
		return r;
	fd = connect_to(found, err);
	freeaddrinfo(found);
	return fd < 0 ? err_prefix(err, "connect to the destination at %s port %u", shown(address), port) : fd;
}

static int bind_to(const char *address, uint16_t port, struct err *err)
{
	struct addrinfo *found;
	auto_close int fd = -1;
	int on = 1, r = resolve(address, port, &found, err);

	if (r < 0)
		return r;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0)
		r = err_set(err, -errno, "listen at %s port %u: %m", shown(address), port);
	freeaddrinfo(found);
	return r < 0 ? r : take_fd(fd);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	char service[8] = "0";

	if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
		getnameinfo((struct sockaddr *)&address, size, NULL, 0, service, sizeof(service), NI_NUMERICSERV);
	return (uint16_t)atoi(service);
}

int migrate_bind(const char *address, uint16_t first, uint16_t last, uint16_t *ret_port, struct err *err)
{
	int fd = bind_to(address, first, err);

	for (unsigned port = first + 1u; fd == -EADDRINUSE && port <= last; port++)
		fd = bind_to(address, (uint16_t)port, err);
	if (fd >= 0)
		*ret_port = port_of(fd);
	return fd;
}

int migrate_hand_socket(struct qmp *qmp, int fd, const char *name, struct err *err)
{
	auto_free char *arguments = text_format("{\"fdname\":\"%s\"}", name);

	qmp->deadline = deadline_in(QMP_TIMEOUT_MS);
	return qmp_call_fd(qmp, "getfd", arguments, fd, NULL, err);
}
