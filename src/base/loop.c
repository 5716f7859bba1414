/*
 * Theory of operation.
 *
 * One turn (loop_step) waits in epoll_wait(2), then runs in this order: ready fds, the
 * messages posted so far, the timers that are due. What a callback adds runs in the next
 * turn, so nobody starves anybody.
 *
 * Messages: a poster writes the eventfd only if the loop has declared, under the lock, that
 * it is about to sleep on an empty queue, so a burst costs one wake-up and a post from the
 * loop's own callbacks costs no system call. The eventfd is edge-triggered and never read.
 *
 * A child is a loop whose messages, timers and fds are its root's; it has its own list of sources, and its messages carry its
 * mark, so that it can be taken out.
 *
 * Removal: a source may be removed while events for it lie in the batch just fetched, so it
 * only becomes dead, and dead sources are freed at the end of the turn.
 */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/timer_heap.h"
#include "base/vec.h"

enum { EVENT_BATCH = 64 };

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

enum source_kind { SOURCE_FD, SOURCE_TIMER, SOURCE_SIGNAL, SOURCE_CHILD };

struct loop_source {
	struct loop *loop;
	enum source_kind kind;
	bool is_dead;
	struct loop_source *previous, *next;	/* In loop->sources, or (next) in loop->dead. */
	struct loop_source **owner;		/* One-shot sources: the caller's pointer; may be null. */
	void *data;
	union {
		loop_fd_fn *fd;
		loop_timer_fn *timer;
		loop_signal_fn *signal;
		loop_child_fn *child;
	} fn;
	int fd;					/* Owned for signals only; -1 for timers. */
	int signal;
	struct timer_node timer;
};

struct message {
	loop_message_fn *fn, *drop;
	void *data;
	struct loop *loop;			/* Whose it is. */
};

struct messages {
	VEC(struct message) list;
};

struct loop {
	enum loop_clock clock;
	struct loop *root;			/* Itself, or whose turns it takes part in. */
	size_t child_count;
	int64_t wall_start_ms;			/* Virtual clock only. */
	uint64_t now_ns;
	int epoll_fd;
	int event_fd;
	bool is_in_turn;
	bool is_stopped;
	size_t fd_count;			/* Sources that epoll watches, without the eventfd. */
	uint64_t next_sequence;
	struct loop_source *sources;
	struct loop_source *dead;
	struct timer_heap timers;
	pthread_mutex_t lock;			/* Guards the next two. */
	struct messages posted;
	bool is_sleeping;
	struct messages running;		/* The batch being delivered; swapped with 'posted'. */
};

/* Clock */

static void read_clock(struct loop *loop)
{
	if (loop->clock == LOOP_CLOCK_REAL)
		loop->now_ns = clock_monotonic_ns();
}

uint64_t loop_now_ms(const struct loop *loop)
{
	return loop->root->now_ns / NS_PER_MS;
}

int64_t loop_wall_ms(const struct loop *loop)
{
	if (loop->clock == LOOP_CLOCK_VIRTUAL)
		return loop->wall_start_ms + (int64_t)loop_now_ms(loop);
	return clock_wall_ms();
}

enum loop_clock loop_clock_kind(const struct loop *loop)
{
	return loop->clock;
}

void loop_set_wall(struct loop *loop, int64_t wall_ms)
{
	assert(loop->clock == LOOP_CLOCK_VIRTUAL);
	loop->wall_start_ms = wall_ms - (int64_t)loop_now_ms(loop);
}

static struct loop_source *first_timer(const struct loop *loop)
{
	struct timer_node *node = timer_heap_first(&loop->timers);

	return node ? container_of(node, struct loop_source, timer) : NULL;
}

/* Sources */

static struct loop_source *source_new(struct loop *loop, enum source_kind kind, void *data)
{
	struct loop_source *source = alloc(sizeof(*source));

	*source = (struct loop_source){
		.loop = loop, .kind = kind, .data = data, .fd = -1, .next = loop->sources,
	};
	if (source->next)
		source->next->previous = source;
	loop->sources = source;
	return source;
}

