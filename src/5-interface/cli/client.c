#include "5-interface/cli/client.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <strings.h>

#include "5-interface/cli/http_head.h"
#include "base/clock.h"
#include "base/mem.h"

enum { BLOCK_BYTES = 64 << 10 };

enum body_form { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_TO_END };

struct client {
	struct stream_target target;	/* Its texts are borrowed. */
	struct stream *stream;		/* Null until connected. */
	struct client_watch watch;
	struct str in;			/* Read and not yet given out. */
	bool has_ended;			/* The daemon closed its side. */
	bool may_keep;			/* The connection serves another request after this. */
	int patience_ms;
	enum body_form form;
	uint64_t remaining;		/* BODY_LENGTH: of the body; BODY_CHUNKED: of the chunk. */
	bool is_first_chunk;
};

struct client *client_new(const struct stream_target *target)
{
	struct client *client = alloc(sizeof(*client));

	client->target = *target;
	client->watch.interrupt_fd = -1;
	return client;
}

static void disconnect(struct client *client)
{
	stream_close(take(client->stream));
	str_clear(&client->in);
	client->has_ended = false;
	client->form = BODY_NONE;
	client->remaining = 0;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	disconnect(client);
	str_done(&client->in);
	free(client);
}

void client_watch(struct client *client, const struct client_watch *watch)
{
	client->watch = watch ? *watch : (struct client_watch){ .interrupt_fd = -1 };
}

/* Waits. */

