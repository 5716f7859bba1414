#include "model/volume.h"

#include "model/schedule.h"

const char *const volume_state_names[] = { "pending", "ready", "deleting", "failed", NULL };

static const char *const content_names[] = { "block", "filesystem", NULL };

FIELD_TABLE(volume_source_table, volume_source, "What it was made from.",
	FIELD(STRING, volume_source, volume, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .doc = "uid of the volume it is a copy of."),
	FIELD(STRING, volume_source, snapshot, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .doc = "uid of the snapshot it is a copy of."),
	FIELD(STRING, volume_source, upload, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .doc = "Id of the uploaded backup it was made from."),
);

FIELD_TABLE(volume_restore_table, volume_restore, "The last restore that was asked for.",
	FIELD(STRING, volume_restore, snapshot, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "uid of the snapshot it goes back to."),
	FIELD(STRING, volume_restore, upload, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "Id of an uploaded incremental backup."),
	FIELD(INT, volume_restore, serial, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "Counts the restores."),
);

FIELD_TABLE(volume_spec_table, volume_spec, "What a volume should be.",
	FIELD(ENUM, volume_spec, content, .choices = content_names, .fallback = "block", .flags = FIELD_FIXED,
	      .doc = "block: a disk for machines. filesystem: a folder for containers."),
	FIELD(STRING, volume_spec, node, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = 63, .doc = "Node (name when made, uid since) that has it."),
	FIELD(STRING, volume_spec, pool, .fallback = "default", .check = name_check, .flags = FIELD_FIXED, .doc = "Pool it is in."),
	FIELD(STRING, volume_spec, pool_uid, .flags = FIELD_READ_ONLY | FIELD_OMIT_EMPTY, .doc = "That pool's uid."),
	FIELD(SIZE, volume_spec, size, .flags = FIELD_OMIT_EMPTY, .min = 1 << 20, .max = (int64_t)64 << 40, .unit = "bytes",
	      .doc = "Size of the disk; or limit of the folder, no limit when not given. It can grow, never shrink."),
	FIELD(STRING, volume_spec, snapshots, .flags = FIELD_OMIT_EMPTY, .max = 256, .check = schedule_check,
	      .doc = "When snapshots are taken and how many are kept: \"hourly keep 24, daily keep 7\", \"every 15m keep 4\". At most the shortest "
		     "period is then lost."),
	FIELD(OBJECT, volume_spec, source, .table = &volume_source_table, .flags = FIELD_OMIT_EMPTY, .doc = "Set by 'volume clone' and 'volume restore'."),
	FIELD(OBJECT, volume_spec, restore, .table = &volume_restore_table, .flags = FIELD_OMIT_EMPTY,
	      .doc = "Set by 'volume snapshot restore' and 'volume restore --onto'."),
);

FIELD_TABLE(volume_status_table, volume_status, "What a volume is now.",
	FIELD(ENUM, volume_status, state, .choices = volume_state_names, .doc = "Only a ready volume can be used."),
	FIELD(STRING, volume_status, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why, when something is not well."),
	FIELD(STRING, volume_status, node_name, .flags = FIELD_OMIT_EMPTY | FIELD_DERIVED, .doc = "Name of its node, in a cluster."),
	FIELD(STRING, volume_status, lost, .flags = FIELD_OMIT_EMPTY | FIELD_DERIVED, .doc = "Its node is lost: what is shown is what that last said."),
	FIELD(SIZE, volume_status, size, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Size in force."),
	FIELD(SIZE, volume_status, allocated, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Space it takes on the node."),
	FIELD(STRING, volume_status, instance, .flags = FIELD_OMIT_EMPTY | FIELD_DERIVED, .doc = "Instance that has it."),
	FIELD(INT, volume_status, restore_serial, .flags = FIELD_OMIT_EMPTY, .doc = "The last restore that was done or given up."),
	FIELD(TIME, volume_status, snapshot_at, .flags = FIELD_OMIT_EMPTY, .doc = "When its newest snapshot was taken."),
);
