/*
 * instance.c - the controller of instances: carries out what instance_step.h decides.
 *
 * reconcile() asks for the next step and starts the job for it; ended() takes the result into
 * status and world; the item is then reconciled again.  Events of the machine (it ended, it
 * paused) change status and world in the same way.  An intention is written before a machine
 * is started (state "starting", started_serial), so that after a crash a machine that is there
 * is known to be the one that was wanted, and one that is missing is started.
 */
#include "2-virtualization/agent/move.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

enum { SHUTDOWN_REPEAT_MS = 5000, DEAF_REPEAT_MS = 500, IO_ERROR_RETRY_MS = 10000, STEADY_MS = 60000, RESUME_RETRY_MS = 10000 };

static uint64_t now_ms(const struct item *item) { return loop_now_ms(item->agent->params.loop); }
static int64_t wall_ms(const struct item *item) { return loop_wall_ms(item->agent->params.loop); }

static void set_state(struct item *item, enum instance_state state, const char *reason)
{
	struct instance_status *status = item->status;

	assert(instance_may_move((enum instance_state)status->state, state));
	status->state = (int)state;
	text_replace(&status->reason, reason);
}

static void clear_texts(struct field_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(*field_list_at(list, char *, i));
	free(list->items);
	*list = (struct field_list){ 0 };
}

static void push_text(struct field_list *list, const char *text)
{
	*(char **)field_list_push(list, sizeof(char *)) = text_copy(text);
}

static bool has_text(const struct field_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (text_equal(*field_list_at(list, char *, i), text))
			return true;
	return false;
}

/* What differs between what is wanted and what runs, once the live change was refused. */
static void note_pending(struct item *item, const struct instance *instance)
{
	struct instance_status *status = item->status;
	char a[UNITS_TEXT_SIZE], b[UNITS_TEXT_SIZE];

	clear_texts(&status->pending);
	if (item->world.state == MACHINE_ABSENT || item->world.tried_generation != instance->meta.generation)
		return;
	if (instance->spec.cpus != status->cpus) {
		auto_free char *text = text_format("cpus: %" PRId64 ", now %" PRId64, instance->spec.cpus, status->cpus);
		push_text(&status->pending, text);
	}
	if (instance->spec.memory != status->memory) {
		auto_free char *text = text_format("memory: %s, now %s", units_format_size(instance->spec.memory, a),
						   units_format_size(status->memory, b));
		push_text(&status->pending, text);
	}
	for (size_t i = 0; i < instance->spec.volumes.count; i++) {
		const struct instance_volume *volume = field_list_at(&instance->spec.volumes, struct instance_volume, i);
		auto_free char *text = text_format("volume '%s': not plugged in yet", volume->volume);

		if (!has_text(&status->attached, volume->volume_uid))
			push_text(&status->pending, text);
	}
}

/* ---- Machine events ---- */

static void machine_event(void *data, const struct machine_event *event);

static void machine_ended(struct item *item, const struct instance *instance, enum machine_exit cause, const char *text);

static void watch(struct item *item, const struct instance *instance)
{
	struct err err = { 0 };

	if (item->watch ||
	    item->machine->ops->watch(item->machine, item->uid, item->agent->params.loop, machine_event, item, &item->watch, &err) == 0)
		return;
	machine_ended(item, instance, MACHINE_EXIT_FAILED, err.msg);	/* Just now, unseen. */
	item->world.is_known = false;
}

/* A container that ended unseen may still tell how; then MACHINE_EVENT_EXITED follows. */
static bool watch_the_end(struct item *item)
{
	struct err ignored = { 0 };

	if (item->machine->ops->watch(item->machine, item->uid, item->agent->params.loop, machine_event, item, &item->watch, &ignored) < 0)
		return false;
	item->world.state = MACHINE_RUNNING;
	return true;
}

static void unwatch(struct item *item)
{
	if (!item->watch)
		return;
	item->machine->ops->unwatch(item->machine, item->watch);
	item->watch = NULL;
}

