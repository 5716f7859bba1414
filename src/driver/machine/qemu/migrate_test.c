/*
 * Live migration of real guests between two drivers that share nothing but the network, as two hosts do.
 * STRATA_TEST_IMAGE names a folder with "kernel", "initrd" and "disk.qcow2" of a guest that boots to a guest agent,
 * STRATA_TEST_PATTERN the program tests/qemu/pattern.c, linked statically, which runs in it; needs root. Without them, and with a
 * QEMU that is too old, everything is skipped.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/spawn.h"
#include "driver/machine/qemu/migrate.h"
#include "driver/machine/qemu/qemu.h"

enum { TIMEOUT_S = 90, TURN_MS = 100, MIB = 1 << 20, MOVES = 3, LOG_BYTES = 64 << 20, COUNTS = 5 };

#define UID "6f0f0cf2-8c5d-4b0a-9d8e-0123456789ab"

struct place {
	char *directory, *kernel, *initrd, *base_disk, *pattern;
	char *tls, *other_tls;		/* Folders of certificates; of another CA. */
};

/* One of the two hosts. */
struct host {
	const struct place *place;
	struct machine_driver *driver;
	struct machine_params params;
	struct machine_config config;
	struct volume_layer layers[2];
	struct machine_disk root;
	char *run, *cgroup, *console, *disk, *nvram;
	struct loop *loop;
	struct machine_watch *watch;
	bool has_agent, has_ended, has_io_error;
};

struct bench {
	struct place *place;
	struct host hosts[2];
	const char *copied[2];
	struct machine_listen listen;
	struct machine_migration migration;
	struct machine_migration_result result;
	int (*act)(struct bench *bench);	/* Once, in the middle of a move; 1: later. */
	enum machine_migration_phase act_in;
	bool is_cancelled;
};

#define ok(call) ({ \
	struct err err_ = { 0 }; \
	struct err *err = &err_; \
	if ((call) < 0) \
		fail_msg("%s: %s", #call, err_.msg); })

/* Certificates */

static int run(const char *const *argv)
{
	struct err err = { 0 };
	int r = spawn_run(&(struct spawn_params){ .argv = argv }, NULL, &err);

	if (r < 0)
		fprintf(stderr, "%s: %s\n", argv[0], err.msg);
	return r;
}
#define run(...) run((const char *const[]){ __VA_ARGS__, NULL })

static int make_certificate(const char *folder, const char *kind)
{
	static const char text[] = "subjectAltName=DNS:node-b,IP:127.0.0.1\nkeyUsage=digitalSignature\n"
				   "extendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n";
	auto_free char *key = text_format("%s/%s-key.pem", folder, kind), *request = text_format("%s/%s.csr", folder, kind);
	auto_free char *certificate = text_format("%s/%s-cert.pem", folder, kind), *extensions = text_format("%s/extensions", folder);
	auto_free char *ca = text_format("%s/ca-cert.pem", folder), *ca_key = text_format("%s/ca-key.pem", folder);
	auto_free char *subject = text_format("/CN=%s", kind[0] == 's' ? "node-b" : "node-a");
	struct err err;

	return file_write_atomic(extensions, text, strlen(text), 0600, &err) < 0 ||
	       run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout", key,
		   "-out", request) < 0 ||
	       run("openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile",
		   extensions, "-out", certificate) < 0;
}

/* 0, or not. */
static int make_certificates(const char *folder)
{
	auto_free char *ca = text_format("%s/ca-cert.pem", folder), *ca_key = text_format("%s/ca-key.pem", folder);

	return mkdir(folder, 0700) < 0 ||
	       run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=ca",
		   "-keyout", ca_key, "-out", ca) < 0 ||
	       make_certificate(folder, "server") || make_certificate(folder, "client");
}

/* Place */

static bool place_init(struct place *place, const char *image, const char *pattern)
{
	char directory[] = "/tmp/strata-migrate-test-XXXXXX";

	*place = (struct place){
		.directory = text_copy(mkdtemp(directory)), .kernel = text_format("%s/kernel", image),
		.initrd = text_format("%s/initrd", image), .base_disk = text_format("%s/disk.qcow2", image), .pattern = text_copy(pattern),
	};
	place->tls = text_format("%s/tls", place->directory);
	place->other_tls = text_format("%s/other-tls", place->directory);
	return make_certificates(place->tls) == 0 && make_certificates(place->other_tls) == 0;
}