/* Time to sleep until the next tick or the end of patience; 0 when patience has ended. */
static int next_wait(const struct client *client, int64_t started)
{
	int64_t left = client->patience_ms < 0 ? INT32_MAX : started + client->patience_ms - clock_monotonic_ms();

	if (left < 0)
		left = 0;
	if (client->watch.tick_ms && left > client->watch.tick_ms)
		return client->watch.tick_ms;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

/* Returns what poll(2) saw of 'events'. */
static int wait_for(struct client *client, short events, struct err *err)
{
	struct pollfd fds[2] = {
		{ .fd = client->stream->fd, .events = events },
		{ .fd = client->watch.interrupt_fd, .events = POLLIN },
	};
	int64_t started = clock_monotonic_ms();

	for (;;) {
		int timeout = next_wait(client, started);
		int count = poll(fds, ARRAY_COUNT(fds), timeout);

		if (count < 0 && errno != EINTR)
			return err_set(err, -errno, "wait for the daemon: %m");
		if (count > 0 && fds[1].revents)
			return err_set(err, -EINTR, "interrupted");
		if (count > 0)
			return fds[0].revents;
		if (count == 0 && timeout == 0)
			return err_set(err, -ETIMEDOUT, "the daemon has not answered for %d s: see 'journalctl -u stratad'",
				       client->patience_ms / 1000);
		if (client->watch.tick)
			client->watch.tick(client->watch.data);
	}
}

/* Reads what is there into client->in. Returns the count, 0 at the end, -EAGAIN when nothing is there. */
static ssize_t fill(struct client *client, struct err *err)
{
	ssize_t count;

	str_reserve(&client->in, BLOCK_BYTES);
	count = stream_read(client->stream, client->in.data + client->in.size, BLOCK_BYTES, err);
	if (count > 0)
		client->in.size += (size_t)count;
	client->in.data[client->in.size] = '\0';
	if (count == 0)
		client->has_ended = true;
	return count;
}

/* The same, but waits. */
static ssize_t fill_wait(struct client *client, struct err *err)
{
	for (;;) {
		ssize_t count = fill(client, err);
		int result;

		if (count != -EAGAIN)
			return count;
		result = wait_for(client, client->stream->wants, err);
		if (result < 0)
			return result;
	}
}

/* Sending. */

static int send_bytes(struct client *client, const void *bytes, size_t size, struct err *err)
{
	while (size) {
		ssize_t count = stream_write(client->stream, bytes, size, err);

		if (count == -EAGAIN) {
			int result = wait_for(client, client->stream->wants, err);

			if (result < 0)
				return result;
			continue;
		}
		if (count < 0)
			return (int)count;
		bytes = (const char *)bytes + count;
		size -= (size_t)count;
	}
	return 0;
}

/*
 * A daemon that refuses a large body answers before it has read it, and may read no more:
 * so look for an answer while writing. Returns 1 when there is one.
 */
static int send_block(struct client *client, const char *bytes, size_t size, struct err *err)
{
	while (size) {
		ssize_t count = fill(client, err);
		int result;

		if (count >= 0)
			return 1;
		if (count != -EAGAIN)
			return (int)count;
		count = stream_write(client->stream, bytes, size, err);
		if (count >= 0) {
			bytes += count;
			size -= (size_t)count;
			continue;
		}
		if (count == -ECONNRESET)
			return 1;		/* The reason may wait to be read. */
		if (count != -EAGAIN)
			return (int)count;
		result = wait_for(client, (short)(client->stream->wants | POLLIN), err);
		if (result < 0)
			return result;
	}
	return 0;
}

static int send_produced(struct client *client, const struct client_request *request, struct err *err)
{
	uint64_t left = request->body_size;
	auto_free char *block = alloc(BLOCK_BYTES);

	while (left) {
		size_t size = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
		ssize_t count = request->produce(request->data, block, size, err);
		int result;

		if (count < 0)
			return (int)count;
		assert(count > 0 && (size_t)count <= size);
		result = send_block(client, block, (size_t)count, err);
		if (result < 0)
			return result;
		if (result > 0) {
			client->may_keep = false;
			return 0;
		}
		left -= (uint64_t)count;
	}
	return 0;
}

static void write_head(const struct client *client, const struct client_request *request, struct str *out)
{
	str_printf(out, "%s %s HTTP/1.1\r\n", request->method, request->path);
	if (client->target.host)
		str_printf(out, "Host: %s:%s\r\n", client->target.host, client->target.port);
	else
		str_append(out, "Host: strata\r\n");
	str_append(out, "User-Agent: strata/" STRATA_VERSION "\r\nAccept: */*\r\n");
	if (request->wants_websocket)
		str_printf(out, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
			   "Sec-WebSocket-Key: %s\r\n", request->websocket_key);
	if (request->body || request->produce)
		str_printf(out, "Content-Type: %s\r\nContent-Length: %" PRIu64 "\r\n",
			   request->content_type ? request->content_type : "application/json", request->body_size);
	else if (!text_equal(request->method, "GET"))
		str_append(out, "Content-Length: 0\r\n");
	str_append(out, "\r\n");
}

static int send_request(struct client *client, const struct client_request *request, struct err *err)
{
	auto_str struct str head = { 0 };
	int result;

	write_head(client, request, &head);
	if (request->body)
		str_append_bytes(&head, request->body, (size_t)request->body_size);
	result = send_bytes(client, head.data, head.size, err);
	if (result < 0 || !request->produce)
		return result;
	return send_produced(client, request, err);
}

/* Receiving. */

static void choose_body(struct client *client, const struct client_request *request, const struct http_head *head)
{
	client->may_keep = client->may_keep && !head->closes;
	client->is_first_chunk = true;
	client->remaining = 0;
	if (text_equal(request->method, "HEAD") || head->status == 204 || head->status == 304 || head->status == 101) {
		client->form = BODY_NONE;
	} else if (head->is_chunked) {
		client->form = BODY_CHUNKED;
	} else if (head->content_length >= 0) {
		client->form = head->content_length ? BODY_LENGTH : BODY_NONE;
		client->remaining = (uint64_t)head->content_length;
	} else {
		client->form = BODY_TO_END;
		client->may_keep = false;
	}
}

/* One head, whether final or interim (1xx). */
static int read_head(struct client *client, struct http_head *head, struct err *err)
{
	for (;;) {
		size_t used = 0;
		int result = client->in.size ? http_head_parse(client->in.data, client->in.size, head, &used, err) : -EAGAIN;
		ssize_t count;

		if (result == 0) {
			str_remove_front(&client->in, used);
			return 0;
		}
		if (result != -EAGAIN)
			return result;
		count = client->has_ended ? 0 : fill_wait(client, err);
		if (count < 0)
			return (int)count;
		if (count == 0)
			return err_set(err, -ECONNRESET, "the daemon ended the connection without an answer: "
				       "see 'journalctl -u stratad'");
	}
}

static int read_final_head(struct client *client, const struct client_request *request,
			   struct client_response *response, struct err *err)
{
	struct http_head head;

	do {
		int result = read_head(client, &head, err);

		if (result < 0)
			return result;
	} while (head.status < 200 && head.status != 101);

	choose_body(client, request, &head);
	response->status = head.status;
	response->content_length = client->form == BODY_NONE ? 0 : head.content_length;
	memcpy(response->content_type, head.content_type, sizeof(response->content_type));
	memcpy(response->websocket_accept, head.websocket_accept, sizeof(response->websocket_accept));
	return 0;
}

static int try_send(struct client *client, const struct client_request *request,
		    struct client_response *response, struct err *err)
{
	int result;

	if (!client->stream) {
		result = stream_open(&client->target, &client->stream, err);
		if (result < 0)
			return result;
	}
	client->may_keep = true;
	result = send_request(client, request, err);
	if (result < 0 && result != -ECONNRESET)
		return result;
	return read_final_head(client, request, response, err);
}

int client_send(struct client *client, const struct client_request *request,
		struct client_response *ret_response, struct err *err)
{
	bool was_kept;
	int result;

	/* Who did not read the last answer to its end, or was told to close, begins anew. */
	if (client->form != BODY_NONE || !client->may_keep || client->in.size)
		disconnect(client);
	was_kept = client->stream;
	client->patience_ms = request->patience_ms ? request->patience_ms : CLIENT_PATIENCE_MS;

	result = try_send(client, request, ret_response, err);
	if (result == -ECONNRESET && was_kept && text_equal(request->method, "GET")) {
		disconnect(client);
		result = try_send(client, request, ret_response, err);
	}
	if (result < 0)
		disconnect(client);
	return result;
}

static int ended_early(struct err *err)
{
	return err_set(err, -EIO, "the daemon's answer ended too early");
}

/* Begins the next chunk, or ends the body. */
static int next_chunk(struct client *client, struct err *err)
{
	size_t used = 0;

	for (;;) {
		int result = http_chunk_parse(str_text(&client->in), client->in.size, client->is_first_chunk,
					      &client->remaining, &used, err);
		ssize_t count;

		if (result == 0)
			break;
		if (result != -EAGAIN)
			return result;
		count = client->has_ended ? 0 : fill_wait(client, err);
		if (count <= 0)
			return count < 0 ? (int)count : ended_early(err);
	}
	str_remove_front(&client->in, used);
	client->is_first_chunk = false;
	if (client->remaining == 0)
		client->form = BODY_NONE;
	return 0;
}

ssize_t client_read(struct client *client, void *buffer, size_t size, struct err *err)
{
	size_t count;

	if (client->form == BODY_CHUNKED && client->remaining == 0) {
		int result = next_chunk(client, err);

		if (result < 0)
			return result;
	}
	if (client->form == BODY_NONE)
		return 0;
	if (client->in.size == 0) {
		ssize_t got = client->has_ended ? 0 : fill_wait(client, err);

		if (got < 0)
			return got;
		if (got == 0 && client->form != BODY_TO_END)
			return ended_early(err);
		if (got == 0) {
			client->form = BODY_NONE;
			return 0;
		}
	}
	count = client->in.size < size ? client->in.size : size;
	if (client->form != BODY_TO_END && count > client->remaining)
		count = (size_t)client->remaining;
	memcpy(buffer, client->in.data, count);
	str_remove_front(&client->in, count);
	if (client->form != BODY_TO_END)
		client->remaining -= count;
	if (client->form == BODY_LENGTH && client->remaining == 0)
		client->form = BODY_NONE;
	return (ssize_t)count;
}

int client_read_all(struct client *client, size_t max, struct str *out, struct err *err)
{
	for (;;) {
		ssize_t count;

		str_reserve(out, BLOCK_BYTES);
		count = client_read(client, out->data + out->size, BLOCK_BYTES, err);
		if (count < 0)
			return (int)count;
		if (count == 0)
			break;
		out->size += (size_t)count;
		if (out->size > max)
			return err_set(err, -EFBIG, "the daemon's answer is larger than %zu bytes", max);
	}
	out->data[out->size] = '\0';
	return 0;
}

void client_take_stream(struct client *client, struct stream **ret_stream, struct str *ret_early)
{
	*ret_stream = take(client->stream);
	*ret_early = client->in;
	client->in = (struct str){ 0 };
	disconnect(client);
}
