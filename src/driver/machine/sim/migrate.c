/*
 * Moves between worlds. The stream is this: the source's world is locked, read and let go, then the destination's. Only one of them is
 * locked at a time, and nothing is while a step of the test runs.
 */
#include <errno.h>
#include <stdlib.h>

#include "driver/machine/sim/world.h"

enum { FIRST_PORT = 40000, SIM_DOWNTIME_MS = 20, SIM_TOTAL_MS = 1000 };

struct place { struct sim_machines *world; char *uid; };

struct sim_network {
	pthread_mutex_t lock;
	VEC(struct place) places;	/* Place i waits, or has waited, at port FIRST_PORT + 2 i. */
	bool is_cut;
	sim_step_fn *on_step;
	void *step_data;
};

/* The link */

struct sim_network *sim_network_new(void)
{
	struct sim_network *network = alloc(sizeof(*network));

	pthread_mutex_init(&network->lock, NULL);
	return network;
}

void sim_network_free(struct sim_network *network)
{
	if (!network)
		return;
	for (size_t i = 0; i < network->places.count; i++)
		free(network->places.items[i].uid);
	vec_done(&network->places);
	pthread_mutex_destroy(&network->lock);
	free(network);
}

void sim_network_cut(struct sim_network *network, bool is_cut)
{
	pthread_mutex_lock(&network->lock);
	network->is_cut = is_cut;
	pthread_mutex_unlock(&network->lock);
}

void sim_network_forget(struct sim_network *network, const struct sim_machines *world)
{
	pthread_mutex_lock(&network->lock);
	for (size_t i = 0; i < network->places.count; i++)
		if (network->places.items[i].world == world)
			network->places.items[i].world = NULL;
	pthread_mutex_unlock(&network->lock);
}

void sim_network_on_step(struct sim_network *network, sim_step_fn *fn, void *data)
{
	pthread_mutex_lock(&network->lock);
	network->on_step = fn;
	network->step_data = data;
	pthread_mutex_unlock(&network->lock);
}

static uint16_t add_place(struct sim_network *network, struct sim_machines *world, const char *uid)
{
	uint16_t port;

	pthread_mutex_lock(&network->lock);
	port = (uint16_t)(FIRST_PORT + 2 * network->places.count);
	*vec_push(&network->places) = (struct place){ world, text_copy(uid) };
	pthread_mutex_unlock(&network->lock);
	return port;
}

/* The machine that waits at 'port', with the lock of its world held; null: nobody does, and nothing is locked. */
static struct sim_machine *lock_waiting(struct sim_network *network, uint16_t port, struct sim_machines **ret_world)
{
	size_t index = port < FIRST_PORT ? SIZE_MAX : (size_t)(port - FIRST_PORT) / 2;
	struct sim_machine *machine = NULL;
	struct place place = { 0 };

	pthread_mutex_lock(&network->lock);
	if (index < network->places.count)
		place = network->places.items[index];
	pthread_mutex_unlock(&network->lock);
	if (!place.world)
		return NULL;
	pthread_mutex_lock(&place.world->lock);
	machine = sim_machine_find(place.world, place.uid);
	if (machine && machine->state != MACHINE_ABSENT && machine->is_incoming && machine->port == port) {
		*ret_world = place.world;
		return machine;
	}
	pthread_mutex_unlock(&place.world->lock);
	return NULL;
}

/* The destination */

int sim_migrate_in(struct machine_driver *driver, const struct machine_config *config, const struct machine_listen *listen,
		   struct machine_ports *ret_ports, struct err *err)
{
	struct sim_driver *self = sim_of(driver);
	struct sim_machine *machine;
	int r;

	if (!self->network)
		return err_set(err, -EOPNOTSUPP, "this simulated host has no network to others");
	r = sim_begin(self, "machine wait", err);
	if (r < 0)
		return r;
	machine = sim_machine_find(self->world, config->uid);
	if (machine && machine->state != MACHINE_ABSENT)
		sim_machine_end(machine, MACHINE_EXIT_HOST_OFF, NULL);
	if (machine)
		sim_machine_remove(self->world, machine);
	machine = sim_machine_add(self->world, config, true);
	machine->port = add_place(self->network, self->world, config->uid);
	*ret_ports = (struct machine_ports){
		.memory = machine->port, .disks = listen->copied && listen->copied[0] ? (uint16_t)(machine->port + 1) : 0,
	};
	return sim_end(self, 0, "machine waits", err);
}

