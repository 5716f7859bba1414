/*
 * topology.h - the NUMA nodes and CPUs of each host: does an instance fit within one NUMA node, are whole CPUs left?
 *
 * Stands beside a cluster, which counts what a host has in all. Only those that say how they want to lie are counted
 * here as well: within one NUMA node (SINGLE), in equal parts on all of them (SPLIT), on whole CPUs that nobody else has
 * (exclusive), on CPUs they name (pinned). All others may lie anywhere, so that they fit as long as the host's total does.
 *
 * A host of which nothing was said takes only instances that may lie anywhere.
 *
 * What an instance holds is a number that stays valid until released.
 * Units: the cluster's. Errors: -EINVAL, -ENOENT, -ENOSPC, -EBUSY; naming host and value. Memory: topology_done().
 * Threads: one at a time.
 */
#ifndef SCHEDULING_TOPOLOGY_H
#define SCHEDULING_TOPOLOGY_H

#include "3-scheduling/cluster.h"
#include "base/str.h"
#include "base/vec.h"

enum { CPUS_MAX = 1024, NUMA_NODES_MAX = 16 };
#define HOLD_NONE UINT32_MAX

struct cpu_set { uint64_t words[CPUS_MAX / 64]; };

enum numa_fit { NUMA_ANYWHERE, NUMA_SINGLE, NUMA_SPLIT };

struct numa_demand {
	uint8_t fit;			/* enum numa_fit */
	bool is_exclusive;		/* Whole CPUs, as many as the request asks for. */
	const struct cpu_set *pinned;	/* Only these; null: any. Borrowed. */
};

struct numa_node {			/* How a NUMA node is described. */
	struct cpu_set cpus;
	int32_t memory;
};

struct zone { struct cpu_set cpus; int32_t cpu_total, cpu_free, memory_total, memory_free; };

struct hold {				/* What one instance has. */
	uint32_t host;			/* Where it is free: the next free one. */
	bool is_exclusive, is_pinned;
	struct cpu_set cpus;
	struct zone_share { int32_t cpu, memory; } share[NUMA_NODES_MAX];
};

struct topology {
	const struct cluster *cluster;
	uint32_t cpu, memory;		/* Dimensions of the cluster. */
	VEC(struct zone) zones;		/* The NUMA nodes of a host are consecutive. */
	struct host_cpus { uint32_t first_zone, zone_count, hold_count; struct cpu_set *taken; uint16_t *pins; } *hosts;
	uint32_t host_capacity;
	VEC(struct hold) holds;
	uint32_t first_free_hold;
};

/* The dimension of CPUs counts thousandths. */
int topology_init(struct topology *topology, const struct cluster *cluster, uint32_t cpu, uint32_t memory, struct err *err);
void topology_done(struct topology *topology);
/* Describes a host, anew when it was described before; -EBUSY while something is held there. */
int topology_set(struct topology *topology, uint32_t node, const struct numa_node *numa_nodes, uint32_t count, struct err *err);

/* The host is no more, and its number may be given to another; nothing is held there. */
void topology_forget(struct topology *topology, uint32_t node);

static inline bool numa_demand_is_anything(const struct numa_demand *demand)
{
	return demand->fit != NUMA_ANYWHERE || demand->is_exclusive || demand->pinned;
}

/* Is the demand possible at all: whole CPUs, as many as are pinned? */
int topology_check(const struct topology *topology, const struct request *request, const struct numa_demand *demand, struct err *err);
/* 'request' as it is charged. */
bool topology_fits(const struct topology *topology, const struct request *request, const struct numa_demand *demand, uint32_t node);
/* Appends why not, or nothing. */
void topology_explain(const struct topology *topology, const struct request *request, const struct numa_demand *demand, uint32_t node,
		      struct str *text);
/* HOLD_NONE when the demand is nothing. */
int topology_take(struct topology *topology, const struct request *request, const struct numa_demand *demand, uint32_t node,
		  uint32_t *ret_hold, struct err *err);
/* Returns what was held; topology_put_back() takes the very same again, where nothing else was taken meanwhile. */
struct hold topology_release(struct topology *topology, uint32_t hold);
uint32_t topology_put_back(struct topology *topology, const struct hold *hold);

void cpu_set_add(struct cpu_set *set, uint32_t cpu);
uint32_t cpu_set_count(const struct cpu_set *set);

#endif
