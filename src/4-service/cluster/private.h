/*
 * private.h - what the files of this folder share of struct membership (see membership.h).
 */
#ifndef SERVICE_CLUSTER_PRIVATE_H
#define SERVICE_CLUSTER_PRIVATE_H

#include <stdatomic.h>

#include "4-service/cluster/membership.h"
#include "4-service/cluster/file.h"
#include "4-service/cluster/peers.h"
#include "4-service/cluster/roster.h"
#include "4-service/service.h"

struct membership {
	struct core *core;
	const struct cluster_params *params;
	struct cluster_settings settings;
	char *tls;			/* Folder of pki.h. */
	int state;			/* enum cluster_state */
	_Atomic(const char *) step;	/* Of the way it is on; set by the worker. */
	char *error;			/* Why the last way ended. */

	/* members.c */
	struct loop_source *timer, *process;
	int pidfd;
	bool is_looking, must_look;
	bool is_unsettled;		/* One of the two notes is not yet what it should be: its change may have been refused. */
	char *complaint;		/* Said already. */
};

/* ---- Ways: the host gets another store, then the daemon begins anew ---- */

struct way {
	struct membership *cluster;
	/* In a worker. The store may be frozen by it; when it fails it must not be any more. */
	int (*run)(struct way *way, struct err *err);
	void (*done)(struct way *way);	/* Frees what 'data' owns; may be null. */
	void *data;
	const char *directory, *node_uid;
	struct store *store;
	struct cluster_settings settings;	/* Of the host afterwards. */
	struct err err;
};

/* Answers the call and sets out. Takes the settings. */
void way_begin(struct membership *cluster, struct call *call, struct cluster_settings *settings, int (*run)(struct way *, struct err *),
	       void (*done)(struct way *), void *data);
void way_step(struct way *way, const char *step);

/* -EOPNOTSUPP, -EBUSY: in a cluster, or not; on another way. */
int check_single(struct membership *cluster, struct err *err);
int check_in_cluster(struct membership *cluster, struct err *err);
/* Nothing is here that would be lost: -EBUSY names what is there. */
int check_empty(struct core *core, const char *remedy, struct err *err);

/* ---- Notes of the store ---- */

#define NOTE_COMPLETE "cluster/complete"
#define NOTE_ENDPOINTS "cluster/endpoints"
#define NOTE_MEMBERS "cluster/members"

/* {"name": [...]} */
void list_write(const char *name, const char *const *items, size_t count, struct str *out);
void roster_read(struct core *core, struct roster *ret_roster);

/* members.c */
void members_start(struct membership *cluster);
void members_stop(struct membership *cluster);
void members_look(struct membership *cluster);
void members_endpoints_changed(struct membership *cluster);

/* remove.c: the node's object, claims and notes; what it alone has goes too. */
void remove_node(struct core *core, struct store_txn *txn, const struct node *node);

#endif
