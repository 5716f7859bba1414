/*
 * leader.c - how the leader judges the nodes.
 *
 * A node whose lease has ended is unreachable; when also the time has passed in which its watchdog ends what must not run
 * there any more, it is fenced. Each move is written under the condition that we still lead and nobody else moved it.
 */
#include "4-service/cluster/peers.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

static uint64_t now_ms(const struct peers *peers) { return loop_now_ms(peers->core->params.loop); }

void leader_end(struct peers *peers)
{
	for (size_t i = 0; i < peers->suspects.count; i++)
		free(peers->suspects.entries[i].value);
	map_done(&peers->suspects);
}

void leader_begin(struct peers *peers)
{
	const struct map *all = objects_all(peers->core->objects, KIND_NODE);

	leader_end(peers);		/* The time begins anew: what was seen before may be long ago. */
	for (size_t i = 0; i < all->count; i++)
		leader_look(peers, all->entries[i].value);
}

/* It has not come back meanwhile, unseen by us: who is alive may run what it has. */
void leader_guard_lost(struct store_txn *txn, const char *node)
{
	auto_free char *key = text_format("alive/%s", node);

	store_txn_guard(txn, STORE_ABSENT, key, 0);
}

static void move(struct peers *peers, const char *node, const struct node_member *member, enum node_state state, const char *reason)
{
	struct core *core = peers->core;
	const struct node *object = objects_get(core->objects, KIND_NODE, node);
	auto_free char *key = text_format("member/%s", node);
	const struct note *note = objects_note(core->objects, key);
	struct store_txn *txn = store_txn_new();
	auto_str struct str json = { 0 };
	struct json_writer writer = { .out = &json };
	struct node_member next = {
		.state = (int)state, .epoch = member->epoch + (state == NODE_FENCED), .since = loop_wall_ms(core->params.loop), .reason = (char *)reason,
	};

	field_encode(&node_member_table, &next, &writer, NULL);
	peers_guard(peers, txn);
	store_txn_guard(txn, STORE_UNCHANGED, key, note ? note->revision : 0);
	store_txn_put(txn, key, json.data, json.size, 0);
	if (node_is_lost(state))
		leader_guard_lost(txn, node);
	if (object)
		objects_put_event(core->objects, txn, &kinds[KIND_NODE], &object->meta, node_state_names[state],
				  node_is_lost(state), "node '%s' is %s%s%s", object->meta.name,
				  node_state_names[state], reason ? ": " : "", reason ? reason : "");
	store_submit(core->params.store, txn, NULL, NULL);
}

static bool is_alive(struct peers *peers, const char *node, const struct node_member *member)
{
	auto_free char *key = text_format("alive/%s", node);
	const struct note *note = objects_note(peers->core->objects, key);
	auto_json struct json *json = NULL;
	struct err ignored;

	return note && json_parse(note->value, note->size, &json, &ignored) == 0 && json_int(json_get(json, "epoch"), 0) == member->epoch;
}

/* Returns whether it is as it should be. */
static bool judge(struct peers *peers, const struct node *node, const struct node_member *member, bool alive, const struct suspect *suspect)
{
	enum node_state wanted = node->spec.draining ? NODE_DRAINING : NODE_READY, state = (enum node_state)member->state;
	const char *uid = node->meta.uid;

	if (alive && state != wanted && node_may_move(state, wanted))
		move(peers, uid, member, wanted, NULL);
	else if (alive && state == NODE_JOINING)
		move(peers, uid, member, NODE_READY, NULL);
	else if (!alive && state == NODE_JOINING && now_ms(peers) - suspect->since_ms < PEERS_JOIN_MS)
		return false;			/* Its daemon begins anew. */
	else if (!alive && node_may_move(state, NODE_UNREACHABLE))
		move(peers, uid, member, NODE_UNREACHABLE, "it does not renew its lease");
	else if (!alive && state == NODE_UNREACHABLE && !suspect->is_power_asked && now_ms(peers) - suspect->since_ms >= PEERS_FENCE_GRACE_MS)
		move(peers, uid, member, NODE_FENCED, "it was lost: its watchdog has ended its instances with 'ha: restart'");
	else if (state == NODE_FENCED)
		heal_node(peers, uid);
	else if (state == NODE_DRAINING)
		drain_node(peers, uid, member->since);
	return alive && state == wanted && state != NODE_DRAINING;
}

void leader_look(struct peers *peers, const struct node *node)
{
	struct suspect *suspect = map_get(&peers->suspects, node->meta.uid);
	struct node_member member = { 0 };
	bool alive;

	peers_member(peers, node->meta.uid, &member);
	alive = is_alive(peers, node->meta.uid, &member);
	if (!suspect) {
		suspect = alloc(sizeof(*suspect));
		map_put(&peers->suspects, node->meta.uid, suspect);
	}
	if (!alive && !suspect->is_lost)
		*suspect = (struct suspect){ .since_ms = now_ms(peers) };
	suspect->is_lost = !alive;
	if (member.state == NODE_UNREACHABLE && !alive)
		power_off_lost(peers, node, suspect);
	if (judge(peers, node, &member, alive, suspect))
		free(map_remove(&peers->suspects, node->meta.uid));
	field_done(&node_member_table, &member);
}

void leader_tick(struct peers *peers)
{
	if (peers->leader_revision)
		load_lead(peers->core);
	/* From the end: who is as it should be leaves its place to the last. */
	for (size_t i = peers->suspects.count; peers->leader_revision && i-- > 0;) {
		const char *uid = peers->suspects.entries[i].key;
		const struct node *node = objects_get(peers->core->objects, KIND_NODE, uid);

		if (node)
			leader_look(peers, node);
		else
			free(map_remove(&peers->suspects, uid));
	}
}
