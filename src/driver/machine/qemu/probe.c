/*
 * What this host can do. KVM counts only when a guest really executes under it: some hosts offer
 * /dev/kvm without hardware virtualisation, and their guests hang. The probe guest is a flat
 * 64 KiB firmware of three instructions that ends QEMU through its debug-exit device.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spawn.h"
#include "driver/machine/qemu/migrate.h"
#include "driver/machine/qemu/probe.h"

enum {
	VERSION_TIMEOUT_MS = 10000, PROBE_GUEST_TIMEOUT_MS = 2000, CPUINFO_MAX_BYTES = 16 << 20,
	FIRMWARE_BYTES = 64 << 10, RESET_VECTOR = FIRMWARE_BYTES - 16, FIRMWARE_FD = 3,
	DEBUG_EXIT_VALUE = 0x2a, DEBUG_EXIT_STATUS = DEBUG_EXIT_VALUE << 1 | 1,
};

/* Version */

int probe_parse_version(const char *text, unsigned *ret_major, char *version, size_t size, struct err *err)
{
	static const char label[] = "QEMU emulator version ";
	const char *number = strstr(text, label);
	size_t length;

	number = number ? number + strlen(label) : "";
	length = strspn(number, "0123456789.");
	if (length == 0 || length >= size || sscanf(number, "%u", ret_major) != 1)
		return err_set(err, -EIO, "'%s' is not QEMU's version", shown(text));
	snprintf(version, size, "%.*s", (int)length, number);
	return 0;
}

static int read_version(const char *program, unsigned *ret_major, char *version, size_t size, struct err *err)
{
	const char *argv[] = { program, "--version", NULL };
	auto_str struct str output = { 0 };
	struct spawn_io io = { .output = &output, .timeout_ms = VERSION_TIMEOUT_MS };
	int r = spawn_run(&(struct spawn_params){ .argv = argv }, &io, err);

	return r < 0 ? r : probe_parse_version(str_text(&output), ret_major, version, size, err);
}

/* KVM */

bool probe_has_cpu_flag(const char *cpuinfo, const char *flag)
{
	const char *line = strstr(cpuinfo, "\nflags");
	size_t length = strlen(flag);
	const char *end = line ? strchr(line + 1, '\n') : NULL;

	for (const char *at = line; at && (at = strstr(at, flag)) && (!end || at < end); at += length)
		if (at[-1] == ' ' && (at[length] == ' ' || at[length] == '\n' || at[length] == '\0'))
			return true;
	return false;
}

static int make_firmware(struct err *err)
{
	/* mov al, 0x2a; out 0xf4, al; hlt */
	static const uint8_t code[] = { 0xb0, DEBUG_EXIT_VALUE, 0xe6, 0xf4, 0xf4 };
	auto_close int fd = memfd_create("probe", MFD_CLOEXEC);

	if (fd < 0 || fchmod(fd, 0444) < 0 || ftruncate(fd, FIRMWARE_BYTES) < 0 ||
	    pwrite(fd, code, sizeof(code), RESET_VECTOR) != (ssize_t)sizeof(code))
		return err_set(err, -errno, "make the probe guest: %m");
	return take_fd(fd);
}

static int wait_for_status(int pidfd, struct err *err)
{
	struct pollfd waiting = { .fd = pidfd, .events = POLLIN };
	struct deadline deadline = deadline_in(PROBE_GUEST_TIMEOUT_MS);
	siginfo_t info = { 0 };
	int r;

	do
		r = poll(&waiting, 1, deadline_left_ms(deadline));
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
	if (r <= 0)
		return err_set(err, -ETIMEDOUT, "a probe guest did not execute within 2 s");
	if (info.si_code != CLD_EXITED || info.si_status != DEBUG_EXIT_STATUS)
		return err_set(err, -EIO, "a probe guest could not be started");
	return 0;
}