static void machine_is_gone(struct item *item)
{
	struct instance_status *status = item->status;

	unwatch(item);
	health_stop(item);
	console_hub_forget(item->agent->consoles, item->uid);
	item->world.state = MACHINE_ABSENT;
	item->world.has_leftovers = true;
	item->world.has_io_error = false;
	item->world.shutdown_asked_ms = 0;
	item->world.cannot_be_asked = false;
	item->world.nics_generation = 0;
	item->world.limits_generation = 0;
	status->pid = 0;
	status->agent = false;
	status->usage = (struct instance_usage){ 0 };
	clear_texts(&status->attached);
	clear_texts(&status->pending);
	clear_texts(&status->isolation);
}

static bool policy_revives(const struct instance_spec *spec, bool is_failure)
{
	return spec->restart == RESTART_ALWAYS || (is_failure && spec->ha == HA_RESTART) || (spec->restart == RESTART_ON_FAILURE && is_failure);
}

/* The machine has ended though it should run: the restart policy decides. */
static void ended_unasked(struct item *item, const struct instance *instance, bool is_failure, const char *text)
{
	struct instance_status *status = item->status;
	uint64_t delay;
	char shown_delay[UNITS_TEXT_SIZE];

	if (!policy_revives(&instance->spec, is_failure)) {
		status->ended_serial = instance->spec.start_serial;
		set_state(item, INSTANCE_STOPPED, is_failure ? text : NULL);
		item_save(item, "exited", is_failure, "'%s' has ended: %s", instance->meta.name, text);
		return;
	}
	if (wall_ms(item) - status->started_at > STEADY_MS)
		status->restarts = 0;
	delay = instance_backoff_ms(status->restarts++);
	status->next_start_at = wall_ms(item) + (int64_t)delay;
	set_state(item, INSTANCE_STOPPED, text);
	item_save(item, "exited", is_failure, "'%s' has ended: %s; starting it again in %s", instance->meta.name, text,
		  units_format_duration((int64_t)delay, shown_delay));
}

static void machine_ended(struct item *item, const struct instance *instance, enum machine_exit cause, const char *text)
{
	struct instance_status *status = item->status;
	/* Also when it was asked for a move that has been taken back since: then it is started again. */
	bool was_asked = item->world.shutdown_asked_ms || status->state == INSTANCE_STOPPING || cause == MACHINE_EXIT_HOST_OFF;

	machine_is_gone(item);
	text_replace(&status->exit_reason, text);
	status->exited_at = wall_ms(item);
	if (instance->meta.deleted_at)
		return;
	if (cause == MACHINE_EXIT_GUEST_RESET && instance_wants_machine(&instance->spec, status)) {
		status->next_start_at = 0;
		set_state(item, INSTANCE_STOPPED, NULL);
		item_save(item, "rebooted", false, "the guest of '%s' reboots", instance->meta.name);
		return;
	}
	/* Stopped, restarted or restored on request: the guest did as it was asked. */
	if (was_asked || !instance_wants_machine(&instance->spec, status) ||
	    status->started_serial < instance->spec.start_serial || instance->spec.restore.serial > status->restore_serial) {
		set_state(item, INSTANCE_STOPPED, NULL);
		item_save(item, "stopped", false, "'%s' is stopped", instance->meta.name);
		return;
	}
	ended_unasked(item, instance, cause == MACHINE_EXIT_FAILED, text);
}

static void machine_paused(struct item *item, const struct instance *instance)
{
	if (item->move.is_going)
		return;				/* The last of it is on its way. */
	item->world.state = MACHINE_PAUSED;
	if (item_instance(item)->state == INSTANCE_RUNNING || item_instance(item)->state == INSTANCE_STARTING) {
		set_state(item, INSTANCE_PAUSED, item_instance(item)->reason);
		item_save(item, "paused", false, "'%s' is paused", instance->meta.name);
	}
}

static void machine_resumed(struct item *item, const struct instance *instance)
{
	item->world.state = MACHINE_RUNNING;
	item->world.has_io_error = item->world.is_moved_out = false;
	if (item_instance(item)->state == INSTANCE_PAUSED) {
		set_state(item, INSTANCE_RUNNING, NULL);
		item_save(item, "resumed", false, "'%s' goes on", instance->meta.name);
	}
}

