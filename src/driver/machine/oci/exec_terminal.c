/*
 * Theory of operation: `exec -t`.
 *
 * crun makes a pseudo-terminal inside the container and sends its other end through a socket in the run directory.
 * This thread carries bytes between it and the caller, and the terminal's size, until the command has ended.
 * crun does not wait until somebody has taken the terminal: a command that asks for its size in its very first instant
 * may see none, and gets SIGWINCH then. No input comes before the size is set.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/machine/oci/exec.h"

enum { BUFFER_BYTES = 16 << 10, TURN_MS = 100, CONTROL_D = 4 };

struct terminal {
	struct session *session;
	int listener, master;		/* 'master' -1: not here yet. */
	char name[64];			/* Of the socket, in the run directory. */
	bool has_input, has_resize, has_output;	/* Not yet at their end. */
	bool has_ended;
};

static int write_all(int fd, const char *bytes, size_t size, struct err *err)
{
	while (size) {
		ssize_t count = write(fd, bytes, size);

		if (count < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, TURN_MS);
		else if (count < 0 && errno != EINTR)
			return err_set(err, -errno, "write to the terminal: %m");
		else if (count > 0) {
			bytes += count;
			size -= (size_t)count;
		}
	}
	return 0;
}

/* The socket */

static int listen_for_master(struct terminal *terminal, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	/* One for each exec at a time: threads have numbers of their own. */
	snprintf(terminal->name, sizeof(terminal->name), "tty-%d", (int)gettid());
	unlinkat(terminal->session->run_dir, terminal->name, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", terminal->session->run_dir, terminal->name);
	terminal->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (terminal->listener < 0 || bind(terminal->listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(terminal->listener, 1) < 0)
		return err_set(err, -errno, "make a socket for the terminal: %m");
	return 0;
}

static int receive_fd(int connection)
{
	union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	char name[256];
	struct iovec text = { name, sizeof(name) };
	struct msghdr message = {
		.msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
	};
	const struct cmsghdr *header;
	int fd;

	if (recvmsg(connection, &message, MSG_CMSG_CLOEXEC) < 0)
		return -1;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -1;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static void set_size(const struct terminal *terminal, unsigned rows, unsigned columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

	if (terminal->master >= 0 && columns)
		ioctl(terminal->master, TIOCSWINSZ, &size);
}

static int take_master(struct terminal *terminal, struct err *err)
{
	const struct machine_exec *exec = terminal->session->exec;
	auto_close int connection = accept4(terminal->listener, NULL, NULL, SOCK_CLOEXEC);

	if (connection < 0)
		return errno == EAGAIN ? 0 : err_set(err, -errno, "take the terminal: %m");
	terminal->master = receive_fd(connection);
	if (terminal->master < 0)
		return err_set(err, -EIO, "crun sent no terminal");
	set_size(terminal, exec->rows, exec->columns);
	return 0;
}

/* Carrying */

static int carry_input(struct terminal *terminal, struct err *err)
{
	char bytes[BUFFER_BYTES];
	ssize_t count = read(terminal->session->exec->input, bytes, sizeof(bytes));

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (count <= 0) {
		/* A terminal has no other way to say "end of file". */
		bytes[0] = CONTROL_D;
		count = 1;
		terminal->has_input = false;
	}
	return write_all(terminal->master, bytes, (size_t)count, err);
}

static int carry_output(struct terminal *terminal, struct err *err)
{
	char bytes[BUFFER_BYTES];
	ssize_t count = read(terminal->master, bytes, sizeof(bytes));

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (count <= 0) {		/* EIO: nobody has the other end open. */
		terminal->has_output = false;
		return 0;
	}
	return terminal->session->exec->output < 0 ? 0 : write_all(terminal->session->exec->output, bytes, (size_t)count, err);
}

static void carry_size(struct terminal *terminal)
{
	uint16_t size[2];

	if (read(terminal->session->exec->resize, size, sizeof(size)) != (ssize_t)sizeof(size))
		terminal->has_resize = false;
	else
		set_size(terminal, size[0], size[1]);
}

/* One wait and what follows from it. */
static int turn(struct terminal *terminal, int timeout_ms, struct err *err)
{
	const struct machine_exec *exec = terminal->session->exec;
	bool has_master = terminal->master >= 0;
	struct pollfd waiting[] = {
		{ .fd = terminal->has_ended ? -1 : terminal->session->pidfd, .events = POLLIN },
		{ .fd = has_master ? -1 : terminal->listener, .events = POLLIN },
		{ .fd = has_master && terminal->has_output ? terminal->master : -1, .events = POLLIN },
		{ .fd = has_master && terminal->has_input ? exec->input : -1, .events = POLLIN },
		{ .fd = has_master && terminal->has_resize ? exec->resize : -1, .events = POLLIN },
	};
	int r = poll(waiting, ARRAY_COUNT(waiting), timeout_ms);

	if (r == 0 && terminal->has_ended)
		terminal->has_output = false;	/* Somebody else keeps it open. */
	if (r <= 0)
		return 0;
	r = 0;
	terminal->has_ended = terminal->has_ended || waiting[0].revents;
	if (waiting[1].revents)
		r = take_master(terminal, err);
	if (waiting[4].revents)
		carry_size(terminal);
	if (r == 0 && waiting[2].revents)
		r = carry_output(terminal, err);
	if (r == 0 && waiting[3].revents && !terminal->has_ended)
		r = carry_input(terminal, err);
	return r;
}

static int carry(struct terminal *terminal, struct err *err)
{
	int r = 0;

	while (r == 0 && !(terminal->has_ended && (terminal->master < 0 || !terminal->has_output))) {
		r = turn(terminal, terminal->has_ended ? 0 : TURN_MS, err);
		if (r == 0 && !terminal->has_ended && oci_exec_is_cancelled(terminal->session))
			r = err_set(err, -ECANCELED, "the caller went away");
	}
	return r;
}

static int run(struct terminal *terminal, int *ret_exit_code, struct err *err)
{
	struct session *session = terminal->session;
	auto_free char *path = text_format("%s/%s/%s", session->oci->directory, session->uid, terminal->name);
	struct err ignored;
	int r = oci_exec_start(session, path, err);

	if (r < 0)
		return r;
	r = carry(terminal, err);
	if (r < 0)			/* As when a terminal is unplugged, but surely. */
		oci_exec_kill(session);
	return r < 0 ? oci_exec_finish(session, ret_exit_code, &ignored), r : oci_exec_finish(session, ret_exit_code, err);
}

int oci_exec_in_terminal(struct session *session, int *ret_exit_code, struct err *err)
{
	struct terminal terminal = {
		.session = session, .listener = -1, .master = -1, .has_output = true,
		.has_input = session->exec->input >= 0, .has_resize = session->exec->resize >= 0,
	};
	int r = listen_for_master(&terminal, err);

	if (r == 0)
		r = run(&terminal, ret_exit_code, err);
	unlinkat(session->run_dir, terminal.name, 0);
	closep(&terminal.listener);
	closep(&terminal.master);
	return r;
}
