#include "base/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"

static struct loop *new_loop(enum loop_clock clock)
{
	struct loop *loop = NULL;
	struct err err;

	assert_int_equal(loop_new(clock, 1000000, &loop, &err), 0);
	return loop;
}

/* What happened, as text: each callback appends its letter. */
struct trace {
	struct loop *loop;
	char text[64];
	size_t length;
	struct loop_source *source, *other;
	int first_fd;			/* That of 'source'. */
};

struct letter {
	struct trace *trace;
	char name;
};

static void append_letter(void *data)
{
	struct letter *letter = data;

	letter->trace->text[letter->trace->length++] = letter->name;
}

static void stop_loop(void *data)
{
	loop_stop(data);
}

/* Timers */

static void test_timers_run_by_due_time_then_by_creation(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_VIRTUAL);
	struct trace trace = { .loop = loop };
	struct letter a = { &trace, 'a' }, b = { &trace, 'b' }, c = { &trace, 'c' }, d = { &trace, 'd' };

	(void)state;
	loop_add_timer(loop, 50, append_letter, &d, NULL);
	loop_add_timer(loop, 10, append_letter, &a, NULL);
	loop_add_timer(loop, 20, append_letter, &b, NULL);
	loop_add_timer(loop, 20, append_letter, &c, NULL);
	while (loop_step(loop, -1))
		;
	assert_string_equal(trace.text, "abcd");
	assert_int_equal(loop_now_ms(loop), 50);
	loop_free(loop);
}

static void test_virtual_day_passes_at_once(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_VIRTUAL);
	const uint64_t day_ms = 24 * 60 * 60 * 1000;

	(void)state;
	loop_add_timer(loop, day_ms, stop_loop, loop, NULL);
	loop_run(loop);
	assert_int_equal(loop_now_ms(loop), day_ms);
	assert_int_equal(loop_wall_ms(loop), 1000000 + (int64_t)day_ms);
	loop_free(loop);
}

static void test_virtual_run_ends_when_nothing_is_left(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_VIRTUAL);

	(void)state;
	loop_run(loop);
	assert_false(loop_step(loop, -1));
	loop_free(loop);
}

static void test_timer_clears_the_pointer_to_it(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_VIRTUAL);
	struct trace trace = { .loop = loop };
	struct letter a = { &trace, 'a' };

	(void)state;
	loop_add_timer(loop, 1, append_letter, &a, &trace.source);
	assert_non_null(trace.source);
	loop_step(loop, -1);
	assert_null(trace.source);

	loop_add_timer(loop, 1, append_letter, &a, &trace.source);
	loop_remove(trace.source);
	assert_null(trace.source);
	assert_false(loop_step(loop, -1));
	assert_string_equal(trace.text, "a");
	loop_free(loop);
}

static void test_huge_delay_does_not_wrap(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct trace trace = { .loop = loop };
	struct letter a = { &trace, 'a' };

	(void)state;
	loop_add_timer(loop, UINT64_MAX, append_letter, &a, NULL);
	assert_false(loop_step(loop, 0));
	assert_int_equal(trace.length, 0);
	loop_free(loop);
}

struct rearming {
	struct loop *loop;
	int runs;
};

static void rearm_at_once(void *data)
{
	struct rearming *rearming = data;

	rearming->runs++;
	loop_add_timer(rearming->loop, 0, rearm_at_once, rearming, NULL);
}

static void test_timer_of_zero_does_not_starve_the_turn(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct rearming rearming = { loop, 0 };

	(void)state;
	loop_add_timer(loop, 0, rearm_at_once, &rearming, NULL);
	for (int i = 1; i <= 3; i++) {
		assert_true(loop_step(loop, -1));
		assert_int_equal(rearming.runs, i);
	}
	loop_free(loop);
}

static void test_real_timer_is_not_early(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct timespec start, end;
	int64_t elapsed_ns;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &start);
	loop_add_timer(loop, 20, stop_loop, loop, NULL);
	loop_run(loop);
	clock_gettime(CLOCK_MONOTONIC, &end);
	elapsed_ns = (int64_t)(end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec;
	assert_true(elapsed_ns >= 20000000);
	loop_free(loop);
}

/* Random additions and removals: what fires must be sorted and complete. */

enum { TIMER_COUNT = 2000 };

struct random_timers {
	struct loop *loop;
	struct random_timer {
		struct random_timers *all;
		struct loop_source *source;
		uint64_t due_ms;
		int fired;
	} timers[TIMER_COUNT];
	uint64_t last_ms;
};

