/*
 * leave.c - a host of a cluster becomes one by itself.
 *
 * The last host takes everything along: the store goes from etcd into SQLite, and guests run on. One of several must be empty;
 * it leaves with an empty store. Both are done when the file "cluster" has gone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "4-service/cluster/private.h"
#include "4-service/cluster/store_copy.h"
#include "base/mem.h"
#include "base/str.h"

static char *next_path(const struct way *way)
{
	return text_format("%s/store.db.new-single", way->directory);
}

static void remove_store(const char *path)
{
	static const char *const endings[] = { "", "-wal", "-shm", ".lock", ".new" };

	for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
		auto_free char *each = text_format("%s%s", path, endings[i]);

		unlink(each);
	}
}

/* While the host is in a cluster a "store.db" means nothing, so it may be put there before. */
static int copy_to_file(struct way *way, struct err *err)
{
	auto_free char *next = next_path(way), *path = text_format("%s/store.db", way->directory);
	struct store_copy copy = { 0 };
	int r;

	remove_store(next);
	r = store_copy_open(way->cluster->params->file, &(struct store_params){ .path = next }, &copy, err);
	if (r == 0)
		r = store_tell(way->store, "", store_copy_put_kv, &copy, err);
	if (r == 0)
		r = store_copy_flush(&copy, err);
	if (r == 0)
		r = store_copy_verify(&copy, err);
	store_copy_close(&copy);		/* Nothing stays in the log. */
	if (r == 0 && rename(next, path) < 0)
		r = err_set(err, -errno, "rename '%s': %m", next);
	remove_store(next);
	return r;
}

static int run_last(struct way *way, struct err *err)
{
	int r;

	way_step(way, "moving the store out of etcd");
	store_freeze(way->store);
	r = copy_to_file(way, err);
	if (r == 0)
		r = cluster_file_remove(way->directory, err);
	if (r < 0)
		store_release(way->store);
	return r;
}

static int run_one_of_several(struct way *way, struct err *err)
{
	struct cluster_access access;
	struct cluster_place place = { 0 };
	const struct member_ops *ops = way->cluster->params->member;
	struct err ignored;
	int r = cluster_place_init(way->directory, way->node_uid, way->cluster->params->cgroup, way->settings.address, &place, err);

	way_step(way, "leaving the cluster");
	cluster_access_init(way->directory, &way->settings, "leave", &access);
	/* The others see to it when this cannot. */
	if (r == 0 && way->settings.member && ops->drop(&access.door, way->node_uid, &ignored) == 0)
		ops->stop(&place.params, true, &ignored);
	cluster_access_done(&access);
	cluster_place_done(&place);
	return r < 0 ? r : cluster_file_remove(way->directory, err);
}

static int check_nothing_here(struct core *core, struct err *err)
{
	static const enum kind_id kept[] = { KIND_INSTANCE, KIND_VOLUME };

	for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
		const struct map *all = objects_all(core->objects, kept[i]);

		for (size_t at = 0; at < all->count; at++)
			if (text_equal(objects_owner(core->objects, &kinds[kept[i]], all->entries[at].value), core->node_uid))
				return err_set(err, -EBUSY, "%s '%s' is on this host: move it to another one first ('strata node drain'), or remove it",
					       kinds[kept[i]].name, kind_meta(all->entries[at].value)->name);
	}
	return 0;
}

struct leaving { struct core *core; struct call *call; };

static void node_removed(void *data, const struct store_result *result)
{
	auto_free struct leaving *leaving = data;
	struct membership *cluster = leaving->core->membership;
	struct cluster_settings settings = { 0 };

	if (result->err.code < 0) {
		cluster->state = CLUSTER_READY;
		answer_err(leaving->call, &result->err);
		return;
	}
	field_copy(&cluster_settings_table, &cluster->settings, &settings);
	way_begin(cluster, leaving->call, &settings, run_one_of_several, NULL, NULL);
}

void cluster_leave(struct core *core, struct call *call)
{
	struct membership *cluster = core->membership;
	bool is_last = objects_all(core->objects, KIND_NODE)->count == 1;
	struct cluster_settings settings = { 0 };
	struct leaving *leaving;
	struct store_txn *txn;
	struct err err = { 0 };

	if (check_in_cluster(cluster, &err) < 0 || (!is_last && check_nothing_here(core, &err) < 0)) {
		answer_err(call, &err);
		return;
	}
	if (is_last) {
		field_copy(&cluster_settings_table, &cluster->settings, &settings);
		way_begin(cluster, call, &settings, run_last, NULL, NULL);
		return;
	}
	leaving = alloc(sizeof(*leaving));
	*leaving = (struct leaving){ core, call };
	cluster->state = CLUSTER_MOVING;
	txn = store_txn_new();
	remove_node(core, txn, core->node);
	store_submit(core->params.store, txn, node_removed, leaving);
}
