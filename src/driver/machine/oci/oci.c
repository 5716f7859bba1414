#include "driver/machine/oci/oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "driver/machine/common/cgroup.h"
#include "driver/machine/common/deadline.h"
#include "driver/machine/common/process.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/oci/state.h"

enum { FREEZE_TIMEOUT_MS = 10000 };

char *oci_fifo(const struct oci *oci, const char *uid)
{
	return text_format("%s/%s/exec.fifo", oci->state, uid);
}

/* Open and close */

static void oci_close(struct machine_driver *driver)
{
	struct oci *oci = oci_of(driver);

	layout_done(&oci->layout);
	closep(&oci->directory_fd);
	free(oci->program);
	free(oci->directory);
	free(oci->cgroup);
	free(oci->state);
	free(oci);
}

static int prepare(struct oci *oci, const struct machine_params *params, struct err *err)
{
	int r;

	if (!params->cgroup || params->cgroup[0] != '/')
		return err_set(err, -EINVAL, "machines need a cgroup (v2) of their own: mount cgroup2");
	r = layout_init(&oci->layout, params->cgroup, err);
	if (r == 0)
		r = file_make_dirs(oci->state, 0700, err);
	if (r < 0)
		return r;
	oci->directory_fd = open(params->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (oci->directory_fd < 0)
		return err_set(err, -errno, "open '%s': %m", shown(params->directory));
	return 0;
}

static int oci_open(const struct machine_params *params, struct machine_driver **ret_driver, struct err *err)
{
	struct oci *oci = alloc(sizeof(*oci));
	int r;

	*oci = (struct oci){
		.base.ops = &machine_oci, .directory_fd = -1, .program = text_copy(params->program ? params->program : "crun"),
		.directory = text_copy(params->directory), .cgroup = text_copy(params->cgroup),
		.state = text_format("%s/.crun", params->directory),
	};
	r = prepare(oci, params, err);
	if (r < 0) {
		oci_close(&oci->base);
		return r;
	}
	*ret_driver = &oci->base;
	return 0;
}

/* Life */

int oci_destroy(const struct oci *oci, const char *uid, struct err *err)
{
	auto_free char *directory = text_format("%s/%s", oci->directory, uid);
	auto_free char *state = text_format("%s/%s", oci->state, uid);
	auto_close int run_dir = openat(oci->directory_fd, uid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (run_dir >= 0)
		run_folder_mark(run_dir, "killed");
	r = layout_destroy(&oci->layout, uid, err);
	if (run_dir >= 0)
		oci_state_collect_monitor(run_dir);
	if (r == 0)
		r = file_remove_tree(state, err);
	/* Last: as long as it is there, list() finds what is left. */
	return r < 0 || run_dir < 0 ? r : file_remove_tree(directory, err);
}

static int oci_kill(struct machine_driver *driver, const char *uid, struct err *err)
{
	return oci_destroy(oci_of(driver), uid, err);
}

int oci_find(const struct oci *oci, const char *uid, pid_t *ret_pid, struct err *err)
{
	auto_close int run_dir = run_folder_open(oci->directory_fd, uid, err);
	auto_free char *group = layout_group(&oci->layout, uid, "container");
	auto_free char *fifo = oci_fifo(oci, uid);
	long pid;

	if (run_dir < 0)
		return run_dir;
	pid = oci_state_number(run_dir, "pid", 0);
	/* The number could be another process by now; what is in the cgroup is ours. */
	if (pid <= 0 || access(fifo, F_OK) == 0 || !cgroup_has_pid(group, (pid_t)pid))
		return err_set(err, -ENOENT, "machine '%s' does not run", shown(uid));
	*ret_pid = (pid_t)pid;
	return 0;
}

static int oci_status(struct machine_driver *driver, const char *uid, struct machine_status *ret_status, struct err *err)
{
	const struct oci *oci = oci_of(driver);
	struct machine_status status = { .state = MACHINE_RUNNING };
	int r = oci_find(oci, uid, &status.pid, err);

	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && oci_is_frozen(oci, uid))
		status.state = MACHINE_PAUSED;
	if (r == 0)
		status.started_at = process_started_at(status.pid);
	*ret_status = r == 0 ? status : (struct machine_status){ .state = MACHINE_ABSENT };
	return 0;
}

/* Asking it to stop */

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* What each init system takes as "power off". */
static int signal_for_init(pid_t pid)
{
	char link[64], path[256];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	length = readlink(link, path, sizeof(path) - 1);
	path[length > 0 ? length : 0] = '\0';
	if (ends_with(path, "/systemd"))
		return SIGRTMIN + 3;
	if (ends_with(path, "/busybox"))
		return SIGUSR2;
	return SIGPWR;			/* sysvinit */
}

static bool has_init(int run_dir)
{
	return run_folder_is_marked(run_dir, "init");
}

static int oci_shutdown(struct machine_driver *driver, const char *uid, struct err *err)
{
	const struct oci *oci = oci_of(driver);
	auto_close int run_dir = run_folder_open(oci->directory_fd, uid, err);
	auto_close int pidfd = -1;
	int signal;
	pid_t pid;
	int r;

	if (run_dir < 0)
		return run_dir;
	r = oci_find(oci, uid, &pid, err);
	if (r < 0)
		return r;
	signal = (int)oci_state_number(run_dir, "signal", 0);
	if (!signal)
		signal = has_init(run_dir) ? signal_for_init(pid) : SIGTERM;
	pidfd = pidfd_open(pid, 0);
	run_folder_mark(run_dir, "stopping");
	if (pidfd < 0 || pidfd_send_signal(pidfd, signal, NULL, 0) < 0)
		return err_set(err, errno == ESRCH ? -ENOENT : -errno, "signal machine '%s': %m", shown(uid));
	return 0;
}

/* Freezing */

static bool read_events(const struct oci *oci, const char *uid, char *text, size_t size)
{
	auto_free char *path = layout_file2(&oci->layout, uid, "cgroup.events");

	return oci_state_read(AT_FDCWD, path, text, size);
}

bool oci_is_frozen(const struct oci *oci, const char *uid)
{
	char text[128];

	return read_events(oci, uid, text, sizeof(text)) && strstr(text, "frozen 1");
}

static int wait_frozen(const struct oci *oci, const char *uid, bool is_frozen, struct err *err)
{
	struct deadline deadline = deadline_in(FREEZE_TIMEOUT_MS);
	auto_free char *path = layout_file2(&oci->layout, uid, "cgroup.events");
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct pollfd waiting = { .fd = fd, .events = POLLPRI };
	char text[128];

	while (fd >= 0 && deadline_left_ms(deadline) > 0) {
		ssize_t count = pread(fd, text, sizeof(text) - 1, 0);

		text[count > 0 ? count : 0] = '\0';
		if (!strstr(text, "frozen 1") == !is_frozen)
			return 0;
		poll(&waiting, 1, deadline_left_ms(deadline));
	}
	return err_set(err, -ETIMEDOUT, "machine '%s' did not %s within %d s", shown(uid), is_frozen ? "freeze" : "go on",
		       FREEZE_TIMEOUT_MS / 1000);
}

/* Version 2 of cgroups freezes whatever holds the controllers. */
static int freeze(const struct oci *oci, const char *uid, bool is_frozen, struct err *err)
{
	auto_free char *path = layout_file2(&oci->layout, uid, "cgroup.freeze");
	auto_close int fd = -1;
	pid_t pid;
	int r = oci_find(oci, uid, &pid, err);

	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, is_frozen ? "1" : "0", 1) != 1)
		return err_set(err, -errno, "freeze machine '%s': %m", shown(uid));
	return wait_frozen(oci, uid, is_frozen, err);
}