static void place_done(struct place *place)
{
	struct err err;

	file_remove_tree(place->directory, &err);
	free(place->directory);
	free(place->kernel);
	free(place->initrd);
	free(place->base_disk);
	free(place->pattern);
	free(place->tls);
	free(place->other_tls);
}

static const char *cgroup_root(void)
{
	return access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
}

/* Hosts */

static void keep_event(void *data, const struct machine_event *event)
{
	struct host *host = data;

	host->has_agent |= event->kind == MACHINE_EVENT_AGENT_UP;
	host->has_ended |= event->kind == MACHINE_EVENT_EXITED;
	host->has_io_error |= event->kind == MACHINE_EVENT_IO_ERROR;
}

/* As a volume is made at the destination: a new child of the same image. */
static void make_disk(const struct host *host)
{
	unlink(host->disk);
	assert_int_equal(run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", host->place->base_disk, host->disk), 0);
}

static void host_init(struct host *host, const struct place *place, int number)
{
	host->place = place;
	host->run = text_format("%s/run-%d", place->directory, number);
	host->cgroup = text_format("%s/strata-migrate-test-%d-%d", cgroup_root(), (int)getpid(), number);
	host->console = text_format("%s/console-%d.log", place->directory, number);
	host->disk = text_format("%s/root-%d.qcow2", place->directory, number);
	host->nvram = text_format("%s/nvram-%d", place->directory, number);
	host->layers[0] = (struct volume_layer){ host->disk, VOLUME_QCOW2 };
	host->layers[1] = (struct volume_layer){ place->base_disk, VOLUME_QCOW2 };
	host->root = (struct machine_disk){ .id = "root", .layers = host->layers, .layer_count = 2, .is_root = true };
	host->params = (struct machine_params){ .directory = host->run, .cgroup = host->cgroup };
	host->config = (struct machine_config){
		.uid = UID, .name = "moved", .type = MACHINE_MICROVM, .cpus = 1, .max_cpus = 1, .memory_bytes = 256 * MIB,
		.kernel = place->kernel, .initrd = place->initrd, .cmdline = "console=ttyS0 quiet panic=-1",
		.console_log = host->console, .disks = &host->root, .disk_count = 1,
	};
	make_disk(host);
	ok(loop_new(LOOP_CLOCK_REAL, 0, &host->loop, err));
	ok(machine_qemu.open(&host->params, &host->driver, err));
}

static void host_done(struct host *host)
{
	struct err err;

	machine_qemu.unwatch(host->driver, host->watch);
	machine_qemu.kill(host->driver, UID, &err);
	machine_qemu.close(host->driver);
	loop_free(host->loop);
	rmdir(host->cgroup);
	unlink(host->console);
	unlink(host->nvram);
	free(host->run);
	free(host->cgroup);
	free(host->console);
	free(host->disk);
	free(host->nvram);
}

static void next_daemon(struct host *host)
{
	machine_qemu.unwatch(host->driver, take(host->watch));
	machine_qemu.close(host->driver);
	ok(machine_qemu.open(&host->params, &host->driver, err));
}

static void watch_host(struct host *host)
{
	host->has_agent = host->has_ended = false;
	machine_qemu.unwatch(host->driver, take(host->watch));
	ok(machine_qemu.watch(host->driver, UID, host->loop, keep_event, host, &host->watch, err));
}

static void wait_for(struct host *host, const bool *what, const char *words)
{
	uint64_t end = loop_now_ms(host->loop) + TIMEOUT_S * UINT64_C(1000);

	while (!*what && loop_now_ms(host->loop) < end)
		loop_step(host->loop, TURN_MS);
	if (!*what)
		fail_msg("%s", words);
}

static void boot(struct host *host)
{
	ok(machine_qemu.start(host->driver, &host->config, err));
	watch_host(host);
	wait_for(host, &host->has_agent, "the guest does not boot");
}

static struct machine_status status_of(struct host *host)
{
	struct machine_status status = { 0 };

	ok(machine_qemu.status(host->driver, UID, &status, err));
	return status;
}

/* In the guest */

static char *guest_says(struct host *host, const char *command)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	auto_close int output = memfd_create("output", MFD_CLOEXEC);
	struct machine_exec exec = { .argv = argv, .input = -1, .output = output, .error = -1, .resize = -1 };
	char text[512] = { 0 };
	int exit_code;

	ok(machine_qemu.exec(host->driver, UID, &exec, &exit_code, err));
	assert_true(pread(output, text, sizeof(text) - 1, 0) >= 0);
	text[strcspn(text, "\n")] = '\0';
	return text_copy(text);
}

