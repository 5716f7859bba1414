#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

enum { READ_BYTES = 256 << 10, EVENTS = 64 };

struct connection {
	int fd;
	struct str out, in;
	size_t sent;
	size_t answer_size;		/* Head and body; 0 until the head has come. */
	double started_ms;
	bool is_busy;
};

struct run {
	const struct load *load;
	struct load_result *result;
	struct connection *connections;
	int epoll;
	uint64_t started, ended;
};

static const char head_end[] = "\r\n\r\n";

void load_get(struct str *out, const char *path)
{
	str_printf(out, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
}

void load_post(struct str *out, const char *path, const char *body, size_t size)
{
	str_printf(out, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		   path, size);
	str_append_bytes(out, body, size);
}

static int send_more(struct connection *connection, struct err *err)
{
	ssize_t size = send(connection->fd, connection->out.data + connection->sent, connection->out.size - connection->sent,
			    MSG_NOSIGNAL);

	if (size < 0)
		return err_set(err, -errno, "send: %m");
	connection->sent += (size_t)size;
	return 0;
}

/* Sockets are blocking, and requests are small: a request goes out in one call. */
static int begin_request(struct run *run, struct connection *connection, struct err *err)
{
	int r = 0;

	connection->is_busy = run->started < run->load->requests;
	if (!connection->is_busy)
		return 0;
	str_clear(&connection->out);
	str_clear(&connection->in);
	connection->sent = connection->answer_size = 0;
	run->load->write(run->load->data, run->started++, &connection->out);
	connection->started_ms = now_ms();
	while (r == 0 && connection->sent < connection->out.size)
		r = send_more(connection, err);
	return r;
}

/* Leaves 'answer_size' at 0 while the head is incomplete. */
static int read_head(const struct run *run, struct connection *connection, struct err *err)
{
	const char *end = strstr(str_text(&connection->in), head_end);
	const char *length;
	char *body;

	if (!end)
		return 0;
	body = connection->in.data + (end - connection->in.data) + strlen(head_end);
	if (atoi(connection->in.data + strlen("HTTP/1.1 ")) != run->load->status)
		return err_set(err, -EIO, "answer: %.12s %s", connection->in.data, shown(body));
	length = strcasestr(connection->in.data, "\r\ncontent-length:");
	if (!length || length > end)
		return err_set(err, -EIO, "an answer without Content-Length");
	connection->answer_size = (size_t)(body - connection->in.data) +
				  strtoull(length + strlen("\r\ncontent-length:"), NULL, 10);
	return 0;
}

static int read_some(struct connection *connection, struct err *err)
{
	ssize_t size;

	str_reserve(&connection->in, READ_BYTES);
	size = recv(connection->fd, connection->in.data + connection->in.size, READ_BYTES, 0);
	if (size <= 0)
		return err_set(err, size < 0 ? -errno : -ECONNRESET, "receive: %m");
	connection->in.size += (size_t)size;
	connection->in.data[connection->in.size] = '\0';
	return 0;
}

static int on_readable(struct run *run, struct connection *connection, struct err *err)
{
	int r = read_some(connection, err);

	if (r == 0 && !connection->answer_size)
		r = read_head(run, connection, err);
	if (r < 0 || !connection->answer_size || connection->in.size < connection->answer_size)
		return r;
	samples_add(&run->result->latencies_ms, now_ms() - connection->started_ms);
	run->ended++;
	return begin_request(run, connection, err);
}

static int connect_socket(const struct load *load, struct connection *connection, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(load->socket) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG, "'%s' is too long for a socket", load->socket);
	memcpy(address.sun_path, load->socket, strlen(load->socket));
	connection->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, -errno, "connect to '%s': %m", load->socket);
	return 0;
}

static int connect_port(const struct load *load, struct connection *connection, struct err *err)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(load->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, -errno, "connect to port %d: %m", load->port);
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	return 0;
}

static int connect_one(struct run *run, struct connection *connection, struct err *err)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };
	int r = run->load->socket ? connect_socket(run->load, connection, err) : connect_port(run->load, connection, err);

	if (r < 0)
		return r;
	if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
		return err_set(err, -errno, "epoll: %m");
	return 0;
}

static int begin(struct run *run, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < run->load->connections && r == 0; i++)
		r = connect_one(run, &run->connections[i], err);
	for (unsigned i = 0; i < run->load->connections && r == 0; i++)
		r = begin_request(run, &run->connections[i], err);
	return r;
}

static int serve(struct run *run, struct err *err)
{
	struct epoll_event events[EVENTS];
	int r = 0;

	while (r == 0 && run->ended < run->load->requests) {
		int count = epoll_wait(run->epoll, events, EVENTS, -1);

		if (count < 0)
			return err_set(err, -errno, "epoll: %m");
		for (int i = 0; i < count && r == 0; i++)
			r = on_readable(run, events[i].data.ptr, err);
	}
	return r;
}

static void run_done(struct run *run)
{
	for (unsigned i = 0; i < run->load->connections; i++) {
		str_done(&run->connections[i].out);
		str_done(&run->connections[i].in);
		if (run->connections[i].fd >= 0)
			close(run->connections[i].fd);
	}
	free(run->connections);
	close(run->epoll);
}

int load_run(const struct load *load, struct load_result *ret_result, struct err *err)
{
	struct load_result result = { 0 };
	struct run run = { .load = load, .result = &result, .epoll = epoll_create1(EPOLL_CLOEXEC) };
	double start = now_ms();
	int r;

	run.connections = alloc(load->connections * sizeof(*run.connections));
	for (unsigned i = 0; i < load->connections; i++)
		run.connections[i].fd = -1;
	r = begin(&run, err);
	if (r == 0)
		r = serve(&run, err);
	result.seconds = (now_ms() - start) / 1e3;
	run_done(&run);
	if (r < 0) {
		load_result_done(&result);
		return r;
	}
	*ret_result = result;
	return 0;
}

double load_rate(const struct load *load, const struct load_result *result)
{
	return (double)load->requests / result->seconds;
}

void load_result_done(struct load_result *result)
{
	samples_done(&result->latencies_ms);
}
