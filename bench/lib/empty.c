/*
 * The answer - head and body - is made once and written whole, so what is left is libwebsockets' own
 * work: reading, parsing, its tables and lists, one write.
 */
#include "empty.h"

#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { WRITE_BYTES = 1 << 20, READ_BYTES = 64 << 10, KEEPALIVE_S = 60 };

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
	struct str *answer = lws_context_user(lws_get_context(wsi));

	(void)user, (void)in, (void)size;
	if (reason != LWS_CALLBACK_HTTP)
		return 0;
	if (lws_write(wsi, (unsigned char *)answer->data + LWS_PRE, answer->size - LWS_PRE, LWS_WRITE_HTTP) < 0)
		return -1;
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static void make_answer(struct str *answer, size_t body_size)
{
	str_reserve(answer, LWS_PRE + 128 + body_size);
	answer->size = LWS_PRE;
	str_printf(answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body_size);
	for (size_t i = 0; i < body_size; i++)
		str_append_char(answer, ' ');
}

/* Does not return. 'ready' is closed when requests are taken. */
static void serve(const char *socket, size_t body_size, int ready)
{
	static const struct lws_protocols protocols[] = {
		{ .name = "empty", .callback = callback, .rx_buffer_size = READ_BYTES, .tx_packet_size = WRITE_BYTES },
		{ 0 },
	};
	struct str answer = { 0 };
	struct lws_context_creation_info info = {
		.iface = socket,
		.protocols = protocols,
		.user = &answer,
		.keepalive_timeout = KEEPALIVE_S,
		.options = LWS_SERVER_OPTION_UNIX_SOCK,
	};
	struct lws_context *context;

	make_answer(&answer, body_size);
	lws_set_log_level(0, NULL);
	context = lws_create_context(&info);
	if (!context)
		_exit(1);
	(void)!write(ready, "", 1);
	close(ready);
	while (lws_service(context, 0) >= 0)
		;
	_exit(1);
}

int empty_start(struct empty *empty, const struct bench *bench, size_t body_size, struct err *err)
{
	int ready[2];
	ssize_t size;
	char byte;

	empty->socket = text_format("%s/empty-%zu.sock", bench->folder, body_size);
	if (pipe2(ready, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %m");
	empty->pid = fork();
	if (empty->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		serve(empty->socket, body_size, ready[1]);
	}
	close(ready[1]);
	size = empty->pid > 0 ? read(ready[0], &byte, 1) : -1;
	close(ready[0]);
	return size == 1 ? 0 : err_set(err, -EIO, "the empty server does not start");
}

void empty_stop(struct empty *empty)
{
	if (empty->pid > 0) {
		kill(empty->pid, SIGKILL);
		waitpid(empty->pid, NULL, 0);
	}
	free(empty->socket);
}
