#include "driver/machine/qemu/qemu.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "driver/machine/common/cgroup.h"
#include "driver/machine/common/process.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/qemu/guest_agent.h"
#include "driver/machine/qemu/migrate.h"
#include "driver/machine/qemu/run_dir.h"

enum { PASSWD_BYTES = 4096 };

char *qemu_cgroup(const struct qemu *qemu, const char *uid)
{
	return text_format("%s/%s", qemu->cgroup, uid);
}

char *qemu_directory(const struct qemu *qemu, const char *uid)
{
	return text_format("%s/%s", qemu->directory, uid);
}

/* Open and close */

static bool find_user(const char *name, struct qemu *qemu)
{
	char buffer[PASSWD_BYTES];
	struct passwd passwd, *found = NULL;

	if (!name || getpwnam_r(name, &passwd, buffer, sizeof(buffer), &found) != 0 || !found)
		return false;
	qemu->user = found->pw_uid;
	qemu->group = found->pw_gid;
	return true;
}

static int choose_user(const char *wanted, struct qemu *qemu, struct err *err)
{
	if (wanted && !find_user(wanted, qemu))
		return err_set(err, -ENOENT, "user '%s' does not exist", shown(wanted));
	if (wanted || find_user("strata-qemu", qemu) || find_user("nobody", qemu))
		return 0;
	return err_set(err, -ENOENT, "there is no user to run machines as: add a system user 'strata-qemu'");
}

static void qemu_close(struct machine_driver *driver)
{
	struct qemu *qemu = qemu_of(driver);

	guest_agents_free(qemu);
	pthread_mutex_destroy(&qemu->agents_lock);
	closep(&qemu->directory_fd);
	free(qemu->program);
	free(qemu->directory);
	free(qemu->cgroup);
	free(qemu);
}

