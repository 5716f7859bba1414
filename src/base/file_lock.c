#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

enum { LOOK_MS = 20, PID_BYTES = 24 };

static pid_t read_holder(int fd)
{
	char text[PID_BYTES] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* Has who wrote his pid there left the lock behind? Ours: before an exec. */
static bool is_left_behind(pid_t holder)
{
	return holder > 0 && (holder == getpid() || (kill(holder, 0) < 0 && errno == ESRCH));
}

static void write_holder(int fd)
{
	char text[PID_BYTES];
	int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	/* Only for others to read: a full disk is no reason not to have the lock. */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) < 0)
		errno = 0;
}

int file_lock(const char *path, int *ret_fd, pid_t *ret_holder, struct err *err)
{
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int64_t limit_ms = clock_monotonic_ms() + FILE_LOCK_WAIT_MS;

	*ret_holder = 0;
	if (fd < 0)
		return err_set(err, -errno, "open '%s': %m", shown(path));
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_set(err, -errno, "lock '%s': %m", shown(path));
		*ret_holder = read_holder(fd);
		if (!is_left_behind(*ret_holder) || clock_monotonic_ms() >= limit_ms)
			return err_set(err, -EBUSY, "'%s' is locked by process %d", shown(path), (int)*ret_holder);
		poll(NULL, 0, LOOK_MS);
	}
	write_holder(fd);
	*ret_fd = take_fd(fd);
	return 0;
}
