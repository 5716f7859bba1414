#include "5-interface/cli/wait.h"

#include "base/str.h"
#include "model/image.h"
#include "model/instance.h"
#include "model/volume.h"

static int is_gone(struct err *err)
{
	return err_set(err, -ENOENT, "it was deleted meanwhile");
}

static int failed(const char *reason, struct err *err)
{
	char buffer[sizeof(err->msg)];

	return err_set(err, -EIO, "%s", text_shown(reason ? reason : "it failed; see 'strata events'",
						   sizeof(buffer) - sizeof("..."), buffer, sizeof(buffer)));
}

static int ended(const struct instance *instance, struct err *err)
{
	return err_set(err, -EIO, "it has ended by itself: %s: see 'strata logs %s'",
		       shown(instance->status.exit_reason ? instance->status.exit_reason : "no reason is known"),
		       shown(instance->meta.name));
}

static bool runs_for_the_last_start(const struct instance *instance)
{
	return instance->status.started_serial >= instance->spec.start_serial;
}

int wait_until_running(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;

	(void)data;
	if (!instance)
		return is_gone(err);
	if (instance->status.state == INSTANCE_RUNNING && runs_for_the_last_start(instance))
		return WAIT_DONE;
	if (instance->status.state == INSTANCE_FAILED)
		return failed(instance->status.reason, err);
	if (instance->spec.start_serial && instance->status.ended_serial >= instance->spec.start_serial)
		return ended(instance, err);
	if (instance->status.state == INSTANCE_STOPPED && instance->status.next_start_at)
		return failed(instance->status.reason ? instance->status.reason : instance->status.exit_reason, err);
	if (instance->spec.power == POWER_STOPPED || instance->spec.power == POWER_OFF)
		return err_set(err, -EIO, "it was stopped meanwhile");
	return WAIT_MORE;
}

int wait_until_stopped(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;

	(void)data;
	if (!instance)
		return is_gone(err);
	if (instance->status.state == INSTANCE_STOPPED)
		return WAIT_DONE;
	if (instance->status.state == INSTANCE_FAILED)
		return failed(instance->status.reason, err);
	if (instance->spec.power == POWER_RUNNING)
		return err_set(err, -EIO, "it was started meanwhile");
	return WAIT_MORE;
}

int wait_until_paused(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;

	if (instance && instance->status.state == INSTANCE_PAUSED)
		return WAIT_DONE;
	if (instance && instance->status.state == INSTANCE_RUNNING)
		return WAIT_MORE;
	return wait_until_running(data, object, err);
}

int wait_until_created(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;

	(void)data;
	if (!instance)
		return is_gone(err);
	if (instance->status.state == INSTANCE_FAILED)
		return failed(instance->status.reason, err);
	return instance->status.disk_ready && instance->status.state != INSTANCE_CREATING ? WAIT_DONE : WAIT_MORE;
}

/* What ran before goes on from the snapshot. */
int wait_until_restored(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;
	bool has_ended;

	if (!instance)
		return is_gone(err);
	if (instance->status.state == INSTANCE_FAILED)
		return failed(instance->status.reason, err);
	if (instance->status.restore_serial < instance->spec.restore.serial || instance->status.state == INSTANCE_RESTORING)
		return WAIT_MORE;
	has_ended = instance->status.state == INSTANCE_STOPPED && instance->status.ended_serial >= instance->spec.start_serial;
	return instance->spec.power == POWER_RUNNING && !has_ended ? wait_until_running(data, object, err) : WAIT_DONE;
}

/* A restore that could not be done leaves the volume ready, and the reason beside. */
int wait_until_restored_volume(void *data, const void *object, struct err *err)
{
	const struct volume *volume = object;

	if (volume && volume->status.restore_serial < volume->spec.restore.serial && !volume->meta.deleted_at)
		return WAIT_MORE;
	if (volume && volume->spec.restore.serial && volume->status.reason)
		return failed(volume->status.reason, err);
	return wait_until_ready(data, object, err);
}

int wait_until_agent(void *data, const void *object, struct err *err)
{
	const struct instance *instance = object;
	int result = wait_until_running(data, object, err);

	return result == WAIT_DONE ? (instance->status.agent ? WAIT_DONE : WAIT_MORE) : result;
}

int wait_until_gone(void *data, const void *object, struct err *err)
{
	(void)data;
	(void)err;
	return object ? WAIT_MORE : WAIT_DONE;
}

/* Images, volumes, networks and snapshots have the states "ready" and "failed" in common, but not their numbers. */
int wait_until_ready(void *data, const void *object, struct err *err)
{
	const struct kind *kind = data;
	auto_str struct str state = { 0 }, reason = { 0 };
	const void *status;

	if (!object)
		return is_gone(err);
	status = (const char *)object + kind->status_offset;
	field_text(kind->status, "state", status, &state);
	if (text_equal(str_text(&state), "ready"))
		return WAIT_DONE;
	if (!text_equal(str_text(&state), "failed"))
		return WAIT_MORE;
	field_text(kind->status, "reason", status, &reason);
	return failed(reason.size ? reason.data : NULL, err);
}