static void run_pattern(struct host *host, const char *arguments)
{
	auto_close int program = open(host->place->pattern, O_RDONLY | O_CLOEXEC);
	auto_free char *command = text_format("/tmp/pattern %s >/dev/ttyS0 2>&1 &", arguments);

	ok(machine_qemu.file_write(host->driver, UID, "/tmp/pattern", 0755, program, err));
	free(guest_says(host, command));
}

/* The console's last "count N"; fails when the pattern found something wrong. */
static unsigned long long last_count(const struct host *host)
{
	auto_str struct str text = { 0 };
	const char *at, *last = NULL;

	ok(file_read_all(host->console, LOG_BYTES, &text, err));
	if (strstr(str_text(&text), "STALE") || strstr(str_text(&text), "WRITE of"))
		fail_msg("the guest found: %s", strstr(str_text(&text), "STALE") ? strstr(str_text(&text), "STALE") : strstr(str_text(&text), "WRITE of"));
	for (at = str_text(&text); (at = strstr(at, "count ")); at++)
		if (strchr(at, '\n'))
			last = at;
	return last ? strtoull(last + strlen("count "), NULL, 10) : 0;
}

/* The guest goes on: it counts further than 'than'. Returns where it is. */
static unsigned long long expect_counting(struct host *host, unsigned long long than)
{
	uint64_t end = loop_now_ms(host->loop) + TIMEOUT_S * UINT64_C(1000);
	unsigned long long count = last_count(host);

	while (count < than + COUNTS && loop_now_ms(host->loop) < end) {
		loop_step(host->loop, TURN_MS);
		count = last_count(host);
	}
	if (count < than + COUNTS)
		fail_msg("the guest does not go on: it counted to %llu, and before to %llu", count, than);
	return count;
}

/* Moving */

static void in_the_middle(void *data, const struct machine_migration_progress *progress)
{
	struct bench *bench = data;

	if (bench->act && progress->phase == bench->act_in && progress->done_bytes > MIB && bench->act(bench) == 0)
		bench->act = NULL;
}

static void wait_at(struct bench *bench, struct host *to)
{
	ok(machine_qemu.migrate_in(to->driver, &to->config, &bench->listen, &bench->migration.ports, err));
}

static int move(struct bench *bench, struct host *from, struct err *err)
{
	return machine_qemu.migrate_out(from->driver, UID, &bench->migration, &bench->result, err);
}

static void expect_failure(struct bench *bench, int code, const char *words)
{
	struct err failure = { 0 };
	int r = move(bench, &bench->hosts[0], &failure);

	if (r != code || !strstr(failure.msg, words))
		fail_msg("%d '%s', not %d '%s'", r, failure.msg, code, words);
}

/* The guest runs at the first host as if nothing had been: memory, disk, no job, no node, nothing of ours left in QEMU. */
static void expect_untouched(struct bench *bench)
{
	struct host *host = &bench->hosts[0];
	auto_json struct json *jobs = NULL, *nodes = NULL, *objects = NULL;
	auto_free char *answer = NULL;
	auto_qmp struct qmp qmp;
	auto_str struct str text = { 0 };
	struct json_writer writer = { .out = &text };

	assert_int_equal(status_of(host).state, MACHINE_RUNNING);
	expect_counting(host, last_count(host));
	answer = guest_says(host, "echo data >/data/probe; sync; cat /data/probe");
	assert_string_equal(answer, "data");
	ok(qemu_connect(qemu_of(host->driver), UID, QMP_TIMEOUT_MS, &qmp, err));
	ok(qmp_call(&qmp, "query-jobs", NULL, &jobs, err));
	assert_int_equal(json_count(json_get(jobs, "return")), 0);
	ok(qmp_call(&qmp, "query-named-block-nodes", "{\"flat\":true}", &nodes, err));
	ok(qmp_call(&qmp, "qom-list", "{\"path\":\"/objects\"}", &objects, err));
	json_write_array(&writer, NULL);
	json_write_value(&writer, NULL, nodes);
	json_write_value(&writer, NULL, objects);
	json_write_end_array(&writer);
	assert_null(strstr(text.data, "\"m-"));
	assert_null(strstr(text.data, MIGRATE_TLS));
	assert_false(host->has_io_error);
}

