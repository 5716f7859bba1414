#include "driver/machine/qemu/qmp.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "driver/machine/qemu/qmp_message.h"
#include "driver/machine/qemu/run_dir.h"

enum { READ_BYTES = 16 << 10, JOB_POLL_MS = 5 };

/* Messages in and out */

static int wait_readable(struct qmp *qmp, struct err *err)
{
	struct pollfd waiting = { .fd = qmp->fd, .events = POLLIN };
	int r;

	do
		r = poll(&waiting, 1, deadline_left_ms(qmp->deadline));
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_set(err, -errno, "poll: %m");
	return r > 0 ? 0 : err_set(err, -ETIMEDOUT, "the machine did not answer in time");
}

static int receive_bytes(struct qmp *qmp, struct err *err)
{
	char bytes[READ_BYTES];
	ssize_t count;
	int r = wait_readable(qmp, err);

	if (r < 0)
		return r;
	count = recv(qmp->fd, bytes, sizeof(bytes), 0);
	if (count == 0 || (count < 0 && errno == ECONNRESET))
		return err_set(err, -ENOENT, "the machine ended meanwhile");
	if (count < 0)
		return err_set(err, -errno, "receive from the machine: %m");
	return line_buffer_add(&qmp->lines, bytes, (size_t)count, err);
}

static int receive_message(struct qmp *qmp, struct qmp_message *ret_message, struct err *err)
{
	const char *line;
	size_t size;

	while (!line_buffer_next(&qmp->lines, &line, &size)) {
		int r = receive_bytes(qmp, err);

		if (r < 0)
			return r;
	}
	return qmp_message_parse(line, size, ret_message, err);
}

/* Events are the watch's business: here they are noise. */
static int receive_reply(struct qmp *qmp, struct qmp_message *ret_message, struct err *err)
{
	for (;;) {
		int r = receive_message(qmp, ret_message, err);

		if (r < 0 || ret_message->kind != QMP_EVENT)
			return r;
		qmp_message_done(ret_message);
	}
}

static int send_text(struct qmp *qmp, const char *text, size_t size, int fd, struct err *err)
{
	union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct iovec data = { (void *)text, size };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
	ssize_t sent;

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.space);
		*CMSG_FIRSTHDR(&message) = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &fd, sizeof(fd));
	}
	while (data.iov_len) {
		sent = sendmsg(qmp->fd, &message, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return err_set(err, -ENOENT, "the machine ended meanwhile");
		if (sent < 0)
			return err_set(err, errno == EAGAIN ? -ETIMEDOUT : -errno, "send to the machine: %m");
		data.iov_base = (char *)data.iov_base + sent;
		data.iov_len -= (size_t)sent;
		message.msg_controllen = 0;
	}
	return 0;
}

/* Connection */

static int negotiate(struct qmp *qmp, struct err *err)
{
	struct qmp_message greeting;
	int r = receive_reply(qmp, &greeting, err);

	if (r < 0)
		return r;
	qmp_message_done(&greeting);
	if (greeting.kind != QMP_GREETING)
		return err_set(err, -EPROTO, "the machine did not greet");
	return qmp_call(qmp, "qmp_capabilities", NULL, NULL, err);
}

int qmp_open(struct qmp *qmp, int run_dir, enum run_socket which, int64_t timeout_ms, struct err *err)
{
	*qmp = (struct qmp){
		.fd = -1, .deadline = deadline_in(timeout_ms), .lines.max_bytes = LIMIT_QMP_MESSAGE_BYTES,
	};
	qmp->fd = run_dir_connect(run_dir, which, deadline_left_ms(qmp->deadline), err);
	return qmp->fd < 0 ? err->code : negotiate(qmp, err);
}

void qmp_close(struct qmp *qmp)
{
	closep(&qmp->fd);
	qmp->fd = -1;
	line_buffer_done(&qmp->lines);
}

/* Commands */

int qmp_call_fd(struct qmp *qmp, const char *command, const char *arguments, int fd, struct json **ret_reply, struct err *err)
{
	auto_str struct str text = { 0 };
	struct qmp_message reply;
	int r;

	str_printf(&text, "{\"execute\":\"%s\",\"arguments\":%s}\n", command, arguments ? arguments : "{}");
	r = send_text(qmp, text.data, text.size, fd, err);
	if (r == 0)
		r = receive_reply(qmp, &reply, err);
	if (r < 0)
		return r;
	if (reply.kind == QMP_RETURN && ret_reply) {
		*ret_reply = take(reply.json);
		return 0;
	}
	if (reply.kind == QMP_ERROR)
		r = qmp_message_error(&reply, err);
	else if (reply.kind != QMP_RETURN)
		r = err_set(err, -EPROTO, "the machine sent an unexpected message");
	qmp_message_done(&reply);
	return r;
}

int qmp_call(struct qmp *qmp, const char *command, const char *arguments, struct json **ret_reply, struct err *err)
{
	return qmp_call_fd(qmp, command, arguments, -1, ret_reply, err);
}

int qmp_wait_event(struct qmp *qmp, int timeout_ms, struct err *err)
{
	struct pollfd waiting = { .fd = qmp->fd, .events = POLLIN };
	struct qmp_message message;
	const char *line;
	size_t size;
	int r = 0;

	if (poll(&waiting, 1, timeout_ms) > 0)
		r = receive_bytes(qmp, err);
	/* Nothing was asked, so these can only be events. */
	while (r == 0 && line_buffer_next(&qmp->lines, &line, &size)) {
		r = qmp_message_parse(line, size, &message, err);
		if (r == 0)
			qmp_message_done(&message);
	}
	return r;
}

static const struct json *find_job(const struct json *reply, const char *job)
{
	const struct json *jobs = json_get(reply, "return");

	for (size_t i = 0; i < json_count(jobs); i++)
		if (text_equal(json_string(json_get(json_at(jobs, i), "id"), NULL), job))
			return json_at(jobs, i);
	return NULL;
}

static int dismiss_job(struct qmp *qmp, const char *job, struct err *err)
{
	auto_free char *arguments = text_format("{\"id\":\"%s\"}", job);

	return qmp_call(qmp, "job-dismiss", arguments, NULL, err);
}

int qmp_wait_job(struct qmp *qmp, const char *job, struct err *err)
{
	for (;;) {
		auto_json struct json *reply = NULL;
		const struct json *state;
		const char *failure;
		int r = qmp_call(qmp, "query-jobs", NULL, &reply, err);

		if (r < 0)
			return r;
		state = find_job(reply, job);
		if (!state)
			return err_set(err, -EIO, "the machine forgot its job '%s'", shown(job));
		failure = json_string(json_get(state, "error"), NULL);
		if (text_equal(json_string(json_get(state, "status"), ""), "concluded")) {
			r = dismiss_job(qmp, job, err);
			return failure ? err_set(err, strstr(failure, "No space left") ? -ENOSPC : -EIO, "%s",
						 text_shown(failure, 180, (char[200]){ 0 }, 200)) : r;
		}
		if (deadline_left_ms(qmp->deadline) == 0)
			return err_set(err, -ETIMEDOUT, "the machine did not finish its job in time");
		poll(NULL, 0, JOB_POLL_MS);
	}
}
