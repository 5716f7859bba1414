/*
 * node.h - the noun "node": a host. People write spec and labels; its own daemon writes status.
 */
#ifndef MODEL_NODE_H
#define MODEL_NODE_H

#include "model/meta.h"

/* How it is switched off when it is lost; see port/power.h. */
enum node_power_driver { NODE_POWER_NONE, NODE_POWER_REDFISH, NODE_POWER_IPMI, NODE_POWER_SIM, NODE_POWER_COUNT };
struct node_power { int driver; char *address, *credentials, *ca, *system; };
extern const struct field_table node_power_table;

struct node_spec {
	struct node_power power;
	bool cordoned;			/* No new instances. */
	bool draining;			/* All instances are to go elsewhere. */
};

/* What a node is to the others; moved by the leader alone, as node_may_move() allows. */
enum node_state { NODE_JOINING, NODE_READY, NODE_UNREACHABLE, NODE_FENCED, NODE_DRAINING, NODE_GONE, NODE_STATE_COUNT };
extern const char *const node_state_names[];
bool node_may_move(enum node_state from, enum node_state to);
static inline bool node_is_lost(enum node_state state) { return state == NODE_UNREACHABLE || state == NODE_FENCED; }

/* The note member/<node>. */
struct node_member {
	int state;
	int64_t epoch;			/* Raised each time it is fenced. */
	int64_t since;			/* Wall ms. */
	char *reason;
};

/* The note alive/<node>, which goes with the node's lease. */
struct node_alive {
	char *boot_id;
	int64_t epoch;			/* The one it knows of: what it lost before that is ended there. */
};

struct node_status {
	int state;			/* enum node_state, and since when; from its member note, never stored here. */
	int64_t since;
	char *reason;
	bool is_leader;
	char *address;			/* Where its API answers other nodes: "192.0.2.1:8443". */
	char *hostname, *os, *kernel, *architecture, *cpu_model, *version /* of Strata */;
	int64_t cpus;
	uint64_t memory, memory_free, disk, disk_free;
	char *accelerator, *accelerator_reason;	/* "kvm" or "tcg", and why not kvm. */
	char *machine_driver, *machine_version, *container_version;
	struct field_list machine_types;	/* char * */
	struct field_list warnings;		/* char * */
	char *boot_id;
	char *tag;			/* Part of every interface, table and cgroup name of this daemon. */
	int64_t started_at;		/* The daemon. */
	int64_t cpus_promised;		/* To what runs there; from the ledger of placement.h, never stored. */
	uint64_t memory_promised;
};

struct node {
	struct meta meta;
	struct node_spec spec;
	struct node_status status;
};

extern const struct field_table node_spec_table, node_status_table, node_member_table, node_alive_table;

#endif
