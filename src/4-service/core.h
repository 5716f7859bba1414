/*
 * core.h - the core: what requests mean, and the one thread that owns all state.
 *
 * It takes calls (api.h), checks them against the cached objects, and writes desired objects in one
 * guarded transaction; the agent does the rest.  It publishes every object into the view.
 *
 * Everything it needs is a parameter: the loop (its clock may be virtual), the workers, the store, the
 * drivers, chance.  So the same core runs in the daemon and a thousand times in a test.
 *
 * Threads: api_call() from any; all else in the loop's.
 */
#ifndef SERVICE_CORE_H
#define SERVICE_CORE_H

#include "1-hardware/telemetry/load_source.h"
#include "2-virtualization/agent/agent.h"
#include "4-service/api.h"
#include "4-service/cluster/membership.h"
#include "4-service/view.h"
#include "base/rng.h"
#include "model/config.h"
#include "model/node.h"

struct core_params {
	struct loop *loop;
	struct work *work;
	struct store *store;
	struct objects *objects;	/* A cache of the store that outlives the core; null: it has its own. */
	struct machine_driver *machines[INSTANCE_KIND_COUNT];	/* As in agent.h. */
	struct volume_driver *volume;
	struct pool_source pools;
	struct fabric_driver *fabric;
	const struct power_ops *power[NODE_POWER_COUNT];	/* How nodes that are lost are switched off; null: that way is not there. */
	void *power_world;		/* Of the simulated one. */
	struct fence_driver *fence;	/* As in agent.h, ... */
	const char *cgroups[INSTANCE_KIND_COUNT];
	const struct image_source *images;
	const char *tls_folder;		/* As in agent.h; null where there are no other nodes. */
	struct peer_source peers;	/* Null members where there are no other nodes. */
	struct load_source load;	/* Null members where nothing is sampled: a host that is alone, a simulation. */
	struct view *view;
	struct rng *rng;
	const char *directory;		/* The state folder. */
	const char *node_uid, *node_tag;
	const char *boot_id;
	const char *version;
	const struct node_status *inventory;	/* What this host is; null: it is looked at. */
	uint32_t sample_ms;		/* Usage sampling; 0: never. */
	const struct cluster_params *cluster;	/* Null: there are no clusters (tests). */
	const struct json *config_defaults;	/* Settings of the daemon's own file, or null. */
	/* The daemon's part of a change of settings; may be null. Fails before anything is stored. */
	int (*apply_config)(void *data, const struct config *config, struct err *err);
	void *data;
};

/* Blocking: reads the store. */
int core_new(const struct core_params *params, struct core **ret_core, struct err *err);
void core_start(struct core *core);		/* Probes the host, sweeps, reconciles. */
/* It will end soon, and is asked to: another node may lead at once. */
void core_resign(struct core *core);
void core_free(struct core *core);		/* As a crash would: the world stays as it is. */
const struct config *core_config(const struct core *core);
struct agent *core_agent(struct core *core);
bool core_is_leader(const struct core *core);
/* For tests and simulation: does what is derived add up, and, when no call is under way, agree with what is stored? Else -EUCLEAN. */
int core_check(const struct core *core, bool is_quiet, struct err *err);

#endif
