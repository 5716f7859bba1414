#include "2-virtualization/agent/agent.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "2-virtualization/agent/image_job.h"
#include "2-virtualization/agent/instance_job.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

enum { SAVE_RETRY_MS = 2000, STATUS_DELAY_MS = 20 };

static const struct controller *const controllers[KIND_COUNT] = {
	[KIND_INSTANCE] = &instance_controller,
	[KIND_IMAGE] = &image_controller,
	[KIND_VOLUME] = &volume_controller,
	[KIND_NETWORK] = &network_controller,
	[KIND_SNAPSHOT] = &snapshot_controller,
	[KIND_POOL] = &pool_controller,
};

static void item_free(struct item *item)
{
	if (controllers[item->kind->id]->done)
		controllers[item->kind->id]->done(item);
	if (item->last_job)
		item->last_job->free(item->last_job);
	free(item->move.failure);
	loop_remove(item->timer);
	loop_remove(item->save_timer);
	field_done(item->kind->status, item->status);
	free(item->status);
	for (size_t i = 0; i < item->waiters.count; i++)
		free(item->waiters.items[i]);
	vec_done(&item->waiters);
	free(item);
}

static struct item *item_new(struct agent *agent, const struct kind *kind, void *object);

struct item *agent_item(struct agent *agent, const struct kind *kind, void *object)
{
	struct item *item = item_get(agent, kind_meta(object)->uid);

	return item ? item : item_new(agent, kind, object);
}

void peer_done(struct peer *peer)
{
	free(peer->uid);
	free(peer->name);
	free(peer->address);
}

struct item *item_get(struct agent *agent, const char *uid)
{
	return uid ? map_get(&agent->items, uid) : NULL;
}

void *item_object(struct item *item)
{
	return item->is_gone ? NULL : objects_get(item->agent->params.objects, item->kind->id, item->uid);
}

static struct item *item_new(struct agent *agent, const struct kind *kind, void *object)
{
	struct item *item = alloc(sizeof(*item));

	*item = (struct item){ .agent = agent, .kind = kind };
	snprintf(item->uid, sizeof(item->uid), "%s", kind_meta(object)->uid);
	item->status = alloc(kind->status->size);
	field_copy(kind->status, kind_status(kind, object), item->status);
	if (kind->id == KIND_INSTANCE)
		item->machine = agent_machine(agent, ((const struct instance *)object)->spec.kind);
	map_put(&agent->items, item->uid, item);
	return item;
}

static void reconcile(struct item *item)
{
	struct item *leaving = map_get(&item->agent->leaving, item->uid);
	void *object = item_object(item);

	if (item->is_busy) {
		item->is_dirty = true;
		return;
	}
	item->is_dirty = false;
	if (leaving) {
		item_wait_for(item, leaving);
		return;
	}
	if (item->retry_ms > loop_now_ms(item->agent->params.loop)) {
		item_wake_in(item, item->retry_ms - loop_now_ms(item->agent->params.loop));
		return;
	}
	if (object && !item->is_removed)
		controllers[item->kind->id]->reconcile(item, object);
}

/* One message per burst of wake-ups: everything that is ready is looked at once. */
static void turn(void *data)
{
	struct agent *agent = data;
	size_t count = agent->ready.count;

	agent->is_turn_posted = false;
	for (size_t i = 0; i < count; i++) {
		struct item *item = agent->ready.items[i];

		if (!item)
			continue;
		item->is_ready = false;
		agent->ready.items[i] = NULL;
		reconcile(item);
	}
	memmove(agent->ready.items, agent->ready.items + count, (agent->ready.count - count) * sizeof(agent->ready.items[0]));
	agent->ready.count -= count;
}

void item_wake(struct item *item)
{
	struct agent *agent;

	if (!item || item->is_ready || item->is_gone)
		return;
	agent = item->agent;
	if (!agent->is_swept)
		return;				/* All are woken when the sweep has ended. */
	item->is_ready = true;
	*vec_push(&agent->ready) = item;
	if (!agent->is_turn_posted) {
		agent->is_turn_posted = true;
		loop_post(agent->params.loop, turn, NULL, agent);
	}
}

static void timer_fired(void *data)
{
	struct item *item = data;

	item->timer = NULL;
	item_wake(item);
}

void item_wake_in(struct item *item, uint64_t ms)
{
	loop_remove(item->timer);
	item->timer = NULL;
	loop_add_timer(item->agent->params.loop, ms, timer_fired, item, &item->timer);
}

