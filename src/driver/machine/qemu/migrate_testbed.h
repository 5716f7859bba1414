/*
 * migrate_testbed.h - two hosts for tests of live migration: two drivers that share nothing but the network and a guest.
 *
 * STRATA_TEST_IMAGE names a folder with "kernel", "initrd" and "disk.qcow2" of a guest that boots to a guest agent,
 * STRATA_TEST_PATTERN the program tests/migrate/pattern.c, linked statically, which runs in it; needs root. Without them, and with a
 * QEMU that is too old, everything is skipped.
 */
#ifndef DRIVER_MACHINE_QEMU_MIGRATE_TESTBED_H
#define DRIVER_MACHINE_QEMU_MIGRATE_TESTBED_H

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/spawn.h"
#include "driver/machine/qemu/migrate.h"
#include "driver/machine/qemu/qemu.h"

enum { TIMEOUT_S = 90, TURN_MS = 100, MIB = 1 << 20, LOG_BYTES = 64 << 20, COUNTS = 5 };

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

static inline int run(const char *const *argv)
{
	struct err err = { 0 };
	int r = spawn_run(&(struct spawn_params){ .argv = argv }, NULL, &err);

	if (r < 0)
		fprintf(stderr, "%s: %s\n", argv[0], err.msg);
	return r;
}
#define run(...) run((const char *const[]){ __VA_ARGS__, NULL })

static inline int make_certificate(const char *folder, const char *kind)
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
static inline int make_certificates(const char *folder)
{
	auto_free char *ca = text_format("%s/ca-cert.pem", folder), *ca_key = text_format("%s/ca-key.pem", folder);

	return mkdir(folder, 0700) < 0 ||
	       run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=ca",
		   "-keyout", ca_key, "-out", ca) < 0 ||
	       make_certificate(folder, "server") || make_certificate(folder, "client");
}

/* Place */

static inline bool place_init(struct place *place, const char *image, const char *pattern)
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

static inline void place_done(struct place *place)
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

static inline void keep_event(void *data, const struct machine_event *event)
{
	struct host *host = data;

	host->has_agent |= event->kind == MACHINE_EVENT_AGENT_UP;
	host->has_ended |= event->kind == MACHINE_EVENT_EXITED;
	host->has_io_error |= event->kind == MACHINE_EVENT_IO_ERROR;
}

/* As a volume is made at the destination: a new child of the same image. */
static inline void make_disk(const struct host *host)
{
	unlink(host->disk);
	assert_int_equal(run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", host->place->base_disk, host->disk), 0);
}

static inline void host_init(struct host *host, const struct place *place, int number)
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

static inline void host_done(struct host *host)
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

static inline void next_daemon(struct host *host)
{
	machine_qemu.unwatch(host->driver, take(host->watch));
	machine_qemu.close(host->driver);
	ok(machine_qemu.open(&host->params, &host->driver, err));
}

static inline void watch_host(struct host *host)
{
	host->has_agent = host->has_ended = false;
	machine_qemu.unwatch(host->driver, take(host->watch));
	ok(machine_qemu.watch(host->driver, UID, host->loop, keep_event, host, &host->watch, err));
}

static inline void wait_for(struct host *host, const bool *what, const char *words)
{
	uint64_t end = loop_now_ms(host->loop) + TIMEOUT_S * UINT64_C(1000);

	while (!*what && loop_now_ms(host->loop) < end)
		loop_step(host->loop, TURN_MS);
	if (!*what)
		fail_msg("%s", words);
}

static inline void boot(struct host *host)
{
	ok(machine_qemu.start(host->driver, &host->config, err));
	watch_host(host);
	wait_for(host, &host->has_agent, "the guest does not boot");
}

static inline struct machine_status status_of(struct host *host)
{
	struct machine_status status = { 0 };

	ok(machine_qemu.status(host->driver, UID, &status, err));
	return status;
}

/* In the guest */

static inline char *guest_says(struct host *host, const char *command)
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

static inline void run_pattern(struct host *host, const char *arguments)
{
	auto_close int program = open(host->place->pattern, O_RDONLY | O_CLOEXEC);
	auto_free char *command = text_format("/tmp/pattern %s >/dev/ttyS0 2>&1 &", arguments);

	ok(machine_qemu.file_write(host->driver, UID, "/tmp/pattern", 0755, program, err));
	free(guest_says(host, command));
}

/* The console's last "count N"; fails when the pattern found something wrong. */
static inline unsigned long long last_count(const struct host *host)
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
static inline unsigned long long expect_counting(struct host *host, unsigned long long than)
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

/* Raises or lowers a network interface. */
static inline void set_flags(const char *ifname, short flags, bool is_set)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", ifname);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags = (short)(is_set ? request.ifr_flags | flags : request.ifr_flags & ~flags);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
}

/* Moving */

static inline void in_the_middle(void *data, const struct machine_migration_progress *progress)
{
	struct bench *bench = data;

	if (bench->act && progress->phase == bench->act_in && progress->done_bytes > MIB && bench->act(bench) == 0)
		bench->act = NULL;
}

static inline void wait_at(struct bench *bench, struct host *to)
{
	ok(machine_qemu.migrate_in(to->driver, &to->config, &bench->listen, &bench->migration.ports, err));
}

static inline int move(struct bench *bench, struct host *from, struct err *err)
{
	return machine_qemu.migrate_out(from->driver, UID, &bench->migration, &bench->result, err);
}

static inline void expect_failure(struct bench *bench, int code, const char *words)
{
	struct err failure = { 0 };
	int r = move(bench, &bench->hosts[0], &failure);

	if (r != code || !strstr(failure.msg, words))
		fail_msg("%d '%s', not %d '%s'", r, failure.msg, code, words);
}

/* The guest runs at the first host as if nothing had been: memory, disk, no job, no node, nothing of ours left in QEMU. */
static inline void expect_untouched(struct bench *bench)
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

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
{
	struct bench *bench = *state;

	for (int i = 0; i < 2; i++)
		host_done(&bench->hosts[i]);
	*state = bench->place;
	free(bench);
	return 0;
}

static inline void boot_with_pattern(struct bench *bench, const char *arguments)
{
	boot(&bench->hosts[0]);
	free(guest_says(&bench->hosts[0], "mkdir -p /data"));
	run_pattern(&bench->hosts[0], arguments);
	expect_counting(&bench->hosts[0], 0);
}

static inline bool can_migrate(void)
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

static inline void guest_is_missing(void **state)
{
	(void)state;
	skip();
}

typedef int run_fn(struct place *place);

/* Runs the cases where they can run. The link between the hosts is our loopback: it must be one that may be cut. */
static inline int run_where_possible(run_fn *run_cases)
{
	const struct CMUnitTest skipped[] = { cmocka_unit_test(guest_is_missing) };
	const char *image = getenv("STRATA_TEST_IMAGE"), *pattern = getenv("STRATA_TEST_PATTERN");
	struct place place = { 0 };
	int failed = 1;

	if (!image || !pattern || geteuid() != 0 || !can_migrate())
		return cmocka_run_group_tests_name("migrate", skipped, NULL, NULL);
	if (unshare(CLONE_NEWNET) == 0 && place_init(&place, image, pattern)) {
		set_flags("lo", IFF_UP, true);
		failed = run_cases(&place);
	}
	place_done(&place);
	return failed;
}

#define CASE(name) { #name, name, set_up, tear_down, place }

#endif
