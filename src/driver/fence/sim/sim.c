#include "driver/fence/sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"

#define MS UINT64_C(1000000)

struct sim_fence {
	pthread_mutex_t lock;
	size_t reference_count;		/* The owner's, and one for each message under way. */
	struct loop *loop;		/* Null: the owner has freed it. */
	struct loop_source *timer;	/* Null: it sleeps until it is woken. */
	sim_fence_end_fn *end;
	void *data;
	struct fence_status state;	/* Its 'watchdog' counts the processes there were. */
	pid_t last_watchdog;
	bool is_open, cannot_start;
};

struct sim_driver {
	struct fence_driver base;
	struct sim_fence *world;
	struct fault *fault;
};

static struct sim_driver *driver_of(struct fence_driver *driver)
{
	return container_of(driver, struct sim_driver, base);
}

/* ---- The watchdog ---- */

static uint64_t now_ns(const struct sim_fence *world)
{
	return loop_now_ms(world->loop) * MS;
}

static void unref(struct sim_fence *world)
{
	bool is_last;

	pthread_mutex_lock(&world->lock);
	is_last = --world->reference_count == 0;
	pthread_mutex_unlock(&world->lock);
	if (!is_last)
		return;
	fence_status_done(&world->state);
	pthread_mutex_destroy(&world->lock);
	free(world);
}

static void end_all(struct sim_fence *world)
{
	for (size_t i = 0; i < world->state.guards.count; i++) {
		struct fence_guard *guard = &world->state.guards.items[i];

		if (world->end(world->data, guard->uid) && guard->ended_at_ms == 0)
			guard->ended_at_ms = loop_wall_ms(world->loop);
	}
}

static void on_timer(void *data);

/* Sleeps until the deadline, or a while when it has passed. */
static void sleep_on(struct sim_fence *world)
{
	uint64_t now = now_ns(world), deadline = world->state.deadline_ns;

	if (world->state.watchdog && world->state.guards.count)
		loop_add_timer(world->loop, deadline > now ? (deadline - now + MS - 1) / MS : SIM_FENCE_AGAIN_MS, on_timer, world, &world->timer);
}

static void work(struct sim_fence *world)
{
	if (world->state.watchdog && now_ns(world) >= world->state.deadline_ns)
		end_all(world);
	sleep_on(world);
}

static void on_timer(void *data)
{
	struct sim_fence *world = data;

	pthread_mutex_lock(&world->lock);
	work(world);
	pthread_mutex_unlock(&world->lock);
}

static void drop_wake(void *data)
{
	unref(data);
}

static void on_wake(void *data)
{
	struct sim_fence *world = data;

	pthread_mutex_lock(&world->lock);
	if (world->loop) {
		loop_remove(world->timer);
		work(world);
	}
	pthread_mutex_unlock(&world->lock);
	unref(world);
}

/* Operations come from any thread, timers belong to the loop's. */
static void wake(struct sim_fence *world)
{
	world->reference_count++;
	loop_post(world->loop, on_wake, drop_wake, world);
}

static int ensure(struct sim_fence *world, struct err *err)
{
	if (world->state.watchdog)
		return 0;
	if (world->cannot_start)
		return err_set(err, -EIO, "instances with 'ha: restart' cannot run here: the watchdog cannot be started");
	world->state.watchdog = ++world->last_watchdog;
	wake(world);
	return 0;
}

struct sim_fence *sim_fence_new(struct loop *loop, sim_fence_end_fn *end, void *data)
{
	struct sim_fence *world = alloc(sizeof(*world));

	*world = (struct sim_fence){ .reference_count = 1, .loop = loop, .end = end, .data = data };
	pthread_mutex_init(&world->lock, NULL);
	return world;
}

void sim_fence_free(struct sim_fence *world)
{
	if (!world)
		return;
	pthread_mutex_lock(&world->lock);
	loop_remove(world->timer);
	world->loop = NULL;
	pthread_mutex_unlock(&world->lock);
	unref(world);
}

void sim_fence_kill(struct sim_fence *world)
{
	pthread_mutex_lock(&world->lock);
	world->state.watchdog = 0;
	loop_remove(world->timer);
	pthread_mutex_unlock(&world->lock);
}

void sim_fence_set_can_start(struct sim_fence *world, bool can_start)
{
	pthread_mutex_lock(&world->lock);
	world->cannot_start = !can_start;
	pthread_mutex_unlock(&world->lock);
}

/* ---- The driver: each operation runs under the world's lock, so a crash is at one of its steps. ---- */

static int open_locked(struct sim_fence *world, const struct fence_params *params, struct err *err)
{
	int r = fault_step(params->fault, "open fence", err);
	struct err ignored;

	if (r == 0 && world->is_open)
		r = err_set(err, -EBUSY, "the fence is another daemon's: end that one first");
	if (r < 0)
		return r;
	if (world->state.guards.count)
		ensure(world, &ignored);		/* renew says why not. */
	world->is_open = true;
	return 0;
}