static int set_up(void **state)
{
	struct bench *bench = alloc(sizeof(*bench));

	*bench = (struct bench){ .place = *state, .copied = { "root", NULL } };
	for (int i = 0; i < 2; i++)
		host_init(&bench->hosts[i], bench->place, i);
	bench->listen = (struct machine_listen){
		.address = "127.0.0.1", .tls = bench->place->tls, .peer = "CN=node-a", .copied = bench->copied,
	};
	bench->migration = (struct machine_migration){
		.address = "127.0.0.1", .tls = bench->place->tls, .server = "node-b", .copied = bench->copied, .report = in_the_middle,
		.data = bench, .is_cancelled = &bench->is_cancelled,
	};
	*state = bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	for (int i = 0; i < 2; i++)
		host_done(&bench->hosts[i]);
	*state = bench->place;
	free(bench);
	return 0;
}

static void boot_with_pattern(struct bench *bench, const char *arguments)
{
	boot(&bench->hosts[0]);
	free(guest_says(&bench->hosts[0], "mkdir -p /data"));
	run_pattern(&bench->hosts[0], arguments);
	expect_counting(&bench->hosts[0], 0);
}

/* What a move keeps */

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
	free(guest_says(from, "for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/sda ] && break; sleep 0.1; done; echo data >/dev/sda; sync"));
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

static void set_flags(const char *ifname, short flags, bool is_set)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", ifname);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags = (short)(is_set ? request.ifr_flags | flags : request.ifr_flags & ~flags);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
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

/* What does not move */

static void wrong_certificates_are_refused(void **state)
{
	struct bench *bench = *state;
	struct host *to = &bench->hosts[1];

	boot_with_pattern(bench, "16 20000");
	bench->migration.tls = bench->place->other_tls;
	wait_at(bench, to);
	expect_failure(bench, -EACCES, "ertificate");
	expect_untouched(bench);
	/* The same without a disk, where the stream of memory meets it first. */
	bench->listen.copied = bench->migration.copied = NULL;
	wait_at(bench, to);
	expect_failure(bench, -EACCES, "ertificate");
	expect_untouched(bench);
	bench->migration.tls = bench->place->tls;
	bench->migration.server = "node-c";
	wait_at(bench, to);
	expect_failure(bench, -EACCES, "ertificate");
	bench->listen.copied = bench->migration.copied = bench->copied;
	make_disk(to);
	wait_at(bench, to);
	expect_failure(bench, -EACCES, "ertificate");
	expect_untouched(bench);
}

/* Who has a certificate of the CA, but is not the source. */
static void wrong_peer_is_refused(void **state)
{
	struct bench *bench = *state;
	struct err failure = { 0 };

	boot_with_pattern(bench, "16 20000");
	bench->listen.peer = "CN=node-x";
	wait_at(bench, &bench->hosts[1]);
	assert_true(move(bench, &bench->hosts[0], &failure) < 0);
	expect_untouched(bench);
	bench->listen.copied = bench->migration.copied = NULL;
	make_disk(&bench->hosts[1]);
	wait_at(bench, &bench->hosts[1]);
	assert_true(move(bench, &bench->hosts[0], &failure) < 0);
	expect_untouched(bench);
	bench->migration.tls = NULL;
	wait_at(bench, &bench->hosts[1]);
	assert_true(move(bench, &bench->hosts[0], &failure) < 0);
	expect_untouched(bench);
}

static int kill_destination(struct bench *bench)
{
	return kill(status_of(&bench->hosts[1]).pid, SIGKILL);
}

static int cancel(struct bench *bench)
{
	bench->is_cancelled = true;
	return 0;
}

static int cut_link(struct bench *bench)
{
	(void)bench;
	set_flags("lo", IFF_UP, false);
	return 0;
}

