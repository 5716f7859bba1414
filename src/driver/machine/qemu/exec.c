/*
 * Commands in the guest without a terminal. The guest agent takes stdin as a whole at the start
 * and gives stdout and stderr as a whole at the end (16 MiB each), so that is how they pass.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver/machine/qemu/exec.h"
#include "driver/machine/qemu/guest_agent.h"

enum {
	INPUT_MAX_BYTES = 16 << 20, READ_BYTES = 64 << 10,
	POLL_MIN_MS = 5, POLL_MAX_MS = 100,
};

static bool is_cancelled(const struct machine_exec *exec)
{
	return exec->is_cancelled && __atomic_load_n(exec->is_cancelled, __ATOMIC_RELAXED);
}

int exec_write_all(int fd, const char *bytes, size_t size, struct err *err)
{
	for (size_t done = 0; done < size;) {
		ssize_t count = write(fd, bytes + done, size - done);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
			continue;
		}
		if (count < 0)
			return err_set(err, -errno, "write output: %m");
		done += (size_t)count;
	}
	return 0;
}

/* Input */

/* 1: some bytes, 0: end, negative: error. */
static int read_some(int fd, struct str *input, struct err *err)
{
	char bytes[READ_BYTES];
	ssize_t count = read(fd, bytes, sizeof(bytes));

	if (count < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (count < 0)
		return err_set(err, -errno, "read input: %m");
	if (input->size + (size_t)count > INPUT_MAX_BYTES)
		return err_set(err, -EFBIG, "input is larger than %d MiB: copy it into the guest as a file first",
			       INPUT_MAX_BYTES >> 20);
	str_append_bytes(input, bytes, (size_t)count);
	return count > 0;
}

static int read_input(const struct machine_exec *exec, struct str *input, struct err *err)
{
	struct pollfd waiting = { .fd = exec->input, .events = POLLIN };
	int r = 1;

	while (r > 0) {
		if (is_cancelled(exec))
			return err_set(err, -ECANCELED, "the caller went away");
		if (poll(&waiting, 1, POLL_MAX_MS) > 0)
			r = read_some(exec->input, input, err);
	}
	return r;
}

/* The command */

/* The agent knows neither a folder nor additions to its environment: sh and env of the guest do. */
void exec_wrap(const struct machine_exec *exec, struct exec_argv *argv)
{
	if (exec->directory) {
		*vec_push(&argv->items) = "sh";
		*vec_push(&argv->items) = "-c";
		*vec_push(&argv->items) = "cd \"$1\" && shift && exec \"$@\"";
		*vec_push(&argv->items) = "sh";
		*vec_push(&argv->items) = exec->directory;
	}
	if (exec->env && exec->env[0])
		*vec_push(&argv->items) = "env";
	for (const char *const *variable = exec->env; variable && *variable; variable++)
		*vec_push(&argv->items) = *variable;
	for (const char *const *arg = exec->argv; *arg; arg++)
		*vec_push(&argv->items) = *arg;
	*vec_push(&argv->items) = NULL;
}

void exec_kill(struct qemu *qemu, const char *uid, int64_t pid, const char *signal)
{
	char number[24];
	const char *argv[] = { "kill", signal, number, NULL };

	snprintf(number, sizeof(number), "%lld", (long long)pid);
	guest_exec_forget(qemu, uid, argv);
}

static int wait_for_end(struct qemu *qemu, const char *uid, const struct machine_exec *exec, int64_t pid,
			struct guest_exec_status *status, struct err *err)
{
	int pause_ms = POLL_MIN_MS;

	for (;;) {
		int r = guest_exec_status(qemu, uid, pid, status, err);

		if (r < 0 || status->has_exited)
			return r;
		guest_exec_status_done(status);
		if (is_cancelled(exec)) {
			exec_kill(qemu, uid, pid, "-KILL");
			return err_set(err, -ECANCELED, "the caller went away");
		}
		poll(NULL, 0, pause_ms);
		pause_ms = pause_ms * 2 < POLL_MAX_MS ? pause_ms * 2 : POLL_MAX_MS;
	}
}

static int deliver(const struct machine_exec *exec, const struct guest_exec_status *status, struct err *err)
{
	static const char notice[] = "strata: the guest agent cut the output after 16 MiB\n";
	int r = 0;

	if (exec->output >= 0)
		r = exec_write_all(exec->output, status->output.data, status->output.size, err);
	if (r == 0 && exec->error >= 0)
		r = exec_write_all(exec->error, status->error.data, status->error.size, err);
	if (r == 0 && status->is_truncated && exec->error >= 0)
		r = exec_write_all(exec->error, notice, sizeof(notice) - 1, err);
	return r;
}

static int run_command(struct qemu *qemu, const char *uid, const struct machine_exec *exec, int *ret_exit_code, struct err *err)
{
	auto_str struct str input = { 0 };
	struct guest_exec_status status = { 0 };
	struct exec_argv argv = { 0 };
	int64_t pid;
	int r = exec->input >= 0 ? read_input(exec, &input, err) : 0;

	if (r < 0)
		return r;
	exec_wrap(exec, &argv);
	r = guest_exec_start(qemu, uid, argv.items.items, exec->input >= 0 ? &input : NULL, true, &pid, err);
	vec_done(&argv.items);
	if (r < 0)
		return r;
	r = wait_for_end(qemu, uid, exec, pid, &status, err);
	if (r < 0)
		return r;
	r = deliver(exec, &status, err);
	guest_exec_status_done(&status);
	if (r == 0)
		*ret_exit_code = status.exit_code;
	return r;
}

int qemu_exec(struct machine_driver *driver, const char *uid, const struct machine_exec *exec, int *ret_exit_code, struct err *err)
{
	struct qemu *qemu = qemu_of(driver);
	int r = guest_agent_check(qemu, uid, err);

	if (r < 0)
		return r;
	return exec->has_terminal ? exec_in_terminal(qemu, uid, exec, ret_exit_code, err) :
				    run_command(qemu, uid, exec, ret_exit_code, err);
}
