/*
 * world.h - what the files of the "sim" driver share: its world, and steps of its operations. Callers use sim.h.
 *
 * Threads: with the world's lock held.
 */
#ifndef DRIVER_VOLUME_SIM_WORLD_H
#define DRIVER_VOLUME_SIM_WORLD_H

#include <pthread.h>

#include "base/map.h"
#include "driver/volume/sim/sim.h"

struct sim_snapshot { char *name; uint64_t content, size_bytes; };

struct sim_volume {
	enum volume_content kind;
	char *parent;			/* Null: none. */
	uint64_t size_bytes, content;
	bool is_half_built;
	VEC(struct sim_snapshot) snapshots;
};

struct sim_volumes {
	pthread_mutex_t lock;
	struct map volumes;		/* By name. */
};

struct sim_driver {
	struct volume_driver base;
	struct sim_volumes *world;
	bool owns_world;
	struct fault *fault;
};

struct sim_driver *sim_driver_of(struct volume_driver *driver);

void sim_volume_free(struct sim_volume *volume);
struct sim_snapshot *sim_volume_find(struct sim_volume *volume, const char *snapshot);		/* Null: none. */
void sim_volume_add(struct sim_volume *volume, const char *snapshot);
void sim_volume_drop(struct sim_volume *volume, struct sim_snapshot *snapshot);

int sim_find_volume(struct sim_driver *driver, const char *name, struct sim_volume **ret_volume, struct err *err);
bool sim_has_volume(struct sim_driver *driver, const char *name);
int sim_need_snapshot(struct sim_volume *volume, const char *name, const char *snapshot, struct sim_snapshot **ret_snapshot,
		      struct err *err);
/* Builds 'volume' as the named one in two steps: it is there half-built, then whole. Takes it in any case. */
int sim_build(struct sim_driver *driver, const char *name, struct sim_volume *volume, const char *what, struct err *err);

int sim_send(struct volume_driver *driver, const char *name, const char *snapshot, const char *base, int to_fd,
	     const struct volume_progress *progress, struct err *err);
int sim_receive(struct volume_driver *driver, const char *name, int from_fd, const struct volume_progress *progress,
		struct err *err);

#endif
