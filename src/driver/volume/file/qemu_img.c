#include "driver/volume/file/qemu_img.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
	CANCEL_POLL_MS = 100,
	SILENCE_MAX_MS = 5 * 60 * 1000,	/* Progress is written at each percent at the latest. */
	LINE_MAX_BYTES = 4096,
};

/* A process that a hostile image drives mad ends here, not in the host's memory. */
static const char *const limiter[] = { "prlimit", "--as=4294967296" };

struct output {
	struct str line;
	struct str message;		/* The last line with its own name before it; others are hints below that. */
};

#define MESSAGE_PREFIX "qemu-img: "

void qemu_img_init(struct qemu_img *run, uid_t user, gid_t group, const char *subcommand)
{
	*run = (struct qemu_img){ .user = user, .group = group };
	for (size_t i = 0; i < ARRAY_COUNT(limiter); i++)
		qemu_img_add(run, limiter[i]);
	qemu_img_add(run, "qemu-img");
	qemu_img_add(run, subcommand);
}

void qemu_img_done(struct qemu_img *run)
{
	for (size_t i = 0; i < run->texts.count; i++)
		free(run->texts.items[i]);
	vec_done(&run->texts);
	vec_done(&run->argv);
	vec_done(&run->fds);
}

void qemu_img_add(struct qemu_img *run, const char *argument)
{
	*vec_push(&run->argv) = argument;
}

static void add_owned(struct qemu_img *run, char *text)
{
	*vec_push(&run->texts) = text;
	qemu_img_add(run, text);
}

static int lend(struct qemu_img *run, int fd)
{
	int number = QEMU_IMG_FIRST_FD + (int)run->fds.count;

	*vec_push(&run->fds) = (struct spawn_fd){ .from = fd, .to = number };
	return number;
}

void qemu_img_add_file(struct qemu_img *run, int fd)
{
	add_owned(run, text_format("/dev/fd/%d", lend(run, fd)));
}

void qemu_img_add_chain(struct qemu_img *run, const int *fds, const enum volume_format *formats, size_t count)
{
	auto_str struct str json = { 0 };

	str_append(&json, "json:");
	for (size_t i = 0; i < count; i++) {
		const char *driver = formats[i] == VOLUME_RAW ? "raw" : "qcow2";

		str_printf(&json, "{\"driver\":\"%s\",\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fd/%d\"}", driver,
			   lend(run, fds[i]));
		if (i + 1 < count)
			str_append(&json, ",\"backing\":");
		else if (formats[i] == VOLUME_QCOW2)
			str_append(&json, ",\"backing\":null");
	}
	for (size_t i = 0; i < count; i++)
		str_append_char(&json, '}');
	add_owned(run, take(json.data));
}

void qemu_img_add_target(struct qemu_img *run, const int *fds, const enum volume_format *formats, size_t count)
{
	auto_str struct str options = { 0 };
	auto_str struct str prefix = { 0 };

	for (size_t i = 0; i < count; i++) {
		const char *driver = formats[i] == VOLUME_RAW ? "raw" : "qcow2";

		str_printf(&options, "%s%sdriver=%s,%sfile.driver=file,%sfile.filename=/dev/fd/%d", i ? "," : "",
			   str_text(&prefix), driver, str_text(&prefix), str_text(&prefix), lend(run, fds[i]));
		str_append(&prefix, "backing.");
	}
	add_owned(run, take(options.data));
}

/* "    (12.34/100%)" */
static bool take_progress(struct qemu_img *run, const char *line)
{
	double percent;

	if (sscanf(line, " (%lf/100%%)", &percent) != 1)
		return false;
	if (percent >= 0 && percent <= 100)
		volume_report(run->progress, (uint64_t)((double)run->total_bytes * percent / 100), run->total_bytes);
	return true;
}

static void take_output(struct qemu_img *run, struct output *output, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != '\n' && bytes[i] != '\r') {
			if (output->line.size < LINE_MAX_BYTES)
				str_append_char(&output->line, bytes[i]);
			continue;
		}
		if (output->line.size && !take_progress(run, output->line.data) &&
		    (!output->message.size || text_starts_with(output->line.data, MESSAGE_PREFIX))) {
			str_clear(&output->message);
			str_append(&output->message, output->line.data);
		}
		str_clear(&output->line);
	}
}