static void check_order(void *data)
{
	struct random_timer *timer = data;

	assert_int_equal(loop_now_ms(timer->all->loop), timer->due_ms);
	assert_true(timer->due_ms >= timer->all->last_ms);
	timer->all->last_ms = timer->due_ms;
	timer->fired++;
}

static void test_heap_survives_random_removal(void **state)
{
	struct random_timers *all = alloc(sizeof(*all));
	bool is_removed[TIMER_COUNT] = { false };
	struct rng rng;

	(void)state;
	rng_init(&rng, 7);
	all->loop = new_loop(LOOP_CLOCK_VIRTUAL);
	for (int i = 0; i < TIMER_COUNT; i++) {
		struct random_timer *timer = &all->timers[i];

		*timer = (struct random_timer){ .all = all, .due_ms = rng_below(&rng, 500) };
		loop_add_timer(all->loop, timer->due_ms, check_order, timer, &timer->source);
	}
	for (int i = 0; i < TIMER_COUNT; i++) {
		is_removed[i] = rng_below(&rng, 2);
		if (is_removed[i])
			loop_remove(all->timers[i].source);
	}
	while (loop_step(all->loop, -1))
		;
	for (int i = 0; i < TIMER_COUNT; i++)
		assert_int_equal(all->timers[i].fired, !is_removed[i]);
	loop_free(all->loop);
	free(all);
}

/* Files */

static void read_letter(void *data, int fd, uint32_t events)
{
	struct trace *trace = data;

	assert_true(events & EPOLLIN);
	assert_int_equal(read(fd, &trace->text[trace->length++], 1), 1);
}

static void test_fd_is_level_triggered_until_removed(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct trace trace = { .loop = loop };
	struct err err;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(loop_add_fd(loop, ends[0], EPOLLIN, read_letter, &trace, &trace.source, &err), 0);
	assert_int_equal(write(ends[1], "xyz", 3), 3);
	assert_true(loop_step(loop, -1));
	assert_true(loop_step(loop, -1));
	loop_change_fd(trace.source, 0);
	assert_false(loop_step(loop, 0));
	loop_change_fd(trace.source, EPOLLIN);
	assert_true(loop_step(loop, -1));
	assert_string_equal(trace.text, "xyz");

	assert_int_equal(write(ends[1], "w", 1), 1);
	loop_remove(trace.source);
	assert_false(loop_step(loop, 0));
	loop_free(loop);
	close(ends[0]);
	close(ends[1]);
}

/* Two sources are ready in one batch; whichever comes first removes the other. */
static void remove_other(void *data, int fd, uint32_t events)
{
	struct trace *trace = data;

	(void)events;
	trace->length++;
	loop_remove(fd == trace->first_fd ? trace->other : trace->source);
}

static void test_source_removed_in_its_own_batch_does_not_run(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct trace trace = { .loop = loop };
	struct err err;
	int first[2], second[2];

	(void)state;
	assert_int_equal(pipe(first), 0);
	assert_int_equal(pipe(second), 0);
	assert_int_equal(loop_add_fd(loop, first[0], EPOLLIN, remove_other, &trace, &trace.source, &err), 0);
	assert_int_equal(loop_add_fd(loop, second[0], EPOLLIN, remove_other, &trace, &trace.other, &err), 0);
	trace.first_fd = first[0];
	assert_int_equal(write(first[1], "1", 1), 1);
	assert_int_equal(write(second[1], "2", 1), 1);
	assert_true(loop_step(loop, -1));
	assert_int_equal(trace.length, 1);
	loop_free(loop);
	for (int i = 0; i < 2; i++) {
		close(first[i]);
		close(second[i]);
	}
}

static void test_bad_fd_is_refused(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct trace trace = { .loop = loop };
	struct err err;

	(void)state;
	assert_int_equal(loop_add_fd(loop, 987654, EPOLLIN, read_letter, &trace, &trace.source, &err), -EBADF);
	assert_null(trace.source);
	assert_int_equal(loop_add_signal(loop, 12345, NULL, NULL, NULL, &err), -EINVAL);
	loop_free(loop);
}

static void test_fds_are_seen_before_the_virtual_clock_jumps(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_VIRTUAL);
	struct trace trace = { .loop = loop };
	struct letter t = { &trace, 't' };
	struct err err;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(loop_add_fd(loop, ends[0], EPOLLIN, read_letter, &trace, NULL, &err), 0);
	loop_add_timer(loop, 5, append_letter, &t, NULL);
	assert_int_equal(write(ends[1], "f", 1), 1);
	while (loop_step(loop, -1))
		;
	assert_string_equal(trace.text, "ft");
	loop_free(loop);
	close(ends[0]);
	close(ends[1]);
}

