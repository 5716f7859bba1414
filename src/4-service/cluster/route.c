/*
 * route.c - which node answers a call.
 *
 * Most calls only write what is wanted: any node does. What places an instance is the leader's; what touches the instance itself, its
 * log or its disks is for the node that has it. The HTTP floor sends such a call on (call_reply.forward).
 */
#include "4-service/cluster/peers.h"

#include <errno.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/snapshot.h"

enum place { ANYWHERE, LEADER, OF_INSTANCE, OF_VOLUME, OF_IMAGE };

static bool is_of(const struct call *call, enum kind_id kind)
{
	return call->kind && call->kind->id == kind;
}

static enum place place_of(const struct call *call)
{
	switch (call->op) {
	case CALL_CREATE:
		/* What was uploaded is here. */
		return is_of(call, KIND_INSTANCE) && json_type(json_path(call->body, "spec.source.upload")) == JSON_ABSENT ? LEADER : ANYWHERE;
	case CALL_UPDATE:
		return is_of(call, KIND_INSTANCE) ? LEADER : ANYWHERE;
	case CALL_START:
	case CALL_RESTART:
	case CALL_CLONE:
	case CALL_MOVE:
		return LEADER;
	case CALL_EXPORT:
	case CALL_CONSOLE:
	case CALL_LOGS:
	case CALL_ATTACH_STREAM:
	case CALL_EXEC:
	case CALL_FILE_READ:
	case CALL_FILE_WRITE:
	case CALL_COMMIT:
	case CALL_DISK:
		return OF_INSTANCE;
	case CALL_VOLUME_BACKUP:
		return OF_VOLUME;
	case CALL_IMAGE_EXPORT:
		return OF_IMAGE;
	default:
		return ANYWHERE;
	}
}

static const char *owner_of(struct core *core, enum kind_id kind, const char *name)
{
	const void *object = objects_find(core->objects, kind, NULL, name);

	return object ? objects_owner(core->objects, &kinds[kind], object) : NULL;
}

static bool has_copy(struct core *core, const char *image, const char *node)
{
	auto_free char *key = text_format("copy/%s/%s", image, node);

	return objects_note(core->objects, key) && peers_is_ready(core->peers, node);
}

/* This one, the one it was made on, or any that has a copy. */
static const char *node_with_image(struct core *core, const char *name)
{
	const struct meta *image = objects_find(core->objects, KIND_IMAGE, NULL, name);
	const char *owner = owner_of(core, KIND_IMAGE, name);
	const struct map *nodes = objects_all(core->objects, KIND_NODE);

	if (!image || has_copy(core, image->uid, core->node_uid))
		return NULL;
	if (peers_is_ready(core->peers, owner))
		return owner;
	for (size_t i = 0; i < nodes->count; i++)
		if (has_copy(core, image->uid, nodes->entries[i].key))
			return nodes->entries[i].key;
	return owner;
}

/* Null: it need not be another one than this. */
static const char *node_for(struct peers *peers, const struct call *call)
{
	switch (place_of(call)) {
	case LEADER: return peers_leader(peers);
	case OF_INSTANCE: return owner_of(peers->core, KIND_INSTANCE, call->name);
	case OF_VOLUME: return owner_of(peers->core, KIND_VOLUME, call->name);
	case OF_IMAGE: return node_with_image(peers->core, call->name);
	case ANYWHERE: break;
	}
	return NULL;
}

static void refuse(struct call *call, int code, const char *why)
{
	struct err err = { 0 };

	err_set(&err, code, "%s", why);
	answer_err(call, &err);
}

/* ---- Waiting for a leader ---- */

static void waited_enough(void *data)
{
	struct peers *peers = data;

	peers->wait_timer = NULL;
	while (peers->waiting.count) {
		struct call *call = peers->waiting.items[0];

		vec_remove(&peers->waiting, 0);
		refuse(call, -EAGAIN, peers_leader(peers) ? "no node of the cluster is ready: see 'strata node ls'" :
		       "no node leads the cluster: are more than half of the hosts with a store up? See 'strata node ls'");
	}
}

static void wait_for_leader(struct peers *peers, struct call *call)
{
	*vec_push(&peers->waiting) = call;
	if (!peers->wait_timer)
		loop_add_timer(peers->core->params.loop, PEERS_WAIT_MS, waited_enough, peers, &peers->wait_timer);
}

void route_try_again(struct peers *peers)
{
	loop_remove(peers->wait_timer);
	peers->wait_timer = NULL;
	for (size_t i = 0; i < peers->waiting.count; i++)
		api_call(peers->core, peers->waiting.items[i]);
	peers->waiting.count = 0;
}

void route_done(struct peers *peers)
{
	vec_done(&peers->waiting);
}

/* ---- Sending on ---- */

static void forward(struct core *core, struct call *call, const char *uid)
{
	const struct node *node = objects_get(core->objects, KIND_NODE, uid);
	struct err err = { 0 };

	if (!node || !peers_is_reachable(core->peers, uid))
		err_set(&err, -EHOSTUNREACH, "node '%s' has it and is %s: see 'strata node ls'", node ? node->meta.name : uid,
			node ? node_state_names[peers_state(core->peers, uid)] : "gone");
	else if (!node->status.address)
		err_set(&err, -EHOSTUNREACH, "node '%s' has it, and no address where others reach it: set 'api.listen' there", node->meta.name);
	else if (call->peer.via)
		err_set(&err, -EAGAIN, "it has just gone to node '%s': try again", node->meta.name);
	if (err.code < 0)
		answer_err(call, &err);
	else
		answer_forward(call, node->status.address, uid, node->meta.name);
}

/* Just after the first daemon has started none is. */
static bool has_any_joined(struct peers *peers)
{
	const struct map *all = objects_all(peers->core->objects, KIND_NODE);
	bool has_joined = false;

	for (size_t i = 0; i < all->count && !has_joined; i++)
		has_joined = peers_state(peers, all->entries[i].key) != NODE_JOINING;
	return has_joined;
}

bool peers_routes(struct peers *peers, struct call *call)
{
	const char *node = node_for(peers, call);
	bool is_ours;

	if (!store_is_shared(peers->core->params.store))
		return false;
	is_ours = text_equal(node, peers->core->node_uid);
	if (place_of(call) == LEADER && (!node || (is_ours && (!peers->leader_revision || !has_any_joined(peers))))) {
		wait_for_leader(peers, call);
		return true;
	}
	if (!node || !node[0] || is_ours)
		return false;
	forward(peers->core, call, node);
	return true;
}
