#include "port/machine_conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

enum { EVENTS_MAX = 64, EXIT_TIMEOUT_S = 30, TURN_MS = 100 };

struct bench {
	const struct machine_conformance *given;
	struct machine_driver *driver;
	struct loop *loop;
	struct machine_watch *watch;
	struct machine_event events[EVENTS_MAX];
	size_t event_count;
	struct machine_conformance there_given;
	struct bench *there;		/* Another host; null: no case of live migration. */
};

#define ok(call) ({ \
	struct err err_ = { 0 }; \
	struct err *err = &err_; \
	int r_ = (call); \
	if (r_ < 0) \
		fail_msg("%s: %s", #call, err_.msg); })

#define fails(code, call) ({ \
	struct err err_ = { 0 }; \
	struct err *err = &err_; \
	assert_int_equal((call), code); \
	assert_true(err_.msg[0]); })

/* Events */

static void keep_event(void *data, const struct machine_event *event)
{
	struct bench *bench = data;

	if (bench->event_count < EVENTS_MAX)
		bench->events[bench->event_count++] = *event;
}

static const struct machine_event *find_event(const struct bench *bench, enum machine_event_kind kind)
{
	for (size_t i = 0; i < bench->event_count; i++)
		if (bench->events[i].kind == kind)
			return &bench->events[i];
	return NULL;
}

static const struct machine_event *wait_event(struct bench *bench, enum machine_event_kind kind, unsigned timeout_s)
{
	uint64_t end = loop_now_ms(bench->loop) + timeout_s * UINT64_C(1000);

	while (!find_event(bench, kind) && loop_now_ms(bench->loop) < end)
		if (!loop_step(bench->loop, TURN_MS) && bench->given->clock == LOOP_CLOCK_VIRTUAL)
			break;
	if (!find_event(bench, kind))
		fail_msg("event %d did not come", kind);
	return find_event(bench, kind);
}

/* Setting up */

static const char *uid_of(const struct bench *bench)
{
	return bench->given->config.uid;
}

static int set_up(void **state)
{
	const struct machine_conformance *given = *state;
	struct bench *bench = alloc(sizeof(*bench));

	bench->given = given;
	ok(loop_new(given->clock, 1000, &bench->loop, err));
	ok(given->ops->open(&given->params, &bench->driver, err));
	*state = bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	struct err err;

	if (bench->there)
		tear_down(&(void *){ bench->there });
	ops->unwatch(bench->driver, bench->watch);
	ops->kill(bench->driver, uid_of(bench), &err);
	ops->close(bench->driver);
	loop_free(bench->loop);
	*state = (void *)bench->given;
	free(bench);
	return 0;
}

static void start_machine(struct bench *bench)
{
	ok(bench->given->ops->start(bench->driver, &bench->given->config, err));
	ok(bench->given->ops->watch(bench->driver, uid_of(bench), bench->loop, keep_event, bench, &bench->watch, err));
}

static void start_and_boot(struct bench *bench)
{
	start_machine(bench);
	wait_event(bench, MACHINE_EVENT_AGENT_UP, bench->given->boot_timeout_s);
}

static struct machine_status get_status(struct bench *bench)
{
	struct machine_status status = { 0 };

	ok(bench->given->ops->status(bench->driver, uid_of(bench), &status, err));
	return status;
}