/* Slow enough for something to happen in the middle of both phases. */
static void fail_in_the_middle(struct bench *bench, int (*act)(struct bench *bench), int code)
{
	static const enum machine_migration_phase phases[] = { MACHINE_MIGRATION_DISKS, MACHINE_MIGRATION_MEMORY };

	boot_with_pattern(bench, "64 20000 /data/records");
	free(guest_says(&bench->hosts[0], "dd if=/dev/urandom of=/data/bulk bs=1M count=24 2>/dev/null; sync"));
	for (size_t i = 0; i < ARRAY_COUNT(phases); i++) {
		struct err failure = { 0 };
		int r;

		make_disk(&bench->hosts[1]);
		bench->migration.bytes_per_s = 8 * MIB;
		bench->act = act;
		bench->act_in = phases[i];
		wait_at(bench, &bench->hosts[1]);
		r = move(bench, &bench->hosts[0], &failure);
		set_flags("lo", IFF_UP, true);
		print_message("%s\n", failure.msg);
		assert_null(bench->act);
		assert_int_equal(r, code);
		bench->is_cancelled = false;
		expect_untouched(bench);
	}
	/* And then it goes through. */
	bench->migration.bytes_per_s = 0;
	make_disk(&bench->hosts[1]);
	wait_at(bench, &bench->hosts[1]);
	ok(move(bench, &bench->hosts[0], err));
	ok(machine_qemu.resume(bench->hosts[1].driver, UID, err));
	expect_counting(&bench->hosts[1], last_count(&bench->hosts[0]));
}

static void destination_dies(void **state)
{
	fail_in_the_middle(*state, kill_destination, -EIO);
}

static void person_cancels(void **state)
{
	fail_in_the_middle(*state, cancel, -ECANCELED);
}

static void link_is_cut(void **state)
{
	fail_in_the_middle(*state, cut_link, -EIO);
}

