/*
 * Theory of operation.
 *
 * A watch holds a pidfd, which tells that QEMU ended, and a connection to the second monitor,
 * which tells the rest. What a stop means ("a person paused it", "a disk is full", "a snapshot
 * is being written") is not in the STOP event, so on every change the watch asks for the
 * status and reports how it differs from what it last reported. The same question right
 * after connecting finds out what happened before: nothing needs to be remembered.
 *
 * A guest that powers off leaves QEMU waiting ("shutdown" status): the watch then tells
 * QEMU to end (SIGTERM: it closes its images) and reports the exit when the process is gone.
 *
 * The other side is not trusted: a message that is too long or makes no sense closes the
 * monitor, and from then on only the end of the process is reported.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "driver/machine/qemu/cgroup.h"
#include "driver/machine/qemu/qemu.h"
#include "driver/machine/qemu/qmp_message.h"
#include "driver/machine/qemu/run_dir.h"

enum { READ_BYTES = 16 << 10 };

enum running { RUNNING, PAUSED, IO_ERROR };

struct machine_watch {
	struct loop *loop;
	machine_event_fn *fn;
	void *data;
	int run_dir, pidfd, monitor;
	struct loop_source *process_source, *monitor_source;
	struct line_buffer lines;
	enum running reported;
	bool has_agent;			/* As reported. */
	bool is_over;			/* unwatch was called from within a callback. */
	bool is_in_callback;
	char shutdown_reason[32];	/* From SHUTDOWN; "" none yet. */
	char io_error[120];		/* From BLOCK_IO_ERROR. */
};

/* Reporting */

static void watch_free(struct machine_watch *watch)
{
	loop_remove(watch->process_source);
	loop_remove(watch->monitor_source);
	line_buffer_done(&watch->lines);
	closep(&watch->run_dir);
	closep(&watch->pidfd);
	closep(&watch->monitor);
	free(watch);
}

static void report(struct machine_watch *watch, const struct machine_event *event)
{
	if (watch->is_over)
		return;
	watch->fn(watch->data, event);
}

static void report_kind(struct machine_watch *watch, enum machine_event_kind kind, const char *text)
{
	struct machine_event event = { .kind = kind };

	snprintf(event.text, sizeof(event.text), "%s", text);
	report(watch, &event);
}

static void report_running(struct machine_watch *watch, enum running now)
{
	if (watch->reported == now)
		return;
	watch->reported = now;
	if (now == RUNNING)
		report_kind(watch, MACHINE_EVENT_RESUMED, "");
	else if (now == PAUSED)
		report_kind(watch, MACHINE_EVENT_PAUSED, "");
	else
		report_kind(watch, MACHINE_EVENT_IO_ERROR,
			    watch->io_error[0] ? watch->io_error : "a disk of the machine failed");
}

static void report_agent(struct machine_watch *watch, bool is_up)
{
	if (watch->has_agent == is_up)
		return;
	watch->has_agent = is_up;
	report_kind(watch, is_up ? MACHINE_EVENT_AGENT_UP : MACHINE_EVENT_AGENT_DOWN, "");
}

/* Asking */

static void close_monitor(struct machine_watch *watch)
{
	loop_remove(watch->monitor_source);
	watch->monitor_source = NULL;
	closep(&watch->monitor);
	watch->monitor = -1;
}

/* Questions are short and few: one that does not fit into the socket's buffer goes to a stuck
 * QEMU and is not worth waiting for. */
static void ask(struct machine_watch *watch, const char *command)
{
	char text[128];
	int length = snprintf(text, sizeof(text), "{\"execute\":\"%s\",\"id\":\"%s\"}\n", command, command);

	if (watch->monitor >= 0 && send(watch->monitor, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) != length)
		close_monitor(watch);
}

/* Answers */

static void end_process(struct machine_watch *watch, const char *reason)
{
	if (!watch->shutdown_reason[0])
		snprintf(watch->shutdown_reason, sizeof(watch->shutdown_reason), "%s", reason);
	pidfd_send_signal(watch->pidfd, SIGTERM, NULL, 0);
}

static void take_status(struct machine_watch *watch, const struct json *answer)
{
	const char *status = json_string(json_get(answer, "status"), "");

	if (text_equal(status, "running"))
		report_running(watch, RUNNING);
	else if (text_equal(status, "paused") || text_equal(status, "suspended"))
		report_running(watch, PAUSED);
	else if (text_equal(status, "io-error"))
		report_running(watch, IO_ERROR);
	else if (text_equal(status, "shutdown"))
		end_process(watch, "guest-shutdown");
	/* All others pass by themselves: "save-vm", "restore-vm", ... */
}

