/*
 * tree_copy.h - copies a folder with all it holds, as it is: owners, modes, attributes, times, hard and symbolic links, devices, holes.
 *
 * Files share their blocks where the file system can. Nobody may write to the original meanwhile.
 *
 * Errors:  -ECANCELED, -ELOOP for folders nested too deep, else -errno; the copy is then unfinished.
 * Threads: any.
 */
#ifndef VOLUME_FILE_TREE_COPY_H
#define VOLUME_FILE_TREE_COPY_H

#include <stdbool.h>

#include "port/volume.h"

/* 'to_fd' is an empty folder, 'to_dir_fd' and 'to_name' where it is. With 'has_origins' each file gets TREE_NODE_ORIGIN. */
int tree_copy(int from_fd, int to_dir_fd, const char *to_name, int to_fd, bool has_origins, const struct volume_progress *progress,
	      struct err *err);

#endif
