#include "app/wiring/store.h"

#include "4-service/cluster/file.h"
#include "base/mem.h"

static int open_etcd(const struct config_etcd *config, const char *node_uid, struct loop *loop, struct store **ret_store, struct err *err)
{
	/* Outside of a cluster each has one of its own, unless it is told otherwise. */
	auto_free char *prefix = config->prefix ? text_copy(config->prefix) : text_format("/strata/%s/", node_uid);
	struct store_etcd_params etcd = {
		.endpoints = config->endpoints.items, .endpoint_count = config->endpoints.count, .prefix = prefix, .writer = node_uid,
		.ca = config->ca, .certificate = config->certificate, .key = config->key, .timeout_ms = (uint32_t)config->timeout,
	};
	int r = store_open(&store_etcd, &(struct store_params){ .etcd = &etcd }, loop, ret_store, err);

	return r < 0 ? err_prefix(err, "the store in etcd") : 0;
}

static int open_cluster(const struct cluster_settings *cluster, const char *directory, const char *node_uid, struct loop *loop,
			struct store **ret_store, struct err *err)
{
	struct cluster_access access;
	int r;

	cluster_access_init(directory, cluster, node_uid, &access);
	r = store_open(&store_etcd, &(struct store_params){ .etcd = &access.etcd }, loop, ret_store, err);
	cluster_access_done(&access);
	return r < 0 ? err_prefix(err, "the store of the cluster") : 0;
}

int wiring_open_store(const struct config *config, const struct cluster_settings *cluster, const char *directory, const char *node_uid,
		      struct loop *loop, struct store **ret_store, struct err *err)
{
	auto_free char *path = text_format("%s/store.db", directory);

	if (cluster->uid)
		return open_cluster(cluster, directory, node_uid, loop, ret_store, err);
	if (config->store == CONFIG_STORE_ETCD)
		return open_etcd(&config->etcd, node_uid, loop, ret_store, err);
	return store_open(&store_sqlite, &(struct store_params){ .path = path }, loop, ret_store, err);
}
