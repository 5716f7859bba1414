#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"
#include "wire.h"

enum { EVENTS = 64 };

struct connection {
	struct wire wire;
	struct str out;
	size_t answer_size;		/* Head and body; 0 until the head has come. */
	bool is_chunked;		/* ... instead: until its last chunk. */
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

static const char head_end[] = "\r\n\r\n", last_chunk[] = "\r\n0\r\n\r\n";

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

/* Sockets are blocking, and requests are small: a request goes out in one call. */
static int begin_request(struct run *run, struct connection *connection, struct err *err)
{
	connection->is_busy = run->started < run->load->requests;
	if (!connection->is_busy)
		return 0;
	str_clear(&connection->out);
	connection->answer_size = 0;
	connection->is_chunked = false;
	run->load->write(run->load->data, run->started++, &connection->out);
	connection->started_ms = now_ms();
	return wire_send(&connection->wire, &connection->out, err);
}

/* Leaves 'answer_size' at 0 while the head is incomplete. */
static int read_head(const struct run *run, struct connection *connection, struct err *err)
{
	const char *end = strstr(str_text(&connection->wire.in), head_end);
	const char *length;
	char *body;

	if (!end)
		return 0;
	body = connection->wire.in.data + (end - connection->wire.in.data) + strlen(head_end);
	if (atoi(connection->wire.in.data + strlen("HTTP/1.1 ")) != run->load->status)
		return err_set(err, -EIO, "answer: %.12s %s", connection->wire.in.data, shown(body));
	length = strcasestr(connection->wire.in.data, "\r\ncontent-length:");
	connection->is_chunked = !length || length > end;
	if (connection->is_chunked)
		return 0;
	connection->answer_size = (size_t)(body - connection->wire.in.data) +
				  strtoull(length + strlen("\r\ncontent-length:"), NULL, 10);
	return 0;
}

/* Nothing comes after the last chunk: there is one request under way. */
static bool is_complete(const struct connection *connection)
{
	const struct str *in = &connection->wire.in;
	size_t size = strlen(last_chunk);

	if (connection->is_chunked)
		return in->size >= size && memcmp(in->data + in->size - size, last_chunk, size) == 0;
	return connection->answer_size && in->size >= connection->answer_size;
}

static int on_readable(struct run *run, struct connection *connection, struct err *err)
{
	int r = wire_receive(&connection->wire, err);

	if (r == 0 && !connection->answer_size && !connection->is_chunked)
		r = read_head(run, connection, err);
	if (r < 0 || !is_complete(connection))
		return r;
	samples_add(&run->result->latencies_ms, now_ms() - connection->started_ms);
	run->ended++;
	return begin_request(run, connection, err);
}

static int connect_one(struct run *run, struct connection *connection, struct err *err)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };
	int r = run->load->socket ? wire_open_socket(&connection->wire, run->load->socket, err) :
				    wire_open_port(&connection->wire, run->load->port, err);

	if (r < 0)
		return r;
	if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, connection->wire.fd, &event) < 0)
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
		wire_close(&run->connections[i].wire);
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
		run.connections[i].wire.fd = -1;
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
