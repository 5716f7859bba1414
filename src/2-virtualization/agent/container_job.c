/*
 * container_job.c - what a container is to its driver: program, environment, mounts, limits.
 *
 * The image says how it wants to be run, the instance's spec goes before it.
 */
#include "2-virtualization/agent/instance_job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "2-virtualization/images/oci/oci.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/process.h"

/* Ids of containers: one range for each project, far from those of the host's people and of /etc/subuid's defaults. */
enum { UID_BASE = 1 << 20, UID_COUNT = 1 << 16 };

static const char default_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct texts { VEC(const char *) list; };

/* Everything that struct machine_container points to. */
struct parts {
	VEC(char *) layers;
	VEC(const char *) argv, env;
	struct texts cap_add, cap_drop, devices;
	VEC(struct machine_mount) mounts;
	struct volume_info root;
	struct volume_info infos[LIMIT_MOUNTS_PER_INSTANCE];
	struct machine_container container;
	struct machine_config config;
	char *console_log;
};

static void parts_done(struct parts *parts)
{
	for (size_t i = 0; i < parts->layers.count; i++)
		free(parts->layers.items[i]);
	vec_done(&parts->layers);
	vec_done(&parts->argv);
	vec_done(&parts->env);
	vec_done(&parts->cap_add.list);
	vec_done(&parts->cap_drop.list);
	vec_done(&parts->devices.list);
	vec_done(&parts->mounts);
	volume_info_done(&parts->root);
	for (size_t i = 0; i < LIMIT_MOUNTS_PER_INSTANCE; i++)
		volume_info_done(&parts->infos[i]);
	free(parts->console_log);
}

/* ---- Program and environment ---- */

static void add_texts(struct parts *parts, const struct field_list *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		*vec_push(&parts->argv) = *field_list_at(texts, char *, i);
}

static bool is_init(const char *program)
{
	const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;

	return text_equal(name, "init") || text_equal(name, "systemd");
}

static int fill_argv(const struct instance_job *job, struct parts *parts, struct err *err)
{
	const struct instance_container *own = &job->instance->spec.container;
	const struct image_config *image = &job->image->status.config;

	add_texts(parts, own->entrypoint.count ? &own->entrypoint : &image->entrypoint);
	/* An entrypoint of one's own does not want the arguments meant for another. */
	if (own->command.count || own->entrypoint.count)
		add_texts(parts, &own->command);
	else
		add_texts(parts, &image->command);
	if (!parts->argv.count)
		return err_set(err, -EINVAL, "spec.container.command: image '%s' names no program: give one after --",
			       job->instance->spec.image);
	parts->container.is_init = own->init || is_init(parts->argv.items[0]);
	*vec_push(&parts->argv) = NULL;
	parts->container.argv = parts->argv.items;
	return 0;
}

/* A later value of the same name takes the earlier one's place. */
static void set_env(struct parts *parts, const char *text)
{
	size_t length = strcspn(text, "=") + 1;

	for (size_t i = 0; i < parts->env.count; i++)
		if (strncmp(parts->env.items[i], text, length) == 0) {
			parts->env.items[i] = text;
			return;
		}
	*vec_push(&parts->env) = text;
}

static void fill_env(const struct instance_job *job, struct parts *parts)
{
	const struct instance_container *own = &job->instance->spec.container;
	const struct image_config *image = &job->image->status.config;

	set_env(parts, default_path);
	set_env(parts, "container=oci");
	if (own->terminal)
		set_env(parts, "TERM=xterm");
	for (size_t i = 0; i < image->env.count; i++)
		set_env(parts, *field_list_at(&image->env, char *, i));
	for (size_t i = 0; i < own->env.count; i++)
		set_env(parts, *field_list_at(&own->env, char *, i));
	*vec_push(&parts->env) = NULL;
	parts->container.env = parts->env.items;
}

/* ---- Files ---- */

static void fill_layers(const struct instance_job *job, struct parts *parts)
{
	const struct field_list *layers = &job->image->status.layers;

	for (size_t i = 0; i < layers->count; i++)
		*vec_push(&parts->layers) = oci_layer_path(job->layers_folder, field_list_at(layers, struct image_layer, i)->diff_id);
	parts->container.layers = (const char *const *)parts->layers.items;
	parts->container.layer_count = parts->layers.count;
}

static int fill_mounts(const struct instance_job *job, struct parts *parts, struct err *err)
{
	static const enum machine_mount_kind kinds_of[] = {
		[MOUNT_VOLUME] = MACHINE_MOUNT_TREE, [MOUNT_BIND] = MACHINE_MOUNT_BIND, [MOUNT_TMPFS] = MACHINE_MOUNT_TMPFS,
	};
	const struct field_list *mounts = &job->instance->spec.container.mounts;

	for (size_t i = 0; i < mounts->count; i++) {
		const struct instance_mount *from = field_list_at(mounts, struct instance_mount, i);
		struct machine_mount *to = vec_push(&parts->mounts);
		struct volume_ref *volume = &job->mounts.items.items[i];
		int r;

		*to = (struct machine_mount){ .kind = kinds_of[from->kind], .source = from->source, .target = from->target,
					      .is_read_only = from->read_only, .size_bytes = from->size };
		if (from->kind != MOUNT_VOLUME)
			continue;
		r = volume->driver->ops->info(volume->driver, volume->uid, &parts->infos[i], err);
		if (r < 0)
			return err_prefix(err, "volume '%s'", from->source);
		to->source = parts->infos[i].tree;
	}
	parts->container.mounts = parts->mounts.items;
	parts->container.mount_count = parts->mounts.count;
	return 0;
}

