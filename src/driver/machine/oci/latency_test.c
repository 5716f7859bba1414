#include "driver/machine/oci/latency.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

/* What the kernel itself says of a thread: its turns in ms (0: unknown), its policy. */
struct turns { double ms; int policy; };

static struct turns turns_of(pid_t tid)
{
	auto_free char *path = text_format("/proc/%d/sched", (int)tid);
	auto_str struct str text = { 0 };
	struct turns turns = { 0 };
	struct err err = { 0 };
	const char *slice, *policy;

	if (file_read_all(path, 64 << 10, &text, &err) < 0)
		fail_msg("%s", err.msg);
	slice = strstr(str_text(&text), "\nse.slice");
	policy = strstr(str_text(&text), "\npolicy");
	if (slice)
		turns.ms = strtod(strchr(slice, ':') + 1, NULL) / 1e6;
	if (policy)
		turns.policy = atoi(strchr(policy, ':') + 1);
	return turns;
}

static void skip_without_slices(void)
{
	char reason[160];

	if (latency_probe(reason, sizeof(reason)) == 0)
		return;
	print_message("skipped: %s\n", reason);
	skip();
}

static void apply(pid_t pid, enum machine_latency latency)
{
	struct err err = { 0 };

	if (latency_apply(pid, latency, &err) < 0)
		fail_msg("%s", err.msg);
}

static void test_probe(void **state)
{
	struct turns before = turns_of(getpid());
	char reason[160] = "";
	int r;

	(void)state;
	r = latency_probe(reason, sizeof(reason));
	assert_true(r == 0 || (r == -EOPNOTSUPP && reason[0]));
	assert_true(turns_of(getpid()).ms == before.ms);	/* Trying has changed nothing. */
}

struct family { int tids[2], go[2], grandchild[2]; };

static void *second_thread(void *data)
{
	struct family *family = data;
	pid_t tid = gettid();
	char byte;

	(void)!write(family->tids[1], &tid, sizeof(tid));
	(void)!read(family->go[0], &byte, 1);
	tid = fork();
	if (tid)
		(void)!write(family->grandchild[1], &tid, sizeof(tid));
	pause();
	return NULL;
}

/* A process of two threads; the second one starts another process when it is told to. */
static pid_t start_family(struct family *family, pid_t *ret_tid)
{
	pthread_t thread;
	pid_t pid;

	assert_int_equal(pipe(family->tids) | pipe(family->go) | pipe(family->grandchild), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pthread_create(&thread, NULL, second_thread, family);
		for (;;)
			pause();
	}
	assert_int_equal(read(family->tids[0], ret_tid, sizeof(*ret_tid)), sizeof(*ret_tid));
	return pid;
}

static void end_family(struct family *family, pid_t pid, pid_t grandchild)
{
	int *ends[] = { family->tids, family->go, family->grandchild };

	kill(grandchild, SIGKILL);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
		close(ends[i][0]);
		close(ends[i][1]);
	}
}

/* All threads, and what they start afterwards; and back again. */
static void test_classes(void **state)
{
	double normal = turns_of(getpid()).ms;
	struct family family;
	pid_t pid, tid, grandchild;

	(void)state;
	skip_without_slices();
	pid = start_family(&family, &tid);
	apply(pid, MACHINE_LATENCY_BATCH);
	assert_true(turns_of(pid).ms > 10 * normal && turns_of(tid).ms > 10 * normal);
	assert_int_equal(turns_of(tid).policy, SCHED_BATCH);
	assert_int_equal(write(family.go[1], "", 1), 1);
	assert_int_equal(read(family.grandchild[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
	assert_true(turns_of(grandchild).ms > 10 * normal);
	assert_int_equal(turns_of(grandchild).policy, SCHED_BATCH);

	apply(pid, MACHINE_LATENCY_INTERACTIVE);
	assert_true(turns_of(pid).ms < normal && turns_of(tid).ms < normal);
	assert_int_equal(turns_of(tid).policy, SCHED_OTHER);
	apply(pid, MACHINE_LATENCY_NORMAL);
	assert_true(turns_of(pid).ms == normal && turns_of(tid).ms == normal);
	assert_int_equal(turns_of(pid).policy, SCHED_OTHER);
	end_family(&family, pid, grandchild);
}

/* Somebody chose a real-time policy or a nice value: they stay. */
static void test_own_choices(void **state)
{
	struct sched_param param = { .sched_priority = 1 };
	pid_t pid;

	(void)state;
	skip_without_slices();
	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	assert_int_equal(syscall(SYS_setpriority, 0, pid, 7), 0);
	apply(pid, MACHINE_LATENCY_BATCH);
	assert_int_equal(syscall(SYS_getpriority, 0, pid), 20 - 7);
	if (sched_setscheduler(pid, SCHED_FIFO, &param) == 0) {
		apply(pid, MACHINE_LATENCY_INTERACTIVE);
		assert_int_equal(sched_getscheduler(pid), SCHED_FIFO);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_gone(void **state)
{
	struct err err = { 0 };
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	assert_int_equal(latency_apply(pid, MACHINE_LATENCY_BATCH, &err), -ESRCH);
	assert_non_null(strstr(err.msg, "has ended"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_own_choices),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests_name("latency", tests, NULL, NULL);
}