/* A memory file with this content, to be read from the beginning. */
static int file_with(const char *content)
{
	int fd = memfd_create("conformance", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void expect_content(int fd, const char *content)
{
	char bytes[4096];
	ssize_t count = pread(fd, bytes, sizeof(bytes) - 1, 0);

	assert_true(count >= 0);
	bytes[count] = '\0';
	assert_string_equal(bytes, content);
}

/* Cases */

static void absent_machine_is_absent(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	struct machine_usage usage;
	struct machine_uids uids = { 0 };
	int fd;

	assert_int_equal(get_status(bench).state, MACHINE_ABSENT);
	fails(-ENOENT, ops->pause(bench->driver, uid_of(bench), err));
	fails(-ENOENT, ops->resume(bench->driver, uid_of(bench), err));
	fails(-ENOENT, ops->shutdown(bench->driver, uid_of(bench), err));
	fails(-ENOENT, ops->usage(bench->driver, uid_of(bench), &usage, err));
	fails(-ENOENT, ops->console_open(bench->driver, uid_of(bench), &fd, err));
	fails(-ENOENT, ops->snapshot_create(bench->driver, uid_of(bench), "one", false, err));
	fails(-ENOENT, ops->watch(bench->driver, uid_of(bench), bench->loop, keep_event, bench, &bench->watch, err));
	ok(ops->kill(bench->driver, uid_of(bench), err));
	ok(ops->list(bench->driver, &uids, err));
	assert_int_equal(uids.items.count, 0);
	machine_uids_done(&uids);
}

static void started_machine_runs(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	struct machine_uids uids = { 0 };
	struct machine_usage usage = { 0 };

	start_machine(bench);
	assert_int_equal(get_status(bench).state, MACHINE_RUNNING);
	assert_true(get_status(bench).pid > 0);
	assert_true(get_status(bench).started_at > 0);
	ok(ops->usage(bench->driver, uid_of(bench), &usage, err));
	assert_true(usage.memory_bytes > 0);
	ok(ops->list(bench->driver, &uids, err));
	assert_int_equal(uids.items.count, 1);
	assert_string_equal(uids.items.items[0], uid_of(bench));
	machine_uids_done(&uids);
}

static void kill_leaves_nothing(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	struct machine_uids uids = { 0 };

	start_machine(bench);
	ok(ops->kill(bench->driver, uid_of(bench), err));
	assert_int_equal(wait_event(bench, MACHINE_EVENT_EXITED, EXIT_TIMEOUT_S)->cause, MACHINE_EXIT_HOST_OFF);
	assert_int_equal(get_status(bench).state, MACHINE_ABSENT);
	ok(ops->list(bench->driver, &uids, err));
	assert_int_equal(uids.items.count, 0);
	machine_uids_done(&uids);
	ok(ops->kill(bench->driver, uid_of(bench), err));
}

static void starting_again_replaces(void **state)
{
	struct bench *bench = *state;
	pid_t first;

	start_machine(bench);
	first = get_status(bench).pid;
	ok(bench->given->ops->start(bench->driver, &bench->given->config, err));
	assert_int_equal(get_status(bench).state, MACHINE_RUNNING);
	assert_int_not_equal(get_status(bench).pid, first);
	wait_event(bench, MACHINE_EVENT_EXITED, EXIT_TIMEOUT_S);
}

static void pause_and_resume(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;

	start_machine(bench);
	ok(ops->pause(bench->driver, uid_of(bench), err));
	assert_int_equal(get_status(bench).state, MACHINE_PAUSED);
	wait_event(bench, MACHINE_EVENT_PAUSED, EXIT_TIMEOUT_S);
	ok(ops->pause(bench->driver, uid_of(bench), err));
	ok(ops->resume(bench->driver, uid_of(bench), err));
	assert_int_equal(get_status(bench).state, MACHINE_RUNNING);
	wait_event(bench, MACHINE_EVENT_RESUMED, EXIT_TIMEOUT_S);
	ok(ops->resume(bench->driver, uid_of(bench), err));
}

static void shutdown_powers_off(void **state)
{
	struct bench *bench = *state;
	struct err ignored;

	start_and_boot(bench);
	ok(bench->given->ops->shutdown(bench->driver, uid_of(bench), err));
	/* A container is asked in its first instant, when its program may not listen yet. */
	for (int i = 0; i < 100 && bench->given->lacks.agent_wait && !find_event(bench, MACHINE_EVENT_EXITED); i++) {
		loop_step(bench->loop, TURN_MS);
		bench->given->ops->shutdown(bench->driver, uid_of(bench), &ignored);
	}
	assert_int_equal(wait_event(bench, MACHINE_EVENT_EXITED, EXIT_TIMEOUT_S)->cause, MACHINE_EXIT_GUEST_OFF);
	assert_int_equal(get_status(bench).state, MACHINE_ABSENT);
}

/* The daemon is gone and comes back: driver, loop and watch are new, the machine is not. */
static void next_daemon_finds_it(void **state)
{
	struct bench *bench = *state;
	const struct machine_conformance *given = bench->given;
	pid_t pid;

	start_and_boot(bench);
	ok(given->ops->pause(bench->driver, uid_of(bench), err));
	pid = get_status(bench).pid;
	given->ops->unwatch(bench->driver, bench->watch);
	given->ops->close(bench->driver);
	loop_free(bench->loop);
	bench->event_count = 0;

	ok(loop_new(given->clock, 1000, &bench->loop, err));
	ok(given->ops->open(&given->params, &bench->driver, err));
	assert_int_equal(get_status(bench).pid, pid);
	assert_int_equal(get_status(bench).state, MACHINE_PAUSED);
	ok(given->ops->watch(bench->driver, uid_of(bench), bench->loop, keep_event, bench, &bench->watch, err));
	wait_event(bench, MACHINE_EVENT_PAUSED, EXIT_TIMEOUT_S);
	wait_event(bench, MACHINE_EVENT_AGENT_UP, EXIT_TIMEOUT_S);
	ok(given->ops->resume(bench->driver, uid_of(bench), err));
	wait_event(bench, MACHINE_EVENT_RESUMED, EXIT_TIMEOUT_S);
}

static void exec_passes_output(void **state)
{
	struct bench *bench = *state;
	const char *const argv[] = { "echo", "one", "two", NULL };
	auto_close int output = file_with("");
	struct machine_exec exec = { .argv = argv, .input = -1, .output = output, .error = -1, .resize = -1 };
	int exit_code = -1;

	start_and_boot(bench);
	ok(bench->given->ops->exec(bench->driver, uid_of(bench), &exec, &exit_code, err));
	assert_int_equal(exit_code, 0);
	expect_content(output, bench->given->runs_programs ? "one two\n" : "echo one two\n");
}

static void exec_is_faithful(void **state)
{
	struct bench *bench = *state;
	const char *const argv[] = { "sh", "-c", "cat; pwd; echo $COLOUR; echo problem >&2; exit 7", NULL };
	const char *const env[] = { "COLOUR=green blue", NULL };
	auto_close int input = file_with("typed\n"), output = file_with(""), error = file_with("");
	struct machine_exec exec = {
		.argv = argv, .env = env, .directory = "/proc/1", .input = input, .output = output, .error = error, .resize = -1,
	};
	int exit_code = -1;

	if (!bench->given->runs_programs)
		skip();
	start_and_boot(bench);
	ok(bench->given->ops->exec(bench->driver, uid_of(bench), &exec, &exit_code, err));
	assert_int_equal(exit_code, 7);
	expect_content(output, "typed\n/proc/1\ngreen blue\n");
	expect_content(error, "problem\n");

	exec.argv = (const char *const[]){ "/no/such/program", NULL };
	exec.env = NULL;
	exec.directory = NULL;
	exec.input = -1;
	fails(-ENOENT, bench->given->ops->exec(bench->driver, uid_of(bench), &exec, &exit_code, err));
}

static void exec_can_be_cancelled(void **state)
{
	struct bench *bench = *state;
	const char *const argv[] = { "sleep", "600", NULL };
	const bool is_cancelled = true;
	struct machine_exec exec = {
		.argv = argv, .input = -1, .output = -1, .error = -1, .resize = -1, .is_cancelled = &is_cancelled,
	};
	int exit_code;

	if (!bench->given->runs_programs)
		skip();
	start_and_boot(bench);
	fails(-ECANCELED, bench->given->ops->exec(bench->driver, uid_of(bench), &exec, &exit_code, err));
}

static void exec_gives_a_terminal(void **state)
{
	struct bench *bench = *state;
	const char *const argv[] = { "sh", "-c", "tty; read line; stty size; echo got:$line; exit 3", NULL };
	auto_close int output = file_with("");
	struct machine_exec exec = {
		.argv = argv, .has_terminal = true, .rows = 24, .columns = 80, .output = output, .error = -1, .resize = -1,
	};
	char bytes[4096] = { 0 };
	int input[2], exit_code = -1;

	if (!bench->given->runs_programs)
		skip();
	start_and_boot(bench);
	assert_int_equal(pipe2(input, O_CLOEXEC), 0);
	assert_int_equal(write(input[1], "hello\n", 6), 6);
	exec.input = input[0];
	ok(bench->given->ops->exec(bench->driver, uid_of(bench), &exec, &exit_code, err));
	close(input[0]);
	close(input[1]);
	assert_int_equal(exit_code, 3);
	assert_true(pread(output, bytes, sizeof(bytes) - 1, 0) > 0);
	assert_non_null(strstr(bytes, "/dev/"));
	assert_non_null(strstr(bytes, "24 80"));
	assert_non_null(strstr(bytes, "got:hello"));
}

static void exec_needs_an_agent(void **state)
{
	struct bench *bench = *state;
	const char *const argv[] = { "true", NULL };
	struct machine_exec exec = { .argv = argv, .input = -1, .output = -1, .error = -1, .resize = -1 };
	int exit_code;

	if (bench->given->lacks.agent_wait)
		skip();
	start_machine(bench);
	fails(-ENODEV, bench->given->ops->exec(bench->driver, uid_of(bench), &exec, &exit_code, err));
}

static void files_go_in_and_out(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	auto_close int from = file_with("content of a file\n"), to = file_with("");

	start_and_boot(bench);
	ok(ops->file_write(bench->driver, uid_of(bench), "/tmp/file", 0640, from, err));
	ok(ops->file_read(bench->driver, uid_of(bench), "/tmp/file", to, err));
	expect_content(to, "content of a file\n");
	fails(-ENOENT, ops->file_read(bench->driver, uid_of(bench), "/no/such/file", to, err));
}

static void disks_are_plugged(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	const struct machine_disk *disk = &bench->given->extra_disk;

	start_and_boot(bench);
	if (bench->given->lacks.disks) {
		fails(-EOPNOTSUPP, ops->disk_attach(bench->driver, uid_of(bench), disk, err));
		fails(-EOPNOTSUPP, ops->disk_resize(bench->driver, uid_of(bench), "root", UINT64_C(128) << 20, err));
		fails(-EOPNOTSUPP, ops->disk_detach(bench->driver, uid_of(bench), "root", err));
		return;
	}
	ok(ops->disk_attach(bench->driver, uid_of(bench), disk, err));
	ok(ops->disk_attach(bench->driver, uid_of(bench), disk, err));
	ok(ops->disk_resize(bench->driver, uid_of(bench), disk->id, UINT64_C(128) << 20, err));
	ok(ops->disk_detach(bench->driver, uid_of(bench), disk->id, err));
	ok(ops->disk_detach(bench->driver, uid_of(bench), disk->id, err));
	fails(-ENOENT, ops->disk_resize(bench->driver, uid_of(bench), disk->id, UINT64_C(256) << 20, err));
	ok(ops->disk_attach(bench->driver, uid_of(bench), disk, err));
}

static void disk_snapshots(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;

	start_machine(bench);
	if (bench->given->lacks.snapshots) {
		fails(-EOPNOTSUPP, ops->snapshot_create(bench->driver, uid_of(bench), "one", false, err));
		fails(-EOPNOTSUPP, ops->snapshot_create(bench->driver, uid_of(bench), "one", true, err));
		fails(-EOPNOTSUPP, ops->snapshot_remove(bench->driver, uid_of(bench), "one", err));
		return;
	}
	ok(ops->snapshot_create(bench->driver, uid_of(bench), "one", false, err));
	ok(ops->snapshot_create(bench->driver, uid_of(bench), "two", false, err));
	ok(ops->snapshot_remove(bench->driver, uid_of(bench), "one", err));
	ok(ops->snapshot_remove(bench->driver, uid_of(bench), "one", err));
	ok(ops->snapshot_remove(bench->driver, uid_of(bench), "two", err));
	ok(ops->disk_snapshot(bench->driver, uid_of(bench), "root", "three", err));
	fails(-ENOENT, ops->disk_snapshot(bench->driver, uid_of(bench), "nothing", "three", err));
	ok(ops->snapshot_remove(bench->driver, uid_of(bench), "three", err));
	assert_int_equal(get_status(bench).state, MACHINE_RUNNING);
}

/* What was written after the snapshot is gone, what was in memory before it is there. */
static void memory_snapshots(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	struct machine_config config = bench->given->config;
	auto_close int before = file_with("before"), after = file_with("after"), to = file_with("");

	if (bench->given->lacks.snapshots)
		skip();
	start_and_boot(bench);
	if (bench->given->runs_programs)
		ok(ops->file_write(bench->driver, uid_of(bench), "/tmp/state", 0600, before, err));
	ok(ops->snapshot_create(bench->driver, uid_of(bench), "memory", true, err));
	assert_int_equal(get_status(bench).state, MACHINE_RUNNING);
	if (bench->given->runs_programs)
		ok(ops->file_write(bench->driver, uid_of(bench), "/tmp/state", 0600, after, err));
	assert_null(find_event(bench, MACHINE_EVENT_PAUSED));
	ok(ops->kill(bench->driver, uid_of(bench), err));
	wait_event(bench, MACHINE_EVENT_EXITED, EXIT_TIMEOUT_S);
	ops->unwatch(bench->driver, take(bench->watch));
	bench->event_count = 0;

	config.memory_snapshot = "memory";
	ok(ops->start(bench->driver, &config, err));
	ok(ops->watch(bench->driver, uid_of(bench), bench->loop, keep_event, bench, &bench->watch, err));
	wait_event(bench, MACHINE_EVENT_AGENT_UP, bench->given->boot_timeout_s);
	if (bench->given->runs_programs) {
		ok(ops->file_read(bench->driver, uid_of(bench), "/tmp/state", to, err));
		expect_content(to, "before");
	}
	ok(ops->snapshot_remove(bench->driver, uid_of(bench), "memory", err));
}

static void console_takes_input(void **state)
{
	struct bench *bench = *state;
	int fd = -1;

	start_machine(bench);
	ok(bench->given->ops->console_open(bench->driver, uid_of(bench), &fd, err));
	assert_int_equal(write(fd, "\n", 1), 1);
	close(fd);
}

static void microvm_does_not_grow(void **state)
{
	struct bench *bench = *state;

	if (bench->given->config.type != MACHINE_MICROVM || bench->given->config.container)
		skip();
	start_machine(bench);
	fails(-EOPNOTSUPP, bench->given->ops->resize(bench->driver, uid_of(bench), 2, 0, err));
}

static void containers_change_their_limits(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	struct machine_config config = bench->given->config;
	struct machine_container container;

	if (!config.container || !ops->update || !config.memory_bytes)
		skip();
	container = *config.container;
	container.pids_max = 77;
	container.cpu_weight = 300;
	config.container = &container;
	fails(-ENOENT, ops->update(bench->driver, &config, err));
	start_machine(bench);
	ok(ops->update(bench->driver, &config, err));
	ok(ops->resize(bench->driver, uid_of(bench), 2, UINT64_C(96) << 20, err));
	ok(ops->resize(bench->driver, uid_of(bench), 0, 0, err));
	assert_int_equal(get_status(bench).state, MACHINE_RUNNING);
}

static void unknown_memory_snapshot_fails(void **state)
{
	struct bench *bench = *state;
	struct machine_config config = bench->given->config;
	struct machine_uids uids = { 0 };
	struct err failure = { 0 };

	if (bench->given->lacks.snapshots)
		skip();
	config.memory_snapshot = "never";
	assert_true(bench->given->ops->start(bench->driver, &config, &failure) < 0);
	assert_non_null(strstr(failure.msg, "never"));
	ok(bench->given->ops->list(bench->driver, &uids, err));
	assert_int_equal(uids.items.count, 0);
	machine_uids_done(&uids);
}

/* Live migration */

/* Another host, on which the machine waits. */
static struct machine_migration wait_there(struct bench *bench)
{
	const struct machine_conformance *given = bench->given;
	struct machine_listen listen = { .address = "127.0.0.1", .copied = given->copied };
	struct machine_migration migration = { .address = "127.0.0.1", .copied = given->copied };

	if (!bench->there) {
		void *state = &bench->there_given;

		bench->there_given = *given;
		bench->there_given.params = given->peer_params;
		bench->there_given.config = given->peer_config;
		set_up(&state);
		bench->there = state;
	}
	ok(given->ops->migrate_in(bench->there->driver, &given->peer_config, &listen, &migration.ports, err));
	return migration;
}

static void expect_running(struct bench *bench)
{
	struct machine_status status = get_status(bench);

	assert_int_equal(status.state, MACHINE_RUNNING);
	assert_false(status.is_incoming || status.is_moved_out);
}

static void next_daemon(struct bench *bench)
{
	const struct machine_conformance *given = bench->given;

	given->ops->unwatch(bench->driver, take(bench->watch));
	given->ops->close(bench->driver);
	ok(given->ops->open(&given->params, &bench->driver, err));
}

static void write_file(struct bench *bench, const char *content)
{
	auto_close int from = file_with(content);

	ok(bench->given->ops->file_write(bench->driver, uid_of(bench), "/tmp/moved", 0600, from, err));
}

static void expect_file(struct bench *bench, const char *content)
{
	auto_close int to = file_with("");

	ok(bench->given->ops->file_read(bench->driver, uid_of(bench), "/tmp/moved", to, err));
	expect_content(to, content);
}

static void count_report(void *data, const struct machine_migration_progress *progress)
{
	size_t *count = data;

	assert_true(progress->done_bytes <= progress->total_bytes);
	++*count;
}

/* Both daemons end between the two halves of a move: nothing is remembered in them. */
static void moves_while_it_runs(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	struct machine_migration_result result = { 0 };
	struct machine_migration migration;
	struct machine_uids uids = { 0 };
	size_t reports = 0;

	if (bench->given->lacks.migration)
		skip();
	start_and_boot(bench);
	write_file(bench, "written before");
	migration = wait_there(bench);
	migration.report = count_report;
	migration.data = &reports;
	assert_true(get_status(bench->there).is_incoming);
	assert_false(get_status(bench->there).has_arrived);
	ok(ops->migrate_out(bench->driver, uid_of(bench), &migration, &result, err));
	assert_true(result.total_ms >= result.downtime_ms && result.memory_bytes > 0 && reports > 0);
	next_daemon(bench);
	next_daemon(bench->there);
	assert_true(get_status(bench).is_moved_out);
	assert_int_equal(get_status(bench).state, MACHINE_PAUSED);
	ok(ops->list(bench->there->driver, &uids, err));
	assert_int_equal(uids.items.count, 1);
	machine_uids_done(&uids);

	ok(ops->kill(bench->driver, uid_of(bench), err));
	ok(ops->watch(bench->there->driver, uid_of(bench), bench->there->loop, keep_event, bench->there, &bench->there->watch, err));
	ok(ops->resume(bench->there->driver, uid_of(bench), err));
	expect_running(bench->there);
	ok(ops->resume(bench->there->driver, uid_of(bench), err));
	wait_event(bench->there, MACHINE_EVENT_AGENT_UP, EXIT_TIMEOUT_S);
	expect_file(bench->there, "written before");
	assert_int_equal(get_status(bench).state, MACHINE_ABSENT);
}

/* The change of hands failed after everything had arrived. */
static void move_is_taken_back(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	struct machine_migration_result result;
	struct machine_migration migration;

	if (bench->given->lacks.migration)
		skip();
	start_and_boot(bench);
	migration = wait_there(bench);
	ok(ops->migrate_out(bench->driver, uid_of(bench), &migration, &result, err));
	while (!get_status(bench->there).has_arrived)
		;
	next_daemon(bench);
	ok(ops->migrate_cancel(bench->driver, uid_of(bench), err));
	assert_true(get_status(bench).is_moved_out);
	ok(ops->resume(bench->driver, uid_of(bench), err));
	expect_running(bench);
	write_file(bench, "still here");
	ok(ops->kill(bench->there->driver, uid_of(bench), err));
	assert_int_equal(get_status(bench->there).state, MACHINE_ABSENT);

	/* And once more, to the end. */
	migration = wait_there(bench);
	ok(ops->migrate_out(bench->driver, uid_of(bench), &migration, &result, err));
	ok(ops->resume(bench->there->driver, uid_of(bench), err));
	expect_file(bench->there, "still here");
}

static void waiting_machine_does_not_run(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;

	if (bench->given->lacks.migration)
		skip();
	wait_there(bench);
	fails(-EBUSY, ops->resume(bench->there->driver, uid_of(bench), err));
	assert_true(get_status(bench->there).is_incoming);
	ok(ops->kill(bench->there->driver, uid_of(bench), err));
	assert_int_equal(get_status(bench->there).state, MACHINE_ABSENT);
}

static void failed_move_changes_nothing(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	const bool is_cancelled = true;
	struct machine_migration_result result;
	struct machine_migration migration;

	if (bench->given->lacks.migration)
		skip();
	start_and_boot(bench);
	ok(ops->migrate_cancel(bench->driver, uid_of(bench), err));
	migration = wait_there(bench);
	migration.is_cancelled = &is_cancelled;
	fails(-ECANCELED, ops->migrate_out(bench->driver, uid_of(bench), &migration, &result, err));
	expect_running(bench);
	ok(ops->kill(bench->there->driver, uid_of(bench), err));
	migration.is_cancelled = NULL;
	fails(-ECONNREFUSED, ops->migrate_out(bench->driver, uid_of(bench), &migration, &result, err));
	expect_running(bench);

	migration = wait_there(bench);
	ok(ops->pause(bench->driver, uid_of(bench), err));
	fails(-EBUSY, ops->migrate_out(bench->driver, uid_of(bench), &migration, &result, err));
	ok(ops->resume(bench->driver, uid_of(bench), err));
	ok(ops->migrate_out(bench->driver, uid_of(bench), &migration, &result, err));
	assert_true(get_status(bench).is_moved_out);
}

static void migration_is_refused_with_words(void **state)
{
	struct bench *bench = *state;
	const struct machine_ops *ops = bench->given->ops;
	struct machine_listen listen = { .address = "127.0.0.1" };
	struct machine_migration migration = { .address = "127.0.0.1" };
	struct machine_capabilities capabilities = { 0 };
	struct machine_migration_result result;
	struct machine_ports ports;

	if (!bench->given->lacks.migration)
		skip();
	ok(ops->probe(bench->driver, &capabilities, err));
	assert_false(capabilities.has_live_migration);
	assert_true(capabilities.migration_reason[0]);
	machine_capabilities_done(&capabilities);
	fails(-EOPNOTSUPP, ops->migrate_in(bench->driver, &bench->given->config, &listen, &ports, err));
	fails(-EOPNOTSUPP, ops->migrate_out(bench->driver, uid_of(bench), &migration, &result, err));
}

static void probe_names_driver(void **state)
{
	struct bench *bench = *state;
	struct machine_capabilities capabilities = { 0 };

	ok(bench->given->ops->probe(bench->driver, &capabilities, err));
	assert_string_equal(capabilities.driver, bench->given->ops->name);
	assert_true(capabilities.version[0] && capabilities.accelerator[0]);
	assert_true(text_equal(capabilities.accelerator, "kvm") || capabilities.accelerator_reason[0]);
	assert_true(capabilities.has_live_migration != (capabilities.migration_reason[0] != '\0'));
	machine_capabilities_done(&capabilities);
}

#define CASE(name) { #name, name, set_up, tear_down, (void *)conformance }

int machine_conformance(const struct machine_conformance *conformance)
{
	const struct CMUnitTest cases[] = {
		CASE(absent_machine_is_absent), CASE(probe_names_driver), CASE(started_machine_runs),
		CASE(kill_leaves_nothing), CASE(starting_again_replaces), CASE(pause_and_resume),
		CASE(shutdown_powers_off), CASE(next_daemon_finds_it), CASE(exec_passes_output),
		CASE(exec_is_faithful), CASE(exec_can_be_cancelled), CASE(exec_gives_a_terminal),
		CASE(exec_needs_an_agent), CASE(files_go_in_and_out), CASE(disks_are_plugged), CASE(disk_snapshots),
		CASE(memory_snapshots), CASE(console_takes_input), CASE(microvm_does_not_grow),
		CASE(containers_change_their_limits), CASE(unknown_memory_snapshot_fails),
		CASE(moves_while_it_runs), CASE(move_is_taken_back), CASE(waiting_machine_does_not_run),
		CASE(failed_move_changes_nothing), CASE(migration_is_refused_with_words),
	};

	return cmocka_run_group_tests_name(conformance->ops->name, cases, NULL, NULL);
}
