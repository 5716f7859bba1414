#include "base/thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct seen { sigset_t blocked; int runs; };

static void *look(void *data)
{
	struct seen *seen = data;

	pthread_sigmask(SIG_BLOCK, NULL, &seen->blocked);
	seen->runs++;
	return NULL;
}

static void test_without_signals(void **state)
{
	struct seen seen = { 0 };
	sigset_t mine;
	pthread_t thread;
	struct err err;

	(void)state;
	assert_int_equal(thread_start("look", look, &seen, &thread, &err), 0);
	pthread_join(thread, NULL);
	assert_int_equal(seen.runs, 1);
	assert_true(sigismember(&seen.blocked, SIGTERM) && sigismember(&seen.blocked, SIGCHLD));
	/* Ours are as they were. */
	pthread_sigmask(SIG_BLOCK, NULL, &mine);
	assert_false(sigismember(&mine, SIGTERM));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_without_signals) };

	return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