static void machine_io_error(struct item *item, const struct instance *instance, const char *text)
{
	auto_free char *reason = text_format("a disk could not be written (%s): the guest is paused and goes on by itself "
					     "once it can be", text);
	bool is_new = !item->world.has_io_error;

	item->world.state = MACHINE_PAUSED;
	item->world.has_io_error = true;
	item_retry_in(item, IO_ERROR_RETRY_MS);
	if (!is_new)
		return;
	set_state(item, INSTANCE_PAUSED, reason);
	item_save(item, "io-error", true, "'%s': %s", instance->meta.name, reason);
}

static void machine_event(void *data, const struct machine_event *event)
{
	struct item *item = data;
	const struct instance *instance = item_object(item);
	struct instance_status *status = item->status;

	if (!instance || (instance->meta.deleted_at && event->kind != MACHINE_EVENT_EXITED))
		return;
	switch (event->kind) {
	case MACHINE_EVENT_EXITED:
		if (instance->spec.kind == INSTANCE_CONTAINER)
			status->exit_code = event->exit_code;
		machine_ended(item, instance, event->cause, event->text[0] ? event->text :
			      instance->spec.kind == INSTANCE_CONTAINER ? "exited with code 0" : "the guest powered off");
		break;
	case MACHINE_EVENT_PAUSED:
		machine_paused(item, instance);
		break;
	case MACHINE_EVENT_RESUMED:
		machine_resumed(item, instance);
		break;
	case MACHINE_EVENT_IO_ERROR:
		machine_io_error(item, instance, event->text);
		break;
	case MACHINE_EVENT_AGENT_UP:
	case MACHINE_EVENT_AGENT_DOWN:
		status->agent = event->kind == MACHINE_EVENT_AGENT_UP;
		if (instance->spec.kind == INSTANCE_CONTAINER)
			item_save(item, NULL, false, "%s", "");		/* It needs none: nothing has happened. */
		else
			item_save(item, status->agent ? "agent-up" : "agent-down", false, "the guest agent of '%s' is %s", instance->meta.name,
			  status->agent ? "there" : "gone");
		break;
	case MACHINE_EVENT_OUT_OF_MEMORY:
		status->out_of_memory = true;
		item_save(item, "out-of-memory", true, "'%s' is at its memory limit: the kernel killed a process of it", instance->meta.name);
		break;
	case MACHINE_EVENT_PANICKED:
		item_save(item, "panicked", true, "the guest kernel of '%s' panicked: see 'strata logs %s'", instance->meta.name,
			  instance->meta.name);
		break;
	}
	item_wake(item);
}

/* ---- Results of steps ---- */

static void take_isolation(struct instance_status *status, const struct instance_job *job)
{
	clear_texts(&status->isolation);
	for (size_t i = 0; i < job->isolation.count; i++)
		push_text(&status->isolation, *field_list_at(&job->isolation, char *, i));
}

static void machine_was_cut_off(struct item *item)
{
	struct instance_status *status = item->status;

	machine_is_gone(item);
	if (status->state == INSTANCE_STARTING || status->state == INSTANCE_RESTORING)
		set_state(item, INSTANCE_STOPPED, NULL);	/* The step is taken again. */
}

/*
 * A machine that waits for a guest may be let run only when the guest was handed over to this node. Else the instance is here because the
 * node it was on is lost: the guest may have run on there after all of it had arrived, and its disks are ahead of its memory.
 */
static bool waits_in_vain(const struct instance *instance, const struct instance_status *status, const struct machine_status *machine, bool was_up)
{
	bool is_handed_over = was_up && status->move.phase == MOVE_DONE && status->move.serial == instance->spec.move.serial;

	return machine->is_incoming && !is_handed_over;
}

