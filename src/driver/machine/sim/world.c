#include "driver/machine/sim/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { FIRST_PID = 4194305 };		/* Beyond what Linux hands out, so that nobody signals it. */

/* Life of the world */

static void history_free(struct sim_history *history)
{
	for (size_t i = 0; i < history->snapshots.count; i++)
		free(history->snapshots.items[i].name);
	vec_done(&history->snapshots);
	free(history);
}

struct sim_machines *sim_machines_new(void)
{
	struct sim_machines *world = alloc(sizeof(*world));

	pthread_mutex_init(&world->lock, NULL);
	world->next_pid = FIRST_PID;
	return world;
}

void sim_machines_free(struct sim_machines *world)
{
	if (!world)
		return;
	while (world->machines.count)
		sim_machine_remove(world, world->machines.entries[0].value);
	for (size_t i = 0; i < world->histories.count; i++)
		history_free(world->histories.entries[i].value);
	map_done(&world->machines);
	map_done(&world->histories);
	pthread_mutex_destroy(&world->lock);
	free(world);
}

int64_t sim_now_ms(const struct sim_machines *world)
{
	return world->clock ? world->clock(world->clock_data) : clock_wall_ms();
}

/* Machines */

struct sim_machine *sim_machine_find(struct sim_machines *world, const char *uid)
{
	return map_get(&world->machines, uid);
}

struct sim_machine *sim_machine_running(struct sim_machines *world, const char *uid, struct err *err)
{
	struct sim_machine *machine = sim_machine_find(world, uid);

	if (machine && machine->state != MACHINE_ABSENT)
		return machine;
	err_set(err, -ENOENT, "machine '%s' does not run", shown(uid));
	return NULL;
}

struct sim_machine *sim_machine_add(struct sim_machines *world, const struct machine_config *config, bool is_incoming)
{
	struct sim_machine *machine = alloc(sizeof(*machine));

	*machine = (struct sim_machine){
		.world = world, .uid = text_copy(config->uid), .config = sim_config_copy(config),
		.state = is_incoming ? MACHINE_PAUSED : MACHINE_RUNNING, .is_incoming = is_incoming,
		.pid = world->next_pid++, .started_at = sim_now_ms(world), .console = { -1, -1 },
	};
	map_put(&world->machines, config->uid, machine);
	sim_machine_tell(machine);
	return machine;
}

static void tell(struct sim_machine *machine, bool is_running)
{
	if (machine->world->on_change && machine->is_told != is_running)
		machine->world->on_change(machine->world->change_data, &machine->config->config, is_running);
	machine->is_told = is_running;
}

void sim_machine_tell(struct sim_machine *machine)
{
	tell(machine, machine->state != MACHINE_ABSENT && !machine->is_incoming && !machine->is_moved_out);
}

void sim_machine_tell_end(struct sim_machine *machine)
{
	tell(machine, false);
}

void sim_machine_remove(struct sim_machines *world, struct sim_machine *machine)
{
	sim_machine_tell_end(machine);
	map_remove(&world->machines, machine->uid);
	for (size_t i = 0; i < machine->files.count; i++) {
		str_done(machine->files.entries[i].value);
		free(machine->files.entries[i].value);
	}
	map_done(&machine->files);
	closep(&machine->console[0]);
	closep(&machine->console[1]);
	sim_config_free(machine->config);
	free(machine->uid);
	free(machine);
}

struct sim_history *sim_history(struct sim_machines *world, const char *uid)
{
	struct sim_history *history = map_get(&world->histories, uid);

	if (!history) {
		history = alloc(sizeof(*history));
		map_put(&world->histories, uid, history);
	}
	return history;
}

struct sim_snapshot *sim_snapshot_find(struct sim_history *history, const char *name, size_t *ret_index)
{
	for (size_t i = 0; i < history->snapshots.count; i++) {
		if (!text_equal(history->snapshots.items[i].name, name))
			continue;
		if (ret_index)
			*ret_index = i;
		return &history->snapshots.items[i];
	}
	return NULL;
}

/* Changes of state, told to the watch */

void sim_machine_emit(struct sim_machine *machine, enum machine_event_kind kind, enum machine_exit cause, const char *text)
{
	struct machine_event event = { .kind = kind, .cause = cause, .exit_code = cause == MACHINE_EXIT_GUEST_OFF ? 0 : 1 };

	if (!machine->watch)
		return;
	if (text)
		text_shown(text, sizeof(event.text) - 4, event.text, sizeof(event.text));
	sim_watch_post(machine->watch, &event);
}

void sim_machine_end(struct sim_machine *machine, enum machine_exit cause, const char *text)
{
	sim_machine_tell_end(machine);
	machine->state = MACHINE_ABSENT;
	machine->has_agent = false;
	closep(&machine->console[1]);
	machine->console[1] = -1;
	sim_machine_emit(machine, MACHINE_EVENT_EXITED, cause, text);
	machine->watch = NULL;		/* "The watch is over"; unwatch frees it. */
}

void sim_machine_pause(struct sim_machine *machine)
{
	if (machine->state != MACHINE_RUNNING)
		return;
	machine->state = MACHINE_PAUSED;
	sim_machine_emit(machine, MACHINE_EVENT_PAUSED, 0, NULL);
}

void sim_machine_resume(struct sim_machine *machine)
{
	if (machine->state != MACHINE_PAUSED)
		return;
	machine->state = MACHINE_RUNNING;
	machine->has_io_error = false;
	sim_machine_emit(machine, MACHINE_EVENT_RESUMED, 0, NULL);
	if (machine->is_shutting_down && machine->watch)
		sim_watch_shutdown(machine->watch);
}

