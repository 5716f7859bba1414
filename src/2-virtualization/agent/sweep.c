/*
 * sweep.c - at start, what belongs to no object is removed.
 *
 * Everything in the world is named by the uid of its object.  A process, tap, file, address or cgroup
 * whose uid the store does not know was left by a crash in the middle of a create or delete.
 * No step is taken until the sweep has ended, so nothing new can be mistaken for a leftover.  Where the store is older than
 * what was here (4-service/cluster/seen.h) that says nothing: all stays.
 */
#include "2-virtualization/agent/item.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

struct sweep {
	struct agent *agent;
	struct machine_driver *machines[INSTANCE_KIND_COUNT];
	struct volume_driver *volume;
	struct fabric_driver *fabric;
	char *directory;
	struct map known;		/* uid of every object that may have something on this node -> itself. */
	struct map kept;		/* Names in staging that an unfinished object needs. */
	void (*done)(struct agent *agent);
	bool keeps_unknown;		/* It is named, and stays. */
	size_t removed;
	struct err err;			/* The last failure; a sweep goes on. */
};

static bool is_known(const struct sweep *sweep, const char *uid)
{
	return map_get(&sweep->known, uid) != NULL;
}

static void count(struct sweep *sweep, int r)
{
	sweep->removed += r == 0;
}

static void keep(const char *what, const char *uid)
{
	log_line(LOG_WARNING, "%s %s is unknown to the store, which was restored from a backup, and is kept", what, uid);
}

static void sweep_machines(struct sweep *sweep, struct machine_driver *machine)
{
	struct machine_uids uids = { 0 };

	if (machine->ops->list(machine, &uids, &sweep->err) == 0)
		for (size_t i = 0; i < uids.items.count; i++) {
			if (is_known(sweep, uids.items.items[i]))
				continue;
			if (sweep->keeps_unknown)
				keep("the running machine", uids.items.items[i]);
			else
				count(sweep, machine->ops->kill(machine, uids.items.items[i], &sweep->err));
		}
	machine_uids_done(&uids);
}

static void sweep_fabric(struct sweep *sweep)
{
	struct fabric_inventory inventory = { 0 };

	if (sweep->fabric->ops->inventory(sweep->fabric, &inventory, &sweep->err) == 0) {
		for (size_t i = 0; i < inventory.nics.count; i++)
			if (!is_known(sweep, inventory.nics.items[i].uid))
				count(sweep, sweep->fabric->ops->nic_down(sweep->fabric, inventory.nics.items[i].uid,
									  inventory.nics.items[i].index, &sweep->err));
		for (size_t i = 0; i < inventory.networks.count; i++)
			if (!is_known(sweep, inventory.networks.items[i].uid))
				count(sweep, sweep->fabric->ops->network_down(sweep->fabric, inventory.networks.items[i].uid, &sweep->err));
	}
	fabric_inventory_done(&inventory);
}

size_t sweep_pool(struct volume_driver *volume, const struct map *known, bool keeps_unknown, struct err *err)
{
	struct volume_names names = { 0 };
	size_t removed = 0;

	if (volume->ops->list(volume, &names, err) == 0)
		for (size_t i = 0; i < names.items.count; i++) {
			if (map_get(known, names.items.items[i]))
				continue;
			if (keeps_unknown)
				keep("the disk", names.items.items[i]);
			else
				removed += volume->ops->remove(volume, names.items.items[i], err) == 0;
		}
	volume_names_done(&names);
	return removed;
}

static void sweep_folder(struct sweep *sweep, const char *name, const struct map *keep)
{
	auto_free char *path = text_format("%s/%s", sweep->directory, name);
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || map_get(keep, entry->d_name))
			continue;
		auto_free char *child = text_format("%s/%s", path, entry->d_name);
		count(sweep, file_remove_tree(child, &sweep->err));
	}
	if (dir)
		closedir(dir);
}

