/*
 * `strata run tiny` to the first line of the guest's init, against QEMU started by hand with the very arguments
 * the daemon used: the same numbers of descriptors, with files, sockets and a tap of our own behind them.
 *
 * The image is built by the daemon from Debian's packages (tools/bench provides them without a network), or
 * imported from the folder that STRATA_TEST_IMAGE names: kernel, initrd, disk.qcow2, properties.json.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "base/json.h"
#include "base/spawn.h"
#include "lib/node.h"

enum { ROUNDS = 20, QUICK_ROUNDS = 3, BOOT_TIMEOUT_MS = 120000, LOG_BYTES = 1 << 20, ARGUMENTS_BYTES = 64 << 10, LOOK_NS = 500000 };

static const char first_line[] = "strata tiny: init";

/* QEMU by hand */

struct raw {
	const struct bench *bench;
	struct str text;		/* Of /proc/PID/cmdline. */
	VEC(const char *) argv;		/* Into 'text'; null-terminated. */
	char *kernel, *initrd, *base;	/* Files of the image, which nobody changes. */
	char *pristine, *overlay;	/* The root disk as it is before the first boot; the one of this round. */
	char *log;
	VEC(struct spawn_fd) fds;	/* Of this round; 'from' is ours to close. */
	bool has_base;			/* The next disk layer is the overlay. */
};

static void close_fds(struct raw *raw)
{
	for (size_t i = 0; i < raw->fds.count; i++)
		close(raw->fds.items[i].from);
	raw->fds.count = 0;
	raw->has_base = false;
}

static void raw_done(struct raw *raw)
{
	close_fds(raw);
	vec_done(&raw->fds);
	vec_done(&raw->argv);
	str_done(&raw->text);
	free(raw->kernel);
	free(raw->initrd);
	free(raw->base);
	free(raw->pristine);
	free(raw->overlay);
	free(raw->log);
}
#define auto_raw __attribute__((cleanup(raw_done)))

static int open_tap(void)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0)
		return fd;
	close(fd);
	return -1;
}

static int open_listener(const struct raw *raw, int number)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/raw-%d", raw->bench->folder, number);
	unlink(address.sun_path);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Layers come from the bottom up. */
static int open_layer(struct raw *raw)
{
	bool is_base = !raw->has_base;

	raw->has_base = true;
	return is_base ? open(raw->base, O_RDONLY | O_CLOEXEC) : open(raw->overlay, O_RDWR | O_CLOEXEC);
}

/* What the argument 'value' of 'option' wants behind its descriptor; -1: it has none, or it cannot be had. */
static int open_for(struct raw *raw, const char *option, const char *value, int number)
{
	if (text_equal(option, "-kernel"))
		return open(raw->kernel, O_RDONLY | O_CLOEXEC);
	if (text_equal(option, "-initrd"))
		return open(raw->initrd, O_RDONLY | O_CLOEXEC);
	if (text_equal(option, "-netdev"))
		return open_tap();
	if (text_equal(option, "-chardev"))
		return open_listener(raw, number);
	if (strstr(value, "opaque=console"))
		return open(raw->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	return open_layer(raw);
}

static int number_in(const char *option, const char *value)
{
	static const char *const named[] = { "/proc/self/fd/", ",fd=", "fd=" };

	if (!text_equal(option, "-kernel") && !text_equal(option, "-initrd") && !text_equal(option, "-netdev") &&
	    !text_equal(option, "-chardev") && !text_equal(option, "-add-fd"))
		return -1;
	for (size_t i = 0; i < ARRAY_COUNT(named); i++) {
		const char *found = strstr(value, named[i]);

		if (found && (named[i][0] != 'f' || found == value))
			return atoi(found + strlen(named[i]));
	}
	return -1;
}

static int open_fds(struct raw *raw, struct err *err)
{
	for (size_t i = 1; i + 1 < raw->argv.count && raw->argv.items[i]; i++) {
		const char *option = raw->argv.items[i - 1], *value = raw->argv.items[i];
		int number = number_in(option, value);
		struct spawn_fd fd = { .to = number };

		if (number < 0)
			continue;
		fd.from = open_for(raw, option, value, number);
		if (fd.from < 0)
			return err_set(err, -errno, "open what '%s %s' needs: %m", option, value);
		*vec_push(&raw->fds) = fd;
	}
	return 0;
}

static char *link_text(const char *path)
{
	char target[4096];
	ssize_t size = readlink(path, target, sizeof(target));

	return size > 0 ? text_copy_length(target, (size_t)size) : NULL;
}

static char *file_of(pid_t pid, const struct raw *raw, const char *option)
{
	for (size_t i = 1; i < raw->argv.count && raw->argv.items[i]; i++) {
		if (!text_equal(raw->argv.items[i - 1], option))
			continue;
		auto_free char *path = text_format("/proc/%d/fd/%d", pid, number_in(option, raw->argv.items[i]));

		return link_text(path);
	}
	return NULL;
}

/* The image's disk: the machine has it open, and it is not the machine's own ('own'). */
static char *base_of(pid_t pid, const char *own)
{
	auto_free char *pattern = text_format("/proc/%d/fd/*", pid);
	char *base = NULL;
	glob_t found = { 0 };

	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc && !base; i++) {
			char *target = link_text(found.gl_pathv[i]);

			if (target && strstr(target, ".qcow2") && !text_equal(target, own))
				base = take(target);
			free(target);
		}
	}
	globfree(&found);
	return base;
}

