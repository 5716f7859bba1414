#include "4-service/core.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "4-service/cluster/peers.h"
#include "4-service/cluster/seen.h"
#include "4-service/streams.h"
#include "base/log.h"
#include "base/mem.h"

static call_fn create_any, update_any, delete_any;

static call_fn *const operations[CALL_OP_COUNT] = {
	[CALL_CREATE] = create_any,
	[CALL_UPDATE] = update_any,
	[CALL_DELETE] = delete_any,
	[CALL_RENAME] = resource_rename,
	[CALL_START] = instance_start,
	[CALL_STOP] = instance_stop,
	[CALL_RESTART] = instance_restart,
	[CALL_PAUSE] = instance_pause,
	[CALL_RESUME] = instance_resume,
	[CALL_CLONE] = instance_clone,
	[CALL_MOVE] = instance_move,
	[CALL_DISK] = transfer_disk,
	[CALL_PLACEMENT] = instance_placement,
	[CALL_COMMIT] = instance_commit,
	[CALL_VOLUME_CLONE] = volume_clone,
	[CALL_VOLUME_RECEIVE] = volume_receive,
	[CALL_VOLUME_BACKUP] = transfer_volume_backup,
	[CALL_VOLUME_SNAPSHOT] = snapshot_create,
	[CALL_VOLUME_UNSNAPSHOT] = snapshot_delete,
	[CALL_VOLUME_RESTORE] = volume_snapshot_restore,
	[CALL_IMAGE_TAG] = image_tag,
	[CALL_IMAGE_PRUNE] = image_prune,
	[CALL_EXPORT] = transfer_export,
	[CALL_RESTORE] = instance_restore,
	[CALL_ATTACH] = instance_attach,
	[CALL_DETACH] = instance_detach,
	[CALL_CONSOLE] = stream_console,
	[CALL_LOGS] = stream_logs,
	[CALL_ATTACH_STREAM] = stream_attach,
	[CALL_EXEC] = stream_exec,
	[CALL_FILE_READ] = stream_file_read,
	[CALL_FILE_WRITE] = stream_file_write,
	[CALL_IMAGE_EXPORT] = transfer_image_export,
	[CALL_BACKUP] = transfer_backup,
	[CALL_WHAT_IF_DRAIN] = node_what_if_drain,
	[CALL_NODE_LOAD] = node_load_show,
	[CALL_NODE_POWER] = node_power_show,
	[CALL_CONFIG] = config_update,
	[CALL_DOCTOR] = doctor_run,
};

/* Of these there are none without a cluster. */
static call_fn *const cluster_operations[CALL_OP_COUNT] = {
	[CALL_CLUSTER_SHOW] = cluster_show,
	[CALL_CLUSTER_INIT] = cluster_init,
	[CALL_CLUSTER_ENTER] = cluster_enter,
	[CALL_CLUSTER_JOIN] = cluster_admit,
	[CALL_CLUSTER_LEAVE] = cluster_leave,
	[CALL_CLUSTER_ACCEPT_RESTORED] = cluster_accept_restored,
	[CALL_CLUSTER_IMPORT] = cluster_import,
	[CALL_TOKEN_CREATE] = token_create,
	[CALL_TOKEN_LIST] = token_list,
	[CALL_TOKEN_REVOKE] = token_revoke,
};

static const struct {
	call_fn *create, *update, *remove;
} resources[KIND_COUNT] = {
	[KIND_INSTANCE] = { instance_create, instance_update, instance_delete },
	[KIND_IMAGE] = { image_create, image_update, image_delete },
	[KIND_VOLUME] = { volume_create, volume_update, volume_delete },
	[KIND_NETWORK] = { network_create, network_update, network_delete },
	[KIND_SNAPSHOT] = { snapshot_create, NULL, snapshot_delete },
	[KIND_POOL] = { pool_create, pool_update, pool_delete },
	[KIND_NODE] = { NULL, node_update, node_remove },
};

static void run_resource(struct core *core, struct call *call, call_fn *fn, const char *verb)
{
	struct err err = { 0 };

	if (fn) {
		fn(core, call);
		return;
	}
	err_set(&err, -EOPNOTSUPP, "%s cannot be %s", call->kind->plural, verb);
	answer_err(call, &err);
}

static void create_any(struct core *core, struct call *call)
{
	run_resource(core, call, resources[call->kind->id].create, "created");
}

