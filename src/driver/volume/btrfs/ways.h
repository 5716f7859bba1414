/*
 * ways.h - the ways of trees on btrfs: a tree is a subvolume, a snapshot a read-only one, a copy costs nothing.
 */
#ifndef VOLUME_BTRFS_WAYS_H
#define VOLUME_BTRFS_WAYS_H

#include "driver/volume/file/place.h"

extern const struct tree_ways tree_ways_btrfs;

/* stream.c: by `btrfs send` and `btrfs receive`, wrapped into the records of file/frames.h. */
int btrfs_stream_send(const struct place *place, int snapshot_fd, int base_fd, struct frames_writer *writer, struct err *err);
int btrfs_stream_receive(const struct place *place, int base_fd, struct frames_reader *reader, int dir_fd, const char *name,
			 struct err *err);

#endif
