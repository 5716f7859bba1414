#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "driver/fence/process/end.h"
#include "driver/fence/process/page.h"
#include "driver/fence/process/watchdog.h"
#include "port/fence_conformance.h"

#define MS UINT64_C(1000000)
#define LIMIT_NS (30000 * MS)		/* Longer is taken for never. */

/*
 * Guests are processes in cgroups below one of ours; the watchdog is this program again (main). What a guest
 * does is a shell command: it has the namespace's ordinary programs.
 */
struct fixture {
	char folder[32];
	char *cgroups, *state, *own;	/* The cgroup of the guests, the fence's folder, the watchdog's cgroup. */
	struct fence_params params;
	VEC(pid_t) guests;
};

static const char *root_of_cgroups(void)
{
	return access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
}

static bool can_run(const struct fixture *fixture)
{
	auto_free char *kill_file = text_format("%s/cgroup.kill", fixture->cgroups);

	return access(kill_file, W_OK) == 0;
}

#define NEED_CGROUPS(fixture) \
	do { \
		if (!can_run(fixture)) { \
			print_message("root or cgroups of version 2 with cgroup.kill are missing here\n"); \
			skip(); \
		} \
	} while (0)

static int set_up(void **state)
{
	struct fixture *fixture = alloc(sizeof(*fixture));

	*state = fixture;
	strcpy(fixture->folder, "/tmp/strata-fence-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	fixture->cgroups = text_format("%s/strata-fence-%d", root_of_cgroups(), (int)getpid());
	fixture->own = text_format("%s/watchdog", fixture->cgroups);
	fixture->state = text_format("%s/fence", fixture->folder);
	fixture->params = (struct fence_params){ .directory = fixture->state, .program = "/proc/self/exe", .cgroup = fixture->own };
	mkdir(fixture->cgroups, 0755);
	return 0;
}

static void stop_all(void *data)
{
	struct fixture *fixture = data;

	for (size_t i = 0; i < fixture->guests.count; i++)
		kill(-fixture->guests.items[i], SIGKILL);
	for (size_t i = 0; i < fixture->guests.count; i++)
		waitpid(fixture->guests.items[i], NULL, 0);
	fixture->guests.count = 0;
}

static void remove_cgroups(const char *path)
{
	auto_free char *kill_file = text_format("%s/cgroup.kill", path);
	const char *const argv[] = { "find", path, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+", NULL };
	const struct spawn_params params = { .argv = argv };
	auto_close int fd = open(kill_file, O_WRONLY | O_CLOEXEC);
	struct err err;

	if (fd >= 0 && write(fd, "1", 1) < 0)
		print_message("%s: %s\n", kill_file, strerror(errno));
	for (int i = 0; i < 1000 && access(path, F_OK) == 0; i++) {
		spawn_run(&params, NULL, &err);
		poll(NULL, 0, 5);
	}
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct err err;

	stop_all(fixture);
	remove_cgroups(fixture->cgroups);
	assert_int_equal(file_remove_tree(fixture->folder, &err), 0);
	vec_done(&fixture->guests);
	free(fixture->cgroups);
	free(fixture->own);
	free(fixture->state);
	free(fixture);
	return 0;
}

/* ---- The guests ---- */

static void cgroup(void *data, const char *uid, char ret_path[FENCE_CGROUP_LENGTH + 1])
{
	const struct fixture *fixture = data;

	snprintf(ret_path, FENCE_CGROUP_LENGTH + 1, "%s/%s", fixture->cgroups, uid);
}

static bool is_running(void *data, const char *uid)
{
	char path[FENCE_CGROUP_LENGTH + 1];

	cgroup(data, uid, path);
	return fence_is_populated(path);
}

static int start_shell(struct fixture *fixture, const char *path, const char *command, struct err *err)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	const struct spawn_params params = { .argv = argv, .cgroup = path, .has_own_group = true };
	pid_t pid;
	int pidfd, r = spawn_start(&params, &pid, &pidfd, err);

	if (r == 0) {
		close(pidfd);
		*vec_push(&fixture->guests) = pid;
	}
	return r;
}

/* As the machine drivers do: see fence.h on what was ended. */
static void make_anew(const char *path)
{
	for (int i = 0; i < 3000 && rmdir(path) < 0 && errno == EBUSY; i++)
		poll(NULL, 0, 1);
	assert_int_equal(mkdir(path, 0755), 0);
}

static int start(void *data, const char *uid, struct err *err)
{
	char path[FENCE_CGROUP_LENGTH + 1];

	if (is_running(data, uid))
		return 0;
	cgroup(data, uid, path);
	make_anew(path);
	return start_shell(data, path, "sleep 1000", err);
}

static void pass(void *data, uint64_t ns)
{
	const struct timespec duration = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	(void)data;
	clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, NULL);
}

