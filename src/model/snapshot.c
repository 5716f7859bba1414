#include "model/snapshot.h"

const char *const snapshot_state_names[] = { "pending", "ready", "deleting", "failed", NULL };

FIELD_TABLE(snapshot_spec_table, snapshot_spec, "What a snapshot should be.",
	FIELD(BOOL, snapshot_spec, memory, .flags = FIELD_FIXED, .doc = "Keep the memory of the running machine too."),
);

FIELD_TABLE(snapshot_status_table, snapshot_status, "What a snapshot is now.",
	FIELD(ENUM, snapshot_status, state, .choices = snapshot_state_names, .doc = "Only a ready snapshot can be restored."),
	FIELD(STRING, snapshot_status, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why, when something is not well."),
	FIELD(STRING, snapshot_status, lost, .flags = FIELD_OMIT_EMPTY | FIELD_DERIVED, .doc = "Its node is lost: what is shown is what that last said."),
	FIELD(BOOL, snapshot_status, has_memory, .flags = FIELD_OMIT_EMPTY, .doc = "It holds the memory too."),
	FIELD(TIME, snapshot_status, taken_at, .flags = FIELD_OMIT_EMPTY, .doc = "The instant it shows."),
	FIELD(STRINGS, snapshot_status, volumes, .flags = FIELD_OMIT_EMPTY, .doc = "uids of the extra volumes that are part of it."),
	FIELD(INT, snapshot_status, cpus, .flags = FIELD_OMIT_EMPTY, .doc = "CPUs at that instant."),
	FIELD(SIZE, snapshot_status, memory, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Memory at that instant."),
	FIELD(STRING, snapshot_status, machine, .flags = FIELD_OMIT_EMPTY, .doc = "Machine type at that instant."),
);
