#include "app/simulate/host.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/pool.h"

/* ---- What all have in common ---- */

void sim_house_init(struct sim_house *house, uint64_t seed, int64_t start_ms)
{
	struct err err;

	*house = (struct sim_house){ .shared = sim_volumes_new(), .network = sim_network_new() };
	rng_init(&house->rng, seed);
	if (loop_new(LOOP_CLOCK_VIRTUAL, start_ms, &house->loop, &err) < 0)
		abort();
	house->store = sim_store_new(house->loop, rng_next(&house->rng));
}

void sim_house_done(struct sim_house *house)
{
	sim_store_free(house->store);
	sim_volumes_free(house->shared);
	sim_network_free(house->network);
	loop_free(house->loop);
	witness_done(&house->witness);
}

/* ---- The world ---- */

static int64_t clock_of(void *data)
{
	const struct sim_host *host = data;

	return loop_wall_ms(host->house->loop) + host->skew_ms;
}

static bool end_guest(void *data, const char *uid)
{
	struct sim_host *host = data;

	if (!sim_machines_runs(host->machines, uid))
		return false;
	sim_machines_exit(host->machines, uid, MACHINE_EXIT_FAILED, "ended by the watchdog");
	return true;
}

static void make_world(struct sim_host *host)
{
	host->machines = sim_machines_new();
	host->fabric = sim_fabric_new();
	host->fence = sim_fence_new(host->house->loop, end_guest, host);
	sim_machines_set_clock(host->machines, clock_of, host);
	sim_machines_on_change(host->machines, witness_see, &host->witness);
	snprintf(host->boot_id, sizeof(host->boot_id), "boot-%u", ++host->boots);
}

static void end_world(struct sim_host *host)
{
	sim_network_forget(host->house->network, host->machines);
	sim_machines_free(host->machines);
	sim_fabric_free(host->fabric);
	sim_fence_free(host->fence);
}

static int open_pool(void *data, const struct pool *pool, struct volume_driver **ret_driver, char **ret_path, struct err *err)
{
	struct sim_host *host = data;
	struct volume_params params = { .world = pool->spec.shared ? host->house->shared : host->volumes, .fault = &host->fault, .directory = "/pool" };

	*ret_path = text_copy("/pool");
	return volume_sim.open(&params, ret_driver, err);
}

static int destroy_pool(void *data, const struct pool *pool, struct err *err)
{
	(void)data, (void)pool, (void)err;
	return 0;
}

void sim_host_init(struct sim_host *host, struct sim_house *house, unsigned number, const char *directory, int64_t cpus, uint64_t memory)
{
	*host = (struct sim_host){
		.house = house, .witness = { &house->witness, number }, .directory = text_copy(directory), .volumes = sim_volumes_new(),
		.link = sim_link_new(house->store), .pools = { open_pool, destroy_pool, host },
		.inventory = { .cpus = cpus, .memory = memory, .hostname = text_format("node-%u", number) },
	};
	snprintf(host->uid, sizeof(host->uid), "node-%u", number);
	snprintf(host->tag, sizeof(host->tag), "%06u", number % 1000000);
	rng_init(&host->fault.rng, rng_next(&house->rng));
	make_world(host);
}

void sim_host_done(struct sim_host *host)
{
	assert(!sim_host_is_open(host));
	end_world(host);
	sim_volumes_free(host->volumes);
	sim_link_free(host->link);
	free(host->inventory.hostname);
	free(host->directory);
}

void sim_host_reboot(struct sim_host *host)
{
	assert(!sim_host_is_open(host));
	end_world(host);
	make_world(host);
}

void sim_host_jump(struct sim_host *host, int64_t ms)
{
	host->skew_ms += ms;
	if (host->loop)
		loop_set_wall(host->loop, clock_of(host));
}

/* ---- For its daemon ---- */

static uint32_t lag_of(void *data)
{
	const struct sim_host *host = data;

	return host->lag_ms ? (uint32_t)rng_below(&host->house->rng, host->lag_ms + 1) : 0;
}

static int open_drivers(struct sim_host *host, struct err *err)
{
	struct machine_params machine = { .world = host->machines, .fault = &host->fault, .directory = host->directory,
					  .network = host->house->network };
	struct volume_params volume = { .world = host->volumes, .fault = &host->fault, .directory = host->directory };
	struct fabric_params fabric = { .world = host->fabric, .fault = &host->fault, .node_tag = host->tag };
	struct fence_params fence = { .world = host->fence };
	struct store_params store = { .shared = sim_link_driver(host->link) };
	int r = store_open(&store_sim, &store, host->loop, &host->store, err);

	if (r == 0)
		r = machine_sim.open(&machine, &host->machine_driver, err);
	if (r == 0)
		r = volume_sim.open(&volume, &host->volume_driver, err);
	if (r == 0)
		r = fabric_sim.open(&fabric, &host->fabric_driver, err);
	if (r == 0)
		r = fence_sim.open(&fence, &host->fence_driver, err);
	return r;
}

int sim_host_open(struct sim_host *host, struct err *err)
{
	int r;

	assert(!sim_host_is_open(host));
	host->loop = loop_new_child(host->house->loop, clock_of(host));
	host->work = work_new(host->loop, 0);
	work_set_lag(host->work, lag_of, host);
	r = open_drivers(host, err);
	if (r < 0)
		sim_host_close(host);
	return r;
}

void sim_host_drop_work(struct sim_host *host)
{
	work_free(host->work);
	host->work = NULL;
}

void sim_host_close(struct sim_host *host)
{
	sim_host_drop_work(host);
	if (host->store)
		store_abandon(host->store);
	if (host->machine_driver)
		host->machine_driver->ops->close(host->machine_driver);
	if (host->volume_driver)
		host->volume_driver->ops->close(host->volume_driver);
	if (host->fabric_driver)
		host->fabric_driver->ops->close(host->fabric_driver);
	if (host->fence_driver)
		host->fence_driver->ops->close(host->fence_driver);
	loop_free(host->loop);
	host->store = NULL;
	host->machine_driver = NULL;
	host->volume_driver = NULL;
	host->fabric_driver = NULL;
	host->fence_driver = NULL;
	host->loop = NULL;
}

bool sim_host_is_open(const struct sim_host *host)
{
	return host->loop != NULL;
}
