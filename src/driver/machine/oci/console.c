/*
 * The container's standard input or terminal, as conmon offers it (conmon's src/conn_sock.c, src/ctrl.c): the socket
 * "attach" takes input as packets, each as it is, and sends output as packets whose first byte names the stream.
 * As the port has it that output is thrown away, its caller need not know of packets. conmon reads 32 KiB at most of
 * each, so the socket's buffer keeps larger ones from being sent (EMSGSIZE).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/machine/oci/oci.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/oci/state.h"

enum { PACKET_MAX_BYTES = 32 << 10 };

static int open_running(const struct oci *oci, const char *uid, struct err *err)
{
	auto_close int run_dir = run_folder_open(oci->directory_fd, uid, err);
	pid_t pid;
	int r;

	if (run_dir < 0)
		return run_dir;
	r = oci_find(oci, uid, &pid, err);
	return r < 0 ? r : take_fd(run_dir);
}

int oci_console_open(struct machine_driver *driver, const char *uid, int *ret_fd, struct err *err)
{
	auto_close int run_dir = open_running(oci_of(driver), uid, err);
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	/* The kernel counts twice what it is told. */
	int size = PACKET_MAX_BYTES / 2;

	if (run_dir < 0)
		return run_dir;
	if (!run_folder_is_marked(run_dir, "input"))
		return err_set(err, -EOPNOTSUPP, "the container has no input: start it with a terminal or with its input kept open");
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/attach", run_dir);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, errno == ECONNREFUSED ? -ENOENT : -errno, "connect to the container's console: %m");
	*ret_fd = take_fd(fd);
	return 0;
}

int oci_console_resize(struct machine_driver *driver, const char *uid, unsigned rows, unsigned columns, struct err *err)
{
	auto_close int run_dir = open_running(oci_of(driver), uid, err);
	auto_close int fd = -1;
	char line[40];
	int length = snprintf(line, sizeof(line), "%u %u\n", rows, columns);

	if (run_dir < 0)
		return run_dir;
	/* Not blocking: conmon may be on its way out. */
	fd = openat(run_dir, "winsz", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || write(fd, line, (size_t)length) != length)
		return err_set(err, -errno, "change the size of the container's terminal: %m");
	return 0;
}
