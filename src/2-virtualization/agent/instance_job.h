/*
 * instance_job.h - the steps of an instance as they run in a worker: copied values in, result out.
 *
 * Every step may be repeated after a crash at any point of it.
 */
#ifndef AGENT_INSTANCE_JOB_H
#define AGENT_INSTANCE_JOB_H

#include "2-virtualization/agent/item.h"

struct instance_job {
	struct job job;
	enum instance_step step;
	struct machine_driver *machine;
	struct volume_driver *volume;
	struct fabric_driver *fabric;
	struct instance *instance;		/* A copy, with the item's status. */
	struct image *image;			/* A copy; null when it is gone or there is none. */
	char *folder;				/* instances/<uid> */
	char *image_folder;
	char *upload_folder;			/* Import: what the uploaded archive was unpacked into. */
	char *source_uid;			/* Clone: the instance to copy ... */
	bool is_source_running;			/* ... and whether it runs now. */
	char *volume_uid;			/* ATTACH, DETACH. */
	bool is_read_only;
	char *memory_snapshot;			/* START from this snapshot's memory. */
	VEC(char *) snapshots;			/* DELETE: nothing of them stays; RESTORE: [0] is the one. */
	VEC(char *) restore_volumes;		/* RESTORE: the extra volumes in it. */
	bool allow_kvm;
	enum machine_type type;
	/* Results. */
	struct machine_status world;
	bool is_live_refused;			/* Only at the next start; err says why. */
};

void instance_job_run(struct job *job);
void instance_job_free(struct job *job);

/* "root_size" of the instance or the image's: 0 when there is no root disk at all. */
bool instance_has_root(const struct instance *instance, const struct image *image);

#endif
