/* volume.c - the controller of volumes. */
#include "2-virtualization/agent/item.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

#include "base/mem.h"
#include "base/str.h"

enum { HOPELESS_RETRY_MS = 3600000 };

enum volume_step { VOLUME_CREATE, VOLUME_RESIZE, VOLUME_RESTORE, VOLUME_REMOVE };

struct volume_job {
	struct job job;
	enum volume_step step;
	struct volume_driver *driver;
	struct volume *volume;			/* A copy. */
	struct machine_driver *machine;
	char *machine_uid;			/* The running machine it is plugged into, or null. */
	char *upload;				/* A file in staging: a backup. */
	struct volume_info info;
};

static int open_upload(const struct volume_job *job, int *ret_fd, struct err *err)
{
	*ret_fd = open(job->upload, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? err_set(err, -ENOENT, "the uploaded backup is gone: send it again") : 0;
}

static int receive(struct volume_job *job, struct err *err)
{
	auto_close int fd = -1;
	int r = open_upload(job, &fd, err);

	return r < 0 ? r : job->driver->ops->receive(job->driver, job->volume->meta.uid, fd, NULL, err);
}

static int create(struct volume_job *job, struct err *err)
{
	const struct volume_spec *spec = &job->volume->spec;
	const char *uid = job->volume->meta.uid;
	struct volume_driver *driver = job->driver;
	int r = driver->ops->info(driver, uid, &job->info, err);

	if (r == 0)
		return 0;			/* Made before a crash. */
	if (job->upload)
		return receive(job, err);
	if (spec->source.volume) {
		r = driver->ops->clone(driver, uid, spec->source.volume, spec->source.snapshot, NULL, err);
		if (r == 0 && spec->size)
			r = driver->ops->resize(driver, uid, spec->size, err);
		return r;
	}
	return driver->ops->create(driver, uid, spec->content == VOLUME_CONTENT_FILESYSTEM ? VOLUME_TREE : VOLUME_BLOCK, NULL, spec->size, err);
}

static int resize(struct volume_job *job, struct err *err)
{
	const struct volume *volume = job->volume;

	if (job->machine_uid && volume->spec.content == VOLUME_CONTENT_BLOCK)
		return job->machine->ops->disk_resize(job->machine, job->machine_uid, volume->meta.uid, volume->spec.size, err);
	return job->driver->ops->resize(job->driver, volume->meta.uid, volume->spec.size, err);
}

static int restore(struct volume_job *job, struct err *err)
{
	if (job->machine_uid)
		return err_set(err, -EBUSY, "the volume is used by a running instance: stop it first");
	if (job->upload)
		return receive(job, err);
	return job->driver->ops->snapshot_restore(job->driver, job->volume->meta.uid, job->volume->spec.restore.snapshot, err);
}

static void run(struct job *base)
{
	struct volume_job *job = container_of(base, struct volume_job, job);
	int r = 0;

	switch (job->step) {
	case VOLUME_CREATE: r = create(job, &base->err); break;
	case VOLUME_RESIZE: r = resize(job, &base->err); break;
	case VOLUME_RESTORE: r = restore(job, &base->err); break;
	case VOLUME_REMOVE: r = job->driver->ops->remove(job->driver, job->volume->meta.uid, &base->err); break;
	}
	if (r == 0 && job->step != VOLUME_REMOVE) {
		volume_info_done(&job->info);
		r = job->driver->ops->info(job->driver, job->volume->meta.uid, &job->info, &base->err);
	}
	if (r == 0)
		base->err.code = 0;
}

static void failed(struct item *item, const struct volume_job *job)
{
	struct volume_status *status = item->status;
	const struct err *err = &job->job.err;

	text_replace(&status->reason, err->msg);
	if (job->step == VOLUME_RESTORE) {
		status->restore_serial = job->volume->spec.restore.serial;	/* Who asked decides whether to ask again. */
	} else {
		if (job->step != VOLUME_RESIZE)
			status->state = VOLUME_FAILED;
		item_fail(item);
		/* It will not become possible by itself. */
		if (err->code == -EOPNOTSUPP || err->code == -EINVAL)
			item_retry_in(item, HOPELESS_RETRY_MS);
	}
	item_save(item, "failed", true, "volume '%s': %s", job->volume->meta.name, err->msg);
}

/* They went with it; of snapshots of instances only the part that was in it. */
static struct store_txn *forget_snapshots(struct item *item)
{
	const struct map *all = objects_all(item->agent->params.objects, KIND_SNAPSHOT);
	struct store_txn *txn = store_txn_new();

	for (size_t i = 0; i < all->count; i++) {
		const struct meta *snapshot = all->entries[i].value;

		if (text_equal(snapshot->parent, item->uid))
			objects_delete(item->agent->params.objects, txn, &kinds[KIND_SNAPSHOT], snapshot);
	}
	return txn;
}

/* A backup says itself whether it is of a disk or of a folder: only who has read it can fill that in. */
static void take_content(struct item *item, const struct volume_job *job)
{
	int content = job->info.content == VOLUME_TREE ? VOLUME_CONTENT_FILESYSTEM : VOLUME_CONTENT_BLOCK;
	struct volume *volume = item_object(item);
	struct store_txn *txn;

	if (!job->upload || !volume || volume->spec.content == content)
		return;
	volume = kind_copy(item->kind, volume);
	volume->spec.content = content;
	txn = store_txn_new();
	objects_guard(item->agent->params.objects, txn, item->kind, item->uid);
	objects_put_desired(txn, item->kind, volume);
	store_submit(item->agent->params.store, txn, NULL, NULL);
	kind_free(item->kind, volume);
}

/* Once the result is durable the backup is not needed again. */
static void drop_upload(struct item *item)
{
	const struct volume *volume = item_object(item);
	const char *ids[] = { volume->spec.source.upload, volume->spec.restore.upload };

	for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
		auto_free char *path = ids[i] ? agent_staging_path(item->agent, ids[i]) : NULL;

		if (path)
			unlink(path);
	}
}