/* Until the output ends, which is when the program does. */
static int pump(struct qemu_img *run, int fd, struct output *output, struct err *err)
{
	int64_t heard_ms = clock_monotonic_ms();

	for (;;) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		char chunk[4096];
		ssize_t n;

		if (volume_is_cancelled(run->progress))
			return err_set(err, -ECANCELED, "cancelled");
		if (clock_monotonic_ms() - heard_ms > SILENCE_MAX_MS)
			return err_set(err, -ETIMEDOUT, "qemu-img made no progress for %d minutes", SILENCE_MAX_MS / 60000);
		if (poll(&poll_fd, 1, CANCEL_POLL_MS) <= 0)
			continue;
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "read from qemu-img: %m");
		if (n == 0)
			return 0;
		if (n > 0)
			take_output(run, output, chunk, (size_t)n);
		heard_ms = clock_monotonic_ms();
	}
}

/* "qemu-img: Could not open 'json:{...}': No space left" -> "No space left" */
static const char *reason_of(const char *message)
{
	const char *names[] = { "}': ", "/dev/fd/" };

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		const char *at = strstr(message, names[i]);

		if (at && (at = strstr(at, "': ")) && at[3])
			message = at + 3;
	}
	return text_starts_with(message, MESSAGE_PREFIX) ? message + strlen(MESSAGE_PREFIX) : message;
}

static int explain(const struct output *output, const siginfo_t *info, struct err *err)
{
	const char *message = str_text(&output->message);
	const char *reason = reason_of(message);

	if (info->si_code != CLD_EXITED)
		return err_set(err, -EIO, "qemu-img was ended by signal %d", info->si_status);
	if (strstr(message, "lock"))
		return err_set(err, -EBUSY, "volume is in use by a running machine: stop it first");
	if (strstr(message, "No space left"))
		return err_set(err, -ENOSPC, "no space left where the volumes are: free some or remove volumes");
	if (!reason[0])
		return err_set(err, -EIO, "qemu-img failed with exit code %d and no message", info->si_status);
	return err_set(err, -EIO, "qemu-img: %s", text_shown(reason, 160, (char[176]){ 0 }, 176));
}

static int run_to_end(struct qemu_img *run, pid_t pid, int pidfd, int fd, int *ret_exit_code, struct err *err)
{
	struct output output = { 0 };
	siginfo_t info = { 0 };
	int r = pump(run, fd, &output, err);

	if (r < 0)
		kill(pid, SIGKILL);
	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	if (r == 0 && ret_exit_code && info.si_code == CLD_EXITED)
		*ret_exit_code = info.si_status;
	else if (r == 0 && (info.si_code != CLD_EXITED || info.si_status != 0))
		r = explain(&output, &info, err);
	str_done(&output.line);
	str_done(&output.message);
	return r;
}

int qemu_img_run(struct qemu_img *run, int *ret_exit_code, struct err *err)
{
	struct spawn_params params = { .ends_with_parent = true };
	auto_close int ours = -1, theirs = -1, pidfd = -1;
	int pipe_fds[2];
	pid_t pid;
	int r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_set(err, -errno, "make a pipe: %m");
	ours = pipe_fds[0];
	theirs = pipe_fds[1];
	*vec_push(&run->fds) = (struct spawn_fd){ .from = theirs, .to = STDOUT_FILENO };
	*vec_push(&run->fds) = (struct spawn_fd){ .from = theirs, .to = STDERR_FILENO };
	*vec_push(&run->argv) = NULL;
	params.argv = run->argv.items + (run->is_trusted ? ARRAY_COUNT(limiter) : 0);
	params.fds = run->fds.items;
	params.fd_count = run->fds.count;
	params.has_user = run->user != 0 && geteuid() == 0;
	params.user = run->user;
	params.group = run->group;
	r = spawn_start(&params, &pid, &pidfd, err);
	if (r < 0)
		return r;
	close(take_fd(theirs));
	return run_to_end(run, pid, pidfd, ours, ret_exit_code, err);
}
