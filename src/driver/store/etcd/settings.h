/*
 * settings.h - where etcd is and what is ours in it: store_etcd_params, checked and copied.
 *
 * Below the prefix lie two kinds of keys: "data/KEY" is the store, "writer/NAME" is what the process NAME committed
 * last (commit.c).
 *
 * Errors:  -EINVAL with the value and the remedy.
 * Memory:  etcd_settings_done() frees what etcd_settings_init() made, also after a failure.
 * Threads: read-only after etcd_settings_init(), but for the endpoints: their functions from any.
 */
#ifndef DRIVER_STORE_ETCD_SETTINGS_H
#define DRIVER_STORE_ETCD_SETTINGS_H

#include <pthread.h>

#include "base/str.h"
#include "port/store.h"

struct etcd_settings {
	pthread_mutex_t lock;		/* Over the endpoints, which may be replaced. */
	VEC(char *) endpoints;		/* "https://10.0.0.1:2379" */
	char *prefix;			/* Ends in '/', as the next. */
	char *data;
	char *writer;			/* The whole key. */
	char *ca, *certificate, *key;	/* Files; null: not given. */
	uint32_t timeout_ms;
};

int etcd_settings_init(const struct store_etcd_params *params, struct etcd_settings *settings, struct err *err);
void etcd_settings_done(struct etcd_settings *settings);

/* All endpoints, for messages: "https://a:2379, https://b:2379". */
void etcd_settings_list(struct etcd_settings *settings, struct str *out);

/* Endpoints may be replaced while they are used: a copy of number 'index', counted round and round, and how many there are. */
char *etcd_settings_endpoint(struct etcd_settings *settings, size_t index);
size_t etcd_settings_endpoint_count(struct etcd_settings *settings);
int etcd_settings_replace(struct etcd_settings *settings, const char *const *endpoints, size_t count, struct err *err);

#endif
