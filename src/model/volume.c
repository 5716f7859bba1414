#include "model/volume.h"

const char *const volume_state_names[] = { "pending", "ready", "deleting", "failed", NULL };

FIELD_TABLE(volume_spec_table, volume_spec, "What a volume should be.",
	FIELD(SIZE, volume_spec, size, .flags = FIELD_REQUIRED, .min = 1 << 20, .max = (int64_t)64 << 40, .unit = "bytes",
	      .doc = "Size of the disk. It can grow, never shrink."),
);

FIELD_TABLE(volume_status_table, volume_status, "What a volume is now.",
	FIELD(ENUM, volume_status, state, .choices = volume_state_names, .doc = "Only a ready volume can be used."),
	FIELD(STRING, volume_status, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why, when something is not well."),
	FIELD(SIZE, volume_status, size, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Size in force."),
	FIELD(SIZE, volume_status, allocated, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Space it takes on the node."),
	FIELD(STRING, volume_status, instance, .flags = FIELD_OMIT_EMPTY, .doc = "Instance it is attached to."),
);