static void update_any(struct core *core, struct call *call)
{
	run_resource(core, call, resources[call->kind->id].update, "changed");
}

static void delete_any(struct core *core, struct call *call)
{
	run_resource(core, call, resources[call->kind->id].remove, "deleted");
}

struct delivery {
	struct core *core;
	struct call *call;
};

static void deliver(void *data)
{
	auto_free struct delivery *delivery = data;
	struct core *core = delivery->core;
	call_fn *operation = operations[delivery->call->op];
	struct err err;

	if (!operation && core->membership)
		operation = cluster_operations[delivery->call->op];
	if (!membership_admits(core->membership, delivery->call))
		return;
	if (peers_routes(delivery->core->peers, delivery->call))
		return;
	if (operation) {
		operation(delivery->core, delivery->call);
		return;
	}
	err_set(&err, -EOPNOTSUPP, "this host is not in a cluster");
	answer_err(delivery->call, &err);
}

void api_call(struct core *core, struct call *call)
{
	struct delivery *delivery = alloc(sizeof(*delivery));

	assert(call->op < CALL_OP_COUNT);
	*delivery = (struct delivery){ core, call };
	loop_post(core->params.loop, deliver, free, delivery);
}

/* ---- Publishing ---- */

/* "instances", or "instances/<name>/snapshots"; null when its instance is gone. */
static char *folder_of(struct core *core, const struct kind *kind, const struct meta *meta)
{
	const struct meta *parent;

	if (kind->id != KIND_SNAPSHOT)
		return text_copy(kind->plural);
	parent = objects_get(core->objects, KIND_INSTANCE, meta->parent);
	if (parent)
		return text_format("instances/%s/snapshots", parent->name);
	parent = objects_get(core->objects, KIND_VOLUME, meta->parent);
	return parent ? text_format("volumes/%s/snapshots", parent->name) : NULL;
}

/* Null: a status of this kind has no such text. */
static char **status_text(const struct kind *kind, void *object, const char *name)
{
	const struct field *field = field_find(kind->status, name);

	return field ? (char **)((char *)kind_status(kind, object) + field->offset) : NULL;
}

/* Null: nothing is wrong with it. */
static char *what_is_lost(struct core *core, const char *uid, const struct meta *node)
{
	enum node_state state = !uid || text_equal(uid, core->node_uid) ? NODE_READY : peers_state(core->peers, uid);

	if (!node_is_lost(state))
		return NULL;
	return text_format("its node '%s' is %s", node ? node->name : uid, node_state_names[state]);
}

/* What follows from other objects and is never stored. */
static void fill_place(struct core *core, const struct kind *kind, void *object)
{
	const char *uid = objects_owner(core->objects, kind, object);
	const struct meta *node = uid ? objects_get(core->objects, KIND_NODE, uid) : NULL;
	char **node_name = status_text(kind, object, "node_name"), **lost = status_text(kind, object, "lost");

	if (lost) {
		free(*lost);
		*lost = what_is_lost(core, uid, node);
	}
	if (node_name && store_is_shared(core->params.store))
		text_replace(node_name, node ? node->name : NULL);
}

static void fill_stuck(struct core *core, struct instance *instance)
{
	auto_free char *key = text_format("stuck/%s", instance->meta.uid);
	const struct note *note = objects_note(core->objects, key);

	text_replace(&instance->status.stuck, note ? note->value : NULL);
}

static void take_later(struct core *core, const char *prefix, const char *uid, int64_t *revision)
{
	auto_free char *key = text_format("%s%s", prefix, uid ? uid : "");
	const struct note *note = objects_note(core->objects, key);

	if (note && (int64_t)note->revision > *revision)
		*revision = (int64_t)note->revision;
}

/*
 * Who waits for what an object becomes waits for a higher revision. Some of what is shown follows from notes (the state of a node,
 * whether an instance is lost), which change without the object. All hosts say the same.
 */
int64_t published_revision(struct core *core, const struct kind *kind, const void *object)
{
	int64_t revision = ((const struct meta *)object)->revision;

	if (kind->id == KIND_NODE) {
		take_later(core, "member/", ((const struct meta *)object)->uid, &revision);
		take_later(core, "leader", NULL, &revision);
	} else if (kind->id != KIND_IMAGE && kind->id != KIND_NETWORK) {
		take_later(core, "member/", objects_owner(core->objects, kind, object), &revision);
		take_later(core, "stuck/", ((const struct meta *)object)->uid, &revision);
	}
	return revision;
}

