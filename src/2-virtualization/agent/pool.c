/*
 * pool.c - the controller of pools: opens them, so that volumes in them can be used, and removes them.
 *
 * A pool is opened once in a daemon's life; until then everything that needs it waits for its item. The
 * pool "default" is open from the start, because images are in it.
 */
#include "2-virtualization/agent/item.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

enum { SPACE_PERIOD_MS = 30000 };
enum pool_step { POOL_OPEN, POOL_SPACE, POOL_REMOVE };

struct pool_job {
	struct job job;
	enum pool_step step;
	struct pool_source source;
	struct pool *pool;			/* A copy. */
	struct volume_driver *driver;		/* Null: to be opened; closed for removal. */
	bool is_default;
	struct map known;			/* Of the sweep. */
	bool keeps_unknown;
	VEC(char *) images;			/* For removal: their uids. */
	/* Results. */
	char *path;
	struct volume_space space;
};

struct item *pool_to_wait_for(struct agent *agent, const char *pool_uid)
{
	struct item *item = item_get(agent, pool_uid);

	return item && !item->pool ? item : NULL;
}

static bool is_default(const struct pool *pool)
{
	return text_equal(pool->meta.name, "default");
}

static int open_pool(struct pool_job *job, struct err *err)
{
	struct err ignored = { 0 };
	size_t removed;
	int r = job->driver ? 0 : job->source.open(job->source.data, job->pool, &job->driver, &job->path, err);

	if (r < 0 || job->is_default)
		return r;
	removed = sweep_pool(job->driver, &job->known, job->keeps_unknown, &ignored);
	if (removed)
		log_line(LOG_NOTICE, "pool '%s': %zu leftovers of an interrupted run were removed", job->pool->meta.name, removed);
	return 0;
}

/* Copies of images were made for the roots that were here, and go with the pool. */
static void remove_images(struct pool_job *job)
{
	struct err ignored;

	for (size_t i = 0; job->driver && i < job->images.count; i++)
		job->driver->ops->remove(job->driver, job->images.items[i], &ignored);
}

static int remove_pool(struct pool_job *job, struct err *err)
{
	struct err ignored;
	int r;

	if (job->is_default)
		return 0;			/* Its folder is the daemon's own. */
	if (!job->driver && job->pool->status.path)
		(void)job->source.open(job->source.data, job->pool, &job->driver, &job->path, &ignored);
	remove_images(job);
	if (job->driver)
		job->driver->ops->close(job->driver);
	job->driver = NULL;
	r = job->source.destroy(job->source.data, job->pool, err);
	/* What has never been ready holds nothing of ours, whatever it is. */
	return r < 0 && !job->pool->status.path ? 0 : r;
}

static void run(struct job *base)
{
	struct pool_job *job = container_of(base, struct pool_job, job);
	int r = job->step == POOL_REMOVE ? remove_pool(job, &base->err) : job->step == POOL_OPEN ? open_pool(job, &base->err) : 0;

	if (r == 0 && job->step != POOL_REMOVE && job->driver->ops->space)
		r = job->driver->ops->space(job->driver, &job->space, &base->err);
	if (r == 0)
		base->err.code = 0;
}

static void opened(struct item *item, struct pool_job *job)
{
	struct pool_status *status = item->status;
	bool is_new = status->state != POOL_READY;

	item->pool = take(job->driver);
	item->failures = 0;
	status->state = POOL_READY;
	status->size = job->space.size_bytes;
	status->free = job->space.free_bytes;
	text_replace(&status->reason, NULL);
	if (job->path)
		text_replace(&status->path, job->path);
	if (is_new)
		item_save(item, "ready", false, "pool '%s' is ready", job->pool->meta.name);
	else
		item_show(item);
}

static void failed(struct item *item, struct pool_job *job)
{
	struct pool_status *status = item->status;
	const struct err *err = &job->job.err;
	bool is_news = status->state != POOL_FAILED || !text_equal(status->reason, err->msg);

	status->state = POOL_FAILED;
	text_replace(&status->reason, err->msg);
	item_fail(item);
	if (is_news)
		item_save(item, "failed", true, "pool '%s': %s", job->pool->meta.name, err->msg);
}

static void done(struct job *base)
{
	struct pool_job *job = container_of(base, struct pool_job, job);
	struct item *item = base->item;
	struct pool_status *status = item->status;

	if (job->step == POOL_SPACE) {
		status->size = base->err.code == 0 ? job->space.size_bytes : status->size;
		status->free = base->err.code == 0 ? job->space.free_bytes : status->free;
		job->driver = NULL;		/* Still the item's. */
		item_show(item);
	} else if (base->err.code < 0) {
		failed(item, job);
	} else if (job->step == POOL_REMOVE) {
		item_delete(item, NULL);
	} else {
		opened(item, job);
	}
}

static void free_job(struct job *base)
{
	struct pool_job *job = container_of(base, struct pool_job, job);

	if (job->driver && !job->is_default && job->step != POOL_SPACE)
		job->driver->ops->close(job->driver);
	kind_free(&kinds[KIND_POOL], job->pool);
	map_done(&job->known);
	for (size_t i = 0; i < job->images.count; i++)
		free(job->images.items[i]);
	vec_done(&job->images);
	free(job->path);
	free(job);
}

/* Looked at now and then, and shown; never stored. */
static bool is_space_due(struct item *item)
{
	uint64_t now = loop_now_ms(item->agent->params.loop);

	if (!item->agent->params.sample_ms)
		return false;
	if (now < item->look_ms) {
		item_wake_in(item, item->look_ms - now);
		return false;
	}
	item->look_ms = now + SPACE_PERIOD_MS;
	return true;
}

static void note_images(struct agent *agent, struct pool_job *job)
{
	const struct map *all = objects_all(agent->params.objects, KIND_IMAGE);

	for (size_t i = 0; i < all->count; i++)
		*vec_push(&job->images) = text_copy(kind_meta(all->entries[i].value)->uid);
}

static void reconcile(struct item *item, void *object)
{
	const struct pool *pool = object;
	struct agent *agent = item->agent;
	struct pool_job *job;

	if (item->pool && !pool->meta.deleted_at && !is_space_due(item))
		return;
	job = job_new(struct pool_job);
	*job = (struct pool_job){
		.job = { .item = item, .run = run, .done = done, .free = free_job }, .source = agent->params.pools,
		.pool = kind_copy(item->kind, pool), .is_default = is_default(pool),
		.keeps_unknown = agent->params.keeps_unknown,
		.step = pool->meta.deleted_at ? POOL_REMOVE : item->pool ? POOL_SPACE : POOL_OPEN,
		.driver = item->pool,
	};
	if (job->is_default && !job->driver)
		job->driver = agent->params.volume;
	if (job->step == POOL_REMOVE) {
		note_images(agent, job);
		item->pool = NULL;		/* Nobody may use it any more; the job closes it. */
	}
	if (job->step == POOL_OPEN)
		sweep_note_known(agent, pool->spec.shared, &job->known);
	item_run(&job->job);
}

static void item_is_freed(struct item *item)
{
	if (item->pool && item->pool != item->agent->params.volume)
		item->pool->ops->close(item->pool);
}

const struct controller pool_controller = { .reconcile = reconcile, .done = item_is_freed };
