/* spawn_run(): a program from start to end, with its input, output and a time limit. */
#include "base/clock.h"
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

enum {
	CHUNK_BYTES = 64 << 10,
	CHUNKS_AT_ONCE = 32,			/* More than a pipe holds, and no flood keeps us from the clock. */
	LINE_MAX_BYTES = 4096,			/* A longer line of stderr is cut into several. */
	OUTPUT_MAX_DEFAULT_BYTES = 1 << 20,
	TIMEOUT_DEFAULT_MS = 10 * 60 * 1000,
	CANCEL_POLL_MS = 100,
};

struct run {
	const struct spawn_params *params;
	const struct spawn_io *io;
	const char *name;
	pid_t pid;
	int pidfd;
	int input;				/* What the child reads, or -1. */
	int output[2], errors[2];		/* Pipes; -1 when closed or unused. */
	struct str line;			/* The incomplete line of stderr. */
	struct str last_line;
	int64_t deadline_ms;
};

static void close_end(int *fd)
{
	closep(fd);
	*fd = -1;
}

static void run_done(struct run *run)
{
	close_end(&run->pidfd);
	close_end(&run->input);
	for (int i = 0; i < 2; i++) {
		close_end(&run->output[i]);
		close_end(&run->errors[i]);
	}
	str_done(&run->line);
	str_done(&run->last_line);
}

/* Only our end is non-blocking: the program would not expect that of its own. */
static int open_pipe(int ends[2], struct err *err)
{
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %m");
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		return err_set(err, -errno, "pipe: %m");
	return 0;
}

/* A file in memory: unlike a pipe it needs no feeding and cannot block or break. */
static int open_input(const struct spawn_io *io, int *ret_fd, struct err *err)
{
	auto_close int fd = memfd_create("input", MFD_CLOEXEC);
	size_t done = 0;

	if (fd < 0)
		return err_set(err, -errno, "memfd_create: %m");
	while (done < io->input_size) {
		ssize_t n = write(fd, (const char *)io->input + done, io->input_size - done);

		if (n < 0)
			return err_set(err, -errno, "write %zu bytes of input: %m", io->input_size);
		done += (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, -errno, "rewind the input: %m");
	*ret_fd = take_fd(fd);
	return 0;
}

static int open_ends(struct run *run, struct err *err)
{
	int r = open_pipe(run->errors, err);

	if (r == 0 && run->io->output)
		r = open_pipe(run->output, err);
	if (r == 0 && run->io->input)
		r = open_input(run->io, &run->input, err);
	return r;
}

static int start(struct run *run, struct err *err)
{
	struct spawn_params params = *run->params;
	auto_free struct spawn_fd *fds = alloc((params.fd_count + 3) * sizeof(fds[0]));
	size_t count = params.fd_count;
	int r;

	if (count)
		memcpy(fds, params.fds, count * sizeof(fds[0]));
	fds[count++] = (struct spawn_fd){ run->errors[1], STDERR_FILENO };
	if (run->input >= 0)
		fds[count++] = (struct spawn_fd){ run->input, STDIN_FILENO };
	if (run->output[1] >= 0)
		fds[count++] = (struct spawn_fd){ run->output[1], STDOUT_FILENO };
	params.fds = fds;
	params.fd_count = count;
	params.has_own_group = true;
	r = spawn_start(&params, &run->pid, &run->pidfd, err);

	/* Ours to close, so that the program's end is also the end of its pipes. */
	close_end(&run->errors[1]);
	close_end(&run->output[1]);
	close_end(&run->input);
	return r;
}

static void end_line(struct run *run)
{
	if (!run->line.size)
		return;
	if (run->io->on_line)
		run->io->on_line(run->io->data, run->line.data);
	str_clear(&run->last_line);
	str_append_bytes(&run->last_line, run->line.data, run->line.size);
	str_clear(&run->line);
}

static void take_errors(struct run *run, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		/* Progress meters return the carriage instead of ending the line. */
		bool is_end = bytes[i] == '\n' || bytes[i] == '\r' || bytes[i] == '\0';

		if (!is_end)
			str_append_char(&run->line, bytes[i]);
		if (is_end || run->line.size >= LINE_MAX_BYTES)
			end_line(run);
	}
}

static int take_output(struct run *run, const char *bytes, size_t size, struct err *err)
{
	size_t max = run->io->output_max ? run->io->output_max : OUTPUT_MAX_DEFAULT_BYTES;

	if (run->io->output->size + size > max)
		return err_set(err, -EFBIG, "'%s' wrote more than %zu bytes", run->name, max);
	str_append_bytes(run->io->output, bytes, size);
	return 0;
}