static void wait_for_end(pid_t pid)
{
	auto_close int pidfd = pidfd_open(pid, 0);
	struct pollfd end = { .fd = pidfd, .events = POLLIN };

	assert_true(pidfd < 0 || poll(&end, 1, (int)(LIMIT_NS / MS)) == 1);
}

static pid_t watchdog_of(struct fence_driver *driver)
{
	struct fence_status status;
	struct err err;

	assert_int_equal(driver->ops->status(driver, &status, &err), 0);
	fence_status_done(&status);
	return status.watchdog;
}

static void kill_watchdog(void *data, struct fence_driver *driver)
{
	pid_t pid = watchdog_of(driver);

	(void)data;
	assert_true(pid > 1);
	kill(pid, SIGKILL);
	wait_for_end(pid);
}

static void test_conformance(void **state)
{
	struct fixture *fixture = *state;
	struct fence_conformance conformance = {
		.ops = &fence_process, .params = fixture->params, .lease_ns = 1000 * MS, .data = fixture, .cgroup = cgroup, .start = start,
		.is_running = is_running, .pass = pass, .stop_all = stop_all, .kill_watchdog = kill_watchdog,
	};
	struct err err;

	NEED_CGROUPS(fixture);
	for (const struct fence_case *test = fence_cases; test->name; test++)
		if (fence_conformance_run(&conformance, test, &err) < 0)
			fail_msg("%s: %s", test->name, err.msg);
}

/* ---- What only the real one has ---- */

static struct fence_driver *open_fence(const struct fixture *fixture)
{
	struct fence_driver *driver;
	struct err err;

	if (fence_process.open(&fixture->params, &driver, &err) < 0)
		fail_msg("%s", err.msg);
	return driver;
}

/* Shares memory with this test: the last deadline that the daemon has set. */
struct daemon { pid_t pid; uint64_t *deadline_ns; };

/* A daemon that guards 'uid' and renews for 'ahead_ns' every 20 ms until something happens to it. */
static struct daemon start_daemon(const struct fixture *fixture, const char *uid, const char *path, uint64_t ahead_ns)
{
	struct daemon daemon = { .deadline_ns = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) };
	struct fence_driver *driver;
	struct err err;

	daemon.pid = fork();
	assert_true(daemon.pid >= 0);
	if (daemon.pid > 0)
		return daemon;
	if (fence_process.open(&fixture->params, &driver, &err) < 0 || fence_process.guard(driver, uid, path, &err) < 0)
		_exit(1);
	for (;;) {
		uint64_t deadline_ns = fence_process.now_ns(driver) + ahead_ns;

		if (fence_process.renew(driver, deadline_ns, &err) < 0)
			_exit(1);
		__atomic_store_n(daemon.deadline_ns, deadline_ns, __ATOMIC_SEQ_CST);
		pass(NULL, 20 * MS);
	}
}

static void wait_until_renewed(const struct daemon *daemon)
{
	uint64_t limit_ns = clock_ns(CLOCK_BOOTTIME) + LIMIT_NS;

	while (__atomic_load_n(daemon->deadline_ns, __ATOMIC_SEQ_CST) == 0 && clock_ns(CLOCK_BOOTTIME) < limit_ns)
		pass(NULL, MS);
	assert_int_not_equal(*daemon->deadline_ns, 0);
}

