/*
 * Theory of operation.
 *
 * The daemon starts conmon, which stays; it holds the container's stdio, writes the log and the exit code, and takes
 * over what the container leaves behind. The child that becomes conmon mounts the file systems in a namespace of its
 * own (rootfs.h). conmon waits on a pipe until config.json is written, which may need the mounted root (names of
 * users), and the time is also used by conmon to load itself. It runs `crun create`, which makes the
 * namespaces and stops before the first instruction, and says the first process's pid through another pipe.
 *
 * Then limits are set, the network is made, and the process is let go by what `crun start` does: a byte into a
 * named pipe, which is then removed. As long as the pipe is there status() calls the machine absent: a start
 * that is interrupted anywhere leaves what the next start() or kill() clears.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/machine/oci/launch.h"
#include "driver/machine/common/deadline.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/oci/latency.h"
#include "driver/machine/oci/limits.h"
#include "driver/machine/oci/program.h"
#include "driver/machine/oci/state.h"

enum { EXEC_TIMEOUT_MS = 500 };

static int check_config(const struct machine_config *config, struct err *err)
{
	const struct machine_container *container = config->container;

	if (!container)
		return err_set(err, -EINVAL, "this driver runs containers, not virtual machines");
	if (!container->argv || !container->argv[0])
		return err_set(err, -EINVAL, "the container has no command: name one, for its image has none");
	if (!container->layer_count || !container->root)
		return err_set(err, -EINVAL, "the container has no image or no root volume");
	if (!container->is_privileged_ids && (!container->uid_base || !container->uid_count))
		return err_set(err, -EINVAL, "the container has no range of ids on the host");
	if (container->is_privileged_ids && container->is_init)
		return err_set(err, -EINVAL, "an init system gets rights that only a user namespace confines:"
			       " it cannot run with the host's own ids");
	return 0;
}

/* config.json, in the root that is mounted now */

static int find_user(struct launch *launch, struct err *err)
{
	const char *text = launch->config->container->user;
	auto_free char *path = text_format("/proc/%d/root%s/root", (int)launch->monitor, launch->rootfs.base);
	auto_close int root = -1;

	if (user_needs_files(text)) {
		root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root < 0)
			return err_set(err, -errno, "look into the container's root: %m");
	}
	return user_find(text, root, &launch->bundle.user, err);
}

/* What the next daemon needs and config.json does not say. */
static int write_facts(struct launch *launch, struct err *err)
{
	const struct machine_container *container = launch->config->container;
	char number[16];

	if (container->is_init)
		run_folder_mark(launch->run_dir, "init");
	if (container->has_input || bundle_has_terminal(container))
		run_folder_mark(launch->run_dir, "input");
	snprintf(number, sizeof(number), "%d", container->stop_signal);
	if (container->stop_signal && oci_state_write(launch->run_dir, "signal", number, err) < 0)
		return err->code;
	snprintf(number, sizeof(number), "%d", (int)launch->monitor);
	return oci_state_write(launch->run_dir, "monitor", number, err);
}

static int write_bundle(struct launch *launch, struct err *err)
{
	const struct layout *layout = &launch->oci->layout;
	auto_free char *cgroup = text_format("%s/%s/container", layout->relative, launch->config->uid);
	auto_str struct str text = { 0 };
	int r;

	launch->bundle.config = launch->config;
	launch->bundle.base = launch->rootfs.base;
	launch->bundle.cgroup = cgroup;
	launch->bundle.is_hybrid = layout->hierarchies.count > 0;
	r = find_user(launch, err);
	if (r == 0)
		r = bundle_write(&launch->bundle, &text, err);
	if (r == 0)
		r = oci_state_write(launch->run_dir, "config.json", str_text(&text), err);
	return r < 0 ? r : write_facts(launch, err);
}

/* Between create and start */

static int give_to(const struct machine_container *container, const char *path, struct err *err)
{
	if (chown(path, container->uid_base, container->uid_base) < 0 && errno != ENOENT)
		return err_set(err, -errno, "give cgroup to the container: %m");
	return 0;
}

/* An init system makes groups of its own below the container's: cgroups(7), "Cgroups delegation". */
static int delegate(struct launch *launch, struct err *err)
{
	static const char *const files[] = { "", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "memory.oom.group" };
	const struct machine_container *container = launch->config->container;
	int r = 0;

	for (size_t i = 0; container->is_init && r == 0 && i < ARRAY_COUNT(files); i++) {
		auto_free char *path = layout_file2(&launch->oci->layout, launch->config->uid, files[i]);

		r = give_to(container, path, err);
	}
	return r;
}

