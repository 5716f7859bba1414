/* What a live migration keeps. */
#include "driver/machine/qemu/migrate_testbed.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <sys/un.h>

enum { MOVES = 3 };

/* Neither writes now. The images are as the guest sees them, not how they are stored. */
static void expect_equal_disks(const struct host *one, const struct host *other)
{
	assert_int_equal(run("qemu-img", "compare", "-q", "-U", one->disk, other->disk), 0);
}

static void memory_and_disk_survive(void **state)
{
	struct bench *bench = *state;
	unsigned long long count, records;
	auto_free char *answer = NULL;

	boot_with_pattern(bench, "96 20000 /data/records");
	for (int i = 0; i < MOVES; i++) {
		struct host *from = &bench->hosts[i % 2], *to = &bench->hosts[(i + 1) % 2];

		make_disk(to);
		wait_at(bench, to);
		assert_true(status_of(to).is_incoming && !status_of(to).has_arrived);
		ok(move(bench, from, err));
		assert_true(status_of(from).is_moved_out);
		expect_equal_disks(from, to);
		count = last_count(from);
		unlink(from->console);
		ok(machine_qemu.kill(from->driver, UID, err));
		watch_host(to);
		ok(machine_qemu.resume(to->driver, UID, err));
		assert_int_equal(status_of(to).state, MACHINE_RUNNING);
		assert_false(status_of(to).is_incoming);
		wait_for(to, &to->has_agent, "the guest agent is not there after the move");
		expect_counting(to, count);
		print_message("move %d: downtime %llu ms, total %llu ms, memory %llu MiB, disk %llu MiB, %u passes\n", i + 1,
			      (unsigned long long)bench->result.downtime_ms, (unsigned long long)bench->result.total_ms,
			      (unsigned long long)bench->result.memory_bytes >> 20, (unsigned long long)bench->result.disk_bytes >> 20,
			      bench->result.passes);
	}
	free(guest_says(&bench->hosts[MOVES % 2], "killall pattern"));
	records = last_count(&bench->hosts[MOVES % 2]);
	answer = guest_says(&bench->hosts[MOVES % 2], "/tmp/pattern check /data/records");
	assert_int_equal(strncmp(answer, "records ", 8), 0);
	assert_true(strtoull(answer + 8, NULL, 10) + 1 >= records);
}

/* The destination has it from the start, at the same place on the bus. */
static void plugged_disk_moves(void **state)
{
	struct bench *bench = *state;
	struct host *from = &bench->hosts[0], *to = &bench->hosts[1];
	const char *copied[] = { "root", "extra", NULL };
	char *paths[2];
	struct volume_layer layers[2];
	struct machine_disk extra[2], there[2];
	auto_free char *answer = NULL;

	for (int i = 0; i < 2; i++) {
		paths[i] = text_format("%s/extra-%d.qcow2", bench->place->directory, i);
		assert_int_equal(run("qemu-img", "create", "-q", "-f", "qcow2", paths[i], "64M"), 0);
		layers[i] = (struct volume_layer){ paths[i], VOLUME_QCOW2 };
		extra[i] = (struct machine_disk){ .id = "extra", .layers = &layers[i], .layer_count = 1 };
	}
	there[0] = to->root;
	there[1] = extra[1];
	to->config.disks = there;
	to->config.disk_count = 2;
	bench->listen.copied = bench->migration.copied = copied;
	boot_with_pattern(bench, "1 20000");
	ok(machine_qemu.disk_attach(from->driver, UID, &extra[0], err));
	free(guest_says(from, "for i in $(seq 200); do [ -b /dev/sda ] && break; sleep 0.1; done; echo data >/dev/sda; sync"));
	wait_at(bench, to);
	ok(move(bench, from, err));
	assert_int_equal(run("qemu-img", "compare", "-q", "-U", paths[0], paths[1]), 0);
	ok(machine_qemu.kill(from->driver, UID, err));
	ok(machine_qemu.resume(to->driver, UID, err));
	answer = guest_says(to, "echo 3 >/proc/sys/vm/drop_caches; head -c 4 /dev/sda");
	assert_string_equal(answer, "data");
	ok(machine_qemu.disk_detach(to->driver, UID, "extra", err));
	ok(machine_qemu.disk_attach(to->driver, UID, &extra[1], err));
	for (int i = 0; i < 2; i++)
		free(paths[i]);
}

