/* owner.c - whose an object is, and who is told of it. */
#include "2-virtualization/objects/objects_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/image.h"
#include "model/instance.h"
#include "model/pool.h"
#include "model/snapshot.h"
#include "model/volume.h"

static const char *or_only(const char *node)
{
	return node ? node : "";
}

static const char *instance_owner(const struct instance *instance)
{
	return or_only(instance->status.node ? instance->status.node : instance->spec.node);
}

static const char *snapshot_owner(struct objects *objects, const struct snapshot *snapshot)
{
	const struct instance *instance = objects_get(objects, KIND_INSTANCE, snapshot->meta.parent);
	const struct volume *volume = objects_get(objects, KIND_VOLUME, snapshot->meta.parent);

	if (instance)
		return instance_owner(instance);
	return volume ? or_only(volume->spec.node) : NULL;	/* What it was of is gone, and so are they all. */
}

const char *objects_owner(struct objects *objects, const struct kind *kind, const void *object)
{
	switch (kind->id) {
	case KIND_INSTANCE: return instance_owner(object);
	case KIND_IMAGE: return or_only(((const struct image *)object)->spec.node);
	case KIND_VOLUME: return or_only(((const struct volume *)object)->spec.node);
	case KIND_SNAPSHOT: return snapshot_owner(objects, object);
	case KIND_POOL: return ((const struct pool *)object)->spec.node;
	case KIND_NODE: return ((const struct meta *)object)->uid;
	case KIND_NETWORK:
	case KIND_COUNT: break;
	}
	return NULL;
}

void node_name_copy(char to[NODE_NAME_SIZE], const char *name)
{
	size_t length = strnlen(name, NODE_NAME_SIZE - 1);

	memcpy(to, name, length);
	to[length] = '\0';
}

static void set_node(const struct objects *objects, char node[NODE_NAME_SIZE], const char *uid)
{
	node_name_copy(node, uid[0] ? uid : objects->node);
}

void concern_of(struct objects *objects, const struct kind *kind, const void *object, struct concern *ret_concern)
{
	const char *owner = objects_owner(objects, kind, object);

	*ret_concern = (struct concern){ .is_everyones = !owner || kind->id == KIND_IMAGE /* who has a copy */ };
	if (owner)
		set_node(objects, ret_concern->nodes[0], owner);
	if (kind->id == KIND_INSTANCE)
		set_node(objects, ret_concern->nodes[1], or_only(((const struct instance *)object)->spec.node));
	if (text_equal(ret_concern->nodes[1], ret_concern->nodes[0]))
		ret_concern->nodes[1][0] = '\0';
}

static bool has(const struct concern *concern, const char *node)
{
	return concern->is_everyones || text_equal(concern->nodes[0], node) || text_equal(concern->nodes[1], node);
}

bool objects_concern(struct objects *objects, const struct kind *kind, const void *object, const char *node)
{
	struct concern concern;

	concern_of(objects, kind, object, &concern);
	return has(&concern, node);
}

/* ---- Telling ---- */

static void tell_node(struct objects *objects, const char *node, const struct kind *kind, void *object, enum objects_change change)
{
	struct node_listener *listener = node[0] ? map_get(&objects->node_listeners, node) : NULL;

	if (listener)
		listener->changed(listener->data, kind, object, change);
}

static void tell_nodes(struct objects *objects, const struct concern *concern, const struct kind *kind, void *object, enum objects_change change)
{
	for (size_t i = 0; i < ARRAY_COUNT(concern->nodes); i++)
		tell_node(objects, concern->nodes[i], kind, object, change);
	for (size_t i = 0; concern->is_everyones && i < objects->node_listeners.count; i++) {
		struct node_listener *listener = objects->node_listeners.entries[i].value;

		listener->changed(listener->data, kind, object, change);
	}
}

void objects_listen_node(struct objects *objects, const char *node, objects_changed_fn *changed, void *data)
{
	struct node_listener *listener;

	free(map_remove(&objects->node_listeners, node));
	if (!changed)
		return;
	listener = alloc(sizeof(*listener));
	*listener = (struct node_listener){ .changed = changed, .data = data };
	map_put(&objects->node_listeners, node, listener);
}

/* Snapshots are where their instance is. */
static void tell_of_snapshots(struct objects *objects, const struct meta *parent, const char *node, enum objects_change change)
{
	const struct map *all = objects_all(objects, KIND_SNAPSHOT);

	for (size_t i = 0; i < all->count; i++)
		if (text_equal(kind_meta(all->entries[i].value)->parent, parent->uid))
			tell_node(objects, node, &kinds[KIND_SNAPSHOT], all->entries[i].value, change);
}

static void tell_of_move(struct objects *objects, const struct kind *kind, void *object, const struct concern *before, const struct concern *after)
{
	for (size_t i = 0; i < ARRAY_COUNT(before->nodes); i++) {
		if (before->nodes[i][0] && !has(after, before->nodes[i])) {
			tell_of_snapshots(objects, object, before->nodes[i], OBJECTS_LEFT);
			tell_node(objects, before->nodes[i], kind, object, OBJECTS_LEFT);
		}
		if (after->nodes[i][0] && !has(before, after->nodes[i]))
			tell_of_snapshots(objects, object, after->nodes[i], OBJECTS_DESIRED);
	}
}

void objects_notify(struct objects *objects, const struct kind *kind, void *object, enum objects_change change,
		    const struct concern *before)
{
	struct concern after;

	for (size_t i = 0; i < objects->listeners.count; i++) {
		struct listener *listener = &objects->listeners.items[i];

		if (listener->changed)
			listener->changed(listener->data, kind, object, change);
	}
	if (!objects->node_listeners.count)
		return;
	concern_of(objects, kind, object, &after);
	tell_nodes(objects, &after, kind, object, change);
	if (before && !before->is_everyones)
		tell_of_move(objects, kind, object, before, &after);
}

/* ---- Parts ---- */

bool objects_has_part(struct objects *objects, const char *uid, const char *node)
{
	const struct map *parts = map_get(&objects->parts, uid);

	return parts && map_get(parts, node);
}

void parts_note(struct objects *objects, const char *uid, const char *node, bool is_there)
{
	struct map *parts = map_get(&objects->parts, uid);

	if (!parts && is_there) {
		parts = alloc(sizeof(*parts));
		map_put(&objects->parts, uid, parts);
	}
	if (parts && is_there)
		map_put(parts, node, objects);
	else if (parts)
		map_remove(parts, node);
}

void parts_forget(struct objects *objects, const char *uid)
{
	struct map *parts = map_remove(&objects->parts, uid);

	if (parts)
		map_done(parts);
	free(parts);
}

/* "<uid>/<node>" */
bool parts_is_key_of_everyone(const char *rest, char ret_uid[NODE_NAME_SIZE], const char **ret_node)
{
	const char *slash = strchr(rest, '/');

	if (!slash || (size_t)(slash - rest) >= NODE_NAME_SIZE)
		return false;
	snprintf(ret_uid, NODE_NAME_SIZE, "%.*s", (int)(slash - rest), rest);
	*ret_node = slash + 1;
	return true;
}