static int make_ready(struct launch *launch, struct err *err)
{
	const struct machine_container *container = launch->config->container;
	int r = limits_apply(&launch->oci->layout, launch->config, err);

	if (r == 0)
		r = delegate(launch, err);
	if (r == 0 && container->network_ready)
		r = container->network_ready(container->network_data, launch->pid, err);
	if (r == 0 && container->latency != MACHINE_LATENCY_NORMAL)
		r = latency_apply(launch->pid, container->latency, err);
	return r;
}

/* Its seccomp filter is the last thing before the program takes crun's place: who looks at the process sees it then. */
static void wait_for_program(const char *exe, const struct stat *before)
{
	struct deadline deadline = deadline_in(EXEC_TIMEOUT_MS);
	struct stat now;

	while (stat(exe, &now) == 0 && now.st_ino == before->st_ino && now.st_dev == before->st_dev && deadline_left_ms(deadline) > 0)
		poll(NULL, 0, 1);
}

/* What `crun start` does, without another process. */
static int let_go(struct launch *launch, struct err *err)
{
	auto_free char *path = oci_fifo(launch->oci, launch->config->uid);
	/* Not blocking: nobody reads when the process has been killed meanwhile. */
	auto_close int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	auto_free char *exe = text_format("/proc/%d/exe", (int)launch->pid);
	struct stat crun;
	bool is_there = stat(exe, &crun) == 0;

	if (fd < 0)
		return err_set(err, -errno, "start the container: %m");
	if (write(fd, "", 1) != 1 || unlink(path) < 0)
		return err_set(err, -errno, "start the container: %m");
	if (is_there)
		wait_for_program(exe, &crun);
	return 0;
}

/* All together */

static int open_pipes(struct launch *launch, struct err *err)
{
	if (pipe2(launch->sync, O_CLOEXEC) < 0 || pipe2(launch->start, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %m");
	return 0;
}

static void close_end(int *fd)
{
	closep(fd);
	*fd = -1;
}

static int prepare(struct launch *launch, struct err *err)
{
	const struct machine_config *config = launch->config;
	const char *avoid[] = { launch->directory, launch->oci->state, launch->crun, config->console_log, NULL };
	int r = program_find(launch->oci->program, &launch->crun, err);

	avoid[2] = launch->crun;
	if (r == 0)
		r = capability_choose(config->container, &launch->bundle.capabilities, err);
	if (r == 0)
		r = layout_check(&launch->oci->layout, err);
	if (r < 0)
		return r;
	launch->run_dir = run_folder_create(launch->oci->directory_fd, config->uid, err);
	if (launch->run_dir < 0)
		return launch->run_dir;
	r = rootfs_prepare(&launch->rootfs, config->container, avoid, err);
	if (r == 0)
		r = layout_create(&launch->oci->layout, config->uid, err);
	return r < 0 ? r : open_pipes(launch, err);
}

static int run_steps(struct launch *launch, struct err *err)
{
	static int (*const steps[])(struct launch *launch, struct err *err) = {
		prepare, conmon_spawn, write_bundle, conmon_create, make_ready, let_go,
	};

	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		int r = steps[i](launch, err);

		if (r < 0)
			return r;
		if (steps[i] == conmon_spawn) {		/* conmon alone holds them now: when it ends, reading does. */
			close_end(&launch->sync[1]);
			close_end(&launch->start[0]);
		}
	}
	return 0;
}

static void undo(struct launch *launch)
{
	struct err ignored;

	/* conmon is our child, and may have ended by itself: then nobody else collects it. */
	if (oci_destroy(launch->oci, launch->config->uid, &ignored) == 0 && launch->pidfd >= 0)
		waitid(P_PIDFD, (id_t)launch->pidfd, &(siginfo_t){ 0 }, WEXITED);
}

static void launch_done(struct launch *launch)
{
	int *const fds[] = {
		&launch->sync[0], &launch->sync[1], &launch->start[0], &launch->start[1], &launch->run_dir, &launch->pidfd,
	};

	for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
		close_end(fds[i]);
	rootfs_done(&launch->rootfs);
	free(launch->crun);
	free(launch->directory);
}

int oci_start(struct machine_driver *driver, const struct machine_config *config, struct err *err)
{
	const struct oci *oci = oci_of(driver);
	struct launch launch = {
		.oci = oci, .config = config, .run_dir = -1, .sync = { -1, -1 }, .start = { -1, -1 }, .pidfd = -1,
		.rootfs.base_fd = -1, .directory = text_format("%s/%s", oci->directory, config->uid),
	};
	int r = check_config(config, err);

	if (r == 0)
		r = oci_destroy(oci, config->uid, err);
	if (r == 0) {
		r = run_steps(&launch, err);
		if (r < 0)
			undo(&launch);
	}
	launch_done(&launch);
	return r < 0 ? err_prefix(err, "start container '%s'", shown(config->name ? config->name : config->uid)) : 0;
}
