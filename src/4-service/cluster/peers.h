/*
 * peers.h - this node among others that use the same store: its lease, who leads, what becomes of nodes that are lost.
 *
 * docs/decisions/0017-cluster.md has the keys and the rules. Where the store is this host's alone there is nothing of it: the
 * node leads, always, and no key is written.
 *
 * Threads: the loop's.
 */
#ifndef SERVICE_PEERS_H
#define SERVICE_PEERS_H

#include "4-service/cluster/lease.h"
#include "4-service/service.h"

enum { LEADER_LEASE_MS = 3000, PEERS_FENCE_GRACE_MS = 3000, PEERS_POWER_LIMIT_MS = 6000, PEERS_JOIN_MS = 30000, PEERS_TICK_MS = 500, PEERS_WAIT_MS = 10000 };

struct peers *peers_new(struct core *core);
void peers_free(struct peers *peers);		/* Null is fine. */
/* Nothing is left here of what others took over: the node may say that it is alive. */
void peers_join(struct peers *peers);

bool peers_is_leader(const struct peers *peers);
/* uid of the node that leads; null: none at the moment. */
const char *peers_leader(const struct peers *peers);
/* Only who leads, and has not been followed by another, may do what 'txn' does. */
void peers_guard(const struct peers *peers, struct store_txn *txn);

/* What the node is to the others; where there are no others it is ready. node_member_table owns the texts. */
void peers_member(const struct peers *peers, const char *node, struct node_member *ret_member);
enum node_state peers_state(const struct peers *peers, const char *node);
/* May it be given instances? */
bool peers_is_ready(const struct peers *peers, const char *node);
/* Does it renew its lease? */
bool peers_is_reachable(const struct peers *peers, const char *node);
/* Fills in the volatile part of the status. */
void peers_fill_node(const struct peers *peers, struct node *node);

/* Something about the node has changed: who leads judges it anew. */
void peers_look_at(struct peers *peers, const char *node);

/* Has the call to be answered by another node, or to wait until there is one that may? Then it has been dealt with. */
bool peers_routes(struct peers *peers, struct call *call);

/* ---- Between the files of this folder ---- */

/* A node that the leader has to look at again and again. */
struct suspect {
	bool is_lost;			/* Its lease has ended, ... */
	uint64_t since_ms;		/* ... as far as this leader has seen it, then. */
	bool has_power_been_asked, is_power_asked;	/* A worker waits for it to be off. */
};

struct peers {
	struct core *core;
	struct lease lease;
	uint64_t leader_revision;	/* Of the key "leader" when it is ours; 0: it is not. */
	uint64_t leader_lease;		/* Of that key when this daemon has put it there; 0: it has not. */
	bool is_asking;			/* A call about leading is under way. */
	struct loop_source *tick_timer, *wait_timer;
	struct map suspects;		/* Of the leader: uid of a node -> struct suspect. All others are as they should be. */
	VEC(struct call *) waiting;	/* For a leader. */
};

/* election.c */
void election_stand(struct peers *peers);	/* If nobody leads. */
void election_resign(struct peers *peers);
void election_note_changed(struct peers *peers);
void election_tick(struct peers *peers);
/* leader.c */
void leader_begin(struct peers *peers);		/* To judge; and no more. */
void leader_end(struct peers *peers);
void leader_tick(struct peers *peers);
void leader_look(struct peers *peers, const struct node *node);
void leader_guard_lost(struct store_txn *txn, const char *node);
/* heal.c: instances of the node that is fenced go elsewhere. */
void heal_node(struct peers *peers, const char *node);
/* move.c: instances of the node that is drained, since then (wall ms), go elsewhere. */
void drain_node(struct peers *peers, const char *node, int64_t since);
/* What could not leave the node before may be tried again. */
void drain_forget(struct peers *peers, const char *node, struct store_txn *txn);
/* power.c: once per loss, where people have said how. */
void power_off_lost(struct peers *peers, const struct node *node, struct suspect *suspect);
int power_check(struct core *core, const struct node_power *how, struct err *err);		/* Asks nobody. */
/* route.c */
void route_try_again(struct peers *peers);		/* Somebody leads, or a node is ready. */
void route_done(struct peers *peers);

#endif