int sim_migrate_accept(struct sim_machine *machine, struct err *err)
{
	bool is_incoming = machine->is_incoming;

	if (is_incoming && !machine->has_arrived)
		return err_set(err, -EBUSY, "machine '%s' waits for a migration, and not everything has arrived", shown(machine->uid));
	machine->state = MACHINE_RUNNING;
	machine->is_incoming = machine->has_arrived = machine->is_moved_out = false;
	sim_machine_tell(machine);
	if (is_incoming && machine->brings_agent)
		sim_machine_set_agent(machine, true);
	if (machine->is_shutting_down && machine->watch)
		sim_watch_shutdown(machine->watch);
	return 0;
}

/* The source */

/* The stream broke: who waited for the rest of it ends. */
static void break_stream(struct sim_network *network, uint16_t port)
{
	struct sim_machines *world;
	struct sim_machine *waiting = lock_waiting(network, port, &world);

	if (!waiting)
		return;
	sim_machine_end(waiting, MACHINE_EXIT_FAILED, "the stream of the migration broke");
	pthread_mutex_unlock(&world->lock);
}

static int check_link(struct sim_network *network, const struct machine_migration *migration, struct err *err)
{
	struct sim_machines *world;
	bool is_cut;

	pthread_mutex_lock(&network->lock);
	is_cut = network->is_cut;
	pthread_mutex_unlock(&network->lock);
	if (is_cut)
		return err_set(err, -ETIMEDOUT, "nothing has gone through to the destination for a while");
	if (migration->is_cancelled && *migration->is_cancelled)
		return err_set(err, -ECANCELED, "cancelled");
	if (!lock_waiting(network, migration->ports.memory, &world))
		return err_set(err, -EIO, "the destination broke the connection off");
	pthread_mutex_unlock(&world->lock);
	return 0;
}

static int take_step(struct sim_driver *self, const char *uid, const char *step, const struct machine_migration *migration, struct err *err)
{
	struct sim_network *network = self->network;
	sim_step_fn *on_step;
	void *data;

	pthread_mutex_lock(&network->lock);
	on_step = network->on_step;
	data = network->step_data;
	pthread_mutex_unlock(&network->lock);
	if (on_step)
		on_step(data, uid, step);
	if (fault_step(self->fault, step, err) < 0)
		return err->code;
	return check_link(network, migration, err);
}

static int check_source(struct machine_driver *driver, const char *uid, const struct machine_migration *migration, struct err *err)
{
	struct sim_driver *self = sim_of(driver);
	struct sim_machine *machine = sim_begin_running(driver, uid, "machine migrate", err);
	int r = 0;

	if (!machine)
		return err->code;
	if (!self->network)
		r = err_set(err, -EOPNOTSUPP, "this simulated host has no network to others");
	else if (machine->state != MACHINE_RUNNING)
		r = err_set(err, -EBUSY, "machine '%s' does not run: resume it, or move it while it is stopped", shown(uid));
	else if (migration->copied && migration->copied[0] && sim_history(self->world, uid)->snapshots.count)
		r = err_set(err, -EOPNOTSUPP, "disk '%s' has snapshots, which would be left behind", shown(migration->copied[0]));
	pthread_mutex_unlock(&self->world->lock);
	return r;
}

/* The files in the guest stand for its memory. */
static void copy_files(struct map *to, const struct map *from)
{
	for (size_t i = 0; i < from->count; i++) {
		const struct str *content = from->entries[i].value;
		struct str *copy = alloc(sizeof(*copy));

		str_append_bytes(copy, str_text(content), content->size);
		map_put(to, from->entries[i].key, copy);
	}
}

struct luggage { struct map files; bool has_agent, is_shutting_down; };

static int stop_source(struct sim_driver *self, const char *uid, struct luggage *luggage, struct err *err)
{
	struct sim_machine *machine;
	int r = 0;

	pthread_mutex_lock(&self->world->lock);
	machine = sim_machine_running(self->world, uid, err);
	if (machine && machine->state == MACHINE_RUNNING) {
		machine->state = MACHINE_PAUSED;
		machine->is_moved_out = true;
		sim_machine_tell(machine);
		copy_files(&luggage->files, &machine->files);
		luggage->has_agent = machine->has_agent;
		luggage->is_shutting_down = machine->is_shutting_down;
	} else {
		r = machine ? err_set(err, -EBUSY, "machine '%s' was paused meanwhile", shown(uid)) : err->code;
	}
	pthread_mutex_unlock(&self->world->lock);
	return r;
}

