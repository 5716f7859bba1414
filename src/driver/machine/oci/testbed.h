/*
 * testbed.h - containers for tests: an image of busybox in two layers, a volume, a driver, a loop.
 *
 * Needs root, crun, conmon, busybox and a folder for files on a file system whose ids can be mapped; testbed_init()
 * says whether they are there. Run it in tools/sandbox.
 */
#ifndef DRIVER_MACHINE_OCI_TESTBED_H
#define DRIVER_MACHINE_OCI_TESTBED_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/spawn.h"
#include "driver/machine/oci/oci.h"
#include "port/machine.h"

enum { EVENT_TIMEOUT_S = 20, TURN_MS = 50, MIB = 1 << 20, UID_BASE = 300000, UID_COUNT = 65536 };

#define UID "6f0f0cf2-8c5d-4b0a-9d8e-0123456789ab"

#define ok(call) ({ \
	struct err err_ = { 0 }; \
	struct err *err = &err_; \
	if ((call) < 0) \
		fail_msg("%s: %s", #call, err_.msg); })

#define fails(code, words, call) ({ \
	struct err err_ = { 0 }; \
	struct err *err = &err_; \
	assert_int_equal((call), code); \
	if (!strstr(err_.msg, words)) \
		fail_msg("'%s' is not in '%s'", words, err_.msg); })

/* Where the test keeps its things. */
struct testbed {
	bool has_limits;		/* This host has the controllers. */
	char *directory, *run, *cgroup, *relative, *console, *top, *bottom, *volume, *tree;
	const char *layers[2];
	struct machine_params params;
	struct machine_container container;
	struct machine_config config;
};

struct bench {
	struct testbed *bed;
	struct machine_container container;
	struct machine_config config;	/* Refers to 'container'. */
	struct machine_driver *driver;
	struct loop *loop;
	struct machine_watch *watch;
	bool has[MACHINE_EVENT_PANICKED + 1];
	struct machine_event last[MACHINE_EVENT_PANICKED + 1];
};

static const char *const testbed_applets[] = {
	"sh", "cat", "echo", "sleep", "true", "false", "ls", "id", "mount", "umount", "tty", "stty", "hostname", "grep", "pwd", "env",
	"touch", "mkdir", "chown", "stat", "dd", "head", "tail", "kill", "init", "poweroff", "reboot", "unshare", "ps", "wc", "mknod",
	"nproc", "readlink", "ip", "rm", "sync", "poweroff", "test",
};

static inline void testbed_write(const char *folder, const char *name, const char *text, mode_t mode)
{
	auto_free char *path = text_format("%s/%s", folder, name);
	auto_fclose FILE *file = fopen(path, "we");

	if (!file || fputs(text, file) < 0 || chmod(path, mode) < 0)
		abort();
}

static inline void testbed_folder(const char *path)
{
	struct err err;

	if (file_make_dirs(path, 0755, &err) < 0)
		abort();
}

static inline char *testbed_path(const struct testbed *bed, const char *name)
{
	char *path = text_format("%s/%s", bed->directory, name);

	testbed_folder(path);
	return path;
}

static inline bool testbed_fill(struct testbed *bed)
{
	auto_free char *bin = text_format("%s/bin", bed->bottom);
	auto_free char *etc = text_format("%s/etc", bed->bottom);
	auto_free char *top_etc = text_format("%s/etc", bed->top);
	auto_free char *tmp = text_format("%s/tmp", bed->bottom);
	auto_free char *busybox = text_format("%s/busybox", bin);
	const char *argv[] = { "cp", "/bin/busybox", busybox, NULL };
	struct err err;

	testbed_folder(bin);
	testbed_folder(etc);
	testbed_folder(top_etc);
	testbed_folder(tmp);
	if (access("/bin/busybox", X_OK) < 0 || spawn_run(&(struct spawn_params){ .argv = argv }, NULL, &err) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_COUNT(testbed_applets); i++) {
		auto_free char *link = text_format("%s/%s", bin, testbed_applets[i]);

		if (symlink("busybox", link) < 0 && errno != EEXIST)
			abort();
	}
	testbed_write(etc, "passwd", "root:x:0:0::/root:/bin/sh\n", 0644);
	/* The upper layer's file hides the lower one's. */
	testbed_write(top_etc, "passwd", "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n", 0644);
	testbed_write(top_etc, "group", "root:x:0:\nbob:x:1000:\naudio:x:29:bob\n", 0644);
	return true;
}

