/*
 * place.h - the folder in which the volumes of the "file" driver lie.
 *
 *	<name>.qcow2		the volume
 *	<name>.parent		symbolic link to "<parent>.qcow2": what it is a copy-on-write child of
 *	<name>.tmp-<random>	being built; whoever builds it holds a lock on it (flock)
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
#include "port/volume.h"

enum { PLACE_FILE_NAME_SIZE = VOLUME_NAME_LENGTH + 16 };

struct place {
	pthread_mutex_t lock;		/* Keeps place_list() from removing what is just appearing. */
	char *directory;		/* Absolute. */
	int fd;
	uid_t user;			/* The files are theirs. */
	gid_t group;
};

int place_open(const struct volume_params *params, struct place *place, struct err *err);
void place_close(struct place *place);

bool place_has(const struct place *place, const char *volume);
/* The name of the volume's parent, or "" when it has none. */
int place_parent(const struct place *place, const char *volume, char ret_parent[VOLUME_NAME_LENGTH + 1], struct err *err);
int place_remove(const struct place *place, const char *volume, struct err *err);
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

struct building {			/* A file that is to become a volume. */
	struct place *place;
	int fd;				/* Locked; -1: none. */
	char name[PLACE_FILE_NAME_SIZE];
};

int building_begin(struct place *place, const char *volume, struct building *building, struct err *err);
/* Makes it the volume, with 'parent' ("": none), durably. */
int building_finish(struct building *building, const char *volume, const char *parent, struct err *err);
void building_drop(struct building *building);	/* Removes it unless finished. */
#define auto_building __attribute__((cleanup(building_drop)))

#endif