static int oci_pause(struct machine_driver *driver, const char *uid, struct err *err)
{
	return freeze(oci_of(driver), uid, true, err);
}

static int oci_resume(struct machine_driver *driver, const char *uid, struct err *err)
{
	return freeze(oci_of(driver), uid, false, err);
}

/* What containers do not have */

static int refuse(const struct oci *oci, const char *uid, const char *words, struct err *err)
{
	pid_t pid;
	int r = oci_find(oci, uid, &pid, err);

	return r < 0 ? r : err_set(err, -EOPNOTSUPP, "%s", words);
}

static int oci_disk_attach(struct machine_driver *driver, const char *uid, const struct machine_disk *disk, struct err *err)
{
	(void)disk;
	return refuse(oci_of(driver), uid, "a container's volumes are mounted when it starts: stop it, attach, start it", err);
}

static int oci_disk_detach(struct machine_driver *driver, const char *uid, const char *disk, struct err *err)
{
	(void)disk;
	return refuse(oci_of(driver), uid, "a container's volumes are unmounted when it ends: stop it, detach, start it", err);
}

static int oci_disk_resize(struct machine_driver *driver, const char *uid, const char *disk, uint64_t size_bytes, struct err *err)
{
	(void)disk;
	(void)size_bytes;
	return refuse(oci_of(driver), uid, "containers have no disks: the size of a volume is a limit of its pool", err);
}

