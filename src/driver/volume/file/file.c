/*
 * The "file" driver: qcow2 files and folders of files in a folder on any file system. place.h says where they lie.
 */
#include <errno.h>
#include <unistd.h>

#include "base/str.h"
#include "driver/volume/file/folder.h"
#include "driver/volume/file/tree.h"
#include "port/volume.h"

static int file_open(const struct volume_params *params, struct volume_driver **ret_driver, struct err *err)
{
	return folder_open(params, &volume_file, &tree_ways_plain, ret_driver, err);
}

/* Files that are none of ours stay, and their folder with them. */
static int file_destroy(const struct volume_params *params, struct err *err)
{
	struct place place;
	int r;

	if (!params->directory || access(params->directory, F_OK) < 0)
		return 0;
	if ((r = place_open(params, &tree_ways_plain, &place, err)) < 0)
		return r;
	r = folder_check_empty(&place, err);
	place_close(&place);
	if (r == 0 && rmdir(params->directory) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EBUSY)
		return err_set(err, -errno, "remove folder '%s': %m%s", shown(params->directory), place_remedy(errno));
	return r;
}

const struct volume_ops volume_file = {
	.name = "file",
	.open = file_open,
	.close = folder_close,
	.destroy = file_destroy,
	.space = folder_space,
	.create = folder_create,
	.clone = folder_clone,
	.import = folder_import,
	.export = folder_export,
	.remove = folder_remove,
	.resize = folder_resize,
	.snapshot_create = folder_snapshot_create,
	.snapshot_restore = folder_snapshot_restore,
	.snapshot_remove = folder_snapshot_remove,
	.send = folder_send,
	.receive = folder_receive,
	.info = folder_info,
	.list = folder_list,
};