void encode_published(struct core *core, const struct kind *kind, void *object, struct str *out)
{
	struct meta *meta = kind_meta(object);
	struct json_writer writer = { .out = out };
	int64_t own = meta->revision;

	meta->revision = published_revision(core, kind, object);
	kind_encode(kind, object, &writer, NULL);
	meta->revision = own;
}

void publish_as(struct core *core, const struct kind *kind, void *object, const char *folder, const char *name)
{
	auto_str struct str json = { 0 };

	encode_published(core, kind, object, &json);
	view_put(core->params.view, folder, name, json.data, json.size);
}

void publish_object(struct core *core, const struct kind *kind, void *object)
{
	struct meta *meta = kind_meta(object);
	auto_free char *folder = folder_of(core, kind, meta);

	if (!folder)
		return;
	if (kind->id == KIND_NODE) {
		node_changed(core, object);
		return;
	}
	fill_place(core, kind, object);
	if (kind->id == KIND_INSTANCE)
		fill_stuck(core, object);
	if (kind->id == KIND_VOLUME)
		text_replace(&((struct volume *)object)->status.instance, volume_holder_name(core, meta->uid));
	publish_as(core, kind, object, folder, meta->name);
}

static void unpublish(struct core *core, const struct kind *kind, void *object)
{
	struct meta *meta = kind_meta(object);
	auto_free char *folder = folder_of(core, kind, meta);

	if (folder)
		view_remove(core->params.view, folder, meta->name);
}

/* After a rename the old name must go; the view is asked by name, so the difference is remembered here. */
static void publish_renamed(struct core *core, const struct kind *kind, void *object)
{
	struct meta *meta = kind_meta(object);
	char *old = map_get(&core->published, meta->uid);

	if (old && !text_equal(old, meta->name)) {
		auto_free char *folder = folder_of(core, kind, meta);

		if (folder)
			view_remove(core->params.view, folder, old);
		if (kind->id == KIND_INSTANCE)
			for (size_t i = 0; i < objects_all(core->objects, KIND_SNAPSHOT)->count; i++) {
				struct snapshot *snapshot = objects_all(core->objects, KIND_SNAPSHOT)->entries[i].value;

				if (!text_equal(snapshot->meta.parent, meta->uid))
					continue;
				auto_free char *old_folder = text_format("instances/%s/snapshots", old);
				view_remove(core->params.view, old_folder, snapshot->meta.name);
				publish_object(core, &kinds[KIND_SNAPSHOT], snapshot);
			}
	}
	if (!old || !text_equal(old, meta->name))
		free(map_put(&core->published, meta->uid, text_copy(meta->name)));
}

static void publish_node(void *data)
{
	struct core *core = data;

	core->is_node_stale = false;
	node_publish(core);
}

/* What a node has promised is part of what readers see of it: told once for all that changed together. */
static void instance_placed(struct core *core, const char *uid, struct instance *instance)
{
	placement_sync(core->placement, uid, instance);
	if (core->is_node_stale)
		return;
	core->is_node_stale = true;
	loop_post(core->params.loop, publish_node, NULL, core);
}

static void object_changed(void *data, const struct kind *kind, void *object, enum objects_change change)
{
	struct core *core = data;

	if (kind->id == KIND_NODE && (change == OBJECTS_DESIRED || change == OBJECTS_REMOVED))
		membership_nodes_changed(core->membership);
	if (kind->id == KIND_INSTANCE)
		node_has_instance(core, objects_owner(core->objects, kind, object));
	if (kind->id == KIND_INSTANCE && (change == OBJECTS_DESIRED || change == OBJECTS_REMOVED))
		instance_placed(core, kind_meta(object)->uid, change == OBJECTS_REMOVED ? NULL : object);
	if (kind->id == KIND_INSTANCE && (change == OBJECTS_OBSERVED || change == OBJECTS_REMOVED))
		load_instances_changed(core);
	if (kind->id == KIND_NODE)
		load_nodes_changed(core);
	if (change == OBJECTS_REMOVED) {
		if (kind->id == KIND_INSTANCE)
			holders_changed(core, object, true);
		unpublish(core, kind, object);
		free(map_remove(&core->published, kind_meta(object)->uid));
		return;
	}
	if (kind->id == KIND_SNAPSHOT || (kind->id == KIND_VOLUME && ((const struct volume *)object)->spec.snapshots))
		schedule_wake(core);
	if (kind->id == KIND_IMAGE)
		image_forget_secret(core, object);
	if (kind->id == KIND_INSTANCE)
		attach_wake(core, object);
	publish_renamed(core, kind, object);
	publish_object(core, kind, object);
	if (kind->id == KIND_INSTANCE && change == OBJECTS_DESIRED)
		holders_changed(core, object, false);
}

