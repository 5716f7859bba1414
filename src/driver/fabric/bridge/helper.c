#include "driver/fabric/bridge/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "base/vec.h"

enum { TERM_WAIT_MS = 2000, KILL_WAIT_MS = 2000, CGROUP_WAIT_MS = 500, START_TIMEOUT_MS = 10000, FILE_MAX_BYTES = 64 << 10 };

#define CONFIG_OPTION "--conf-file="

struct pids { VEC(int) items; };

/* The configuration in the command line of a process, or null. */
static char *config_of(int pid)
{
	auto_free char *path = text_format("/proc/%d/cmdline", pid);
	auto_str struct str line = { 0 };
	struct err ignored;

	if (file_read_all(path, FILE_MAX_BYTES, &line, &ignored) < 0)
		return NULL;
	for (size_t at = 0; at < line.size; at += strlen(line.data + at) + 1)
		if (text_starts_with(line.data + at, CONFIG_OPTION))
			return text_copy(line.data + at + strlen(CONFIG_OPTION));
	return NULL;
}

static bool is_ours(const struct helper *helper, int pid)
{
	auto_free char *config = config_of(pid);
	size_t length = strlen(helper->folder);

	return config && strncmp(config, helper->folder, length) == 0 && config[length] == '/';
}

static void collect(const struct helper *helper, const char *path, struct pids *pids)
{
	auto_str struct str text = { 0 };
	struct err ignored;

	if (file_read_all(path, FILE_MAX_BYTES, &text, &ignored) < 0)
		return;
	for (const char *line = str_text(&text); line; line = strchr(line, '\n')) {
		int pid = atoi(line += *line == '\n');

		if (pid > 0 && is_ours(helper, pid))
			*vec_push(&pids->items) = pid;
	}
}

/* There is one in normal life, none after a crash, two when a crash fell into a restart. */
static struct pids find(const struct helper *helper)
{
	auto_free char *pid_file = text_format("%s/pid", helper->folder);
	struct pids pids = { 0 };

	if (helper->cgroup) {
		auto_free char *procs = text_format("%s/cgroup.procs", helper->cgroup);

		collect(helper, procs, &pids);
	}
	if (!pids.items.count)
		collect(helper, pid_file, &pids);
	return pids;
}

bool helper_runs(const struct helper *helper, const char *config)
{
	struct pids pids = find(helper);
	bool runs = false;

	if (pids.items.count == 1) {
		auto_free char *present = config_of(pids.items.items[0]);

		runs = text_equal(present, config);
	}
	vec_done(&pids.items);
	return runs;
}

/* An open handle on a process that is still ours, or -1. */
static int open_process(const struct helper *helper, int pid)
{
	int pidfd = pidfd_open(pid, 0);

	/* Looked at again: now that we hold it the pid cannot pass to another process. */
	if (pidfd >= 0 && !is_ours(helper, pid)) {
		close(pidfd);
		pidfd = -1;
	}
	return pidfd;
}

void helper_signal(const struct helper *helper, int signal)
{
	struct pids pids = find(helper);

	for (size_t i = 0; i < pids.items.count; i++) {
		auto_close int pidfd = open_process(helper, pids.items.items[i]);

		if (pidfd >= 0)
			pidfd_send_signal(pidfd, signal, NULL, 0);
	}
	vec_done(&pids.items);
}

static bool end_process(int pidfd)
{
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };

	pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
	if (poll(&ended, 1, TERM_WAIT_MS) == 1)
		return true;
	pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	return poll(&ended, 1, KILL_WAIT_MS) == 1;
}

/* The kernel may count a process for a moment after its end: cgroup.events tells when it does no more. */
static void remove_cgroup(const char *cgroup)
{
	auto_free char *path = text_format("%s/cgroup.events", cgroup);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct pollfd emptied = { .fd = fd, .events = POLLPRI };
	char events[256];

	/* Reading arms the next notification. */
	while (fd >= 0 && pread(fd, events, sizeof(events), 0) > 0 && rmdir(cgroup) < 0 && errno == EBUSY)
		if (poll(&emptied, 1, CGROUP_WAIT_MS) != 1)
			return;
}

int helper_stop(const struct helper *helper, struct err *err)
{
	struct pids pids = find(helper);
	int r = 0;

	for (size_t i = 0; i < pids.items.count; i++) {
		auto_close int pidfd = open_process(helper, pids.items.items[i]);

		if (pidfd >= 0 && !end_process(pidfd))
			r = err_set(err, -EBUSY, "dnsmasq (process %d) does not end: look at its state with ps", pids.items.items[i]);
	}
	vec_done(&pids.items);
	if (helper->cgroup)
		remove_cgroup(helper->cgroup);
	return r;
}

/* What it says is its name, a colon, and the reason. */
static void take_complaint(void *data, const char *line)
{
	struct err *complaint = data;
	const char *text = strstr(line, "dnsmasq: ");

	if (text)
		snprintf(complaint->msg, sizeof(complaint->msg), "%s", text + strlen("dnsmasq: "));
}

int helper_start(const struct helper *helper, const char *config, struct err *err)
{
	auto_free char *option = text_format(CONFIG_OPTION "%s", config);
	const char *const argv[] = { "dnsmasq", option, NULL };
	struct spawn_params params = { .argv = argv, .cgroup = helper->cgroup, .has_own_session = true };
	struct err complaint = { 0 };
	struct spawn_io io = { .timeout_ms = START_TIMEOUT_MS, .on_line = take_complaint, .data = &complaint };
	int r;

	if (helper->cgroup && (r = file_make_dirs(helper->cgroup, 0755, err)) < 0)
		return r;
	/* It puts itself into the background when its sockets are open, so its end is the news that it serves. */
	r = spawn_run(&params, &io, err);
	if (r == -EIO && complaint.msg[0])
		return err_set(err, -EIO, "dnsmasq: %s", complaint.msg);
	return r;
}
