#include "driver/machine/qemu/run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/qemu/stderr_text.h"

enum {
	BACKLOG = 16,			/* Commands that wait while another one talks. */
	NICS_MAX_BYTES = 4096,
};

static const char *const socket_names[] = {
	[RUN_QMP] = "qmp", [RUN_EVENTS] = "events", [RUN_MIGRATION] = "migration", [RUN_CONSOLE] = "console",
	[RUN_AGENT] = "agent", [RUN_TERMINAL] = "terminal",
};

/* Sockets */

static void make_address(int dir_fd, enum run_socket which, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", dir_fd, socket_names[which]);
}

int run_dir_listen(int dir_fd, enum run_socket which, struct err *err)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	make_address(dir_fd, which, &address);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0)
		return err_set(err, -errno, "listen on socket '%s': %m", socket_names[which]);
	return take_fd(fd);
}

int run_dir_connect(int dir_fd, enum run_socket which, int timeout_ms, struct err *err)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* For unix sockets this also limits how long connect(2) waits for a place in the backlog. */
	struct timeval timeout = { timeout_ms / 1000, (timeout_ms % 1000) * 1000 + 1 };
	struct sockaddr_un address;

	make_address(dir_fd, which, &address);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return err_set(err, -errno, "socket: %m");
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return take_fd(fd);
	if (errno == EAGAIN)
		return err_set(err, -ETIMEDOUT, "the machine's %s socket did not answer", socket_names[which]);
	if (errno == ECONNREFUSED || errno == ENOENT)
		return err_set(err, -ENOENT, "the machine does not run");
	return err_set(err, -errno, "connect to the machine's %s socket: %m", socket_names[which]);
}

int run_dir_make_display(int dir_fd, uid_t user, gid_t group, struct err *err)
{
	auto_close int fd = -1;

	if (mkdirat(dir_fd, "display", 0700) < 0 || symlinkat("display/vnc", dir_fd, "vnc") < 0)
		return err_set(err, -errno, "make folder for the display: %m");
	fd = openat(dir_fd, "display", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || (geteuid() == 0 && fchown(fd, user, group) < 0))
		return err_set(err, -errno, "make folder for the display: %m");
	return take_fd(fd);
}

/* Small files */

int run_dir_make_log(int dir_fd, struct err *err)
{
	int fd = openat(dir_fd, "log", O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);

	return fd < 0 ? err_set(err, -errno, "make QEMU's log: %m") : fd;
}

void run_dir_last_words(int dir_fd, char *words, size_t size)
{
	char tail[RUN_FOLDER_LOG_TAIL_BYTES + 1];

	text_shown(stderr_text(run_folder_last_line(dir_fd, tail)), size - 4, words, size);
}

int run_dir_write_nics(int dir_fd, const char *text, struct err *err)
{
	auto_close int fd = openat(dir_fd, "nics", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return err_set(err, -errno, "write list of nics: %m");
	return 0;
}

void run_dir_read_nics(int dir_fd, struct str *out)
{
	auto_close int fd = openat(dir_fd, "nics", O_RDONLY | O_CLOEXEC);
	char text[NICS_MAX_BYTES];
	ssize_t count = fd < 0 ? 0 : read(fd, text, sizeof(text));

	if (count > 0)
		str_append_bytes(out, text, (size_t)count);
}

static int mark(int dir_fd, const char *name, bool is_so, struct err *err)
{
	auto_close int fd = is_so ? openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (is_so ? fd < 0 : unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_set(err, -errno, "mark the machine as %s: %m", name);
	return 0;
}

int run_dir_mark_frozen(int dir_fd, bool is_frozen, struct err *err)
{
	return mark(dir_fd, "frozen", is_frozen, err);
}

int run_dir_mark_incoming(int dir_fd, bool is_incoming, struct err *err)
{
	return mark(dir_fd, "incoming", is_incoming, err);
}
