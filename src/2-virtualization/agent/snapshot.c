/*
 * snapshot.c - the controller of snapshots.  In the world a snapshot is named by its uid and lies in
 * each disk it covers.  Its steps run while its instance holds still.
 */
#include "2-virtualization/agent/instance_job.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

struct snapshot_job {
	struct job job;
	struct machine_driver *machine;
	struct volume_driver *volume;
	struct snapshot *snapshot;		/* A copy. */
	char *instance_uid;
	bool is_running;
	VEC(char *) volumes;			/* Every writable disk of the instance, root first. */
};

static int take_stopped(struct snapshot_job *job, struct err *err)
{
	for (size_t i = 0; i < job->volumes.count; i++) {
		int r = job->volume->ops->snapshot_create(job->volume, job->volumes.items[i], job->snapshot->meta.uid, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int remove_it(struct snapshot_job *job, struct err *err)
{
	if (job->is_running)
		return job->machine->ops->snapshot_remove(job->machine, job->instance_uid, job->snapshot->meta.uid, err);
	for (size_t i = 0; i < job->volumes.count; i++) {
		int r = job->volume->ops->snapshot_remove(job->volume, job->volumes.items[i], job->snapshot->meta.uid, err);

		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static int take_it(struct snapshot_job *job, struct err *err)
{
	int r = remove_it(job, err);		/* What an attempt that was cut off has left. */

	if (r < 0)
		return r;
	if (!job->volumes.count)
		return err_set(err, -EOPNOTSUPP, "the instance has no disk that could be kept: give it one with --disk");
	if (job->is_running)
		return job->machine->ops->snapshot_create(job->machine, job->instance_uid, job->snapshot->meta.uid,
							  job->snapshot->spec.memory, err);
	return take_stopped(job, err);
}

static void run(struct job *base)
{
	struct snapshot_job *job = container_of(base, struct snapshot_job, job);
	int r = job->snapshot->meta.deleted_at ? remove_it(job, &base->err) : take_it(job, &base->err);

	if (r == 0)
		base->err.code = 0;
}

static void taken(struct item *item, const struct snapshot_job *job)
{
	struct agent *agent = item->agent;
	struct snapshot_status *status = item->status;
	const struct instance *instance = objects_get(agent->params.objects, KIND_INSTANCE, job->instance_uid);

	status->state = SNAPSHOT_READY;
	status->taken_at = loop_wall_ms(agent->params.loop);
	status->has_memory = job->is_running && job->snapshot->spec.memory;
	for (size_t i = 0; i < job->volumes.count; i++)
		if (!text_equal(job->volumes.items[i], job->instance_uid))
			*(char **)field_list_push(&status->volumes, sizeof(char *)) = text_copy(job->volumes.items[i]);
	if (instance) {
		status->cpus = instance->status.cpus;
		status->memory = instance->status.memory;
		text_replace(&status->machine, instance->status.machine);
	}
	item_save(item, "ready", false, "snapshot '%s' of '%s' is taken", job->snapshot->meta.name,
		  instance ? instance->meta.name : job->instance_uid);
}

static void done(struct job *base)
{
	struct snapshot_job *job = container_of(base, struct snapshot_job, job);
	struct item *item = base->item;
	struct snapshot_status *status = item->status;

	if (base->err.code == 0) {
		if (job->snapshot->meta.deleted_at)
			item_delete(item, NULL);
		else
			taken(item, job);
		return;
	}
	text_replace(&status->reason, base->err.msg);
	if (job->snapshot->meta.deleted_at)
		item_fail(item);
	else
		status->state = SNAPSHOT_FAILED;	/* Not tried again: it would show another instant. */
	item_save(item, "failed", true, "snapshot '%s': %s", job->snapshot->meta.name, base->err.msg);
}

static void free_job(struct job *base)
{
	struct snapshot_job *job = container_of(base, struct snapshot_job, job);

	kind_free(&kinds[KIND_SNAPSHOT], job->snapshot);
	free(job->instance_uid);
	for (size_t i = 0; i < job->volumes.count; i++)
		free(job->volumes.items[i]);
	vec_done(&job->volumes);
	free(job);
}

static void list_disks(struct item *item, const struct instance *instance, struct snapshot_job *job)
{
	const struct image *image = objects_get(item->agent->params.objects, KIND_IMAGE, instance->spec.image_uid);

	if (instance_has_root(instance, image))
		*vec_push(&job->volumes) = text_copy(instance->meta.uid);
	for (size_t i = 0; i < instance->spec.volumes.count; i++) {
		const struct instance_volume *volume = field_list_at(&instance->spec.volumes, struct instance_volume, i);

		if (!volume->read_only)
			*vec_push(&job->volumes) = text_copy(volume->volume_uid);
	}
}

static void reconcile(struct item *item, void *object)
{
	const struct snapshot *snapshot = object;
	const struct instance *instance = objects_get(item->agent->params.objects, KIND_INSTANCE, snapshot->meta.parent);
	struct item *other = instance ? item_get(item->agent, instance->meta.uid) : NULL;
	struct snapshot_job *job;

	if (!snapshot->meta.deleted_at && item_snapshot(item)->state != SNAPSHOT_PENDING)
		return;
	if (!other) {
		item_delete(item, NULL);	/* Its disks went with the instance. */
		return;
	}
	if (other->is_busy || !other->world.is_known || (!snapshot->meta.deleted_at && !item_instance(other)->disk_ready)) {
		item_wait_for(item, other);
		item_wake(other);
		return;
	}
	job = job_new(struct snapshot_job);
	*job = (struct snapshot_job){
		.job = { .item = item, .other = other, .run = run, .done = done, .free = free_job },
		.machine = item->agent->params.machine, .volume = item->agent->params.volume,
		.snapshot = kind_copy(item->kind, snapshot), .instance_uid = text_copy(other->uid),
		.is_running = other->world.state != MACHINE_ABSENT,
	};
	list_disks(item, instance, job);
	item_run(&job->job);
}

const struct controller snapshot_controller = { .reconcile = reconcile };