static int sim_open(const struct fence_params *params, struct fence_driver **ret_driver, struct err *err)
{
	struct sim_fence *world = params->world;
	struct sim_driver *driver;
	int r;

	assert(world);
	pthread_mutex_lock(&world->lock);
	r = open_locked(world, params, err);
	pthread_mutex_unlock(&world->lock);
	if (r < 0)
		return r;
	driver = alloc(sizeof(*driver));
	*driver = (struct sim_driver){ .base.ops = &fence_sim, .world = world, .fault = params->fault };
	*ret_driver = &driver->base;
	return 0;
}

static void sim_close(struct fence_driver *base)
{
	struct sim_driver *driver;

	if (!base)
		return;
	driver = driver_of(base);
	pthread_mutex_lock(&driver->world->lock);
	driver->world->is_open = false;
	pthread_mutex_unlock(&driver->world->lock);
	free(driver);
}

static uint64_t sim_now_ns(struct fence_driver *base)
{
	return now_ns(driver_of(base)->world);
}

static int renew_locked(struct sim_driver *driver, uint64_t deadline_ns, struct err *err)
{
	struct sim_fence *world = driver->world;
	int r = fault_step(driver->fault, "renew fence", err);

	if (r == 0 && world->state.guards.count)
		r = ensure(world, err);
	if (r < 0)
		return r;
	if (deadline_ns > world->state.deadline_ns)
		world->state.deadline_ns = deadline_ns;
	return fault_step(driver->fault, "renew fence", err);
}

static int sim_renew(struct fence_driver *base, uint64_t deadline_ns, struct err *err)
{
	struct sim_driver *driver = driver_of(base);
	int r = fence_check_deadline(deadline_ns, sim_now_ns(base), err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&driver->world->lock);
	r = renew_locked(driver, deadline_ns, err);
	pthread_mutex_unlock(&driver->world->lock);
	return r;
}

static struct fence_guard *find(struct sim_fence *world, const char *uid)
{
	return (struct fence_guard *)fence_status_find(&world->state, uid);
}

static int guard_locked(struct sim_driver *driver, const char *uid, const char *cgroup, struct err *err)
{
	struct sim_fence *world = driver->world;
	struct fence_guard *guard = find(world, uid);
	int r = fault_step(driver->fault, "guard", err);

	if (r == 0)
		r = ensure(world, err);
	if (r == 0 && !guard && world->state.guards.count == FENCE_GUARDS_MAX)
		r = err_set(err, -E2BIG, "instance '%s' cannot be guarded: %d are, which is the most", uid, FENCE_GUARDS_MAX);
	if (r < 0)
		return r;
	if (!guard) {
		guard = vec_push(&world->state.guards);
		guard->uid = text_copy(uid);
	}
	text_replace(&guard->cgroup, cgroup);
	guard->ended_at_ms = 0;
	wake(world);
	return fault_step(driver->fault, "guard", err);
}

static int sim_guard(struct fence_driver *base, const char *uid, const char *cgroup, struct err *err)
{
	struct sim_driver *driver = driver_of(base);
	int r = fence_check_guard(uid, cgroup, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&driver->world->lock);
	r = guard_locked(driver, uid, cgroup, err);
	pthread_mutex_unlock(&driver->world->lock);
	return r;
}

static int unguard_locked(struct sim_driver *driver, const char *uid, struct err *err)
{
	struct fence_guard *guard = find(driver->world, uid);
	int r = fault_step(driver->fault, "unguard", err);

	if (r < 0)
		return r;
	if (guard) {
		free(guard->uid);
		free(guard->cgroup);
		vec_remove(&driver->world->state.guards, (size_t)(guard - driver->world->state.guards.items));
	}
	return fault_step(driver->fault, "unguard", err);
}

static int sim_unguard(struct fence_driver *base, const char *uid, struct err *err)
{
	struct sim_driver *driver = driver_of(base);
	int r;

	pthread_mutex_lock(&driver->world->lock);
	r = unguard_locked(driver, uid, err);
	pthread_mutex_unlock(&driver->world->lock);
	return r;
}

static int sim_status(struct fence_driver *base, struct fence_status *ret_status, struct err *err)
{
	struct sim_driver *driver = driver_of(base);
	const struct fence_status *state = &driver->world->state;
	struct fence_status status;

	(void)err;
	pthread_mutex_lock(&driver->world->lock);
	status = (struct fence_status){ .deadline_ns = state->deadline_ns, .watchdog = state->watchdog };
	for (size_t i = 0; i < state->guards.count; i++) {
		const struct fence_guard *guard = &state->guards.items[i];

		*vec_push(&status.guards) = (struct fence_guard){
			.uid = text_copy(guard->uid), .cgroup = text_copy(guard->cgroup), .ended_at_ms = guard->ended_at_ms,
		};
	}
	pthread_mutex_unlock(&driver->world->lock);
	*ret_status = status;
	return 0;
}

const struct fence_ops fence_sim = {
	.name = "sim",
	.open = sim_open,
	.close = sim_close,
	.now_ns = sim_now_ns,
	.renew = sim_renew,
	.guard = sim_guard,
	.unguard = sim_unguard,
	.status = sim_status,
};
