/*
 * leader.c - who leads, and how the leader judges the nodes.
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

bool peers_is_leader(const struct peers *peers)
{
	return !store_is_shared(peers->core->params.store) || peers->leader_revision;
}

const char *peers_leader(const struct peers *peers)
{
	const struct note *note = objects_note(peers->core->objects, "leader");

	if (!store_is_shared(peers->core->params.store))
		return peers->core->node_uid;
	return note ? note->value : NULL;
}

void peers_guard(const struct peers *peers, struct store_txn *txn)
{
	if (store_is_shared(peers->core->params.store))
		store_txn_guard(txn, STORE_UNCHANGED, "leader", peers->leader_revision);
}

static void forget_lost(struct peers *peers)
{
	for (size_t i = 0; i < peers->lost.count; i++)
		free(peers->lost.items[i].node);
	peers->lost.count = 0;
}

/* ---- Standing ---- */

static void stood(void *data, const struct store_result *result)
{
	struct peers *peers = data;

	(void)result;				/* Who leads is what the note says. */
	peers->is_standing = false;
	leader_note_changed(peers);
}

void leader_stand(struct peers *peers)
{
	struct store_txn *txn;

	if (!peers->is_alive || peers->is_standing || objects_note(peers->core->objects, "leader"))
		return;
	txn = store_txn_new();
	store_txn_guard(txn, STORE_ABSENT, "leader", 0);
	store_txn_put(txn, "leader", peers->core->node_uid, strlen(peers->core->node_uid), peers->lease);
	peers->is_standing = true;
	store_submit(peers->core->params.store, txn, stood, peers);
}

void leader_note_changed(struct peers *peers)
{
	const struct note *note = objects_note(peers->core->objects, "leader");
	bool is_ours = note && peers->is_alive && text_equal(note->value, peers->core->node_uid);

	if (is_ours && !peers->leader_revision)
		log_line(LOG_NOTICE, "this node leads the cluster");
	if (!is_ours && peers->leader_revision)
		log_line(LOG_NOTICE, "this node does not lead the cluster any more");
	if (!is_ours || peers->leader_revision != note->revision)
		forget_lost(peers);		/* The time begins anew: what was seen before may be long ago. */
	peers->leader_revision = is_ours ? note->revision : 0;
	if (note)
		route_try_again(peers);
	else
		leader_stand(peers);
}

/* ---- Judging ---- */

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
		.state = state, .epoch = member->epoch + (state == NODE_FENCED), .since = loop_wall_ms(core->params.loop), .reason = (char *)reason,
	};

	field_encode(&node_member_table, &next, &writer, NULL);
	peers_guard(peers, txn);
	store_txn_guard(txn, STORE_UNCHANGED, key, note ? note->revision : 0);
	store_txn_put(txn, key, json.data, json.size, 0);
	if (object)
		objects_put_event(core->objects, txn, &kinds[KIND_NODE], &object->meta, node_state_names[state],
				  state == NODE_UNREACHABLE || state == NODE_FENCED, "node '%s' is %s%s%s", object->meta.name,
				  node_state_names[state], reason ? ": " : "", reason ? reason : "");
	store_submit(core->params.store, txn, NULL, NULL);
}

/* How long the leader has seen it without a lease. */
static uint64_t lost_for_ms(struct peers *peers, const char *node, bool is_alive)
{
	for (size_t i = 0; i < peers->lost.count; i++) {
		if (!text_equal(peers->lost.items[i].node, node))
			continue;
		if (!is_alive)
			return now_ms(peers) - peers->lost.items[i].since_ms;
		free(peers->lost.items[i].node);
		vec_remove(&peers->lost, i);
		return 0;
	}
	if (!is_alive)
		*vec_push(&peers->lost) = (struct lost){ text_copy(node), now_ms(peers) };
	return 0;
}

static bool is_alive(struct peers *peers, const char *node, const struct node_member *member)
{
	auto_free char *key = text_format("alive/%s", node);
	const struct note *note = objects_note(peers->core->objects, key);
	auto_json struct json *json = NULL;
	struct err ignored;

	return note && json_parse(note->value, note->size, &json, &ignored) == 0 && json_int(json_get(json, "epoch"), 0) == member->epoch;
}

static void judge(struct peers *peers, const struct node *node)
{
	const char *uid = node->meta.uid;
	enum node_state wanted = node->spec.draining ? NODE_DRAINING : NODE_READY, state;
	struct node_member member = { 0 };
	uint64_t lost_ms;
	bool alive;

	peers_member(peers, uid, &member);
	state = (enum node_state)member.state;
	alive = is_alive(peers, uid, &member);
	lost_ms = lost_for_ms(peers, uid, alive);
	if (alive && state != wanted && node_may_move(state, wanted))
		move(peers, uid, &member, wanted, NULL);
	else if (alive && state == NODE_JOINING)
		move(peers, uid, &member, NODE_READY, NULL);
	else if (!alive && node_may_move(state, NODE_UNREACHABLE))
		move(peers, uid, &member, NODE_UNREACHABLE, "it does not renew its lease");
	else if (!alive && state == NODE_UNREACHABLE && lost_ms >= PEERS_FENCE_GRACE_MS)
		move(peers, uid, &member, NODE_FENCED, "it was lost: its watchdog has ended its instances with 'ha: restart'");
	else if (state == NODE_FENCED)
		heal_node(peers, uid);
	else if (state == NODE_DRAINING)
		drain_node(peers, uid, member.since);
	field_done(&node_member_table, &member);
}

void leader_tick(struct peers *peers)
{
	const struct map *all = objects_all(peers->core->objects, KIND_NODE);

	if (!peers->leader_revision)
		return;
	for (size_t i = 0; i < all->count; i++)
		judge(peers, all->entries[i].value);
}

void leader_done(struct peers *peers)
{
	forget_lost(peers);
	vec_done(&peers->lost);
}
