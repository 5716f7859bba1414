/*
 * tree.h - trees: folders in a place. The operations of volume_ops that have to do with them.
 *
 * Each new state is made beside and then renamed or exchanged, so that after a crash the old or the
 * new one is there; what is left beside is found by place_list(). How a folder is
 * made, copied and removed is said by place->ways.
 *
 * Names are checked by the caller. Errors, memory and threads as in port/volume.h.
 */
#ifndef VOLUME_FILE_TREE_H
#define VOLUME_FILE_TREE_H

#include "driver/volume/file/place.h"

int tree_create(struct place *place, const char *volume, uint64_t size_bytes, struct err *err);
int tree_clone(struct place *place, const char *volume, const char *from, const char *snapshot,
	       const struct volume_progress *progress, struct err *err);
int tree_remove(struct place *place, const char *volume, struct err *err);
int tree_resize(struct place *place, const char *volume, uint64_t size_bytes, struct err *err);
int tree_snapshot_create(struct place *place, const char *volume, const char *snapshot, struct err *err);
int tree_snapshot_restore(struct place *place, const char *volume, const char *snapshot, struct err *err);
int tree_snapshot_remove(struct place *place, const char *volume, const char *snapshot, struct err *err);
int tree_info(struct place *place, const char *volume, struct volume_info *ret_info, struct err *err);
int tree_send(struct place *place, const char *volume, const char *snapshot, const char *base, int to_fd,
	      const struct volume_progress *progress, struct err *err);
int tree_receive(struct place *place, const char *volume, const struct frames_header *header, struct frames_reader *reader,
		 struct err *err);

/* The ways of any file system: plain folders, copied with reflinks where it has them. */
extern const struct tree_ways tree_ways_plain;

#endif
