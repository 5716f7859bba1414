#include "2-virtualization/agent/instance_step.h"

#include "base/str.h"

enum { BACKOFF_FIRST_MS = 500, BACKOFF_LAST_MS = 60000 };

static struct instance_decision step(enum instance_step what)
{
	return (struct instance_decision){ .step = what };
}

static struct instance_decision wait_for(uint64_t ms)
{
	return (struct instance_decision){ .step = STEP_WAIT, .wait_ms = ms };
}

uint64_t instance_backoff_ms(int64_t restarts)
{
	uint64_t ms = BACKOFF_FIRST_MS;

	for (int64_t i = 0; i < restarts && ms < BACKOFF_LAST_MS; i++)
		ms *= 2;
	return ms < BACKOFF_LAST_MS ? ms : BACKOFF_LAST_MS;
}

bool instance_wants_machine(const struct instance_spec *spec, const struct instance_status *status)
{
	bool is_on = spec->power == POWER_RUNNING || spec->power == POWER_PAUSED;

	return is_on && status->ended_serial < spec->start_serial;
}

static bool lists_volume(const struct instance_spec *spec, const char *uid)
{
	for (size_t i = 0; i < spec->volumes.count; i++)
		if (text_equal(field_list_at(&spec->volumes, struct instance_volume, i)->volume_uid, uid))
			return true;
	return false;
}

static bool has_attached(const struct instance_status *status, const char *uid)
{
	for (size_t i = 0; i < status->attached.count; i++)
		if (text_equal(*field_list_at(&status->attached, char *, i), uid))
			return true;
	return false;
}

/* A machine is there and should go: nicely, again every few seconds, then by force. */
static struct instance_decision stop_step(const struct instance_spec *spec, const struct instance_world *world, uint64_t now_ms)
{
	uint64_t deadline = world->shutdown_asked_ms + (uint64_t)spec->stop_timeout;
	bool is_forced = spec->power == POWER_OFF || (spec->start_serial && spec->force_serial == spec->start_serial);

	if (is_forced || spec->stop_timeout == 0 || world->state == MACHINE_PAUSED || world->cannot_be_asked)
		return step(STEP_KILL);
	if (!world->shutdown_asked_ms)
		return step(STEP_SHUTDOWN);
	if (now_ms >= deadline)
		return step(STEP_KILL);
	if (now_ms >= world->shutdown_repeat_ms)
		return step(STEP_SHUTDOWN);
	return wait_for((deadline < world->shutdown_repeat_ms ? deadline : world->shutdown_repeat_ms) - now_ms);
}

/* A machine runs, as it should: is it as it should be? */
static struct instance_decision running_step(const struct meta *meta, const struct instance_spec *spec,
					     const struct instance_status *status, const struct instance_world *world)
{
	bool may_try = world->tried_generation != meta->generation;

	if (world->nics_generation != meta->generation)
		return step(STEP_NICS);
	if (spec->power == POWER_PAUSED && world->state == MACHINE_RUNNING)
		return step(STEP_PAUSE);
	if (spec->power == POWER_RUNNING && world->state == MACHINE_PAUSED)
		return step(STEP_RESUME);
	for (size_t i = 0; i < status->attached.count; i++) {
		const char *uid = *field_list_at(&status->attached, char *, i);

		if (!lists_volume(spec, uid))
			return (struct instance_decision){ .step = STEP_DETACH, .volume_uid = uid };
	}
	for (size_t i = 0; i < spec->volumes.count && may_try; i++) {
		const char *uid = field_list_at(&spec->volumes, struct instance_volume, i)->volume_uid;

		if (!has_attached(status, uid))
			return (struct instance_decision){ .step = STEP_ATTACH, .volume_uid = uid };
	}
	if (spec->kind == INSTANCE_CONTAINER && may_try && world->limits_generation != meta->generation)
		return step(STEP_RESIZE);
	if (may_try && (spec->cpus != status->cpus || spec->memory != status->memory))
		return step(STEP_RESIZE);
	return step(STEP_NONE);
}

static struct instance_decision absent_step(const struct instance_spec *spec, const struct instance_status *status, int64_t wall_ms)
{
	if (!instance_wants_machine(spec, status))
		return step(spec->container.remove && status->started_serial && status->state != INSTANCE_FAILED ? STEP_DELETE : STEP_NONE);
	/* A back-off belongs to the start it follows; a new one begins at once. One that is longer than any is of a clock that was set back. */
	if (status->next_start_at > wall_ms && status->next_start_at <= wall_ms + BACKOFF_LAST_MS && status->started_serial == spec->start_serial)
		return wait_for((uint64_t)(status->next_start_at - wall_ms));
	return step(STEP_START);
}

struct instance_decision instance_next_step(const struct meta *meta, const struct instance_spec *spec,
					    const struct instance_status *status, const struct instance_world *world,
					    uint64_t now_ms, int64_t wall_ms)
{
	bool is_there = world->state != MACHINE_ABSENT;

	if (!world->is_known)
		return step(STEP_INSPECT);
	if (!is_there && world->has_leftovers)
		return step(STEP_KILL);
	if (meta->deleted_at)
		return step(is_there ? STEP_KILL : STEP_DELETE);
	if (!status->disk_ready)
		return step(is_there ? STEP_KILL : STEP_CREATE);
	if (spec->restore.serial > status->restore_serial)
		return step(is_there ? STEP_KILL : STEP_RESTORE);
	if (!is_there)
		return absent_step(spec, status, wall_ms);
	if (!instance_wants_machine(spec, status) || status->started_serial < spec->start_serial)
		return stop_step(spec, world, now_ms);
	return running_step(meta, spec, status, world);
}