static void done(struct job *base)
{
	static const char *const events[] = { [VOLUME_CREATE] = "ready", [VOLUME_RESIZE] = "resized", [VOLUME_RESTORE] = "restored" };
	struct volume_job *job = container_of(base, struct volume_job, job);
	struct item *item = base->item;
	struct volume_status *status = item->status;
	const char *name = job->volume->meta.name;

	if (base->err.code < 0) {
		failed(item, job);
		return;
	}
	if (job->step == VOLUME_REMOVE) {
		drop_upload(item);
		item_delete(item, forget_snapshots(item));
		return;
	}
	item->failures = 0;
	take_content(item, job);
	status->state = VOLUME_READY;
	status->size = job->info.size_bytes;
	status->allocated = job->info.allocated_bytes;
	text_replace(&status->reason, NULL);
	if (job->step == VOLUME_RESTORE)
		status->restore_serial = job->volume->spec.restore.serial;
	item->has_leftovers = job->upload != NULL;
	item_save(item, events[job->step], false, "volume '%s' is %s", name, job->step == VOLUME_RESTORE ? "restored" : "ready");
}

static void free_job(struct job *base)
{
	struct volume_job *job = container_of(base, struct volume_job, job);

	kind_free(&kinds[KIND_VOLUME], job->volume);
	volume_info_done(&job->info);
	free(job->upload);
	free(job->machine_uid);
	free(job);
}

bool instance_has_volume(const struct instance *instance, const char *uid)
{
	for (size_t i = 0; i < instance->spec.volumes.count; i++)
		if (text_equal(field_list_at(&instance->spec.volumes, struct instance_volume, i)->volume_uid, uid))
			return true;
	for (size_t i = 0; i < instance->spec.container.mounts.count; i++)
		if (text_equal(field_list_at(&instance->spec.container.mounts, struct instance_mount, i)->volume_uid, uid))
			return true;
	return false;
}

