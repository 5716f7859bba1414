/*
 * agent.h - the agent: makes this node's part of the world be what people want.
 *
 * It follows the objects (objects.h), and keeps one item per object it has to care for.  Each
 * kind has a controller with one function, reconcile(item): it compares and takes at most one
 * step, in a worker thread, through a port; when the step has ended it is called again.
 *
 * At start nothing is assumed: the sweep (sweep.c) removes what belongs to no object, machines
 * that run are found again, and every item is reconciled.
 *
 * Threads: everything here in the loop's; jobs touch only what they own, and the drivers.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "2-virtualization/objects/objects.h"
#include "base/rng.h"
#include "base/work.h"
#include "model/image.h"
#include "model/instance.h"
#include "port/fabric.h"
#include "port/fence.h"
#include "port/machine.h"
#include "port/store.h"
#include "port/volume.h"

struct agent;
struct pool;

/* What an image source delivers into a folder. */
struct image_files {
	char *disk, *kernel, *initrd;	/* Paths in the folder, or null. */
	char *cmdline;
	char sha256[65];
};
void image_files_done(struct image_files *files);

/* One layered image of containers, as images/oci/oci.h gets it. */
struct container_request {
	enum { CONTAINER_PULL, CONTAINER_IMPORT, CONTAINER_BUILD, CONTAINER_COMMIT, CONTAINER_LOAD } what;
	const char *folder, *scratch;		/* The store, and an empty folder beside it. */
	const struct image_pull *pull;
	const char *archive;			/* IMPORT */
	const char *recipe;			/* BUILD */
	const char *manifest;			/* LOAD; COMMIT: of the image it began as. */
	const char *upper, *comment;		/* COMMIT */
	const struct image_config *settings;	/* COMMIT */
};
struct oci_image;

/* Where images come from; the real one is in images/source.h, simulation brings its own. */
struct image_source {
	int (*build)(const char *recipe, const char *folder, const struct volume_progress *progress,
		     struct image_files *ret_files, struct err *err);
	int (*fetch)(const char *url, const char *path, const char *expected_sha256,
		     const struct volume_progress *progress, char ret_sha256[65], struct err *err);
	int (*container)(const struct container_request *request, const struct volume_progress *progress, struct oci_image *ret_image,
			 struct err *err);
	/* An image of the store as an archive, at the new file 'path'. */
	int (*export)(const char *folder, const char *scratch, const char *manifest, const char *name, bool is_docker, const char *path,
		      struct err *err);
	/* Removes all layers that none of the manifests needs. */
	int (*collect)(const char *folder, const char *const *manifests, size_t count, uint64_t *ret_bytes, struct err *err);
};

/* Where the volumes of a pool are kept: only app/ knows the drivers. Blocking, called from workers. */
struct pool_source {
	int (*open)(void *data, const struct pool *pool, struct volume_driver **ret_driver, char **ret_path, struct err *err);
	int (*destroy)(void *data, const struct pool *pool, struct err *err);	/* For good; it is not open. */
	void *data;
};

/* Another node, and where its API answers. */
struct peer { char *uid, *name, *address; };
void peer_done(struct peer *peer);

/* How things come from other nodes: only app/ knows how they are reached. Blocking, called from workers. */
struct peer_source {
	/* What GET 'path' answers goes to 'to_fd'. -EHOSTUNREACH, or the node's own error. */
	int (*get)(void *data, const struct peer *peer, const char *path, int to_fd, const struct volume_progress *progress, struct err *err);
	void *data;
};