/* A machine was found by a daemon that did not start it, or not found though it was running. */
static void inspected(struct item *item, const struct instance *instance, const struct instance_job *job)
{
	struct instance_status *status = item->status;
	bool was_up = status->state == INSTANCE_RUNNING || status->state == INSTANCE_PAUSED || status->state == INSTANCE_STOPPING;
	bool is_same_boot = !status->boot_id || text_equal(status->boot_id, item->agent->boot_id);

	item->world.is_known = true;
	item->world.state = job->world.state;
	item->world.has_io_error = job->world.has_io_error;
	item->world.is_moved_out = job->world.is_moved_out;
	if (waits_in_vain(instance, status, &job->world, was_up)) {
		machine_was_cut_off(item);
		return;
	}
	if (job->world.state != MACHINE_ABSENT) {
		status->pid = job->world.pid;
		status->started_at = job->world.started_at;
		status->next_from_memory = false;
		take_isolation(status, job);
		if (status->state != INSTANCE_STOPPING && status->state != INSTANCE_DELETING)
			set_state(item, job->world.state == MACHINE_PAUSED ? INSTANCE_PAUSED : INSTANCE_RUNNING,
				  job->world.has_io_error ? status->reason : NULL);
		item_save(item, "adopted", false, "'%s' was found running", instance->meta.name);
		watch(item, instance);
		health_start(item, instance);
		sampler_wake(item->agent->sampler);
		return;
	}
	if (was_up && is_same_boot && !instance->meta.deleted_at && watch_the_end(item))
		return;
	if (!was_up || instance->meta.deleted_at) {
		machine_was_cut_off(item);
		return;
	}
	if (is_same_boot) {
		machine_ended(item, instance, MACHINE_EXIT_FAILED, "it ended while the daemon was not running");
		return;
	}
	machine_is_gone(item);
	text_replace(&status->exit_reason, "the host was restarted");
	if (!instance->spec.autostart)
		status->ended_serial = instance->spec.start_serial;
	set_state(item, INSTANCE_STOPPED, instance->spec.autostart ? NULL : "the host was restarted");
	item_save(item, "exited", true, "'%s' has ended: the host was restarted", instance->meta.name);
}

static void created(struct item *item, const struct instance *instance)
{
	item_instance(item)->disk_ready = true;
	item->has_leftovers = instance->spec.source.upload != NULL;
	set_state(item, INSTANCE_STOPPED, NULL);
	if (instance_wants_machine(&instance->spec, item->status))
		item_save_along(item, "created", false, "the disk of '%s' is ready", instance->meta.name);	/* begin_start() writes too. */
	else
		item_save(item, "created", false, "the disk of '%s' is ready", instance->meta.name);
}

static void started(struct item *item, const struct instance *instance, const struct instance_job *job)
{
	struct instance_status *status = item->status;

	status->disk_ready = true;
	status->pid = job->world.pid;
	status->started_at = job->world.started_at ? job->world.started_at : wall_ms(item);
	status->next_start_at = 0;
	status->next_from_memory = false;
	take_isolation(status, job);
	item->world.state = job->world.state == MACHINE_PAUSED ? MACHINE_PAUSED : MACHINE_RUNNING;
	item->world.nics_generation = job->instance->meta.generation;
	item->world.limits_generation = job->instance->meta.generation;
	item->world.tried_generation = 0;
	set_state(item, INSTANCE_RUNNING, NULL);
	if (instance->spec.kind == INSTANCE_CONTAINER)
		item_save(item, "started", false, "'%s' runs", instance->meta.name);
	else
		item_save(item, "started", false, "'%s' runs on %s", instance->meta.name, status->machine);
	watch(item, instance);
	health_start(item, instance);
	sampler_wake(item->agent->sampler);
}

static void restored(struct item *item, const struct instance *instance, const struct instance_job *job)
{
	struct instance_status *status = item->status;

	status->restore_serial = job->instance->spec.restore.serial;
	status->next_from_memory = true;
	set_state(item, INSTANCE_STOPPED, NULL);
	item_save(item, "restored", false, "'%s' is back at its snapshot", instance->meta.name);
}

