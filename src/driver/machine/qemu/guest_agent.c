#include "driver/machine/qemu/guest_agent.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/limits.h"
#include "base/rng.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/qemu/qmp_message.h"
#include "driver/machine/qemu/run_dir.h"

enum { COMMAND_TIMEOUT_MS = 10000, READ_BYTES = 64 << 10 };

/* Between two messages, so that the reader can find the beginning of one (qemu-ga-ref). */
#define SENTINEL '\xff'

struct guest_agent {
	unsigned refs;			/* The map's and one per user; under agents_lock. */
	pthread_mutex_t lock;		/* What follows. */
	int fd;				/* -1: not connected. */
	uint64_t next_id;
	struct line_buffer lines;
	atomic_bool has_terminal;
};

/* Channels */

static struct guest_agent *agent_ref(struct qemu *qemu, const char *uid)
{
	struct guest_agent *agent;

	pthread_mutex_lock(&qemu->agents_lock);
	agent = map_get(&qemu->agents, uid);
	if (!agent) {
		agent = alloc(sizeof(*agent));
		*agent = (struct guest_agent){ .refs = 1, .fd = -1, .lines.max_bytes = LIMIT_AGENT_MESSAGE_BYTES };
		pthread_mutex_init(&agent->lock, NULL);
		map_put(&qemu->agents, uid, agent);
	}
	agent->refs++;
	pthread_mutex_unlock(&qemu->agents_lock);
	return agent;
}

static void agent_close(struct guest_agent *agent)
{
	closep(&agent->fd);
	agent->fd = -1;
	line_buffer_done(&agent->lines);
}

static void agent_unref_locked(struct guest_agent *agent)
{
	if (--agent->refs)
		return;
	agent_close(agent);
	pthread_mutex_destroy(&agent->lock);
	free(agent);
}

static void agent_unref(struct qemu *qemu, struct guest_agent *agent)
{
	pthread_mutex_lock(&qemu->agents_lock);
	agent_unref_locked(agent);
	pthread_mutex_unlock(&qemu->agents_lock);
}

void guest_agent_disconnect(struct qemu *qemu, const char *uid)
{
	struct guest_agent *agent;

	pthread_mutex_lock(&qemu->agents_lock);
	agent = map_remove(&qemu->agents, uid);
	if (agent)
		agent_unref_locked(agent);
	pthread_mutex_unlock(&qemu->agents_lock);
}

void guest_agents_free(struct qemu *qemu)
{
	while (qemu->agents.count)
		guest_agent_disconnect(qemu, qemu->agents.entries[0].key);
	map_done(&qemu->agents);
}

static int agent_lock(struct guest_agent *agent, struct deadline deadline, struct err *err)
{
	struct timespec until = {
		(time_t)(deadline.at_ms / 1000), (long)(deadline.at_ms % 1000) * 1000000,
	};

	if (pthread_mutex_clocklock(&agent->lock, CLOCK_MONOTONIC, &until) != 0)
		return err_set(err, -ETIMEDOUT, "the guest agent is busy with another command");
	return 0;
}

/* Is it there? */

static bool is_open(const struct json *ports)
{
	for (size_t i = 0; i < json_count(ports); i++)
		if (text_equal(json_string(json_get(json_at(ports, i), "label"), NULL), "agent"))
			return json_bool(json_get(json_at(ports, i), "frontend-open"), false);
	return false;
}

int guest_agent_check(const struct qemu *qemu, const char *uid, struct err *err)
{
	auto_json struct json *reply = NULL;
	auto_qmp struct qmp qmp;
	int r = qemu_connect(qemu, uid, QMP_TIMEOUT_MS, &qmp, err);

	if (r == 0)
		r = qmp_call(&qmp, "query-chardev", NULL, &reply, err);
	if (r < 0)
		return r;
	if (!is_open(json_get(reply, "return")))
		return err_set(err, -ENODEV, "the guest has no guest agent running: wait until it has booted, "
			       "or install the package 'qemu-guest-agent' in it");
	return 0;
}

/* Bytes in and out */

static int wait_for(struct guest_agent *agent, short events, struct deadline deadline, struct err *err)
{
	struct pollfd waiting = { .fd = agent->fd, .events = events };
	int r;

	do
		r = poll(&waiting, 1, deadline_left_ms(deadline));
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_set(err, -errno, "poll: %m");
	return r > 0 ? 0 : err_set(err, -ETIMEDOUT, "the guest agent did not answer in time");
}

