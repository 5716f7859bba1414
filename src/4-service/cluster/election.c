/*
 * election.c - who leads: the node that has the key "leader".
 *
 * The key has a lease of its own, shorter than that of the node: nothing ends with leading, so another may follow sooner than a node
 * may be given up. Who has lost the key and does not know it yet does no harm: all that a leader writes is guarded by the key's revision.
 */
#include "4-service/cluster/peers.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

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

/* ---- The lease of the key ---- */

struct asking {
	struct peers *peers;
	struct store *store;
	uint64_t lease;			/* 0: a new one. */
	struct err err;			/* code 0: none. */
};

static void ask_run(void *data)
{
	struct asking *asking = data;
	int r = asking->lease ? store_lease_renew(asking->store, asking->lease, &asking->err) :
		store_lease_grant(asking->store, LEADER_LEASE_MS, &asking->lease, &asking->err);

	if (r == 0)
		asking->err.code = 0;
}

static void ask(struct peers *peers, uint64_t lease, void (*done)(void *data))
{
	struct asking *asking = alloc(sizeof(*asking));

	*asking = (struct asking){ .peers = peers, .store = peers->core->params.store, .lease = lease };
	peers->is_asking = true;
	work_submit(peers->core->params.work, ask_run, done, free, asking);
}

/* When it has ended the key has gone with it, which the store tells us. */
static void renewed(void *data)
{
	auto_free struct asking *asking = data;

	asking->peers->is_asking = false;
}

void election_tick(struct peers *peers)
{
	if (peers->leader_revision && !peers->is_asking)
		ask(peers, peers->leader_lease, renewed);
	else
		election_stand(peers);
}

/* ---- Standing ---- */

/* Nobody leads, or it is an earlier daemon of this node, whose lease nobody renews. */
static bool may_stand(const struct peers *peers)
{
	const struct note *note = objects_note(peers->core->objects, "leader");

	return peers->lease.is_alive && (!note || (!peers->leader_lease && text_equal(note->value, peers->core->node_uid)));
}

static void stood(void *data, const struct store_result *result)
{
	struct peers *peers = data;

	(void)result;				/* Who leads is what the note says. */
	peers->is_asking = false;
	election_note_changed(peers);
}

static void stand(void *data)
{
	auto_free struct asking *asking = data;
	struct peers *peers = asking->peers;
	const struct note *note = objects_note(peers->core->objects, "leader");
	struct store_txn *txn;

	peers->is_asking = false;
	if (asking->err.code < 0 || !may_stand(peers))
		return;				/* What was granted ends by itself. */
	txn = store_txn_new();
	store_txn_guard(txn, note ? STORE_UNCHANGED : STORE_ABSENT, "leader", note ? note->revision : 0);
	store_txn_put(txn, "leader", peers->core->node_uid, strlen(peers->core->node_uid), asking->lease);
	peers->leader_lease = asking->lease;
	peers->is_asking = true;
	store_submit(peers->core->params.store, txn, stood, peers);
}

void election_stand(struct peers *peers)
{
	if (!peers->is_asking && may_stand(peers))
		ask(peers, 0, stand);
}

void election_resign(struct peers *peers)
{
	struct store_txn *txn;

	if (!peers->leader_revision)
		return;
	txn = store_txn_new();
	peers_guard(peers, txn);
	store_txn_delete(txn, "leader");
	store_submit(peers->core->params.store, txn, NULL, NULL);
}

void election_note_changed(struct peers *peers)
{
	const struct note *note = objects_note(peers->core->objects, "leader");
	bool is_ours = note && peers->lease.is_alive && peers->leader_lease && text_equal(note->value, peers->core->node_uid);
	uint64_t revision = is_ours ? note->revision : 0;

	if (is_ours && !peers->leader_revision)
		log_line(LOG_NOTICE, "this node leads the cluster");
	if (!is_ours && peers->leader_revision)
		log_line(LOG_NOTICE, "this node does not lead the cluster any more");
	if (peers->leader_revision != revision) {
		peers->leader_revision = revision;
		if (is_ours)
			leader_begin(peers);
		else
			leader_end(peers);
	}
	if (note)
		route_try_again(peers);
	election_stand(peers);
}