/* Looks at the machine 'pid', whose own disk is 'disk', and keeps how it was started. */
static int raw_learn(struct raw *raw, pid_t pid, const char *disk, struct err *err)
{
	auto_free char *path = text_format("/proc/%d/cmdline", pid);
	int r = file_read_all(path, ARGUMENTS_BYTES, &raw->text, err);

	if (r < 0)
		return r;
	for (size_t at = 0; at < raw->text.size; at += strlen(raw->text.data + at) + 1)
		*vec_push(&raw->argv) = raw->text.data + at;
	*vec_push(&raw->argv) = NULL;
	raw->kernel = file_of(pid, raw, "-kernel");
	raw->initrd = file_of(pid, raw, "-initrd");
	raw->base = base_of(pid, disk);
	if (!raw->kernel || !raw->initrd || !raw->base)
		return err_set(err, -ENODATA, "cannot see which kernel, initrd and image machine %d uses", pid);
	return 0;
}

/* Waiting for the line */

static bool has_line(const char *path)
{
	auto_str struct str text = { 0 };
	struct err err;

	return file_read_all(path, LOG_BYTES, &text, &err) == 0 && strstr(str_text(&text), first_line);
}

static bool any_has_line(const char *pattern)
{
	glob_t found = { 0 };
	bool has = false;

	if (glob(pattern, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc && !has; i++)
			has = has_line(found.gl_pathv[i]);
	globfree(&found);
	return has;
}

/* Looks every half millisecond, which costs the guest nothing that could be measured. */
static int wait_for_line(const char *pattern, double start_ms, double *ret_ms, struct err *err)
{
	while (!any_has_line(pattern)) {
		if (now_ms() - start_ms > BOOT_TIMEOUT_MS)
			return err_set(err, -ETIMEDOUT, "the guest's console has not said '%s'", first_line);
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
	}
	*ret_ms = now_ms() - start_ms;
	return 0;
}

static void end(pid_t pid, int pidfd)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(pidfd);
}

static int raw_boot(struct raw *raw, double *ret_ms, struct err *err)
{
	struct spawn_params params = { .argv = raw->argv.items };
	double start;
	pid_t pid;
	int pidfd, r;

	unlink(raw->log);
	r = run_program((const char *[]){ "cp", raw->pristine, raw->overlay, NULL }, NULL, err);
	if (r == 0)
		r = open_fds(raw, err);
	if (r == 0) {
		params.fds = raw->fds.items;
		params.fd_count = raw->fds.count;
		start = now_ms();
		r = spawn_start(&params, &pid, &pidfd, err);
	}
	if (r == 0) {
		r = wait_for_line(raw->log, start, ret_ms, err);
		end(pid, pidfd);
	}
	close_fds(raw);
	return r;
}

/* The daemon */

static int get_tiny(struct node *node, struct err *err)
{
	const char *folder = getenv("STRATA_TEST_IMAGE");
	auto_free char *kernel = text_format("%s/kernel", folder), *initrd = text_format("%s/initrd", folder),
		       *disk = text_format("%s/disk.qcow2", folder), *properties = text_format("%s/properties.json", folder);
	auto_str struct str text = { 0 };
	auto_json struct json *json = NULL;
	int r;

	if (!folder)
		return node_cli(node, cli("image", "build", "tiny"), NULL, err);
	r = file_read_all(properties, LOG_BYTES, &text, err);
	if (r == 0)
		r = json_parse(str_text(&text), text.size, &json, err);
	return r < 0 ? r : node_cli(node, cli("image", "import", "tiny", "--kernel", kernel, "--initrd", initrd, "--kernel-options",
					      json_string(json_get(json, "cmdline"), ""), disk), NULL, err);
}

static int get_instance(struct node *node, char **ret_uid, pid_t *ret_pid, struct err *err)
{
	auto_str struct str text = { 0 };
	auto_json struct json *json = NULL;
	int r = node_call(node, "GET", "/v1/instances/bench", NULL, &text, err);

	if (r == 0)
		r = json_parse(str_text(&text), text.size, &json, err);
	if (r < 0)
		return r;
	*ret_uid = text_copy(json_string(json_path(json, "meta.uid"), ""));
	*ret_pid = (pid_t)json_int(json_path(json, "status.pid"), 0);
	return 0;
}