/* Both hosts open the same file; the source keeps it until the destination is let run. */
static void shared_disk_changes_hands(void **state)
{
	struct bench *bench = *state;
	struct host *from = &bench->hosts[0], *to = &bench->hosts[1];
	auto_free char *answer = NULL;
	struct err refusal;

	bench->listen.copied = bench->migration.copied = NULL;
	to->layers[0].path = from->disk;
	boot_with_pattern(bench, "16 20000 /data/records");
	wait_at(bench, to);
	ok(move(bench, from, err));
	/* The change of hands failed: the source goes on, although everything has arrived there. */
	ok(machine_qemu.resume(from->driver, UID, err));
	expect_counting(from, last_count(from));
	ok(machine_qemu.kill(to->driver, UID, err));

	wait_at(bench, to);
	ok(move(bench, from, err));
	while (!status_of(to).has_arrived)
		;
	ok(machine_qemu.resume(to->driver, UID, err));
	expect_counting(to, last_count(from));
	/* Now the disk is the destination's: the lock keeps the source off. */
	assert_true(machine_qemu.resume(from->driver, UID, &refusal) < 0);
	assert_int_equal(status_of(from).state, MACHINE_PAUSED);
	ok(machine_qemu.kill(from->driver, UID, err));
	free(guest_says(to, "killall pattern"));
	answer = guest_says(to, "/tmp/pattern check /data/records");
	assert_int_equal(strncmp(answer, "records ", 8), 0);
	to->layers[0].path = to->disk;
}

static void make_tap(const char *name)
{
	auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(take_fd(fd));
	set_flags(name, IFF_UP, true);
}

static int listen_for_rarp(const char *ifname)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_RARP), .sll_ifindex = (int)if_nametoindex(ifname),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_RARP));

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* The switches learn where the guest is when it runs there, and not before. */
static void network_is_told(void **state)
{
	struct bench *bench = *state;
	struct host *from = &bench->hosts[0], *to = &bench->hosts[1];
	struct machine_nic nics[2] = {
		{ .ifname = "move-a", .mac = { 0x52, 0x54, 0, 0xab, 0xcd, 0xef } }, { .ifname = "move-b", .mac = { 0x52, 0x54, 0, 0xab, 0xcd, 0xef } },
	};
	struct timeval timeout = { .tv_sec = TIMEOUT_S };
	auto_close int fd = -1;
	uint8_t frame[128];

	for (int i = 0; i < 2; i++) {
		make_tap(nics[i].ifname);
		bench->hosts[i].config.nics = &nics[i];
		bench->hosts[i].config.nic_count = 1;
	}
	boot_with_pattern(bench, "1 20000");
	fd = listen_for_rarp("move-b");
	wait_at(bench, to);
	ok(move(bench, from, err));
	while (!status_of(to).has_arrived)
		;
	assert_int_equal(recv(fd, frame, sizeof(frame), MSG_DONTWAIT), -1);
	ok(machine_qemu.resume(to->driver, UID, err));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	assert_true(recv(fd, frame, sizeof(frame), 0) > 12);
	assert_memory_equal(frame + 6, nics[1].mac, 6);
}

/* A PC with firmware variables and a display, both of which the destination has of its own. */
static void display_and_console_work_there(void **state)
{
	struct bench *bench = *state;
	struct host *to = &bench->hosts[1];
	auto_free char *path = text_format("%s/" UID "/vnc", to->run);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_close int vnc = -1, console = -1;
	char banner[12];

	for (int i = 0; i < 2; i++) {
		bench->hosts[i].config.type = MACHINE_Q35;
		bench->hosts[i].config.has_vnc = true;
	}
	boot_with_pattern(bench, "16 20000");
	wait_at(bench, to);
	ok(move(bench, &bench->hosts[0], err));
	ok(machine_qemu.resume(to->driver, UID, err));
	expect_counting(to, last_count(&bench->hosts[0]));
	ok(machine_qemu.console_open(to->driver, UID, &console, err));
	assert_int_equal(write(console, "\n", 1), 1);
	vnc = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(vnc, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(recv(vnc, banner, sizeof(banner), MSG_WAITALL), sizeof(banner));
	assert_memory_equal(banner, "RFB ", 4);
}

static void firmware_variables_move(void **state)
{
	struct bench *bench = *state;
	struct host *to = &bench->hosts[1];

	if (access("/usr/share/OVMF/OVMF_CODE_4M.fd", R_OK) < 0)
		skip();
	for (int i = 0; i < 2; i++) {
		bench->hosts[i].config.type = MACHINE_Q35;
		bench->hosts[i].config.boot = MACHINE_BOOT_UEFI;
		bench->hosts[i].config.nvram = bench->hosts[i].nvram;
	}
	ok(machine_qemu.start(bench->hosts[0].driver, &bench->hosts[0].config, err));
	wait_at(bench, to);
	ok(move(bench, &bench->hosts[0], err));
	ok(machine_qemu.resume(to->driver, UID, err));
	assert_int_equal(status_of(to).state, MACHINE_RUNNING);
	ok(machine_qemu.kill(to->driver, UID, err));
	assert_int_equal(run("qemu-img", "compare", "-q", "-U", bench->hosts[0].nvram, to->nvram), 0);
}

static int run_cases(struct place *place)
{
	const struct CMUnitTest cases[] = {
		CASE(memory_and_disk_survive), CASE(plugged_disk_moves), CASE(shared_disk_changes_hands), CASE(network_is_told),
		CASE(display_and_console_work_there), CASE(firmware_variables_move),
	};

	return cmocka_run_group_tests_name("migrate", cases, NULL, NULL);
}

int main(void)
{
	return run_where_possible(run_cases);
}
