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
	struct machine_driver *machine;		/* Of the instance, or of the one that has the volume; null: nobody has it. */
	int kind;				/* enum instance_kind */
	struct snapshot *snapshot;		/* A copy. */
	char *instance_uid;
	bool is_running;
	bool is_of_volume;			/* meta.parent is a volume: only that one. */
	struct volume_refs volumes;		/* Every writable disk or tree of it, root first. */
};

/* Nobody writes to the volumes. */
static int take_still(struct snapshot_job *job, struct err *err)
{
	for (size_t i = 0; i < job->volumes.items.count; i++) {
		const struct volume_ref *volume = &job->volumes.items.items[i];
		int r = volume->driver->ops->snapshot_create(volume->driver, volume->uid, job->snapshot->meta.uid, err);

		if (r < 0)
			return volume->name ? err_prefix(err, "volume '%s'", volume->name) : r;
	}
	return 0;
}

static int remove_still(struct snapshot_job *job, struct err *err)
{
	for (size_t i = 0; i < job->volumes.items.count; i++) {
		const struct volume_ref *volume = &job->volumes.items.items[i];
		int r = volume->driver->ops->snapshot_remove(volume->driver, volume->uid, job->snapshot->meta.uid, err);

		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

/* QEMU has the disk open: it takes and removes snapshots itself. */
static bool is_qemus(const struct snapshot_job *job)
{
	return job->is_running && job->kind == INSTANCE_VM;
}

static int remove_it(struct snapshot_job *job, struct err *err)
{
	if (is_qemus(job))
		return job->machine->ops->snapshot_remove(job->machine, job->instance_uid, job->snapshot->meta.uid, err);
	return remove_still(job, err);
}

/* All trees of a container at one instant: while it is frozen. */
static int take_frozen(struct snapshot_job *job, struct err *err)
{
	struct machine_status status = { 0 };
	struct err ignored = { 0 };
	int r = job->machine->ops->status(job->machine, job->instance_uid, &status, err);
	bool must_freeze = r == 0 && status.state == MACHINE_RUNNING;

	if (must_freeze)
		r = job->machine->ops->pause(job->machine, job->instance_uid, err);
	if (r == 0)
		r = take_still(job, err);
	if (must_freeze)
		job->machine->ops->resume(job->machine, job->instance_uid, &ignored);
	return r;
}

static int take_it(struct snapshot_job *job, struct err *err)
{
	const char *uid = job->snapshot->meta.uid;
	struct err ignored = { 0 };
	int r = remove_it(job, err);		/* What an attempt that was cut off has left. */

	if (r < 0)
		return r;
	if (!job->volumes.items.count)
		return err_set(err, -EOPNOTSUPP, "the instance has no disk that could be kept: give it one with --disk");
	if (is_qemus(job))
		return job->is_of_volume ?
			job->machine->ops->disk_snapshot(job->machine, job->instance_uid, job->volumes.items.items[0].uid, uid, err) :
			job->machine->ops->snapshot_create(job->machine, job->instance_uid, uid, job->snapshot->spec.memory, err);
	r = job->is_running ? take_frozen(job, err) : take_still(job, err);
	if (r < 0)
		remove_still(job, &ignored);	/* All or none. */
	return r;
}

static void run(struct job *base)
{
	struct snapshot_job *job = container_of(base, struct snapshot_job, job);
	int r = job->snapshot->meta.deleted_at ? remove_it(job, &base->err) : take_it(job, &base->err);

	if (r == 0)
		base->err.code = 0;
}

static void note_volumes(struct agent *agent, const struct snapshot_job *job)
{
	for (size_t i = 0; i < job->volumes.items.count; i++)
		volume_note_snapshots(agent, job->volumes.items.items[i].uid);
}

static void taken(struct item *item, const struct snapshot_job *job)
{
	struct agent *agent = item->agent;
	struct snapshot_status *status = item->status;
	const struct instance *instance = objects_get(agent->params.objects, KIND_INSTANCE, job->snapshot->meta.parent);
	const struct volume *volume = objects_get(agent->params.objects, KIND_VOLUME, job->snapshot->meta.parent);

	status->state = SNAPSHOT_READY;
	status->taken_at = loop_wall_ms(agent->params.loop);
	status->has_memory = is_qemus(job) && job->snapshot->spec.memory;
	for (size_t i = 0; i < job->volumes.items.count; i++)
		if (!text_equal(job->volumes.items.items[i].uid, job->snapshot->meta.parent))
			*(char **)field_list_push(&status->volumes, sizeof(char *)) = text_copy(job->volumes.items.items[i].uid);
	if (instance) {
		status->cpus = instance->status.cpus;
		status->memory = instance->status.memory;
		text_replace(&status->machine, instance->status.machine);
	}
	note_volumes(agent, job);
	item_save(item, "ready", false, "snapshot '%s' of '%s' is taken", job->snapshot->meta.name,
		  instance ? instance->meta.name : volume ? volume->meta.name : job->snapshot->meta.parent);
}

static void done(struct job *base)
{
	struct snapshot_job *job = container_of(base, struct snapshot_job, job);
	struct item *item = base->item;
	struct snapshot_status *status = item->status;

	if (base->err.code == 0) {
		if (job->snapshot->meta.deleted_at) {
			((struct snapshot_status *)item->status)->state = SNAPSHOT_DELETING;
			note_volumes(item->agent, job);
			item_delete(item, NULL);
		} else {
			taken(item, job);
		}
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
	volume_refs_done(&job->volumes);
	free(job);
}

/* False: its pool is not open yet, and 'item' waits for it. */
static bool add_volume(struct item *item, const char *uid, const char *name, const char *pool_uid, struct snapshot_job *job)
{
	struct item *pool = pool_to_wait_for(item->agent, pool_uid);
	struct err ignored = { 0 };

	if (pool)
		item_wait_for(item, pool);
	else
		*vec_push(&job->volumes.items) = (struct volume_ref){
			.uid = text_copy(uid), .name = text_copy(name), .driver = agent_pool(item->agent, pool_uid, &ignored) };
	return !pool;
}

static bool add_by_uid(struct item *item, const char *uid, const char *name, bool is_read_only, struct snapshot_job *job)
{
	const struct volume *volume = objects_get(item->agent->params.objects, KIND_VOLUME, uid);

	return is_read_only || !volume || add_volume(item, uid, name, volume->spec.pool_uid, job);
}

static bool list_disks(struct item *item, const struct instance *instance, struct snapshot_job *job)
{
	const struct image *image = objects_get(item->agent->params.objects, KIND_IMAGE, instance->spec.image_uid);
	const struct field_list *volumes = &instance->spec.volumes, *mounts = &instance->spec.container.mounts;
	bool is_whole = !instance_has_root(instance, image) || add_volume(item, instance->meta.uid, NULL, instance->spec.pool_uid, job);

	for (size_t i = 0; i < volumes->count && is_whole; i++) {
		const struct instance_volume *volume = field_list_at(volumes, struct instance_volume, i);

		is_whole = add_by_uid(item, volume->volume_uid, volume->volume, volume->read_only, job);
	}
	for (size_t i = 0; i < mounts->count && is_whole; i++) {
		const struct instance_mount *mount = field_list_at(mounts, struct instance_mount, i);

		is_whole = !mount->volume_uid || add_by_uid(item, mount->volume_uid, mount->source, mount->read_only, job);
	}
	return is_whole;
}

/* The item that must hold still: the instance; of a volume whoever has it, else the volume itself. */
static struct item *item_to_lock(struct item *item, const char *parent)
{
	struct item *of = item_get(item->agent, parent), *holder = NULL;

	if (of && of->kind->id == KIND_VOLUME)
		holder = volume_holder(item->agent, parent);
	return holder ? holder : of;
}

static bool is_ready_for(const struct item *other, bool is_removal)
{
	if (other->is_busy)
		return false;
	if (other->kind->id == KIND_VOLUME)
		return is_removal || ((const struct volume_status *)other->status)->state == VOLUME_READY;
	return other->world.is_known && (is_removal || ((const struct instance_status *)other->status)->disk_ready);
}

static struct snapshot_job *new_job(struct item *item, struct item *other, const struct snapshot *snapshot)
{
	struct snapshot_job *job = job_new(struct snapshot_job);
	bool is_instance = other->kind->id == KIND_INSTANCE;

	*job = (struct snapshot_job){
		.job = { .item = item, .other = other, .run = run, .done = done, .free = free_job },
		.snapshot = kind_copy(item->kind, snapshot), .instance_uid = text_copy(other->uid),
		.machine = is_instance ? other->machine : NULL, .is_running = is_instance && other->world.state != MACHINE_ABSENT,
		.kind = is_instance ? ((const struct instance *)item_object(other))->spec.kind : INSTANCE_VM,
		.is_of_volume = objects_get(item->agent->params.objects, KIND_VOLUME, snapshot->meta.parent) != NULL,
	};
	return job;
}

static void reconcile(struct item *item, void *object)
{
	const struct snapshot *snapshot = object;
	const struct instance *instance = objects_get(item->agent->params.objects, KIND_INSTANCE, snapshot->meta.parent);
	struct item *other = item_to_lock(item, snapshot->meta.parent);
	struct snapshot_job *job;
	bool is_whole;

	if (!snapshot->meta.deleted_at && item_snapshot(item)->state != SNAPSHOT_PENDING)
		return;
	if (!other || !item_object(other)) {
		item_delete(item, NULL);	/* Its disks went with the instance. */
		return;
	}
	if (!is_ready_for(other, snapshot->meta.deleted_at != 0)) {
		item_wait_for(item, other);
		item_wake(other);
		return;
	}
	job = new_job(item, other, snapshot);
	is_whole = instance ? list_disks(item, instance, job) : add_by_uid(item, snapshot->meta.parent, NULL, false, job);
	if (is_whole)
		item_run(&job->job);
	else
		free_job(&job->job);
}

const struct controller snapshot_controller = { .reconcile = reconcile };
