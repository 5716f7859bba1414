#include "model/pool.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

const char *const pool_state_names[] = { "pending", "ready", "deleting", "failed", NULL };
static const char *const driver_names[] = { "file", "btrfs", NULL };

static int source_check(const void *value, struct err *err)
{
	const char *path = value;

	if (path[0] != '/' || strstr(path, "/..") || strpbrk(path, "\n\t"))
		return err_set(err, -EINVAL, "'%s' is not an absolute path without '..': use one like /srv/pool", shown(path));
	return 0;
}

FIELD_TABLE(pool_spec_table, pool_spec, "Where a pool is and how it keeps volumes.",
	FIELD(ENUM, pool_spec, driver, .choices = driver_names, .fallback = "file", .flags = FIELD_FIXED,
	      .doc = "file: files and folders on any file system; limits of folders need project quotas there. btrfs: folders are subvolumes with "
		     "limits; snapshots and clones share what is the same."),
	FIELD(STRING, pool_spec, node, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = 63,
	      .doc = "Node (name when made, uid since) it is on; on every node when absent."),
	FIELD(BOOL, pool_spec, shared, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY,
	      .doc = "Every node reaches the same folder at 'source' (NFS, CephFS): what is in it can move without being copied."),
	FIELD(STRING, pool_spec, source, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .max = 3072, .check = source_check,
	      .doc = "file: a folder. btrfs: a block device (formatted when blank), a folder on btrfs, or a file that is made. When not given a "
		     "folder or file below the daemon's state folder is made."),
	FIELD(SIZE, pool_spec, size, .flags = FIELD_FIXED | FIELD_OMIT_EMPTY, .min = 0, .max = (int64_t)64 << 40, .unit = "bytes",
	      .doc = "btrfs: size of the file that is made, 10GiB when not given."),
);

FIELD_TABLE(pool_status_table, pool_status, "What a pool is now.",
	FIELD(ENUM, pool_status, state, .choices = pool_state_names, .doc = "Only a ready pool can be used."),
	FIELD(STRING, pool_status, reason, .flags = FIELD_OMIT_EMPTY, .doc = "Why, when something is not well."),
	FIELD(STRING, pool_status, node_name, .flags = FIELD_OMIT_EMPTY | FIELD_DERIVED, .doc = "Name of its node, in a cluster."),
	FIELD(STRING, pool_status, lost, .flags = FIELD_OMIT_EMPTY | FIELD_DERIVED, .doc = "Its node is lost: what is shown is what that last said."),
	FIELD(STRING, pool_status, path, .flags = FIELD_OMIT_EMPTY, .doc = "Folder the volumes are in."),
	FIELD(SIZE, pool_status, size, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "Size of its file system."),
	FIELD(SIZE, pool_status, free, .flags = FIELD_OMIT_EMPTY, .unit = "bytes", .doc = "How much of it is free."),
);

int pool_spec_check(const struct pool_spec *spec, struct err *err)
{
	if (spec->shared && (spec->driver != POOL_FILE || !spec->source))
		return err_set(err, -EINVAL, "spec.shared: only a folder can be shared: use the driver file and name it as 'source'");
	if (spec->driver == POOL_FILE && spec->size)
		return err_set(err, -EINVAL, "spec.size: a pool of files is as large as its file system: leave it out, or use the driver btrfs");
	if (spec->size && spec->size < UINT64_C(256) << 20)
		return err_set(err, -EINVAL, "spec.size: a btrfs file system needs 256MiB: use at least that");
	return 0;
}