/* How long after the deadline the last process was gone. */
static uint64_t measure_end(const char *path, uint64_t deadline_ns)
{
	uint64_t limit_ns = clock_ns(CLOCK_BOOTTIME) + LIMIT_NS, now_ns;
	bool is_populated;

	do {
		is_populated = fence_is_populated(path);
		now_ns = clock_ns(CLOCK_BOOTTIME);	/* After it was seen. */
	} while (is_populated && now_ns < limit_ns);
	assert_true(now_ns < limit_ns);
	assert_true(now_ns >= deadline_ns);
	return now_ns - deadline_ns;
}

static int compare(const void *a, const void *b)
{
	return *(const uint64_t *)a < *(const uint64_t *)b ? -1 : 1;
}

enum { ROUNDS_MAX = 10 };

struct trial {
	const char *what, *command;	/* For people; what the guests do. */
	int signal;			/* Happens to the daemon. */
	unsigned rounds;
	uint64_t lease_ns;		/* Longer than a busy host keeps the daemon waiting. */
};

/* The guests end when the lease is over. */
static void measure(struct fixture *fixture, const char *path, const struct trial *trial)
{
	uint64_t late_ns[ROUNDS_MAX];
	struct err err;

	for (unsigned i = 0; i < trial->rounds; i++) {
		struct daemon daemon = start_daemon(fixture, "web", path, trial->lease_ns);

		wait_until_renewed(&daemon);
		make_anew(path);
		assert_int_equal(start_shell(fixture, path, trial->command, &err), 0);
		pass(NULL, 50 * MS);
		kill(daemon.pid, trial->signal);
		waitpid(daemon.pid, NULL, WUNTRACED);
		late_ns[i] = measure_end(path, *daemon.deadline_ns);
		kill(daemon.pid, SIGKILL);
		waitpid(daemon.pid, NULL, 0);	/* Gone already where it was killed. */
		munmap(daemon.deadline_ns, 4096);
		stop_all(fixture);
	}
	qsort(late_ns, trial->rounds, sizeof(late_ns[0]), compare);
	print_message("%s: guests gone %.2f ms after the deadline (median of %u), %.2f ms at most\n", trial->what,
		      (double)late_ns[trial->rounds / 2] / 1e6, trial->rounds, (double)late_ns[trial->rounds - 1] / 1e6);
}

static void clean_up(struct fixture *fixture)
{
	struct fence_driver *driver = open_fence(fixture);
	struct fence_status status;
	pid_t watchdog = watchdog_of(driver);
	struct err err;

	assert_int_equal(fence_process.status(driver, &status, &err), 0);
	for (size_t i = 0; i < status.guards.count; i++)
		assert_int_equal(fence_process.unguard(driver, status.guards.items[i].uid, &err), 0);
	fence_status_done(&status);
	fence_process.close(driver);
	if (watchdog)
		wait_for_end(watchdog);
}

static void test_daemon_killed(void **state)
{
	struct fixture *fixture = *state;
	char path[FENCE_CGROUP_LENGTH + 1];

	NEED_CGROUPS(fixture);
	cgroup(fixture, "web", path);
	measure(fixture, path, &(struct trial){ "daemon killed", "sleep 1000", SIGKILL, ROUNDS_MAX, 400 * MS });
	measure(fixture, path, &(struct trial){ "daemon stopped", "sleep 1000", SIGSTOP, ROUNDS_MAX, 400 * MS });
	clean_up(fixture);
}

/* Children that make children. */
static void test_forking_guest(void **state)
{
	struct fixture *fixture = *state;
	char path[FENCE_CGROUP_LENGTH + 1];

	NEED_CGROUPS(fixture);
	cgroup(fixture, "web", path);
	measure(fixture, path, &(struct trial){ "daemon killed, guests fork", "f() { while :; do (sleep 0.01 &) ; done; }; f & f & f", SIGKILL,
						ROUNDS_MAX / 2, 2000 * MS });
	clean_up(fixture);
}

