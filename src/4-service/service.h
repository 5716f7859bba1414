/*
 * service.h - inside floor 4: the core's state, and how calls are answered.
 */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include "4-service/core.h"
#include "4-service/placement.h"
#include "model/image.h"
#include "model/instance.h"
#include "model/network.h"
#include "model/pool.h"
#include "model/snapshot.h"
#include "model/volume.h"

struct attach;
struct peers;

struct core {
	struct core_params params;
	char *directory, *node_uid, *node_tag, *boot_id;
	struct objects *objects;
	struct agent *agent;
	struct config config;
	struct map reserved;			/* Claims of transactions under way -> core. */
	struct map published;			/* uid -> the name it is published under. */
	struct map volumes_of;			/* uid of an instance that has volumes -> struct held_volumes (holders.c) */
	struct node *node;
	struct placement *placement;
	struct peers *peers;
	struct membership *membership;	/* Null: see core_params. */
	struct seen *seen;			/* Null: a store of this host alone. */
	bool is_entered;			/* This node is in the store, or on its way there. */
	bool is_node_stale;			/* Readers are told soon. */
	bool is_load_stale;			/* As are those who sample the instances. */
	struct machine_capabilities capabilities[INSTANCE_KIND_COUNT];
	bool knows[INSTANCE_KIND_COUNT];	/* ... has been asked. */
	struct map next_hosts;			/* Network uid -> where the search for a free address goes on (a number). */
	struct loop_source *schedule_timer;
	VEC(struct attach *) attached;		/* Clients at containers. */
	int64_t next_nic;			/* Where the search for a free nic number goes on. */
};

/* ---- Answers ---- */
void answer_err(struct call *call, const struct err *err);
void answer_object(struct core *core, struct call *call, int http_status, const struct kind *kind, void *object);
void answer_json(struct call *call, int http_status, struct str *body);
/* Another node has to answer: the HTTP floor asks it. */
void answer_forward(struct call *call, const char *address, const char *node_uid, const char *node_name);
void answer_fds(struct call *call, struct call_fds fds);
/* The log of an instance, and the way into its console. */
void answer_log(struct call *call, struct call_fds fds, const char *path, bool has_records);
#define CALL_NO_FDS (struct call_fds){ -1, -1, -1, -1, -1 }

/* ---- Changes: one object, one transaction, one answer ---- */
struct change {
	struct core *core;
	struct call *call;
	const struct kind *kind;
	void *old;				/* A copy of the state it was made from; null when created. */
	void *next;				/* Null when ... never: a deletion sets meta.deleted_at. */
	int http_status;
	const char *event;			/* Type of the event, or null. */
	bool is_leaders;			/* Made by who leads, and nobody else. */
	struct store_txn *txn;
	struct claims before, after;		/* Of 'old' and 'next', once it is committed. */
};
/* 'object' null: creation of a new object with a new uid. */
struct change *change_new(struct core *core, struct call *call, const struct kind *kind, const void *object);
void change_free(struct change *change);
/* Adds claims, desired and event to the transaction and submits it; takes the change. */
void change_commit(struct change *change);
/* Refuses the call and frees the change. */
void change_refuse(struct change *change, const struct err *err);

/* Is the claim free, counting transactions that are under way? */
bool claim_is_free(struct core *core, const char *key);

/* ---- Looking up ---- */
/* "instance 'web' does not exist: see 'strata ls'" */
int find_object(struct core *core, enum kind_id kind, const char *name, void **ret_object, struct err *err);
int find_snapshot(struct core *core, const char *instance, const char *name, struct instance **ret_instance,
		  struct snapshot **ret_snapshot, struct err *err);
int find_volume_snapshot(struct core *core, const char *volume, const char *name, struct volume **ret_volume,
			 struct snapshot **ret_snapshot, struct err *err);
int check_name_free(struct core *core, const struct kind *kind, const char *parent, const char *name, struct err *err);

/* ---- Simple resources ---- */
/* The new object of the call's body, with a name that is free; null: the call was answered. */
struct change *resource_decode_new(struct core *core, struct call *call, const struct kind *kind);
/* The named object with the call's patch; null: the call was answered. */
struct change *resource_decode_patch(struct core *core, struct call *call, const struct kind *kind);
void resource_delete(struct core *core, struct call *call, const struct kind *kind, const void *object);
/* Deletes the named object unless an instance uses it. */
void resource_delete_unused(struct core *core, struct call *call, const struct kind *kind,
			    bool (*uses)(const struct instance *instance, const char *uid));

/* ---- The operations, one function per call_op ---- */
typedef void call_fn(struct core *core, struct call *call);
call_fn instance_create, instance_update, instance_delete, instance_start, instance_stop, instance_restart, instance_pause,
	instance_resume, instance_clone, instance_placement, instance_move, instance_restore, instance_attach, instance_detach;
