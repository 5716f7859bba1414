/*
 * store.h - the daemon's store, of the kind that its cluster or its settings name.
 *
 * Errors:  as of store_open(), with what was to be opened before.
 * Threads: main.
 */
#ifndef APP_WIRING_STORE_H
#define APP_WIRING_STORE_H

#include "model/cluster.h"
#include "model/config.h"
#include "port/store.h"

/* 'directory' is the state folder; 'node_uid' names this daemon among those who share an etcd; 'cluster' goes before the config. */
int wiring_open_store(const struct config *config, const struct cluster_settings *cluster, const char *directory, const char *node_uid,
		      struct loop *loop, struct store **ret_store, struct err *err);

#endif
