/* home.c - on which node a new thing has to be, because what it is made of is there or because somebody said so. */
#include <errno.h>

#include "4-service/cluster/peers.h"
#include "4-service/service.h"
#include "base/mem.h"
#include "base/str.h"

static const char *name_of_node(struct core *core, const char *uid)
{
	const struct node *node = objects_get(core->objects, KIND_NODE, uid);

	return node ? node->meta.name : uid;
}

int node_fill(struct core *core, char **node, struct err *err)
{
	void *found;
	int r;

	if (!*node || objects_get(core->objects, KIND_NODE, *node)) {
		text_replace(node, *node ? *node : core->node_uid);
		return 0;
	}
	r = find_object(core, KIND_NODE, *node, &found, err);
	if (r < 0)
		return err_prefix(err, "spec.node");
	text_replace(node, kind_meta(found)->uid);
	return 0;
}

int node_fill_by_pool(struct core *core, const char *pool_uid, char **node, struct err *err)
{
	const struct pool *pool = objects_get(core->objects, KIND_POOL, pool_uid);
	const char *of_pool = pool ? pool->spec.node : NULL;
	int r;

	if (of_pool && !*node)
		text_replace(node, of_pool);
	r = node_fill(core, node, err);
	if (r == 0 && of_pool && !text_equal(*node, of_pool))
		return err_set(err, -EINVAL, "spec.node: pool '%s' is on node '%s', not on '%s': leave the node out", pool->meta.name,
			       name_of_node(core, of_pool), name_of_node(core, *node));
	return r;
}

int node_fill_uploaded(struct core *core, char **node, struct err *err)
{
	int r = node_fill(core, node, err);

	if (r == 0 && !text_equal(*node, core->node_uid))
		return err_set(err, -EINVAL, "spec.node: what was uploaded is on node '%s': upload it to '%s', or leave the node out",
			       name_of_node(core, core->node_uid), name_of_node(core, *node));
	return r;
}

/* ---- Of an instance ---- */

struct home { struct core *core; const char *node; char *why; };

static int needs(struct home *home, const char *node, const char *what, const char *name, struct err *err)
{
	if (!node || !node[0])
		return 0;
	if (home->node && !text_equal(home->node, node))
		return err_set(err, -EINVAL, "%s '%s' is on node '%s', %s on '%s': one instance cannot have both", what, name,
			       name_of_node(home->core, node), home->why, name_of_node(home->core, home->node));
	home->node = node;
	if (!home->why)
		home->why = text_format("%s '%s'", what, name);
	return 0;
}

static bool is_shared(struct core *core, const char *pool_uid)
{
	const struct pool *pool = objects_get(core->objects, KIND_POOL, pool_uid);

	return pool && pool->spec.shared;
}

static int needs_volume(struct home *home, const char *name, struct err *err)
{
	const struct volume *volume = objects_find(home->core->objects, KIND_VOLUME, NULL, name);

	return volume && !is_shared(home->core, volume->spec.pool_uid) ? needs(home, volume->spec.node, "volume", name, err) : 0;
}

static int find_home(struct home *home, const struct instance *instance, struct err *err)
{
	const struct instance_spec *spec = &instance->spec;
	struct core *core = home->core;
	const struct pool *pool = objects_get(core->objects, KIND_POOL, spec->pool_uid);
	const struct instance *source = objects_get(core->objects, KIND_INSTANCE, spec->source.instance);
	void *node = NULL;
	int r = 0;

	if (spec->placement.node) {
		r = find_object(core, KIND_NODE, spec->placement.node, &node, err);
		if (r < 0)
			return err_prefix(err, "spec.placement.node");
		r = needs(home, kind_meta(node)->uid, "the place asked for", spec->placement.node, err);
	}
	if (r == 0 && spec->source.upload)
		r = needs(home, core->node_uid, "what was uploaded as", instance->meta.name, err);
	if (r == 0 && pool)
		r = needs(home, pool->spec.node, "pool", pool->meta.name, err);
	if (r == 0 && source && !is_shared(core, source->spec.pool_uid))
		r = needs(home, objects_owner(core->objects, &kinds[KIND_INSTANCE], source), "instance", source->meta.name, err);
	for (size_t i = 0; i < spec->volumes.count && r == 0; i++)
		r = needs_volume(home, field_list_at(&spec->volumes, struct instance_volume, i)->volume, err);
	for (size_t i = 0; i < spec->container.mounts.count && r == 0; i++) {
		const struct instance_mount *mount = field_list_at(&spec->container.mounts, struct instance_mount, i);

		r = mount->kind == MOUNT_VOLUME ? needs_volume(home, mount->source, err) : 0;
	}
	return r;
}