/* Reads what the pipe holds; closes it at its end. */
static int drain(struct run *run, int *fd, struct err *err)
{
	char chunk[CHUNK_BYTES];

	for (int i = 0; i < CHUNKS_AT_ONCE && *fd >= 0; i++) {
		ssize_t n = read(*fd, chunk, sizeof(chunk));
		int r = 0;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n <= 0)
			close_end(fd);
		else if (fd == &run->errors[0])
			take_errors(run, chunk, (size_t)n);
		else
			r = take_output(run, chunk, (size_t)n, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_limits(const struct run *run, struct err *err)
{
	if (run->io->is_cancelled && __atomic_load_n(run->io->is_cancelled, __ATOMIC_RELAXED))
		return err_set(err, -ECANCELED, "'%s' was cancelled", run->name);
	if (clock_monotonic_ms() >= run->deadline_ms)
		return err_set(err, -ETIMEDOUT, "'%s' did not end within %llu ms", run->name,
			       (unsigned long long)(run->io->timeout_ms ? run->io->timeout_ms :
						    TIMEOUT_DEFAULT_MS));
	return 0;
}

static int poll_timeout(const struct run *run)
{
	int64_t now = clock_monotonic_ms();
	int64_t wait = run->deadline_ms > now ? run->deadline_ms - now : 0;

	if (wait > CANCEL_POLL_MS && (run->io->is_cancelled || run->io->on_tick))
		return CANCEL_POLL_MS;
	return wait > INT32_MAX ? INT32_MAX : (int)wait;
}

/*
 * Until the program itself has ended. A background process it left behind may hold the
 * pipes for ever, so what they contain then is all that is read.
 */
static int pump(struct run *run, struct err *err)
{
	bool has_ended = false;
	int r = 0;

	while (r == 0 && !has_ended) {
		struct pollfd fds[] = {
			{ .fd = run->pidfd, .events = POLLIN },
			{ .fd = run->output[0], .events = POLLIN },
			{ .fd = run->errors[0], .events = POLLIN },
		};

		if (poll(fds, ARRAY_COUNT(fds), poll_timeout(run)) < 0 && errno != EINTR)
			return err_set(err, -errno, "poll: %m");
		has_ended = fds[0].revents != 0;
		r = drain(run, &run->output[0], err);
		if (r == 0)
			r = drain(run, &run->errors[0], err);
		if (run->io->on_tick)
			run->io->on_tick(run->io->data);
		if (r == 0 && !has_ended)
			r = check_limits(run, err);
	}
	end_line(run);
	return r;
}

static int explain_end(const struct run *run, const siginfo_t *info, struct err *err)
{
	if (info->si_code != CLD_EXITED)
		return err_set(err, -EIO, "'%s' was ended by signal %d (%s)", run->name, info->si_status,
			       sigdescr_np(info->si_status));
	if (info->si_status == 0)
		return 0;
	if (run->last_line.size)
		return err_set(err, -EIO, "'%s' failed: %s", run->name,
			       text_shown(run->last_line.data, 160, (char[176]){ 0 }, 176));
	return err_set(err, -EIO, "'%s' failed with exit code %d and no message", run->name, info->si_status);
}

static int run_to_end(struct run *run, struct err *err)
{
	siginfo_t info = { 0 };
	int r = pump(run, err);

	/* Not reaped yet, so the group still is the one we made. */
	if (r < 0)
		kill(-run->pid, SIGKILL);
	while (waitid(P_PIDFD, (id_t)run->pidfd, &info, WEXITED) < 0)
		if (errno != EINTR)
			return r < 0 ? r : err_set(err, -errno, "wait for '%s': %m", run->name);
	return r < 0 ? r : explain_end(run, &info, err);
}

int spawn_run(const struct spawn_params *params, const struct spawn_io *io, struct err *err)
{
	const struct spawn_io nothing = { 0 };
	struct run run = {
		.params = params,
		.io = io ? io : &nothing,
		.pidfd = -1, .input = -1, .output = { -1, -1 }, .errors = { -1, -1 },
	};
	const char *slash = strrchr(params->argv[0], '/');
	char name[80];
	int r;

	run.name = text_shown(slash ? slash + 1 : params->argv[0], 64, name, sizeof(name));
	run.deadline_ms = clock_monotonic_ms() + (int64_t)(run.io->timeout_ms ? run.io->timeout_ms : TIMEOUT_DEFAULT_MS);
	r = open_ends(&run, err);
	if (r == 0)
		r = start(&run, err);
	if (r == 0)
		r = run_to_end(&run, err);
	run_done(&run);
	return r;
}
