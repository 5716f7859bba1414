/* pools.c - what requests about pools mean. */
#include <errno.h>
#include <string.h>

#include "4-service/service.h"
#include "base/mem.h"
#include "base/str.h"

static const struct kind *const kind = &kinds[KIND_POOL];

static bool is_default(const char *name)
{
	return text_equal(name, "default");
}

int pool_find(struct core *core, const char *name, char **uid, struct err *err)
{
	struct pool *pool;
	void *found;
	int r;

	if (!name || is_default(name)) {
		text_replace(uid, NULL);
		return 0;
	}
	r = find_object(core, KIND_POOL, name, &found, err);
	if (r < 0)
		return r;
	pool = found;
	if (pool->meta.deleted_at || pool->status.state == POOL_FAILED)
		return err_set(err, -EBUSY, "pool '%s' cannot be used: %s", name,
			       pool->status.reason ? pool->status.reason : "it is being deleted");
	text_replace(uid, pool->meta.uid);
	return 0;
}

static bool is_below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	return strncmp(path, folder, length) == 0 && (path[length] == '/' || !path[length]);
}

/* Two pools on one place would remove each other's volumes as leftovers. */
static int check_source_free(struct core *core, const struct pool *next, struct err *err)
{
	const struct map *all = objects_all(core->objects, KIND_POOL);

	if (next->spec.driver == POOL_FILE && next->spec.source && is_below(next->spec.source, core->directory))
		return err_set(err, -EINVAL, "spec.source: '%s' is in the daemon's own folder: use another one", next->spec.source);
	for (size_t i = 0; i < all->count; i++) {
		const struct pool *pool = all->entries[i].value;

		if (next->spec.source && text_equal(pool->spec.source, next->spec.source) &&
		    (next->spec.shared || pool->spec.shared || text_equal(next->spec.node, pool->spec.node)))
			return err_set(err, -EBUSY, "spec.source: '%s' is used by pool '%s': use another one", next->spec.source, pool->meta.name);
	}
	return 0;
}

static int fill_node(struct core *core, struct pool *next, struct err *err)
{
	if (!next->spec.shared)
		return node_fill(core, &next->spec.node, err);
	if (next->spec.node)
		return err_set(err, -EINVAL, "spec.node: a shared pool is on every node: leave it out");
	return 0;
}

void pool_create(struct core *core, struct call *call)
{
	struct change *change = resource_decode_new(core, call, kind);
	struct err err = { 0 };

	if (!change)
		return;
	if (pool_spec_check(&((struct pool *)change->next)->spec, &err) < 0 || fill_node(core, change->next, &err) < 0 ||
	    check_source_free(core, change->next, &err) < 0)
		change_refuse(change, &err);
	else
		change_commit(change);
}

void pool_update(struct core *core, struct call *call)
{
	struct change *change = resource_decode_patch(core, call, kind);

	if (change)
		change_commit(change);
}

static int check_unused(struct core *core, const struct pool *pool, struct err *err)
{
	const struct map *instances = objects_all(core->objects, KIND_INSTANCE), *volumes = objects_all(core->objects, KIND_VOLUME);

	for (size_t i = 0; i < instances->count; i++) {
		const struct instance *instance = instances->entries[i].value;

		if (text_equal(instance->spec.pool_uid, pool->meta.uid))
			return err_set(err, -EBUSY, "pool '%s' has the root of instance '%s': remove that first", pool->meta.name,
				       instance->meta.name);
	}
	for (size_t i = 0; i < volumes->count; i++) {
		const struct volume *volume = volumes->entries[i].value;

		if (text_equal(volume->spec.pool_uid, pool->meta.uid))
			return err_set(err, -EBUSY, "pool '%s' has volume '%s': remove that first", pool->meta.name, volume->meta.name);
	}
	return 0;
}

void pool_delete(struct core *core, struct call *call)
{
	struct err err = { 0 };
	void *found;

	if (find_object(core, KIND_POOL, call->name, &found, &err) == 0) {
		if (is_default(call->name))
			err_set(&err, -EPERM, "pool 'default' is where images are: it cannot be removed");
		else
			check_unused(core, found, &err);
	}
	if (err.code < 0)
		answer_err(call, &err);
	else
		resource_delete(core, call, kind, found);
}

void pool_create_default(struct core *core)
{
	struct change *change;

	if (objects_find(core->objects, KIND_POOL, NULL, "default"))
		return;
	change = change_new(core, NULL, kind, NULL);
	text_replace(&kind_meta(change->next)->name, "default");
	change_commit(change);
}
