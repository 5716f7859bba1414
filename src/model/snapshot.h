/*
 * snapshot.h - the noun "snapshot": an instance's disks (and memory) at one instant.
 * meta.parent is the instance's uid.
 */
#ifndef MODEL_SNAPSHOT_H
#define MODEL_SNAPSHOT_H

#include "model/meta.h"

struct snapshot_spec {
	bool memory;
};

enum snapshot_state { SNAPSHOT_PENDING, SNAPSHOT_READY, SNAPSHOT_DELETING, SNAPSHOT_FAILED };
extern const char *const snapshot_state_names[];

struct snapshot_status {
	int state;
	char *reason;
	char *lost;			/* From the state of its node. */
	bool has_memory;		/* False when the instance was stopped: then there is no memory to keep. */
	int64_t taken_at;
	struct field_list volumes;	/* char *: uids of the extra volumes that are part of it. */
	int64_t cpus;			/* The machine's shape at that instant: memory fits only the same. */
	uint64_t memory;
	char *machine;
};

struct snapshot {
	struct meta meta;
	struct snapshot_spec spec;
	struct snapshot_status status;
};

extern const struct field_table snapshot_spec_table, snapshot_status_table;

#endif
