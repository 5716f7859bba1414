/*
 * How long an idle guest (q35, 256 MiB, TCG) stands still when it is moved while it runs: from the event STOP of the QEMU it leaves to
 * RESUME of the one it goes on in. Through the driver, with its disk shared and nothing encrypted as the floor has it, and with its disk
 * copied and both streams encrypted; against two QEMUs by hand that are told by QMP to do it and go on by themselves.
 *
 * The image is built by the daemon from Debian's packages, or taken from the folder that STRATA_TEST_IMAGE names (kernel, initrd,
 * disk.qcow2).
 */
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "base/json.h"
#include "base/spawn.h"
#include "lib/node.h"
#include "port/machine.h"

enum { ROUNDS = 11, QUICK_ROUNDS = 3, BOOT_TIMEOUT_MS = 120000, SETTLE_MS = 3000, LOG_BYTES = 1 << 20, EVENT_TIMEOUT_S = 30, MIB = 1 << 20 };

#define UID "6f0f0cf2-8c5d-4b0a-9d8e-0123456789ab"
#define CMDLINE "console=ttyS0 quiet"

static const char first_line[] = "strata tiny: init";

struct image { char *kernel, *initrd, *disk; };

/* A monitor of a QEMU, for the times of its events and, with the floor, for commands. */

struct monitor {
	FILE *file;
	double stopped_ms, resumed_ms;	/* When QEMU said so; 0: not yet. */
};

static void monitor_close(struct monitor *monitor)
{
	fclosep(&monitor->file);
	monitor->file = NULL;
}

/* One line. 1: it was an answer (then '*ret_json' is it); 0: greeting or event. */
static int monitor_read(struct monitor *monitor, struct json **ret_json, struct err *err)
{
	auto_free char *line = NULL;
	auto_json struct json *json = NULL;
	const char *event;
	size_t capacity = 0;
	ssize_t size;
	double at;
	int r;

	errno = 0;
	size = getline(&line, &capacity, monitor->file);
	if (size < 0)
		return err_set(err, errno ? -errno : -EPIPE, "QEMU does not answer");
	r = json_parse(line, (size_t)size, &json, err);
	if (r < 0)
		return r;
	event = json_string(json_get(json, "event"), "");
	at = (double)json_int(json_path(json, "timestamp.seconds"), 0) * 1e3 + (double)json_int(json_path(json, "timestamp.microseconds"), 0) / 1e3;
	if (text_equal(event, "STOP"))
		monitor->stopped_ms = at;
	if (text_equal(event, "RESUME"))
		monitor->resumed_ms = at;
	if (!json_get(json, "return") && !json_get(json, "error"))
		return 0;
	if (json_get(json, "error"))
		return err_set(err, -EIO, "QEMU: %s", json_string(json_path(json, "error.desc"), ""));
	if (ret_json)
		*ret_json = take(json);
	return 1;
}

static int monitor_call(struct monitor *monitor, const char *command, struct json **ret_json, struct err *err)
{
	int r;

	fprintf(monitor->file, "%s\n", command);
	if (fflush(monitor->file) != 0)
		return err_set(err, -errno, "QEMU ended");
	do
		r = monitor_read(monitor, ret_json, err);
	while (r == 0);
	return r < 0 ? r : 0;
}

static int monitor_open(struct monitor *monitor, const char *path, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = EVENT_TIMEOUT_S };
	double start = now_ms();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (now_ms() - start > BOOT_TIMEOUT_MS)
			return close(fd), err_set(err, -ETIMEDOUT, "connect to %s: %m", path);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	*monitor = (struct monitor){ .file = fdopen(fd, "r+") };
	return monitor_call(monitor, "{\"execute\":\"qmp_capabilities\"}", NULL, err);
}

static int monitor_wait(struct monitor *monitor, const double *what_ms, struct err *err)
{
	int r = 0;

	while (r >= 0 && *what_ms == 0)
		r = monitor_read(monitor, NULL, err);
	return r < 0 ? r : 0;
}

/* Between the two events: wall clock of one machine. */
static int read_standstill(struct monitor *from, struct monitor *to, struct samples *samples, struct err *err)
{
	int r = monitor_wait(from, &from->stopped_ms, err);

	if (r == 0)
		r = monitor_wait(to, &to->resumed_ms, err);
	if (r == 0)
		samples_add(samples, to->resumed_ms - from->stopped_ms);
	return r;
}

