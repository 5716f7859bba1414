/*
 * The watchdog is a process of its own, strata-fence (watchdog.c), since what must happen when the daemon is gone
 * cannot be the daemon's. Both have one page mapped (page.h): a renewal is one store into memory, and the
 * watchdog wakes up once per lease to read it.
 *
 * It guards before the guest exists, and it is looked after by those that extend its deadline: a dead one is
 * replaced before anything may go on longer. When it and the daemon die in the same second nobody ends the
 * guests; then the host must be turned off by others (port/power.h).
 */
#include "driver/fence/process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static struct process_fence *fence_of(struct fence_driver *driver)
{
	return container_of(driver, struct process_fence, base);
}

static bool guards_any(const struct process_fence *fence)
{
	for (size_t i = 0; i < fence_page_count(fence->page); i++)
		if (FENCE_LOAD(fence->page->slots[i].state) == FENCE_SLOT_USED)
			return true;
	return false;
}

static void free_fence(struct process_fence *fence)
{
	fence_page_unmap(fence->page);
	closep(&fence->pidfd);
	closep(&fence->fd);
	free(fence->program);
	free(fence->directory);
	free(fence->cgroup);
	pthread_mutex_destroy(&fence->lock);
	free(fence);
}

static void process_close(struct fence_driver *driver)
{
	struct process_fence *fence;

	if (!driver)
		return;
	fence = fence_of(driver);
	if (!guards_any(fence))
		fence_dismiss(fence, SIGTERM);
	free_fence(fence);
}

/* What is there and fits goes on; of another boot or version only its watchdog could be left. */
static int open_page(struct process_fence *fence, struct err *err)
{
	auto_free char *path = text_format("%s/page", fence->directory);
	int r = file_make_dirs(fence->directory, 0700, err);

	if (r < 0)
		return r;
	fence->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fence->fd < 0)
		return err_set(err, -errno, "open '%s': %m", shown(path));
	if (flock(fence->fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, errno == EWOULDBLOCK ? -EBUSY : -errno, "'%s' is another stratad's: end that one first", shown(path));
	fence_adopt(fence);
	if (fence_page_map(fence->fd, &fence->page) == 0)
		return 0;
	fence_dismiss(fence, SIGKILL);
	r = fence_page_format(fence->fd, err);
	if (r == 0 && fence_page_map(fence->fd, &fence->page) < 0)
		r = err_set(err, -EIO, "map '%s': %m", shown(path));
	return r;
}

static int process_open(const struct fence_params *params, struct fence_driver **ret_driver, struct err *err)
{
	struct process_fence *fence = alloc(sizeof(*fence));
	struct err ignored;
	int r;

	*fence = (struct process_fence){
		.base.ops = &fence_process, .program = text_copy(params->program), .directory = text_copy(params->directory),
		.cgroup = text_copy(params->cgroup), .fd = -1, .pidfd = -1,
	};
	pthread_mutex_init(&fence->lock, NULL);
	r = open_page(fence, err);
	if (r < 0) {
		free_fence(fence);
		return r;
	}
	/* Without it nothing is renewed, and renew says why; the daemon has more to do than this. */
	if (guards_any(fence))
		fence_ensure(fence, &ignored);
	*ret_driver = &fence->base;
	return 0;
}

static uint64_t process_now_ns(struct fence_driver *driver)
{
	(void)driver;
	return clock_ns(CLOCK_BOOTTIME);
}

static int renew_locked(struct process_fence *fence, uint64_t deadline_ns, struct err *err)
{
	int r = guards_any(fence) ? fence_ensure(fence, err) : 0;

	if (r == 0 && deadline_ns > FENCE_LOAD(fence->page->deadline_ns))
		FENCE_STORE(fence->page->deadline_ns, deadline_ns);
	return r;
}

static int process_renew(struct fence_driver *driver, uint64_t deadline_ns, struct err *err)
{
	struct process_fence *fence = fence_of(driver);
	int r = fence_check_deadline(deadline_ns, clock_ns(CLOCK_BOOTTIME), err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&fence->lock);
	r = renew_locked(fence, deadline_ns, err);
	pthread_mutex_unlock(&fence->lock);
	return r;
}

/* With another cgroup there are two slots for a moment: it is guarded all the time. */
static int guard_locked(struct process_fence *fence, const char *uid, const char *cgroup, struct err *err)
{
	long old = fence_page_find(fence->page, uid);
	bool is_same = old >= 0 && strncmp(fence->page->slots[old].cgroup, cgroup, FENCE_CGROUP_LENGTH + 1) == 0;
	int r = fence_ensure(fence, err);

	if (r == 0 && !is_same)
		r = fence_page_add(fence->page, fence->fd, uid, cgroup, err);
	if (r < 0)
		return r;
	if (is_same)
		FENCE_STORE(fence->page->slots[old].ended_at_ms, 0);
	else if (old >= 0)
		FENCE_STORE(fence->page->slots[old].state, FENCE_SLOT_FREE);
	/* It owes us a look from now on; when it has looked it says itself until when it sleeps. */
	FENCE_STORE(fence->page->sleeps_until_ns, clock_ns(CLOCK_BOOTTIME));
	fence_wake(fence);
	return 0;
}

static int process_guard(struct fence_driver *driver, const char *uid, const char *cgroup, struct err *err)
{
	struct process_fence *fence = fence_of(driver);
	int r = fence_check_guard(uid, cgroup, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&fence->lock);
	r = guard_locked(fence, uid, cgroup, err);
	pthread_mutex_unlock(&fence->lock);
	return r;
}

static int process_unguard(struct fence_driver *driver, const char *uid, struct err *err)
{
	struct process_fence *fence = fence_of(driver);
	long i;

	(void)err;
	pthread_mutex_lock(&fence->lock);
	/* More than one only after a crash between two steps of guard. */
	while ((i = fence_page_find(fence->page, uid)) >= 0)
		FENCE_STORE(fence->page->slots[i].state, FENCE_SLOT_FREE);
	pthread_mutex_unlock(&fence->lock);
	return 0;
}

static void add_guard(struct fence_status *status, const struct fence_slot *slot)
{
	struct fence_guard *guard = vec_push(&status->guards);

	guard->uid = text_copy_length(slot->uid, strnlen(slot->uid, FENCE_UID_LENGTH));
	guard->cgroup = text_copy_length(slot->cgroup, strnlen(slot->cgroup, FENCE_CGROUP_LENGTH));
	guard->ended_at_ms = FENCE_LOAD(slot->ended_at_ms);
}

static int process_status(struct fence_driver *driver, struct fence_status *ret_status, struct err *err)
{
	struct process_fence *fence = fence_of(driver);
	struct fence_status status = { 0 };

	(void)err;
	pthread_mutex_lock(&fence->lock);
	status.deadline_ns = FENCE_LOAD(fence->page->deadline_ns);
	status.watchdog = fence_page_holder(fence->fd);
	for (size_t i = 0; i < fence_page_count(fence->page); i++)
		if (FENCE_LOAD(fence->page->slots[i].state) == FENCE_SLOT_USED)
			add_guard(&status, &fence->page->slots[i]);
	pthread_mutex_unlock(&fence->lock);
	*ret_status = status;
	return 0;
}

const struct fence_ops fence_process = {
	.name = "process",
	.open = process_open,
	.close = process_close,
	.now_ns = process_now_ns,
	.renew = process_renew,
	.guard = process_guard,
	.unguard = process_unguard,
	.status = process_status,
};
