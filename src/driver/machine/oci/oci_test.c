/* Real containers: the port's conformance test, then how they start, end, and are found again. */
#include "driver/machine/oci/testbed.h"

#include <signal.h>
#include <sys/wait.h>

#include "driver/machine/common/cgroup.h"
#include "port/machine_conformance.h"

/* Ends */

static void run_command(struct bench *bench, const char *command)
{
	const char **argv = alloc(4 * sizeof(argv[0]));

	memcpy(argv, (const char *[]){ "/bin/sh", "-c", command, NULL }, 4 * sizeof(argv[0]));
	bench->container.argv = argv;
	bench_start(bench);
	free(argv);
}

static void expect_end(struct bench *bench, enum machine_exit cause, int exit_code, const char *text)
{
	const struct machine_event *event = bench_wait(bench, MACHINE_EVENT_EXITED);

	assert_string_equal(event->text, text);
	assert_int_equal(event->cause, cause);
	assert_int_equal(event->exit_code, exit_code);
	assert_int_equal(bench_status(bench).state, MACHINE_ABSENT);
}

static void exit_codes_are_told(void **state)
{
	struct bench *bench = *state;

	run_command(bench, "exit 3");
	expect_end(bench, MACHINE_EXIT_FAILED, 3, "exited with code 3");
	machine_oci.unwatch(bench->driver, take(bench->watch));
	bench->has[MACHINE_EVENT_EXITED] = false;
	run_command(bench, "exit 0");
	expect_end(bench, MACHINE_EXIT_GUEST_OFF, 0, "");
}

static void signals_are_told(void **state)
{
	struct bench *bench = *state;

	bench_start(bench);
	kill(bench_status(bench).pid, SIGKILL);
	expect_end(bench, MACHINE_EXIT_FAILED, 137, "killed by signal 9");
}

static void memory_limit_is_told(void **state)
{
	struct bench *bench = *state;

	if (!bench->bed->has_limits)
		skip();
	run_command(bench, "exec tail /dev/zero");
	bench_wait(bench, MACHINE_EVENT_OUT_OF_MEMORY);
	expect_end(bench, MACHINE_EXIT_FAILED, 137, "killed by signal 9 (out of memory)");
}

/* A process that is not the first one dies: the container lives on. */
static void memory_limit_is_told_at_once(void **state)
{
	struct bench *bench = *state;

	if (!bench->bed->has_limits)
		skip();
	run_command(bench, "while :; do tail /dev/zero; sleep 60; done");
	bench_wait(bench, MACHINE_EVENT_OUT_OF_MEMORY);
	assert_int_equal(bench_status(bench).state, MACHINE_RUNNING);
}

static void end_that_nobody_saw_is_told(void **state)
{
	struct bench *bench = *state;

	run_command(bench, "exit 5");
	machine_oci.unwatch(bench->driver, take(bench->watch));
	while (bench_status(bench).state != MACHINE_ABSENT)
		usleep(2000);
	bench->has[MACHINE_EVENT_EXITED] = false;
	/* The next daemon. */
	machine_oci.close(bench->driver);
	ok(machine_oci.open(&bench->bed->params, &bench->driver, err));
	for (int i = 0; i < 1000; i++) {	/* conmon writes the file after the process is gone. */
		struct err err;

		if (machine_oci.watch(bench->driver, UID, bench->loop, bench_keep, bench, &bench->watch, &err) == 0)
			break;
		usleep(5000);
	}
	expect_end(bench, MACHINE_EXIT_FAILED, 5, "exited with code 5");
}