void sim_machine_set_agent(struct sim_machine *machine, bool is_up)
{
	if (machine->state == MACHINE_ABSENT || machine->has_agent == is_up)
		return;
	machine->has_agent = is_up;
	sim_machine_emit(machine, is_up ? MACHINE_EVENT_AGENT_UP : MACHINE_EVENT_AGENT_DOWN, 0, NULL);
}

void sim_machine_print(struct sim_machine *machine, const char *text)
{
	const char *path = machine->config->config.console_log;
	size_t size = strlen(text);
	auto_close int fd = -1;

	if (!path)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, size) != (ssize_t)size)
		return;			/* A console nobody can store is lost, as on a real host. */
}

/* The strings to pull */

void sim_machines_set_clock(struct sim_machines *world, sim_clock_fn *fn, void *data)
{
	pthread_mutex_lock(&world->lock);
	world->clock = fn;
	world->clock_data = data;
	pthread_mutex_unlock(&world->lock);
}

void sim_machines_on_snapshot(struct sim_machines *world, sim_snapshot_fn *fn, void *data)
{
	pthread_mutex_lock(&world->lock);
	world->on_snapshot = fn;
	world->snapshot_data = data;
	pthread_mutex_unlock(&world->lock);
}

static size_t count_machines(struct sim_machines *world, bool is_absent)
{
	size_t count = 0;

	pthread_mutex_lock(&world->lock);
	for (size_t i = 0; i < world->machines.count; i++) {
		const struct sim_machine *machine = world->machines.entries[i].value;

		count += (machine->state == MACHINE_ABSENT) == is_absent;
	}
	pthread_mutex_unlock(&world->lock);
	return count;
}

size_t sim_machines_count(struct sim_machines *world)
{
	return count_machines(world, false);
}

size_t sim_machines_leftovers(struct sim_machines *world)
{
	return count_machines(world, true);
}

const struct machine_config *sim_machines_config(struct sim_machines *world, const char *uid)
{
	struct sim_machine *machine;

	pthread_mutex_lock(&world->lock);
	machine = sim_machine_find(world, uid);
	pthread_mutex_unlock(&world->lock);
	return machine ? &machine->config->config : NULL;
}

/* The machine, with the lock held, when it is running or paused; else null and unlocked. */
static struct sim_machine *lock_running(struct sim_machines *world, const char *uid)
{
	struct sim_machine *machine;

	pthread_mutex_lock(&world->lock);
	machine = sim_machine_find(world, uid);
	if (machine && machine->state != MACHINE_ABSENT)
		return machine;
	pthread_mutex_unlock(&world->lock);
	return NULL;
}

void sim_machines_on_change(struct sim_machines *world, sim_change_fn *fn, void *data)
{
	world->on_change = fn;
	world->change_data = data;
}

bool sim_machines_runs(struct sim_machines *world, const char *uid)
{
	const struct sim_machine *machine;
	bool runs;

	pthread_mutex_lock(&world->lock);
	machine = sim_machine_find(world, uid);
	runs = machine && machine->state != MACHINE_ABSENT;
	pthread_mutex_unlock(&world->lock);
	return runs;
}

void sim_machines_exit(struct sim_machines *world, const char *uid, enum machine_exit cause, const char *text)
{
	struct sim_machine *machine = lock_running(world, uid);

	if (!machine)
		return;
	sim_machine_end(machine, cause, text);
	pthread_mutex_unlock(&world->lock);
}

void sim_machines_set_agent(struct sim_machines *world, const char *uid, bool is_up)
{
	struct sim_machine *machine = lock_running(world, uid);

	if (!machine)
		return;
	sim_machine_set_agent(machine, is_up);
	pthread_mutex_unlock(&world->lock);
}

void sim_machines_io_error(struct sim_machines *world, const char *uid, const char *text)
{
	struct sim_machine *machine = lock_running(world, uid);

	if (!machine)
		return;
	machine->state = MACHINE_PAUSED;
	machine->has_io_error = true;
	sim_machine_emit(machine, MACHINE_EVENT_IO_ERROR, 0, text);
	pthread_mutex_unlock(&world->lock);
}

void sim_machines_panic(struct sim_machines *world, const char *uid)
{
	struct sim_machine *machine = lock_running(world, uid);

	if (!machine)
		return;
	sim_machine_emit(machine, MACHINE_EVENT_PANICKED, 0, "the guest's kernel panicked");
	pthread_mutex_unlock(&world->lock);
}

void sim_machines_print(struct sim_machines *world, const char *uid, const char *text)
{
	struct sim_machine *machine = lock_running(world, uid);

	if (!machine)
		return;
	sim_machine_print(machine, text);
	pthread_mutex_unlock(&world->lock);
}

void sim_machines_ignore_shutdown(struct sim_machines *world, const char *uid, bool is_ignored)
{
	pthread_mutex_lock(&world->lock);
	sim_history(world, uid)->ignores_shutdown = is_ignored;
	pthread_mutex_unlock(&world->lock);
}

size_t sim_machines_typed(struct sim_machines *world, const char *uid, char *buffer, size_t size)
{
	struct sim_machine *machine = lock_running(world, uid);
	ssize_t got;

	if (!machine)
		return 0;
	got = machine->console[1] < 0 ? 0 : recv(machine->console[1], buffer, size, MSG_DONTWAIT);
	pthread_mutex_unlock(&world->lock);
	return got > 0 ? (size_t)got : 0;
}
