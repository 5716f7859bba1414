#include "5-interface/cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

int terminal_signals_begin(struct terminal_signals *signals, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGWINCH);
	signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd < 0)
		return err_set(err, -errno, "make a signalfd: %m");
	sigprocmask(SIG_BLOCK, &set, &signals->before);
	return 0;
}

int terminal_signals_next(const struct terminal_signals *signals)
{
	struct signalfd_siginfo info;

	return read(signals->fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

void terminal_signals_end(struct terminal_signals *signals)
{
	/* Whoever waited has been told; unblocked, what is still there would end us in the middle of saying so. */
	while (terminal_signals_next(signals))
		;
	close(signals->fd);
	sigprocmask(SIG_SETMASK, &signals->before, NULL);
}

int terminal_raw_begin(struct terminal_raw *raw, int fd, struct err *err)
{
	struct termios now;

	*raw = (struct terminal_raw){ .fd = fd };
	if (!isatty(fd))
		return 0;
	if (tcgetattr(fd, &raw->before) < 0)
		return err_set(err, -errno, "read the terminal's settings: %m");
	now = raw->before;
	cfmakeraw(&now);
	if (tcsetattr(fd, TCSADRAIN, &now) < 0)
		return err_set(err, -errno, "make the terminal raw: %m");
	raw->is_raw = true;
	return 0;
}

void terminal_raw_end(struct terminal_raw *raw)
{
	if (raw->is_raw)
		tcsetattr(raw->fd, TCSADRAIN, &raw->before);
	raw->is_raw = false;
}

void terminal_size(int fd, unsigned short *ret_rows, unsigned short *ret_columns)
{
	struct winsize size = { 0 };
	bool is_known = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col;

	*ret_rows = is_known ? size.ws_row : 24;
	*ret_columns = is_known ? size.ws_col : 80;
}

int write_all(int fd, const void *bytes, size_t size, struct err *err)
{
	while (size) {
		ssize_t count = write(fd, bytes, size);

		if (count < 0 && errno == EAGAIN) {
			struct pollfd room = { .fd = fd, .events = POLLOUT };

			poll(&room, 1, -1);
			continue;
		}
		if (count < 0 && errno != EINTR)
			return err_set(err, -errno, "write the output: %m");
		if (count > 0) {
			bytes = (const char *)bytes + count;
			size -= (size_t)count;
		}
	}
	return 0;
}
