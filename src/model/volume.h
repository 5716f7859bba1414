/*
 * volume.h - the noun "volume": an extra disk of machines, or a folder of containers. (How it is stored: port/volume.h.)
 */
#ifndef MODEL_VOLUME_H
#define MODEL_VOLUME_H

#include "model/meta.h"

enum volume_spec_content { VOLUME_CONTENT_BLOCK, VOLUME_CONTENT_FILESYSTEM };

struct volume_source {			/* Clone: copied once, when it is made. */
	char *volume;			/* uid */
	char *snapshot;			/* uid, or null for its present state. */
	char *upload;			/* Restore: id of an uploaded backup. */
};

/* Something to be done once: raised serials, as instance_restore. */
struct volume_restore {
	char *snapshot;			/* uid: back to this snapshot ... */
	char *upload;			/* ... or on to the state of this incremental backup. */
	int64_t serial;
};

struct volume_spec {
	int content;
	char *node;			/* Filled in: uid of the node that has it. */
	char *pool;			/* Name. */
	char *pool_uid;			/* Filled in. */
	uint64_t size;			/* May grow; of a file system its limit, 0: none. */
	char *snapshots;		/* Schedule: "hourly keep 24, daily keep 7". */
	struct volume_source source;
	struct volume_restore restore;
};

enum volume_state { VOLUME_PENDING, VOLUME_READY, VOLUME_DELETING, VOLUME_FAILED };
extern const char *const volume_state_names[];

struct volume_status {
	int state;
	char *reason;
	char *node_name, *lost;		/* From the state of its node. */
	uint64_t size;			/* In force. */
	uint64_t allocated;
	char *instance;			/* Name of the instance it is attached to, or null. */
	int64_t restore_serial;		/* The last restore done, or given up (then 'reason' says why). */
	int64_t snapshot_at;		/* When its newest snapshot was taken: what could be restored. */
};

struct volume {
	struct meta meta;
	struct volume_spec spec;
	struct volume_status status;
};

extern const struct field_table volume_spec_table, volume_status_table;

#endif