static void event_added(void *data, const struct event *event, const char *json, size_t size)
{
	struct core *core = data;

	view_add_event(core->params.view, event->id, json, size);
	if (event->is_warning)
		log_line(LOG_WARNING, "%s", event->text);
}

void publish_all(struct core *core)
{
	for (enum kind_id k = 0; k < KIND_COUNT; k++) {
		const struct map *all = objects_all(core->objects, k);

		for (size_t i = 0; i < all->count; i++) {
			publish_renamed(core, &kinds[k], all->entries[i].value);
			publish_object(core, &kinds[k], all->entries[i].value);
		}
	}
}

static void publish_version(struct core *core)
{
	auto_str struct str json = { 0 };

	str_printf(&json, "{\"version\":\"%s\",\"api\":\"v1\"}", core->params.version);
	view_put(core->params.view, "", "version", json.data, json.size);
}

/* ---- Life ---- */

static void read_event(void *data, const struct event *event, const char *json, size_t size)
{
	struct core *core = data;

	view_add_event(core->params.view, event->id, json, size);
}

/* What should run takes its room before anything new is admitted. */
static void place_all(struct core *core)
{
	const struct map *all = objects_all(core->objects, KIND_INSTANCE);

	core->placement = placement_new(&core->config);
	node_load(core);
	for (size_t i = 0; i < all->count; i++)
		placement_sync(core->placement, kind_meta(all->entries[i].value)->uid, all->entries[i].value);
}

static int open_parts(struct core *core, struct err *err)
{
	const struct core_params *params = &core->params;
	struct agent_params agent_params = {
		.loop = params->loop, .work = params->work, .store = params->store,
		.volume = params->volume, .pools = params->pools, .fabric = params->fabric,
		.fence = store_is_shared(params->store) ? params->fence : NULL, .images = params->images,
		.tls_folder = params->tls_folder, .peers = params->peers, .directory = core->directory,
		.node = core->node_uid, .is_shared = store_is_shared(params->store), .boot_id = core->boot_id, .sample_ms = params->sample_ms,
	};
	int r;

	core->objects = params->objects;
	r = params->objects ? 0 : objects_open(params->store, params->loop, core->node_uid, &core->objects, err);
	if (r == 0)
		r = config_load(core, err);
	if (r < 0)
		return r;
	node_fill_address(core);
	core->peers = peers_new(core);
	r = membership_new(core, &core->membership, err);
	if (r < 0)
		return r;
	core->seen = seen_new(core);
	agent_params.keeps_unknown = seen_is_restored(core->seen);
	place_all(core);
	objects_listen(core->objects, object_changed, event_added, core);
	memcpy(agent_params.machines, params->machines, sizeof(agent_params.machines));
	memcpy(agent_params.cgroups, params->cgroups, sizeof(agent_params.cgroups));
	agent_params.objects = core->objects;
	agent_params.console_log_bytes = core->config.console.log_size;
	if (store_is_shared(params->store))
		config_follow(core);
	r = agent_new(&agent_params, &core->agent, err);
	if (r == 0)
		objects_take_events(core->objects, read_event, core);
	return r;
}

int core_new(const struct core_params *params, struct core **ret_core, struct err *err)
{
	struct core *core = alloc(sizeof(*core));
	int r;

	*core = (struct core){
		.params = *params, .directory = text_copy(params->directory), .node_uid = text_copy(params->node_uid),
		.node_tag = text_copy(params->node_tag), .boot_id = text_copy(params->boot_id),
	};
	node_read(core);
	r = open_parts(core, err);
	if (r < 0) {
		core_free(core);
		return r;
	}
	publish_all(core);
	publish_version(core);
	publish_config(core);
	node_publish(core);
	*ret_core = core;
	return 0;
}

struct probe_job {
	struct core *core;
	int kind;			/* enum instance_kind */
	struct machine_driver *machine;
	struct machine_capabilities capabilities;
	struct err err;
};

