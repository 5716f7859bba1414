/*
 * Theory of operation: `exec -t`.
 *
 * The machine has a second virtio console, /dev/hvc1 in the guest, which is a real tty; its other end
 * is a socket in the run directory. The command runs there as leader of its own session, and
 * this thread carries bytes between the socket and the caller, follows size changes with
 * stty, and asks the guest agent now and then whether the command has ended.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/machine/qemu/exec.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/qemu/guest_agent.h"
#include "driver/machine/qemu/run_dir.h"

enum { BUFFER_BYTES = 16 << 10, STATUS_MIN_MS = 20, STATUS_MAX_MS = 200, DRAIN_MS = 50, CONTROL_D = 4 };

#define TERMINAL "/dev/hvc1"

struct terminal {
	struct qemu *qemu;
	const char *uid;
	const struct machine_exec *exec;
	int socket;
	int64_t pid;
	bool has_input, has_resize;	/* Not yet at their end. */
};

/* Opens the tty as stdin, stdout, stderr, makes it sane and of the right size, and gives the command a
 * session in which it is the controlling terminal. */
static const char script[] =
	"exec <>" TERMINAL " >&0 2>&1; stty sane 2>/dev/null; "
	"[ \"$1\" = 0 ] || stty rows \"$1\" cols \"$2\" 2>/dev/null; shift 2; "
	"export TERM=\"${TERM:-xterm}\"; exec setsid -c \"$@\"";

static int start_command(struct terminal *terminal, struct err *err)
{
	struct exec_argv argv = { 0 };
	char rows[12], columns[12];
	int r;

	snprintf(rows, sizeof(rows), "%u", terminal->exec->columns ? terminal->exec->rows : 0);
	snprintf(columns, sizeof(columns), "%u", terminal->exec->columns);
	*vec_push(&argv.items) = "sh";
	*vec_push(&argv.items) = "-c";
	*vec_push(&argv.items) = script;
	*vec_push(&argv.items) = "sh";
	*vec_push(&argv.items) = rows;
	*vec_push(&argv.items) = columns;
	exec_wrap(terminal->exec, &argv);
	r = guest_exec_start(terminal->qemu, terminal->uid, argv.items.items, NULL, false, &terminal->pid, err);
	vec_done(&argv.items);
	return r;
}

/* Carrying bytes. Each returns 0, or -errno when the session cannot go on. */

static int carry_input(struct terminal *terminal, struct err *err)
{
	char bytes[BUFFER_BYTES];
	ssize_t count = read(terminal->exec->input, bytes, sizeof(bytes));

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (count <= 0) {
		/* A terminal has no other way to say "end of file". */
		bytes[0] = CONTROL_D;
		count = 1;
		terminal->has_input = false;
	}
	return exec_write_all(terminal->socket, bytes, (size_t)count, err);
}

static int carry_output(struct terminal *terminal, struct err *err)
{
	char bytes[BUFFER_BYTES];
	ssize_t count = recv(terminal->socket, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (count <= 0)
		return err_set(err, -ENOENT, "the machine ended meanwhile");
	return terminal->exec->output < 0 ? 0 : exec_write_all(terminal->exec->output, bytes, (size_t)count, err);
}

static void carry_size(struct terminal *terminal)
{
	uint16_t size[2];
	char rows[12], columns[12];
	const char *argv[] = { "stty", "-F", TERMINAL, "rows", rows, "cols", columns, NULL };

	if (read(terminal->exec->resize, size, sizeof(size)) != (ssize_t)sizeof(size)) {
		terminal->has_resize = false;
		return;
	}
	snprintf(rows, sizeof(rows), "%u", size[0]);
	snprintf(columns, sizeof(columns), "%u", size[1]);
	guest_exec_forget(terminal->qemu, terminal->uid, argv);
}

/* One wait and what follows from it. Whether anything moved, or -errno. */
static int carry(struct terminal *terminal, int timeout_ms, struct err *err)
{
	struct pollfd waiting[] = {
		{ .fd = terminal->socket, .events = POLLIN },
		{ .fd = terminal->has_input ? terminal->exec->input : -1, .events = POLLIN },
		{ .fd = terminal->has_resize ? terminal->exec->resize : -1, .events = POLLIN },
	};
	int r = 0;

	if (poll(waiting, ARRAY_COUNT(waiting), timeout_ms) <= 0)
		return 0;
	if (waiting[2].revents)
		carry_size(terminal);
	if (waiting[0].revents)
		r = carry_output(terminal, err);
	if (r == 0 && waiting[1].revents)
		r = carry_input(terminal, err);
	return r < 0 ? r : 1;
}

/* The command's last words may still be on their way when it has ended. */
static int drain(struct terminal *terminal, struct err *err)
{
	struct pollfd waiting = { .fd = terminal->socket, .events = POLLIN };
	int r = 0;

	while (r == 0 && poll(&waiting, 1, DRAIN_MS) > 0)
		r = carry_output(terminal, err);
	return r;
}

static bool is_cancelled(const struct terminal *terminal)
{
	const bool *flag = terminal->exec->is_cancelled;

	return flag && __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static int run_session(struct terminal *terminal, int *ret_exit_code, struct err *err)
{
	struct deadline next = deadline_in(STATUS_MIN_MS);
	int64_t pause_ms = STATUS_MIN_MS;

	for (;;) {
		struct guest_exec_status status = { 0 };
		int r = carry(terminal, deadline_left_ms(next), err);

		if (r >= 0 && is_cancelled(terminal))
			r = err_set(err, -ECANCELED, "the caller went away");
		if (r < 0)
			return r;
		if (deadline_left_ms(next) > 0)
			continue;
		r = guest_exec_status(terminal->qemu, terminal->uid, terminal->pid, &status, err);
		guest_exec_status_done(&status);
		if (r < 0)
			return r;
		if (status.has_exited) {
			r = drain(terminal, err);
			if (r == 0)
				*ret_exit_code = status.exit_code;
			return r;
		}
		pause_ms = pause_ms * 2 < STATUS_MAX_MS ? pause_ms * 2 : STATUS_MAX_MS;
		next = deadline_in(pause_ms);
	}
}

static int open_session(struct terminal *terminal, int *ret_exit_code, struct err *err)
{
	auto_close int run_dir = run_folder_open(terminal->qemu->directory_fd, terminal->uid, err);
	auto_close int socket_fd = -1;
	int r;

	if (run_dir < 0)
		return run_dir;
	socket_fd = run_dir_connect(run_dir, RUN_TERMINAL, QMP_TIMEOUT_MS, err);
	if (socket_fd < 0)
		return socket_fd;
	terminal->socket = socket_fd;
	r = start_command(terminal, err);
	if (r < 0)
		return r;
	r = run_session(terminal, ret_exit_code, err);
	if (r < 0)			/* As when a terminal is unplugged. */
		exec_kill(terminal->qemu, terminal->uid, terminal->pid, "-HUP");
	return r;
}

int exec_in_terminal(struct qemu *qemu, const char *uid, const struct machine_exec *exec, int *ret_exit_code, struct err *err)
{
	struct terminal terminal = {
		.qemu = qemu, .uid = uid, .exec = exec, .socket = -1,
		.has_input = exec->input >= 0, .has_resize = exec->resize >= 0,
	};
	struct guest_agent *agent = guest_agent_take_terminal(qemu, uid, err);
	int r;

	if (!agent)
		return err->code;
	r = open_session(&terminal, ret_exit_code, err);
	guest_agent_return_terminal(qemu, agent);
	return r;
}