/* Signals and children */

static void note_signal(void *data, int signal)
{
	int *seen = data;

	*seen = signal;
}

static void test_signal_arrives(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct err err;
	int seen = 0;

	(void)state;
	assert_int_equal(loop_add_signal(loop, SIGUSR1, note_signal, &seen, NULL, &err), 0);
	/* To this thread: under a sanitizer others exist, which do not block it. */
	pthread_kill(pthread_self(), SIGUSR1);
	assert_true(loop_step(loop, -1));
	assert_int_equal(seen, SIGUSR1);
	loop_free(loop);
}

static pid_t start_child(int exit_code, int signal)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (signal)
			kill(getpid(), signal);
		_exit(exit_code);
	}
	assert_true(pid > 0);
	return pid;
}

static void note_status(void *data, int status)
{
	int *seen = data;

	*seen = status;
}

static int status_seen(pid_t pid)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct loop_source *source = NULL;
	struct err err;
	int status = -2;

	assert_true(pidfd >= 0);
	assert_int_equal(loop_add_child(loop, pidfd, note_status, &status, &source, &err), 0);
	while (status == -2)
		loop_step(loop, -1);
	assert_null(source);
	loop_free(loop);
	return status;
}

static void test_child_is_reaped_with_its_status(void **state)
{
	pid_t pid = start_child(7, 0);
	int status = status_seen(pid);

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_int_equal(waitpid(pid, NULL, 0), -1);
	assert_int_equal(errno, ECHILD);

	status = status_seen(start_child(0, SIGKILL));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void test_end_of_a_stranger_has_no_status(void **state)
{
	int ends[2];
	pid_t middle, stranger = 0;

	(void)state;
	/* A grandchild that waits for us is not ours to reap. */
	assert_int_equal(pipe(ends), 0);
	middle = fork();
	if (middle == 0) {
		pid_t grandchild = fork();

		if (grandchild == 0) {
			raise(SIGSTOP);
			_exit(0);
		}
		waitpid(grandchild, NULL, WUNTRACED);
		if (write(ends[1], &grandchild, sizeof(grandchild)) < 0)
			_exit(1);
		waitpid(grandchild, NULL, 0);
		_exit(0);
	}
	assert_int_equal(read(ends[0], &stranger, sizeof(stranger)), sizeof(stranger));

	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, stranger, 0);
	struct err err;
	int status = -2;

	assert_int_equal(loop_add_child(loop, pidfd, note_status, &status, NULL, &err), 0);
	kill(stranger, SIGCONT);
	while (status == -2)
		loop_step(loop, -1);
	assert_int_equal(status, -1);
	loop_free(loop);
	waitpid(middle, NULL, 0);
	close(ends[0]);
	close(ends[1]);
}

/* Messages */

static void test_messages_keep_their_order(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_VIRTUAL);
	struct trace trace = { .loop = loop };
	struct letter letters[5];

	(void)state;
	for (int i = 0; i < 5; i++) {
		letters[i] = (struct letter){ &trace, (char)('a' + i) };
		loop_post(loop, append_letter, NULL, &letters[i]);
	}
	assert_true(loop_step(loop, 0));
	assert_false(loop_step(loop, 0));
	assert_string_equal(trace.text, "abcde");
	loop_free(loop);
}

static void test_undelivered_messages_are_dropped(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct trace trace = { .loop = loop };
	struct letter run = { &trace, 'r' };

	(void)state;
	loop_post(loop, append_letter, NULL, &run);
	loop_post(loop, free, free, alloc(10));
	loop_free(loop);
	assert_int_equal(trace.length, 0);
}

enum { POSTERS = 4, POSTS = 20000 };

struct poster {
	struct loop *loop;
	pthread_t thread;
	struct counter *counter;
	int next;			/* The loop's thread: which post of this poster comes next. */
};

struct counter {
	struct loop *loop;
	int left;
};

struct numbered {
	struct poster *poster;
	int number;
};

static void count_post(void *data)
{
	struct numbered *numbered = data;
	struct counter *counter = numbered->poster->counter;

	assert_int_equal(numbered->number, numbered->poster->next++);
	free(numbered);
	if (--counter->left == 0)
		loop_stop(counter->loop);
}