int probe_guest(const struct qemu *qemu, const char *accelerator, struct err *err)
{
	const char *argv[] = {
		qemu->program, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "16",
		"-accel", accelerator, "-bios", "/proc/self/fd/3",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=1", NULL,
	};
	auto_close int firmware = make_firmware(err);
	auto_close int pidfd = -1;
	struct spawn_fd fd = { firmware, FIRMWARE_FD };
	struct spawn_params params = {
		.argv = argv, .fds = &fd, .fd_count = 1, .has_user = geteuid() == 0,
		.user = qemu->user, .group = qemu->group,
	};
	struct stat kvm;
	int r;

	if (firmware < 0)
		return firmware;
	if (stat("/dev/kvm", &kvm) == 0) {
		params.groups = &kvm.st_gid;
		params.group_count = 1;
	}
	r = spawn_start(&params, NULL, &pidfd, err);
	return r < 0 ? r : wait_for_status(pidfd, err);
}

/* 0: KVM works. Else why not, in words. */
static int check_kvm(const struct qemu *qemu, struct err *err)
{
	auto_str struct str cpuinfo = { 0 };
	auto_close int fd = -1;
	int r = file_read_all("/proc/cpuinfo", CPUINFO_MAX_BYTES, &cpuinfo, err);

	if (r < 0)
		return r;
	if (!probe_has_cpu_flag(str_text(&cpuinfo), "vmx") && !probe_has_cpu_flag(str_text(&cpuinfo), "svm"))
		return err_set(err, -ENODEV, "the CPU offers no hardware virtualisation (neither vmx nor svm in /proc/cpuinfo): "
			       "enable it in the firmware, or nested virtualisation on the host below");
	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "/dev/kvm cannot be opened (%m): load the module kvm_intel or kvm_amd");
	return probe_guest(qemu, "kvm", err);
}

/* All together */

static void add_warnings(unsigned major, struct machine_capabilities *capabilities)
{
	static const char *const old[] = {
		"QEMU before version 10 corrupts guest memory in live migration without KVM: migration is refused; install qemu-system-x86 10",
		"QEMU before version 10 crashes with vhost-user devices: they are refused; install qemu-system-x86 10",
	};

	for (size_t i = 0; major < MIGRATE_QEMU_MAJOR && i < ARRAY_COUNT(old); i++)
		*vec_push(&capabilities->warnings) = text_copy(old[i]);
}

int qemu_probe(struct machine_driver *driver, struct machine_capabilities *ret_capabilities, struct err *err)
{
	const struct qemu *qemu = qemu_of(driver);
	struct machine_capabilities capabilities = { .driver = "qemu", .has_microvm = true, .has_q35 = true };
	struct err reason = { 0 };
	unsigned major;
	bool has_kvm;
	int r = read_version(qemu->program, &major, capabilities.version, sizeof(capabilities.version), err);

	if (r < 0)
		return r;
	has_kvm = check_kvm(qemu, &reason) == 0;
	snprintf(capabilities.accelerator, sizeof(capabilities.accelerator), "%s", has_kvm ? "kvm" : "tcg");
	snprintf(capabilities.accelerator_reason, sizeof(capabilities.accelerator_reason), "%.199s", reason.msg);
	capabilities.has_uefi = access("/usr/share/OVMF/OVMF_CODE_4M.fd", R_OK) == 0;
	capabilities.has_vsock = access("/dev/vhost-vsock", R_OK | W_OK) == 0;
	capabilities.has_live_migration = major >= MIGRATE_QEMU_MAJOR;
	if (!capabilities.has_live_migration)
		snprintf(capabilities.migration_reason, sizeof(capabilities.migration_reason),
			 "QEMU %s may corrupt the guest's memory: install qemu-system-x86 %d", capabilities.version, MIGRATE_QEMU_MAJOR);
	add_warnings(major, &capabilities);
	*ret_capabilities = capabilities;
	return 0;
}
