/*
 * Real machines: the port's conformance test on a microvm, then what is particular to QEMU.
 * STRATA_TEST_IMAGE names a folder with "kernel", "initrd" and "disk.qcow2" of a guest that boots to
 * a guest agent; needs root. Without it everything is skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/spawn.h"
#include "driver/machine/qemu/guest_agent.h"
#include "driver/machine/qemu/probe.h"
#include "driver/machine/qemu/qemu.h"
#include "driver/machine/qemu/run_dir.h"
#include "port/machine_conformance.h"

enum { EVENT_TIMEOUT_S = 60, TURN_MS = 100, MIB = 1 << 20 };

#define UID "6f0f0cf2-8c5d-4b0a-9d8e-0123456789ab"

/* Where the test keeps its things, and the machine it starts. */
struct place {
	char *directory, *run, *cgroup, *kernel, *initrd, *console, *nvram, *small, *base_disk, *root_disk, *extra_disk;
	struct volume_layer root_layers[2], extra_layers[1];
	struct machine_disk root, extra;
	struct machine_params params;
	struct machine_config config;
	/* Another host to move to. */
	char *peer_run, *peer_cgroup, *peer_console, *peer_root_disk;
	struct volume_layer peer_root_layers[2];
	struct machine_disk peer_root;
	struct machine_params peer_params;
	struct machine_config peer_config;
};

struct bench {
	struct place *place;
	struct machine_config config;
	struct machine_driver *driver;
	struct loop *loop;
	struct machine_watch *watch;
	bool has[MACHINE_EVENT_PANICKED + 1];
	struct machine_event last[MACHINE_EVENT_PANICKED + 1];
};