static void quick_end_leaves_no_child(void **state)
{
	struct bench *bench = *state;
	auto_free char *exit_file = text_format("%s/" UID "/" UID, bench->bed->run);
	auto_free char *monitor = text_format("%s/" UID "/monitor", bench->bed->cgroup);

	bench->container.argv = (const char *const[]){ "true", NULL };
	ok(machine_oci.start(bench->driver, &bench->config, err));
	for (int i = 0; i < 1000 && (access(exit_file, F_OK) < 0 || cgroup_first_pid(monitor)); i++)
		usleep(5000);
	bench_watch(bench);
	expect_end(bench, MACHINE_EXIT_GUEST_OFF, 0, "");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void monitor_may_die(void **state)
{
	struct bench *bench = *state;
	auto_free char *path = text_format("%s/" UID "/monitor", bench->bed->cgroup);
	pid_t pid;

	bench_start(bench);
	pid = bench_status(bench).pid;
	kill(cgroup_first_pid(path), SIGKILL);
	for (int i = 0; i < 20; i++)
		loop_step(bench->loop, 10);
	assert_false(bench->has[MACHINE_EVENT_EXITED]);
	assert_int_equal(bench_status(bench).pid, pid);
	kill(pid, SIGKILL);
	expect_end(bench, MACHINE_EXIT_FAILED, -1, "ended, and so did its monitor: the exit code is not known");
}

static void stop_signal_is_the_images(void **state)
{
	struct bench *bench = *state;

	bench->container.stop_signal = SIGUSR1;
	run_command(bench, "trap 'exit 9' USR1; while :; do sleep 0.05; done");
	/* Until the trap is set the signal would be lost. */
	for (int i = 0; i < 100 && !bench->has[MACHINE_EVENT_EXITED]; i++) {
		struct err err;

		machine_oci.shutdown(bench->driver, UID, &err);
		loop_step(bench->loop, 50);
	}
	expect_end(bench, MACHINE_EXIT_GUEST_OFF, 9, "");
}

/* Nothing is left */

static unsigned count_mounts(void)
{
	auto_str struct str text = { 0 };
	unsigned count = 0;

	ok(file_read_all("/proc/self/mountinfo", 1 << 24, &text, err));
	for (const char *at = text.data; (at = strchr(at, '\n')); at++)
		count++;
	return count;
}

/* Ended: whoever has to collect it may not have done so yet. */
static bool is_gone(pid_t pid)
{
	auto_free char *path = text_format("/proc/%d/stat", (int)pid);
	auto_str struct str text = { 0 };
	struct err err;

	return file_read_all(path, 4096, &text, &err) < 0 || strstr(str_text(&text), ") Z ");
}

static void nothing_is_left(void **state)
{
	struct bench *bench = *state;
	auto_free char *run = text_format("%s/" UID, bench->bed->run);
	auto_free char *crun = text_format("%s/.crun/" UID, bench->bed->run);
	unsigned mounts = count_mounts();
	pid_t pid;

	bench_start(bench);
	assert_int_equal(count_mounts(), mounts);
	assert_true(testbed_has_cgroup(bench->bed, "/" UID));
	pid = bench_status(bench).pid;
	ok(machine_oci.kill(bench->driver, UID, err));
	assert_true(is_gone(pid));
	assert_int_equal(count_mounts(), mounts);
	assert_false(testbed_has_cgroup(bench->bed, "/" UID));
	assert_int_equal(access(run, F_OK), -1);
	assert_int_equal(access(crun, F_OK), -1);
	bench_wait(bench, MACHINE_EVENT_EXITED);
}

static void expect_failure(struct bench *bench, int code, const char *words)
{
	struct machine_uids uids = { 0 };
	unsigned mounts = count_mounts();

	fails(code, words, machine_oci.start(bench->driver, &bench->config, err));
	ok(machine_oci.list(bench->driver, &uids, err));
	assert_int_equal(uids.items.count, 0);
	machine_uids_done(&uids);
	assert_int_equal(count_mounts(), mounts);
	assert_false(testbed_has_cgroup(bench->bed, "/" UID));
	/* Nor a child that nobody collects. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void failed_starts_say_why(void **state)
{
	struct bench *bench = *state;
	const char *const missing[] = { "/no/such/program", NULL };
	const char *const wrong[] = { "NO_SUCH", NULL };
	const char *const device[] = { "/dev/no-such-device", NULL };

	bench->container.argv = missing;
	expect_failure(bench, -ENOENT, "/no/such/program");
	bench->container.argv = bench->bed->container.argv;
	bench->container.user = "nobody-here";
	expect_failure(bench, -ENOENT, "user 'nobody-here' is not in the image's /etc/passwd");
	bench->container.user = NULL;
	bench->container.cap_add = wrong;
	expect_failure(bench, -EINVAL, "'NO_SUCH'");
	bench->container.cap_add = NULL;
	bench->container.devices = device;
	expect_failure(bench, -ENOENT, "/dev/no-such-device");
	bench->container.devices = NULL;
	bench->container.root = "/no/such/volume";
	expect_failure(bench, -ENOENT, "/no/such/volume");
}

static int refuse_network(void *data, pid_t pid, struct err *err)
{
	*(pid_t *)data = pid;
	return err_set(err, -EADDRINUSE, "no address is left");
}

static void network_comes_before_the_first_instruction(void **state)
{
	struct bench *bench = *state;
	struct stat st;
	pid_t pid = 0;

	bench->container.network_ready = refuse_network;
	bench->container.network_data = &pid;
	expect_failure(bench, -EADDRINUSE, "no address is left");
	assert_true(pid > 0 && is_gone(pid));
	/* It said nothing. */
	assert_true(stat(bench->bed->console, &st) < 0 || st.st_size == 0);
}

static void interrupted_start_is_absent(void **state)
{
	struct bench *bench = *state;
	auto_free char *fifo = text_format("%s/.crun/" UID "/exec.fifo", bench->bed->run);

	bench_start(bench);
	/* As if the daemon had died just before it let the process go. */
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(bench_status(bench).state, MACHINE_ABSENT);
	ok(machine_oci.start(bench->driver, &bench->config, err));
	assert_int_equal(bench_status(bench).state, MACHINE_RUNNING);
}

/* Scratch image: one static program and nothing else, no folder. */
static void scratch_image_runs(void **state)
{
	struct bench *bench = *state;
	auto_free char *layer = text_format("%s/scratch", bench->bed->directory);
	auto_free char *program = text_format("%s/program", layer);
	auto_free char *source = text_format("%s/program.c", bench->bed->directory);
	const char *compile[] = { "gcc", "-static", "-O1", "-o", program, source, NULL };
	const char *const argv[] = { "/program", NULL };
	const char *const layers[] = { layer };
	auto_str struct str log = { 0 };
	struct err ignored;

	testbed_folder(layer);
	testbed_write(bench->bed->directory, "program.c", "#include <stdio.h>\nint main(void) { puts(\"alone\"); return 4; }\n", 0644);
	if (spawn_run(&(struct spawn_params){ .argv = compile }, NULL, &ignored) < 0)
		skip();
	bench->container.layers = layers;
	bench->container.layer_count = 1;
	bench->container.argv = argv;
	bench_start(bench);
	expect_end(bench, MACHINE_EXIT_FAILED, 4, "exited with code 4");
	ok(file_read_all(bench->bed->console, 4096, &log, err));
	assert_non_null(strstr(str_text(&log), " stdout F alone\n"));
}

static void output_may_go_nowhere(void **state)
{
	struct bench *bench = *state;

	bench->config.console_log = NULL;
	bench_start(bench);
	bench_expect(bench, "echo one", "one");
	assert_int_equal(access(bench->bed->console, F_OK), -1);
}

static void probe_tells(void **state)
{
	struct bench *bench = *state;
	struct machine_capabilities capabilities = { 0 };

	ok(machine_oci.probe(bench->driver, &capabilities, err));
	assert_non_null(strstr(capabilities.version, "crun "));
	assert_non_null(strstr(capabilities.version, "conmon "));
	machine_capabilities_done(&capabilities);
}

#define CASE(name) { #name, name, bench_set_up, bench_tear_down, (void *)&bed }

int main(void)
{
	struct testbed bed;
	bool is_possible = testbed_init(&bed);
	const struct CMUnitTest cases[] = {
		CASE(exit_codes_are_told), CASE(signals_are_told), CASE(memory_limit_is_told),
		CASE(memory_limit_is_told_at_once), CASE(end_that_nobody_saw_is_told), CASE(quick_end_leaves_no_child), CASE(monitor_may_die),
		CASE(stop_signal_is_the_images), CASE(nothing_is_left), CASE(failed_starts_say_why),
		CASE(network_comes_before_the_first_instruction), CASE(interrupted_start_is_absent),
		CASE(scratch_image_runs), CASE(output_may_go_nowhere), CASE(probe_tells),
	};
	struct machine_conformance conformance = {
		.ops = &machine_oci, .params = bed.params, .config = bed.config, .clock = LOOP_CLOCK_REAL,
		.boot_timeout_s = 5, .runs_programs = true, .extra_disk.id = "extra",
		.lacks = { .disks = true, .snapshots = true, .migration = true, .agent_wait = true },
	};
	int failed = 77;

	if (is_possible) {
		failed = machine_conformance(&conformance);
		failed += cmocka_run_group_tests_name("containers", cases, NULL, NULL);
	} else
		print_message("skipped: needs root, crun, conmon and busybox-static\n");
	testbed_done(&bed);
	return failed;
}