struct item *volume_holder(struct agent *agent, const char *uid)
{
	const struct map *users = objects_users(agent->params.objects, uid);

	return users->count ? item_get(agent, users->entries[0].key) : NULL;
}

/* A resize or restore must not meet a step of the instance it is plugged into. */
static bool lock_holder(struct item *item, struct volume_job *job)
{
	struct item *other = job->step == VOLUME_RESIZE || job->step == VOLUME_RESTORE ? volume_holder(item->agent, item->uid) : NULL;

	if (!other)
		return true;
	if (other->is_busy || !other->world.is_known) {
		item_wait_for(item, other);
		item_wake(other);
		return false;
	}
	if (other->world.state != MACHINE_ABSENT)
		job->machine_uid = text_copy(other->uid);
	job->machine = other->machine;
	job->job.other = other;
	return true;
}

void volume_note_snapshots(struct agent *agent, const char *uid)
{
	const struct map *all = objects_all(agent->params.objects, KIND_SNAPSHOT);
	struct item *item = item_get(agent, uid);
	struct volume_status *status;
	int64_t newest = 0;

	if (!item || item->kind->id != KIND_VOLUME)
		return;
	for (size_t i = 0; i < all->count; i++) {
		const struct item *snapshot = item_get(agent, all->entries[i].key);
		const struct snapshot_status *taken = snapshot ? snapshot->status : NULL;
		const struct meta *meta = all->entries[i].value;
		bool is_of_volume = text_equal(meta->parent, uid);

		for (size_t v = 0; taken && v < taken->volumes.count; v++)
			is_of_volume |= text_equal(*field_list_at(&taken->volumes, char *, v), uid);
		if (taken && is_of_volume && !meta->deleted_at && taken->state == SNAPSHOT_READY && taken->taken_at > newest)
			newest = taken->taken_at;
	}
	status = item->status;
	if (status->snapshot_at == newest)
		return;
	status->snapshot_at = newest;
	item_save(item, NULL, false, "%s", "");
}

static int next_step(const struct volume *volume, const struct volume_status *status, enum volume_step *ret_step)
{
	if (volume->meta.deleted_at)
		*ret_step = VOLUME_REMOVE;
	else if (status->state == VOLUME_PENDING || status->state == VOLUME_FAILED)
		*ret_step = VOLUME_CREATE;
	else if (volume->spec.restore.serial > status->restore_serial)
		*ret_step = VOLUME_RESTORE;
	else if (volume->spec.size > status->size)
		*ret_step = VOLUME_RESIZE;
	else
		return -ENOENT;
	return 0;
}

static void reconcile(struct item *item, void *object)
{
	const struct volume *volume = object;
	struct item *pool = pool_to_wait_for(item->agent, volume->spec.pool_uid);
	struct err ignored = { 0 };
	struct volume_job *job;
	enum volume_step step;
	const char *upload;

	if (item->has_leftovers) {
		item->has_leftovers = false;
		item_save_first(item, drop_upload);
		return;
	}
	if (next_step(volume, item->status, &step) < 0)
		return;
	if (pool) {
		item_wait_for(item, pool);
		return;
	}
	job = job_new(struct volume_job);
	*job = (struct volume_job){ .job = { .item = item, .run = run, .done = done, .free = free_job }, .step = step,
				    .driver = agent_pool(item->agent, volume->spec.pool_uid, &ignored),
				    .volume = kind_copy(item->kind, volume) };
	upload = step == VOLUME_CREATE ? volume->spec.source.upload : step == VOLUME_RESTORE ? volume->spec.restore.upload : NULL;
	job->upload = upload ? agent_staging_path(item->agent, upload) : NULL;
	if (lock_holder(item, job))
		item_run(&job->job);
	else
		free_job(&job->job);
}

const struct controller volume_controller = { .reconcile = reconcile };
