/*
 * pool.h - the noun "pool": a place for volumes, images and the roots of instances.
 */
#ifndef MODEL_POOL_H
#define MODEL_POOL_H

#include "model/meta.h"

enum pool_driver { POOL_FILE, POOL_BTRFS };

struct pool_spec {
	int driver;
	char *node;			/* Filled in: uid of the node it is on; null: on every node. */
	bool shared;			/* Every node reaches the same folder. */
	char *source;			/* FILE: a folder. BTRFS: a block device, a folder on btrfs, or a file that is made. Null: below
					 * the state folder. */
	uint64_t size;			/* BTRFS: of the file that is made. */
};

enum pool_state { POOL_PENDING, POOL_READY, POOL_DELETING, POOL_FAILED };
extern const char *const pool_state_names[];

struct pool_status {
	int state;
	char *reason;
	char *node_name, *lost;		/* From the state of its node. */
	char *path;			/* Where it is mounted. */
	uint64_t size, free;		/* Of the file system; kept by the agent, seldom stored. */
};

struct pool {
	struct meta meta;
	struct pool_spec spec;
	struct pool_status status;
};

extern const struct field_table pool_spec_table, pool_status_table;

int pool_spec_check(const struct pool_spec *spec, struct err *err);

#endif
