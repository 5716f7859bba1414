/*
 * Theory of operation: a command in the container.
 *
 * `crun exec` joins the container's namespaces and cgroups and runs the command with the caller's own fds, so no byte
 * passes through us. crun is born in the machine's cgroup "monitor": what ends the machine ends it too. It
 * reads the description of the process, and writes the command's pid and its own complaints, in
 * files in memory; so its complaints and the command's stderr are told apart.
 */
#include "driver/machine/oci/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spawn.h"
#include "driver/machine/common/cgroup.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/oci/program.h"
#include "driver/machine/oci/state.h"

enum { CANCEL_POLL_MS = 100, PROCESS_FD = 3, LOG_FD = 4, PID_FD = 5, ARGS_MAX = 16, LOG_MAX_BYTES = 2048, SIGNAL_BASE = 128 };

bool oci_exec_is_cancelled(const struct session *session)
{
	return session->exec->is_cancelled && __atomic_load_n(session->exec->is_cancelled, __ATOMIC_RELAXED);
}

static int memory_file(const char *name, struct err *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	return fd < 0 ? err_set(err, -errno, "memfd_create: %m") : fd;
}

static int open_files(struct session *session, struct err *err)
{
	auto_str struct str text = { 0 };
	int r = oci_exec_describe(session, &text, err);

	if (r < 0)
		return r;
	if ((session->process = memory_file("process", err)) < 0 || (session->log = memory_file("log", err)) < 0 ||
	    (session->pid_file = memory_file("pid", err)) < 0)
		return err->code;
	return file_write_at(session->process, str_text(&text), text.size, 0, err);
}

static void add_stdio(const struct machine_exec *exec, struct spawn_fd *fds, size_t *count)
{
	const int ours[] = { exec->input, exec->output, exec->error };

	for (int i = 0; i < 3 && !exec->has_terminal; i++)
		if (ours[i] >= 0)
			fds[(*count)++] = (struct spawn_fd){ ours[i], i };
}

int oci_exec_start(struct session *session, const char *console, struct err *err)
{
	auto_free char *root = text_format("--root=%s", session->oci->state);
	auto_free char *socket = console ? text_format("--console-socket=%s", console) : NULL;
	auto_free char *cgroup = layout_group(&session->oci->layout, session->uid, "monitor");
	const char *argv[ARGS_MAX] = {
		session->oci->program, root, "--cgroup-manager=cgroupfs", "--log=/proc/self/fd/4", "exec",
		"--process=/proc/self/fd/3", "--pid-file=/proc/self/fd/5",
	};
	struct spawn_fd fds[6] = { { session->process, PROCESS_FD }, { session->log, LOG_FD }, { session->pid_file, PID_FD } };
	size_t argument = 7;
	struct spawn_params params = { .argv = argv, .fds = fds, .fd_count = 3, .cgroup = cgroup, .has_own_session = true };
	int r = open_files(session, err);

	if (r < 0)
		return r;
	fds[0].from = session->process;
	fds[1].from = session->log;
	fds[2].from = session->pid_file;
	add_stdio(session->exec, fds, &params.fd_count);
	if (socket)
		argv[argument++] = socket;
	argv[argument] = session->uid;
	return spawn_start(&params, NULL, &session->pidfd, err);
}

/* The command leads a session and so a group of its own. crun has not reaped it yet, so the number is still its. */
void oci_exec_kill(const struct session *session)
{
	auto_free char *group = layout_group(&session->oci->layout, session->uid, "container");
	char text[32] = "";
	pid_t pid;

	if (pread(session->pid_file, text, sizeof(text) - 1, 0) < 0)
		return;
	pid = (pid_t)strtol(text, NULL, 10);
	if (pid > 1 && cgroup_has_pid(group, pid)) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
	} else
		pidfd_send_signal(session->pidfd, SIGKILL, NULL, 0);
}

/* What crun said, when it could not run the command. */
static int explain(const struct session *session, struct err *err)
{
	char text[LOG_MAX_BYTES + 1];
	ssize_t count = pread(session->log, text, LOG_MAX_BYTES, 0);

	text[count > 0 ? count : 0] = '\0';
	return count <= 0 ? 0 : program_explain(text, session->exec->argv[0], err);
}

int oci_exec_finish(struct session *session, int *ret_exit_code, struct err *err)
{
	siginfo_t info = { 0 };

	while (waitid(P_PIDFD, (id_t)session->pidfd, &info, WEXITED) < 0)
		if (errno != EINTR)
			return err_set(err, -errno, "wait for crun: %m");
	if (info.si_code == CLD_EXITED && info.si_status == 0)
		*ret_exit_code = 0;
	else if (explain(session, err) < 0)
		return err->code;
	else
		*ret_exit_code = info.si_code == CLD_EXITED ? info.si_status : SIGNAL_BASE + info.si_status;
	return 0;
}

static int run(struct session *session, int *ret_exit_code, struct err *err)
{
	bool was_cancelled = false;
	int r = oci_exec_start(session, NULL, err);

	if (r < 0)
		return r;
	for (;;) {
		struct pollfd waiting = { .fd = session->pidfd, .events = POLLIN };

		if (poll(&waiting, 1, session->exec->is_cancelled ? CANCEL_POLL_MS : -1) > 0)
			break;
		if (oci_exec_is_cancelled(session)) {
			was_cancelled = true;
			oci_exec_kill(session);
		}
	}
	r = oci_exec_finish(session, ret_exit_code, err);
	return was_cancelled ? err_set(err, -ECANCELED, "the caller went away") : r;
}

static void session_done(struct session *session)
{
	closep(&session->run_dir);
	closep(&session->process);
	closep(&session->log);
	closep(&session->pid_file);
	closep(&session->pidfd);
}

int oci_exec(struct machine_driver *driver, const char *uid, const struct machine_exec *exec, int *ret_exit_code, struct err *err)
{
	const struct oci *oci = oci_of(driver);
	struct session session = {
		.oci = oci, .uid = uid, .exec = exec, .run_dir = -1, .process = -1, .log = -1, .pid_file = -1, .pidfd = -1,
	};
	int r;

	session.run_dir = run_folder_open(oci->directory_fd, uid, err);
	if (session.run_dir < 0)
		return session.run_dir;
	r = oci_find(oci, uid, &session.container, err);
	if (r == 0 && oci_is_frozen(oci, uid))
		r = err_set(err, -EBUSY, "machine '%s' is paused: resume it first", shown(uid));
	if (r == 0)
		r = exec->has_terminal ? oci_exec_in_terminal(&session, ret_exit_code, err) : run(&session, ret_exit_code, err);
	session_done(&session);
	return r;
}