#define ok(call) ({ \
	struct err err_ = { 0 }; \
	struct err *err = &err_; \
	if ((call) < 0) \
		fail_msg("%s: %s", #call, err_.msg); })

/* Place */

static bool make_disk(const char *path, const char *backing)
{
	const char *overlay[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, path, NULL };
	const char *empty[] = { "qemu-img", "create", "-q", "-f", "qcow2", path, "64M", NULL };
	struct err err;

	return spawn_run(&(struct spawn_params){ .argv = backing ? overlay : empty }, NULL, &err) == 0;
}

static const char *cgroup_root(void)
{
	return access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
}

static bool peer_init(struct place *place)
{
	place->peer_run = text_format("%s/peer-run", place->directory);
	place->peer_cgroup = text_format("%s-peer", place->cgroup);
	place->peer_console = text_format("%s/peer-console.log", place->directory);
	place->peer_root_disk = text_format("%s/peer-root.qcow2", place->directory);
	place->peer_root_layers[0] = (struct volume_layer){ place->peer_root_disk, VOLUME_QCOW2 };
	place->peer_root_layers[1] = place->root_layers[1];
	place->peer_root = place->root;
	place->peer_root.layers = place->peer_root_layers;
	place->peer_params = (struct machine_params){ .directory = place->peer_run, .cgroup = place->peer_cgroup };
	place->peer_config = place->config;
	place->peer_config.console_log = place->peer_console;
	place->peer_config.disks = &place->peer_root;
	return make_disk(place->peer_root_disk, place->base_disk);
}

static bool place_init(struct place *place, const char *image)
{
	char directory[] = "/tmp/strata-qemu-test-XXXXXX";

	place->directory = text_copy(mkdtemp(directory));
	place->run = text_format("%s/run", place->directory);
	place->cgroup = text_format("%s/strata-qemu-test-%d", cgroup_root(), (int)getpid());
	place->kernel = text_format("%s/kernel", image);
	place->initrd = text_format("%s/initrd", image);
	place->base_disk = text_format("%s/disk.qcow2", image);
	place->console = text_format("%s/console.log", place->directory);
	place->nvram = text_format("%s/nvram", place->directory);
	place->small = text_format("%s/small", place->directory);
	place->root_disk = text_format("%s/root.qcow2", place->directory);
	place->extra_disk = text_format("%s/extra.qcow2", place->directory);
	place->root_layers[0] = (struct volume_layer){ place->root_disk, VOLUME_QCOW2 };
	place->root_layers[1] = (struct volume_layer){ place->base_disk, VOLUME_QCOW2 };
	place->extra_layers[0] = (struct volume_layer){ place->extra_disk, VOLUME_QCOW2 };
	place->root = (struct machine_disk){ .id = "root", .layers = place->root_layers, .layer_count = 2, .is_root = true };
	place->extra = (struct machine_disk){
		.id = "0b5c1f9e-7a21-4d55-8a43-cafe00000001", .layers = place->extra_layers, .layer_count = 1,
	};
	place->params = (struct machine_params){ .directory = place->run, .cgroup = place->cgroup };
	place->config = (struct machine_config){
		.uid = UID, .name = "test", .type = MACHINE_MICROVM, .cpus = 1, .max_cpus = 2,
		.memory_bytes = 256 * MIB, .max_memory_bytes = 512 * MIB, .kernel = place->kernel, .initrd = place->initrd,
		.cmdline = "console=ttyS0 quiet panic=-1", .console_log = place->console, .disks = &place->root, .disk_count = 1,
	};
	return make_disk(place->root_disk, place->base_disk) && make_disk(place->extra_disk, NULL) && peer_init(place);
}

static void place_done(struct place *place)
{
	char *const texts[] = {
		place->directory, place->run, place->cgroup, place->kernel, place->initrd, place->console, place->nvram,
		place->small, place->base_disk, place->root_disk, place->extra_disk, place->peer_run, place->peer_cgroup,
		place->peer_console, place->peer_root_disk,
	};
	struct err err;

	rmdir(place->cgroup);
	rmdir(place->peer_cgroup);
	umount2(place->small, MNT_DETACH);
	file_remove_tree(place->directory, &err);
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		free(texts[i]);
}

/* Bench */

static void keep_event(void *data, const struct machine_event *event)
{
	struct bench *bench = data;

	bench->has[event->kind] = true;
	bench->last[event->kind] = *event;
}

static struct machine_event *wait_event(struct bench *bench, enum machine_event_kind kind)
{
	uint64_t end = loop_now_ms(bench->loop) + EVENT_TIMEOUT_S * UINT64_C(1000);

	while (!bench->has[kind] && loop_now_ms(bench->loop) < end)
		loop_step(bench->loop, TURN_MS);
	if (!bench->has[kind])
		fail_msg("event %d did not come", kind);
	return &bench->last[kind];
}

static int set_up(void **state)
{
	struct bench *bench = alloc(sizeof(*bench));

	bench->place = *state;
	bench->config = bench->place->config;
	ok(loop_new(LOOP_CLOCK_REAL, 0, &bench->loop, err));
	ok(machine_qemu.open(&bench->place->params, &bench->driver, err));
	*state = bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;
	struct err err;

	machine_qemu.unwatch(bench->driver, bench->watch);
	machine_qemu.kill(bench->driver, UID, &err);
	machine_qemu.close(bench->driver);
	loop_free(bench->loop);
	*state = bench->place;
	free(bench);
	return 0;
}

static void watch_machine(struct bench *bench)
{
	ok(machine_qemu.watch(bench->driver, UID, bench->loop, keep_event, bench, &bench->watch, err));
}

static void start_machine(struct bench *bench)
{
	ok(machine_qemu.start(bench->driver, &bench->config, err));
	watch_machine(bench);
}

static void start_and_boot(struct bench *bench)
{
	start_machine(bench);
	wait_event(bench, MACHINE_EVENT_AGENT_UP);
}

static struct machine_status get_status(struct bench *bench)
{
	struct machine_status status = { 0 };

	ok(machine_qemu.status(bench->driver, UID, &status, err));
	return status;
}

/* Runs a shell command in the guest; its output. */
static char *guest_says(struct bench *bench, const char *command)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	auto_close int output = memfd_create("output", MFD_CLOEXEC);
	struct machine_exec exec = { .argv = argv, .input = -1, .output = output, .error = -1, .resize = -1 };
	char text[512] = { 0 };
	int exit_code;

	ok(machine_qemu.exec(bench->driver, UID, &exec, &exit_code, err));
	assert_true(pread(output, text, sizeof(text) - 1, 0) >= 0);
	text[strcspn(text, "\n")] = '\0';
	return text_copy(text);
}

static void expect_guest(struct bench *bench, const char *command, const char *answer)
{
	auto_free char *text = guest_says(bench, command);

	assert_string_equal(text, answer);
}

static void expect_failure(struct bench *bench, const char *words)
{
	struct machine_uids uids = { 0 };
	struct err failure = { 0 };

	assert_true(machine_qemu.start(bench->driver, &bench->config, &failure) < 0);
	if (!strstr(failure.msg, words))
		fail_msg("'%s' is not in '%s'", words, failure.msg);
	ok(machine_qemu.list(bench->driver, &uids, err));
	assert_int_equal(uids.items.count, 0);
	machine_uids_done(&uids);
}

/* What cannot start says why and leaves nothing */

static void broken_disk_is_reported(void **state)
{
	struct bench *bench = *state;

	bench->place->root_layers[0].path = bench->place->kernel;
	expect_failure(bench, "not in qcow2 format");
	bench->place->root_layers[0].path = bench->place->root_disk;
}

