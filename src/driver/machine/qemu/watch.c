/*
 * Theory of operation.
 *
 * A watch holds a pidfd, which tells that QEMU ended, and a connection to the second monitor,
 * which tells the rest (monitor.c). When the guest is off, the watch tells QEMU to end (SIGTERM: it closes
 * its images) and reports the exit when the process is gone.
 *
 * The other side is not trusted: a message that is too long or makes no sense closes the
 * monitor, and from then on only the end of the process is reported.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/limits.h"
#include "driver/machine/common/cgroup.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/qemu/monitor.h"
#include "driver/machine/qemu/qemu.h"
#include "driver/machine/qemu/run_dir.h"

enum { READ_BYTES = 16 << 10, CONNECT_TIMEOUT_MS = 1 };

struct machine_watch {
	struct loop *loop;
	machine_event_fn *fn;
	void *data;
	int run_dir, pidfd, socket;	/* 'socket' -1: the monitor is closed. */
	struct loop_source *process_source, *socket_source;
	struct monitor monitor;
	bool is_in_callback;		/* unwatch then leaves the rest to leave_callback(). */
};

static void watch_free(struct machine_watch *watch)
{
	loop_remove(watch->process_source);
	loop_remove(watch->socket_source);
	monitor_done(&watch->monitor);
	closep(&watch->run_dir);
	closep(&watch->pidfd);
	closep(&watch->socket);
	free(watch);
}

static void close_monitor(struct machine_watch *watch)
{
	loop_remove(watch->socket_source);
	watch->socket_source = NULL;
	closep(&watch->socket);
	watch->socket = -1;
}

/* What the monitor wants */

static void report(void *data, enum machine_event_kind kind, const char *text)
{
	struct machine_watch *watch = data;
	struct machine_event event = { .kind = kind };

	snprintf(event.text, sizeof(event.text), "%s", text);
	if (!watch->monitor.is_over)
		watch->fn(watch->data, &event);
}

/* Questions are short and few: one that does not fit into the socket's buffer goes to a stuck
 * QEMU and is not worth waiting for. */
static void ask(void *data, const char *command)
{
	struct machine_watch *watch = data;
	char text[128];
	int length = snprintf(text, sizeof(text), "{\"execute\":\"%s\",\"id\":\"%s\"}\n", command, command);

	if (watch->socket >= 0 && send(watch->socket, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) != length)
		close_monitor(watch);
}

static void end_process(void *data)
{
	struct machine_watch *watch = data;

	pidfd_send_signal(watch->pidfd, SIGTERM, NULL, 0);
}

/* The monitor's stream */

/* Reads at most 'budget' bytes, so that a flood delays nobody else in the loop. Whether more may come. */
static bool read_monitor(struct machine_watch *watch, size_t budget)
{
	char bytes[READ_BYTES];
	struct err err;

	while (watch->socket >= 0 && !watch->monitor.is_over && budget) {
		size_t wanted = budget < sizeof(bytes) ? budget : sizeof(bytes);
		ssize_t count = recv(watch->socket, bytes, wanted, MSG_DONTWAIT);

		if (count < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (count <= 0)
			return false;
		budget -= (size_t)count;
		if (monitor_take(&watch->monitor, bytes, (size_t)count, &err) < 0)
			return false;
	}
	return watch->socket >= 0;
}

static void leave_callback(struct machine_watch *watch)
{
	watch->is_in_callback = false;
	if (watch->monitor.is_over)
		watch_free(watch);
}

static void on_socket(void *data, int fd, uint32_t events)
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

static void describe_end(struct machine_watch *watch, int status, struct machine_event *event)
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

static void on_process_end(void *data, int status)
{
	struct machine_watch *watch = data;
	struct machine_event event = { .kind = MACHINE_EVENT_EXITED };

	watch->is_in_callback = true;
	/* Its last words lie in the socket. */
	read_monitor(watch, LIMIT_QMP_MESSAGE_BYTES);
	close_monitor(watch);
	event.cause = monitor_exit_cause(&watch->monitor);
	if (event.cause == MACHINE_EXIT_FAILED && run_folder_is_killed(watch->run_dir))
		event.cause = MACHINE_EXIT_HOST_OFF;
	if (event.cause == MACHINE_EXIT_FAILED)
		describe_end(watch, status, &event);
	if (!watch->monitor.is_over)
		watch->fn(watch->data, &event);
	leave_callback(watch);
}

/* Life */

static int open_watch(struct machine_watch *watch, const struct qemu *qemu, const char *uid, struct err *err)
{
	auto_free char *cgroup = qemu_cgroup(qemu, uid);
	pid_t pid = cgroup_first_pid(cgroup);

	watch->run_dir = run_folder_open(qemu->directory_fd, uid, err);
	if (watch->run_dir < 0)
		return watch->run_dir;
	if (pid)
		watch->pidfd = pidfd_open(pid, 0);
	/* Once more: by now the number could belong to another process. */
	if (watch->pidfd < 0 || cgroup_first_pid(cgroup) != pid)
		return err_set(err, -ENOENT, "machine '%s' does not run", shown(uid));
	watch->socket = run_dir_connect(watch->run_dir, RUN_EVENTS, CONNECT_TIMEOUT_MS, err);
	/* It refuses when QEMU is just ending: then the pidfd says the rest. */
	return watch->socket < 0 && err->code != -ENOENT ? watch->socket : 0;
}

static int register_watch(struct machine_watch *watch, struct err *err)
{
	int r = loop_add_child(watch->loop, watch->pidfd, on_process_end, watch, &watch->process_source, err);

	if (r < 0 || watch->socket < 0)
		return r;
	return loop_add_fd(watch->loop, watch->socket, EPOLLIN, on_socket, watch, &watch->socket_source, err);
}

int qemu_watch(struct machine_driver *driver, const char *uid, struct loop *loop, machine_event_fn *fn, void *data,
	       struct machine_watch **ret_watch, struct err *err)
{
	struct machine_watch *watch = alloc(sizeof(*watch));
	int r;

	*watch = (struct machine_watch){
		.loop = loop, .fn = fn, .data = data, .run_dir = -1, .pidfd = -1, .socket = -1,
		.monitor = {
			.report = report, .ask = ask, .guest_is_off = end_process, .data = watch,
			.lines.max_bytes = LIMIT_QMP_MESSAGE_BYTES,
		},
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
	watch->monitor.is_over = true;
	if (!watch->is_in_callback)
		watch_free(watch);
}
