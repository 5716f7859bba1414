/*
 * load_source.h - how the core asks how loaded hosts are, and says whose load is to be known.
 *
 * The pages of other hosts come by drivers, which the core does not know: the daemon gives it such a table of functions, simulation and
 * a host that is alone give it none (all null).
 *
 * Errors:  as of load.h: -ENOENT nothing is known of that node.
 * Memory:  arguments are borrowed during the call.
 * Threads: the loop's.
 */
#ifndef TELEMETRY_LOAD_SOURCE_H
#define TELEMETRY_LOAD_SOURCE_H

#include "1-hardware/telemetry/load.h"

struct load_node { const char *uid, *address; /* Of its API, "192.0.2.1:8443"; null: it has none. */ };

struct load_cluster {
	const char *key;		/* 64 hex digits; null: not known yet. */
	bool may_use_rdma;
	const struct load_node *nodes;	/* All of them, this one too. */
	size_t count;
};

struct load_instance { const char *uid; bool is_container; };

struct load_source {
	/* The key, the nodes or their addresses have changed. */
	void (*set_cluster)(void *data, const struct load_cluster *cluster);
	/* All that run on this node. */
	void (*set_instances)(void *data, const struct load_instance *instances, size_t count);
	int (*load)(void *data, const uint8_t node[PAGE_UID_BYTES], struct host_load *ret_load, struct err *err);
	int (*page)(void *data, const uint8_t node[PAGE_UID_BYTES], struct page *ret_page, uint64_t *ret_age_ms, struct err *err);
	void *data;
};

#endif