void item_wait_for(struct item *item, struct item *other)
{
	for (size_t i = 0; i < other->waiters.count; i++)
		if (text_equal(other->waiters.items[i], item->uid))
			return;
	*vec_push(&other->waiters) = text_copy(item->uid);
}

void item_retry_in(struct item *item, uint64_t ms)
{
	item->retry_ms = loop_now_ms(item->agent->params.loop) + ms;
}

void item_fail(struct item *item)
{
	item_retry_in(item, instance_backoff_ms(item->failures++));
}

static void wake_waiters(struct item *item)
{
	for (size_t i = 0; i < item->waiters.count; i++) {
		item_wake(item_get(item->agent, item->waiters.items[i]));
		free(item->waiters.items[i]);
	}
	item->waiters.count = 0;
}

static void set_busy(struct item *item)
{
	assert(!item->is_busy);
	item->is_busy = true;
	item->agent->busy_count++;
}

/* Gone and idle: what is to be done last, and then it is freed. */
static void item_end(struct item *item)
{
	struct map *leaving = &item->agent->leaving;

	if (item->last_job) {
		wake_waiters(item);
		item_run(take(item->last_job));
		return;
	}
	if (map_get(leaving, item->uid) == item)
		map_remove(leaving, item->uid);
	wake_waiters(item);
	item_free(item);
}

static void set_idle(struct item *item)
{
	item->is_busy = false;
	item->agent->busy_count--;
	if (item->is_gone) {
		item_end(item);
		return;
	}
	wake_waiters(item);
	item_wake(item);
}

static void job_run(void *data)
{
	struct job *job = data;

	job->run(job);
}

static void job_done(void *data)
{
	struct job *job = data;
	struct item *item = job->item, *other = job->other;

	if (job->err.code == -ESHUTDOWN) {
		job->free(job);			/* The host is going down under us: what can be seen now is not the truth. */
		return;
	}
	job->done(job);
	job->free(job);
	if (other)
		set_idle(other);
	set_idle(item);
}

static void job_drop(void *data)
{
	struct job *job = data;

	job->free(job);
}

void item_run(struct job *job)
{
	set_busy(job->item);
	if (job->other)
		set_busy(job->other);
	work_submit(job->item->agent->params.work, job_run, job_done, job_drop, job);
}

void item_show(struct item *item)
{
	void *object = item_object(item);

	if (!object)
		return;
	field_done(item->kind->status, kind_status(item->kind, object));
	field_copy(item->kind->status, item->status, kind_status(item->kind, object));
	objects_touch(item->agent->params.objects, item->kind, object);
}

bool agent_may_write(const struct agent *agent)
{
	return !agent->params.is_shared || agent->alive_revision;
}

/* The first guard, so that 'failed_guard' 0 says: this node is taken for lost. */
void agent_guard_alive(const struct agent *agent, struct store_txn *txn)
{
	auto_free char *key = agent->params.is_shared ? text_format("alive/%s", agent->node) : NULL;

	if (key)
		store_txn_guard(txn, STORE_UNCHANGED, key, agent_may_write(agent) ? agent->alive_revision : STORE_NO_REVISION);
}

static bool is_news(const struct agent *agent, const struct store_result *result)
{
	return result->err.code != -ESTALE || (agent->params.is_shared && result->failed_guard == 0);
}

/* What item_save and item_save_first write: the object as cached, with the item's own status. */
void item_put_status(struct item *item, struct store_txn *txn, const void *object)
{
	if (item->kind->id == KIND_INSTANCE && !item_instance(item)->node)
		text_replace(&item_instance(item)->node, item->agent->node);
	objects_put_status_of(item->agent->params.objects, txn, item->kind, object, item->status, item->agent->node);
}

static void put_status(struct store_txn *txn, struct item *item, void *object)
{
	auto_free char *key = text_format("desired/%s/%s", item->kind->name, item->uid);

	agent_guard_alive(item->agent, txn);
	/* A status must not come back after its object has been deleted. */
	store_txn_guard(txn, STORE_EXISTS, key, 0);
	item_put_status(item, txn, object);
}

struct save {
	struct agent *agent;
	char uid[37];
	struct item *item;			/* With 'next': busy, so it stays. */
	void (*next)(struct item *item);
};

static void save_again(void *data)
{
	struct item *item = data;

	item->save_timer = NULL;
	item_save(item, NULL, false, "%s", "");
}

/* The store cannot be written: readers see the truth all the same, and it is written as soon as it can be. */
static void save_failed(struct item *item, const struct err *err)
{
	if (!item->is_unsaved && err->code != -ESTALE)
		log_line(LOG_ERROR, "%s %s: its state could not be written, trying again: %s", item->kind->name, item->uid, err->msg);
	item->is_unsaved = true;
	item_show(item);
	if (!item->save_timer)
		loop_add_timer(item->agent->params.loop, SAVE_RETRY_MS, save_again, item, &item->save_timer);
}