static void source_unlink(struct loop_source *source)
{
	if (source->previous)
		source->previous->next = source->next;
	else
		source->loop->sources = source->next;
	if (source->next)
		source->next->previous = source->previous;
}

static void free_dead(struct loop *loop)
{
	while (loop->dead) {
		struct loop_source *source = loop->dead;

		loop->dead = source->next;
		free(source);
	}
}

void loop_remove(struct loop_source *source)
{
	struct loop *loop;

	if (!source)
		return;
	assert(!source->is_dead);

	loop = source->loop->root;
	if (source->kind == SOURCE_TIMER) {
		timer_heap_remove(&loop->timers, &source->timer);
	} else {
		/* Fails only if the caller has closed the fd too early: then epoll forgot it as well. */
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
		loop->fd_count--;
	}
	if (source->kind == SOURCE_SIGNAL)
		close(source->fd);
	if (source->owner)
		*source->owner = NULL;
	source_unlink(source);
	source->is_dead = true;
	source->next = loop->dead;
	loop->dead = source;
	if (!loop->is_in_turn)
		free_dead(loop);
}

static int watch(struct loop_source *source, int fd, uint32_t events, struct err *err)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (epoll_ctl(source->loop->root->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		err_set(err, -errno, "watch file descriptor %d: %m", fd);
		source_unlink(source);
		free(source);
		return err->code;
	}
	source->fd = fd;
	source->loop->root->fd_count++;
	return 0;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data,
		struct loop_source **ret_source, struct err *err)
{
	struct loop_source *source = source_new(loop, SOURCE_FD, data);
	int r;

	source->fn.fd = fn;
	r = watch(source, fd, events, err);
	if (r == 0 && ret_source)
		*ret_source = source;
	return r;
}