static void go_on(struct sim_driver *self, const char *uid)
{
	struct sim_machine *machine;

	pthread_mutex_lock(&self->world->lock);
	machine = sim_machine_find(self->world, uid);
	if (machine && machine->is_moved_out) {
		machine->state = MACHINE_RUNNING;
		machine->is_moved_out = false;
		sim_machine_tell(machine);
	}
	pthread_mutex_unlock(&self->world->lock);
}

static void free_files(struct map *files)
{
	for (size_t i = 0; i < files->count; i++) {
		str_done(files->entries[i].value);
		free(files->entries[i].value);
	}
	map_done(files);
}

static int arrive(struct sim_network *network, uint16_t port, struct luggage *luggage, struct err *err)
{
	struct sim_machines *world;
	struct sim_machine *waiting = lock_waiting(network, port, &world);

	if (!waiting)
		return err_set(err, -EIO, "the destination broke the connection off");
	copy_files(&waiting->files, &luggage->files);
	waiting->brings_agent |= luggage->has_agent;
	waiting->is_shutting_down = luggage->is_shutting_down;
	waiting->has_arrived = true;
	pthread_mutex_unlock(&world->lock);
	return 0;
}

static int switch_over(struct sim_driver *self, const char *uid, const struct machine_migration *migration, struct err *err)
{
	struct luggage luggage = { 0 };
	int r = stop_source(self, uid, &luggage, err);

	if (r == 0) {
		r = arrive(self->network, migration->ports.memory, &luggage, err);
		if (r < 0)
			go_on(self, uid);
	}
	free_files(&luggage.files);
	return r;
}

static void report(const struct machine_migration *migration, enum machine_migration_phase phase, uint64_t total)
{
	if (migration->report)
		migration->report(migration->data, &(struct machine_migration_progress){
			.phase = phase, .done_bytes = total, .total_bytes = total, .pass = phase == MACHINE_MIGRATION_MEMORY,
		});
}

static int stream(struct sim_driver *self, const char *uid, const struct machine_migration *migration, uint64_t memory_bytes, struct err *err)
{
	int r = take_step(self, uid, "disks", migration, err);

	if (r < 0)
		return r;
	report(migration, MACHINE_MIGRATION_DISKS, 0);
	r = take_step(self, uid, "memory", migration, err);
	if (r < 0)
		return r;
	report(migration, MACHINE_MIGRATION_MEMORY, memory_bytes);
	r = take_step(self, uid, "switch", migration, err);
	return r < 0 ? r : switch_over(self, uid, migration, err);
}

int sim_migrate_out(struct machine_driver *driver, const char *uid, const struct machine_migration *migration,
		    struct machine_migration_result *ret_result, struct err *err)
{
	struct sim_driver *self = sim_of(driver);
	struct sim_machines *world;
	struct sim_machine *waiting;
	uint64_t memory_bytes;
	int r = check_source(driver, uid, migration, err);

	if (r < 0)
		return r;
	waiting = lock_waiting(self->network, migration->ports.memory, &world);
	if (!waiting)
		return err_set(err, -ECONNREFUSED, "connect to the destination at %s port %u: nobody waits there",
			       shown(migration->address), migration->ports.memory);
	memory_bytes = waiting->config->config.memory_bytes;
	pthread_mutex_unlock(&world->lock);
	r = stream(self, uid, migration, memory_bytes, err);
	if (r < 0)
		break_stream(self->network, migration->ports.memory);
	if (r < 0)
		return r;
	*ret_result = (struct machine_migration_result){
		.downtime_ms = SIM_DOWNTIME_MS, .total_ms = SIM_TOTAL_MS, .memory_bytes = memory_bytes, .passes = 1,
	};
	return fault_step(self->fault, "machine migrated", err);
}

/* A move takes no time: there is never one left going. */
int sim_migrate_cancel(struct machine_driver *driver, const char *uid, struct err *err)
{
	struct sim_machine *machine = sim_begin_running(driver, uid, "machine migrate cancel", err);

	return machine ? sim_end(sim_of(driver), 0, "machine migration cancelled", err) : err->code;
}
