/*
 * membership.h - how a host becomes one of a cluster, and one by itself again; the members of the etcd that the hosts run.
 *
 * A host is in a cluster when its state folder has the file "cluster" (file.h): that file is the one thing that decides, it appears
 * and goes in one step, and each way there may be cut off by kill -9 before it and repeated. After it the daemon begins anew in
 * place of itself (execve(2)): the next one opens the other store and finds all guests running.
 *
 *	init	SQLite -> etcd, of our own or named	leave	etcd -> SQLite, or out of the cluster
 *	enter	nothing -> the etcd of others		import	a file -> the present store
 *
 * While a host is on such a way its store is held still, and calls that would change it are answered with -EAGAIN.
 *
 * Threads: the loop's, but for what is said to be done before there is one.
 */
#ifndef SERVICE_CLUSTER_MEMBERSHIP_H
#define SERVICE_CLUSTER_MEMBERSHIP_H

#include "4-service/api.h"
#include "model/cluster.h"
#include "port/member.h"
#include "port/store.h"

struct core;
struct membership;

/* What the daemon brings; outlives the core. */
struct cluster_params {
	const struct member_ops *member;
	const struct store_ops *file, *shared;	/* The store of a host by itself, and that of a cluster. */
	const char *cgroup;			/* Of the member; may be null. */
	struct cluster_settings settings;	/* As the file says. */
	void (*restart)(void *data);		/* The daemon begins anew; returns. */
	void *data;
};

/* Before the store is opened: etcd of this host runs, what a cut-off way has left is gone. Blocking. */
int cluster_prepare(const char *directory, const char *node_uid, const struct cluster_params *params, struct err *err);

/* Null when the core has no params for it. */
int membership_new(struct core *core, struct membership **ret_cluster, struct err *err);
void membership_start(struct membership *cluster);
void membership_free(struct membership *cluster);		/* Null is fine. */
/* May the call be answered now? Else it has been: the store is on its way. */
bool membership_admits(struct membership *cluster, struct call *call);
/* A node has come, gone, or changed its state. */
void membership_nodes_changed(struct membership *cluster);

/* All objects of a shared store as the file of a host by itself. Blocking: from a worker. */
int cluster_backup(const struct cluster_params *params, struct store *store, const char *path, struct err *err);

/* Out of a cluster, without a daemon: what `strata cluster forget` does. Guests and disks stay as they are. */
int cluster_forget(const char *directory, const struct member_ops *member, const char *cgroup, struct err *err);

#endif
