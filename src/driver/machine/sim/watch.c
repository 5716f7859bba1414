/*
 * Theory of operation.
 *
 * A machine changes in any thread; its watch belongs to the loop's. So every event travels
 * as a message that holds a reference to the watch, and is dropped on arrival when the
 * watch is over by then. Time passes only in timers of the watch's loop.
 */
#include <stdlib.h>

#include "driver/machine/sim/world.h"

struct message {
	struct machine_watch *watch;
	struct machine_event event;
};

static void watch_unref(struct machine_watch *watch)
{
	if (atomic_fetch_sub(&watch->refs, 1) > 1)
		return;
	free(watch->uid);
	free(watch);
}

static struct machine_watch *watch_ref(struct machine_watch *watch)
{
	atomic_fetch_add(&watch->refs, 1);
	return watch;
}

/* Events */

static void stop_timers(struct machine_watch *watch)
{
	loop_remove(watch->agent_timer);
	loop_remove(watch->shutdown_timer);
}

static void drop_message(void *data)
{
	struct message *message = data;

	watch_unref(message->watch);
	free(message);
}

static void deliver(void *data)
{
	struct message *message = data;
	struct machine_watch *watch = message->watch;

	if (!watch->is_over) {
		if (message->event.kind == MACHINE_EVENT_EXITED)
			stop_timers(watch);
		watch->fn(watch->data, &message->event);
	}
	drop_message(message);
}

void sim_watch_post(struct machine_watch *watch, const struct machine_event *event)
{
	struct message *message = alloc(sizeof(*message));

	*message = (struct message){ watch_ref(watch), *event };
	loop_post(watch->loop, deliver, drop_message, message);
}

/* Time */

static void agent_appears(void *data)
{
	struct machine_watch *watch = data;
	struct sim_machine *machine;

	pthread_mutex_lock(&watch->world->lock);
	machine = sim_machine_find(watch->world, watch->uid);
	if (machine && machine->watch == watch && machine->is_incoming)
		machine->brings_agent = true;
	else if (machine && machine->watch == watch)
		sim_machine_set_agent(machine, true);
	pthread_mutex_unlock(&watch->world->lock);
}

static void guest_is_off(void *data)
{
	struct machine_watch *watch = data;
	struct sim_machine *machine;

	pthread_mutex_lock(&watch->world->lock);
	machine = sim_machine_find(watch->world, watch->uid);
	if (machine && machine->watch == watch && machine->state == MACHINE_RUNNING)
		sim_machine_end(machine, MACHINE_EXIT_GUEST_OFF, NULL);
	pthread_mutex_unlock(&watch->world->lock);
}

static void begin_shutdown(void *data)
{
	struct machine_watch *watch = data;

	if (!watch->is_over && !watch->shutdown_timer)
		loop_add_timer(watch->loop, SIM_SHUTDOWN_DELAY_MS, guest_is_off, watch, &watch->shutdown_timer);
	watch_unref(watch);
}

static void drop_shutdown(void *data)
{
	watch_unref(data);
}

void sim_watch_shutdown(struct machine_watch *watch)
{
	loop_post(watch->loop, begin_shutdown, drop_shutdown, watch_ref(watch));
}

/* Life */

/* What happened before somebody looked. */
static void tell_present(struct sim_machine *machine)
{
	if (machine->has_agent)
		sim_machine_emit(machine, MACHINE_EVENT_AGENT_UP, 0, NULL);
	if (machine->state == MACHINE_PAUSED && !machine->is_incoming && !machine->is_moved_out)
		sim_machine_emit(machine, machine->has_io_error ? MACHINE_EVENT_IO_ERROR : MACHINE_EVENT_PAUSED, 0, NULL);
	if (machine->is_shutting_down)
		sim_watch_shutdown(machine->watch);
}

int sim_watch(struct sim_machines *world, const char *uid, struct loop *loop, machine_event_fn *fn, void *data,
	      struct machine_watch **ret_watch, struct err *err)
{
	struct machine_watch *watch;
	struct sim_machine *machine;

	pthread_mutex_lock(&world->lock);
	machine = sim_machine_running(world, uid, err);
	if (!machine) {
		pthread_mutex_unlock(&world->lock);
		return err->code;
	}
	watch = alloc(sizeof(*watch));
	*watch = (struct machine_watch){
		.refs = 1, .world = world, .uid = text_copy(uid), .loop = loop, .fn = fn, .data = data,
	};
	machine->watch = watch;
	if (!machine->has_agent)
		loop_add_timer(loop, SIM_AGENT_DELAY_MS, agent_appears, watch, &watch->agent_timer);
	tell_present(machine);
	pthread_mutex_unlock(&world->lock);
	*ret_watch = watch;
	return 0;
}

void sim_unwatch(struct machine_watch *watch)
{
	struct sim_machine *machine;

	if (!watch)
		return;
	pthread_mutex_lock(&watch->world->lock);
	machine = sim_machine_find(watch->world, watch->uid);
	if (machine && machine->watch == watch)
		machine->watch = NULL;
	pthread_mutex_unlock(&watch->world->lock);
	stop_timers(watch);
	watch->is_over = true;
	watch_unref(watch);
}