/* A copy of the disk of a machine that has not booted yet. */
static int copy_pristine(struct node *node, const char *to, struct err *err)
{
	auto_free char *uid = NULL, *disk = NULL;
	pid_t pid;
	int r = node_cli(node, cli("create", "tiny", "bench"), NULL, err);

	if (r == 0)
		r = get_instance(node, &uid, &pid, err);
	if (r < 0)
		return r;
	disk = text_format("%s/volumes/%s.qcow2", node->state, uid);
	r = run_program((const char *[]){ "cp", disk, to, NULL }, NULL, err);
	return r < 0 ? r : node_cli(node, cli("rm", "bench"), NULL, err);
}

/* Leaves the machine running. */
static int strata_boot(struct node *node, double *ret_ms, struct err *err)
{
	auto_free char *program = text_format("%s/strata", node->bench->programs);
	auto_free char *logs = text_format("%s/instances/*/console.log", node->state);
	struct spawn_params params = { .argv = (const char *[]){ program, "--socket", node->socket, "run", "tiny", "bench", NULL } };
	double start = now_ms();
	auto_close int pidfd = -1;
	pid_t pid;
	int status, r = spawn_start(&params, &pid, &pidfd, err);

	if (r == 0)
		r = wait_for_line(logs, start, ret_ms, err);
	if (r == 0 && (waitpid(pid, &status, 0) != pid || status != 0))
		r = err_set(err, -EIO, "`strata run` failed");
	return r;
}

static int learn(struct node *node, struct raw *raw, struct err *err)
{
	auto_free char *uid = NULL, *disk = NULL;
	double unused;
	pid_t pid;
	int r = strata_boot(node, &unused, err);

	if (r == 0)
		r = get_instance(node, &uid, &pid, err);
	if (r < 0)
		return r;
	disk = text_format("%s/volumes/%s.qcow2", node->state, uid);
	r = raw_learn(raw, pid, disk, err);
	return r < 0 ? r : node_cli(node, cli("rm", "--force", "bench"), NULL, err);
}

static int prepare(struct node *node, struct raw *raw, struct err *err)
{
	double unused;
	int r = node_start(node, NULL, err);

	if (r == 0)
		r = get_tiny(node, err);
	if (r == 0)
		r = copy_pristine(node, raw->pristine, err);
	if (r == 0)
		r = learn(node, raw, err);
	return r < 0 ? r : raw_boot(raw, &unused, err);
}

struct boots { struct samples strata, raw, added; };

static int measure_round(struct node *node, struct raw *raw, struct boots *boots, struct err *err)
{
	double strata_ms = 0, raw_ms = 0;
	int r = strata_boot(node, &strata_ms, err);

	if (r == 0)
		r = node_cli(node, cli("rm", "--force", "bench"), NULL, err);
	if (r == 0)
		r = raw_boot(raw, &raw_ms, err);
	if (r < 0)
		return r;
	samples_add(&boots->strata, strata_ms);
	samples_add(&boots->raw, raw_ms);
	samples_add(&boots->added, strata_ms - raw_ms);
	return 0;
}

static void print(struct boots *boots, const struct raw *raw)
{
	double strata_ms = samples_median(&boots->strata), raw_ms = samples_median(&boots->raw);
	const char *machine = "q35";

	for (size_t i = 0; i + 1 < raw->argv.count; i++)
		machine = strstr(raw->argv.items[i], "microvm,") ? "microvm" : machine;
	row_print(&(struct row){
		.promise = "`strata run tiny` to the first line of the guest's init",
		.measured = cell("%.0f ms", strata_ms),
		.floor = cell("QEMU by hand (%s) %.0f ms", machine, raw_ms),
		.comparison = cell("%+.0f ms (median of differences %+.0f, n=%zu)", strata_ms - raw_ms, samples_median(&boots->added),
				   boots->added.values.count),
		.target = "≤ 40 ms added",
	});
}

static int measure(const struct bench *bench, struct err *err)
{
	auto_raw struct raw raw = {
		.bench = bench,
		.pristine = text_format("%s/pristine.qcow2", bench->folder),
		.overlay = text_format("%s/overlay.qcow2", bench->folder),
		.log = text_format("%s/raw.log", bench->folder),
	};
	struct boots boots = { 0 };
	auto_node struct node node;
	int r;

	node_init(&node, bench, "node", false);
	r = prepare(&node, &raw, err);
	for (int i = 0; i < (bench->is_quick ? QUICK_ROUNDS : ROUNDS) && r == 0; i++)
		r = measure_round(&node, &raw, &boots, err);
	if (r == 0)
		print(&boots, &raw);
	samples_done(&boots.strata);
	samples_done(&boots.raw);
	samples_done(&boots.added);
	return r;
}

int main(int argc, char **argv)
{
	(void)argc;
	return bench_main(argv[0], measure);
}
