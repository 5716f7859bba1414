/*
 * tree_node.h - one file, folder, link or device of a tree, with all that is known of it.
 *
 * "Of it" is owner, mode, times and extended attributes, ACLs and capabilities among them. The paths are those
 * of folders that only root can enter: nobody puts a link where one looks.
 *
 * Threads: any.
 */
#ifndef VOLUME_FILE_TREE_NODE_H
#define VOLUME_FILE_TREE_NODE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

/*
 * Where a snapshot's file came from: inode number and change time of the original, kept as this attribute. When
 * two snapshots agree on it, the original was not touched between them.
 */
#define TREE_NODE_ORIGIN "trusted.strata.origin"

enum { TREE_NODE_PATH_SIZE = 32 + 256, TREE_DEPTH_MAX = 256 };

/* A path for calls that take no fd: /proc/self/fd/<dir_fd>/<name>. */
const char *tree_node_path(int dir_fd, const char *name, char path[TREE_NODE_PATH_SIZE]);

struct tree_xattr { char *name; void *value; size_t size; };
struct tree_xattrs { VEC(struct tree_xattr) items; };		/* Sorted by name, without TREE_NODE_ORIGIN. */

int tree_node_read_xattrs(int dir_fd, const char *name, struct tree_xattrs *xattrs, struct err *err);
/* Removes what 'name' has beyond 'wanted'. */
int tree_node_keep_xattrs(int dir_fd, const char *name, const struct tree_xattrs *wanted, struct err *err);
void tree_xattrs_done(struct tree_xattrs *xattrs);
#define auto_xattrs __attribute__((cleanup(tree_xattrs_done)))

/* Makes what is neither file, folder nor hard link. */
int tree_node_make_special(int dir_fd, const char *name, const struct stat *st, const char *target, struct err *err);
/* Gives 'name' the owner, mode and attributes; its content has been written, for that would take capabilities away. */
int tree_node_set(int dir_fd, const char *name, const struct stat *st, const struct tree_xattrs *xattrs, struct err *err);
/* The times come last of all, of a folder when all is in it. */
int tree_node_set_times(int dir_fd, const char *name, const struct stat *st, struct err *err);

#endif
