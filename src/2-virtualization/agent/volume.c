/* volume.c - the controller of extra volumes. */
#include "2-virtualization/agent/item.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

enum volume_step { VOLUME_CREATE, VOLUME_RESIZE, VOLUME_REMOVE };

struct volume_job {
	struct job job;
	enum volume_step step;
	struct volume_driver *driver;
	struct machine_driver *machine;
	struct volume *volume;			/* A copy. */
	char *machine_uid;			/* The running machine it is plugged into, or null. */
	struct volume_info info;
};

static int create(struct volume_job *job, struct err *err)
{
	int r = job->driver->ops->info(job->driver, job->volume->meta.uid, &job->info, err);

	if (r == 0)
		return 0;			/* Made before a crash. */
	return job->driver->ops->create(job->driver, job->volume->meta.uid, VOLUME_BLOCK, NULL, job->volume->spec.size, err);
}

static int resize(struct volume_job *job, struct err *err)
{
	const char *uid = job->volume->meta.uid;

	if (job->machine_uid)
		return job->machine->ops->disk_resize(job->machine, job->machine_uid, uid, job->volume->spec.size, err);
	return job->driver->ops->resize(job->driver, uid, job->volume->spec.size, err);
}

static void run(struct job *base)
{
	struct volume_job *job = container_of(base, struct volume_job, job);
	int r = 0;

	switch (job->step) {
	case VOLUME_CREATE: r = create(job, &base->err); break;
	case VOLUME_RESIZE: r = resize(job, &base->err); break;
	case VOLUME_REMOVE: r = job->driver->ops->remove(job->driver, job->volume->meta.uid, &base->err); break;
	}
	if (r == 0 && job->step != VOLUME_REMOVE) {
		volume_info_done(&job->info);
		r = job->driver->ops->info(job->driver, job->volume->meta.uid, &job->info, &base->err);
	}
	if (r == 0)
		base->err.code = 0;
}

static void done(struct job *base)
{
	struct volume_job *job = container_of(base, struct volume_job, job);
	struct item *item = base->item;
	struct volume_status *status = item->status;
	enum volume_state before = (enum volume_state)status->state;
	const char *name = job->volume->meta.name;

	if (base->err.code < 0) {
		if (job->step != VOLUME_RESIZE)
			status->state = VOLUME_FAILED;
		text_replace(&status->reason, base->err.msg);
		item_fail(item);
		item_save(item, "failed", true, "volume '%s': %s", name, base->err.msg);
		return;
	}
	if (job->step == VOLUME_REMOVE) {
		item_delete(item, NULL);
		return;
	}
	item->failures = 0;
	status->state = VOLUME_READY;
	status->size = job->volume->spec.size;
	status->allocated = job->info.allocated_bytes;
	text_replace(&status->reason, NULL);
	item_save(item, before == VOLUME_READY ? "resized" : "ready", false, "volume '%s' is ready", name);
}

static void free_job(struct job *base)
{
	struct volume_job *job = container_of(base, struct volume_job, job);

	kind_free(&kinds[KIND_VOLUME], job->volume);
	volume_info_done(&job->info);
	free(job->machine_uid);
	free(job);
}

/* The instance that lists the volume, or null. */
static const struct instance *holder(struct item *item)
{
	const struct map *all = objects_all(item->agent->params.objects, KIND_INSTANCE);

	for (size_t i = 0; i < all->count; i++) {
		const struct instance *instance = all->entries[i].value;

		for (size_t v = 0; v < instance->spec.volumes.count; v++)
			if (text_equal(field_list_at(&instance->spec.volumes, struct instance_volume, v)->volume_uid, item->uid))
				return instance;
	}
	return NULL;
}

/* A resize must not meet a step of the instance it is plugged into. */
static bool lock_holder(struct item *item, struct volume_job *job)
{
	const struct instance *instance = holder(item);
	struct item *other = instance ? item_get(item->agent, instance->meta.uid) : NULL;

	if (!other || job->step != VOLUME_RESIZE)
		return true;
	if (other->is_busy || !other->world.is_known) {
		item_wait_for(item, other);
		item_wake(other);
		return false;
	}
	if (other->world.state != MACHINE_ABSENT)
		job->machine_uid = text_copy(other->uid);
	job->job.other = other;
	return true;
}

static void reconcile(struct item *item, void *object)
{
	const struct volume *volume = object;
	const struct volume_status *status = item->status;
	struct volume_job *job;
	enum volume_step step;

	if (volume->meta.deleted_at)
		step = VOLUME_REMOVE;
	else if (status->state == VOLUME_PENDING || status->state == VOLUME_FAILED)
		step = VOLUME_CREATE;
	else if (volume->spec.size > status->size)
		step = VOLUME_RESIZE;
	else
		return;
	job = job_new(struct volume_job);
	*job = (struct volume_job){ .job = { .item = item, .run = run, .done = done, .free = free_job }, .step = step,
				    .driver = item->agent->params.volume, .machine = item->agent->params.machine,
				    .volume = kind_copy(item->kind, volume) };
	if (lock_holder(item, job))
		item_run(&job->job);
	else
		free_job(&job->job);
}

const struct controller volume_controller = { .reconcile = reconcile };
