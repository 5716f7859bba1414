/* move.c - what both sides of a move need. */
#include "2-virtualization/agent/move.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/pool.h"

char *move_key(const char *instance_uid)
{
	return text_format("move/%s", instance_uid);
}

bool move_read_note(struct agent *agent, const struct instance *instance, struct move_note *ret_note)
{
	auto_free char *key = move_key(instance->meta.uid);
	const struct note *note = objects_note(agent->params.objects, key);
	auto_json struct json *json = NULL;
	struct err ignored;

	*ret_note = (struct move_note){ 0 };
	field_defaults(&move_note_table, ret_note);
	if (!note || json_parse(note->value, note->size, &json, &ignored) < 0 ||
	    field_decode(&move_note_table, json, FIELD_STORED, "", ret_note, &ignored) < 0)
		return false;
	return ret_note->serial == instance->spec.move.serial && text_equal(ret_note->node, instance->spec.node);
}

static bool is_shared(struct agent *agent, const char *pool_uid)
{
	const struct pool *pool = objects_get(agent->params.objects, KIND_POOL, pool_uid);

	return pool && pool->spec.shared;
}

static void add(struct agent *agent, const char *id, const char *volume, const char *pool_uid, struct move_disks *disks)
{
	struct err ignored;

	if (!is_shared(agent, pool_uid))
		*vec_push(&disks->items) = (struct move_disk){ text_copy(id), text_copy(volume), agent_pool(agent, pool_uid, &ignored) };
}

static void add_volume(struct agent *agent, const char *uid, struct move_disks *disks)
{
	const struct volume *volume = objects_get(agent->params.objects, KIND_VOLUME, uid);

	if (volume)
		add(agent, uid, uid, volume->spec.pool_uid, disks);
}

void move_disks_of(struct agent *agent, const struct instance *instance, struct move_disks *ret_disks)
{
	const struct instance_spec *spec = &instance->spec;
	const struct image *image = objects_get(agent->params.objects, KIND_IMAGE, spec->image_uid);

	*ret_disks = (struct move_disks){ 0 };
	if (instance_has_root(instance, image))
		add(agent, "root", instance->meta.uid, spec->pool_uid, ret_disks);
	for (size_t i = 0; i < spec->volumes.count; i++)
		add_volume(agent, field_list_at(&spec->volumes, struct instance_volume, i)->volume_uid, ret_disks);
	for (size_t i = 0; i < spec->container.mounts.count; i++)
		add_volume(agent, field_list_at(&spec->container.mounts, struct instance_mount, i)->volume_uid, ret_disks);
}

void move_disks_done(struct move_disks *disks)
{
	for (size_t i = 0; i < disks->items.count; i++) {
		free(disks->items.items[i].id);
		free(disks->items.items[i].volume);
	}
	vec_done(&disks->items);
}

struct move_disks *move_disks_new(struct agent *agent, const struct instance *instance)
{
	struct move_disks *disks = alloc(sizeof(*disks));

	move_disks_of(agent, instance, disks);
	return disks;
}

void move_disks_free(struct move_disks *disks)
{
	if (disks)
		move_disks_done(disks);
	free(disks);
}

const char **move_disk_ids(const struct move_disks *disks)
{
	const char **ids = disks->items.count ? alloc_array(NULL, disks->items.count + 1, sizeof(*ids)) : NULL;

	for (size_t i = 0; i < disks->items.count; i++)
		ids[i] = disks->items.items[i].id;
	if (ids)
		ids[disks->items.count] = NULL;
	return ids;
}

void agent_put_volumes(struct objects *objects, struct store_txn *txn, const struct instance *instance, const char *node)
{
	const struct map *all = objects_all(objects, KIND_VOLUME);

	for (size_t i = 0; i < all->count; i++) {
		const struct volume *volume = all->entries[i].value;
		struct volume *moved;

		if (!instance_has_volume(instance, volume->meta.uid) || text_equal(volume->spec.node, node))
			continue;
		moved = kind_copy(&kinds[KIND_VOLUME], volume);
		text_replace(&moved->spec.node, node);
		objects_guard(objects, txn, &kinds[KIND_VOLUME], volume->meta.uid);
		objects_put_desired(txn, &kinds[KIND_VOLUME], moved);
		kind_free(&kinds[KIND_VOLUME], moved);
	}
}
