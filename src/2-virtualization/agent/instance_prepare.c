/*
 * instance_prepare.c - gathers in the loop what a step of an instance needs to know in its worker.
 */
#include "2-virtualization/agent/instance_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

const struct image *instance_image(struct item *item, const struct instance *instance)
{
	return objects_get(item->agent->params.objects, KIND_IMAGE, instance->spec.image_uid);
}

enum machine_type instance_machine_type(const struct item *item, const struct instance *instance, const struct image *image)
{
	bool boots_kernel = image && image->status.has_kernel &&
		(instance->spec.boot == INSTANCE_BOOT_AUTO || instance->spec.boot == INSTANCE_BOOT_KERNEL);

	if (instance->spec.machine == INSTANCE_MACHINE_Q35)
		return MACHINE_Q35;
	if (instance->spec.machine == INSTANCE_MACHINE_MICROVM)
		return MACHINE_MICROVM;
	return boots_kernel && item->agent->has_microvm && !instance->spec.vnc ? MACHINE_MICROVM : MACHINE_Q35;
}

char *instance_memory_snapshot(struct item *item, const struct instance *instance)
{
	const struct instance_status *status = item->status;
	const struct snapshot *snapshot;

	if (!status->next_from_memory || status->restore_serial != instance->spec.restore.serial)
		return NULL;
	snapshot = objects_get(item->agent->params.objects, KIND_SNAPSHOT, instance->spec.restore.snapshot);
	return snapshot && snapshot->status.has_memory ? text_copy(snapshot->meta.uid) : NULL;
}

static void list_snapshots(struct item *item, struct instance_job *job)
{
	const struct map *all = objects_all(item->agent->params.objects, KIND_SNAPSHOT);

	for (size_t i = 0; i < all->count; i++) {
		const struct snapshot *snapshot = all->entries[i].value;

		if (text_equal(snapshot->meta.parent, item->uid))
			*vec_push(&job->snapshots) = text_copy(snapshot->meta.uid);
	}
}

/* The driver of a volume's pool, or null while it is not open. */
static struct volume_driver *driver_of(struct item *item, const char *volume_uid)
{
	const struct volume *volume = objects_get(item->agent->params.objects, KIND_VOLUME, volume_uid);
	struct err ignored = { 0 };

	return agent_pool(item->agent, volume ? volume->spec.pool_uid : NULL, &ignored);
}

/* Null 'uid': it is no volume, but has its place in the list. */
static void add_volume(struct item *item, const char *uid, const char *name, bool is_read_only, struct volume_refs *refs)
{
	*vec_push(&refs->items) = (struct volume_ref){
		.uid = text_copy(uid), .name = text_copy(name), .driver = uid ? driver_of(item, uid) : NULL, .is_read_only = is_read_only };
}

static void fill_restore(struct item *item, const struct instance *instance, struct instance_job *job)
{
	const struct snapshot *snapshot = objects_get(item->agent->params.objects, KIND_SNAPSHOT, instance->spec.restore.snapshot);

	if (!snapshot)
		return;
	*vec_push(&job->snapshots) = text_copy(snapshot->meta.uid);
	for (size_t i = 0; i < snapshot->status.volumes.count; i++) {
		const char *uid = *field_list_at(&snapshot->status.volumes, char *, i);

		/* A volume that was removed since cannot come back. */
		if (objects_get(item->agent->params.objects, KIND_VOLUME, uid))
			add_volume(item, uid, NULL, false, &job->restore_volumes);
	}
}

static void fill_attachment(struct instance_job *job, const char *volume_uid)
{
	for (size_t i = 0; i < job->volumes.items.count; i++)
		if (text_equal(job->volumes.items.items[i].uid, volume_uid))
			job->changed = job->volumes.items.items[i];
	job->changed.uid = job->changed_uid = text_copy(volume_uid);
}

/* Where the container asks for names: at the gateways of its networks, which know each other's instances. */
static void fill_names(struct item *item, struct instance_job *job)
{
	const struct field_list *nics = &job->instance->spec.nics;

	for (size_t i = 0; i < nics->count; i++) {
		const struct network *network = objects_get(item->agent->params.objects, KIND_NETWORK,
							    field_list_at(nics, struct instance_nic, i)->network_uid);
		const char *ipv4 = network ? network->spec.ipv4 : NULL, *ipv6 = network ? network->spec.ipv6 : NULL;

		if (!network || !network->spec.dhcp)
			continue;
		if (ipv4 && strchr(ipv4, '/'))
			*vec_push(&job->nameservers) = text_copy_length(ipv4, strcspn(ipv4, "/"));
		else if (ipv6 && strchr(ipv6, '/'))
			*vec_push(&job->nameservers) = text_copy_length(ipv6, strcspn(ipv6, "/"));
		*vec_push(&job->search) = network->spec.domain ? text_copy(network->spec.domain) :
			text_format("%s.internal", network->meta.name);
	}
	*vec_push(&job->nameservers) = NULL;
	*vec_push(&job->search) = NULL;
}