static int send_all(struct guest_agent *agent, const struct str *text, struct deadline deadline, struct err *err)
{
	for (size_t done = 0; done < text->size;) {
		ssize_t count;
		int r = wait_for(agent, POLLOUT, deadline, err);

		if (r < 0)
			return r;
		count = send(agent->fd, text->data + done, text->size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (count < 0 && errno != EAGAIN && errno != EINTR)
			return err_set(err, -ENOENT, "the machine ended meanwhile");
		if (count > 0)
			done += (size_t)count;
	}
	return 0;
}

/* 'ret_line' is borrowed until the next call. */
static int receive_line(struct guest_agent *agent, struct deadline deadline, const char **ret_line, size_t *ret_size, struct err *err)
{
	char bytes[READ_BYTES];

	while (!line_buffer_next(&agent->lines, ret_line, ret_size)) {
		ssize_t count;
		int r = wait_for(agent, POLLIN, deadline, err);

		if (r < 0)
			return r;
		count = recv(agent->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (count < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (count <= 0)
			return err_set(err, -ENOENT, "the machine ended meanwhile");
		r = line_buffer_add(&agent->lines, bytes, (size_t)count, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Connecting */

bool guest_agent_is_sync(const char *line, size_t size, int64_t id)
{
	const char *sentinel = memrchr(line, SENTINEL, size);
	auto_json struct json *json = NULL;
	struct err err;

	if (!sentinel || json_parse(sentinel + 1, size - (size_t)(sentinel + 1 - line), &json, &err) < 0)
		return false;
	return json_int(json_get(json, "return"), -1) == id;
}

/* Whatever an earlier daemon's command left in the pipe is skipped. */
static int synchronise(struct guest_agent *agent, struct deadline deadline, struct err *err)
{
	auto_str struct str text = { 0 };
	const char *line;
	struct rng rng;
	size_t size;
	int64_t id;
	int r;

	rng_init_random(&rng);
	id = (int64_t)rng_below(&rng, INT32_MAX);
	str_printf(&text, "%c{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%lld}}\n", SENTINEL, (long long)id);
	r = send_all(agent, &text, deadline, err);
	while (r == 0) {
		r = receive_line(agent, deadline, &line, &size, err);
		if (r == 0 && guest_agent_is_sync(line, size, id))
			return 0;
	}
	return r;
}

static int connect_agent(struct guest_agent *agent, const struct qemu *qemu, const char *uid, struct deadline deadline, struct err *err)
{
	auto_close int run_dir = run_folder_open(qemu->directory_fd, uid, err);

	if (run_dir < 0)
		return run_dir;
	agent->fd = run_dir_connect(run_dir, RUN_AGENT, deadline_left_ms(deadline), err);
	if (agent->fd < 0)
		return err->code;
	return synchronise(agent, deadline, err);
}

/* Commands */

static int send_command(struct guest_agent *agent, const char *command, const char *arguments, struct deadline deadline, struct err *err)
{
	auto_str struct str text = { 0 };

	str_printf(&text, "{\"execute\":\"%s\",\"id\":%llu,\"arguments\":", command, (unsigned long long)++agent->next_id);
	str_append(&text, arguments ? arguments : "{}");
	str_append(&text, "}\n");
	return send_all(agent, &text, deadline, err);
}

/* The answer to the last command; late answers to earlier ones are dropped. */
static int receive_answer(struct guest_agent *agent, struct deadline deadline, struct qmp_message *ret_message, struct err *err)
{
	const char *line;
	size_t size;

	for (;;) {
		const struct json *id;
		int r = receive_line(agent, deadline, &line, &size, err);

		if (r == 0)
			r = qmp_message_parse(line, size, ret_message, err);
		if (r < 0)
			return r;
		id = json_get(ret_message->json, "id");
		if (!id || json_uint(id, 0) == agent->next_id)
			return 0;
		qmp_message_done(ret_message);
	}
}

static int take_answer(struct qmp_message *message, struct json **ret_reply, struct err *err)
{
	int r = 0;

	if (message->kind == QMP_ERROR)
		r = qmp_message_error(message, err);
	else if (message->kind != QMP_RETURN)
		r = err_set(err, -EPROTO, "the guest agent sent an unexpected message");
	else if (ret_reply)
		*ret_reply = take(message->json);
	qmp_message_done(message);
	return r;
}

/* After a failed exchange the stream is in an unknown state: the next command begins anew. */
static int exchange(struct guest_agent *agent, const struct qemu *qemu, const char *uid, const char *command,
		    const char *arguments, struct json **ret_reply, struct deadline deadline, struct err *err)
{
	struct qmp_message message;
	int r = 0;

	if (agent->fd < 0)
		r = connect_agent(agent, qemu, uid, deadline, err);
	if (r == 0)
		r = send_command(agent, command, arguments, deadline, err);
	if (r == 0)
		r = receive_answer(agent, deadline, &message, err);
	if (r < 0) {
		agent_close(agent);
		return r;
	}
	return take_answer(&message, ret_reply, err);
}

int guest_agent_call(struct qemu *qemu, const char *uid, const char *command, const char *arguments,
		     struct json **ret_reply, struct err *err)
{
	struct guest_agent *agent = agent_ref(qemu, uid);
	struct deadline deadline = deadline_in(COMMAND_TIMEOUT_MS);
	int r = agent_lock(agent, deadline, err);

	if (r == 0) {
		r = exchange(agent, qemu, uid, command, arguments, ret_reply, deadline, err);
		pthread_mutex_unlock(&agent->lock);
	}
	agent_unref(qemu, agent);
	return r;
}

int guest_agent_shutdown(struct qemu *qemu, const char *uid, struct err *err)
{
	struct guest_agent *agent = agent_ref(qemu, uid);
	struct deadline deadline = deadline_in(COMMAND_TIMEOUT_MS);
	int r = guest_agent_check(qemu, uid, err);

	if (r == 0)
		r = agent_lock(agent, deadline, err);
	if (r == 0) {
		if (agent->fd < 0)
			r = connect_agent(agent, qemu, uid, deadline, err);
		if (r == 0)
			r = send_command(agent, "guest-shutdown", "{\"mode\":\"powerdown\"}", deadline, err);
		if (r < 0)
			agent_close(agent);
		pthread_mutex_unlock(&agent->lock);
	}
	agent_unref(qemu, agent);
	return r;
}

/* Terminal */

struct guest_agent *guest_agent_take_terminal(struct qemu *qemu, const char *uid, struct err *err)
{
	struct guest_agent *agent = agent_ref(qemu, uid);

	if (!atomic_exchange(&agent->has_terminal, true))
		return agent;
	agent_unref(qemu, agent);
	err_set(err, -EBUSY, "the machine's terminal is in use: end the other session, or run the command without -t");
	return NULL;
}

void guest_agent_return_terminal(struct qemu *qemu, struct guest_agent *agent)
{
	atomic_store(&agent->has_terminal, false);
	agent_unref(qemu, agent);
}