static void attached(struct item *item, const struct instance *instance, const struct instance_job *job)
{
	struct instance_status *status = item->status;

	if (job->step == STEP_ATTACH) {
		push_text(&status->attached, job->changed.uid);
	} else {
		for (size_t i = 0; i < status->attached.count; i++)
			if (text_equal(*field_list_at(&status->attached, char *, i), job->changed.uid)) {
				free(*field_list_at(&status->attached, char *, i));
				*field_list_at(&status->attached, char *, i) = *field_list_at(&status->attached, char *, status->attached.count - 1);
				status->attached.count--;
			}
	}
	item_save(item, job->step == STEP_ATTACH ? "attached" : "detached", false, "a volume of '%s' was %s", instance->meta.name,
		  job->step == STEP_ATTACH ? "plugged in" : "taken out");
}

static void asked_to_stop(struct item *item)
{
	if (!item->world.shutdown_asked_ms)
		item->world.shutdown_asked_ms = now_ms(item) ? now_ms(item) : 1;
	item->world.shutdown_repeat_ms = now_ms(item) + SHUTDOWN_REPEAT_MS;
}

static void deleted(struct item *item, const struct instance_job *job)
{
	struct store_txn *txn = store_txn_new();

	for (size_t i = 0; i < job->snapshots.count; i++) {
		const struct snapshot *snapshot = objects_get(item->agent->params.objects, KIND_SNAPSHOT, job->snapshots.items[i]);

		if (snapshot)
			objects_delete(item->agent->params.objects, txn, &kinds[KIND_SNAPSHOT], snapshot);
	}
	item_delete(item, txn);
}

/* It came from another node and runs here now. */
static void arrived(struct item *item, const struct instance *instance)
{
	watch(item, instance);
	health_start(item, instance);
	sampler_wake(item->agent->sampler);
	item_save(item, NULL, false, "%s", "");
}

static void succeeded(struct item *item, const struct instance *instance, struct instance_job *job)
{
	item->failures = 0;
	switch (job->step) {
	case STEP_INSPECT: inspected(item, instance, job); break;
	case STEP_CREATE: created(item, instance); break;
	case STEP_START: started(item, instance, job); break;
	case STEP_SHUTDOWN: asked_to_stop(item); break;
	case STEP_KILL:
		if (item->world.state != MACHINE_ABSENT)
			machine_ended(item, instance, MACHINE_EXIT_HOST_OFF, "the power was cut");
		item->world.has_leftovers = false;
		break;
	case STEP_PAUSE: machine_paused(item, instance); break;
	case STEP_RESUME:
		if (item->world.has_io_error)
			item_retry_in(item, RESUME_RETRY_MS);
		machine_resumed(item, instance);
		if (!item->watch)
			arrived(item, instance);
		break;
	case STEP_RESTORE: restored(item, instance, job); break;
	case STEP_NICS: item->world.nics_generation = job->instance->meta.generation; break;
	case STEP_ATTACH:
	case STEP_DETACH: attached(item, instance, job); break;
	case STEP_RESIZE:
		item->world.limits_generation = job->instance->meta.generation;
		if (item_instance(item)->cpus == job->instance->spec.cpus && item_instance(item)->memory == job->instance->spec.memory)
			break;			/* Adopted, or another limit. */
		item_instance(item)->cpus = job->instance->spec.cpus;
		item_instance(item)->memory = job->instance->spec.memory;
		item_save(item, "resized", false, "'%s' has new cpus or memory", instance->meta.name);
		break;
	case STEP_DELETE: deleted(item, job); break;
	case STEP_RECEIVE:			/* move_target.c */
	case STEP_FETCH:
	case STEP_LEAVE:
	case STEP_NONE:
	case STEP_WAIT: break;
	}
}

/* A machine without a way to ask is cut at once; one whose guest does not listen yet is asked again soon. */
static void cannot_ask(struct item *item, const struct err *err)
{
	asked_to_stop(item);
	item->world.shutdown_repeat_ms = now_ms(item) + DEAF_REPEAT_MS;
	item->world.cannot_be_asked = err->code == -EOPNOTSUPP;
	if (err->code == -ENOENT)
		item->world.is_known = false;
}

