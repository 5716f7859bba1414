/*
 * instance_job.h - the steps of an instance as they run in a worker: copied values in, result out.
 *
 * Every step may be repeated after a crash at any point of it.
 */
#ifndef AGENT_INSTANCE_JOB_H
#define AGENT_INSTANCE_JOB_H

#include "2-virtualization/agent/item.h"

/* A volume and where it is. */
struct volume_ref {
	char *uid, *name;
	struct volume_driver *driver;
	bool is_read_only;
};
struct volume_refs { VEC(struct volume_ref) items; };
struct move_disks;
void volume_refs_done(struct volume_refs *refs);

struct instance_job {
	struct job job;
	enum instance_step step;
	struct machine_driver *machine;
	struct volume_driver *volume;		/* Of the pool the root is in. */
	struct volume_driver *image_volume;	/* Of the pool images are in. */
	struct fabric_driver *fabric;
	struct fence_driver *fence;		/* Null: it is not guarded. */
	char *cgroup;				/* What is guarded then. */
	struct instance *instance;		/* A copy, with the item's status. */
	struct image *image;			/* A copy; null when it is gone or there is none. */
	char *folder;				/* instances/<uid> */
	char *image_folder;
	char *upload_folder;			/* Import: what the uploaded archive was unpacked into. */
	char *source_uid;			/* Clone: the instance to copy ... */
	bool is_source_running;			/* ... and whether it runs now. */
	struct volume_refs volumes;		/* As in spec.volumes. */
	struct volume_refs mounts;		/* As in spec.container.mounts; without driver where it is no volume. */
	struct volume_ref changed;		/* ATTACH: one of 'volumes'. DETACH: only its uid. */
	char *changed_uid;			/* Owns that. */
	char *memory_snapshot;			/* START from this snapshot's memory. */
	VEC(char *) snapshots;			/* DELETE: nothing of them stays; RESTORE: [0] is the one. */
	struct volume_refs restore_volumes;	/* RESTORE: the extra volumes in it. */
	VEC(char *) nameservers, search;	/* Containers: null-terminated. */
	uint64_t console_log_bytes;
	char *layers_folder;			/* Containers: the store of oci.h. */
	/* RECEIVE, FETCH: from where, and where the machine waits. */
	const struct peer_source *peers;
	struct peer source;
	char *listen, *tls;			/* tls: folder of certificates, or null. */
	struct move_disks *disks;		/* Those the other node does not see; LEAVE: those that go. */
	struct machine_ports ports;		/* RECEIVE: a result. */
	bool allow_kvm;
	enum machine_type type;
	/* Results. */
	struct machine_status world;
	struct field_list isolation;		/* char *: of a container that runs. */
	bool is_live_refused;			/* Only at the next start; err says why. */
};

/* ---- instance_prepare.c: in the loop, before the job ---- */
struct instance_job *instance_job_new(struct item *item, const struct instance *instance, struct instance_decision decision,
				      void (*done)(struct job *job));
/* A clone needs its source to hold still; returns false when it has to wait for it. */
bool instance_lock_source(struct item *item, const struct instance *instance, struct instance_job *job);
/* All its disks must be in pools that are open; when one is not the item waits for it. */
bool instance_waits_for_pool(struct item *item, const struct instance *instance);
const struct image *instance_image(struct item *item, const struct instance *instance);	/* Null: it is gone, or there is none. */
enum machine_type instance_machine_type(const struct item *item, const struct instance *instance, const struct image *image);
/* uid of the snapshot whose memory the next start goes on from, or null. The caller frees. */
char *instance_memory_snapshot(struct item *item, const struct instance *instance);

/* The object has changed: it may have come here, or be on its way. */
void instance_seen(struct item *item, const struct instance *instance, enum objects_change change);
/* Not run yet. See leave.c. */
struct job *instance_leave_job(struct item *item, const struct instance *instance);

/* Networks must be up in this daemon's life, and what the host can do must be known; else it waits. */
bool instance_may_start(struct item *item, const struct instance *instance);

/* ---- In the worker ---- */

/* fence.c: may it be started here, under guard? -EAGAIN: this node has lost its lease. Of one that runs: as its spec is now. It has ended. */
int instance_guard(struct instance_job *job, struct err *err);
int instance_guard_again(struct instance_job *job, struct err *err);
int instance_unguard(struct instance_job *job, struct err *err);

/* Container: the last part of STEP_START, when root and nics are there. */
int container_start(struct instance_job *job, struct err *err);
/* Container: brings its limits up to date. */
int container_update(struct instance_job *job, struct err *err);
/* Nic 'index' as the fabric wants it; 'publish' has room for LIMIT_PUBLISHED_PORTS and must outlive it. */
void instance_fabric_nic(const struct instance_job *job, unsigned index, struct fabric_publish *publish, struct fabric_nic *ret_nic);

/* What keeps the process apart from the host, a line each; nothing when it is not there. */
void isolation_read(pid_t pid, struct field_list *out);

void instance_job_run(struct job *job);
void instance_job_free(struct job *job);

/* "root_size" of the instance or the image's: 0 when there is no root disk at all. */
bool instance_has_root(const struct instance *instance, const struct image *image);

#endif
