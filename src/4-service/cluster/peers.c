/* peers.c - this node's lease, and what its end means. */
#include "4-service/cluster/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

static uint64_t now_ms(const struct peers *peers) { return loop_now_ms(peers->core->params.loop); }

static char *alive_key(const struct peers *peers) { return text_format("alive/%s", peers->core->node_uid); }

static const struct note *member_note(const struct peers *peers, const char *node)
{
	auto_free char *key = text_format("member/%s", node);

	return objects_note(peers->core->objects, key);
}

static bool decode_note(const struct note *note, const struct field_table *table, void *out)
{
	auto_json struct json *json = NULL;
	struct err ignored;

	field_defaults(table, out);
	return note && json_parse(note->value, note->size, &json, &ignored) == 0 &&
	       field_decode(table, json, FIELD_STORED, "", out, &ignored) == 0;
}

void peers_member(const struct peers *peers, const char *node, struct node_member *ret_member)
{
	decode_note(member_note(peers, node), &node_member_table, ret_member);
	if (!store_is_shared(peers->core->params.store))
		ret_member->state = NODE_READY;
}

bool peers_is_ready(const struct peers *peers, const char *node)
{
	struct node_member member = { 0 };
	bool is_ready;

	peers_member(peers, node, &member);
	is_ready = member.state == NODE_READY;
	field_done(&node_member_table, &member);
	return is_ready;
}

