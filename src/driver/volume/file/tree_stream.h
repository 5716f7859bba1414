/*
 * tree_stream.h - trees of plain folders as a stream (see frames.h): between header and end come
 *
 *	REMOVE	path				of the base, with all below it; before anything is made
 *	ENTRY	see struct below, then		begins a file, folder, link, device or second name
 *		path, zero, target, zero
 *	XATTR	name, zero, value		of that entry
 *	CONTENT	u64 offset, bytes		of that entry when it is a file; offsets rise
 *	DONE					that entry is complete
 *
 * An ENTRY: u32 mode (type and permissions; type 0: another name of 'target'), u32 uid, u32 gid, u32 major, u32 minor,
 * u32 0, u64 size, u64 mtime in seconds, u32 its ns, u32 flags (1: the content is that of the base, only what
 * is said of it changed). Folders come before what is in them. Paths are relative and go through no link, "" is the tree itself.
 *
 * Of a file that changed the whole content is sent. Whether it changed is told by TREE_NODE_ORIGIN, else by comparing.
 */
#ifndef VOLUME_FILE_TREE_STREAM_H
#define VOLUME_FILE_TREE_STREAM_H

#include "driver/volume/file/place.h"

enum { TREE_ENTRY_BYTES = 48, TREE_ENTRY_SAME_CONTENT = 1 };

int tree_stream_send(const struct place *place, int snapshot_fd, int base_fd, struct frames_writer *writer, struct err *err);
int tree_stream_receive(const struct place *place, int base_fd, struct frames_reader *reader, int dir_fd, const char *name,
			struct err *err);
/* Makes of the stream's records what they say in the folder 'root_fd' (at 'dir_fd'/'name'), which is a copy of the base or empty. */
int tree_stream_apply(struct frames_reader *reader, int root_fd, struct err *err);

#endif
