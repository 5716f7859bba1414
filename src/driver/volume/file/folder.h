/*
 * folder.h - the operations of volume_ops on a place, whatever file system it is on: shared by the drivers "file" and "btrfs".
 *
 * Names are checked here; block.h and tree.h do the rest.
 */
#ifndef VOLUME_FILE_FOLDER_H
#define VOLUME_FILE_FOLDER_H

#include "driver/volume/file/place.h"

struct folder {				/* What a driver of a place is. */
	struct volume_driver base;
	struct place place;
};

/* For volume_ops.open and close, when the folder is there. */
int folder_open(const struct volume_params *params, const struct volume_ops *ops, const struct tree_ways *ways,
		struct volume_driver **ret_driver, struct err *err);
void folder_close(struct volume_driver *driver);
/* -EBUSY when volumes are in it. */
int folder_check_empty(struct place *place, struct err *err);

int folder_space(struct volume_driver *driver, struct volume_space *ret_space, struct err *err);
int folder_create(struct volume_driver *driver, const char *volume, enum volume_content content, const char *parent,
		  uint64_t size_bytes, struct err *err);
int folder_clone(struct volume_driver *driver, const char *volume, const char *from, const char *snapshot,
		 const struct volume_progress *progress, struct err *err);
int folder_import(struct volume_driver *driver, const char *volume, int file_fd, int expected,
		  const struct volume_progress *progress, struct err *err);
int folder_export(struct volume_driver *driver, const char *volume, const char *path, const struct volume_progress *progress,
		  struct err *err);
int folder_remove(struct volume_driver *driver, const char *volume, struct err *err);
int folder_resize(struct volume_driver *driver, const char *volume, uint64_t size_bytes, struct err *err);
int folder_snapshot_create(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err);
int folder_snapshot_restore(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err);
int folder_snapshot_remove(struct volume_driver *driver, const char *volume, const char *snapshot, struct err *err);
int folder_send(struct volume_driver *driver, const char *volume, const char *snapshot, const char *base, int to_fd,
		const struct volume_progress *progress, struct err *err);
int folder_receive(struct volume_driver *driver, const char *volume, int from_fd, const struct volume_progress *progress,
		   struct err *err);
int folder_info(struct volume_driver *driver, const char *volume, struct volume_info *ret_info, struct err *err);
int folder_list(struct volume_driver *driver, struct volume_names *ret_names, struct err *err);

#endif