static void *post_many(void *data)
{
	struct poster *poster = data;

	for (int i = 0; i < POSTS; i++) {
		struct numbered *numbered = alloc(sizeof(*numbered));

		*numbered = (struct numbered){ poster, i };
		loop_post(poster->loop, count_post, free, numbered);
	}
	return NULL;
}

static void test_posts_from_threads_all_arrive_in_order(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);
	struct counter counter = { loop, POSTERS * POSTS };
	struct poster posters[POSTERS];

	(void)state;
	for (int i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){ .loop = loop, .counter = &counter };
		assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
	}
	loop_run(loop);
	for (int i = 0; i < POSTERS; i++) {
		pthread_join(posters[i].thread, NULL);
		assert_int_equal(posters[i].next, POSTS);
	}
	loop_free(loop);
}

static void *post_one(void *data)
{
	struct loop *loop = data;

	loop_post(loop, stop_loop, NULL, loop);
	return NULL;
}

/* Whether the loop already sleeps or not, it must not miss the post. */
static void test_post_ends_an_endless_wait(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_REAL);

	(void)state;
	for (int i = 0; i < 200; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, post_one, loop), 0);
		loop_run(loop);
		pthread_join(thread, NULL);
	}
	loop_free(loop);
}

/* Loops within a loop */

static void test_child_turns_with_its_parent_and_has_its_own_wall_clock(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_VIRTUAL), *child = loop_new_child(loop, 5000000);
	struct trace trace = { .loop = loop };
	struct letter a = { &trace, 'a' }, b = { &trace, 'b' }, c = { &trace, 'c' }, d = { &trace, 'd' };

	(void)state;
	loop_add_timer(child, 20, append_letter, &d, NULL);
	loop_add_timer(loop, 10, append_letter, &c, NULL);
	loop_post(child, append_letter, NULL, &a);
	loop_post(loop, append_letter, NULL, &b);
	loop_run(loop);
	assert_string_equal(trace.text, "abcd");
	assert_int_equal(loop_now_ms(child), 20);
	assert_int_equal(loop_wall_ms(loop), 1000020);
	assert_int_equal(loop_wall_ms(child), 5000020);
	loop_set_wall(child, 4000000);
	assert_int_equal(loop_wall_ms(child), 4000000);
	assert_int_equal(loop_now_ms(child), 20);
	loop_free(child);
	loop_free(loop);
}

static void test_freed_child_takes_only_its_own_along(void **state)
{
	struct loop *loop = new_loop(LOOP_CLOCK_VIRTUAL), *child = loop_new_child(loop, 0);
	struct trace trace = { .loop = loop };
	struct letter a = { &trace, 'a' }, b = { &trace, 'b' }, c = { &trace, 'c' }, d = { &trace, 'd' };

	(void)state;
	loop_post(child, append_letter, append_letter, &a);
	loop_post(loop, append_letter, NULL, &b);
	loop_add_timer(child, 1, append_letter, &c, NULL);
	loop_add_timer(loop, 2, append_letter, &d, NULL);
	loop_free(child);
	assert_string_equal(trace.text, "a");
	loop_run(loop);
	assert_string_equal(trace.text, "abd");
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_child_turns_with_its_parent_and_has_its_own_wall_clock),
		cmocka_unit_test(test_freed_child_takes_only_its_own_along),
		cmocka_unit_test(test_timers_run_by_due_time_then_by_creation),
		cmocka_unit_test(test_virtual_day_passes_at_once),
		cmocka_unit_test(test_virtual_run_ends_when_nothing_is_left),
		cmocka_unit_test(test_timer_clears_the_pointer_to_it),
		cmocka_unit_test(test_huge_delay_does_not_wrap),
		cmocka_unit_test(test_timer_of_zero_does_not_starve_the_turn),
		cmocka_unit_test(test_real_timer_is_not_early),
		cmocka_unit_test(test_heap_survives_random_removal),
		cmocka_unit_test(test_fd_is_level_triggered_until_removed),
		cmocka_unit_test(test_source_removed_in_its_own_batch_does_not_run),
		cmocka_unit_test(test_bad_fd_is_refused),
		cmocka_unit_test(test_fds_are_seen_before_the_virtual_clock_jumps),
		cmocka_unit_test(test_signal_arrives),
		cmocka_unit_test(test_child_is_reaped_with_its_status),
		cmocka_unit_test(test_end_of_a_stranger_has_no_status),
		cmocka_unit_test(test_messages_keep_their_order),
		cmocka_unit_test(test_undelivered_messages_are_dropped),
		cmocka_unit_test(test_posts_from_threads_all_arrive_in_order),
		cmocka_unit_test(test_post_ends_an_endless_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
