/*
 * numa.h - on which NUMA node of which server?
 *
 * The NUMA nodes of a server are consecutive nodes of a cluster: server s has nodes parts*s .. parts*s+parts-1. A
 * request stays within one of them, or is split: then every NUMA node of one server gives an equal part, and 'request' is
 * that part.
 *
 * Policies: `default` takes the fullest server that has room, there the emptier NUMA node: whole servers stay free for
 * what is large, and both halves of a server stay alike, which a split request needs. `first-fit` takes the first NUMA
 * node, `balance` the server whose halves differ most ("balance-fit" of SPANE, arXiv 2504.14946; two NUMA nodes).
 *
 * Pure; all of a server's dimensions count, each against the NUMA node's total. Threads: any.
 */
#ifndef SCHEDULING_NUMA_H
#define SCHEDULING_NUMA_H

#include "3-scheduling/cluster.h"
#include "base/str.h"

enum { NUMA_PARTS_MAX = 16 };

struct numa {
	const struct cluster *cluster;
	uint32_t parts;			/* NUMA nodes per server, NUMA_PARTS_MAX at most. */
	uint32_t server_count;
};

struct numa_policy {
	const char *name;
	/* The NUMA node, the server's first one for a split request; CLUSTER_NONE when it fits nowhere. */
	uint32_t (*choose)(const struct numa *numa, const struct request *request, bool is_split);
};

extern const struct numa_policy numa_default, numa_first_fit, numa_balance;

const struct numa_policy *numa_policy_find(const char *name);	/* Null when there is none. */

/* Appends a line per server, 'limit' at most: what its NUMA nodes have free, and whether it would do; then the choice. */
void numa_explain(const struct numa *numa, const struct numa_policy *policy, const struct request *request, bool is_split, uint32_t limit,
		  struct str *text);
/* Does it fit on NUMA node 'node', or split on the server that begins there? */
bool numa_fits(const struct numa *numa, const struct request *request, bool is_split, uint32_t node);

#endif
