/*
 * fake_daemon.h - for tests only: a server on a unix socket that answers by a script.
 *
 * Each request, on whatever connection, takes the next step: it must contain 'expect', and gets 'reply' as
 * it is.
 */
#ifndef CLI_FAKE_DAEMON_H
#define CLI_FAKE_DAEMON_H

#include <openssl/evp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

/* An answer whose body lasts until the connection closes, so that nobody need count it. */
#define FAKE_CLOSE(status, body) "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n" body

struct fake_step {
	const char *expect;		/* Text within the request; null: any. */
	const char *reply;
	size_t size;			/* Of reply; 0: a text. */
	bool keeps;			/* Leave the connection open afterwards. */
	bool reads_no_body;		/* Answer after the head of the request. */
	bool is_websocket;		/* Upgrade first; 'reply' is frames. Then read until the client closes. */
};

struct fake_daemon {
	char folder[32], path[64];
	int listener;
	pthread_t thread, workers[64];
	size_t worker_count;
	const struct fake_step *steps;
	size_t count, next;
	pthread_mutex_t lock;
	struct str seen;		/* All requests, and what came on WebSockets. */
	char wrong[512];		/* First request that did not fit the script. */
};

struct fake_connection { struct fake_daemon *daemon; int fd; };

static bool fake_read_head(int fd, struct str *request)
{
	char byte;

	while (!request->data || !strstr(request->data, "\r\n\r\n")) {
		if (read(fd, &byte, 1) != 1)
			return false;
		str_append_char(request, byte);
	}
	return true;
}

static void fake_read_body(int fd, struct str *request)
{
	const char *length = strstr(request->data, "Content-Length: ");
	char block[4096];

	for (size_t left = length ? strtoul(length + 16, NULL, 10) : 0; left; ) {
		ssize_t count = read(fd, block, left < sizeof(block) ? left : sizeof(block));

		if (count <= 0)
			return;
		str_append_bytes(request, block, (size_t)count);
		left -= (size_t)count;
	}
}

static void fake_write(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t count = send(fd, bytes, size, MSG_NOSIGNAL);

		if (count <= 0)
			return;
		bytes += count;
		size -= (size_t)count;
	}
}

static void fake_upgrade(int fd, const char *request)
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	const char *key = strstr(request, "Sec-WebSocket-Key: ");
	unsigned char digest[EVP_MAX_MD_SIZE], text[64];
	auto_str struct str both = { 0 }, head = { 0 };

	key += strlen("Sec-WebSocket-Key: ");
	str_append_bytes(&both, key, strcspn(key, "\r"));
	str_append(&both, magic);
	EVP_Digest(both.data, both.size, digest, NULL, EVP_sha1(), NULL);
	EVP_EncodeBlock(text, digest, 20);
	str_printf(&head, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		   "Sec-WebSocket-Accept: %s\r\n\r\n", (char *)text);
	fake_write(fd, head.data, head.size);
}

/* Unmasks the client's frames: their payloads go to 'seen', each after its opcode as "<1>". */
static void fake_read_frames(struct fake_daemon *daemon, int fd)
{
	unsigned char head[14];

	for (;;) {
		size_t size, more;
		uint64_t length;

		if (recv(fd, head, 2, MSG_WAITALL) != 2)
			return;
		length = head[1] & 0x7f;
		more = length == 126 ? 2 : length == 127 ? 8 : 0;
		if (recv(fd, head + 2, more + 4, MSG_WAITALL) != (ssize_t)more + 4)
			return;
		if (more) {
			length = 0;
			for (size_t i = 0; i < more; i++)
				length = length << 8 | head[2 + i];
		}
		size = (size_t)length;
		auto_free unsigned char *bytes = alloc(size + 1);
		if (size && recv(fd, bytes, size, MSG_WAITALL) != (ssize_t)size)
			return;
		for (size_t i = 0; i < size; i++)
			bytes[i] ^= head[2 + more + i % 4];
		pthread_mutex_lock(&daemon->lock);
		str_printf(&daemon->seen, "<%d>", head[0] & 0x0f);
		str_append_bytes(&daemon->seen, bytes, size);
		pthread_mutex_unlock(&daemon->lock);
		if ((head[0] & 0x0f) == 8)
			return;
	}
}