/* The daemon is killed in the middle of both phases; the next one finds a guest that runs, and what is left going. */
static void daemon_of_source_dies(void **state)
{
	static const enum machine_migration_phase phases[] = { MACHINE_MIGRATION_DISKS, MACHINE_MIGRATION_MEMORY };
	struct bench *bench = *state;

	boot_with_pattern(bench, "64 20000 /data/records");
	free(guest_says(&bench->hosts[0], "dd if=/dev/urandom of=/data/bulk bs=1M count=24 2>/dev/null; sync"));
	bench->migration.bytes_per_s = 8 * MIB;
	for (size_t i = 0; i < ARRAY_COUNT(phases); i++) {
		pid_t child;
		int status;

		make_disk(&bench->hosts[1]);
		wait_at(bench, &bench->hosts[1]);
		bench->act_in = phases[i];
		child = fork();
		if (child == 0) {
			bench->act = (int (*)(struct bench *))(void *)abort;
			move(bench, &bench->hosts[0], &(struct err){ 0 });
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		next_daemon(&bench->hosts[0]);
		ok(machine_qemu.migrate_cancel(bench->hosts[0].driver, UID, err));
		expect_untouched(bench);
	}
}

static void snapshots_stay_behind(void **state)
{
	struct bench *bench = *state;

	boot_with_pattern(bench, "1 20000");
	ok(machine_qemu.snapshot_create(bench->hosts[0].driver, UID, "one", false, err));
	wait_at(bench, &bench->hosts[1]);
	expect_failure(bench, -EOPNOTSUPP, "disk 'root' has snapshots");
	expect_untouched(bench);
	ok(machine_qemu.snapshot_remove(bench->hosts[0].driver, UID, "one", err));
	ok(move(bench, &bench->hosts[0], err));
}

static void added_memory_is_refused(void **state)
{
	struct bench *bench = *state;
	struct host *from = &bench->hosts[0];

	from->config.type = MACHINE_Q35;
	from->config.max_memory_bytes = 512 * MIB;
	boot_with_pattern(bench, "1 20000");
	ok(machine_qemu.resize(from->driver, UID, 0, 384 * MIB, err));
	expect_failure(bench, -EOPNOTSUPP, "memory was added");
	expect_untouched(bench);
}

/* Too much for the link */

static int give_to_destination(void *data, struct err *err)
{
	struct bench *bench = data;

	while (!status_of(&bench->hosts[1]).has_arrived)
		;
	return machine_qemu.resume(bench->hosts[1].driver, UID, err);
}

static int keep_it(void *data, struct err *err)
{
	(void)data;
	return err_set(err, -EBUSY, "the change of hands was refused");
}

static void endless_move_is_given_up(void **state)
{
	struct bench *bench = *state;

	boot_with_pattern(bench, "96 0");
	bench->listen.copied = bench->migration.copied = NULL;
	bench->migration.bytes_per_s = 4 * MIB;
	bench->migration.downtime_ms = 1;
	wait_at(bench, &bench->hosts[1]);
	expect_failure(bench, -EAGAIN, "faster");
	expect_untouched(bench);
}

/* The user of machines may not open /dev/userfaultfd unless the host's administrator wants it: here one that all may open. */
static void open_userfaultfd(const struct place *place)
{
	auto_free char *path = text_format("%s/userfaultfd", place->directory);
	struct stat st;

	if (stat("/dev/userfaultfd", &st) < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return;
	if (mknod(path, S_IFCHR | 0600, st.st_rdev) == 0 && chmod(path, 0666) == 0 && mount(path, "/dev/userfaultfd", NULL, MS_BIND, NULL) < 0)
		print_message("mount over /dev/userfaultfd: %s\n", strerror(errno));
}

static void postcopy_ends_it(void **state)
{
	struct bench *bench = *state;
	struct err refusal = { 0 };

	open_userfaultfd(bench->place);
	boot_with_pattern(bench, "64 0 /data/records");
	bench->migration.bytes_per_s = 16 * MIB;
	bench->migration.downtime_ms = 1;
	bench->listen.has_postcopy = true;
	if (machine_qemu.migrate_in(bench->hosts[1].driver, &bench->hosts[1].config, &bench->listen, &bench->migration.ports, &refusal) < 0) {
		assert_int_equal(refusal.code, -EOPNOTSUPP);
		print_message("%s\n", refusal.msg);
		skip();
	}
	bench->migration.hand_over = keep_it;
	expect_failure(bench, -EBUSY, "the change of hands was refused");
	expect_untouched(bench);

	make_disk(&bench->hosts[1]);
	bench->migration.hand_over = give_to_destination;
	wait_at(bench, &bench->hosts[1]);
	ok(move(bench, &bench->hosts[0], err));
	assert_true(bench->result.was_postcopy);
	assert_true(status_of(&bench->hosts[0]).is_moved_out);
	expect_counting(&bench->hosts[1], last_count(&bench->hosts[0]));
	print_message("post-copy: downtime %llu ms, total %llu ms\n", (unsigned long long)bench->result.downtime_ms,
		      (unsigned long long)bench->result.total_ms);
}

#define CASE(name) { #name, name, set_up, tear_down, &place }

static int run_all(const char *image, const char *pattern)
{
	struct place place = { 0 };
	const struct CMUnitTest cases[] = {
		CASE(memory_and_disk_survive), CASE(plugged_disk_moves), CASE(shared_disk_changes_hands), CASE(network_is_told),
		CASE(display_and_console_work_there),
		CASE(firmware_variables_move), CASE(wrong_certificates_are_refused), CASE(wrong_peer_is_refused), CASE(destination_dies),
		CASE(person_cancels), CASE(link_is_cut), CASE(daemon_of_source_dies), CASE(snapshots_stay_behind),
		CASE(added_memory_is_refused), CASE(endless_move_is_given_up), CASE(postcopy_ends_it),
	};
	int failed = 1;

	/* The link between the hosts is our loopback: it must be one that may be cut. */
	if (unshare(CLONE_NEWNET) == 0 && place_init(&place, image, pattern)) {
		set_flags("lo", IFF_UP, true);
		failed = cmocka_run_group_tests_name("migrate", cases, NULL, NULL);
	}
	place_done(&place);
	return failed;
}

static bool can_migrate(void)
{
	struct machine_params params = { .directory = "/tmp/strata-migrate-probe", .cgroup = "/sys/fs/cgroup/none" };
	struct machine_capabilities capabilities = { 0 };
	struct machine_driver *driver;
	bool can = false;
	struct err err;

	if (machine_qemu.open(&params, &driver, &err) < 0)
		return false;
	can = machine_qemu.probe(driver, &capabilities, &err) == 0 && capabilities.has_live_migration;
	machine_capabilities_done(&capabilities);
	machine_qemu.close(driver);
	rmdir(params.directory);
	return can;
}

static void guest_is_missing(void **state)
{
	(void)state;
	skip();
}

int main(void)
{
	const struct CMUnitTest skipped[] = { cmocka_unit_test(guest_is_missing) };
	const char *image = getenv("STRATA_TEST_IMAGE"), *pattern = getenv("STRATA_TEST_PATTERN");

	if (!image || !pattern || geteuid() != 0 || !can_migrate())
		return cmocka_run_group_tests_name("migrate", skipped, NULL, NULL);
	return run_all(image, pattern);
}