static void take_ports(struct machine_watch *watch, const struct json *ports)
{
	for (size_t i = 0; i < json_count(ports); i++)
		if (text_equal(json_string(json_get(json_at(ports, i), "label"), NULL), "agent"))
			report_agent(watch, json_bool(json_get(json_at(ports, i), "frontend-open"), false));
}

static void take_answer(struct machine_watch *watch, const struct json *message)
{
	const char *id = json_string(json_get(message, "id"), "");

	if (text_equal(id, "query-status"))
		take_status(watch, json_get(message, "return"));
	else if (text_equal(id, "query-chardev"))
		take_ports(watch, json_get(message, "return"));
}

/* Events */

static void on_stop_or_resume(struct machine_watch *watch, const struct json *data)
{
	(void)data;
	ask(watch, "query-status");
}

static void on_shutdown(struct machine_watch *watch, const struct json *data)
{
	/* The reason says more than the status that follows. */
	end_process(watch, json_string(json_get(data, "reason"), "guest-shutdown"));
}

static void on_io_error(struct machine_watch *watch, const struct json *data)
{
	const char *reason = json_string(json_get(data, "reason"), "unknown reason");

	if (!text_equal(json_string(json_get(data, "action"), ""), "stop"))
		return;
	if (json_bool(json_get(data, "nospace"), false))
		reason = "No space left on device";
	text_shown(reason, sizeof(watch->io_error) - 4, watch->io_error, sizeof(watch->io_error));
	ask(watch, "query-status");
}

static void on_port_change(struct machine_watch *watch, const struct json *data)
{
	if (text_equal(json_string(json_get(data, "id"), NULL), "agent"))
		report_agent(watch, json_bool(json_get(data, "open"), false));
}

static void on_panic(struct machine_watch *watch, const struct json *data)
{
	(void)data;
	report_kind(watch, MACHINE_EVENT_PANICKED, "the guest's kernel panicked");
}

static void take_event(struct machine_watch *watch, const struct json *message)
{
	static const struct {
		const char *name;
		void (*fn)(struct machine_watch *watch, const struct json *data);
	} handlers[] = {
		{ "STOP", on_stop_or_resume }, { "RESUME", on_stop_or_resume }, { "SHUTDOWN", on_shutdown },
		{ "BLOCK_IO_ERROR", on_io_error }, { "VSERPORT_CHANGE", on_port_change },
		{ "GUEST_PANICKED", on_panic },
	};
	const char *name = json_string(json_get(message, "event"), "");

	for (size_t i = 0; i < ARRAY_COUNT(handlers); i++)
		if (text_equal(name, handlers[i].name))
			handlers[i].fn(watch, json_get(message, "data"));
}

static void take_message(struct machine_watch *watch, const struct qmp_message *message)
{
	switch (message->kind) {
	case QMP_GREETING:
		ask(watch, "qmp_capabilities");
		ask(watch, "query-status");
		ask(watch, "query-chardev");
		break;
	case QMP_RETURN:
		take_answer(watch, message->json);
		break;
	case QMP_EVENT:
		take_event(watch, message->json);
		break;
	case QMP_ERROR:			/* Older QEMUs may lack a command: then we know less. */
		break;
	}
}

/* The monitor's stream */

static int take_lines(struct machine_watch *watch, struct err *err)
{
	const char *line;
	size_t size;

	while (!watch->is_over && line_buffer_next(&watch->lines, &line, &size)) {
		struct qmp_message message;
		int r = qmp_message_parse(line, size, &message, err);

		if (r < 0)
			return r;
		take_message(watch, &message);
		qmp_message_done(&message);
	}
	return 0;
}