static void missing_things_are_named(void **state)
{
	struct bench *bench = *state;
	struct machine_nic nic = { .ifname = "no-such-tap" };

	bench->config.nics = &nic;
	bench->config.nic_count = 1;
	expect_failure(bench, "'no-such-tap' does not exist");
	bench->config.nic_count = 0;
	bench->config.kernel = "/no/such/kernel";
	expect_failure(bench, "kernel '/no/such/kernel': No such file");
	bench->config.kernel = bench->place->kernel;
	bench->config.boot = MACHINE_BOOT_BIOS;
	expect_failure(bench, "use machine type q35");
}

/* Ends */

static void crash_is_seen(void **state)
{
	struct bench *bench = *state;
	struct machine_event *event;

	start_machine(bench);
	kill(get_status(bench).pid, SIGKILL);
	event = wait_event(bench, MACHINE_EVENT_EXITED);
	assert_int_equal(event->cause, MACHINE_EXIT_FAILED);
	assert_string_equal(event->text, "QEMU was killed by signal 9");
	assert_int_equal(get_status(bench).state, MACHINE_ABSENT);
}

static void power_off_is_seen_afterwards(void **state)
{
	struct bench *bench = *state;
	struct machine_status status;

	start_and_boot(bench);
	machine_qemu.unwatch(bench->driver, take(bench->watch));
	free(guest_says(bench, "(sleep 0.2; poweroff -f) >/dev/null 2>&1 &"));
	/* Nobody looks while the guest goes down; the agent's port closes last. */
	while (guest_agent_check(qemu_of(bench->driver), UID, &(struct err){ 0 }) == 0)
		;
	status = get_status(bench);
	assert_true(status.pid > 0);
	watch_machine(bench);
	assert_int_equal(wait_event(bench, MACHINE_EVENT_EXITED)->cause, MACHINE_EXIT_GUEST_OFF);
}

static void reboot_goes_on(void **state)
{
	struct bench *bench = *state;
	pid_t pid;

	start_and_boot(bench);
	pid = get_status(bench).pid;
	bench->has[MACHINE_EVENT_AGENT_UP] = false;
	free(guest_says(bench, "(sleep 0.2; reboot -f) >/dev/null 2>&1 &"));
	wait_event(bench, MACHINE_EVENT_AGENT_DOWN);
	wait_event(bench, MACHINE_EVENT_AGENT_UP);
	assert_int_equal(get_status(bench).pid, pid);
}

static void full_disk_pauses(void **state)
{
	struct bench *bench = *state;
	auto_free char *path = text_format("%s/extra.qcow2", bench->place->small);
	struct volume_layer layer = { path, VOLUME_QCOW2 };
	struct machine_disk disk = { .id = "extra", .layers = &layer, .layer_count = 1 };

	assert_int_equal(mkdir(bench->place->small, 0700), 0);
	assert_int_equal(mount("small", bench->place->small, "tmpfs", 0, "size=2m"), 0);
	assert_true(make_disk(path, NULL));
	start_and_boot(bench);
	ok(machine_qemu.disk_attach(bench->driver, UID, &disk, err));
	free(guest_says(bench, "dd if=/dev/urandom of=/dev/sda bs=1M count=8 >/dev/null 2>&1 &"));
	assert_string_equal(wait_event(bench, MACHINE_EVENT_IO_ERROR)->text, "No space left on device");
	assert_int_equal(get_status(bench).state, MACHINE_PAUSED);
	assert_true(get_status(bench).has_io_error);

	assert_int_equal(mount("small", bench->place->small, "tmpfs", MS_REMOUNT, "size=32m"), 0);
	ok(machine_qemu.resume(bench->driver, UID, err));
	wait_event(bench, MACHINE_EVENT_RESUMED);
	expect_guest(bench, "wait; sync; echo alive", "alive");
}

/* Changes */

static void q35_grows(void **state)
{
	struct bench *bench = *state;
	struct err refusal;

	bench->config.type = MACHINE_Q35;
	start_and_boot(bench);
	expect_guest(bench, "nproc", "1");
	ok(machine_qemu.resize(bench->driver, UID, 2, 512 * MIB, err));
	expect_guest(bench, "nproc", "2");
	expect_guest(bench, "awk '/MemTotal/ { print ($2 > 400000) }' /proc/meminfo", "1");
	assert_int_equal(machine_qemu.resize(bench->driver, UID, 1, 0, &refusal), -EOPNOTSUPP);
	assert_int_equal(machine_qemu.resize(bench->driver, UID, 3, 0, &refusal), -EOPNOTSUPP);
	assert_int_equal(machine_qemu.resize(bench->driver, UID, 0, 256 * MIB, &refusal), -EOPNOTSUPP);
	assert_int_equal(machine_qemu.resize(bench->driver, UID, 0, 1024 * (uint64_t)MIB, &refusal), -EOPNOTSUPP);
}