bool peers_is_reachable(const struct peers *peers, const char *node)
{
	struct node_member member = { 0 };
	bool is_there;

	peers_member(peers, node, &member);
	is_there = member.state == NODE_READY || member.state == NODE_DRAINING || member.state == NODE_JOINING;
	field_done(&node_member_table, &member);
	return is_there;
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

/* ---- The lease ---- */

struct asking {
	struct peers *peers;
	struct store *store;
	uint64_t lease;			/* 0: a new one. */
	uint64_t sent_ms;
	struct err err;
};

static void ask(struct peers *peers);

static void renew_due(void *data)
{
	struct peers *peers = data;

	peers->renew_timer = NULL;
	ask(peers);
}

static void ask_in(struct peers *peers, uint64_t ms)
{
	loop_remove(peers->renew_timer);
	peers->renew_timer = NULL;
	loop_add_timer(peers->core->params.loop, ms, renew_due, peers, &peers->renew_timer);
}

static void lose(struct peers *peers, const char *why)
{
	peers->lease = 0;
	if (!peers->is_alive)
		return;
	log_line(LOG_ERROR, "this node is cut off from the others (%s): its instances with 'ha: restart' end here", why);
	peers->is_alive = false;
	peers->leader_revision = 0;
	agent_set_alive(peers->core->agent, NULL, 0, 0);
}

struct telling { struct peers *peers; uint64_t lease; int64_t epoch; };

static void told(void *data, const struct store_result *result)
{
	auto_free struct telling *telling = data;
	struct peers *peers = telling->peers;
	auto_free char *key = alive_key(peers);
	const struct note *note = objects_note(peers->core->objects, key);

	peers->is_asking = false;
	/* Others have decided about us in between: their changes are in the cache now. */
	if (result->err.code < 0 || !note || peers->lease != telling->lease) {
		peers->lease = peers->lease == telling->lease ? 0 : peers->lease;
		ask_in(peers, PEERS_TICK_MS);
		return;
	}
	peers->is_alive = true;
	peers->epoch = telling->epoch;
	agent_set_alive(peers->core->agent, key, note->revision, peers->lease);
	leader_stand(peers);
	ask_in(peers, PEERS_RENEW_MS);
}

/* Under the condition that nobody has raised our epoch meanwhile. */
static void tell_alive(struct peers *peers)
{
	struct core *core = peers->core;
	const struct note *note = member_note(peers, core->node_uid);
	struct telling *telling = alloc(sizeof(*telling));
	struct store_txn *txn = store_txn_new();
	auto_free char *key = alive_key(peers), *member_key = text_format("member/%s", core->node_uid);
	auto_str struct str json = { 0 };
	struct json_writer writer = { .out = &json };
	struct node_member member = { 0 };

	peers_member(peers, core->node_uid, &member);
	*telling = (struct telling){ peers, peers->lease, member.epoch };
	field_encode(&node_alive_table, &(struct node_alive){ core->boot_id, member.epoch }, &writer, NULL);
	store_txn_guard(txn, STORE_UNCHANGED, member_key, note ? note->revision : 0);
	store_txn_put(txn, key, json.data, json.size, peers->lease);
	field_done(&node_member_table, &member);
	store_submit(core->params.store, txn, told, telling);
}

static void ask_run(void *data)
{
	struct asking *asking = data;
	int r = asking->lease ? store_lease_renew(asking->store, asking->lease, &asking->err) :
		store_lease_grant(asking->store, PEERS_LEASE_MS, &asking->lease, &asking->err);

	if (r == 0)
		asking->err.code = 0;
}

static void ask_done(void *data)
{
	auto_free struct asking *asking = data;
	struct peers *peers = asking->peers;
	bool is_new = !peers->lease;

	peers->is_asking = false;
	if (asking->err.code < 0) {
		if (asking->err.code == -ENOENT || now_ms(peers) >= peers->renewed_ms + PEERS_LEASE_MS)
			lose(peers, asking->err.msg);
		ask_in(peers, PEERS_TICK_MS);
		return;
	}
	peers->renewed_ms = asking->sent_ms;
	if (!is_new) {
		ask_in(peers, PEERS_RENEW_MS);
		return;
	}
	peers->lease = asking->lease;
	peers->is_asking = true;
	tell_alive(peers);
}

static void ask(struct peers *peers)
{
	struct asking *asking;

	if (peers->is_asking)
		return;
	/* What others took over must have gone before we say that we are back. */
	if (!peers->lease && agent_is_leaving(peers->core->agent)) {
		ask_in(peers, PEERS_TICK_MS);
		return;
	}
	asking = alloc(sizeof(*asking));
	peers->is_asking = true;
	*asking = (struct asking){ .peers = peers, .store = peers->core->params.store, .lease = peers->lease, .sent_ms = now_ms(peers) };
	work_submit(peers->core->params.work, ask_run, ask_done, free, asking);
}

static void tick(void *data)
{
	struct peers *peers = data;

	loop_add_timer(peers->core->params.loop, PEERS_TICK_MS, tick, peers, &peers->tick_timer);
	if (peers->lease && now_ms(peers) >= peers->renewed_ms + PEERS_LEASE_MS)
		lose(peers, "its lease was not renewed in time");
	leader_stand(peers);
	leader_tick(peers);
}

void peers_join(struct peers *peers)
{
	if (!store_is_shared(peers->core->params.store))
		return;
	ask(peers);
	tick(peers);
}

/* ---- What others say ---- */

static void node_is_stale(struct peers *peers, const char *node)
{
	struct node *stored = objects_get(peers->core->objects, KIND_NODE, node);

	if (stored)
		node_changed(peers->core, stored);
}

static void note_changed(void *data, const char *key, const struct note *note)
{
	struct peers *peers = data;

	(void)note;
	if (text_equal(key, "leader")) {
		leader_note_changed(peers);
		for (size_t i = 0; i < objects_all(peers->core->objects, KIND_NODE)->count; i++)
			node_is_stale(peers, objects_all(peers->core->objects, KIND_NODE)->entries[i].key);
	} else if (text_starts_with(key, "member/")) {
		node_is_stale(peers, strchr(key, '/') + 1);
		route_try_again(peers);
	}
	leader_tick(peers);
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
	loop_remove(peers->renew_timer);
	loop_remove(peers->tick_timer);
	loop_remove(peers->wait_timer);
	route_done(peers);
	leader_done(peers);
	free(peers);
}
