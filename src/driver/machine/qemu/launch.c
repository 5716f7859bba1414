/*
 * Theory of operation.
 *
 * Start opens everything QEMU will need, in our name, and numbers it as QEMU will see it; then
 * it starts QEMU inside the machine's cgroup and waits until its monitor obeys or it ends.
 * The monitor's socket listens before QEMU exists, so whoever finds a process in the cgroup
 * can talk to it; a start that is interrupted anywhere leaves either no process (the next
 * start or kill clears the rest) or a whole machine. One that was to continue from a memory
 * snapshot waits in state "prelaunch" until it is loaded; status() takes it for absent. One that takes in a
 * migration (migrate_in.c) has the mark "incoming" before it has a process.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spawn.h"
#include "driver/machine/common/cgroup.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/qemu/qemu_args.h"
#include "driver/machine/qemu/disk.h"
#include "driver/machine/qemu/qemu.h"
#include "driver/machine/qemu/run_dir.h"

enum { FIRST_CHILD_FD = 3, SETUP_TIMEOUT_MS = 60000, NVRAM_TIMEOUT_MS = 30000 };

#define FIRMWARE_CODE "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define FIRMWARE_VARS "/usr/share/OVMF/OVMF_VARS_4M.fd"

struct launch {
	struct qemu *qemu;
	const struct machine_config *config;
	int run_dir;
	VEC(struct spawn_fd) fds;	/* 'from' is owned. */
	VEC(int) layers, taps;
	struct qemu_plan plan;
	int pidfd;
};

/* Takes 'fd' (negative: an error passes through), returns its number in QEMU. */
static int give(struct launch *launch, int fd)
{
	int number = FIRST_CHILD_FD + (int)launch->fds.count;

	if (fd < 0)
		return fd;
	*vec_push(&launch->fds) = (struct spawn_fd){ fd, number };
	return number;
}

/* Files */

/* QEMU opens kernel and initrd once more through /proc, which asks for the file's own permission:
 * what others may not read is handed over as a copy in memory. */
static int copy_to_memory(int from, struct err *err)
{
	auto_close int memory = memfd_create("boot", MFD_CLOEXEC);
	ssize_t count;

	if (memory < 0 || fchmod(memory, 0444) < 0)
		return err_set(err, -errno, "copy boot file: %m");
	while ((count = sendfile(memory, from, NULL, 1 << 30)) > 0)
		;
	if (count < 0)
		return err_set(err, -errno, "copy boot file: %m");
	return take_fd(memory);
}

static int open_boot_file(const char *what, const char *path, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s '%s': %m", what, shown(path));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s '%s' is not a regular file", what, shown(path));
	return st.st_mode & S_IROTH ? take_fd(fd) : copy_to_memory(fd, err);
}

static int open_file(const char *what, const char *path, int flags, struct err *err)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd < 0 ? err_set(err, -errno, "%s '%s': %m", what, shown(path)) : fd;
}

/* A qcow2, so that memory snapshots can include it; built beside and renamed. */
static int make_nvram(const char *path, struct err *err)
{
	auto_free char *new_path = text_format("%s.new", path);
	const char *argv[] = { "qemu-img", "convert", "-O", "qcow2", FIRMWARE_VARS, new_path, NULL };
	struct spawn_io io = { .timeout_ms = NVRAM_TIMEOUT_MS };

	if (access(path, F_OK) == 0)
		return 0;
	if (spawn_run(&(struct spawn_params){ .argv = argv }, &io, err) < 0)
		return err_prefix(err, "make the UEFI variable store");
	if (rename(new_path, path) < 0)
		return err_set(err, -errno, "make the UEFI variable store '%s': %m", shown(path));
	return 0;
}

static int open_firmware(struct launch *launch, struct err *err)
{
	struct qemu_plan *plan = &launch->plan;
	int r;

	if (launch->config->boot != MACHINE_BOOT_UEFI)
		return 0;
	if (access(FIRMWARE_CODE, R_OK) < 0)
		return err_set(err, -EOPNOTSUPP, "UEFI needs '%s': install the package 'ovmf'", FIRMWARE_CODE);
	r = make_nvram(launch->config->nvram, err);
	if (r < 0)
		return r;
	plan->firmware = give(launch, open_file("firmware", FIRMWARE_CODE, O_RDONLY, err));
	if (plan->firmware < 0)
		return plan->firmware;
	plan->nvram = give(launch, open_file("UEFI variable store", launch->config->nvram, O_RDWR, err));
	return plan->nvram < 0 ? plan->nvram : 0;
}