/* ---- All of it ---- */

static int enter_network(void *data, pid_t pid, struct err *err)
{
	struct instance_job *job = data;
	struct fabric_publish publish[LIMIT_PUBLISHED_PORTS];
	struct fabric_nic nic;
	int r = 0;

	for (size_t i = 0; i < job->instance->spec.nics.count && r == 0; i++) {
		instance_fabric_nic(job, (unsigned)i, publish, &nic);
		r = job->fabric->ops->nic_enter(job->fabric, &nic, pid, err);
		if (r < 0)
			err_prefix(err, "nic %zu", i);
	}
	return r;
}

static void fill_limits(const struct instance_job *job, struct parts *parts)
{
	const struct instance_spec *spec = &job->instance->spec;

	parts->config = (struct machine_config){
		.uid = job->instance->meta.uid, .name = job->instance->meta.name, .cpus = (unsigned)spec->cpus,
		.memory_bytes = spec->memory, .container = &parts->container,
	};
	parts->container.pids_max = (uint64_t)spec->container.pids;
	parts->container.cpu_weight = (unsigned)spec->container.cpu_weight;
	parts->container.io_read_bps = spec->container.io_read;
	parts->container.io_write_bps = spec->container.io_write;
	parts->container.latency = (enum machine_latency)spec->latency_class;
}

/* Null-terminated; null when there are none. */
static const char *const *texts_of(const struct field_list *from, struct texts *texts)
{
	if (!from->count)
		return NULL;
	for (size_t i = 0; i < from->count; i++)
		*vec_push(&texts->list) = *field_list_at(from, char *, i);
	*vec_push(&texts->list) = NULL;
	return texts->list.items;
}

static int start_with(struct instance_job *job, struct parts *parts, struct err *err)
{
	const struct instance_container *own = &job->instance->spec.container;
	const struct image_config *image = &job->image->status.config;
	struct machine_container *container = &parts->container;
	int r = fill_argv(job, parts, err);

	if (r < 0)
		return r;
	fill_env(job, parts);
	fill_layers(job, parts);
	fill_limits(job, parts);
	r = fill_mounts(job, parts, err);
	if (r == 0)
		r = job->volume->ops->info(job->volume, job->instance->meta.uid, &parts->root, err);
	if (r < 0)
		return r;
	parts->config.console_log_bytes = job->console_log_bytes;
	parts->config.console_log = parts->console_log = text_format("%s/console.log", job->folder);
	container->root = parts->root.tree;
	container->user = own->user ? own->user : image->user;
	container->directory = own->directory ? own->directory : image->directory;
	container->hostname = job->instance->meta.name;
	container->has_terminal = own->terminal;
	container->has_input = own->input || own->terminal;
	container->has_input_once = own->input_once;
	container->is_read_only = own->read_only;
	container->uid_base = UID_BASE;
	container->uid_count = UID_COUNT;
	container->cap_add = texts_of(&own->cap_add, &parts->cap_add);
	container->cap_drop = texts_of(&own->cap_drop, &parts->cap_drop);
	container->devices = texts_of(&own->devices, &parts->devices);
	container->nameservers = (const char *const *)job->nameservers.items;
	container->search = (const char *const *)job->search.items;
	container->stop_signal = own->stop_signal ? signal_number(own->stop_signal) : image->stop_signal ? signal_number(image->stop_signal) : 0;
	container->network_ready = enter_network;
	container->network_data = job;
	return job->machine->ops->start(job->machine, &parts->config, err);
}

int container_start(struct instance_job *job, struct err *err)
{
	struct parts parts = { 0 };
	int r = start_with(job, &parts, err);

	parts_done(&parts);
	return r;
}

int container_update(struct instance_job *job, struct err *err)
{
	const struct instance_spec *spec = &job->instance->spec;
	struct parts parts = { 0 };
	int r;

	if (!job->machine->ops->update)
		return job->machine->ops->resize(job->machine, job->instance->meta.uid, (unsigned)spec->cpus, spec->memory, err);
	fill_limits(job, &parts);
	r = job->volume->ops->info(job->volume, job->instance->meta.uid, &parts.root, err);
	parts.container.root = parts.root.tree;		/* Its device is the one that I/O is limited on. */
	if (r == 0)
		r = job->machine->ops->update(job->machine, &parts.config, err);
	parts_done(&parts);
	return r;
}
