/* peers.c - this node among others: what it is told of them, and what they are to it. */
#include "4-service/cluster/peers.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void peers_member(const struct peers *peers, const char *node, struct node_member *ret_member)
{
	lease_member(peers->core->objects, node, ret_member);
	if (!store_is_shared(peers->core->params.store))
		ret_member->state = NODE_READY;
}

enum node_state peers_state(const struct peers *peers, const char *node)
{
	struct node_member member = { 0 };
	enum node_state state;

	peers_member(peers, node, &member);
	state = (enum node_state)member.state;
	field_done(&node_member_table, &member);
	return state;
}

bool peers_is_ready(const struct peers *peers, const char *node)
{
	return peers_state(peers, node) == NODE_READY;
}

bool peers_is_reachable(const struct peers *peers, const char *node)
{
	enum node_state state = peers_state(peers, node);

	return state == NODE_READY || state == NODE_DRAINING || state == NODE_JOINING;
}

void peers_fill_node(const struct peers *peers, struct node *node)
{
	struct node_member member = { 0 };

	peers_member(peers, node->meta.uid, &member);
	node->status.state = member.state;
	node->status.since = member.since;
	text_replace(&node->status.reason, member.reason);
	node->status.is_leader = text_equal(peers_leader(peers), node->meta.uid);
	field_done(&node_member_table, &member);
}

static void lease_changed(void *data)
{
	struct peers *peers = data;

	/* The lease may have been renewed after all, unheard, and the key "leader" may be ours still. */
	election_note_changed(peers);
}

static void tick(void *data)
{
	struct peers *peers = data;

	loop_add_timer(peers->core->params.loop, PEERS_TICK_MS, tick, peers, &peers->tick_timer);
	election_tick(peers);
	leader_tick(peers);
}

void peers_join(struct peers *peers)
{
	struct core *core = peers->core;
	const struct lease_params params = {
		.loop = core->params.loop, .work = core->params.work, .store = core->params.store, .objects = core->objects, .agent = core->agent,
		.fence = core->params.fence, .node = core->node_uid, .boot_id = core->boot_id, .changed = lease_changed, .data = peers,
	};

	if (!store_is_shared(core->params.store))
		return;
	lease_init(&peers->lease, &params);
	lease_join(&peers->lease);
	tick(peers);
}

/* ---- What others say ---- */

void peers_look_at(struct peers *peers, const char *node)
{
	const struct node *stored = objects_get(peers->core->objects, KIND_NODE, node);

	if (stored && peers->leader_revision)
		leader_look(peers, stored);
}

static void node_is_stale(struct peers *peers, const char *node)
{
	struct node *stored = objects_get(peers->core->objects, KIND_NODE, node);

	if (stored)
		node_changed(peers->core, stored);
}

/* Readers see of what it has that it is lost, or back. */
static void things_are_stale(struct peers *peers, const char *node)
{
	static const enum kind_id others[] = { KIND_VOLUME, KIND_POOL, KIND_SNAPSHOT };
	struct objects *objects = peers->core->objects;
	const struct map *there = objects_at(objects, node);

	for (size_t i = 0; i < there->count; i++)
		publish_object(peers->core, &kinds[KIND_INSTANCE], there->entries[i].value);
	for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
		const struct kind *kind = &kinds[others[i]];
		const struct map *all = objects_all(objects, kind->id);

		for (size_t n = 0; n < all->count; n++)
			if (text_equal(objects_owner(objects, kind, all->entries[n].value), node))
				publish_object(peers->core, kind, all->entries[n].value);
	}
}

static void note_changed(void *data, const char *key, const struct note *note)
{
	struct peers *peers = data;

	(void)note;
	if (text_equal(key, "leader")) {
		election_note_changed(peers);
		for (size_t i = 0; i < objects_all(peers->core->objects, KIND_NODE)->count; i++)
			node_is_stale(peers, objects_all(peers->core->objects, KIND_NODE)->entries[i].key);
		return;
	}
	if (text_starts_with(key, "member/")) {
		node_is_stale(peers, strchr(key, '/') + 1);
		things_are_stale(peers, strchr(key, '/') + 1);
		route_try_again(peers);
	}
	peers_look_at(peers, strchr(key, '/') + 1);
}

struct peers *peers_new(struct core *core)
{
	struct peers *peers = alloc(sizeof(*peers));

	peers->core = core;
	objects_listen_notes(core->objects, "leader", note_changed, peers);
	objects_listen_notes(core->objects, "member/", note_changed, peers);
	objects_listen_notes(core->objects, "alive/", note_changed, peers);
	return peers;
}

void peers_free(struct peers *peers)
{
	if (!peers)
		return;
	lease_done(&peers->lease);
	loop_remove(peers->tick_timer);
	loop_remove(peers->wait_timer);
	route_done(peers);
	leader_end(peers);
	free(peers);
}