void loop_change_fd(struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	assert(source->kind == SOURCE_FD && !source->is_dead);
	if (epoll_ctl(source->loop->root->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
		abort();			/* The fd was closed while it is watched. */
}

void loop_add_timer(struct loop *loop, uint64_t delay_ms, loop_timer_fn *fn, void *data,
		    struct loop_source **ret_source)
{
	struct loop_source *timer = source_new(loop, SOURCE_TIMER, data);

	loop = loop->root;
	if (!loop->is_in_turn)
		read_clock(loop);
	timer->fn.timer = fn;
	timer->owner = ret_source;
	timer->timer.sequence = loop->next_sequence++;
	timer->timer.due_ns = delay_ms > (UINT64_MAX - loop->now_ns) / NS_PER_MS ?
			      UINT64_MAX : loop->now_ns + delay_ms * NS_PER_MS;
	timer_heap_add(&loop->timers, &timer->timer);
	if (ret_source)
		*ret_source = timer;
}

int loop_add_signal(struct loop *loop, int signal, loop_signal_fn *fn, void *data,
		    struct loop_source **ret_source, struct err *err)
{
	struct loop_source *source;
	sigset_t set;
	int fd, r;

	sigemptyset(&set);
	if (sigaddset(&set, signal) < 0)
		return err_set(err, -EINVAL, "there is no signal %d", signal);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_set(err, -errno, "signalfd: %m");
	pthread_sigmask(SIG_BLOCK, &set, NULL);

	source = source_new(loop, SOURCE_SIGNAL, data);
	source->fn.signal = fn;
	source->signal = signal;
	r = watch(source, fd, EPOLLIN, err);
	if (r < 0)
		close(fd);
	else if (ret_source)
		*ret_source = source;
	return r;
}

int loop_add_child(struct loop *loop, int pidfd, loop_child_fn *fn, void *data,
		   struct loop_source **ret_source, struct err *err)
{
	struct loop_source *source = source_new(loop, SOURCE_CHILD, data);
	int r;

	source->fn.child = fn;
	r = watch(source, pidfd, EPOLLIN, err);
	if (r < 0)
		return r;
	source->owner = ret_source;
	if (ret_source)
		*ret_source = source;
	return 0;
}

/* Dispatch */

/* Reaps the child; the answer is as from waitpid(2), or -1 for a process that is not ours. */
static int reap(int pidfd)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return -1;
	if (info.si_code == CLD_EXITED)
		return (info.si_status & 0xff) << 8;
	return info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
}

static void dispatch_signal(struct loop_source *source)
{
	struct signalfd_siginfo info;

	if (read(source->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		source->fn.signal(source->data, source->signal);
}

static void dispatch_child(struct loop_source *source)
{
	int status = reap(source->fd);

	loop_remove(source);
	source->fn.child(source->data, status);
}

static void dispatch(struct loop_source *source, uint32_t events)
{
	switch (source->kind) {
	case SOURCE_FD:
		source->fn.fd(source->data, source->fd, events);
		break;
	case SOURCE_SIGNAL:
		dispatch_signal(source);
		break;
	case SOURCE_CHILD:
		dispatch_child(source);
		break;
	case SOURCE_TIMER:
		abort();		/* Timers never come from epoll. */
	}
}

static bool wait_and_run_fds(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENT_BATCH];
	bool has_run = false;
	int count;

	if (timeout_ms == 0 && loop->fd_count == 0)
		return false;
	count = epoll_wait(loop->epoll_fd, events, EVENT_BATCH, timeout_ms);
	read_clock(loop);
	for (int i = 0; i < count; i++) {
		struct loop_source *source = events[i].data.ptr;

		/* The eventfd has no source: it only ends the wait. */
		if (!source || source->is_dead)
			continue;
		dispatch(source, events[i].events);
		has_run = true;
	}
	return has_run;
}

static bool run_messages(struct loop *loop)
{
	struct messages batch;

	pthread_mutex_lock(&loop->lock);
	batch = loop->posted;
	loop->posted = loop->running;
	loop->running = batch;
	loop->is_sleeping = false;
	pthread_mutex_unlock(&loop->lock);

	for (size_t i = 0; i < batch.list.count; i++)
		batch.list.items[i].fn(batch.list.items[i].data);
	loop->running.list.count = 0;
	return batch.list.count > 0;
}

static bool run_timers(struct loop *loop)
{
	uint64_t end = loop->next_sequence;	/* Timers added from here on wait for the next turn. */
	struct loop_source *source;
	bool has_run = false;

	while ((source = first_timer(loop)) && source->timer.due_ns <= loop->now_ns &&
	       source->timer.sequence < end) {
		loop_remove(source);
		source->fn.timer(source->data);
		has_run = true;
	}
	return has_run;
}

/* How long epoll may sleep, rounded up so that no timer is early. */
static int until_next_timer_ms(const struct loop *loop, int timeout_ms)
{
	const struct loop_source *first = first_timer(loop);
	uint64_t wait_ms;

	if (!first)
		return timeout_ms;
	if (first->timer.due_ns <= loop->now_ns)
		return 0;
	wait_ms = (first->timer.due_ns - loop->now_ns - 1) / NS_PER_MS + 1;
	if (timeout_ms >= 0 && wait_ms > (uint64_t)timeout_ms)
		return timeout_ms;
	return wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
}

/* Declares to posters that they must wake the loop, unless something was posted already. */
static bool may_sleep(struct loop *loop)
{
	bool is_empty;

	pthread_mutex_lock(&loop->lock);
	is_empty = loop->posted.list.count == 0;
	loop->is_sleeping = is_empty;
	pthread_mutex_unlock(&loop->lock);
	return is_empty;
}

static bool turn_real(struct loop *loop, int timeout_ms)
{
	bool has_run;

	read_clock(loop);
	timeout_ms = until_next_timer_ms(loop, timeout_ms);
	if (timeout_ms != 0 && !may_sleep(loop))
		timeout_ms = 0;
	has_run = wait_and_run_fds(loop, timeout_ms);
	has_run |= run_messages(loop);
	has_run |= run_timers(loop);
	return has_run;
}

static bool turn_virtual(struct loop *loop)
{
	bool has_run = wait_and_run_fds(loop, 0);
	const struct loop_source *first;

	has_run |= run_messages(loop);
	first = first_timer(loop);
	if (!has_run && first && first->timer.due_ns > loop->now_ns)
		loop->now_ns = first->timer.due_ns;
	has_run |= run_timers(loop);
	return has_run;
}

bool loop_step(struct loop *loop, int timeout_ms)
{
	bool has_run;

	assert(!loop->is_in_turn && loop->root == loop);
	loop->is_in_turn = true;
	has_run = loop->clock == LOOP_CLOCK_REAL ? turn_real(loop, timeout_ms) : turn_virtual(loop);
	loop->is_in_turn = false;
	free_dead(loop);
	return has_run;
}

void loop_run(struct loop *loop)
{
	loop->is_stopped = false;
	while (!loop->is_stopped)
		if (!loop_step(loop, -1) && loop->clock == LOOP_CLOCK_VIRTUAL)
			break;
}

void loop_stop(struct loop *loop)
{
	loop->is_stopped = true;
}

void loop_post(struct loop *loop, loop_message_fn *fn, loop_message_fn *drop, void *data)
{
	const struct message message = { fn, drop, data, loop };
	const uint64_t one = 1;
	bool must_wake;

	loop = loop->root;
	pthread_mutex_lock(&loop->lock);
	*vec_push(&loop->posted.list) = message;
	must_wake = loop->is_sleeping;
	loop->is_sleeping = false;
	pthread_mutex_unlock(&loop->lock);

	if (must_wake && write(loop->event_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort();
}

/* Life cycle */

static int open_fds(struct loop *loop, struct err *err)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return err_set(err, -errno, "epoll_create: %m");
	loop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->event_fd < 0)
		return err_set(err, -errno, "eventfd: %m");
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->event_fd, &event) < 0)
		return err_set(err, -errno, "watch the eventfd: %m");
	return 0;
}

