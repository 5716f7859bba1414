/*
 * service.h - inside floor 4: the core's state, and how calls are answered.
 */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include "4-service/core.h"
#include "model/image.h"
#include "model/instance.h"
#include "model/network.h"
#include "model/snapshot.h"
#include "model/volume.h"

struct core {
	struct core_params params;
	char *directory, *node_uid, *node_tag, *boot_id;
	struct objects *objects;
	struct agent *agent;
	struct config config;
	struct map reserved;			/* Claims of transactions under way -> core. */
	struct map published;			/* uid -> the name it is published under. */
	struct node *node;
	struct machine_capabilities capabilities;
	struct map next_hosts;			/* Network uid -> where the search for a free address goes on (a number). */
	int64_t next_nic;			/* Where the search for a free nic number goes on. */
};

/* ---- Answers ---- */
void answer_err(struct call *call, const struct err *err);
void answer_object(struct call *call, int http_status, const struct kind *kind, const void *object);
void answer_json(struct call *call, int http_status, struct str *body);
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
	struct store_txn *txn;
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
int check_name_free(struct core *core, const struct kind *kind, const char *parent, const char *name, struct err *err);

/* ---- The operations, one function per call_op ---- */
typedef void call_fn(struct core *core, struct call *call);
call_fn instance_create, instance_update, instance_delete, instance_start, instance_stop, instance_restart, instance_pause,
	instance_resume, instance_clone, instance_restore, instance_attach, instance_detach;
call_fn resource_rename;
call_fn image_create, image_update, image_delete, volume_create, volume_update, volume_delete, network_create, network_update,
	network_delete, snapshot_create, snapshot_delete;
call_fn stream_console, stream_logs, stream_exec, stream_file_read, stream_file_write;
call_fn transfer_export, transfer_image_export, transfer_backup;
call_fn config_update, doctor_run;

/* Fills in what a new instance did not say: node, image uid, addresses, numbers. */
int instance_fill(struct core *core, struct instance *instance, struct err *err);
int instance_fill_volumes(struct core *core, struct instance *instance, struct err *err);
int instance_check(struct core *core, const struct instance *instance, struct err *err);
/* Import: unpacks the upload first, then goes on with instance_create. */
void instance_import(struct core *core, struct call *call, const char *upload);
int network_fill(struct core *core, struct network *network, struct err *err);
void network_create_default(struct core *core);

int config_load(struct core *core, struct err *err);
void node_publish(struct core *core);
void publish_all(struct core *core);
void publish_config(struct core *core);

#endif
