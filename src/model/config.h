/*
 * config.h - settings of the daemon: `strata config set api.listen 127.0.0.1:8443`.
 * One object; kept in the store, over what --config FILE says. Which store that is, 'store' and 'etcd', only the file can say.
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include "model/field.h"

struct config_api { char *listen; /* "ADDRESS:PORT" for TLS with client certificates; null: off. */ };
struct config_console { uint64_t log_size; };

/* How often what a host has may be promised: 1 is once. */
struct config_ratio { int64_t cpus, memory; };
struct config_overcommit { struct config_ratio vm, container; };
struct config_reserved { int64_t cpus; uint64_t memory; };	/* Kept for the host itself. */

struct config_telemetry { bool rdma; };

struct config_etcd {
	struct field_list endpoints;
	char *prefix;			/* Null: one of this node's own. */
	char *ca, *certificate, *key;
	int64_t timeout;		/* ms */
};
enum config_store { CONFIG_STORE_SQLITE, CONFIG_STORE_ETCD };

struct config {
	struct config_api api;
	struct config_console console;
	struct config_overcommit overcommit;
	struct config_reserved reserved;
	struct config_telemetry telemetry;
	int store;			/* enum config_store */
	struct config_etcd etcd;
};

extern const struct field_table config_table;
extern const struct field_table config_etcd_table;

#endif
