/*
 * sim.h - the world of the "sim" volume driver: volumes that exist in memory only.
 *
 * The world is the disk: it outlives the driver, so that a test can crash the daemon and look at
 * what the next one finds. A volume's content is one number that the test writes and reads;
 * clones, snapshots and restores carry it along.
 *
 * Faults:  every operation calls fault_step() before and after each change; one that was interrupted
 *          leaves a half-built volume behind, as on a real disk.
 * Memory:  volume_params.world null: the driver makes a private world and frees it on close.
 * Threads: any.
 */
#ifndef DRIVER_VOLUME_SIM_H
#define DRIVER_VOLUME_SIM_H

#include "port/volume.h"

struct sim_volumes;

struct sim_volumes *sim_volumes_new(void);
void sim_volumes_free(struct sim_volumes *world);	/* After its drivers. Null is fine. */

size_t sim_volumes_count(struct sim_volumes *world);	/* Complete ones. */
size_t sim_volumes_half_built(struct sim_volumes *world);

/* What the guest would have written. -ENOENT is an assertion: the test knows its volumes. */
void sim_volumes_write(struct sim_volumes *world, const char *volume, uint64_t content);
uint64_t sim_volumes_read(struct sim_volumes *world, const char *volume);

/* A running machine made or removed a snapshot; fits sim_machines_on_snapshot(). 'world' is a struct sim_volumes. */
void sim_volumes_take_snapshot(void *world, const char *path, const char *snapshot, bool is_removed);

#endif