struct agent_params {
	struct loop *loop;
	struct work *work;		/* For steps. */
	struct store *store;
	struct objects *objects;
	struct machine_driver *machines[INSTANCE_KIND_COUNT];	/* One driver may serve both kinds. */
	struct volume_driver *volume;	/* Of the pool "default". */
	struct pool_source pools;	/* All others. */
	struct fabric_driver *fabric;
	/* Guards instances with 'ha: restart'; null: they are not ended when the daemon is not there to do it. */
	struct fence_driver *fence;
	const char *cgroups[INSTANCE_KIND_COUNT];	/* Below which each machine of the kind has one, named by its uid. */
	const struct image_source *images;
	const char *tls_folder;		/* Certificates for what machines send each other (ca-cert.pem, server-key.pem, ...); null: none. */
	struct peer_source peers;	/* Null members where there are no other nodes. */
	const char *directory;		/* The state folder: images/, instances/, staging/ below it. */
	const char *node;		/* uid */
	bool is_shared;			/* Other nodes use the store too: nothing is done before agent_set_alive(). */
	/* The store is older than what was here: what belongs to no object stays. */
	bool keeps_unknown;
	const char *boot_id;
	uint64_t console_log_bytes;
	uint32_t sample_ms;		/* Period of usage sampling; 0: never. */
};

/* 'is_kvm_usable' comes later, from the probe: agent_set_kvm(). */
int agent_new(const struct agent_params *params, struct agent **ret_agent, struct err *err);
/* Sweeps, tells 'swept' (may be null), then reconciles everything: where the store is shared as soon as this node is alive in it. */
void agent_start(struct agent *agent, void (*swept)(void *data), void *data);
/*
 * This node is alive in the shared store: the key alive/<node> says so since 'revision'. Every status is written under the condition that it
 * still does, so what was decided before a lease ended cannot undo what others decided after. 0: it is not.
 */
void agent_set_alive(struct agent *agent, uint64_t revision, uint64_t lease);
/* The volumes of the instance go to the node with it. */
void agent_put_volumes(struct objects *objects, struct store_txn *txn, const struct instance *instance, const char *node);
/* Something of instances that are at other nodes now may still be here. */
bool agent_is_leaving(const struct agent *agent);
void agent_free(struct agent *agent);			/* As a crash would: the world stays as it is. */
void agent_set_capabilities(struct agent *agent, bool is_kvm_usable, bool has_microvm);
bool agent_is_settled(const struct agent *agent);	/* No item busy or waiting for a worker. */

/* Runs 'run' in a thread of its own, for guests that may block for ever; 'done' in the loop. */
int agent_run_detached(struct agent *agent, work_fn *run, work_fn *done, void *data, struct err *err);

/*
 * A step that somebody asked for and waits for (export, backup of a disk), alone with the instance: runs when
 * no other step of it is running. 'begin' is called in the loop just before, and may refuse.
 */
struct agent_task {
	int (*begin)(struct agent_task *task, const struct instance *instance, bool is_running, struct err *err);
	work_fn *run;				/* Gets the task. */
	void (*done)(struct agent_task *task, const struct err *err);	/* err->code 0: it ran. Frees the task. */
};
void agent_run_task(struct agent *agent, const char *instance_uid, struct agent_task *task);

/* Paths: the caller frees. */
char *agent_console_log(const struct agent *agent, const char *instance_uid);
char *agent_staging_path(const struct agent *agent, const char *name);
char *agent_layers_folder(const struct agent *agent);	/* The store of images/oci/oci.h. */
char *agent_image_file(const struct agent *agent, const char *image_uid, const char *part);

struct machine_driver *agent_machine(struct agent *agent, int kind);	/* enum instance_kind */
/* The pool's driver; null 'pool_uid': the default's. Null with err when it is not open. */
struct volume_driver *agent_pool(struct agent *agent, const char *pool_uid, struct err *err);

/* A console watcher's keys: returns the end to write to. -ENOENT: the machine does not run. */
int agent_console_open(struct agent *agent, const char *instance_uid, int *ret_input, struct err *err);

/* Blocking, for workers: makes 'volume' an independent copy of the root disk of an instance, running or not. */
int agent_copy_root(int kind, struct machine_driver *machine, struct volume_driver *volume, const char *from, const char *snapshot,
		    bool is_running, const char *to, struct err *err);

#endif
