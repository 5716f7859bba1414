#include "driver/machine/common/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/vec.h"
#include "driver/machine/common/deadline.h"

enum { DESTROY_TIMEOUT_MS = 30000, RETRY_MS = 2 };

struct pids { VEC(pid_t) items; };

int cgroup_create(const char *path, struct err *err)
{
	int r = file_make_dirs(path, 0755, err);

	return r < 0 ? err_prefix(err, "cgroup") : 0;
}

static void read_pids(const char *path, size_t max, struct pids *pids)
{
	auto_free char *procs = text_format("%s/cgroup.procs", path);
	auto_fclose FILE *file = fopen(procs, "re");
	int pid;

	while (file && pids->items.count < max && fscanf(file, "%d", &pid) == 1)
		*vec_push(&pids->items) = pid;
}

/* Calls 'visit' for each folder in 'path', until one returns other than 0. */
static int each_below(const char *path, int (*visit)(const char *path, void *data), void *data)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	int r = 0;

	while (r == 0 && directory && (entry = readdir(directory))) {
		auto_free char *below = NULL;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		below = text_format("%s/%s", path, entry->d_name);
		r = visit(below, data);
	}
	if (directory)
		closedir(directory);
	return r;
}

static int read_all_pids(const char *path, void *data)
{
	read_pids(path, SIZE_MAX, data);
	return each_below(path, read_all_pids, data);
}

pid_t cgroup_first_pid(const char *path)
{
	struct pids pids = { 0 };
	pid_t pid;

	read_pids(path, 1, &pids);
	pid = pids.items.count ? pids.items.items[0] : 0;
	vec_done(&pids.items);
	return pid;
}

bool cgroup_has_pid(const char *path, pid_t pid)
{
	struct pids pids = { 0 };
	bool is_there = false;

	read_all_pids(path, &pids);
	for (size_t i = 0; i < pids.items.count; i++)
		is_there = is_there || pids.items.items[i] == pid;
	vec_done(&pids.items);
	return is_there;
}

static int remove_visited(const char *path, void *data)
{
	(void)data;
	return cgroup_remove(path);
}

int cgroup_remove(const char *path)
{
	int r;

	/* Most have none below them. */
	if (rmdir(path) == 0 || errno == ENOENT)
		return 0;
	r = each_below(path, remove_visited, NULL);
	if (r == 0 && rmdir(path) < 0 && errno != ENOENT)
		return -errno;
	return r;
}

/* By the kernel in one go (Linux 5.14): a pid read from a file could be another process by now. */
static void signal_all(const char *path)
{
	auto_free char *kill_file = text_format("%s/cgroup.kill", path);
	auto_close int fd = open(kill_file, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "1", 1) != 1)
		return;			/* The caller sees that they live on. */
}

/* When it is our child and nobody watches it, it is reaped too. */
static void wait_process(pid_t pid, struct deadline deadline)
{
	auto_close int pidfd = pidfd_open(pid, 0);
	struct pollfd waiting = { .fd = pidfd, .events = POLLIN };
	siginfo_t info;

	if (pidfd < 0)
		return;
	while (poll(&waiting, 1, deadline_left_ms(deadline)) < 0 && errno == EINTR)
		;
	waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
}

static size_t end_processes(const char *path, struct deadline deadline)
{
	struct pids pids = { 0 };
	size_t count;

	read_all_pids(path, &pids);
	if (pids.items.count)
		signal_all(path);
	for (size_t i = 0; i < pids.items.count; i++)
		wait_process(pids.items.items[i], deadline);
	count = pids.items.count;
	vec_done(&pids.items);
	return count;
}

int cgroup_destroy(const char *path, struct err *err)
{
	struct deadline deadline = deadline_in(DESTROY_TIMEOUT_MS);
	int r;

	while (deadline_left_ms(deadline) > 0) {
		if (end_processes(path, deadline))
			continue;
		r = cgroup_remove(path);
		if (r == 0)
			return 0;
		if (r != -EBUSY)
			return err_set(err, r, "remove cgroup '%s': %m", shown(path));
		poll(NULL, 0, RETRY_MS);	/* The last process is still on its way out. */
	}
	return err_set(err, -ETIMEDOUT, "processes in cgroup '%s' do not end: the host's storage may be stuck", shown(path));
}