static inline const char *testbed_cgroups(void)
{
	return access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
}

/* In version 1, or in version 2. */
static inline bool testbed_has_limits(void)
{
	auto_str struct str controllers = { 0 };
	struct err err;

	if (access("/sys/fs/cgroup/memory/cgroup.procs", F_OK) == 0)
		return true;
	return file_read_all("/sys/fs/cgroup/cgroup.controllers", 4096, &controllers, &err) == 0 && strstr(str_text(&controllers), "memory");
}

static inline bool testbed_init(struct testbed *bed)
{
	static const char *const argv[] = {
		"/bin/sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done", NULL,
	};
	char directory[] = "/tmp/strata-oci-test-XXXXXX";
	auto_free char *crun = NULL, *conmon = NULL;
	struct err err;

	*bed = (struct testbed){ .directory = text_copy(mkdtemp(directory)) };
	/* Unique on the host: of version 1 no sandbox has its own. */
	bed->relative = text_copy(strrchr(bed->directory, '/'));
	bed->cgroup = text_format("%s%s", testbed_cgroups(), bed->relative);
	bed->run = text_format("%s/run", bed->directory);
	bed->console = text_format("%s/console.log", bed->directory);
	bed->top = testbed_path(bed, "layers/top");
	bed->bottom = testbed_path(bed, "layers/bottom");
	bed->volume = testbed_path(bed, "volume");
	bed->tree = testbed_path(bed, "tree");
	bed->layers[0] = bed->top;
	bed->layers[1] = bed->bottom;
	bed->params = (struct machine_params){ .directory = bed->run, .cgroup = bed->cgroup };
	bed->container = (struct machine_container){
		.layers = bed->layers, .layer_count = 2, .root = bed->volume, .argv = argv, .hostname = "web",
		.uid_base = UID_BASE, .uid_count = UID_COUNT, .has_input = true,
	};
	bed->config = (struct machine_config){
		.uid = UID, .name = "test", .cpus = 1, .memory_bytes = 64 * MIB, .console_log = bed->console,
		.container = &bed->container,
	};
	bed->has_limits = testbed_has_limits();
	if (!bed->has_limits) {
		bed->config.cpus = 0;
		bed->config.memory_bytes = 0;
	}
	return geteuid() == 0 && spawn_find("crun", &crun, &err) == 0 && spawn_find("conmon", &conmon, &err) == 0 && testbed_fill(bed);
}

/* Whether the path is in any hierarchy of cgroups. */
static inline bool testbed_has_cgroup(const struct testbed *bed, const char *below)
{
	static const char *const mounts[] = {
		"", "/unified", "/cpu", "/cpuacct", "/memory", "/pids", "/blkio", "/freezer", "/devices", "/hugetlb", "/cpuset", "/systemd",
	};

	for (size_t i = 0; i < ARRAY_COUNT(mounts); i++) {
		auto_free char *path = text_format("/sys/fs/cgroup%s%s%s", mounts[i], bed->relative, below);

		if (access(path, F_OK) == 0) {
			print_message("left: %s\n", path);
			return true;
		}
	}
	return false;
}

static inline void testbed_remove_cgroups(const struct testbed *bed)
{
	DIR *directory = opendir("/sys/fs/cgroup");
	const struct dirent *entry;

	rmdir(bed->cgroup);
	while (directory && (entry = readdir(directory))) {
		auto_free char *path = text_format("/sys/fs/cgroup/%s%s", entry->d_name, bed->relative);

		rmdir(path);
	}
	if (directory)
		closedir(directory);
}