static void saved(void *data, const struct store_result *result)
{
	auto_free struct save *save = data;
	struct item *item = item_get(save->agent, save->uid);

	if (!item)
		return;
	if (result->err.code == 0)
		item->is_unsaved = false;
	else if (is_news(item->agent, result))
		save_failed(item, &result->err);
}

static struct save *save_new(struct item *item, void (*next)(struct item *item))
{
	struct save *save = alloc(sizeof(*save));

	save->agent = item->agent;
	save->item = next ? item : NULL;
	save->next = next;
	memcpy(save->uid, item->uid, sizeof(save->uid));
	return save;
}

/* Null 'type': no event. */
static void save(struct item *item, uint32_t delay_ms, const char *type, bool is_warning, const char *format, va_list args)
{
	void *object = item_object(item);
	struct store_txn *txn;
	char text[300];

	if (!object)
		return;
	if (!agent_may_write(item->agent)) {
		save_failed(item, &(struct err){ .code = -ESTALE });
		return;
	}
	txn = store_txn_new();
	txn->delay_ms = delay_ms;
	put_status(txn, item, object);
	if (type) {
		vsnprintf(text, sizeof(text), format, args);
		objects_put_event(item->agent->params.objects, txn, item->kind, kind_meta(object), type, is_warning, "%s", text);
	}
	store_submit(item->agent->params.store, txn, saved, save_new(item, NULL));
}

void item_save(struct item *item, const char *type, bool is_warning, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	save(item, type ? 0 : STATUS_DELAY_MS, type, is_warning, format, args);
	va_end(args);
}

void item_save_along(struct item *item, const char *type, bool is_warning, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	save(item, STATUS_DELAY_MS, type, is_warning, format, args);
	va_end(args);
}

static void saved_first(void *data, const struct store_result *result)
{
	auto_free struct save *save = data;
	struct item *item = save->item;

	item->is_busy = false;			/* For 'next', which may start a job at once. */
	item->agent->busy_count--;
	if (result->err.code == 0) {
		item->is_unsaved = false;
		if (!item->is_gone)
			save->next(item);
	} else if (is_news(item->agent, result) && !item->is_gone) {
		save_failed(item, &result->err);
		item_fail(item);
	}
	if (!item->is_busy) {
		set_busy(item);
		set_idle(item);
	}
}

void item_save_first(struct item *item, void (*next)(struct item *item))
{
	void *object = item_object(item);
	struct store_txn *txn;

	if (!object)
		return;
	if (!agent_may_write(item->agent)) {
		item_fail(item);
		item_wake(item);
		return;
	}
	txn = store_txn_new();
	put_status(txn, item, object);
	set_busy(item);
	store_submit(item->agent->params.store, txn, saved_first, save_new(item, next));
}

struct commit { struct item *item; void (*done)(struct item *item, const struct store_result *result); };

static void committed(void *data, const struct store_result *result)
{
	auto_free struct commit *commit = data;

	commit->done(commit->item, result);
	set_idle(commit->item);
}

void item_commit(struct item *item, struct store_txn *txn, void (*done)(struct item *item, const struct store_result *result))
{
	struct commit *commit = alloc(sizeof(*commit));

	*commit = (struct commit){ item, done };
	set_busy(item);
	store_submit(item->agent->params.store, txn, committed, commit);
}

static void deleted(void *data, const struct store_result *result)
{
	auto_free struct save *save = data;
	struct item *item = item_get(save->agent, save->uid);

	if (item && result->err.code < 0) {
		item->is_removed = false;		/* Cleaning up what is gone is quick: the whole step is taken again. */
		item_wake_in(item, SAVE_RETRY_MS);
	}
}

void item_delete(struct item *item, struct store_txn *txn)
{
	struct meta *meta = item_object(item);

	if (!meta) {
		store_txn_free(txn);
		return;
	}
	if (!txn)
		txn = store_txn_new();
	agent_guard_alive(item->agent, txn);
	item->is_removed = objects_delete_part(item->agent->params.objects, txn, item->kind, meta, item->agent->node);
	if (item->is_removed)
		objects_put_event(item->agent->params.objects, txn, item->kind, meta, "deleted", false, "%s '%s' is gone",
				  item->kind->name, meta->name);
	store_submit(item->agent->params.store, txn, deleted, save_new(item, NULL));
}

