#include "app/wiring/store.h"

#include "base/mem.h"

static int open_etcd(const struct config_etcd *config, const char *node_uid, struct loop *loop, struct store **ret_store, struct err *err)
{
	/* Until daemons can share a store, each has one of its own, unless it is told otherwise. */
	auto_free char *prefix = config->prefix ? text_copy(config->prefix) : text_format("/strata/%s/", node_uid);
	struct store_etcd_params etcd = {
		.endpoints = config->endpoints.items, .endpoint_count = config->endpoints.count, .prefix = prefix, .writer = node_uid,
		.ca = config->ca, .certificate = config->certificate, .key = config->key, .timeout_ms = (uint32_t)config->timeout,
	};
	int r = store_open(&store_etcd, &(struct store_params){ .etcd = &etcd }, loop, ret_store, err);

	return r < 0 ? err_prefix(err, "the store in etcd") : 0;
}

int wiring_open_store(const struct config *config, const char *directory, const char *node_uid, struct loop *loop,
		      struct store **ret_store, struct err *err)
{
	auto_free char *path = text_format("%s/store.db", directory);

	if (config->store == CONFIG_STORE_ETCD)
		return open_etcd(&config->etcd, node_uid, loop, ret_store, err);
	return store_open(&store_sqlite, &(struct store_params){ .path = path }, loop, ret_store, err);
}