static void plugged_disk_is_usable(void **state)
{
	struct bench *bench = *state;

	start_and_boot(bench);
	ok(machine_qemu.disk_attach(bench->driver, UID, &bench->place->extra, err));
	expect_guest(bench, "for i in $(seq 200); do [ -b /dev/sda ] && break; sleep 0.1; done; "
			    "echo data >/dev/sda; sync; head -c 4 /dev/sda", "data");
	ok(machine_qemu.disk_detach(bench->driver, UID, bench->place->extra.id, err));
	expect_guest(bench, "for i in $(seq 200); do [ -b /dev/sda ] || break; sleep 0.1; done; ls /dev/sda 2>/dev/null | wc -l", "0");
}

/* Firmware, display, nics */

static void uefi_has_its_own_variables(void **state)
{
	struct bench *bench = *state;

	bench->config.type = MACHINE_Q35;
	bench->config.boot = MACHINE_BOOT_UEFI;
	bench->config.nvram = bench->place->nvram;
	start_machine(bench);
	assert_int_equal(access(bench->place->nvram, R_OK), 0);
	ok(machine_qemu.snapshot_create(bench->driver, UID, "memory", true, err));
	ok(machine_qemu.kill(bench->driver, UID, err));
	bench->config.memory_snapshot = "memory";
	ok(machine_qemu.start(bench->driver, &bench->config, err));
	ok(machine_qemu.snapshot_remove(bench->driver, UID, "memory", err));
}

static void display_is_a_socket(void **state)
{
	struct bench *bench = *state;
	auto_free char *path = text_format("%s/" UID "/vnc", bench->place->run);
	struct stat st;

	bench->config.type = MACHINE_Q35;
	bench->config.boot = MACHINE_BOOT_BIOS;
	bench->config.has_vnc = true;
	start_machine(bench);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
}

static void make_tap(const char *name)
{
	auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
}

/* In a network namespace of its own, which takes the tap with it. */
static void nics_have_their_address(void **state)
{
	struct bench *bench = *state;
	struct machine_nic nic = { .ifname = "strata-test", .mac = { 0x52, 0x54, 0, 0xab, 0xcd, 0xef }, .mtu = 1400 };

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	make_tap(nic.ifname);
	bench->config.nics = &nic;
	bench->config.nic_count = 1;
	start_and_boot(bench);
	expect_guest(bench, "cat /sys/class/net/eth0/address", "52:54:00:ab:cd:ef");
	expect_guest(bench, "cat /sys/class/net/eth0/mtu", "1400");
}

/* Terminal and probe */

static void terminal_is_for_one(void **state)
{
	struct bench *bench = *state;
	struct qemu *qemu = qemu_of(bench->driver);
	struct guest_agent *first;
	struct err err;

	first = guest_agent_take_terminal(qemu, UID, &err);
	assert_non_null(first);
	assert_null(guest_agent_take_terminal(qemu, UID, &err));
	assert_int_equal(err.code, -EBUSY);
	guest_agent_return_terminal(qemu, first);
	first = guest_agent_take_terminal(qemu, UID, &err);
	assert_non_null(first);
	guest_agent_return_terminal(qemu, first);
}

static void probe_guest_executes(void **state)
{
	struct bench *bench = *state;

	ok(probe_guest(qemu_of(bench->driver), "tcg", err));
}

#define CASE(name) { #name, name, set_up, tear_down, &place }

static int run_all(const char *image)
{
	struct place place = { 0 };
	const struct CMUnitTest cases[] = {
		CASE(probe_guest_executes), CASE(broken_disk_is_reported), CASE(missing_things_are_named),
		CASE(crash_is_seen), CASE(power_off_is_seen_afterwards), CASE(reboot_goes_on), CASE(full_disk_pauses),
		CASE(q35_grows), CASE(plugged_disk_is_usable), CASE(uefi_has_its_own_variables), CASE(display_is_a_socket),
		CASE(terminal_is_for_one), CASE(nics_have_their_address),
	};
	int failed = 1;

	if (place_init(&place, image)) {
		struct machine_conformance conformance = {
			.ops = &machine_qemu, .params = place.params, .config = place.config, .extra_disk = place.extra,
			.peer_params = place.peer_params, .peer_config = place.peer_config, .copied = (const char *const[]){ "root", NULL },
			.clock = LOOP_CLOCK_REAL, .boot_timeout_s = EVENT_TIMEOUT_S, .runs_programs = true,
		};

		failed = machine_conformance(&conformance);
		failed += cmocka_run_group_tests_name("qemu", cases, NULL, NULL);
	}
	place_done(&place);
	return failed;
}

static void image_is_missing(void **state)
{
	(void)state;
	skip();
}

int main(void)
{
	const struct CMUnitTest skipped[] = { cmocka_unit_test(image_is_missing) };
	const char *image = getenv("STRATA_TEST_IMAGE");

	if (!image || geteuid() != 0)
		return cmocka_run_group_tests_name("qemu", skipped, NULL, NULL);
	return run_all(image);
}