/* What is lost with its node cannot be started elsewhere. */
static int check_ha(struct core *core, const struct instance *instance, struct err *err)
{
	const struct instance_spec *spec = &instance->spec;
	const char *what = NULL;

	if (spec->ha == HA_NONE)
		return 0;
	if (!is_shared(core, spec->pool_uid))
		return err_set(err, -EINVAL, "spec.ha: pool '%s' is lost with its node: use one that all nodes reach ('strata pool create --shared')",
			       spec->pool);
	for (size_t i = 0; i < spec->volumes.count && !what; i++) {
		const struct instance_volume *item = field_list_at(&spec->volumes, struct instance_volume, i);
		const struct volume *volume = objects_find(core->objects, KIND_VOLUME, NULL, item->volume);

		what = volume && !is_shared(core, volume->spec.pool_uid) ? item->volume : NULL;
	}
	for (size_t i = 0; i < spec->container.mounts.count && !what; i++) {
		const struct instance_mount *mount = field_list_at(&spec->container.mounts, struct instance_mount, i);
		const struct volume *volume = mount->kind == MOUNT_VOLUME ? objects_find(core->objects, KIND_VOLUME, NULL, mount->source) : NULL;

		what = volume && !is_shared(core, volume->spec.pool_uid) ? mount->source : NULL;
	}
	return what ? err_set(err, -EINVAL, "spec.ha: volume '%s' is lost with its node: use one in a shared pool", what) : 0;
}

/* A new one may say where it wants to be first. */
static int needs_asked(struct home *home, struct instance *instance, struct err *err)
{
	auto_free char *name = objects_get(home->core->objects, KIND_INSTANCE, instance->meta.uid) ? NULL : take(instance->spec.node);
	auto_free char *uid = text_copy(name);
	const struct node *node;
	int r = name ? node_fill(home->core, &uid, err) : 0;

	if (r < 0 || !name)
		return r;
	node = objects_get(home->core->objects, KIND_NODE, uid);
	return node ? needs(home, node->meta.uid, "the place asked for", node->meta.name, err) :
		err_set(err, -EAGAIN, "spec.node: '%s' is not there yet: try again in a moment", shown(name));
}

int instance_place(struct core *core, struct instance *instance, struct err *err)
{
	struct home home = { .core = core };
	int r = check_ha(core, instance, err);

	if (r == 0)
		r = needs_asked(&home, instance, err);
	if (r == 0)
		r = find_home(&home, instance, err);
	if (r == 0) {
		load_look(core);
		r = placement_admit(core->placement, instance, home.node, err);
	}
	free(home.why);
	return r;
}

/* ---- Made before there could be several nodes ---- */

static void adopt(struct core *core, const struct kind *kind, void *object, size_t offset)
{
	struct change *change;

	if (*(char **)((char *)kind_spec(kind, object) + offset) || kind_meta(object)->deleted_at)
		return;
	change = change_new(core, NULL, kind, object);
	text_replace((char **)((char *)kind_spec(kind, change->next) + offset), core->node_uid);
	change_commit(change);
}

void home_adopt_all(struct core *core)
{
	const struct map *images = objects_all(core->objects, KIND_IMAGE), *volumes = objects_all(core->objects, KIND_VOLUME);
	const struct map *pools = objects_all(core->objects, KIND_POOL);

	if (store_is_shared(core->params.store))
		return;
	for (size_t i = 0; i < images->count; i++)
		adopt(core, &kinds[KIND_IMAGE], images->entries[i].value, offsetof(struct image_spec, node));
	for (size_t i = 0; i < volumes->count; i++)
		adopt(core, &kinds[KIND_VOLUME], volumes->entries[i].value, offsetof(struct volume_spec, node));
	for (size_t i = 0; i < pools->count; i++) {
		const struct pool *pool = pools->entries[i].value;

		if (!pool->spec.shared && !text_equal(pool->meta.name, "default"))
			adopt(core, &kinds[KIND_POOL], pools->entries[i].value, offsetof(struct pool_spec, node));
	}
}
