#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "2-virtualization/images/fetch.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { CONTENT_BYTES = 100000 };

/* A web server for one test: answers by path, each connection once, in a thread. */
struct server {
	int fd;
	uint16_t port;
	pthread_t thread;
	char content[CONTENT_BYTES];
	unsigned requests, ranges;
	char directory[32], *path;
};

static void send_text(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void send_text(int fd, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void answer_file(struct server *server, int fd, size_t from, size_t to)
{
	if (from)
		send_text(fd, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %zu-%d/%d\r\n", from, CONTENT_BYTES - 1, CONTENT_BYTES);
	else
		send_text(fd, "HTTP/1.1 200 OK\r\n");
	send_text(fd, "Content-Length: %zu\r\nConnection: close\r\n\r\n", CONTENT_BYTES - from);
	send(fd, server->content + from, to - from, MSG_NOSIGNAL);
}

static void answer_endless(struct server *server, int fd)
{
	send_text(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	while (send(fd, server->content, CONTENT_BYTES, MSG_NOSIGNAL) > 0)
		;
}

static void answer(struct server *server, int fd, const char *request)
{
	const char *range = strstr(request, "Range: bytes=");
	size_t from = range ? (size_t)atol(range + strlen("Range: bytes=")) : 0;

	server->requests++;
	server->ranges += range != NULL;
	if (text_starts_with(request, "GET /file "))
		answer_file(server, fd, from, CONTENT_BYTES);
	else if (text_starts_with(request, "GET /breaks "))	/* Each time a third more. */
		answer_file(server, fd, from, from + 40000 < CONTENT_BYTES ? from + 40000 : CONTENT_BYTES);
	else if (text_starts_with(request, "GET /norange "))
		answer_file(server, fd, 0, server->requests < 2 ? 40000 : CONTENT_BYTES);
	else if (text_starts_with(request, "GET /endless "))
		answer_endless(server, fd);
	else if (text_starts_with(request, "GET /moved "))
		send_text(fd, "HTTP/1.1 302 Found\r\nLocation: /file\r\nContent-Length: 7\r\nConnection: close\r\n\r\nnothing");
	else if (text_starts_with(request, "GET /local "))
		send_text(fd, "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nConnection: close\r\n\r\n");
	else if (text_starts_with(request, "GET /closed "))
		send_text(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	else
		send_text(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

static void *serve(void *data)
{
	struct server *server = data;
	char request[4096];
	int fd;

	while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
		ssize_t n = recv(fd, request, sizeof(request) - 1, 0);

		request[n > 0 ? n : 0] = '\0';
		answer(server, fd, request);
		close(fd);
	}
	return NULL;
}

static int set_up(void **state)
{
	struct server *server = alloc(sizeof(*server));
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	for (size_t i = 0; i < CONTENT_BYTES; i++)
		server->content[i] = (char)(i * 7 + i / 251);
	strcpy(server->directory, "/tmp/strata-fetch-XXXXXX");
	assert_non_null(mkdtemp(server->directory));
	server->path = text_format("%s/file", server->directory);
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server->fd, 8), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &size), 0);
	server->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
	*state = server;
	return 0;
}

static int tear_down(void **state)
{
	struct server *server = *state;
	struct err err;

	shutdown(server->fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->fd);
	assert_int_equal(file_remove_tree(server->directory, &err), 0);
	free(server->path);
	free(server);
	return 0;
}

static int fetch(const struct server *server, const char *name, uint64_t max_bytes, const char *sum, const struct volume_progress *progress,
		 struct err *err)
{
	auto_free char *url = text_format("http://127.0.0.1:%u/%s", server->port, name);
	char found[SHA256_TEXT_SIZE];

	return fetch_url(url, server->path, max_bytes, sum, progress, found, err);
}

static void expect_content(const struct server *server)
{
	auto_str struct str content = { 0 };
	struct err err;

	assert_int_equal(file_read_all(server->path, 1 << 20, &content, &err), 0);
	assert_int_equal(content.size, CONTENT_BYTES);
	assert_memory_equal(content.data, server->content, CONTENT_BYTES);
}

static void expect_failure(const struct server *server, const char *name, int code, const char *words)
{
	struct err err = { 0 };

	assert_int_equal(fetch(server, name, 1 << 20, NULL, NULL, &err), code);
	if (!strstr(err.msg, words))
		fail_msg("'%s' does not contain '%s'", err.msg, words);
	assert_int_equal(access(server->path, F_OK), -1);
}

static void on_report(void *data, uint64_t done, uint64_t total)
{
	uint64_t *seen = data;

	assert_true(total == 0 || done <= total);
	seen[0] = done;
	seen[1] = total;
}

static void test_file(void **state)
{
	struct server *server = *state;
	uint64_t seen[2] = { 0 };
	struct volume_progress progress = { .report = on_report, .data = seen };
	char sum[SHA256_TEXT_SIZE];
	struct sha256 sha256;
	struct err err;

	sha256_init(&sha256);
	sha256_update(&sha256, server->content, CONTENT_BYTES);
	sha256_finish(&sha256, sum);
	sha256_done(&sha256);
	if (fetch(server, "file", CONTENT_BYTES, sum, &progress, &err) < 0)
		fail_msg("%s", err.msg);
	expect_content(server);
	assert_int_equal(seen[0], CONTENT_BYTES);
	assert_int_equal(seen[1], CONTENT_BYTES);
	sum[0] = sum[0] == 'a' ? 'b' : 'a';
	assert_int_equal(fetch(server, "file", CONTENT_BYTES, sum, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "sha256"));
	assert_int_equal(access(server->path, F_OK), -1);
}

static void test_redirect(void **state)
{
	struct err err;

	assert_int_equal(fetch(*state, "moved", 1 << 20, NULL, NULL, &err), 0);
	expect_content(*state);
}

static void test_resumes(void **state)
{
	struct server *server = *state;
	struct err err;

	assert_int_equal(fetch(server, "breaks", 1 << 20, NULL, NULL, &err), 0);
	expect_content(server);
	assert_int_equal(server->requests, 3);
	assert_int_equal(server->ranges, 2);
}

static void test_restarts_without_ranges(void **state)
{
	struct err err;

	assert_int_equal(fetch(*state, "norange", 1 << 20, NULL, NULL, &err), 0);
	expect_content(*state);
}

static void test_errors(void **state)
{
	struct server *server = *state;
	char sum[SHA256_TEXT_SIZE];
	struct err err = { 0 };

	expect_failure(server, "absent", -ENOENT, "does not exist on the server (404)");
	expect_failure(server, "closed", -EACCES, "403");
	expect_failure(server, "local", -EINVAL, "rotocol");
	assert_int_equal(fetch(server, "file", CONTENT_BYTES - 1, NULL, NULL, &err), -EFBIG);
	assert_int_equal(fetch(server, "endless", 1 << 20, NULL, NULL, &err), -EFBIG);
	assert_int_equal(fetch(server, "file", CONTENT_BYTES, "12", NULL, &err), -EINVAL);
	assert_int_equal(fetch_url("ftp://x/y", server->path, 1, NULL, NULL, sum, &err), -EINVAL);
	assert_int_equal(fetch_url("file:///etc/passwd", server->path, 1, NULL, NULL, sum, &err), -EINVAL);
	assert_int_equal(fetch_url("http://h/a b", server->path, 1, NULL, NULL, sum, &err), -EINVAL);
	assert_int_equal(fetch_url("http://127.0.0.1:1/", server->path, 1, NULL, NULL, sum, &err), -ECONNREFUSED);
	assert_int_equal(fetch_url("http://no-such-host.invalid/", server->path, 1, NULL, NULL, sum, &err), -EHOSTUNREACH);
	assert_non_null(strstr(err.msg, "does not resolve"));
}

static void test_plain_http_at_a_tls_url(void **state)
{
	struct server *server = *state;
	auto_free char *url = text_format("https://127.0.0.1:%u/file", server->port);
	char sum[SHA256_TEXT_SIZE];
	struct err err;

	assert_int_equal(fetch_url(url, server->path, 1, NULL, NULL, sum, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "TLS"));
}

static void test_cancelled(void **state)
{
	const bool is_cancelled = true;
	const struct volume_progress progress = { .is_cancelled = &is_cancelled };
	struct err err;

	assert_int_equal(fetch(*state, "endless", UINT64_C(1) << 40, NULL, &progress, &err), -ECANCELED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_redirect, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_resumes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_restarts_without_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_plain_http_at_a_tls_url, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cancelled, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