static int prepare(struct qemu *qemu, const struct machine_params *params, struct err *err)
{
	int r = choose_user(params->user, qemu, err);

	if (r < 0)
		return r;
	if (!params->cgroup || params->cgroup[0] != '/')
		return err_set(err, -EINVAL, "machines need a cgroup (v2) of their own: mount cgroup2");
	r = file_make_dirs(params->directory, 0700, err);
	if (r < 0)
		return r;
	qemu->directory_fd = open(params->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (qemu->directory_fd < 0)
		return err_set(err, -errno, "open '%s': %m", shown(params->directory));
	return 0;
}

static int qemu_open(const struct machine_params *params, struct machine_driver **ret_driver, struct err *err)
{
	struct qemu *qemu = alloc(sizeof(*qemu));
	int r;

	*qemu = (struct qemu){
		.base.ops = &machine_qemu, .directory_fd = -1, .tsc = tsc_begin(),
		.program = text_copy(params->program ? params->program : "qemu-system-x86_64"),
		.directory = text_copy(params->directory), .cgroup = text_copy(params->cgroup),
	};
	pthread_mutex_init(&qemu->agents_lock, NULL);
	r = prepare(qemu, params, err);
	if (r < 0) {
		qemu_close(&qemu->base);
		return r;
	}
	*ret_driver = &qemu->base;
	return 0;
}

/* Talking */

int qemu_connect_to(const struct qemu *qemu, const char *uid, enum run_socket which, int64_t timeout_ms, struct qmp *qmp, struct err *err)
{
	auto_close int run_dir = run_folder_open(qemu->directory_fd, uid, err);
	int r;

	*qmp = (struct qmp){ .fd = -1 };
	if (run_dir < 0)
		return run_dir;
	r = qmp_open(qmp, run_dir, which, timeout_ms, err);
	if (r < 0)
		qmp_close(qmp);
	return r;
}

int qemu_connect(const struct qemu *qemu, const char *uid, int64_t timeout_ms, struct qmp *qmp, struct err *err)
{
	return qemu_connect_to(qemu, uid, RUN_QMP, timeout_ms, qmp, err);
}

int qemu_command(const struct qemu *qemu, const char *uid, const char *command, const char *arguments, struct err *err)
{
	auto_qmp struct qmp qmp;
	int r = qemu_connect(qemu, uid, QMP_TIMEOUT_MS, &qmp, err);

	return r < 0 ? r : qmp_call(&qmp, command, arguments, NULL, err);
}

/* Life */

int qemu_destroy(struct qemu *qemu, const char *uid, struct err *err)
{
	auto_free char *cgroup = qemu_cgroup(qemu, uid);
	auto_free char *directory = qemu_directory(qemu, uid);
	auto_close int run_dir = openat(qemu->directory_fd, uid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (run_dir >= 0)
		run_folder_mark(run_dir, "killed");
	r = cgroup_destroy(cgroup, err);
	guest_agent_disconnect(qemu, uid);
	/* Last: as long as it is there, list() finds what is left. */
	return r < 0 || run_dir < 0 ? r : file_remove_tree(directory, err);
}

static int qemu_kill(struct machine_driver *driver, const char *uid, struct err *err)
{
	return qemu_destroy(qemu_of(driver), uid, err);
}

static enum machine_state state_of(const char *status)
{
	static const char *const stopped[] = { "paused", "io-error", "suspended", "internal-error", "inmigrate", "postmigrate" };

	/* A start from memory was interrupted before it was loaded: nothing has run yet. */
	if (text_equal(status, "prelaunch"))
		return MACHINE_ABSENT;
	for (size_t i = 0; i < ARRAY_COUNT(stopped); i++)
		if (text_equal(status, stopped[i]))
			return MACHINE_PAUSED;
	return MACHINE_RUNNING;
}

/* A daemon that died while it let the guest run has left the mark; it must not outlive that. */
static bool is_incoming(const struct qemu *qemu, const char *uid, enum machine_state state)
{
	struct err ignored;
	auto_close int run_dir = run_folder_open(qemu->directory_fd, uid, &ignored);

	if (run_dir < 0 || !run_folder_is_marked(run_dir, "incoming"))
		return false;
	if (state == MACHINE_RUNNING)
		run_dir_mark_incoming(run_dir, false, &ignored);
	return state == MACHINE_PAUSED;
}

/* Its guest is stopped for good when it is handed over, or goes on after a migrate_cancel(). */
static bool is_postcopy(struct qmp *qmp)
{
	auto_json struct json *reply = NULL;
	struct migrate_state state;

	if (qmp_call(qmp, "query-migrate", NULL, &reply, &(struct err){ 0 }) < 0)
		return false;
	migrate_state_read(reply, &state);
	return state.status == MIGRATE_POSTCOPY || state.status == MIGRATE_POSTCOPY_PAUSED;
}

/* -ENOENT: it has just ended. */
static int ask_status(const struct qemu *qemu, const char *uid, struct machine_status *status, struct err *err)
{
	auto_json struct json *reply = NULL;
	auto_qmp struct qmp qmp;
	const char *word;
	int r = qemu_connect(qemu, uid, QMP_TIMEOUT_MS, &qmp, err);

	if (r == 0)
		r = qmp_call(&qmp, "query-status", NULL, &reply, err);
	if (r < 0)
		return r;
	word = json_string(json_path(reply, "return.status"), "");
	status->state = state_of(word);
	status->has_io_error = text_equal(word, "io-error");
	status->is_moved_out = text_equal(word, "postmigrate");
	status->is_postcopy = text_equal(word, "finish-migrate") && is_postcopy(&qmp);
	if (status->is_postcopy)
		status->state = MACHINE_PAUSED;
	status->is_incoming = is_incoming(qemu, uid, status->state);
	status->has_arrived = status->is_incoming && !text_equal(word, "inmigrate");
	return 0;
}

static int qemu_status(struct machine_driver *driver, const char *uid, struct machine_status *ret_status, struct err *err)
{
	struct qemu *qemu = qemu_of(driver);
	auto_free char *cgroup = qemu_cgroup(qemu, uid);
	struct machine_status status = { .pid = cgroup_first_pid(cgroup) };
	int r;

	if (status.pid) {
		status.started_at = process_started_at(status.pid);
		r = ask_status(qemu, uid, &status, err);
		if (r < 0 && cgroup_first_pid(cgroup))
			return r;
		if (r == 0)
			qemu_thaw(qemu, uid);	/* When a daemon died in the middle of a snapshot. */
	}
	*ret_status = status.state != MACHINE_ABSENT ? status : (struct machine_status){ .state = MACHINE_ABSENT };
	return 0;
}

/* Both ways: not every guest listens to its power button, and not every guest has an agent. */
static int qemu_shutdown(struct machine_driver *driver, const char *uid, struct err *err)
{
	struct qemu *qemu = qemu_of(driver);
	int r = qemu_command(qemu, uid, "system_powerdown", NULL, err);

	if (r == 0)
		guest_agent_shutdown(qemu, uid, &(struct err){ 0 });
	return r;
}

static int qemu_pause(struct machine_driver *driver, const char *uid, struct err *err)
{
	return qemu_command(qemu_of(driver), uid, "stop", NULL, err);
}

static int qemu_resume(struct machine_driver *driver, const char *uid, struct err *err)
{
	auto_close int run_dir = run_folder_open(qemu_of(driver)->directory_fd, uid, err);

	if (run_dir < 0)
		return run_dir;
	if (run_folder_is_marked(run_dir, "incoming"))
		return qemu_migrate_accept(qemu_of(driver), uid, run_dir, err);
	return qemu_command(qemu_of(driver), uid, "cont", NULL, err);
}

static int qemu_console_open(struct machine_driver *driver, const char *uid, int *ret_fd, struct err *err)
{
	auto_close int run_dir = run_folder_open(qemu_of(driver)->directory_fd, uid, err);
	int fd;

	if (run_dir < 0)
		return run_dir;
	fd = run_dir_connect(run_dir, RUN_CONSOLE, QMP_TIMEOUT_MS, err);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

/* List */

static bool has_uid(const struct machine_uids *uids, const char *uid)
{
	for (size_t i = 0; i < uids->items.count; i++)
		if (text_equal(uids->items.items[i], uid))
			return true;
	return false;
}

static void add_folders(const char *path, struct machine_uids *uids)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && !has_uid(uids, entry->d_name))
			*vec_push(&uids->items) = text_copy(entry->d_name);
	if (directory)
		closedir(directory);
}

static int qemu_list(struct machine_driver *driver, struct machine_uids *ret_uids, struct err *err)
{
	const struct qemu *qemu = qemu_of(driver);
	struct machine_uids uids = { 0 };

	(void)err;
	add_folders(qemu->directory, &uids);
	add_folders(qemu->cgroup, &uids);
	*ret_uids = uids;
	return 0;
}

const struct machine_ops machine_qemu = {
	.name = "qemu",
	.open = qemu_open,
	.close = qemu_close,
	.probe = qemu_probe,
	.start = qemu_start,
	.status = qemu_status,
	.shutdown = qemu_shutdown,
	.kill = qemu_kill,
	.pause = qemu_pause,
	.resume = qemu_resume,
	.migrate_in = qemu_migrate_in,
	.migrate_out = qemu_migrate_out,
	.migrate_cancel = qemu_migrate_cancel,
	.resize = qemu_resize,
	.disk_attach = qemu_disk_attach,
	.disk_detach = qemu_disk_detach,
	.disk_resize = qemu_disk_resize,
	.snapshot_create = qemu_snapshot_create,
	.disk_snapshot = qemu_disk_snapshot,
	.snapshot_remove = qemu_snapshot_remove,
	.exec = qemu_exec,
	.file_read = qemu_file_read,
	.file_write = qemu_file_write,
	.console_open = qemu_console_open,
	.usage = qemu_usage,
	.list = qemu_list,
	.watch = qemu_watch,
	.unwatch = qemu_unwatch,
};