static int wait_for_guest(const char *log, struct err *err)
{
	double start = now_ms();

	for (;;) {
		auto_str struct str text = { 0 };
		struct err ignored;

		if (file_read_all(log, LOG_BYTES, &text, &ignored) == 0 && strstr(str_text(&text), first_line))
			break;
		if (now_ms() - start > BOOT_TIMEOUT_MS)
			return err_set(err, -ETIMEDOUT, "the guest's console has not said '%s'", first_line);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	/* Until it is idle. */
	nanosleep(&(struct timespec){ .tv_sec = SETTLE_MS / 1000 }, NULL);
	return 0;
}

static int make_disk(const struct image *image, const char *path, struct err *err)
{
	return run_program((const char *[]){ "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image->disk, path, NULL }, NULL, err);
}

/* The floor: QEMU by hand */

struct raw { pid_t pid; int pidfd; struct monitor monitor; };

struct raws {
	const struct bench *bench;
	const struct image *image;
	struct raw sides[2];		/* The guest runs in sides[0] between rounds. */
	unsigned count;			/* Of QEMUs started. */
};

static int raw_start(struct raws *raws, struct raw *raw, bool is_incoming, struct err *err)
{
	const char *folder = raws->bench->folder;
	auto_free char *qmp = text_format("unix:%s/raw-%u,server=on,wait=off", folder, ++raws->count);
	auto_free char *socket = text_format("%s/raw-%u", folder, raws->count), *serial = text_format("file:%s/raw.log", folder);
	auto_free char *disk = text_format("driver=qcow2,node-name=root,file.driver=file,file.filename=%s/raw.qcow2", folder);
	const char *argv[] = {
		"qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "q35,vmport=off,sata=off,smm=off", "-accel", "tcg", "-cpu", "max",
		"-smp", "1", "-m", "256", "-kernel", raws->image->kernel, "-initrd", raws->image->initrd, "-append", CMDLINE, "-serial", serial,
		"-blockdev", disk, "-device", "virtio-blk-pci,drive=root", "-qmp", qmp, is_incoming ? "-incoming" : NULL, "defer", NULL,
	};
	int r = spawn_start(&(struct spawn_params){ .argv = argv }, &raw->pid, &raw->pidfd, err);

	return r < 0 ? r : monitor_open(&raw->monitor, socket, err);
}

static void raw_end(struct raw *raw)
{
	if (raw->pid) {
		kill(raw->pid, SIGKILL);
		waitpid(raw->pid, NULL, 0);
		close(raw->pidfd);
	}
	monitor_close(&raw->monitor);
	*raw = (struct raw){ 0 };
}

static int raw_migrate(struct raw *from, struct raw *to, struct err *err)
{
	static const char listen[] = "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"tcp:127.0.0.1:0\"}}";
	static const char capabilities[] = "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":["
					   "{\"capability\":\"return-path\",\"state\":true}]}}";
	static const char parameters[] = "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"max-bandwidth\":1099511627776}}";
	auto_json struct json *json = NULL;
	auto_free char *migrate = NULL;
	int r = monitor_call(&to->monitor, listen, NULL, err);

	if (r == 0)
		r = monitor_call(&to->monitor, "{\"execute\":\"query-migrate\"}", &json, err);
	if (r == 0)
		r = monitor_call(&from->monitor, capabilities, NULL, err);
	if (r == 0)
		r = monitor_call(&from->monitor, parameters, NULL, err);
	if (r < 0)
		return r;
	migrate = text_format("{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"tcp:127.0.0.1:%s\"}}",
			      json_string(json_get(json_at(json_path(json, "return.socket-address"), 0), "port"), ""));
	return monitor_call(&from->monitor, migrate, NULL, err);
}

static int raw_round(struct raws *raws, struct samples *samples, struct err *err)
{
	struct raw *from = &raws->sides[0], *to = &raws->sides[1];
	int r = raw_start(raws, to, true, err);

	from->monitor.stopped_ms = to->monitor.resumed_ms = 0;
	if (r == 0)
		r = raw_migrate(from, to, err);
	if (r == 0)
		r = read_standstill(&from->monitor, &to->monitor, samples, err);
	if (r < 0)
		return r;
	raw_end(from);
	*from = *to;
	*to = (struct raw){ 0 };
	return 0;
}

static int raws_start(struct raws *raws, struct err *err)
{
	auto_free char *disk = text_format("%s/raw.qcow2", raws->bench->folder), *log = text_format("%s/raw.log", raws->bench->folder);
	int r = make_disk(raws->image, disk, err);

	if (r == 0)
		r = raw_start(raws, &raws->sides[0], false, err);
	return r < 0 ? r : wait_for_guest(log, err);
}

/* Through the driver */

struct side {
	struct machine_driver *driver;
	char *run, *disk;
	struct monitor monitor;		/* The one that a watch would have. */
};

struct driven {
	const struct bench *bench;
	const struct image *image;
	const char *name;
	const char *tls;		/* Null: neither encrypted nor copied. */
	struct side sides[2];
	unsigned at;			/* Where the guest runs. */
	char *log;
};

static int driven_open(struct driven *driven, struct err *err)
{
	const char *folder = driven->bench->folder, *cgroups = "/sys/fs/cgroup";
	int r = 0;

	if (access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0)
		cgroups = "/sys/fs/cgroup/unified";
	driven->log = text_format("%s/%s.log", folder, driven->name);
	for (int i = 0; r == 0 && i < 2; i++) {
		struct side *side = &driven->sides[i];
		auto_free char *cgroup = text_format("%s/%s/%s-%d", cgroups, strrchr(folder, '/') + 1, driven->name, i);
		struct machine_params params = { .cgroup = cgroup };

		params.directory = side->run = text_format("%s/%s-%d", folder, driven->name, i);
		side->disk = text_format("%s/%s-%d.qcow2", folder, driven->name, driven->tls ? i : 0);
		r = file_make_dirs(cgroup, 0755, err);
		if (r == 0)
			r = machine_qemu.open(&params, &side->driver, err);
	}
	return r;
}

static void driven_close(struct driven *driven)
{
	struct err err;

	for (int i = 0; i < 2; i++) {
		struct side *side = &driven->sides[i];

		monitor_close(&side->monitor);
		if (side->driver) {
			machine_qemu.kill(side->driver, UID, &err);
			machine_qemu.close(side->driver);
		}
		free(side->run);
		free(side->disk);
	}
	free(driven->log);
}

/* The machine on 'side': started, or waiting for the one that runs on the other. */
static int begin(struct driven *driven, struct side *side, const struct machine_listen *listen, struct machine_ports *ports, struct err *err)
{
	struct volume_layer layers[] = { { side->disk, VOLUME_QCOW2 }, { driven->image->disk, VOLUME_QCOW2 } };
	struct machine_disk root = { .id = "root", .layers = layers, .layer_count = 2, .is_root = true };
	struct machine_config config = {
		.uid = UID, .name = driven->name, .type = MACHINE_Q35, .cpus = 1, .max_cpus = 1, .memory_bytes = 256 * MIB,
		.kernel = driven->image->kernel, .initrd = driven->image->initrd, .cmdline = CMDLINE, .console_log = driven->log,
		.disks = &root, .disk_count = 1,
	};
	auto_free char *events = text_format("%s/" UID "/events", side->run);
	int r = 0;

	if (!listen || driven->tls) {
		unlink(side->disk);
		r = make_disk(driven->image, side->disk, err);
	}
	if (r == 0)
		r = listen ? machine_qemu.migrate_in(side->driver, &config, listen, ports, err) : machine_qemu.start(side->driver, &config, err);
	return r < 0 ? r : monitor_open(&side->monitor, events, err);
}

static int driven_start(struct driven *driven, struct err *err)
{
	int r = driven_open(driven, err);

	if (r == 0)
		r = begin(driven, &driven->sides[0], NULL, NULL, err);
	return r < 0 ? r : wait_for_guest(driven->log, err);
}

static int driven_round(struct driven *driven, struct samples *samples, struct err *err)
{
	struct side *from = &driven->sides[driven->at % 2], *to = &driven->sides[(driven->at + 1) % 2];
	const char *const copied[] = { driven->tls ? "root" : NULL, NULL };
	struct machine_listen listen = { .address = "127.0.0.1", .tls = driven->tls, .copied = copied };
	struct machine_migration migration = { .address = "127.0.0.1", .tls = driven->tls, .server = "bench", .copied = copied };
	struct machine_migration_result result;
	int r = begin(driven, to, &listen, &migration.ports, err);

	from->monitor.stopped_ms = to->monitor.resumed_ms = 0;
	if (r == 0)
		r = machine_qemu.migrate_out(from->driver, UID, &migration, &result, err);
	if (r == 0)
		r = machine_qemu.resume(to->driver, UID, err);
	if (r == 0)
		r = read_standstill(&from->monitor, &to->monitor, samples, err);
	if (r < 0)
		return r;
	monitor_close(&from->monitor);
	driven->at++;
	return machine_qemu.kill(from->driver, UID, err);
}

/* What is needed */

static char *only(const char *folder, const char *name)
{
	auto_free char *pattern = text_format("%s/%s", folder, name);
	glob_t found = { 0 };
	char *path = NULL;

	if (glob(pattern, 0, NULL, &found) == 0)
		path = text_copy(found.gl_pathv[0]);
	globfree(&found);
	return path;
}

static int get_image(const struct bench *bench, struct image *image, struct err *err)
{
	auto_free char *given = text_copy(getenv("STRATA_TEST_IMAGE")), *disk = text_format("%s/tiny.qcow2", bench->folder), *folder = NULL;
	auto_node struct node node;
	int r = 0;

	node_init(&node, bench, "node", false);
	if (!given) {
		r = node_start(&node, NULL, err);
		if (r == 0)
			r = node_cli(&node, cli("image", "build", "tiny"), NULL, err);
		if (r == 0)
			r = node_cli(&node, cli("image", "export", "tiny", disk), NULL, err);
	}
	if (r < 0)
		return r;
	folder = given ? text_copy(given) : text_format("%s/images/*", node.state);
	*image = (struct image){ only(folder, "kernel"), only(folder, "initrd"), given ? only(folder, "disk.qcow2") : take(disk) };
	return image->kernel && image->initrd && image->disk ? 0 : err_set(err, -ENOENT, "there is no kernel, initrd or disk in %s", folder);
}

/* One certificate for both sides. */
static int make_certificates(const char *folder, struct err *err)
{
	static const char extensions[] = "subjectAltName=DNS:bench\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
					 "basicConstraints=CA:FALSE\n";
	static const char *const commands[] = {
		"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca-key.pem -out ca-cert.pem",
		"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=bench -keyout server-key.pem -out server.csr",
		"x509 -req -in server.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile extensions -out server-cert.pem",
	};
	auto_free char *path = text_format("%s/extensions", folder);
	int r = file_make_dirs(folder, 0700, err);

	if (r == 0)
		r = file_write_atomic(path, extensions, strlen(extensions), 0600, err);
	for (size_t i = 0; r == 0 && i < ARRAY_COUNT(commands); i++) {
		auto_free char *words = text_copy(commands[i]);
		const char *argv[32] = { "openssl" };
		char *rest = words, *word;

		for (size_t n = 1; n < ARRAY_COUNT(argv) - 1 && (word = strsep(&rest, " ")); n++)
			argv[n] = word;
		r = spawn_run(&(struct spawn_params){ .argv = argv, .directory = folder }, NULL, err);
	}
	for (int i = 0; r == 0 && i < 2; i++) {
		auto_free char *from = text_format("%s/server-%s.pem", folder, i ? "key" : "cert");
		auto_free char *to = text_format("%s/client-%s.pem", folder, i ? "key" : "cert");

		r = link(from, to) < 0 ? err_set(err, -errno, "link %s: %m", to) : 0;
	}
	return r;
}

static void print(const char *promise, struct samples *driver, struct samples *raw)
{
	double ours = samples_median(driver), floor = samples_median(raw);

	row_print(&(struct row){
		.promise = promise,
		.measured = cell("%.0f ms (worst %.0f)", ours, samples_rank(driver, 1)),
		.floor = cell("two QEMUs by hand %.0f ms (worst %.0f)", floor, samples_rank(raw, 1)),
		.comparison = cell("%+.0f ms, %.1f times (n=%zu)", ours - floor, ours / floor, driver->values.count),
		.target = "≤ +50 ms",
	});
}

static int measure_all(struct raws *raws, struct driven *shared, struct driven *copied, size_t rounds, struct err *err)
{
	auto_samples struct samples raw = { 0 }, one = { 0 }, other = { 0 };
	int r = raws_start(raws, err);

	if (r == 0)
		r = driven_start(shared, err);
	if (r == 0)
		r = driven_start(copied, err);
	for (size_t i = 0; r == 0 && i < rounds; i++) {
		r = raw_round(raws, &raw, err);
		if (r == 0)
			r = driven_round(shared, &one, err);
		if (r == 0)
			r = driven_round(copied, &other, err);
	}
	if (r < 0)
		return r;
	print("live migration: an idle guest of 256 MiB stands still", &one, &raw);
	print("the same, its disk copied and all encrypted", &other, &raw);
	return 0;
}

static int measure(const struct bench *bench, struct err *err)
{
	struct image image = { 0 };
	auto_free char *tls = text_format("%s/tls", bench->folder);
	struct raws raws = { .bench = bench, .image = &image };
	struct driven shared = { .bench = bench, .image = &image, .name = "shared" };
	struct driven copied = { .bench = bench, .image = &image, .name = "copied", .tls = tls };
	int r = get_image(bench, &image, err);

	if (r == 0)
		r = make_certificates(tls, err);
	if (r == 0)
		r = measure_all(&raws, &shared, &copied, bench->is_quick ? QUICK_ROUNDS : ROUNDS, err);
	raw_end(&raws.sides[0]);
	raw_end(&raws.sides[1]);
	driven_close(&shared);
	driven_close(&copied);
	free(image.kernel);
	free(image.initrd);
	free(image.disk);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}
