/*
 * http_fixture.h - for the tests of this folder: a server on a socket in a folder of its own, a core
 * that answers as the test wants, and a client that speaks HTTP by hand.
 *
 * Header only: nothing of it belongs into the library.
 */
#ifndef HTTP_FIXTURE_H
#define HTTP_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "4-service/api.h"
#include "4-service/view.h"
#include "5-interface/http/http.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define UNUSED_OK __attribute__((unused))
enum { PATIENCE_MS = 20000 };		/* Only reached when a test fails. */

struct core {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct call *held;		/* Waits for fixture_reply(). */
	size_t calls;
};

struct fixture {
	char folder[64];
	char *socket_path, *staging, *certificates;
	struct core core;
	struct view *view;
	struct http *http;
};

/* Every call is held until the test answers it. */
static inline void fixture_call(struct core *core, struct call *call)
{
	pthread_mutex_lock(&core->lock);
	assert_null(core->held);
	core->held = call;
	core->calls++;
	pthread_cond_broadcast(&core->changed);
	pthread_mutex_unlock(&core->lock);
}

static inline struct call *fixture_take_call(struct fixture *f)
{
	struct timespec until;
	struct call *call;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_MS / 1000;
	pthread_mutex_lock(&f->core.lock);
	while (!f->core.held)
		if (pthread_cond_timedwait(&f->core.changed, &f->core.lock, &until) != 0)
			fail_msg("the core is not called");
	call = take(f->core.held);
	pthread_mutex_unlock(&f->core.lock);
	return call;
}

UNUSED_OK static inline void reply_with(struct call *call, int status, const char *body)
{
	struct call_reply reply = { .http_status = status, .fds = { -1, -1, -1, -1, -1 } };

	str_append(&reply.body, body);
	call->reply(call, &reply);
	call_reply_done(&reply);
}

UNUSED_OK static inline void reply_with_error(struct call *call, int code, const char *message)
{
	struct call_reply reply = { .fds = { -1, -1, -1, -1, -1 } };

	err_set(&reply.err, code, "%s", message);
	call->reply(call, &reply);
}

UNUSED_OK static inline void fixture_put(struct fixture *f, const char *folder, const char *name, const char *json)
{
	view_put(f->view, folder, name, json, strlen(json));
}

static inline struct fixture *fixture_new(const char *uid)
{
	struct fixture *f = alloc(sizeof(*f));
	struct http_params params = { .core = &f->core, .call = fixture_call, .listen_fd = -1 };
	struct err err;

	strcpy(f->folder, "/tmp/strata-http-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->socket_path = text_format("%s/socket", f->folder);
	f->staging = text_format("%s/uploads", f->folder);
	f->certificates = text_format("%s/tls", f->folder);
	assert_int_equal(mkdir(f->staging, 0700), 0);
	pthread_mutex_init(&f->core.lock, NULL);
	pthread_cond_init(&f->core.changed, NULL);
	params.view = f->view = view_new();
	params.socket_path = f->socket_path;
	params.staging = f->staging;
	params.certificates = f->certificates;
	params.node_uid = uid;
	if (http_start(&params, &f->http, &err) < 0)
		fail_msg("%s", err.msg);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	struct err err;

	http_stop(f->http);
	view_free(f->view);
	file_remove_tree(f->folder, &err);
	free(f->socket_path);
	free(f->staging);
	free(f->certificates);
	free(f);
}

UNUSED_OK static int fixture_setup(void **state)
{
	*state = fixture_new("4b1a8f0e-1111-4a4a-8b8b-00000000000a");
	return 0;
}

UNUSED_OK static int fixture_teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

/* The client. */

static inline int client_connect(const struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, f->socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline void wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, PATIENCE_MS) != 1)
		fail_msg("nothing comes");
}

static inline void client_send_bytes(int fd, const void *bytes, size_t size)
{
	while (size) {
		ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);

		assert_true(n > 0);
		bytes = (const char *)bytes + n;
		size -= (size_t)n;
	}
}

static inline void client_send(int fd, const char *text)
{
	client_send_bytes(fd, text, strlen(text));
}

struct answer {
	int status;
	struct str head, body;
	bool is_cut;			/* The connection ended before the body did. */
};

static inline void answer_done(struct answer *answer)
{
	str_done(&answer->head);
	str_done(&answer->body);
	*answer = (struct answer){ 0 };
}
#define auto_answer __attribute__((cleanup(answer_done)))

/* False at the end of the connection. */
static inline bool read_exact(int fd, struct str *out, size_t size)
{
	while (size) {
		char bytes[4096];
		ssize_t n;

		wait_readable(fd);
		n = recv(fd, bytes, size < sizeof(bytes) ? size : sizeof(bytes), 0);
		if (n <= 0)
			return false;
		str_append_bytes(out, bytes, (size_t)n);
		size -= (size_t)n;
	}
	return true;
}

static inline bool read_until(int fd, struct str *out, const char *end)
{
	while (out->size < strlen(end) || strcmp(out->data + out->size - strlen(end), end) != 0)
		if (!read_exact(fd, out, 1))
			return false;
	return true;
}

/* Appends one chunk; false at the last one. */
static inline bool read_chunk(int fd, struct answer *answer)
{
	auto_str struct str line = { 0 }, end = { 0 };
	size_t size;

	answer->is_cut = !read_until(fd, &line, "\r\n");
	if (answer->is_cut)
		return false;
	size = strtoul(line.data, NULL, 16);
	answer->is_cut = !read_exact(fd, &answer->body, size) || !read_exact(fd, &end, 2);
	if (!answer->is_cut)
		assert_string_equal(end.data, "\r\n");
	return size && !answer->is_cut;
}

static inline void read_head(int fd, struct answer *answer)
{
	assert_true(read_until(fd, &answer->head, "\r\n\r\n"));
	assert_int_equal(sscanf(answer->head.data, "HTTP/1.1 %d ", &answer->status), 1);
}

static inline void read_answer(int fd, struct answer *answer)
{
	const char *length;

	read_head(fd, answer);
	length = strcasestr(answer->head.data, "content-length:");
	if (strcasestr(answer->head.data, "transfer-encoding: chunked"))
		while (read_chunk(fd, answer))
			;
	else if (length)
		answer->is_cut = !read_exact(fd, &answer->body, strtoul(length + strlen("content-length:"), NULL, 10));
	str_append(&answer->body, "");
}

/* Sends and expects this status, and this text somewhere in the body. */
UNUSED_OK static void expect(int fd, const char *request, int status, const char *part)
{
	auto_answer struct answer answer = { 0 };

	client_send(fd, request);
	read_answer(fd, &answer);
	if (answer.status != status || !strstr(answer.body.data, part))
		fail_msg("%.60s: %d %s, not %d %s", request, answer.status, answer.body.data, status, part);
}

UNUSED_OK static inline void expect_closed(int fd)
{
	char byte;

	wait_readable(fd);
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
}

UNUSED_OK static inline int make_pipe(int *ret_other_end, bool we_read)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	*ret_other_end = fds[we_read ? 1 : 0];
	return fds[we_read ? 0 : 1];
}

#endif