call_fn resource_rename;
call_fn image_create, image_update, image_delete, image_tag, image_prune, instance_commit;
call_fn node_update, node_what_if_drain, node_load_show, node_power_show, node_remove;
call_fn cluster_show, cluster_init, cluster_enter, cluster_admit, cluster_leave, cluster_import, cluster_accept_restored, token_create, token_list,
	token_revoke;
call_fn volume_create, volume_update, volume_delete, volume_clone, volume_receive, volume_snapshot_restore;
call_fn network_create, network_update, network_delete, snapshot_create, snapshot_delete, pool_create, pool_update, pool_delete;
call_fn stream_attach, stream_console, stream_logs, stream_exec, stream_file_read, stream_file_write;
call_fn transfer_disk, transfer_export, transfer_image_export, transfer_backup, transfer_volume_backup;
call_fn config_update, doctor_run;

/* Fills in what a new instance did not say: node, image uid, addresses, numbers. */
int instance_fill(struct core *core, struct instance *instance, struct err *err);
/* Finds a node for it where it has none, or makes sure of the one it has. */
int instance_place(struct core *core, struct instance *instance, struct err *err);
/* '*node' is a name, a uid, or null for this node, and becomes a uid; of what is in a pool, and of what was uploaded. */
int node_fill(struct core *core, char **node, struct err *err);
int node_fill_by_pool(struct core *core, const char *pool_uid, char **node, struct err *err);
int node_fill_uploaded(struct core *core, char **node, struct err *err);
/* What was made before there could be several nodes is this one's. */
void home_adopt_all(struct core *core);
int instance_fill_volumes(struct core *core, struct instance *instance, struct err *err);
int instance_check(struct core *core, const struct instance *instance, struct err *err);
/* Import: unpacks the upload first, then goes on with instance_create. */
void instance_import(struct core *core, struct call *call, const char *upload);
int network_fill(struct core *core, struct network *network, struct err *err);
void network_create_default(struct core *core);
void pool_create_default(struct core *core);
/* Once the image is there, or will not come, nobody needs the password of its registry. */
void image_forget_secret(struct core *core, const struct image *image);
/* The pool named 'name' becomes '*uid'; null for the default one, which is always there. */
int pool_find(struct core *core, const char *name, char **uid, struct err *err);
/* May this instance have the volume? One writer, or any number of readers. 'self': the instance's uid, or null. */
int volume_check_use(struct core *core, const struct volume *volume, const char *self, bool is_read_only, struct err *err);
int instance_fill_mounts(struct core *core, struct instance *instance, struct err *err);
/* Does the instance list the volume? 'ret_is_read_only' may be null. */
bool instance_uses_volume(const struct instance *instance, const char *uid, bool *ret_is_read_only);
/* The name of an instance that has the volume, or null: it follows from the instances. */
const char *volume_holder_name(struct core *core, const char *volume_uid);
/* The instance may have given up volumes or got some: readers of these are told. */
void holders_changed(struct core *core, const struct instance *instance, bool is_gone);
void holders_done(struct core *core);
/* Takes and removes snapshots as the volumes' schedules say. */
void schedule_start(struct core *core);
void schedule_stop(struct core *core);
void schedule_wake(struct core *core);			/* A volume that has a schedule, or a snapshot, has changed. */

/* Fills core->node with what this host is. */
void node_read(struct core *core);
bool node_fill_address(struct core *core);	/* Where its API listens, as far as others can reach that. True: that has changed. */
void node_load(struct core *core);			/* All nodes go to the placement. */
void node_announce(struct core *core);			/* Stores what this node is. */
void node_changed(struct core *core, struct node *stored);
/* One has come to the node or left it: it may be full now, or not any more. */
void node_has_instance(struct core *core, const char *node);

/* load.c: who samples is told whom; the scheduler looks before it places. */
void load_start(struct core *core);
void load_look(struct core *core);
void load_nodes_changed(struct core *core);
void load_instances_changed(struct core *core);
void load_lead(struct core *core);			/* Who leads makes the cluster's key where there is none. */

int config_load(struct core *core, struct err *err);
void config_follow(struct core *core);			/* What other hosts of the cluster change. */
void node_publish(struct core *core);
void publish_object(struct core *core, const struct kind *kind, void *object);
int64_t published_revision(struct core *core, const struct kind *kind, const void *object);
void encode_published(struct core *core, const struct kind *kind, void *object, struct str *out);
void publish_as(struct core *core, const struct kind *kind, void *object, const char *folder, const char *name);
void publish_all(struct core *core);
void publish_config(struct core *core);

#endif
