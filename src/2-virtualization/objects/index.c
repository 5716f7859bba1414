/* index.c - instances by the node they are at and by the volumes they use, so that nobody has to go through them all. */
#include "2-virtualization/objects/objects_private.h"

#include <stdlib.h>

#include "base/mem.h"
#include "model/instance.h"

static const struct map nobody;

static void add(struct map *index, const char *key, struct instance *instance)
{
	struct map *group = map_get(index, key);

	if (!group) {
		group = alloc(sizeof(*group));
		map_put(index, key, group);
	}
	map_put(group, instance->meta.uid, instance);
}

static void drop(struct map *index, const char *key, const struct instance *instance)
{
	struct map *group = map_get(index, key);

	if (!group)
		return;
	map_remove(group, instance->meta.uid);
	if (group->count)
		return;
	map_done(group);
	free(map_remove(index, key));
}

static void put(struct map *index, const char *key, struct instance *instance, bool is_there)
{
	if (key && is_there)
		add(index, key, instance);
	else if (key)
		drop(index, key, instance);
}

void index_at(struct objects *objects, const char *node, void *object, bool is_there)
{
	put(&objects->at, node, object, is_there);
}

void index_users(struct objects *objects, void *object, bool is_there)
{
	struct instance *instance = object;
	const struct field_list *volumes = &instance->spec.volumes, *mounts = &instance->spec.container.mounts;

	for (size_t i = 0; i < volumes->count; i++)
		put(&objects->users, field_list_at(volumes, struct instance_volume, i)->volume_uid, instance, is_there);
	for (size_t i = 0; i < mounts->count; i++)
		put(&objects->users, field_list_at(mounts, struct instance_mount, i)->volume_uid, instance, is_there);
}

static void index_done(struct map *index)
{
	for (size_t i = 0; i < index->count; i++) {
		map_done(index->entries[i].value);
		free(index->entries[i].value);
	}
	map_done(index);
}

void indexes_done(struct objects *objects)
{
	index_done(&objects->at);
	index_done(&objects->users);
}

const struct map *objects_at(struct objects *objects, const char *node)
{
	const struct map *group = map_get(&objects->at, node);

	return group ? group : &nobody;
}

const struct map *objects_users(struct objects *objects, const char *volume)
{
	const struct map *group = map_get(&objects->users, volume);

	return group ? group : &nobody;
}
