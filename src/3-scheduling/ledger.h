/*
 * ledger.h - all books in one: the cluster, who runs beside whom, CPUs and NUMA nodes, quotas.
 *
 * Binding enters an instance into all of them or, on error, into none; unbinding takes it out of all. Between a decision and
 * its binding the world may have changed: binding checks everything again, so a stale decision is refused, never wrong.
 *
 * What if? Whatever was done after ledger_begin() is undone by ledger_undo() in reverse order, which gives bindings
 * their old numbers back; ledger_keep() forgets how to. Gangs, preemption and rebalancing try things out that way.
 *
 * Errors: as those of cluster.h, filter.h, topology.h and quota.h. Memory: ledger_done(); demands are borrowed while bound.
 * Threads: one at a time.
 */
#ifndef SCHEDULING_LEDGER_H
#define SCHEDULING_LEDGER_H

#include "3-scheduling/demand.h"

struct ledger_entry { const struct demand *demand; uint32_t hold; };

struct ledger_step {			/* What was done, and what undoes it. */
	uint8_t kind;
	bool was_cordoned;
	uint32_t binding, node, devices;
	const struct demand *demand;
	struct request charged;
	struct hold *hold;		/* Null: none. */
};

struct ledger {
	struct cluster *cluster;	/* Owned; read it directly, write through the ledger. */
	struct places places;		/* Labels, taints and domains may be written directly. */
	struct topology topology;	/* As may the topology of hosts. */
	struct quotas quotas;		/* As may limits. */
	struct overcommit overcommit;
	uint32_t compressible;		/* Bits: dimensions that are shared in time, such as CPU. Of others nobody can have more
					 * than a whole host, however often it is promised. */
	VEC(struct ledger_entry) entries;	/* By number of the binding. */
	VEC(struct ledger_step) steps;	/* Since ledger_begin(). */
	bool is_trying;
};

/* 'cpu' and 'memory' are dimensions. */
int ledger_init(struct ledger *ledger, const struct cluster_dimension *dimensions, size_t count, uint32_t cpu, uint32_t memory, struct err *err);
void ledger_done(struct ledger *ledger);
#define auto_ledger __attribute__((cleanup(ledger_done)))

/* Nodes come and go through the cluster; removal has to be told to all books. */
int ledger_remove_node(struct ledger *ledger, uint32_t node, struct err *err);
int ledger_cordon(struct ledger *ledger, uint32_t node, bool is_cordoned, struct err *err);

/* Is it possible at all, and within the project's quota? */
int ledger_check(const struct ledger *ledger, const struct demand *demand, struct err *err);
/* What of it is kept free on its node. This and what follows is for demands that have passed ledger_check(), but for the quota. */
struct request ledger_charge(const struct ledger *ledger, const struct demand *demand);
/* Is the node allowed, whatever it has free: constraints, NUMA, and is the host as large as the instance? */
bool ledger_allows(const struct ledger *ledger, const struct demand *demand, uint32_t node);
/* Appends everything that speaks against the node, or nothing: "is cordoned; needs 4GiB of memory, has 1GiB free of 8GiB". */
void ledger_explain(const struct ledger *ledger, const struct demand *demand, uint32_t node, struct str *text);

/* 'devices' as in cluster_bind(). */
int ledger_bind(struct ledger *ledger, const struct demand *demand, uint32_t node, uint32_t devices, uint32_t *ret_binding, struct err *err);
int ledger_unbind(struct ledger *ledger, uint32_t binding, struct err *err);
static inline const struct demand *ledger_demand(const struct ledger *ledger, uint32_t binding)
{
	return ledger->entries.items[binding].demand;
}

void ledger_begin(struct ledger *ledger);	/* Not within another one. */
size_t ledger_mark(const struct ledger *ledger);
void ledger_undo(struct ledger *ledger, size_t mark);	/* Back to the mark; ledger_begin() is mark 0. */
void ledger_keep(struct ledger *ledger);	/* Ends what was begun; what is not undone stays. */

#endif