static void forget(struct item *item)
{
	struct agent *agent = item->agent;

	map_remove(&agent->items, item->uid);
	if (item->is_ready)
		for (size_t i = 0; i < agent->ready.count; i++)
			if (agent->ready.items[i] == item)
				agent->ready.items[i] = NULL;
	item->is_gone = true;
	if (!item->is_busy)
		item_end(item);
}

static struct job *last_job(struct item *item, void *object, enum objects_change change)
{
	const char *at = item->kind->id == KIND_INSTANCE ? item_instance(item)->node : NULL;
	bool was_coming = at && !text_equal(at, item->agent->node);

	if (item->kind->id == KIND_INSTANCE && (change == OBJECTS_LEFT || was_coming) && item->agent->is_swept)
		return instance_leave_job(item, object);
	return item->kind->id == KIND_IMAGE && image_is_copy(item, object) ? image_forget_job(item, object) : NULL;
}

/*
 * Gone, or at another node now: something of it may still be here. Should it come back before that has gone it has to wait, and
 * then has nothing here itself if it goes again.
 */
static void end(struct item *item, void *object, enum objects_change change)
{
	struct map *leaving = &item->agent->leaving;

	item->last_job = map_get(leaving, item->uid) ? NULL : last_job(item, object, change);
	if (item->last_job)
		map_put(leaving, item->uid, item);
	forget(item);
}

/* Of images that others make there is one when an instance needs a copy. */
static bool must_have_item(struct agent *agent, const struct kind *kind, void *object)
{
	const char *owner = objects_owner(agent->params.objects, kind, object);

	return kind->id == KIND_IMAGE ? !owner[0] || text_equal(owner, agent->node) : objects_concern(agent->params.objects, kind, object, agent->node);
}

static void object_changed(void *data, const struct kind *kind, void *object, enum objects_change change)
{
	struct agent *agent = data;
	struct item *item = item_get(agent, kind_meta(object)->uid);

	if (!controllers[kind->id])
		return;
	if (change == OBJECTS_REMOVED || change == OBJECTS_LEFT) {
		if (item)
			end(item, object, change);
		return;
	}
	if (item && kind->id == KIND_INSTANCE)
		instance_seen(item, object, change);
	/* Who waits for other nodes to give up their parts. */
	if (change == OBJECTS_OBSERVED && kind_meta(object)->deleted_at && !objects_owner(agent->params.objects, kind, object))
		item_wake(item);
	if (change != OBJECTS_DESIRED)
		return;
	if (!item && !must_have_item(agent, kind, object))
		return;
	if (!item) {
		item = item_new(agent, kind, object);
		item->world.is_known = true;	/* Made just now: nothing of it can be there. */
	}
	item->retry_ms = 0;
	item->failures = 0;
	if (kind_meta(object)->deleted_at)
		item->is_cancelled = true;
	item_wake(item);
}

static void adopt_all(struct agent *agent)
{
	for (enum kind_id k = 0; k < KIND_COUNT; k++) {
		const struct map *all = objects_all(agent->params.objects, k);

		for (size_t i = 0; i < all->count && controllers[k]; i++)
			if (must_have_item(agent, &kinds[k], all->entries[i].value) && !item_get(agent, all->entries[i].key))
				item_new(agent, &kinds[k], all->entries[i].value);
	}
}

static void begin(struct agent *agent)
{
	agent->is_swept = true;
	for (size_t i = 0; i < agent->items.count; i++)
		item_wake(agent->items.entries[i].value);
}

static void swept(struct agent *agent)
{
	if (!agent->params.is_shared)
		begin(agent);
	if (agent->swept)
		agent->swept(agent->swept_data);
}

/* What could not be written while this node was not alive. */
static void save_all_unsaved(struct agent *agent)
{
	for (size_t i = 0; i < agent->items.count; i++) {
		struct item *item = agent->items.entries[i].value;

		if (item->is_unsaved)
			item_save(item, NULL, false, "%s", "");
	}
}

void agent_set_alive(struct agent *agent, uint64_t revision, uint64_t lease)
{
	agent->alive_lease = lease;
	agent->alive_revision = revision;
	if (!revision)
		return;
	if (agent->is_swept)
		save_all_unsaved(agent);
	else
		begin(agent);
}

bool agent_is_leaving(const struct agent *agent)
{
	return agent->leaving.count > 0;
}