static void write_text(const char *folder, const char *name, const char *text)
{
	auto_free char *path = text_format("%s/%s", folder, name);
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void test_frozen_below(void **state)
{
	struct fixture *fixture = *state;
	char path[FENCE_CGROUP_LENGTH + 1];
	struct fence_driver *driver;
	struct err err;

	NEED_CGROUPS(fixture);
	cgroup(fixture, "web", path);
	auto_free char *below = text_format("%s/container", path);

	assert_int_equal(file_make_dirs(below, 0755, &err), 0);
	driver = open_fence(fixture);
	assert_int_equal(start_shell(fixture, below, "sleep 1000", &err), 0);
	write_text(below, "cgroup.freeze", "1");
	assert_int_equal(fence_process.guard(driver, "web", path, &err), 0);
	measure_end(path, 0);
	fence_process.close(driver);
	clean_up(fixture);
}

/* Version 1 has no cgroup.kill: one by one, again and again, against guests that fork. */
static void test_version_1(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *path = text_format("/sys/fs/cgroup/pids/strata-fence-%d", (int)getpid());
	auto_free char *below = text_format("%s/container", path);
	auto_free char *join = text_format("echo $$ >%s/cgroup.procs; f() { while :; do (sleep 0.01 &) ; done; }; f & f", below);
	struct fence_driver *driver;
	struct err err;

	NEED_CGROUPS(fixture);
	if (access("/sys/fs/cgroup/pids/release_agent", F_OK) < 0 || file_make_dirs(below, 0755, &err) < 0) {
		print_message("cgroups of version 1 are missing here\n");
		skip();
	}
	assert_false(fence_end("/sys/fs/cgroup/pids"));
	driver = open_fence(fixture);
	assert_int_equal(start_shell(fixture, NULL, join, &err), 0);
	for (int i = 0; i < 3000 && !fence_is_populated(below); i++)
		pass(NULL, 10 * MS);
	assert_true(fence_is_populated(path));
	assert_int_equal(fence_process.guard(driver, "web", path, &err), 0);
	measure_end(path, 0);
	fence_process.close(driver);
	clean_up(fixture);
	remove_cgroups(path);
	assert_int_equal(access(path, F_OK), -1);
}

/* Roots of hierarchies, and what is no cgroup: whatever is in the page, this process survives it. */
static void test_refuses_roots(void **state)
{
	struct fixture *fixture = *state;

	assert_false(fence_end("/"));
	assert_false(fence_end("/proc"));
	assert_false(fence_end(fixture->folder));
	assert_false(fence_end("/does/not/exist"));
	assert_false(fence_is_populated("/proc"));
}

/* The real root is not visible in every test's namespace; where it is, it is spared. */
static void test_refuses_real_root(void **state)
{
	auto_free char *events = text_format("%s/cgroup.events", root_of_cgroups());

	(void)state;
	if (access(events, F_OK) == 0) {
		print_message("no root of cgroups is visible here\n");
		skip();
	}
	assert_false(fence_end(root_of_cgroups()));
}

/* One that is stopped sleeps on: who renews finds out and puts another in its place. */
static void test_watchdog_stopped(void **state)
{
	struct fixture *fixture = *state;
	struct fence_driver *driver;
	char path[FENCE_CGROUP_LENGTH + 1];
	uint64_t limit_ns;
	pid_t stopped;
	struct err err;

	NEED_CGROUPS(fixture);
	driver = open_fence(fixture);
	cgroup(fixture, "web", path);
	assert_int_equal(fence_process.renew(driver, fence_process.now_ns(driver) + 200 * MS, &err), 0);
	assert_int_equal(fence_process.guard(driver, "web", path, &err), 0);
	stopped = watchdog_of(driver);
	kill(stopped, SIGSTOP);
	limit_ns = fence_process.now_ns(driver) + LIMIT_NS;
	while (watchdog_of(driver) == stopped && fence_process.now_ns(driver) < limit_ns) {
		assert_int_equal(fence_process.renew(driver, fence_process.now_ns(driver) + 100 * MS, &err), 0);
		pass(NULL, 50 * MS);
	}
	assert_int_not_equal(watchdog_of(driver), stopped);
	assert_int_equal(start(fixture, "web", &err), 0);
	measure_end(path, 0);
	fence_process.close(driver);
	clean_up(fixture);
}

static void test_cannot_start(void **state)
{
	struct fixture *fixture = *state;
	struct fence_params params = fixture->params;
	struct fence_status status;
	struct fence_driver *driver;
	struct err err;

	NEED_CGROUPS(fixture);
	params.program = "/does/not/exist/strata-fence";
	assert_int_equal(fence_process.open(&params, &driver, &err), 0);
	assert_int_equal(fence_process.guard(driver, "web", "/sys/fs/cgroup/web", &err), -EIO);
	assert_non_null(strstr(err.msg, "/does/not/exist/strata-fence"));
	assert_int_equal(fence_process.status(driver, &status, &err), 0);
	assert_int_equal(status.guards.count, 0);
	fence_status_done(&status);
	fence_process.close(driver);
	params.program = "/bin/false";
	assert_int_equal(fence_process.open(&params, &driver, &err), 0);
	assert_int_equal(fence_process.guard(driver, "web", "/sys/fs/cgroup/web", &err), -EIO);
	fence_process.close(driver);

	/* What was guarded before keeps the next daemon from renewing, not from beginning. */
	driver = open_fence(fixture);
	assert_int_equal(fence_process.guard(driver, "web", "/sys/fs/cgroup/web", &err), 0);
	kill_watchdog(fixture, driver);
	fence_process.close(driver);
	assert_int_equal(fence_process.open(&params, &driver, &err), 0);
	assert_int_equal(fence_process.renew(driver, fence_process.now_ns(driver) + 1000 * MS, &err), -EIO);
	assert_int_equal(fence_process.status(driver, &status, &err), 0);
	assert_int_equal(status.deadline_ns, 0);
	fence_status_done(&status);
	fence_process.close(driver);
	clean_up(fixture);
}

/* SIGTERM waits for the guests that it guards; other polite signals do nothing. */
static void test_asked_to_end(void **state)
{
	struct fixture *fixture = *state;
	struct fence_driver *driver;
	char path[FENCE_CGROUP_LENGTH + 1];
	pid_t watchdog;
	struct err err;

	NEED_CGROUPS(fixture);
	driver = open_fence(fixture);
	cgroup(fixture, "web", path);
	assert_int_equal(fence_process.renew(driver, fence_process.now_ns(driver) + 1000 * MS, &err), 0);
	assert_int_equal(fence_process.guard(driver, "web", path, &err), 0);
	assert_int_equal(start(fixture, "web", &err), 0);
	watchdog = watchdog_of(driver);
	for (const int *signal = (const int[]){ SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, 0 }; *signal; signal++)
		kill(watchdog, *signal);
	pass(NULL, 300 * MS);
	assert_true(watchdog_of(driver) == watchdog || !is_running(fixture, "web"));
	stop_all(fixture);
	wait_for_end(watchdog);
	fence_process.close(driver);
	clean_up(fixture);
}

/* A page full of nonsense, as a broken memory would leave it: the watchdog bears it, and ends what can be read. */
static void test_nonsense_page(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *file = text_format("%s/page", fixture->state);
	auto_free struct fence_page *page = alloc(sizeof(*page));
	struct fence_driver *driver;
	char path[FENCE_CGROUP_LENGTH + 1];
	unsigned seed = 1;
	pid_t watchdog;
	struct err err;

	NEED_CGROUPS(fixture);
	driver = open_fence(fixture);
	auto_close int fd = open(file, O_RDWR | O_CLOEXEC);

	assert_int_equal(pread(fd, page, sizeof(*page), 0), sizeof(*page));
	for (size_t i = 0; i < sizeof(page->slots); i++) {
		seed = seed * 1103515245 + 12345;
		((char *)page->slots)[i] = (char)(seed >> 16);
	}
	for (size_t i = 0; i < FENCE_GUARDS_MAX; i += 2) {
		page->slots[i].state = FENCE_SLOT_USED;
		page->slots[i].cgroup[0] = '/';
	}
	cgroup(fixture, "web", path);
	page->slots[8].state = FENCE_SLOT_USED;
	strcpy(page->slots[8].cgroup, path);
	page->slots[10].state = FENCE_SLOT_USED;
	strcpy(page->slots[10].cgroup, "/");
	page->slot_count = UINT64_MAX;
	assert_int_equal(pwrite(fd, page, sizeof(*page), 0), sizeof(*page));
	assert_int_equal(start(fixture, "web", &err), 0);
	assert_int_equal(fence_process.renew(driver, 0, &err), 0);
	measure_end(path, 0);
	watchdog = watchdog_of(driver);
	assert_true(watchdog > 0);
	fence_process.close(driver);

	/* No page of ours is begun anew, and its watchdog does not stay. */
	memset(page->magic, 'x', sizeof(page->magic));
	assert_int_equal(pwrite(fd, page, sizeof(page->magic), 0), sizeof(page->magic));
	driver = open_fence(fixture);
	assert_int_equal(watchdog_of(driver), 0);
	wait_for_end(watchdog);
	assert_int_equal(fence_process.renew(driver, 0, &err), 0);
	fence_process.close(driver);
	clean_up(fixture);
}

/* How often the watchdog has gone to sleep. */
static long sleeps_of(pid_t pid)
{
	auto_free char *path = text_format("/proc/%d/status", (int)pid);
	auto_str struct str text = { 0 };
	const char *found;
	struct err err;

	assert_int_equal(file_read_all(path, 1 << 16, &text, &err), 0);
	found = strstr(str_text(&text), "\nvoluntary_ctxt_switches:");
	assert_non_null(found);
	return strtol(strchr(found, ':') + 1, NULL, 10);
}

static long number_in(pid_t pid, const char *key)
{
	auto_free char *path = text_format("/proc/%d/status", (int)pid);
	auto_str struct str text = { 0 };
	const char *found;
	struct err err;

	assert_int_equal(file_read_all(path, 1 << 16, &text, &err), 0);
	found = strstr(str_text(&text), key);
	return found ? strtol(found + strlen(key) + 1, NULL, 10) : -1;
}

/* Renewals do not wake it up: it looks when the deadline it knew has passed, so less than once for each. */
static void test_cost(void **state)
{
	struct fixture *fixture = *state;
	enum { RENEWALS = 40 };
	struct fence_driver *driver;
	char path[FENCE_CGROUP_LENGTH + 1];
	uint64_t begin_ns, spent_ns = 0;
	long before, after;
	pid_t watchdog;
	struct err err;

	NEED_CGROUPS(fixture);
	driver = open_fence(fixture);
	cgroup(fixture, "web", path);
	assert_int_equal(fence_process.renew(driver, fence_process.now_ns(driver) + 2000 * MS, &err), 0);
	assert_int_equal(fence_process.guard(driver, "web", path, &err), 0);
	pass(NULL, 100 * MS);
	watchdog = watchdog_of(driver);
	before = sleeps_of(watchdog);
	for (int i = 0; i < RENEWALS; i++) {
		begin_ns = clock_monotonic_ns();
		assert_int_equal(fence_process.renew(driver, fence_process.now_ns(driver) + 500 * MS, &err), 0);
		spent_ns += clock_monotonic_ns() - begin_ns;
		pass(NULL, 100 * MS);
	}
	after = sleeps_of(watchdog);
	print_message("%d renewals: %.1f us each, the watchdog woke up %ld times; it has %ld KiB, %ld locked\n", RENEWALS,
		      (double)spent_ns / 1e3 / RENEWALS, after - before, number_in(watchdog, "VmRSS:"), number_in(watchdog, "VmLck:"));
	assert_true(after - before < RENEWALS);
	assert_int_equal(fence_process.unguard(driver, "web", &err), 0);
	fence_process.close(driver);
	wait_for_end(watchdog);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_conformance), TEST(test_daemon_killed), TEST(test_forking_guest), TEST(test_frozen_below), TEST(test_version_1),
		TEST(test_refuses_roots), TEST(test_refuses_real_root), TEST(test_watchdog_stopped), TEST(test_cannot_start),
		TEST(test_asked_to_end), TEST(test_nonsense_page), TEST(test_cost),
	};

	if (argc == 2 && argv[1][0] == '/')	/* Started as the watchdog. */
		return fence_watchdog_run(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