static void probe_run(void *data)
{
	struct probe_job *job = data;

	if (job->machine->ops->probe(job->machine, &job->capabilities, &job->err) == 0)
		job->err.code = 0;
}

static void probe_drop(void *data)
{
	struct probe_job *job = data;

	machine_capabilities_done(&job->capabilities);
	free(job);
}

static void push_text(struct field_list *list, const char *text)
{
	*(char **)field_list_push(list, sizeof(char *)) = text_copy(text);
}

/* What is said of machines in general is that of virtual machines. */
static void take_vm_probe(struct core *core, const struct machine_capabilities *found)
{
	struct node_status *status = &core->node->status;

	text_replace(&status->accelerator, found->accelerator);
	text_replace(&status->accelerator_reason, found->accelerator_reason[0] ? found->accelerator_reason : NULL);
	text_replace(&status->machine_version, found->version);
	if (found->has_microvm)
		push_text(&status->machine_types, "microvm");
	if (found->has_q35)
		push_text(&status->machine_types, "q35");
	agent_set_capabilities(core->agent, text_equal(found->accelerator, "kvm"), found->has_microvm);
}

static void probe_done(void *data)
{
	struct probe_job *job = data;
	struct core *core = job->core;
	struct machine_capabilities *found = &job->capabilities;
	struct node_status *status = &core->node->status;

	if (job->err.code < 0) {
		log_line(job->kind == INSTANCE_VM ? LOG_ERROR : LOG_WARNING, "%s cannot run here: %s",
			 job->kind == INSTANCE_VM ? "virtual machines" : "containers", job->err.msg);
		push_text(&status->warnings, job->err.msg);
	}
	if (job->kind == INSTANCE_VM)
		take_vm_probe(core, found);
	else
		text_replace(&status->container_version, found->version[0] ? found->version : NULL);
	for (size_t i = 0; i < found->warnings.count; i++)
		push_text(&status->warnings, found->warnings.items[i]);
	node_announce(core);
	node_publish(core);
	core->capabilities[job->kind] = *found;
	core->knows[job->kind] = true;
	free(job);
}

static void start_probe(struct core *core, int kind)
{
	struct probe_job *job = alloc(sizeof(*job));

	*job = (struct probe_job){ .core = core, .kind = kind, .machine = core->params.machines[kind] };
	work_submit(core->params.work, probe_run, probe_done, probe_drop, job);
}

static void swept(void *data)
{
	struct core *core = data;

	peers_join(core->peers);
}

void core_start(struct core *core)
{
	for (int kind = 0; kind < INSTANCE_KIND_COUNT; kind++)
		start_probe(core, kind);
	node_announce(core);
	load_start(core);
	agent_start(core->agent, swept, core);
	home_adopt_all(core);
	network_create_default(core);
	pool_create_default(core);
	schedule_start(core);
	membership_start(core->membership);
	seen_start(core->seen);
}

void core_resign(struct core *core)
{
	election_resign(core->peers);
}

void core_free(struct core *core)
{
	if (!core)
		return;
	schedule_stop(core);
	agent_free(core->agent);
	membership_free(core->membership);
	seen_free(core->seen);
	if (core->params.objects) {
		objects_unlisten(core->objects, core);
		objects_unlisten(core->objects, core->peers);
	} else {
		objects_close(core->objects);
	}
	peers_free(core->peers);
	holders_done(core);
	placement_free(core->placement);
	kind_free(&kinds[KIND_NODE], core->node);
	field_done(&config_table, &core->config);
	for (size_t i = 0; i < INSTANCE_KIND_COUNT; i++)
		machine_capabilities_done(&core->capabilities[i]);
	for (size_t i = 0; i < core->published.count; i++)
		free(core->published.entries[i].value);
	map_done(&core->published);
	map_done(&core->reserved);
	map_done(&core->next_hosts);
	vec_done(&core->attached);
	free(core->directory);
	free(core->node_uid);
	free(core->node_tag);
	free(core->boot_id);
	free(core);
}

const struct config *core_config(const struct core *core)
{
	return &core->config;
}

struct agent *core_agent(struct core *core)
{
	return core->agent;
}

bool core_is_leader(const struct core *core)
{
	return peers_is_leader(core->peers);
}

int core_check(const struct core *core, bool is_quiet, struct err *err)
{
	return placement_check(core->placement, is_quiet ? objects_all(core->objects, KIND_INSTANCE) : NULL, err);
}
