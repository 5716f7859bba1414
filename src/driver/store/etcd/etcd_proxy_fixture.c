#include "driver/store/etcd/etcd_proxy_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

struct connection {
	struct etcd_proxy *proxy;
	pthread_t thread;
	int client, server;
};

struct etcd_proxy {
	char *url;
	struct sockaddr_in target;
	int listener;
	pthread_t thread;
	VEC(struct connection *) connections;	/* Also those that have ended: joined at the end. */

	pthread_mutex_t lock;
	unsigned to_drop, to_hold;
	struct str held;
	bool is_cut;
};

static int dial(const struct etcd_proxy *proxy)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&proxy->target, sizeof(proxy->target)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* A request as a whole: its head says how long the body is. */
static bool read_request(int fd, struct str *request)
{
	char bytes[4096];

	for (;;) {
		const char *end = strstr(str_text(request), "\r\n\r\n"), *length = strstr(str_text(request), "Content-Length: ");
		ssize_t size;

		if (end && (!length || request->size >= (size_t)(end + 4 - request->data) + strtoul(length + 16, NULL, 10)))
			return true;
		size = read(fd, bytes, sizeof(bytes));
		if (size <= 0)
			return false;
		str_append_bytes(request, bytes, (size_t)size);
	}
}

static bool write_all(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t written = send(fd, bytes, size, MSG_NOSIGNAL);

		if (written <= 0)
			return false;
		bytes += written;
		size -= (size_t)written;
	}
	return true;
}

enum fate { FATE_PASS, FATE_DROP, FATE_HOLD };

static enum fate choose_fate(struct etcd_proxy *proxy, const struct str *request)
{
	enum fate fate = FATE_PASS;

	if (!text_starts_with(request->data, "POST /v3/kv/txn "))
		return fate;
	pthread_mutex_lock(&proxy->lock);
	if (proxy->to_drop) {
		proxy->to_drop--;
		fate = FATE_DROP;
	} else if (proxy->to_hold) {
		proxy->to_hold--;
		str_clear(&proxy->held);
		str_append_bytes(&proxy->held, request->data, request->size);
		fate = FATE_HOLD;
	}
	pthread_mutex_unlock(&proxy->lock);
	return fate;
}

static bool pass_request(struct connection *connection)
{
	auto_str struct str request = { 0 };
	char byte;

	if (!read_request(connection->client, &request))
		return false;
	switch (choose_fate(connection->proxy, &request)) {
	case FATE_PASS:
		return write_all(connection->server, request.data, request.size);
	case FATE_DROP:
		if (write_all(connection->server, request.data, request.size))
			recv(connection->server, &byte, 1, 0);
		return false;
	case FATE_HOLD:
		/* Silence until the client has enough of it. */
		recv(connection->client, &byte, 1, 0);
		return false;
	}
	return false;
}

static bool pass_answer(struct connection *connection)
{
	char bytes[16384];
	ssize_t size = read(connection->server, bytes, sizeof(bytes));

	return size > 0 && write_all(connection->client, bytes, (size_t)size);
}

static void *run_connection(void *data)
{
	struct connection *connection = data;
	bool is_open = true;

	while (is_open) {
		struct pollfd fds[2] = { { .fd = connection->client, .events = POLLIN }, { .fd = connection->server, .events = POLLIN } };

		poll(fds, 2, -1);
		if (fds[1].revents)
			is_open = pass_answer(connection);
		if (is_open && fds[0].revents)
			is_open = pass_request(connection);
	}
	shutdown(connection->client, SHUT_RDWR);
	shutdown(connection->server, SHUT_RDWR);
	return NULL;
}

static void *accept_all(void *data)
{
	struct etcd_proxy *proxy = data;
	int client;

	while ((client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct connection *connection = alloc(sizeof(*connection));

		pthread_mutex_lock(&proxy->lock);
		*connection = (struct connection){ .proxy = proxy, .client = client, .server = proxy->is_cut ? -1 : dial(proxy) };
		if (connection->server < 0 || pthread_create(&connection->thread, NULL, run_connection, connection) != 0) {
			close(client);
			if (connection->server >= 0)
				close(connection->server);
			free(connection);
		} else {
			*vec_push(&proxy->connections) = connection;
		}
		pthread_mutex_unlock(&proxy->lock);
	}
	return NULL;
}

struct etcd_proxy *etcd_proxy_start(const char *target_url)
{
	struct etcd_proxy *proxy = alloc(sizeof(*proxy));
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	pthread_mutex_init(&proxy->lock, NULL);
	proxy->target = address;
	proxy->target.sin_port = htons((uint16_t)atoi(strrchr(target_url, ':') + 1));
	proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(bind(proxy->listener, (struct sockaddr *)&address, size) == 0 && listen(proxy->listener, 16) == 0);
	assert_int_equal(getsockname(proxy->listener, (struct sockaddr *)&address, &size), 0);
	proxy->url = text_format("http://127.0.0.1:%d", ntohs(address.sin_port));
	assert_int_equal(pthread_create(&proxy->thread, NULL, accept_all, proxy), 0);
	return proxy;
}

static void shut_connections(struct etcd_proxy *proxy)
{
	for (size_t i = 0; i < proxy->connections.count; i++) {
		shutdown(proxy->connections.items[i]->client, SHUT_RDWR);
		shutdown(proxy->connections.items[i]->server, SHUT_RDWR);
	}
}

void etcd_proxy_stop(struct etcd_proxy *proxy)
{
	shutdown(proxy->listener, SHUT_RDWR);
	pthread_join(proxy->thread, NULL);
	close(proxy->listener);
	shut_connections(proxy);
	for (size_t i = 0; i < proxy->connections.count; i++) {
		struct connection *connection = proxy->connections.items[i];

		pthread_join(connection->thread, NULL);
		close(connection->client);
		close(connection->server);
		free(connection);
	}
	vec_done(&proxy->connections);
	str_done(&proxy->held);
	pthread_mutex_destroy(&proxy->lock);
	free(proxy->url);
	free(proxy);
}

const char *etcd_proxy_url(const struct etcd_proxy *proxy)
{
	return proxy->url;
}

void etcd_proxy_drop_answers(struct etcd_proxy *proxy, unsigned count)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->to_drop = count;
	pthread_mutex_unlock(&proxy->lock);
}

void etcd_proxy_hold(struct etcd_proxy *proxy, unsigned count)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->to_hold = count;
	pthread_mutex_unlock(&proxy->lock);
}

unsigned etcd_proxy_left(struct etcd_proxy *proxy)
{
	unsigned left;

	pthread_mutex_lock(&proxy->lock);
	left = proxy->to_drop + proxy->to_hold;
	pthread_mutex_unlock(&proxy->lock);
	return left;
}

void etcd_proxy_release(struct etcd_proxy *proxy)
{
	auto_close int fd = dial(proxy);
	char bytes[4096];

	pthread_mutex_lock(&proxy->lock);
	assert_true(fd >= 0 && proxy->held.size && write_all(fd, proxy->held.data, proxy->held.size));
	pthread_mutex_unlock(&proxy->lock);
	assert_true(recv(fd, bytes, sizeof(bytes), 0) > 0);
}

void etcd_proxy_cut(struct etcd_proxy *proxy, bool is_cut)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->is_cut = is_cut;
	if (is_cut)
		shut_connections(proxy);
	pthread_mutex_unlock(&proxy->lock);
}