int loop_new(enum loop_clock clock, int64_t start_ms, struct loop **ret_loop, struct err *err)
{
	struct loop *loop = alloc(sizeof(*loop));
	int r;

	*loop = (struct loop){
		.clock = clock, .root = loop, .wall_start_ms = start_ms, .epoll_fd = -1, .event_fd = -1,
	};
	pthread_mutex_init(&loop->lock, NULL);
	read_clock(loop);
	r = open_fds(loop, err);
	if (r < 0) {
		loop_free(loop);
		return r;
	}
	*ret_loop = loop;
	return 0;
}

struct loop *loop_new_child(struct loop *parent, int64_t start_ms)
{
	struct loop *loop = alloc(sizeof(*loop));

	assert(parent->clock == LOOP_CLOCK_VIRTUAL);
	*loop = (struct loop){ .clock = LOOP_CLOCK_VIRTUAL, .root = parent->root };
	loop->root->child_count++;
	loop_set_wall(loop, start_ms);
	return loop;
}

static void free_child(struct loop *loop)
{
	struct messages *posted = &loop->root->posted;
	size_t kept = 0;

	/* By index: a drop may post again. */
	for (size_t i = 0; i < posted->list.count; i++) {
		struct message message = posted->list.items[i];

		if (message.loop == loop && message.drop)
			message.drop(message.data);
	}
	for (size_t i = 0; i < posted->list.count; i++)
		if (posted->list.items[i].loop != loop)
			posted->list.items[kept++] = posted->list.items[i];
	posted->list.count = kept;
	while (loop->sources)
		loop_remove(loop->sources);
	loop->root->child_count--;
	free(loop);
}

static void drop_messages(struct loop *loop)
{
	/* By index: a drop may post again. */
	for (size_t i = 0; i < loop->posted.list.count; i++) {
		struct message message = loop->posted.list.items[i];

		if (message.drop)
			message.drop(message.data);
	}
	vec_done(&loop->posted.list);
	vec_done(&loop->running.list);
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	assert(!loop->root->is_in_turn);

	if (loop->root != loop) {
		free_child(loop);
		return;
	}
	assert(!loop->child_count);
	drop_messages(loop);
	while (loop->sources)
		loop_remove(loop->sources);
	timer_heap_done(&loop->timers);
	closep(&loop->event_fd);
	closep(&loop->epoll_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}