static const struct fake_step *fake_take(struct fake_daemon *daemon)
{
	const struct fake_step *step = NULL;

	pthread_mutex_lock(&daemon->lock);
	if (daemon->next < daemon->count)
		step = &daemon->steps[daemon->next++];
	pthread_mutex_unlock(&daemon->lock);
	return step;
}

static void fake_check(struct fake_daemon *daemon, const struct fake_step *step, const char *request)
{
	pthread_mutex_lock(&daemon->lock);
	str_append(&daemon->seen, request);
	if (!daemon->wrong[0] && (!step || (step->expect && !strstr(request, step->expect))))
		snprintf(daemon->wrong, sizeof(daemon->wrong), "expected '%s', got '%.400s'", step ? step->expect : "nothing", request);
	pthread_mutex_unlock(&daemon->lock);
}

static void *fake_serve(void *data)
{
	struct fake_connection *connection = data;
	bool is_open = true;

	while (is_open) {
		auto_str struct str request = { 0 };
		const struct fake_step *step;

		if (!fake_read_head(connection->fd, &request))
			break;
		step = fake_take(connection->daemon);
		if (step && !step->reads_no_body)
			fake_read_body(connection->fd, &request);
		fake_check(connection->daemon, step, request.data);
		if (!step)
			break;
		if (step->is_websocket)
			fake_upgrade(connection->fd, request.data);
		fake_write(connection->fd, step->reply, step->size ? step->size : strlen(step->reply));
		if (step->is_websocket)
			fake_read_frames(connection->daemon, connection->fd);
		is_open = step->keeps;
	}
	close(connection->fd);
	free(connection);
	return NULL;
}

static void *fake_accept(void *data)
{
	struct fake_daemon *daemon = data;
	int fd;

	while ((fd = accept(daemon->listener, NULL, NULL)) >= 0) {
		struct fake_connection *connection = alloc(sizeof(*connection));

		*connection = (struct fake_connection){ daemon, fd };
		assert_true(daemon->worker_count < 64);
		pthread_create(&daemon->workers[daemon->worker_count++], NULL, fake_serve, connection);
	}
	return NULL;
}

static void fake_start(struct fake_daemon *daemon, const struct fake_step *steps, size_t count)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	*daemon = (struct fake_daemon){ .folder = "/tmp/fake-daemon-XXXXXX", .steps = steps, .count = count,
		.lock = PTHREAD_MUTEX_INITIALIZER };
	assert_non_null(mkdtemp(daemon->folder));
	snprintf(daemon->path, sizeof(daemon->path), "%s/sock", daemon->folder);
	memcpy(address.sun_path, daemon->path, strlen(daemon->path) + 1);
	daemon->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(daemon->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(daemon->listener, 16), 0);
	pthread_create(&daemon->thread, NULL, fake_accept, daemon);
}

/* The clients must have closed their connections: then 'seen' is whole. */
static void fake_join(struct fake_daemon *daemon)
{
	if (daemon->listener < 0)
		return;
	shutdown(daemon->listener, SHUT_RDWR);
	pthread_join(daemon->thread, NULL);
	for (size_t i = 0; i < daemon->worker_count; i++)
		pthread_join(daemon->workers[i], NULL);
	close(daemon->listener);
	daemon->listener = -1;
}

/* Checks that the script was followed to its end. */
static void fake_stop(struct fake_daemon *daemon)
{
	fake_join(daemon);
	unlink(daemon->path);
	rmdir(daemon->folder);
	str_done(&daemon->seen);
	assert_string_equal(daemon->wrong, "");
	assert_int_equal(daemon->next, daemon->count);
}

#endif
