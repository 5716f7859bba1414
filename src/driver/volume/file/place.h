/*
 * place.h - the folder in which the volumes of the drivers "file" and "btrfs" lie.
 *
 *	<name>.qcow2		a block volume
 *	<name>.parent		symbolic link to "<parent>.qcow2": what it is a copy-on-write child of
 *	<name>.tree/		a tree, closed to all but root: what a container made setuid must not be reachable
 *		root/			its present content
 *		at-<number>.<snapshot>/	a snapshot; the numbers rise
 *	<name>.tmp-<random>	being built or removed (a file or a folder); whoever does it holds a lock on it (flock)
 *
 * The chain of parents is taken from these links and never from the files, which a machine can
 * write: a guest that broke out of QEMU must not reach another's disk by writing its name into a
 * header. The header's backing name is a plain file name too, so that the folder may be moved.
 *
 * Errors:  -ENOENT no such volume, -EINVAL what lies there is not what it should be.
 * Threads: any.
 */
#ifndef VOLUME_FILE_PLACE_H
#define VOLUME_FILE_PLACE_H

#include <pthread.h>

#include "driver/volume/file/qcow2.h"
#include "driver/volume/file/frames.h"
#include "port/volume.h"

enum { PLACE_FILE_NAME_SIZE = VOLUME_NAME_LENGTH + 16 };
#define PLACE_SUFFIX_VOLUME ".qcow2"
#define PLACE_SUFFIX_PARENT ".parent"
#define PLACE_SUFFIX_TREE ".tree"
#define PLACE_SUFFIX_BUILDING ".tmp-"

struct place;

/* How the folders of trees come and go, which depends on the file system. Each makes or removes 'name' in 'dir_fd'. */
struct tree_ways {
	/* An empty one: root's, 0755. 'size_bytes' as for volume_ops.create. */
	int (*make)(const struct place *place, int dir_fd, const char *name, uint64_t size_bytes, struct err *err);
	/* With the content of the folder 'from_fd'. Durable when it returns. */
	int (*copy)(const struct place *place, int from_fd, int dir_fd, const char *name, bool is_snapshot, uint64_t size_bytes,
		    const struct volume_progress *progress, struct err *err);
	bool has_atomic_copies;		/* A copy is there as a whole or not at all, and a snapshot cannot be moved. */
	int (*drop)(const struct place *place, int dir_fd, const char *name, struct err *err);	/* Absent is fine. */
	int (*limit)(const struct place *place, int tree_fd, uint64_t size_bytes, struct err *err);
	int (*usage)(const struct place *place, int tree_fd, uint64_t *ret_limit, uint64_t *ret_used, struct err *err);
	/* What changed from 'base_fd' (-1: everything), as records between those of a stream; its header says 'kind'. */
	const char *kind;
	int (*send)(const struct place *place, int snapshot_fd, int base_fd, struct frames_writer *writer, struct err *err);
	/* The other way: 'dir_fd'/'name' becomes what is sent; 'base_fd' is what it refers to, or -1. */
	int (*receive)(const struct place *place, int base_fd, struct frames_reader *reader, int dir_fd, const char *name,
		       struct err *err);
};

struct place {
	const struct tree_ways *ways;
	pthread_mutex_t lock;		/* Keeps place_list() from removing what is just appearing. */
	char *directory;		/* Absolute. */
	int fd;
	uid_t user;			/* The files are theirs. */
	gid_t group;
};

int place_open(const struct volume_params *params, const struct tree_ways *ways, struct place *place, struct err *err);
void place_close(struct place *place);

/* "<volume><suffix>"; the name was checked at the door. */
const char *place_file_name(const char *volume, const char *suffix, char buffer[PLACE_FILE_NAME_SIZE]);

bool place_has_block(const struct place *place, const char *volume);
bool place_has_tree(const struct place *place, const char *volume);
bool place_has(const struct place *place, const char *volume);		/* Either. */
/* What to do about an error of the file system, to be put at the end of a message; "" when there is nothing to say. */
const char *place_remedy(int error);
/* Appends it to the message of 'r', the code of a failed operation; returns 'r'. */
int place_add_remedy(int r, struct err *err);
/* The name of the volume's parent, or "" when it has none. */
int place_parent(const struct place *place, const char *volume, char ret_parent[VOLUME_NAME_LENGTH + 1], struct err *err);
int place_remove(const struct place *place, const char *volume, struct err *err);	/* A block volume. */
/* Removes the folder 'name' of the place, as those named <name>.tree are laid out. */
int place_remove_folder(const struct place *place, const char *name, struct err *err);
/* Appends what is in a folder, in no order; the fd stays the caller's. */
int place_names(int dir_fd, struct volume_names *names, struct err *err);
/* All volumes; removes what nobody is building any more and links without a volume. */
int place_list(struct place *place, struct volume_names *ret_names, struct err *err);

struct chain {				/* A volume with its parents, top first, opened. */
	size_t count;
	int fds[VOLUME_LAYERS_MAX];
	enum volume_format formats[VOLUME_LAYERS_MAX];
	char names[VOLUME_LAYERS_MAX][VOLUME_NAME_LENGTH + 1];
	struct qcow2_header header;	/* Of the top. */
};

/* Opens the chain of 'volume', the top with 'flags' (O_RDONLY, O_RDWR), the others read-only. */
int chain_open(const struct place *place, const char *volume, int flags, struct chain *chain, struct err *err);
void chain_close(struct chain *chain);
#define auto_chain __attribute__((cleanup(chain_close)))

struct building {			/* A file or folder that is to become a volume. */
	struct place *place;
	int fd;				/* Locked; -1: none. */
	bool is_folder;
	char name[PLACE_FILE_NAME_SIZE];
};

int building_begin(struct place *place, const char *volume, struct building *building, struct err *err);
/* Makes it the volume, with 'parent' ("": none), durably. */
int building_finish(struct building *building, const char *volume, const char *parent, struct err *err);
/* The same for trees: a folder with 'root' in it, to be made. */
int building_begin_folder(struct place *place, const char *volume, struct building *building, struct err *err);
int building_finish_folder(struct building *building, const char *volume, struct err *err);
/* Takes the tree 'volume' out of sight, to be dropped. */
int building_from_tree(struct place *place, const char *volume, struct building *building, struct err *err);
void building_drop(struct building *building);	/* Removes it unless finished. */
#define auto_building __attribute__((cleanup(building_drop)))

#endif
