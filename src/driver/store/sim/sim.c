#include "driver/store/sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"

struct sim_link {
	struct store_driver driver;
	struct sim_store *world;
	bool is_cut;
	uint32_t lag_ms, lost_permille;
	void (*changed)(void *data);	/* Null: nobody listens. */
	void *data;
};

struct sim_store {
	struct loop *loop;
	struct store_driver *inner;
	struct rng rng;
	VEC(struct sim_link *) listening;
	struct loop_source *lease_timer;
	int64_t lease_due_ms;
};

static struct sim_link *link_of(struct store_driver *driver)
{
	return container_of(driver, struct sim_link, driver);
}

static struct store_driver *inner_of(struct store_driver *driver)
{
	return link_of(driver)->world->inner;
}

static int64_t now_ms(const struct sim_store *world)
{
	return (int64_t)loop_now_ms(world->loop);
}

/* ---- Links ---- */

struct sim_link *sim_link_new(struct sim_store *world)
{
	struct sim_link *link = alloc(sizeof(*link));

	*link = (struct sim_link){ .driver.ops = &store_sim, .world = world };
	return link;
}

void sim_link_free(struct sim_link *link)
{
	assert(!link || !link->changed);
	free(link);
}

struct store_driver *sim_link_driver(struct sim_link *link)
{
	return &link->driver;
}

void sim_link_cut(struct sim_link *link, bool is_cut)
{
	bool was_cut = link->is_cut;

	link->is_cut = is_cut;
	if (was_cut && !is_cut && link->changed)
		link->changed(link->data);
}

bool sim_link_is_cut(const struct sim_link *link) { return link->is_cut; }

void sim_link_set_lag(struct sim_link *link, uint32_t max_ms) { link->lag_ms = max_ms; }

void sim_link_lose_answers(struct sim_link *link, uint32_t permille) { link->lost_permille = permille; }

static int check_reach(const struct sim_link *link, struct err *err)
{
	return link->is_cut ? err_set(err, -EAGAIN, "the store cannot be reached: the link to it is cut") : 0;
}

/* All who listen but 'self', which knows already, are called. */
static void tell_others(struct sim_store *world, const struct sim_link *self)
{
	for (size_t i = 0; i < world->listening.count; i++) {
		struct sim_link *link = world->listening.items[i];

		if (link != self && !link->is_cut)
			link->changed(link->data);
	}
}

/* ---- The port ---- */

static int sim_open(const struct store_params *params, struct store_driver **ret_driver, struct err *err)
{
	(void)params, (void)ret_driver;
	return err_set(err, -EINVAL, "a simulated store is opened on a link to it (store_params.shared)");
}

static void sim_close(struct store_driver *driver)
{
	(void)driver;
}

static void fail_all(struct store_result *results, size_t count, const struct err *err)
{
	for (size_t i = 0; i < count; i++)
		results[i] = (struct store_result){ .err = *err };
}

static int sim_commit(struct store_driver *driver, struct store_txn *const *txns, size_t count, struct store_result *results,
		      struct store_events *events, struct err *err)
{
	struct sim_link *link = link_of(driver);
	int r = check_reach(link, err);

	(void)events;				/* They are read from the history. */
	if (r == 0)
		r = store_memory.commit(link->world->inner, txns, count, results, NULL, err);
	if (r == 0)
		tell_others(link->world, link);
	if (r == 0 && link->lost_permille && rng_below(&link->world->rng, 1000) < link->lost_permille)
		r = err_set(err, -ETIMEDOUT, "the store has not answered: whether this was stored is not known");
	if (r < 0)
		fail_all(results, count, err);
	return r;
}

static int sim_range(struct store_driver *driver, const char *prefix, store_kv_fn *fn, void *data, uint64_t *ret_revision, struct err *err)
{
	int r = check_reach(link_of(driver), err);

	return r < 0 ? r : store_memory.range(inner_of(driver), prefix, fn, data, ret_revision, err);
}

static int sim_history(struct store_driver *driver, const char *prefix, uint64_t after_revision, struct store_events *events, struct err *err)
{
	int r = check_reach(link_of(driver), err);

	return r < 0 ? r : store_memory.history(inner_of(driver), prefix, after_revision, events, err);
}

/* ---- Leases ---- */

static void arm(struct sim_store *world, int64_t due_ms);