static inline void testbed_done(struct testbed *bed)
{
	char *const texts[] = {
		bed->directory, bed->run, bed->cgroup, bed->relative, bed->console, bed->top, bed->bottom, bed->volume, bed->tree,
	};
	struct err err;

	testbed_remove_cgroups(bed);
	if (file_remove_tree(bed->directory, &err) < 0)
		print_message("%s\n", err.msg);
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		free(texts[i]);
}

/* Bench */

static inline void bench_keep(void *data, const struct machine_event *event)
{
	struct bench *bench = data;

	bench->has[event->kind] = true;
	bench->last[event->kind] = *event;
}

static inline const struct machine_event *bench_wait(struct bench *bench, enum machine_event_kind kind)
{
	uint64_t end = loop_now_ms(bench->loop) + EVENT_TIMEOUT_S * UINT64_C(1000);

	while (!bench->has[kind] && loop_now_ms(bench->loop) < end)
		loop_step(bench->loop, TURN_MS);
	if (!bench->has[kind])
		fail_msg("event %d did not come", kind);
	return &bench->last[kind];
}

static inline int bench_set_up(void **state)
{
	struct bench *bench = alloc(sizeof(*bench));

	bench->bed = *state;
	bench->container = bench->bed->container;
	bench->config = bench->bed->config;
	bench->config.container = &bench->container;
	unlink(bench->bed->console);
	ok(loop_new(LOOP_CLOCK_REAL, 0, &bench->loop, err));
	ok(machine_oci.open(&bench->bed->params, &bench->driver, err));
	*state = bench;
	return 0;
}

/* A fresh volume for the next test. */
static inline void bench_clear_volume(const struct testbed *bed)
{
	struct err err;

	if (file_remove_tree(bed->volume, &err) < 0)
		fail_msg("%s", err.msg);
	testbed_folder(bed->volume);
}

static inline int bench_tear_down(void **state)
{
	struct bench *bench = *state;
	struct err err = { 0 };

	machine_oci.unwatch(bench->driver, bench->watch);
	if (machine_oci.kill(bench->driver, UID, &err) < 0)
		print_message("kill: %s\n", err.msg);
	machine_oci.close(bench->driver);
	loop_free(bench->loop);
	bench_clear_volume(bench->bed);
	*state = bench->bed;
	free(bench);
	return 0;
}

static inline void bench_watch(struct bench *bench)
{
	ok(machine_oci.watch(bench->driver, UID, bench->loop, bench_keep, bench, &bench->watch, err));
}

static inline void bench_start(struct bench *bench)
{
	ok(machine_oci.start(bench->driver, &bench->config, err));
	bench_watch(bench);
}

static inline struct machine_status bench_status(struct bench *bench)
{
	struct machine_status status = { 0 };

	ok(machine_oci.status(bench->driver, UID, &status, err));
	return status;
}

/* Runs a shell command in the container; its output without the last newline. */
static inline char *bench_says_as(struct bench *bench, const char *user, const char *command)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	auto_close int output = memfd_create("output", MFD_CLOEXEC);
	struct machine_exec exec = { .argv = argv, .user = user, .input = -1, .output = output, .error = output, .resize = -1 };
	char text[4096] = { 0 };
	int exit_code;

	ok(machine_oci.exec(bench->driver, UID, &exec, &exit_code, err));
	assert_true(pread(output, text, sizeof(text) - 1, 0) >= 0);
	if (text[0] && text[strlen(text) - 1] == '\n')
		text[strlen(text) - 1] = '\0';
	return text_copy(text);
}

static inline void bench_expect_as(struct bench *bench, const char *user, const char *command, const char *answer)
{
	auto_free char *text = bench_says_as(bench, user, command);

	if (!text_equal(text, answer))
		fail_msg("'%s' says '%s' instead of '%s'", command, text, answer);
}

static inline void bench_expect(struct bench *bench, const char *command, const char *answer)
{
	bench_expect_as(bench, NULL, command, answer);
}

#endif
