#include "driver/fence/process/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "driver/fence/process/end.h"
#include "driver/fence/process/page.h"

enum {
	BUSY_NS = 10000000,		/* Something has just been ended: more may follow. */
	CALM_NS = 200000000,
	STACK_BYTES = 64 << 10,
	PRIORITY = 50,
};

struct watchdog {
	struct fence_page *page;
	int page_fd, timer, signals;
	bool is_leaving;		/* Asked to end. */
};

/* ---- Its privileges ---- */

/*
 * Code, data and stack, so that nothing must be read from a disk when it counts. Before the page is mapped, which is
 * locked where it is used: most of it never has memory.
 */
static void lock_memory(void)
{
	volatile char stack[STACK_BYTES];

	for (size_t i = 0; i < sizeof(stack); i += 1024)
		stack[i] = 0;
	mlockall(MCL_CURRENT);
}

/* Each where it is allowed: without it the watchdog is slower under load, and not wrong. */
static void take_privileges(void)
{
	const struct sched_param first = { .sched_priority = PRIORITY };
	auto_close int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (oom >= 0 && write(oom, "-1000", 5) < 0)
		errno = 0;		/* It keeps the daemon's. */
	/* Services with RestrictRealtime may not have the first. */
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first) < 0)
		setpriority(PRIO_PROCESS, 0, -20);
	lock_memory();
}

/* ---- Its work ---- */

/* A copy: the daemon may use the slot for another in the meantime. False: not in use, or nonsense. */
static bool read_slot(const struct fence_slot *slot, char ret_cgroup[FENCE_CGROUP_LENGTH + 1])
{
	if (FENCE_LOAD(slot->state) != FENCE_SLOT_USED)
		return false;
	memcpy(ret_cgroup, slot->cgroup, FENCE_CGROUP_LENGTH + 1);
	return ret_cgroup[0] == '/' && memchr(ret_cgroup, '\0', FENCE_CGROUP_LENGTH + 1) && FENCE_LOAD(slot->state) == FENCE_SLOT_USED;
}

static bool guards_any(const struct watchdog *watchdog)
{
	for (size_t i = 0; i < fence_page_count(watchdog->page); i++)
		if (FENCE_LOAD(watchdog->page->slots[i].state) == FENCE_SLOT_USED)
			return true;
	return false;
}

static bool any_runs(const struct watchdog *watchdog)
{
	char cgroup[FENCE_CGROUP_LENGTH + 1];

	for (size_t i = 0; i < fence_page_count(watchdog->page); i++)
		if (read_slot(&watchdog->page->slots[i], cgroup) && fence_is_populated(cgroup))
			return true;
	return false;
}

/* Returns whether there was something to end. */
static bool end_all(struct watchdog *watchdog)
{
	char cgroup[FENCE_CGROUP_LENGTH + 1];
	bool found_any = false;

	for (size_t i = 0; i < fence_page_count(watchdog->page); i++) {
		struct fence_slot *slot = &watchdog->page->slots[i];

		if (!read_slot(slot, cgroup) || !fence_end(cgroup))
			continue;
		found_any = true;
		if (FENCE_LOAD(slot->ended_at_ms) == 0)
			FENCE_STORE(slot->ended_at_ms, clock_wall_ms());
	}
	return found_any;
}

/* What is to be done now; returns when to look again. */
static uint64_t work(struct watchdog *watchdog)
{
	uint64_t deadline_ns = FENCE_LOAD(watchdog->page->deadline_ns), now_ns = clock_ns(CLOCK_BOOTTIME);

	if (!guards_any(watchdog))
		return UINT64_MAX;
	if (now_ns >= deadline_ns)
		return now_ns + (end_all(watchdog) ? BUSY_NS : CALM_NS);
	return watchdog->is_leaving && now_ns + CALM_NS < deadline_ns ? now_ns + CALM_NS : deadline_ns;
}

static void take_signal(struct watchdog *watchdog)
{
	struct signalfd_siginfo info;

	while (read(watchdog->signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo == SIGTERM)
			watchdog->is_leaving = true;
}

static void sleep_until(struct watchdog *watchdog, uint64_t until_ns)
{
	struct itimerspec at = { 0 };
	struct pollfd waiting[] = { { .fd = watchdog->timer, .events = POLLIN }, { .fd = watchdog->signals, .events = POLLIN } };

	if (until_ns != UINT64_MAX)
		at.it_value = (struct timespec){ (time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000) };
	timerfd_settime(watchdog->timer, TFD_TIMER_ABSTIME, &at, NULL);
	FENCE_STORE(watchdog->page->sleeps_until_ns, until_ns);
	if (poll(waiting, 2, -1) > 0)
		take_signal(watchdog);
}

static int watch(struct watchdog *watchdog)
{
	for (;;) {
		uint64_t until_ns = work(watchdog);

		if (watchdog->is_leaving && !any_runs(watchdog))
			return 0;
		sleep_until(watchdog, until_ns);
	}
}

/* ---- Its beginning ---- */

/* Of this process alone, and gone with it. */
static int lock_page(struct watchdog *watchdog)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(watchdog->page_fd, F_SETLK, &lock) == 0)
		return 0;
	dprintf(2, "another watchdog (process %d) guards already", (int)fence_page_holder(watchdog->page_fd));
	return -EBUSY;
}

static int open_page(struct watchdog *watchdog, const char *directory)
{
	int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	watchdog->page_fd = folder < 0 ? -1 : openat(folder, "page", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	r = watchdog->page_fd < 0 ? -errno : fence_page_map(watchdog->page_fd, &watchdog->page);
	closep(&folder);
	if (r < 0)
		dprintf(2, "'%s/page' is no page of this version and boot: %s", directory, strerror(-r));
	if (r < 0)
		return r;
	mlock2(watchdog->page, sizeof(*watchdog->page), MLOCK_ONFAULT);
	return lock_page(watchdog);
}

static int open_events(struct watchdog *watchdog)
{
	sigset_t waited_for, all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&waited_for);
	sigaddset(&waited_for, SIGUSR1);
	sigaddset(&waited_for, SIGTERM);
	watchdog->signals = signalfd(-1, &waited_for, SFD_NONBLOCK | SFD_CLOEXEC);
	watchdog->timer = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (watchdog->signals >= 0 && watchdog->timer >= 0)
		return 0;
	dprintf(2, "timer and signals: %s", strerror(errno));
	return -EIO;
}

/* Whoever started it waits for the end of what it says. */
static void say_ready(void)
{
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dprintf(1, "ready");
	dup2(null, 1);
	dup2(null, 2);
}

int fence_watchdog_run(const char *directory)
{
	struct watchdog watchdog = { 0 };

	take_privileges();
	if (open_page(&watchdog, directory) < 0 || open_events(&watchdog) < 0)
		return 1;
	FENCE_STORE(watchdog.page->sleeps_until_ns, clock_ns(CLOCK_BOOTTIME));
	say_ready();
	return watch(&watchdog);
}