static void end_leases(void *data)
{
	struct sim_store *world = data;
	struct store_events events = { 0 };
	int64_t next_ms;
	struct err err;

	store_memory.lease_end(world->inner, 0, now_ms(world), &events, &next_ms, &err);
	if (next_ms < INT64_MAX)
		arm(world, next_ms);
	if (events.items.count)
		tell_others(world, NULL);
	store_events_done(&events);
}

static void arm(struct sim_store *world, int64_t due_ms)
{
	if (world->lease_timer && world->lease_due_ms <= due_ms)
		return;
	loop_remove(world->lease_timer);
	world->lease_due_ms = due_ms;
	loop_add_timer(world->loop, (uint64_t)(due_ms - now_ms(world)), end_leases, world, &world->lease_timer);
}

static int sim_lease_grant(struct store_driver *driver, uint64_t ttl_ms, int64_t ignored_ms, uint64_t *ret_lease, struct err *err)
{
	struct sim_store *world = link_of(driver)->world;
	int r = check_reach(link_of(driver), err);

	(void)ignored_ms;			/* A host's clock. */
	if (r == 0)
		r = store_memory.lease_grant(world->inner, ttl_ms, now_ms(world), ret_lease, err);
	if (r == 0)
		arm(world, now_ms(world) + (int64_t)ttl_ms);
	return r;
}

static int sim_lease_renew(struct store_driver *driver, uint64_t lease, int64_t ignored_ms, struct err *err)
{
	struct sim_store *world = link_of(driver)->world;
	int r = check_reach(link_of(driver), err);

	(void)ignored_ms;
	return r < 0 ? r : store_memory.lease_renew(world->inner, lease, now_ms(world), err);
}

static int sim_lease_end(struct store_driver *driver, uint64_t lease, int64_t ignored_ms, struct store_events *events, int64_t *ret_next_ms,
			 struct err *err)
{
	struct sim_link *link = link_of(driver);
	int r = check_reach(link, err);

	(void)ignored_ms;
	if (ret_next_ms)
		*ret_next_ms = INT64_MAX;	/* It ends them by itself. */
	if (r == 0 && lease)
		r = store_memory.lease_end(link->world->inner, lease, now_ms(link->world), events, NULL, err);
	if (r == 0 && events->items.count)
		tell_others(link->world, link);
	return r;
}

static int sim_compact(struct store_driver *driver, uint64_t revision, struct err *err)
{
	int r = check_reach(link_of(driver), err);

	return r < 0 ? r : store_memory.compact(inner_of(driver), revision, err);
}

static void stop_listening(struct sim_link *link)
{
	for (size_t i = 0; i < link->world->listening.count; i++)
		if (link->world->listening.items[i] == link) {
			vec_remove(&link->world->listening, i);
			return;
		}
}

static void sim_listen(struct store_driver *driver, void (*changed)(void *data), void *data)
{
	struct sim_link *link = link_of(driver);

	stop_listening(link);
	link->changed = changed;
	link->data = data;
	if (changed)
		*vec_push(&link->world->listening) = link;
}

static uint32_t sim_lag_ms(struct store_driver *driver)
{
	const struct sim_link *link = link_of(driver);

	return link->lag_ms ? (uint32_t)rng_below(&link->world->rng, link->lag_ms + 1) : 0;
}

const struct store_ops store_sim = {
	.name = "sim",
	.open = sim_open,
	.close = sim_close,
	.commit = sim_commit,
	.range = sim_range,
	.history = sim_history,
	.lease_grant = sim_lease_grant,
	.lease_renew = sim_lease_renew,
	.lease_end = sim_lease_end,
	.compact = sim_compact,
	.listen = sim_listen,
	.lag_ms = sim_lag_ms,
};

/* ---- The world ---- */

struct sim_store *sim_store_new(struct loop *loop, uint64_t seed)
{
	struct sim_store *world = alloc(sizeof(*world));
	struct err err;

	world->loop = loop;
	rng_init(&world->rng, seed);
	if (store_memory.open(&(struct store_params){ 0 }, &world->inner, &err) < 0)
		abort();			/* It cannot fail. */
	return world;
}

struct store_driver *sim_store_driver(struct sim_store *world)
{
	return world->inner;
}

void sim_store_free(struct sim_store *world)
{
	if (!world)
		return;
	loop_remove(world->lease_timer);
	vec_done(&world->listening);
	store_memory.close(world->inner);
	free(world);
}