static int open_boot(struct launch *launch, struct err *err)
{
	const struct machine_config *config = launch->config;
	struct qemu_plan *plan = &launch->plan;

	if (config->boot != MACHINE_BOOT_KERNEL)
		return open_firmware(launch, err);
	plan->kernel = give(launch, open_boot_file("kernel", config->kernel, err));
	if (plan->kernel < 0)
		return plan->kernel;
	if (config->initrd)
		plan->initrd = give(launch, open_boot_file("initrd", config->initrd, err));
	return plan->initrd < -1 ? plan->initrd : 0;
}

static int open_disks(struct launch *launch, struct err *err)
{
	for (size_t i = 0; i < launch->config->disk_count; i++) {
		const struct machine_disk *disk = &launch->config->disks[i];

		for (size_t layer = 0; layer < disk->layer_count; layer++) {
			int fd = give(launch, disk_open_layer(disk, layer, err));

			if (fd < 0)
				return fd;
			*vec_push(&launch->layers) = fd;
		}
	}
	launch->plan.layers = launch->layers.items;
	return 0;
}

/* Nics */

static int open_tap(const char *ifname, struct err *err)
{
	auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (fd < 0)
		return err_set(err, -errno, "open /dev/net/tun: %m");
	/* TUNSETIFF would make what does not exist. */
	if (if_nametoindex(ifname) == 0)
		return err_set(err, -ENODEV, "network interface '%s' does not exist", shown(ifname));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return err_set(err, -errno, "open tap '%s': %m", shown(ifname));
	return take_fd(fd);
}

static int open_nics(struct launch *launch, struct err *err)
{
	auto_str struct str names = { 0 };

	for (size_t i = 0; i < launch->config->nic_count; i++) {
		const char *ifname = launch->config->nics[i].ifname;
		int fd = give(launch, open_tap(ifname, err));

		if (fd < 0)
			return fd;
		*vec_push(&launch->taps) = fd;
		str_printf(&names, "%s\n", ifname);
	}
	launch->plan.taps = launch->taps.items;
	return run_dir_write_nics(launch->run_dir, str_text(&names), err);
}

/* Sockets */

static int open_sockets(struct launch *launch, struct err *err)
{
	struct qemu_plan *plan = &launch->plan;
	const struct { enum run_socket which; int *number; } sockets[] = {
		{ RUN_QMP, &plan->qmp }, { RUN_EVENTS, &plan->events }, { RUN_MIGRATION, &plan->migration },
		{ RUN_CONSOLE, &plan->console }, { RUN_AGENT, &plan->agent }, { RUN_TERMINAL, &plan->terminal },
	};

	for (size_t i = 0; i < ARRAY_COUNT(sockets); i++) {
		*sockets[i].number = give(launch, run_dir_listen(launch->run_dir, sockets[i].which, err));
		if (*sockets[i].number < 0)
			return err->code;
	}
	return 0;
}

static int open_ports(struct launch *launch, struct err *err)
{
	const struct machine_config *config = launch->config;
	struct qemu_plan *plan = &launch->plan;
	int fd;

	if (config->console_log) {
		fd = open_file("console log", config->console_log, O_WRONLY | O_CREAT | O_APPEND, err);
		plan->console_log = give(launch, fd);
		if (plan->console_log < 0)
			return plan->console_log;
	}
	if (config->vsock_cid) {
		plan->vsock = give(launch, open_file("vsock", "/dev/vhost-vsock", O_RDWR, err));
		if (plan->vsock < 0)
			return err_prefix(err, "this host has no vsock for machines");
	}
	if (config->has_vnc) {
		fd = run_dir_make_display(launch->run_dir, launch->qemu->user, launch->qemu->group, err);
		plan->display = give(launch, fd);
		if (plan->display < 0)
			return plan->display;
	}
	return 0;
}

/* The process */

static int check_config(const struct machine_config *config, struct err *err)
{
	if (config->type == MACHINE_MICROVM && config->boot != MACHINE_BOOT_KERNEL)
		return err_set(err, -EOPNOTSUPP, "a microvm boots only a kernel: use machine type q35 for BIOS or UEFI");
	if (config->type == MACHINE_MICROVM && config->has_vnc)
		return err_set(err, -EOPNOTSUPP, "a microvm has no display: use machine type q35 for VNC");
	if (config->boot == MACHINE_BOOT_KERNEL && !config->kernel)
		return err_set(err, -EINVAL, "direct kernel boot needs a kernel");
	if (config->boot == MACHINE_BOOT_UEFI && !config->nvram)
		return err_set(err, -EINVAL, "UEFI boot needs a path for the variable store");
	return 0;
}

