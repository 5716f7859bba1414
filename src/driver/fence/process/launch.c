/* The life of the watchdog, as the daemon sees it. */
#include "driver/fence/process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"

enum { READY_MS = 10000, END_MS = 1000, TEXT_BYTES = 256 };
#define OVERSLEPT_NS UINT64_C(1000000000)

static void forget(struct process_fence *fence)
{
	siginfo_t info;

	if (fence->pidfd >= 0)		/* Reaped when it was our child. */
		waitid(P_PIDFD, (id_t)fence->pidfd, &info, WEXITED | WNOHANG);
	closep(&fence->pidfd);
	fence->pidfd = -1;
	fence->watchdog = 0;
}

static bool has_ended(const struct process_fence *fence)
{
	struct pollfd end = { .fd = fence->pidfd, .events = POLLIN };

	return poll(&end, 1, 0) != 0;
}

/* Stopped, or without a processor: whatever it is, nothing would be ended in time. */
static bool overslept(const struct process_fence *fence)
{
	uint64_t until_ns = FENCE_LOAD(fence->page->sleeps_until_ns), now_ns = clock_ns(CLOCK_BOOTTIME);

	return now_ns > until_ns && now_ns - until_ns > OVERSLEPT_NS;
}

/* The number is that of the lock's holder before and after it was opened, so it is his pidfd. */
void fence_adopt(struct process_fence *fence)
{
	pid_t pid = fence_page_holder(fence->fd);
	int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;

	if (pidfd >= 0 && fence_page_holder(fence->fd) == pid) {
		fence->watchdog = pid;
		fence->pidfd = pidfd;
	} else {
		closep(&pidfd);
	}
}

void fence_dismiss(struct process_fence *fence, int signal)
{
	struct pollfd end = { .fd = fence->pidfd, .events = POLLIN };

	if (fence->pidfd < 0)
		return;
	pidfd_send_signal(fence->pidfd, signal, NULL, 0);
	while (poll(&end, 1, END_MS) < 0 && errno == EINTR)
		;
	forget(fence);
}

void fence_wake(struct process_fence *fence)
{
	pidfd_send_signal(fence->pidfd, SIGUSR1, NULL, 0);
}

/* What it says until it says no more. */
static int read_answer(int fd, char ret_text[TEXT_BYTES], struct err *err)
{
	int64_t limit_ms = clock_monotonic_ms() + READY_MS;
	struct pollfd answer = { .fd = fd, .events = POLLIN };
	size_t size = 0;

	while (size < TEXT_BYTES - 1) {
		int64_t left_ms = limit_ms - clock_monotonic_ms();
		ssize_t n;

		if (left_ms <= 0 || poll(&answer, 1, (int)left_ms) == 0)
			return err_set(err, -EIO, "it has not answered within %d s", READY_MS / 1000);
		n = read(fd, ret_text + size, TEXT_BYTES - 1 - size);
		if (n < 0 && errno != EINTR)
			return err_set(err, -EIO, "read its answer: %m");
		if (n == 0)
			break;
		size += n > 0 ? (size_t)n : 0;
	}
	ret_text[size] = '\0';
	return 0;
}

static int run_program(struct process_fence *fence, int answer[2], struct err *err)
{
	const char *const argv[] = { fence->program, fence->directory, NULL };
	const struct spawn_fd fds[] = { { answer[1], 1 }, { answer[1], 2 } };
	const struct spawn_params params = {
		.argv = argv, .fds = fds, .fd_count = ARRAY_COUNT(fds), .cgroup = fence->cgroup, .has_own_session = true,
	};
	char text[TEXT_BYTES];
	int r = spawn_start(&params, &fence->watchdog, &fence->pidfd, err);

	closep(&answer[1]);
	answer[1] = -1;
	if (r < 0)
		return r;
	r = read_answer(answer[0], text, err);
	if (r == 0 && strcmp(text, "ready") != 0)
		r = err_set(err, -EIO, "%s", text[0] ? shown(text) : "it ended at once");
	if (r < 0)
		fence_dismiss(fence, SIGKILL);
	return r;
}

static int start(struct process_fence *fence, struct err *err)
{
	int answer[2] = { -1, -1 };
	int r = 0;

	if (fence->cgroup)
		r = file_make_dirs(fence->cgroup, 0755, err);
	if (r == 0 && pipe2(answer, O_CLOEXEC) < 0)
		r = err_set(err, -errno, "pipe: %m");
	if (r == 0)
		r = run_program(fence, answer, err);
	closep(&answer[0]);
	closep(&answer[1]);
	if (r < 0) {
		err->code = -EIO;
		return err_prefix(err, "instances with 'ha: restart' cannot run here, for the watchdog '%s' cannot be started", shown(fence->program));
	}
	return 0;
}

int fence_ensure(struct process_fence *fence, struct err *err)
{
	if (fence->pidfd >= 0 && has_ended(fence))
		forget(fence);
	if (fence->pidfd >= 0 && overslept(fence))
		fence_dismiss(fence, SIGKILL);
	return fence->pidfd >= 0 ? 0 : start(fence, err);
}
