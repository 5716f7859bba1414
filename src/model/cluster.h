/*
 * cluster.h - the noun "cluster": hosts that share one store. What a host keeps of it in its state folder, and what is said of it.
 */
#ifndef MODEL_CLUSTER_H
#define MODEL_CLUSTER_H

#include "model/field.h"

/* The file "cluster" of a state folder; without it the host is by itself. */
struct cluster_settings {
	char *uid;			/* Null: a host by itself. */
	char *name;			/* Of this host; null: that of the system. */
	char *address;			/* Of this host's API, "192.0.2.1:8443". */
	char *prefix;			/* "/strata/<uid>/" */
	struct field_list endpoints;	/* Of etcd. */
	bool external;			/* The etcd is somebody else's. */
	bool member;			/* This host runs one of its members. */
	char *etcd_ca, *etcd_certificate, *etcd_key;	/* Of an external one: PEM files. */
};

enum cluster_state { CLUSTER_SINGLE, CLUSTER_MOVING, CLUSTER_READY };
enum cluster_member_state { CLUSTER_MEMBER_SERVES, CLUSTER_MEMBER_FOLLOWS, CLUSTER_MEMBER_SILENT };

struct cluster_member { char *node, *endpoint; int state; };

struct cluster_status {
	int state;			/* enum cluster_state */
	char *uid, *node, *address;
	int64_t nodes;
	bool external;
	struct field_list members;	/* struct cluster_member */
	struct field_list endpoints;
	char *step;			/* While moving. */
	char *error;			/* Of the last move that failed. */
};

/* What a new host is given. Only who has made it sees the token. */
struct cluster_token { char *id, *token; int64_t created_at, expires_at; };

extern const struct field_table cluster_settings_table, cluster_status_table, cluster_token_table;

#endif
