#include "driver/power/sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

struct sim_power {
	pthread_mutex_t lock;
	struct map hosts;		/* struct sim_power_host by address. */
	sim_power_fn *switched;
	void *data;
};

struct sim_driver {
	struct power_driver base;
	struct sim_power *world;
	struct fault *fault;
	char *address;
};

static struct sim_driver *driver_of(struct power_driver *driver)
{
	return container_of(driver, struct sim_driver, base);
}

struct sim_power *sim_power_new(sim_power_fn *switched, void *data)
{
	struct sim_power *world = alloc(sizeof(*world));

	*world = (struct sim_power){ .switched = switched, .data = data };
	pthread_mutex_init(&world->lock, NULL);
	return world;
}

void sim_power_free(struct sim_power *world)
{
	if (!world)
		return;
	for (size_t i = 0; i < world->hosts.count; i++)
		free(world->hosts.entries[i].value);
	map_done(&world->hosts);
	pthread_mutex_destroy(&world->lock);
	free(world);
}

void sim_power_set(struct sim_power *world, const char *address, const struct sim_power_host *is)
{
	struct sim_power_host *host;

	pthread_mutex_lock(&world->lock);
	host = map_get(&world->hosts, address);
	if (!host) {
		host = alloc(sizeof(*host));
		map_put(&world->hosts, address, host);
	}
	*host = *is;
	pthread_mutex_unlock(&world->lock);
}

struct sim_power_host sim_power_get(struct sim_power *world, const char *address)
{
	struct sim_power_host is = { 0 };
	const struct sim_power_host *host;

	pthread_mutex_lock(&world->lock);
	host = map_get(&world->hosts, address);
	if (host)
		is = *host;
	pthread_mutex_unlock(&world->lock);
	return is;
}

/* ---- The driver ---- */

static int sim_open(const struct power_params *params, struct power_driver **ret_driver, struct err *err)
{
	struct sim_driver *driver;

	(void)err;
	assert(params->world);
	driver = alloc(sizeof(*driver));
	*driver = (struct sim_driver){
		.base = { &power_sim, params->limit_ms ? params->limit_ms : POWER_LIMIT_DEFAULT_MS },
		.world = params->world, .fault = params->fault, .address = text_copy(params->address),
	};
	*ret_driver = &driver->base;
	return 0;
}

static void sim_close(struct power_driver *base)
{
	struct sim_driver *driver;

	if (!base)
		return;
	driver = driver_of(base);
	free(driver->address);
	free(driver);
}

static int answer(struct sim_driver *driver, struct sim_power_host **ret_host, struct err *err)
{
	struct sim_power_host *host = map_get(&driver->world->hosts, driver->address);

	if (!host || host->is_silent)
		return err_set(err, -EHOSTUNREACH, "controller '%s' does not answer", shown(driver->address));
	if (host->refuses)
		return err_set(err, -EACCES, "controller '%s' refuses the credentials: change them", shown(driver->address));
	*ret_host = host;
	return 0;
}

static int sim_status(struct power_driver *base, enum power_state *ret_state, struct err *err)
{
	struct sim_driver *driver = driver_of(base);
	struct sim_power_host *host;
	int r;

	pthread_mutex_lock(&driver->world->lock);
	r = answer(driver, &host, err);
	if (r == 0)
		*ret_state = host->is_on ? POWER_ON : POWER_OFF;
	pthread_mutex_unlock(&driver->world->lock);
	return r;
}

static int change_locked(struct sim_driver *driver, bool is_on, bool *ret_has_changed, struct err *err)
{
	struct sim_power_host *host;
	int r = answer(driver, &host, err);

	if (r == 0)
		r = fault_step(driver->fault, "switch power", err);
	if (r < 0 || host->is_on == is_on)
		return r;
	if (host->is_stuck)
		return err_set(err, -ETIMEDOUT, "the host of controller '%s' is %s after it was switched: look at it", shown(driver->address),
			       is_on ? "off" : "on");
	host->is_on = is_on;
	*ret_has_changed = true;
	return fault_step(driver->fault, "switch power", err);
}

static int change(struct power_driver *base, bool is_on, struct err *err)
{
	struct sim_driver *driver = driver_of(base);
	bool has_changed = false;
	int r;

	pthread_mutex_lock(&driver->world->lock);
	r = change_locked(driver, is_on, &has_changed, err);
	pthread_mutex_unlock(&driver->world->lock);
	if (has_changed && driver->world->switched)
		driver->world->switched(driver->world->data, driver->address, is_on);
	return r;
}

static int sim_off(struct power_driver *base, struct err *err)
{
	return change(base, false, err);
}

static int sim_on(struct power_driver *base, struct err *err)
{
	return change(base, true, err);
}

const struct power_ops power_sim = {
	.name = "sim",
	.open = sim_open,
	.close = sim_close,
	.status = sim_status,
	.off = sim_off,
	.on = sim_on,
};