int agent_new(const struct agent_params *params, struct agent **ret_agent, struct err *err)
{
	static const char *const folders[] = { "images", "instances", "staging" };
	struct agent *agent;

	for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
		auto_free char *path = text_format("%s/%s", params->directory, folders[i]);
		int r = file_make_dirs(path, 0700, err);

		if (r < 0)
			return r;
	}
	agent = alloc(sizeof(*agent));
	*agent = (struct agent){ .params = *params, .directory = text_copy(params->directory),
				 .node = text_copy(params->node), .boot_id = text_copy(params->boot_id) };
	agent->consoles = console_hub_new(agent);
	agent->sampler = sampler_new(agent);
	adopt_all(agent);
	objects_listen_node(params->objects, agent->node, object_changed, agent);
	*ret_agent = agent;
	return 0;
}

void agent_start(struct agent *agent, void (*on_swept)(void *data), void *data)
{
	agent->swept = on_swept;
	agent->swept_data = data;
	sweep_run(agent, swept);
}

static void free_items(struct map *items)
{
	for (size_t i = 0; i < items->count; i++) {
		struct item *item = items->entries[i].value;

		if (item->watch)
			item->machine->ops->unwatch(item->machine, item->watch);
		item->watch = NULL;
		item_free(item);
	}
	map_done(items);
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	objects_listen_node(agent->params.objects, agent->node, NULL, NULL);
	sampler_free(agent->sampler);
	free_items(&agent->items);
	free_items(&agent->leaving);
	console_hub_free(agent->consoles);
	vec_done(&agent->ready);
	free(agent->directory);
	free(agent->node);
	free(agent->boot_id);
	free(agent);
}

void agent_set_capabilities(struct agent *agent, bool is_kvm_usable, bool has_microvm)
{
	agent->is_kvm_usable = is_kvm_usable;
	agent->has_microvm = has_microvm;
	agent->knows_capabilities = true;
	for (size_t i = 0; i < agent->items.count; i++)
		item_wake(agent->items.entries[i].value);
}

bool agent_is_settled(const struct agent *agent)
{
	return agent->is_swept && agent->busy_count == 0 && !agent->is_turn_posted;
}

struct detached {
	struct agent *agent;
	struct loop *loop;
	work_fn *run, *done;
	void *data;
};

static void detached_done(void *data)
{
	auto_free struct detached *detached = data;

	detached->done(detached->data);
}

static void *detached_main(void *data)
{
	struct detached *detached = data;

	detached->run(detached->data);
	atomic_fetch_sub(&detached->agent->detached_count, 1);
	loop_post(detached->loop, detached_done, free, detached);
	return NULL;
}

int agent_run_detached(struct agent *agent, work_fn *run, work_fn *done, void *data, struct err *err)
{
	struct detached *detached;
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	if (atomic_fetch_add(&agent->detached_count, 1) >= LIMIT_EXEC_SESSIONS) {
		atomic_fetch_sub(&agent->detached_count, 1);
		return err_set(err, -EAGAIN, "%d commands and copies are running on this node already: try again when one has ended",
			       LIMIT_EXEC_SESSIONS);
	}
	detached = alloc(sizeof(*detached));
	*detached = (struct detached){ agent, agent->params.loop, run, done, data };
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 256 << 10);
	r = pthread_create(&thread, &attributes, detached_main, detached);
	pthread_attr_destroy(&attributes);
	if (r != 0) {
		atomic_fetch_sub(&agent->detached_count, 1);
		free(detached);
		return err_set(err, -r, "start a thread: %m");
	}
	return 0;
}

char *agent_console_log(const struct agent *agent, const char *instance_uid)
{
	return text_format("%s/instances/%s/console.log", agent->directory, instance_uid);
}

char *agent_staging_path(const struct agent *agent, const char *name)
{
	return text_format("%s/staging/%s", agent->directory, name);
}

char *agent_layers_folder(const struct agent *agent)
{
	return text_format("%s/oci", agent->directory);
}

char *agent_image_file(const struct agent *agent, const char *image_uid, const char *part)
{
	return text_format("%s/images/%s/%s", agent->directory, image_uid, part);
}

struct machine_driver *agent_machine(struct agent *agent, int kind)
{
	assert(kind >= 0 && kind < INSTANCE_KIND_COUNT);
	return agent->params.machines[kind];
}

struct volume_driver *agent_pool(struct agent *agent, const char *pool_uid, struct err *err)
{
	struct item *item = item_get(agent, pool_uid);

	if (!pool_uid)
		return agent->params.volume;
	if (item && item->pool)
		return item->pool;
	err_set(err, -EAGAIN, "its pool is not there: see 'strata pool ls'");
	return NULL;
}

void image_files_done(struct image_files *files)
{
	free(files->disk);
	free(files->kernel);
	free(files->initrd);
	free(files->cmdline);
	*files = (struct image_files){ 0 };
}