static void fill_volumes(struct item *item, struct instance_job *job)
{
	const struct instance_spec *spec = &job->instance->spec;

	for (size_t i = 0; i < spec->volumes.count; i++) {
		const struct instance_volume *volume = field_list_at(&spec->volumes, struct instance_volume, i);

		add_volume(item, volume->volume_uid, volume->volume, volume->read_only, &job->volumes);
	}
	for (size_t i = 0; i < spec->container.mounts.count; i++) {
		const struct instance_mount *mount = field_list_at(&spec->container.mounts, struct instance_mount, i);

		add_volume(item, mount->volume_uid, mount->source, mount->read_only, &job->mounts);
	}
}

struct instance_job *instance_job_new(struct item *item, const struct instance *instance, struct instance_decision decision,
				      void (*done)(struct job *job))
{
	struct agent *agent = item->agent;
	struct instance_job *job = job_new(struct instance_job);
	const struct image *image = instance_image(item, instance);
	struct err ignored = { 0 };

	*job = (struct instance_job){
		.job = { .item = item, .run = instance_job_run, .done = done, .free = instance_job_free },
		.step = decision.step, .machine = item->machine, .image_volume = agent->params.volume, .fabric = agent->params.fabric,
		.fence = agent->params.fence,
		.volume = agent_pool(agent, instance->spec.pool_uid, &ignored),
		.instance = kind_copy_with_status(item->kind, instance, item->status), .image = image ? kind_copy(&kinds[KIND_IMAGE], image) : NULL,
		.folder = text_format("%s/instances/%s", agent->directory, item->uid),
		.console_log_bytes = agent->params.console_log_bytes, .allow_kvm = agent->is_kvm_usable, .type = instance_machine_type(item, instance, image),
	};
	if (image)
		job->image_folder = text_format("%s/images/%s", agent->directory, image->meta.uid);
	if (agent->params.fence)
		job->cgroup = text_format("%s/%s", agent->params.cgroups[instance->spec.kind], item->uid);
	if (instance->spec.source.upload)
		job->upload_folder = text_format("%s/staging/%s.d", agent->directory, instance->spec.source.upload);
	fill_volumes(item, job);
	if (instance->spec.kind == INSTANCE_CONTAINER) {
		job->layers_folder = agent_layers_folder(agent);
		fill_names(item, job);
	}
	if (decision.step == STEP_ATTACH || decision.step == STEP_DETACH)
		fill_attachment(job, decision.volume_uid);
	if (decision.step == STEP_DELETE)
		list_snapshots(item, job);
	if (decision.step == STEP_RESTORE)
		fill_restore(item, instance, job);
	return job;
}

/* A clone needs its source to hold still; returns false when it has to wait for it. */
bool instance_lock_source(struct item *item, const struct instance *instance, struct instance_job *job)
{
	struct item *source = item_get(item->agent, instance->spec.source.instance);

	if (!instance->spec.source.instance || item_instance(item)->disk_ready)
		return true;
	job->source_uid = text_copy(instance->spec.source.instance);
	if (!source)
		return true;			/* It is gone: the copy will say so. */
	if (source->is_busy || !source->world.is_known) {
		item_wait_for(item, source);
		item_wake(source);
		return false;
	}
	job->is_source_running = source->world.state != MACHINE_ABSENT;
	job->job.other = source;
	return true;
}

/* The pool of a volume, when it has to be waited for. */
static struct item *pool_of_volume(struct agent *agent, const char *volume_uid)
{
	const struct volume *volume = objects_get(agent->params.objects, KIND_VOLUME, volume_uid);

	return volume ? pool_to_wait_for(agent, volume->spec.pool_uid) : NULL;
}

/* All its disks must be in pools that are open. */
bool instance_waits_for_pool(struct item *item, const struct instance *instance)
{
	struct agent *agent = item->agent;
	struct item *pool = pool_to_wait_for(agent, instance->spec.pool_uid);

	for (size_t i = 0; i < instance->spec.volumes.count && !pool; i++)
		pool = pool_of_volume(agent, field_list_at(&instance->spec.volumes, struct instance_volume, i)->volume_uid);
	for (size_t i = 0; i < instance->spec.container.mounts.count && !pool; i++)
		pool = pool_of_volume(agent, field_list_at(&instance->spec.container.mounts, struct instance_mount, i)->volume_uid);
	if (!pool)
		return false;
	item_wait_for(item, pool);
	return true;
}