static void start_failed(struct item *item, const struct instance *instance, const struct err *err)
{
	struct instance_status *status = item->status;

	set_state(item, INSTANCE_FAILED, err->msg);
	if (instance->spec.restart == RESTART_NO)
		status->ended_serial = instance->spec.start_serial;
	else
		status->next_start_at = wall_ms(item) + (int64_t)instance_backoff_ms(status->restarts++);
	item->world.is_known = false;
	item_save(item, "failed", true, "'%s' could not be started: %s", instance->meta.name, err->msg);
}

static void failed(struct item *item, const struct instance *instance, struct instance_job *job)
{
	const struct err *err = &job->job.err;

	if (job->is_live_refused) {
		item->world.tried_generation = job->instance->meta.generation;
		note_pending(item, instance);
		item_save(item, "pending", false, "'%s': %s", instance->meta.name, err->msg);
		return;
	}
	switch (job->step) {
	case STEP_SHUTDOWN: cannot_ask(item, err); return;
	case STEP_START: start_failed(item, instance, err); return;
	case STEP_CREATE:
	case STEP_RESTORE:
		set_state(item, INSTANCE_FAILED, err->msg);
		break;
	default:
		if (err->code == -ENOENT)
			item->world.is_known = false;	/* The machine ended meanwhile. */
		text_replace(&item_instance(item)->reason, err->msg);
		break;
	}
	item_fail(item);
	item_save(item, "failed", true, "'%s': %s", instance->meta.name, err->msg);
}

static void ended(struct job *base)
{
	struct instance_job *job = container_of(base, struct instance_job, job);
	struct item *item = base->item;
	const struct instance *instance = item_object(item);

	if (!instance)
		return;
	if (base->err.code == 0)
		succeeded(item, instance, job);
	else
		failed(item, instance, job);
}

/* ---- Taking steps ---- */

static bool needs_disks(enum instance_step step)
{
	return step == STEP_CREATE || step == STEP_START || step == STEP_RESTORE || step == STEP_ATTACH || step == STEP_DETACH ||
	       step == STEP_DELETE;
}

static bool needs_source(enum instance_step step)
{
	return step == STEP_CREATE;
}

static void run_step(struct item *item, const struct instance *instance, struct instance_decision decision)
{
	struct instance_job *job = instance_job_new(item, instance, decision, ended);

	if (needs_source(decision.step) && !instance_lock_source(item, instance, job)) {
		instance_job_free(&job->job);
		return;
	}
	if (decision.step == STEP_KILL)
		unwatch(item);			/* We know why it ends. */
	item_run(&job->job);
}

static void start_now(struct item *item)
{
	const struct instance *instance = item_object(item);
	struct instance_job *job;

	if (!instance)
		return;
	job = instance_job_new(item, instance, (struct instance_decision){ .step = STEP_START }, ended);
	job->memory_snapshot = instance_memory_snapshot(item, instance);
	item_run(&job->job);
}

bool instance_may_start(struct item *item, const struct instance *instance)
{
	if (!item->agent->knows_capabilities)
		return false;
	for (size_t i = 0; i < instance->spec.nics.count; i++) {
		const struct instance_nic *nic = field_list_at(&instance->spec.nics, struct instance_nic, i);
		struct item *network = item_get(item->agent, nic->network_uid);

		if (network && !network->is_up) {
			item_wait_for(item, network);
			return false;
		}
	}
	return true;
}

/* Writes the intention, with what the machine will be like: a crash just after its start finds it described. */
static void begin_start(struct item *item, const struct instance *instance)
{
	static const char *const type_names[] = { [MACHINE_Q35] = "q35", [MACHINE_MICROVM] = "microvm" };
	bool is_container = instance->spec.kind == INSTANCE_CONTAINER;
	struct instance_status *status = item->status;

	if (!instance_may_start(item, instance))
		return;
	if (status->started_serial != instance->spec.start_serial)
		status->restarts = 0;
	status->next_start_at = 0;
	status->exit_code = 0;
	status->out_of_memory = false;
	status->started_serial = instance->spec.start_serial;
	status->cpus = instance->spec.cpus;
	status->memory = instance->spec.memory;
	status->max_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	status->max_memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	text_replace(&status->machine, is_container ? "container" : type_names[instance_machine_type(item, instance, instance_image(item, instance))]);
	text_replace(&status->boot_id, item->agent->boot_id);
	clear_texts(&status->attached);
	for (size_t i = 0; i < instance->spec.volumes.count; i++)
		push_text(&status->attached, field_list_at(&instance->spec.volumes, struct instance_volume, i)->volume_uid);
	set_state(item, INSTANCE_STARTING, NULL);
	item_save_first(item, start_now);
}

