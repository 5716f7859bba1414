#include "base/spawn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clone.h"
#include "base/mem.h"

/* The shell is a convenient test program: what it sees is what every child sees. */
#define SHELL(script) ((const char *const[]){ "/bin/sh", "-c", (script), NULL })

static int run_script(const char *script, struct spawn_params params, struct str *output, struct err *err)
{
	params.argv = SHELL(script);
	return spawn_run(&params, &(struct spawn_io){ .output = output, .timeout_ms = 20000 }, err);
}

static void assert_script_prints(const char *script, struct spawn_params params, const char *expected)
{
	auto_str struct str output = { 0 };
	struct err err = { 0 };

	if (run_script(script, params, &output, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(str_text(&output), expected);
}

static int wait_for(int pidfd)
{
	siginfo_t info = { 0 };

	assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
	return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

/* Starting */

static void test_start_gives_a_pidfd(void **state)
{
	struct spawn_params params = { .argv = SHELL("exit 7") };
	auto_close int pidfd = -1;
	pid_t pid = 0;
	struct err err;

	(void)state;
	assert_int_equal(spawn_start(&params, &pid, &pidfd, &err), 0);
	assert_true(pid > 0);
	assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(wait_for(pidfd), 7);
}

static void test_missing_program_is_named_with_its_package(void **state)
{
	struct spawn_params params = { .argv = (const char *const[]){ "strata-no-such-program", NULL } };
	struct err err;

	(void)state;
	assert_int_equal(spawn_start(&params, NULL, NULL, &err), -ENOENT);
	assert_string_equal(err.msg, "program 'strata-no-such-program' is not installed");

	params.argv = (const char *const[]){ "/nowhere/strata-no-such-program", NULL };
	assert_int_equal(spawn_start(&params, NULL, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "execute '/nowhere/strata-no-such-program'"));
}

static void test_failed_start_leaves_no_child_and_no_fd(void **state)
{
	struct spawn_params params = { .argv = (const char *const[]){ "/etc/passwd", NULL } };
	int before = dup(0), after;
	struct err err;

	(void)state;
	close(before);
	assert_int_equal(spawn_start(&params, NULL, NULL, &err), -EACCES);
	params.argv = SHELL("exit 0");
	params.directory = "/nowhere";
	assert_int_equal(spawn_start(&params, NULL, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "'/nowhere'"));
	params.directory = NULL;
	params.cgroup = "/nowhere/cgroup";
	assert_int_equal(spawn_start(&params, NULL, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "join the cgroup '/nowhere/cgroup'"));

	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
}

/* What the child sees */

static void test_environment_is_bare(void **state)
{
	const char *const env[] = { "ONE=1", "LANG=x", NULL };

	(void)state;
	/* PWD, OLDPWD, SHLVL and _ are the shell's own. */
	assert_script_prints("env | sed 's/=.*//' | grep -vE '^(PWD|OLDPWD|SHLVL|_)$' | sort | tr '\\n' ' '",
			     (struct spawn_params){ 0 }, "LANG PATH ");
	assert_script_prints("echo $ONE $LANG", (struct spawn_params){ .env = env }, "1 x\n");
}

static void test_directory_is_root_unless_named(void **state)
{
	(void)state;
	assert_script_prints("pwd", (struct spawn_params){ 0 }, "/\n");
	assert_script_prints("pwd", (struct spawn_params){ .directory = "/usr" }, "/usr\n");
}

static void test_no_fds_but_those_named(void **state)
{
	auto_close int inherited = open("/dev/zero", O_RDONLY);		/* Without O_CLOEXEC on purpose. */
	const char *list = "ls /proc/self/fd | tr '\\n' ' '";

	(void)state;
	assert_true(inherited >= 3);
	/* 3 is the folder that ls itself reads. */
	assert_script_prints(list, (struct spawn_params){ 0 }, "0 1 2 3 ");
	assert_script_prints("readlink /proc/self/fd/0", (struct spawn_params){ 0 }, "/dev/null\n");
}

static void test_fds_may_change_places(void **state)
{
	auto_close int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	auto_close int full = open("/dev/full", O_RDONLY | O_CLOEXEC);
	struct spawn_fd fds[] = { { zero, full }, { full, zero }, { zero, 20 } };
	auto_free char *script = text_format("readlink /proc/self/fd/%d /proc/self/fd/%d /proc/self/fd/20",
					     zero, full);

	(void)state;
	assert_script_prints(script, (struct spawn_params){ .fds = fds, .fd_count = ARRAY_COUNT(fds) },
			     "/dev/full\n/dev/zero\n/dev/zero\n");
}

static void test_signals_are_at_their_defaults(void **state)
{
	sigset_t set, old;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	assert_script_prints("grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f 2", (struct spawn_params){ 0 },
			     "0000000000000000\n0000000000000000\n");
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	signal(SIGPIPE, SIG_DFL);
}

static void test_own_session(void **state)
{
	(void)state;
	/* Field 6 of stat is the session, 1 the pid. */
	assert_script_prints("read pid a b c d session rest < /proc/$$/stat; test $pid = $session && echo own",
			     (struct spawn_params){ .has_own_session = true }, "own\n");
}

static void test_user_and_groups_are_dropped_for_good(void **state)
{
	const gid_t groups[] = { 65533 };
	struct spawn_params params = {
		.has_user = true, .user = 65534, .group = 65532, .groups = groups, .group_count = 1,
	};

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_script_prints("grep -E '^(Uid|Gid|Groups|CapEff|NoNewPrivs)' /proc/self/status | tr -s '\\t ' ' '",
			     params,
			     "Uid: 65534 65534 65534 65534\nGid: 65532 65532 65532 65532\n"
			     "Groups: 65533 \nCapEff: 0000000000000000\nNoNewPrivs: 1\n");
	assert_int_equal(geteuid(), 0);
}

/* A folder with a file cgroup.procs shows what would be written, on any host. */
static void test_cgroup_is_joined_before_the_program_runs(void **state)
{
	char folder[] = "/tmp/strata-spawn-XXXXXX";
	auto_free char *procs = NULL;
	auto_str struct str output = { 0 };
	struct err err;
	int fd, r;

	(void)state;
	assert_non_null(mkdtemp(folder));
	procs = text_format("%s/cgroup.procs", folder);
	fd = creat(procs, 0644);
	r = run_script("cat \"$PWD\"/cgroup.procs", (struct spawn_params){ .cgroup = folder, .directory = folder },
		       &output, &err);
	unlink(procs);
	rmdir(folder);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(r, 0);
	assert_string_equal(str_text(&output), "0");
}

/* Where the host offers a writable cgroup v2; elsewhere the test above must do. */
static void test_child_is_born_in_its_cgroup(void **state)
{
	static const char *const roots[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup" };
	auto_free char *folder = NULL;
	auto_str struct str output = { 0 };
	struct err err;
	int r;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(roots) && !folder; i++) {
		auto_free char *controllers = text_format("%s/cgroup.controllers", roots[i]);

		if (access(controllers, F_OK) == 0)
			folder = text_format("%s/strata-spawn-%d", roots[i], getpid());
	}
	if (!folder || mkdir(folder, 0755) < 0)
		skip();
	r = run_script("grep ^0:: /proc/self/cgroup", (struct spawn_params){ .cgroup = folder }, &output, &err);
	rmdir(folder);
	if (r < 0)
		fail_msg("%s", err.msg);
	assert_non_null(strstr(str_text(&output), strrchr(folder, '/')));
}

static void *start_tied(void *data)
{
	struct spawn_params params = { .argv = (const char *const[]){ "sleep", "60", NULL },
				       .ends_with_parent = true };
	struct err err;

	assert_int_equal(spawn_start(&params, NULL, data, &err), 0);
	return NULL;
}

CHILD_CODE static int set_umask(void *data)
{
	const unsigned *mask = data;

	return *mask ? (syscall(SYS_umask, *mask), 0) : ENOTUNIQ;
}

static void test_child_is_prepared_before_it_runs(void **state)
{
	const char *argv[] = { "sh", "-c", "umask", NULL };
	auto_str struct str output = { 0 };
	unsigned mask = 0123;
	struct spawn_params params = { .argv = argv, .prepare = set_umask, .prepare_data = &mask };
	struct spawn_io io = { .output = &output };
	struct err err;

	(void)state;
	assert_int_equal(spawn_run(&params, &io, &err), 0);
	assert_string_equal(str_text(&output), "0123\n");
	assert_int_not_equal(umask(022), 0123);
	mask = 0;
	assert_int_equal(spawn_start(&params, NULL, NULL, &err), -ENOTUNIQ);
	assert_non_null(strstr(err.msg, "prepare"));
}

static void test_tied_child_ends_with_the_thread(void **state)
{
	int pidfd = -1;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, start_tied, &pidfd), 0);
	pthread_join(thread, NULL);
	assert_int_equal(wait_for(pidfd), -SIGKILL);
	close(pidfd);
}

/* Running */

static void test_input_goes_in_and_output_comes_out(void **state)
{
	enum { SIZE = 300000 };		/* More than a pipe holds. */
	auto_free char *input = alloc(SIZE);
	auto_str struct str output = { 0 };
	struct spawn_params params = { .argv = (const char *const[]){ "cat", NULL } };
	struct spawn_io io = { .input = input, .input_size = SIZE, .output = &output };
	struct err err;

	(void)state;
	for (int i = 0; i < SIZE; i++)
		input[i] = (char)(i * 31);
	assert_int_equal(spawn_run(&params, &io, &err), 0);
	assert_int_equal(output.size, SIZE);
	assert_memory_equal(output.data, input, SIZE);
}

static void test_failure_shows_the_last_line(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(run_script("echo first >&2; echo 'disk is full' >&2; exit 3", (struct spawn_params){ 0 },
				    NULL, &err), -EIO);
	assert_string_equal(err.msg, "'sh' failed: disk is full");
	assert_int_equal(run_script("exit 3", (struct spawn_params){ 0 }, NULL, &err), -EIO);
	assert_string_equal(err.msg, "'sh' failed with exit code 3 and no message");
	assert_int_equal(run_script("kill -KILL $$", (struct spawn_params){ 0 }, NULL, &err), -EIO);
	assert_string_equal(err.msg, "'sh' was ended by signal 9 (Killed)");
}

static void collect_line(void *data, const char *line)
{
	str_append(data, line);
	str_append_char(data, '|');
}

static void test_lines_of_stderr_are_passed_on(void **state)
{
	auto_str struct str lines = { 0 };
	struct spawn_params params = { .argv = SHELL("printf '10%%\\r20%%\\rdone\\n\\nend' >&2") };
	struct spawn_io io = { .on_line = collect_line, .data = &lines };
	struct err err;

	(void)state;
	assert_int_equal(spawn_run(&params, &io, &err), 0);
	assert_string_equal(str_text(&lines), "10%|20%|done|end|");
}

static void test_time_limit_kills_the_group(void **state)
{
	int ends[2];
	struct spawn_fd fd;
	struct spawn_params params = { .argv = SHELL("sleep 60 & sleep 60"), .fds = &fd, .fd_count = 1 };
	struct spawn_io io = { .timeout_ms = 50 };
	struct err err;
	char byte;

	(void)state;
	/* Both sleeps hold the pipe: its end shows that both are gone. */
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fd = (struct spawn_fd){ ends[1], 9 };
	assert_int_equal(spawn_run(&params, &io, &err), -ETIMEDOUT);
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

static void test_cancelling_ends_it(void **state)
{
	const bool is_cancelled = true;
	struct spawn_params params = { .argv = (const char *const[]){ "sleep", "60", NULL } };
	struct spawn_io io = { .is_cancelled = &is_cancelled };
	struct err err;

	(void)state;
	assert_int_equal(spawn_run(&params, &io, &err), -ECANCELED);
}

static void count_tick(void *data)
{
	++*(int *)data;
}

static void test_ticks_while_it_is_silent(void **state)
{
	struct spawn_params params = { .argv = (const char *const[]){ "sleep", "0.5", NULL } };
	int ticks = 0;
	struct spawn_io io = { .on_tick = count_tick, .data = &ticks };
	struct err err;

	(void)state;
	assert_int_equal(spawn_run(&params, &io, &err), 0);
	assert_true(ticks >= 3);
}

static void test_floods_are_cut_off(void **state)
{
	auto_str struct str output = { 0 };
	struct spawn_params params = { .argv = (const char *const[]){ "yes", NULL } };
	struct spawn_io io = { .output = &output, .output_max = 100000 };
	struct err err;

	(void)state;
	assert_int_equal(spawn_run(&params, &io, &err), -EFBIG);
	assert_true(output.size <= 100000);

	/* Nor does a flood of messages keep the time limit from being noticed. */
	params.argv = SHELL("exec yes >&2");
	io = (struct spawn_io){ .timeout_ms = 50 };
	assert_int_equal(spawn_run(&params, &io, &err), -ETIMEDOUT);
}

/* What is left running holds the pipe, but the answer is complete when the program has ended. */
static void test_background_children_do_not_delay_the_end(void **state)
{
	auto_str struct str output = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(run_script("sleep 60 & echo $!", (struct spawn_params){ 0 }, &output, &err), 0);
	assert_int_equal(kill(atoi(str_text(&output)), SIGKILL), 0);
}

enum { THREADS = 4, RUNS = 25 };

static void *run_many(void *data)
{
	uintptr_t failures = 0;

	(void)data;
	for (int i = 0; i < RUNS; i++) {
		auto_str struct str output = { 0 };
		struct err err;

		failures += run_script("echo x", (struct spawn_params){ 0 }, &output, &err) != 0 ||
			    strcmp(str_text(&output), "x\n") != 0;
	}
	return (void *)failures;
}

static void test_threads_may_spawn_at_the_same_time(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_many, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		void *failures;

		pthread_join(threads[i], &failures);
		assert_null(failures);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_gives_a_pidfd),
		cmocka_unit_test(test_missing_program_is_named_with_its_package),
		cmocka_unit_test(test_failed_start_leaves_no_child_and_no_fd),
		cmocka_unit_test(test_environment_is_bare),
		cmocka_unit_test(test_directory_is_root_unless_named),
		cmocka_unit_test(test_no_fds_but_those_named),
		cmocka_unit_test(test_fds_may_change_places),
		cmocka_unit_test(test_signals_are_at_their_defaults),
		cmocka_unit_test(test_own_session),
		cmocka_unit_test(test_user_and_groups_are_dropped_for_good),
		cmocka_unit_test(test_cgroup_is_joined_before_the_program_runs),
		cmocka_unit_test(test_child_is_born_in_its_cgroup),
		cmocka_unit_test(test_child_is_prepared_before_it_runs),
		cmocka_unit_test(test_tied_child_ends_with_the_thread),
		cmocka_unit_test(test_input_goes_in_and_output_comes_out),
		cmocka_unit_test(test_failure_shows_the_last_line),
		cmocka_unit_test(test_lines_of_stderr_are_passed_on),
		cmocka_unit_test(test_time_limit_kills_the_group),
		cmocka_unit_test(test_cancelling_ends_it),
		cmocka_unit_test(test_ticks_while_it_is_silent),
		cmocka_unit_test(test_floods_are_cut_off),
		cmocka_unit_test(test_background_children_do_not_delay_the_end),
		cmocka_unit_test(test_threads_may_spawn_at_the_same_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