static int oci_snapshot_create(struct machine_driver *driver, const char *uid, const char *snapshot, bool has_memory, struct err *err)
{
	(void)snapshot;
	return refuse(oci_of(driver), uid, has_memory ?
		      "the memory of a container cannot be kept: snapshot its volumes only" :
		      "a container has no disks of its own: pause it and snapshot its volumes", err);
}

static int oci_snapshot_remove(struct machine_driver *driver, const char *uid, const char *snapshot, struct err *err)
{
	(void)snapshot;
	return refuse(oci_of(driver), uid, "a container has no snapshots of its own: remove those of its volumes", err);
}

/* List */

static void add_folders(const char *path, struct machine_uids *uids)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		bool is_known = entry->d_type != DT_DIR || entry->d_name[0] == '.';

		for (size_t i = 0; !is_known && i < uids->items.count; i++)
			is_known = text_equal(uids->items.items[i], entry->d_name);
		if (!is_known)
			*vec_push(&uids->items) = text_copy(entry->d_name);
	}
	if (directory)
		closedir(directory);
}

static int oci_list(struct machine_driver *driver, struct machine_uids *ret_uids, struct err *err)
{
	const struct oci *oci = oci_of(driver);
	struct machine_uids uids = { 0 };

	(void)err;
	add_folders(oci->directory, &uids);
	add_folders(oci->cgroup, &uids);
	*ret_uids = uids;
	return 0;
}

const struct machine_ops machine_oci = {
	.name = "oci",
	.open = oci_open,
	.close = oci_close,
	.probe = oci_probe,
	.start = oci_start,
	.status = oci_status,
	.shutdown = oci_shutdown,
	.kill = oci_kill,
	.pause = oci_pause,
	.resume = oci_resume,
	.migrate_in = oci_migrate_in,
	.migrate_out = oci_migrate_out,
	.migrate_cancel = oci_migrate_cancel,
	.resize = oci_resize,
	.update = oci_update,
	.disk_attach = oci_disk_attach,
	.disk_detach = oci_disk_detach,
	.disk_resize = oci_disk_resize,
	.snapshot_create = oci_snapshot_create,
	.snapshot_remove = oci_snapshot_remove,
	.exec = oci_exec,
	.file_read = oci_file_read,
	.file_write = oci_file_write,
	.console_open = oci_console_open,
	.console_resize = oci_console_resize,
	.log_form = MACHINE_LOG_RECORDS,
	.usage = oci_usage,
	.list = oci_list,
	.watch = oci_watch,
	.unwatch = oci_unwatch,
};