static enum instance_state state_during(enum instance_step step, enum instance_state state)
{
	switch (step) {
	case STEP_CREATE: return INSTANCE_CREATING;
	case STEP_RESTORE: return INSTANCE_RESTORING;
	case STEP_DELETE: return INSTANCE_DELETING;
	case STEP_SHUTDOWN: return INSTANCE_STOPPING;
	default: return state;
	}
}

/* Things somebody waits for (export) come before the next step, when the item is idle. */
static bool run_task(struct item *item, const struct instance *instance);

/* Once "the disk is ready" is durable the unpacked import is not needed again. */
static void drop_upload(struct item *item)
{
	const struct instance *instance = item_object(item);
	auto_free char *folder = text_format("%s/staging/%s.d", item->agent->directory, instance->spec.source.upload);
	struct err ignored = { 0 };

	file_remove_tree(folder, &ignored);
}

/* Made on another node: it is copied first, and why that does not go on is told. */
static bool waits_for_image(struct item *item, const struct instance *instance)
{
	struct item *image = image_to_wait_for(item->agent, instance_image(item, instance));
	const char *reason;

	if (!image)
		return false;
	reason = ((const struct image_status *)image->status)->reason;
	if (!text_equal(reason, item_instance(item)->reason)) {
		set_state(item, (enum instance_state)item_instance(item)->state, reason);
		item_save(item, NULL, false, "%s", "");
	}
	item_wait_for(item, image);
	item_wake(image);
	return true;
}

/* Where it is; until it is anywhere, where it should be. */
static bool is_here(struct item *item, const struct instance *instance)
{
	const char *at = item_instance(item)->node;

	return text_equal(at ? at : instance->spec.node, item->agent->node);
}

/* It has come: what was observed before is what the other node wrote. */
static void take_over(struct item *item, const struct instance *instance)
{
	struct instance_status *status = item->status;
	bool waits_here = item->move.step == STEP_RECEIVE && item->move.told == instance->spec.move.serial;

	field_done(item->kind->status, status);
	field_copy(item->kind->status, &instance->status, status);
	item->world = (struct instance_world){ 0 };
	if (waits_here && status->state == INSTANCE_RUNNING) {
		item->world = (struct instance_world){ .is_known = true, .state = MACHINE_PAUSED, .nics_generation = instance->meta.generation };
		status->pid = item->move.pid;
		text_replace(&status->boot_id, item->agent->boot_id);
	}
	item->move.told = 0;
	item_wake(item);
}

void instance_seen(struct item *item, const struct instance *instance, enum objects_change change)
{
	const char *node = item->agent->node;

	if (change == OBJECTS_OBSERVED && !is_here(item, instance) && text_equal(instance->status.node, node))
		take_over(item, instance);
	if (change == OBJECTS_DESIRED && item->move.is_going && text_equal(instance->spec.node, node))
		item->move.is_cancelled = true;
	if (change == OBJECTS_OBSERVED && !text_equal(instance->spec.node, instance->status.node))
		item_wake(item);
}

/* People took the move back, or it failed: that is what it has come to. */
static void end_move(struct item *item)
{
	struct instance_move_status *move = &item_instance(item)->move;

	text_replace(&item->move.failure, NULL);
	if (move->phase == MOVE_NONE || move->phase == MOVE_DONE || move->phase == MOVE_FAILED)
		return;
	move->phase = MOVE_FAILED;
	move->ended_at = wall_ms(item);
	text_replace(&move->reason, "it was taken back");
	item_save(item, NULL, false, "%s", "");
}