static void run(void *data)
{
	struct sweep *sweep = data;

	for (size_t i = 0; i < INSTANCE_KIND_COUNT; i++)
		if (i == 0 || sweep->machines[i] != sweep->machines[i - 1])
			sweep_machines(sweep, sweep->machines[i]);
	sweep->removed += sweep_pool(sweep->volume, &sweep->known, sweep->keeps_unknown, &sweep->err);
	if (sweep->keeps_unknown)
		return;
	sweep_fabric(sweep);
	sweep_folder(sweep, "instances", &sweep->known);
	sweep_folder(sweep, "images", &sweep->known);
	sweep_folder(sweep, "staging", &sweep->kept);
}

static void free_sweep(void *data)
{
	struct sweep *sweep = data;

	map_done(&sweep->known);
	map_done(&sweep->kept);
	free(sweep->directory);
	free(sweep);
}

static void done(void *data)
{
	struct sweep *sweep = data;
	struct agent *agent = sweep->agent;
	void (*next)(struct agent *agent) = sweep->done;

	if (sweep->removed)
		log_line(LOG_NOTICE, "%zu leftovers of an interrupted run were removed", sweep->removed);
	if (sweep->err.code < 0)
		log_line(LOG_WARNING, "not everything that was left over could be removed: %s", sweep->err.msg);
	free_sweep(sweep);
	next(agent);
}

static void keep_upload(struct sweep *sweep, const char *id)
{
	auto_free char *folder = id ? text_format("%s.d", id) : NULL;

	if (!id)
		return;
	map_put(&sweep->kept, id, sweep);
	map_put(&sweep->kept, folder, sweep);
}

void sweep_note_known(struct agent *agent, bool is_shared, struct map *known)
{
	struct objects *objects = agent->params.objects;

	for (enum kind_id k = 0; k < KIND_COUNT; k++) {
		const struct map *all = objects_all(objects, k);

		/* Of an image any node may have a copy; nothing is named after a node. */
		for (size_t i = 0; k != KIND_NODE && i < all->count; i++)
			if (is_shared || k == KIND_IMAGE || objects_concern(objects, &kinds[k], all->entries[i].value, agent->node))
				map_put(known, all->entries[i].key, agent);
	}
}

static void note_known(struct sweep *sweep)
{
	struct agent *agent = sweep->agent;

	sweep_note_known(agent, false, &sweep->known);
	for (size_t i = 0; i < agent->items.count; i++) {
		const struct item *item = agent->items.entries[i].value;
		const struct instance *instance = objects_get(agent->params.objects, KIND_INSTANCE, item->uid);
		const struct image *image = objects_get(agent->params.objects, KIND_IMAGE, item->uid);

		if (instance && !instance->status.disk_ready)
			keep_upload(sweep, instance->spec.source.upload);
		const struct volume *volume = objects_get(agent->params.objects, KIND_VOLUME, item->uid);

		if (volume && volume->status.state != VOLUME_READY)
			keep_upload(sweep, volume->spec.source.upload);
		if (volume && volume->spec.restore.serial > volume->status.restore_serial)
			keep_upload(sweep, volume->spec.restore.upload);
		if (image && image->status.state != IMAGE_READY) {
			auto_free char *parts = text_format("%s.image", item->uid);

			map_put(&sweep->kept, parts, sweep);
			keep_upload(sweep, image->spec.archive.upload);
			keep_upload(sweep, image->spec.disk.upload);
			keep_upload(sweep, image->spec.kernel.upload);
			keep_upload(sweep, image->spec.initrd.upload);
		}
	}
}

void sweep_run(struct agent *agent, void (*next)(struct agent *agent))
{
	struct sweep *sweep = alloc(sizeof(*sweep));

	*sweep = (struct sweep){ .agent = agent, .volume = agent->params.volume,
				 .fabric = agent->params.fabric, .directory = text_copy(agent->directory),
				 .keeps_unknown = agent->params.keeps_unknown, .done = next };
	memcpy(sweep->machines, agent->params.machines, sizeof(sweep->machines));
	note_known(sweep);
	work_submit(agent->params.work, run, done, free_sweep, sweep);
}
