/*
 * cluster.h - what every node has, and what is bound to it: columns of integers.
 *
 * A cluster declares its dimensions (name and unit) when it is made; a node has a total and a free amount in each (what
 * is reserved for the host itself is in neither), up to 16 GPUs of one model, and each GPU its own free thousandths.
 * Requests are bound to a node and its devices; the accounting is exact: free is always total minus what is bound, never
 * below zero.
 * Nodes and bindings are numbers that stay valid until removed; a number is given again only after that.
 *
 * A snapshot is a cluster of its own that shares all pages until one of the two writes (see cow.h): changing it is
 * the way to ask "what if".
 *
 * Units:   the dimension's own, int32 per node. Names have at most 63 bytes.
 * Errors:  -EINVAL a quantity or name is wrong, -ENOENT no such node or binding, -EEXIST a dimension is declared twice,
 *          -ENOSPC it does not fit, -EBUSY something is bound; the message names node, dimension and values.
 *          After a failure the cluster is as before.
 * Memory:  allocation failure aborts. Threads: a cluster and its snapshots belong to one thread together.
 */
#ifndef SCHEDULING_CLUSTER_H
#define SCHEDULING_CLUSTER_H

#include <stddef.h>

#include "3-scheduling/cow.h"
#include "3-scheduling/request.h"
#include "base/err.h"
#include "base/units.h"

enum { CLUSTER_CHANGES = 1 << 16, CLUSTER_NAME_SIZE = 64, CLUSTER_NODES_MAX = 1 << 20, CLUSTER_BINDINGS_MAX = 1 << 24 };
#define CLUSTER_NONE UINT32_MAX

struct cluster_dimension {
	char name[32];			/* "cpu" */
	char unit[16];			/* Written after the number; "m" (thousandths), "KiB", "MiB" and "GiB" are understood. */
};

struct cluster_node {			/* How a node is described to the cluster. */
	const char *name;
	const int32_t *total;		/* One per dimension: what the host has. */
	const int32_t *reserved;	/* Of it, kept for the host itself; null: nothing. */
	uint32_t gpu_count;
	const char *gpu_model;		/* Null or "" without GPUs. */
};

struct cluster_gpus {
	int16_t free_milli[GPUS_MAX];	/* Beyond 'count': zero. */
};

struct cluster_shape {			/* What of a node seldom changes. */
	uint8_t is_present, is_cordoned, gpu_count, gpu_model;
	uint32_t bound_count, first_binding;
	uint64_t version;		/* Of its last change. */
};

/* The columns may be read directly; only cluster_*() writes. */
struct cluster {
	struct cluster_dimension dimensions[DIMENSIONS_MAX];
	uint32_t dimension_count;
	uint32_t node_end;		/* Nodes are 0 .. node_end-1, of which some are absent. */
	uint32_t node_count;
	uint32_t first_absent;		/* List of absent nodes through first_binding. */
	uint64_t version;		/* Counts changes; who keeps what it derived from nodes looks into 'changes'. */
	struct cow changes;		/* uint32_t: the node of change v is element v % CLUSTER_CHANGES. */
	char models[GPU_MODELS_MAX][CLUSTER_NAME_SIZE];
	uint32_t model_count;
	struct cow free[DIMENSIONS_MAX];	/* int32_t; absent nodes have -1. */
	struct cow total[DIMENSIONS_MAX];	/* int32_t: what instances may have. */
	struct cow reserved[DIMENSIONS_MAX];	/* int32_t: what the host has beside that. */
	struct cow gpus;		/* struct cluster_gpus */
	struct cow shapes;		/* struct cluster_shape */
	struct cow names;		/* char[CLUSTER_NAME_SIZE] */
	struct cow bindings;		/* struct binding and its amounts: cluster_bind.c. */
	uint32_t binding_end, binding_count, first_free_binding;
};

int cluster_new(const struct cluster_dimension *dimensions, size_t count, struct cluster **ret_cluster, struct err *err);
struct cluster *cluster_snapshot(const struct cluster *cluster);
void cluster_free(struct cluster *cluster);
static inline void cluster_freep(struct cluster **cluster) { cluster_free(*cluster); }
#define auto_cluster __attribute__((cleanup(cluster_freep)))

/* The caller keeps names unique where that matters; the cluster does not compare them. */
int cluster_add_node(struct cluster *cluster, const struct cluster_node *node, uint32_t *ret_node, struct err *err);
/* New totals for a node, 'reserved' as above; what is bound must still fit. Its GPUs stay. */
int cluster_update_node(struct cluster *cluster, uint32_t node, const int32_t *total, const int32_t *reserved, struct err *err);
int cluster_remove_node(struct cluster *cluster, uint32_t node, struct err *err);
/* Nothing new fits a cordoned node (fit.h); what is bound stays. best_fit.h leaves it out. */
int cluster_cordon(struct cluster *cluster, uint32_t node, bool is_cordoned, struct err *err);

/* -ENOENT: there is no such node (any more). */
int cluster_check_node(const struct cluster *cluster, uint32_t node, struct err *err);

/* Number of a GPU model, as in cluster_shape.gpu_model and request.gpu_models; a new one gets the next. */
int cluster_model(struct cluster *cluster, const char *name, uint8_t *ret_model, struct err *err);

/* Is the request possible at all: no negative amounts, GPUs as request.h says? */
int cluster_check_request(const struct cluster *cluster, const struct request *request, struct err *err);
/* 'devices': bit i is GPU i; as many as the request asks for. */
int cluster_bind(struct cluster *cluster, const struct request *request, uint32_t node, uint32_t devices,
		 uint32_t *ret_binding, struct err *err);
int cluster_unbind(struct cluster *cluster, uint32_t binding, struct err *err);

struct cluster_binding { uint32_t node, devices; struct request request; };
int cluster_binding(const struct cluster *cluster, uint32_t binding, struct cluster_binding *ret_binding, struct err *err);
/* Enumerates what is bound to a node: CLUSTER_NONE starts and ends. */
uint32_t cluster_next_binding(const struct cluster *cluster, uint32_t node, uint32_t binding);

static inline const struct cluster_shape *cluster_shape(const struct cluster *cluster, uint32_t node)
{
	return cow_at(&cluster->shapes, node);
}

static inline const struct cluster_gpus *cluster_gpus(const struct cluster *cluster, uint32_t node)
{
	return cow_at(&cluster->gpus, node);
}

static inline int32_t cluster_free_amount(const struct cluster *cluster, uint32_t dimension, uint32_t node)
{
	return *(const int32_t *)cow_at(&cluster->free[dimension], node);
}

static inline int32_t cluster_total(const struct cluster *cluster, uint32_t dimension, uint32_t node)
{
	return *(const int32_t *)cow_at(&cluster->total[dimension], node);
}

static inline int32_t cluster_reserved(const struct cluster *cluster, uint32_t dimension, uint32_t node)
{
	return *(const int32_t *)cow_at(&cluster->reserved[dimension], node);
}

static inline const char *cluster_node_name(const struct cluster *cluster, uint32_t node)
{
	return cow_at(&cluster->names, node);
}

/* As people write it: 8192 of unit "MiB" is "8GiB", 1500 of unit "m" is "1.5", 25 of "Mbit/s" is "25Mbit/s". */
const char *cluster_amount(const struct cluster *cluster, uint32_t dimension, int64_t amount, char buffer[UNITS_TEXT_SIZE]);

#endif