static void reconcile(struct item *item, void *object)
{
	const struct instance *instance = object;
	struct instance_status *status = item->status;
	struct instance_decision decision;
	struct instance_spec spec;

	if (!is_here(item, instance)) {
		if (text_equal(instance->spec.node, item->agent->node))
			move_here(item, instance);
		return;
	}
	if (text_equal(instance->spec.node, item->agent->node))
		end_move(item);
	else if (move_away(item, instance))
		return;
	if (item->has_leftovers) {
		item->has_leftovers = false;
		item_save_first(item, drop_upload);
		return;
	}
	if (item->world.is_known && !instance->meta.deleted_at && run_task(item, instance))
		return;
	spec = instance->spec;
	if (move_stops(item, instance)) {
		spec.power = POWER_STOPPED;	/* For a while: what people want stays. */
		spec.container.remove = false;
	}
	decision = instance_next_step(&instance->meta, &spec, status, &item->world, now_ms(item), wall_ms(item));
	if (decision.step == STEP_WAIT) {
		item_wake_in(item, decision.wait_ms);
		return;
	}
	if (decision.step == STEP_NONE) {
		/* A person stopped it while it waited for its next restart, or after a failure. */
		if (item->world.state == MACHINE_ABSENT && status->state == INSTANCE_FAILED && status->disk_ready &&
		    (instance->spec.power == POWER_STOPPED || instance->spec.power == POWER_OFF)) {
			set_state(item, INSTANCE_STOPPED, NULL);
			item_save(item, "stopped", false, "'%s' is stopped", instance->meta.name);
		}
		return;
	}
	if (needs_disks(decision.step) && instance_waits_for_pool(item, instance))
		return;
	if ((decision.step == STEP_CREATE || decision.step == STEP_START) && waits_for_image(item, instance))
		return;
	if (decision.step == STEP_START) {
		begin_start(item, instance);
		return;
	}
	if (state_during(decision.step, (enum instance_state)status->state) != (enum instance_state)status->state) {
		set_state(item, state_during(decision.step, (enum instance_state)status->state), NULL);
		item_save(item, NULL, false, "%s", "");
	}
	run_step(item, instance, decision);
}

/* ---- Tasks ---- */

struct task_job {
	struct job job;
	struct agent_task *task;
};

static void task_run(struct job *base)
{
	struct task_job *job = container_of(base, struct task_job, job);

	job->task->run(job->task);
}

static void task_done(struct job *base)
{
	struct task_job *job = container_of(base, struct task_job, job);
	struct err none = { 0 };

	job->task->done(job->task, &none);
}

static void task_free(struct job *base)
{
	free(container_of(base, struct task_job, job));
}

static bool run_task(struct item *item, const struct instance *instance)
{
	while (item->tasks.count) {
		struct agent_task *task = item->tasks.items[0];
		struct task_job *job;
		struct err err = { 0 };

		vec_remove(&item->tasks, 0);
		if (task->begin(task, instance, item->world.state != MACHINE_ABSENT, &err) < 0) {
			task->done(task, &err);
			continue;
		}
		job = job_new(struct task_job);
		*job = (struct task_job){ .job = { .item = item, .run = task_run, .done = task_done, .free = task_free }, .task = task };
		item_run(&job->job);
		return true;
	}
	return false;
}

void agent_run_task(struct agent *agent, const char *instance_uid, struct agent_task *task)
{
	struct item *item = item_get(agent, instance_uid);
	struct err err = { 0 };

	if (!item) {
		err_set(&err, -ENOENT, "the instance does not exist any more");
		task->done(task, &err);
		return;
	}
	*vec_push(&item->tasks) = task;
	item_wake(item);
}

static void item_is_freed(struct item *item)
{
	struct err err = { 0 };

	unwatch(item);
	health_stop(item);
	console_hub_forget(item->agent->consoles, item->uid);
	err_set(&err, -ENOENT, "the instance was deleted");
	for (size_t i = 0; i < item->tasks.count; i++)
		item->tasks.items[i]->done(item->tasks.items[i], &err);
	vec_done(&item->tasks);
}

const struct controller instance_controller = { .reconcile = reconcile, .done = item_is_freed };
