#include "driver/pages/sim/sim.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

/* What a node published last. */
struct published { struct page page; bool is_cut; };

struct sim_pages {
	pthread_mutex_t mutex;
	uint64_t (*now_ns)(void *data);
	void *data;
	struct map nodes;		/* uid as text -> struct published *, owned. */
};

struct uid { uint8_t bytes[PAGE_UID_BYTES]; };

struct sim {
	struct pages_driver base;
	struct pages_params params;
	struct sim_pages *world;
	VEC(struct uid) peers;		/* With the world locked, as the counts. */
	struct pages_counts counts;
};

struct sim_pages *sim_pages_new(uint64_t (*now_ns)(void *data), void *data)
{
	struct sim_pages *world = alloc(sizeof(*world));

	*world = (struct sim_pages){ .now_ns = now_ns, .data = data };
	pthread_mutex_init(&world->mutex, NULL);
	return world;
}

void sim_pages_free(struct sim_pages *world)
{
	if (!world)
		return;
	for (size_t i = 0; i < world->nodes.count; i++)
		free(world->nodes.entries[i].value);
	map_done(&world->nodes);
	pthread_mutex_destroy(&world->mutex);
	free(world);
}

static struct published *published_of(struct sim_pages *world, const uint8_t node[PAGE_UID_BYTES])
{
	char text[PAGE_UID_TEXT_SIZE];
	struct published *found = map_get(&world->nodes, page_uid_text(node, text));

	if (!found) {
		found = alloc(sizeof(*found));
		map_put(&world->nodes, text, found);
	}
	return found;
}

void sim_pages_cut(struct sim_pages *world, const uint8_t node[PAGE_UID_BYTES], bool is_cut)
{
	pthread_mutex_lock(&world->mutex);
	published_of(world, node)->is_cut = is_cut;
	pthread_mutex_unlock(&world->mutex);
}

static struct sim *lock(struct pages_driver *driver)
{
	struct sim *sim = container_of(driver, struct sim, base);

	pthread_mutex_lock(&sim->world->mutex);
	return sim;
}

static void unlock(struct sim *sim)
{
	pthread_mutex_unlock(&sim->world->mutex);
}

static int sim_open(const struct pages_params *params, struct pages_driver **ret_driver, struct err *err)
{
	struct sim *sim;
	int r = pages_check_params(params, err);

	if (r < 0)
		return r;
	assert(params->world);
	sim = alloc(sizeof(*sim));
	*sim = (struct sim){ .base.ops = &pages_sim, .params = *params, .world = params->world };
	*ret_driver = &sim->base;
	return 0;
}

static void sim_close(struct pages_driver *driver)
{
	struct sim *sim = container_of(driver, struct sim, base);

	if (!driver)
		return;
	vec_done(&sim->peers);
	free(sim);
}

static int sim_set_peers(struct pages_driver *driver, const struct pages_peer *peers, size_t count, struct err *err)
{
	struct sim *sim;
	int r = pages_check_count(count, err);

	if (r < 0)
		return r;
	sim = lock(driver);
	sim->peers.count = 0;
	for (size_t i = 0; i < count; i++)
		memcpy(vec_push(&sim->peers)->bytes, peers[i].node, PAGE_UID_BYTES);
	unlock(sim);
	return 0;
}

static int sim_publish(struct pages_driver *driver, struct err *err)
{
	struct sim *sim = lock(driver);
	struct published *published = published_of(sim->world, sim->params.node);
	int r = published->is_cut ? -ENETUNREACH : page_read(sim->params.own, &published->page);

	sim->counts.sent += r == 0;
	sim->counts.send_failures += r < 0;
	unlock(sim);
	return r < 0 ? err_set(err, r, "telemetry: the page cannot be published: %m") : 0;
}

static bool is_peer(const struct sim *sim, const uint8_t node[PAGE_UID_BYTES])
{
	if (memcmp(node, sim->params.node, PAGE_UID_BYTES) == 0)
		return false;
	for (size_t i = 0; i < sim->peers.count; i++)
		if (memcmp(node, sim->peers.items[i].bytes, PAGE_UID_BYTES) == 0)
			return true;
	return false;
}

static int sim_read(struct pages_driver *driver, const uint8_t node[PAGE_UID_BYTES], enum pages_part part, struct page *ret_page,
		    uint64_t *ret_age_ms, struct err *err)
{
	struct sim *sim = lock(driver);
	const struct published *published = is_peer(sim, node) ? published_of(sim->world, node) : NULL;
	bool is_there = published && published->page.size;

	if (is_there) {
		*ret_age_ms = (sim->world->now_ns(sim->world->data) - published->page.host.stamp_ns) / 1000000;
		if (part == PAGES_HOST)
			ret_page->host = published->page.host;
		else
			page_copy(ret_page, &published->page);
		sim->counts.received++;
	}
	unlock(sim);
	return is_there ? 0 : pages_unknown(node, err);
}

static void sim_counts(struct pages_driver *driver, struct pages_counts *ret_counts)
{
	struct sim *sim = lock(driver);

	*ret_counts = sim->counts;
	unlock(sim);
}

const struct pages_ops pages_sim = {
	.name = "sim",
	.open = sim_open,
	.close = sim_close,
	.set_peers = sim_set_peers,
	.publish = sim_publish,
	.read = sim_read,
	.counts = sim_counts,
};