static int spawn_qemu(struct launch *launch, struct err *err)
{
	const struct qemu *qemu = launch->qemu;
	auto_free char *cgroup = qemu_cgroup(qemu, launch->config->uid);
	struct qemu_args args = { 0 };
	struct stat kvm;
	struct spawn_params params = {
		.cgroup = cgroup, .has_own_session = true, .has_user = geteuid() == 0,
		.user = qemu->user, .group = qemu->group,
	};
	int log_fd, r;

	log_fd = run_dir_make_log(launch->run_dir, err);
	if (log_fd < 0)
		return log_fd;
	*vec_push(&launch->fds) = (struct spawn_fd){ log_fd, STDERR_FILENO };
	if (launch->plan.has_kvm && stat("/dev/kvm", &kvm) == 0) {
		params.groups = &kvm.st_gid;
		params.group_count = 1;
	}
	qemu_args_build(&launch->plan, &args);
	params.argv = (const char *const *)args.items.items;
	params.fds = launch->fds.items;
	params.fd_count = launch->fds.count;
	r = spawn_start(&params, NULL, &launch->pidfd, err);
	qemu_args_done(&args);
	return r;
}

static int explain_end(struct launch *launch, struct err *err)
{
	siginfo_t info = { 0 };
	char words[180];

	waitid(P_PIDFD, (id_t)launch->pidfd, &info, WEXITED);
	run_dir_last_words(launch->run_dir, words, sizeof(words));
	if (info.si_code != CLD_EXITED)
		return err_set(err, -EIO, "QEMU was killed by signal %d %s", info.si_status, words);
	return err_set(err, -EIO, "%s", words[0] ? words : "QEMU ended without a word");
}

/*
 * A bad argument or image makes QEMU end while it sets itself up. The monitor greets from a thread
 * of its own before that; it obeys only when the set-up is complete, so it is asked something.
 */
static int wait_for_monitor(struct launch *launch, struct err *err)
{
	const char *snapshot = launch->config->memory_snapshot;
	auto_qmp struct qmp qmp;
	int r = qmp_open(&qmp, launch->run_dir, RUN_QMP, snapshot ? QMP_JOB_TIMEOUT_MS : SETUP_TIMEOUT_MS, err);

	if (r == 0 && snapshot)
		return qemu_snapshot_load(&qmp, snapshot, err);
	return r == -ENOENT ? explain_end(launch, err) : r;
}

static int run_steps(struct launch *launch, struct err *err)
{
	static int (*const steps[])(struct launch *launch, struct err *err) = {
		open_boot, open_disks, open_nics, open_sockets, open_ports, spawn_qemu,
	};
	auto_free char *cgroup = qemu_cgroup(launch->qemu, launch->config->uid);

	launch->run_dir = run_folder_create(launch->qemu->directory_fd, launch->config->uid, err);
	if (launch->run_dir < 0)
		return launch->run_dir;
	if (cgroup_create(cgroup, err) < 0)
		return err->code;
	if (launch->plan.is_incoming && run_dir_mark_incoming(launch->run_dir, true, err) < 0)
		return err->code;
	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		int r = steps[i](launch, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static void close_fds(struct launch *launch)
{
	for (size_t i = 0; i < launch->fds.count; i++)
		close(launch->fds.items[i].from);
	launch->fds.count = 0;
}

static void launch_done(struct launch *launch)
{
	close_fds(launch);
	vec_done(&launch->fds);
	vec_done(&launch->layers);
	vec_done(&launch->taps);
	closep(&launch->run_dir);
	closep(&launch->pidfd);
}

int qemu_launch(struct qemu *qemu, const struct machine_config *config, bool is_incoming, struct err *err)
{
	struct launch launch = {
		.qemu = qemu, .config = config, .run_dir = -1, .pidfd = -1,
		.plan = {
			.program = qemu->program, .config = config, .has_kvm = config->allow_kvm, .is_incoming = is_incoming,
			.kernel = -1, .initrd = -1, .firmware = -1, .nvram = -1, .console_log = -1,
			.display = -1, .vsock = -1,
		},
	};
	int r = check_config(config, err);

	if (r == 0)
		r = qemu_destroy(qemu, config->uid, err);
	if (r < 0)
		return r;
	if (config->type == MACHINE_MICROVM && !config->allow_kvm)
		launch.plan.tsc_khz = tsc_khz(&qemu->tsc);
	r = run_steps(&launch, err);
	/* QEMU alone holds the sockets from here on: when it ends, they refuse. */
	close_fds(&launch);
	if (r == 0)
		r = wait_for_monitor(&launch, err);
	if (r < 0)
		qemu_destroy(qemu, config->uid, &(struct err){ 0 });
	launch_done(&launch);
	return r;
}

int qemu_start(struct machine_driver *driver, const struct machine_config *config, struct err *err)
{
	int r = qemu_launch(qemu_of(driver), config, false, err);

	return r < 0 ? err_prefix(err, "start machine '%s'", shown(config->name ? config->name : config->uid)) : 0;
}
