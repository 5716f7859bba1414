/*
 * holders.c - which instance has a volume, as readers of the volume see it.
 *
 * It is not stored: when an instance is changed, the volumes it had and those it has are published anew.
 */
#include <stdlib.h>

#include "4-service/service.h"
#include "base/mem.h"
#include "base/str.h"

struct held_volumes { VEC(char *) uids; };

const char *volume_holder_name(struct core *core, const char *volume_uid)
{
	const struct map *users = objects_users(core->objects, volume_uid);

	return users->count ? kind_meta(users->entries[0].value)->name : NULL;
}

static void publish_volume(struct core *core, const char *uid)
{
	struct volume *volume = objects_get(core->objects, KIND_VOLUME, uid);

	if (volume && !text_equal(volume->status.instance, volume_holder_name(core, uid)))
		publish_object(core, &kinds[KIND_VOLUME], volume);
}

static void publish_held(struct core *core, const struct held_volumes *held)
{
	for (size_t i = 0; held && i < held->uids.count; i++)
		publish_volume(core, held->uids.items[i]);
}

static void held_free(struct held_volumes *held)
{
	for (size_t i = 0; held && i < held->uids.count; i++)
		free(held->uids.items[i]);
	if (held)
		vec_done(&held->uids);
	free(held);
}

static struct held_volumes *volumes_of(const struct instance *instance)
{
	const struct field_list *volumes = &instance->spec.volumes, *mounts = &instance->spec.container.mounts;
	struct held_volumes *held;

	if (!volumes->count && !mounts->count)
		return NULL;
	held = alloc(sizeof(*held));
	for (size_t i = 0; i < volumes->count; i++)
		*vec_push(&held->uids) = text_copy(field_list_at(volumes, struct instance_volume, i)->volume_uid);
	for (size_t i = 0; i < mounts->count; i++)
		*vec_push(&held->uids) = text_copy(field_list_at(mounts, struct instance_mount, i)->volume_uid);
	return held;
}

void holders_changed(struct core *core, const struct instance *instance, bool is_gone)
{
	struct held_volumes *before = map_remove(&core->volumes_of, instance->meta.uid), *now = is_gone ? NULL : volumes_of(instance);

	if (now)
		map_put(&core->volumes_of, instance->meta.uid, now);
	publish_held(core, before);
	publish_held(core, now);
	held_free(before);
}

void holders_done(struct core *core)
{
	for (size_t i = 0; i < core->volumes_of.count; i++)
		held_free(core->volumes_of.entries[i].value);
	map_done(&core->volumes_of);
}