/* Reads at most 'budget' bytes, so that a flood delays nobody else in the loop. Whether more may come. */
static bool read_monitor(struct machine_watch *watch, size_t budget)
{
	char bytes[READ_BYTES];
	struct err err;

	while (watch->monitor >= 0 && !watch->is_over && budget) {
		ssize_t count = recv(watch->monitor, bytes, budget < sizeof(bytes) ? budget : sizeof(bytes), MSG_DONTWAIT);

		if (count < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (count <= 0)
			return false;
		budget -= (size_t)count;
		if (line_buffer_add(&watch->lines, bytes, (size_t)count, &err) < 0 || take_lines(watch, &err) < 0)
			return false;
	}
	return watch->monitor >= 0;
}

static void leave_callback(struct machine_watch *watch)
{
	watch->is_in_callback = false;
	if (watch->is_over)
		watch_free(watch);
}

static void on_monitor(void *data, int fd, uint32_t events)
{
	struct machine_watch *watch = data;

	(void)fd;
	(void)events;
	watch->is_in_callback = true;
	if (!read_monitor(watch, READ_BYTES))
		close_monitor(watch);
	leave_callback(watch);
}

/* The end of the process */

static void describe_status(struct machine_watch *watch, int status, struct machine_event *event)
{
	char words[100];

	run_dir_last_words(watch->run_dir, words, sizeof(words));
	if (status >= 0 && WIFSIGNALED(status))
		snprintf(event->text, sizeof(event->text), "QEMU was killed by signal %d", WTERMSIG(status));
	else if (words[0])
		snprintf(event->text, sizeof(event->text), "QEMU ended: %s", words);
	else
		snprintf(event->text, sizeof(event->text), "QEMU ended unexpectedly");
}

static void explain_exit(struct machine_watch *watch, int status, struct machine_event *event)
{
	static const struct { const char *reason; enum machine_exit cause; } causes[] = {
		{ "guest-shutdown", MACHINE_EXIT_GUEST_OFF },
		{ "guest-reset", MACHINE_EXIT_GUEST_RESET },
		{ "host-qmp-quit", MACHINE_EXIT_HOST_OFF },
	};

	event->cause = MACHINE_EXIT_FAILED;
	if (run_dir_is_killed(watch->run_dir))
		event->cause = MACHINE_EXIT_HOST_OFF;
	for (size_t i = 0; i < ARRAY_COUNT(causes); i++)
		if (text_equal(watch->shutdown_reason, causes[i].reason))
			event->cause = causes[i].cause;
	if (event->cause == MACHINE_EXIT_FAILED)
		describe_status(watch, status, event);
}

static void on_process_end(void *data, int status)
{
	struct machine_watch *watch = data;
	struct machine_event event = { .kind = MACHINE_EVENT_EXITED };

	watch->is_in_callback = true;
	/* Its last words lie in the socket. */
	read_monitor(watch, LIMIT_QMP_MESSAGE_BYTES);
	close_monitor(watch);
	explain_exit(watch, status, &event);
	report(watch, &event);
	leave_callback(watch);
}

/* Life */

static int open_watch(struct machine_watch *watch, const struct qemu *qemu, const char *uid, struct err *err)
{
	auto_free char *cgroup = qemu_cgroup(qemu, uid);
	pid_t pid = cgroup_first_pid(cgroup);

	watch->run_dir = run_dir_open(qemu->directory_fd, uid, err);
	if (watch->run_dir < 0)
		return watch->run_dir;
	if (pid)
		watch->pidfd = pidfd_open(pid, 0);
	/* Once more: by now the number could belong to another process. */
	if (watch->pidfd < 0 || cgroup_first_pid(cgroup) != pid)
		return err_set(err, -ENOENT, "machine '%s' does not run", shown(uid));
	watch->monitor = run_dir_connect(watch->run_dir, RUN_EVENTS, 1, err);
	if (watch->monitor < 0 && err->code != -ENOENT)
		return watch->monitor;
	return 0;
}

static int register_watch(struct machine_watch *watch, struct err *err)
{
	int r = loop_add_child(watch->loop, watch->pidfd, on_process_end, watch, &watch->process_source, err);

	if (r < 0 || watch->monitor < 0)
		return r;
	return loop_add_fd(watch->loop, watch->monitor, EPOLLIN, on_monitor, watch, &watch->monitor_source, err);
}

int qemu_watch(struct machine_driver *driver, const char *uid, struct loop *loop, machine_event_fn *fn, void *data,
	       struct machine_watch **ret_watch, struct err *err)
{
	struct machine_watch *watch = alloc(sizeof(*watch));
	int r;

	*watch = (struct machine_watch){
		.loop = loop, .fn = fn, .data = data, .run_dir = -1, .pidfd = -1, .monitor = -1,
		.lines.max_bytes = LIMIT_QMP_MESSAGE_BYTES,
	};
	r = open_watch(watch, qemu_of(driver), uid, err);
	if (r == 0)
		r = register_watch(watch, err);
	if (r < 0) {
		watch_free(watch);
		return r;
	}
	*ret_watch = watch;
	return 0;
}

void qemu_unwatch(struct machine_driver *driver, struct machine_watch *watch)
{
	(void)driver;
	if (!watch)
		return;
	watch->is_over = true;
	if (!watch->is_in_callback)
		watch_free(watch);
}
