/* instances.c - what requests about instances mean: create, change, delete, and the verbs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "4-service/service.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

enum {
	DEFAULT_CPUS = 1, DEFAULT_MEMORY = 256 << 20, DEFAULT_PIDS = 4096, DEFAULT_CPU_WEIGHT = 100, DEFAULT_HEALTH_MS = 30000,
	DEFAULT_HEALTH_RETRIES = 3,
};

static const struct kind *const kind = &kinds[KIND_INSTANCE];

static bool is_on(const struct instance_spec *spec)
{
	return spec->power == POWER_RUNNING || spec->power == POWER_PAUSED;
}

static bool has_machine(const struct instance *instance)
{
	enum instance_state state = (enum instance_state)instance->status.state;

	return state == INSTANCE_RUNNING || state == INSTANCE_PAUSED || state == INSTANCE_STARTING || state == INSTANCE_STOPPING;
}

/* Refuses calls on an instance that is going away. */
static int find_instance(struct core *core, const char *name, struct instance **ret_instance, struct err *err)
{
	void *found;
	int r = find_object(core, KIND_INSTANCE, name, &found, err);

	if (r < 0)
		return r;
	*ret_instance = found;
	if ((*ret_instance)->meta.deleted_at)
		return err_set(err, -EBUSY, "instance '%s' is being deleted: wait until it is gone", name);
	return 0;
}

/* ---- Checks no single field can make ---- */

static int check_image(struct core *core, const struct instance *instance, struct err *err)
{
	const struct instance_spec *spec = &instance->spec;
	struct image *image;
	void *found;
	char wanted[UNITS_TEXT_SIZE], least[UNITS_TEXT_SIZE];
	int r;

	if (!spec->image && !spec->source.instance && !spec->source.upload && !spec->root_size)
		return err_set(err, -EINVAL, "spec.image: is missing: name an image (see 'strata image ls'), or give root_size for an empty disk");
	if (!spec->image && spec->kind == INSTANCE_CONTAINER && !spec->source.instance && !spec->source.upload)
		return err_set(err, -EINVAL, "spec.image: is missing: a container is made from an image (see 'strata image ls')");
	if (!spec->image)
		return 0;
	r = find_object(core, KIND_IMAGE, spec->image, &found, err);
	if (r < 0)
		return err_prefix(err, "spec.image");
	image = found;
	if (image->meta.deleted_at || image->status.state == IMAGE_FAILED)
		return err_set(err, -EBUSY, "spec.image: image '%s' cannot be used: %s", spec->image,
			       image->status.reason ? image->status.reason : "it is being deleted");
	if ((image->spec.kind == IMAGE_CONTAINER) != (spec->kind == INSTANCE_CONTAINER))
		return err_set(err, -EINVAL, "spec.kind: image '%s' is for %s: %s", spec->image,
			       image->spec.kind == IMAGE_CONTAINER ? "containers" : "virtual machines",
			       image->spec.kind == IMAGE_CONTAINER ? "use --container (kind: container)" : "leave out --container (kind: vm)");
	if (image->status.state != IMAGE_READY)
		return err_set(err, -EAGAIN, "spec.image: image '%s' is still being imported: wait until it is ready", spec->image);
	if (spec->root_size && image->status.has_disk && spec->root_size < image->status.size)
		return err_set(err, -EINVAL, "spec.root_size: %s is smaller than the image (%s): use at least that",
			       units_format_size(spec->root_size, wanted), units_format_size(image->status.size, least));
	return 0;
}

static int check_publish(const struct instance_spec *spec, struct err *err)
{
	if (spec->publish.count && !spec->nics.count)
		return err_set(err, -EINVAL, "spec.publish: ports lead to the first nic, and there is none: add a nic");
	return 0;
}

/* Only where the kernel can keep it. */
static int check_latency(struct core *core, const struct instance_spec *spec, struct err *err)
{
	const struct machine_capabilities *found = &core->capabilities[spec->kind];

	if (spec->latency_class == LATENCY_NORMAL)
		return 0;
	if (!core->knows[spec->kind])
		return err_set(err, -EAGAIN, "spec.latency_class: what this host can do is not known yet: try again in a moment");
	if (!found->has_latency)
		return err_set(err, -EOPNOTSUPP, "spec.latency_class: %s: use 'normal'",
			       found->latency_reason[0] ? found->latency_reason : "only containers have it");
	return 0;
}

int instance_check(struct core *core, const struct instance *instance, struct err *err)
{
	int r = instance_spec_check(&instance->spec, err);

	if (r == 0)
		r = check_image(core, instance, err);
	if (r == 0)
		r = check_latency(core, &instance->spec, err);
	if (r == 0)
		r = check_publish(&instance->spec, err);
	return r;
}

/* ---- Create ---- */

/* What was not said, where the default depends on the kind. */
static void add_defaults(struct instance_spec *spec)
{
	struct instance_health *health = &spec->container.health;

	if (spec->kind == INSTANCE_VM) {
		spec->cpus = spec->cpus ? spec->cpus : DEFAULT_CPUS;
		spec->memory = spec->memory ? spec->memory : DEFAULT_MEMORY;
		return;
	}
	spec->container.pids = spec->container.pids ? spec->container.pids : DEFAULT_PIDS;
	spec->container.cpu_weight = spec->container.cpu_weight ? spec->container.cpu_weight : DEFAULT_CPU_WEIGHT;
	if (!health->command.count)
		return;
	health->interval = health->interval ? health->interval : DEFAULT_HEALTH_MS;
	health->timeout = health->timeout ? health->timeout : DEFAULT_HEALTH_MS;
	health->retries = health->retries ? health->retries : DEFAULT_HEALTH_RETRIES;
}

/* One nic in the network 'default', unless nics were given (an empty list means none). */
static void add_default_nic(const struct json *body, struct instance *instance)
{
	struct instance_nic *nic;

	if (json_type(json_path(body, "spec.nics")) != JSON_ABSENT)
		return;
	nic = field_list_push(&instance->spec.nics, sizeof(*nic));
	nic->network = text_copy("default");
}

static int decode_new(struct core *core, const struct json *body, struct change *change, struct err *err)
{
	struct instance *instance = change->next;
	int r = kind_decode(kind, body, FIELD_CREATE, instance, err);

	if (r < 0)
		return r;
	add_default_nic(body, instance);
	add_defaults(&instance->spec);
	r = check_name_free(core, kind, NULL, instance->meta.name, err);
	if (r == 0)
		r = instance_check(core, instance, err);
	if (r == 0)
		r = instance_fill(core, instance, err);
	if (r == 0)
		instance->spec.start_serial = is_on(&instance->spec) ? 1 : 0;
	return r;
}

/* What it is made from must still be there when it is made. */
static void guard_origin(struct change *change)
{
	const struct instance_spec *spec = &((struct instance *)change->next)->spec;

	if (spec->image_uid) {
		auto_free char *key = text_format("desired/image/%s", spec->image_uid);

		store_txn_guard(change->txn, STORE_EXISTS, key, 0);
	}
	for (size_t i = 0; i < spec->nics.count; i++) {
		auto_free char *key = text_format("desired/network/%s", field_list_at(&spec->nics, struct instance_nic, i)->network_uid);

		store_txn_guard(change->txn, STORE_EXISTS, key, 0);
	}
}

/* A single node that is full takes no new ones: see nodes.c. */
static bool is_full(struct core *core)
{
	size_t nodes = objects_all(core->objects, KIND_NODE)->count;

	return objects_all(core->objects, KIND_INSTANCE)->count >= (nodes ? nodes : 1) * LIMIT_INSTANCES_PER_NODE;
}

void instance_create(struct core *core, struct call *call)
{
	const char *upload = json_string(json_path(call->body, "spec.source.upload"), NULL);
	struct change *change;
	struct err err = { 0 };

	if (upload && json_type(json_path(call->body, "spec.cpus")) == JSON_ABSENT) {
		instance_import(core, call, upload);	/* Comes back here with what the archive says. */
		return;
	}
	if (is_full(core)) {
		err_set(&err, -ENOSPC, "every node has %d instances, as many as it may: remove some, or add a node", LIMIT_INSTANCES_PER_NODE);
		answer_err(call, &err);
		return;
	}
	change = change_new(core, call, kind, NULL);
	if (decode_new(core, call->body, change, &err) < 0) {
		change_refuse(change, &err);
		return;
	}
	guard_origin(change);
	change->is_leaders = !upload;		/* What was uploaded is here, whoever leads. */
	change_commit(change);
}

/* ---- Change ---- */

/* Turning the power on counts as a start when nothing runs: also after an end of its own, or to cut a back-off short. */
static void count_start(const struct instance *old, struct instance *next, bool is_asked)
{
	bool was_on = is_on(&old->spec), has_ended = old->status.ended_serial >= old->spec.start_serial;
	bool is_waiting = old->status.next_start_at > 0 && !has_machine(old);

	if (is_asked && is_on(&next->spec) && (!was_on || has_ended || is_waiting))
		next->spec.start_serial++;
}

static int check_shrink(const struct instance *old, const struct instance *next, struct err *err)
{
	char before[UNITS_TEXT_SIZE], after[UNITS_TEXT_SIZE];

	if (next->spec.root_size != old->spec.root_size && next->spec.root_size < old->spec.root_size)
		return err_set(err, -EINVAL, "spec.root_size: %s is smaller than it is (%s): a disk can only grow",
			       units_format_size(next->spec.root_size, after), units_format_size(old->spec.root_size, before));
	return 0;
}

/* The watchdog has to know before it starts. */
static int check_ha_change(const struct instance *old, const struct instance *next, struct err *err)
{
	if (next->spec.ha == old->spec.ha || next->spec.ha == HA_NONE || !has_machine(old))
		return 0;
	return err_set(err, -EBUSY, "spec.ha: instance '%s' is %s: stop it first with 'strata stop %s'", old->meta.name,
		       instance_state_names[old->status.state], old->meta.name);
}

void instance_update(struct core *core, struct call *call)
{
	struct instance *instance, *next;
	struct change *change;
	struct err err = { 0 };
	int r;

	if (find_instance(core, call->name, &instance, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	change = change_new(core, call, kind, instance);
	next = change->next;
	r = kind_decode(kind, call->body, FIELD_PATCH, next, &err);
	add_defaults(&next->spec);
	if (r == 0)
		r = instance_fill_volumes(core, next, &err);
	if (r == 0)
		r = instance_fill_mounts(core, next, &err);
	if (r == 0)
		r = check_latency(core, &next->spec, &err);
	if (r == 0)
		r = check_shrink(instance, next, &err);
	if (r == 0)
		r = check_ha_change(instance, next, &err);
	if (r == 0)
		r = instance_spec_check(&next->spec, &err);
	if (r == 0)
		r = check_publish(&next->spec, &err);
	if (r == 0)
		r = instance_place(core, next, &err);
	if (r < 0) {
		change_refuse(change, &err);
		return;
	}
	count_start(instance, next, json_type(json_path(call->body, "spec.power")) != JSON_ABSENT);
	change->is_leaders = true;
	change->event = "changed";
	change_commit(change);
}

void instance_delete(struct core *core, struct call *call)
{
	struct change *change;
	struct instance *next;
	struct err err = { 0 };
	void *found;

	if (find_object(core, KIND_INSTANCE, call->name, &found, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	if (has_machine(found) && !json_bool(json_get(call->body, "force"), false)) {
		err_set(&err, -EBUSY, "instance '%s' is %s: stop it first, or use 'strata rm --force %s'", call->name,
			instance_state_names[((struct instance *)found)->status.state], call->name);
		answer_err(call, &err);
		return;
	}
	change = change_new(core, call, kind, found);
	next = change->next;
	if (!next->meta.deleted_at)
		next->meta.deleted_at = loop_wall_ms(core->params.loop);
	change->event = "deleting";
	change->http_status = 202;
	change_commit(change);
}

/* ---- The verbs: each changes what is wanted ---- */

static struct change *begin(struct core *core, struct call *call, struct instance **ret_next)
{
	struct instance *instance;
	struct change *change;
	struct err err = { 0 };

	if (find_instance(core, call->name, &instance, &err) < 0) {
		answer_err(call, &err);
		return NULL;
	}
	change = change_new(core, call, kind, instance);
	*ret_next = change->next;
	return change;
}

static void commit_if_changed(struct change *change, const char *event)
{
	if (field_equal(kind->spec, kind_spec(kind, change->old), kind_spec(kind, change->next))) {
		answer_object(change->core, change->call, 200, kind, change->next);
		change_free(change);
		return;
	}
	change->event = event;
	change_commit(change);
}

void instance_start(struct core *core, struct call *call)
{
	struct instance *next;
	struct change *change = begin(core, call, &next);
	struct err err = { 0 };

	if (!change)
		return;
	next->spec.power = POWER_RUNNING;
	count_start(change->old, next, true);
	if (instance_place(core, next, &err) < 0) {
		change_refuse(change, &err);
		return;
	}
	change->is_leaders = true;
	commit_if_changed(change, "start");
}

/* {"force": bool, "timeout": "30s"} */
static int read_stop(struct call *call, struct instance *next, bool *ret_is_forced, struct err *err)
{
	const struct json *timeout = json_get(call->body, "timeout");

	*ret_is_forced = json_bool(json_get(call->body, "force"), false);
	if (json_type(timeout) == JSON_ABSENT)
		return 0;
	if (json_type(timeout) == JSON_INT && json_int(timeout, -1) >= 0) {
		next->spec.stop_timeout = json_int(timeout, 0);
		return 0;
	}
	if (units_parse_duration(json_string(timeout, ""), &next->spec.stop_timeout, err) < 0)
		return err_prefix(err, "timeout");
	return 0;
}

void instance_stop(struct core *core, struct call *call)
{
	struct instance *next;
	struct change *change = begin(core, call, &next);
	struct err err = { 0 };
	bool is_forced;

	if (!change)
		return;
	if (read_stop(call, next, &is_forced, &err) < 0) {
		change_refuse(change, &err);
		return;
	}
	next->spec.power = is_forced ? POWER_OFF : POWER_STOPPED;
	commit_if_changed(change, "stop");
}

void instance_restart(struct core *core, struct call *call)
{
	struct instance *next;
	struct change *change = begin(core, call, &next);
	struct err err = { 0 };
	bool is_forced;

	if (!change)
		return;
	if (read_stop(call, next, &is_forced, &err) < 0) {
		change_refuse(change, &err);
		return;
	}
	next->spec.power = POWER_RUNNING;
	next->spec.start_serial++;
	if (is_forced)
		next->spec.force_serial = next->spec.start_serial;
	if (instance_place(core, next, &err) < 0) {
		change_refuse(change, &err);
		return;
	}
	change->is_leaders = true;
	commit_if_changed(change, "restart");
}

static void set_power(struct core *core, struct call *call, enum instance_power from, enum instance_power to, const char *event)
{
	struct instance *next;
	struct change *change = begin(core, call, &next);
	struct err err = { 0 };

	if (!change)
		return;
	if (next->spec.power != (int)from && next->spec.power != (int)to) {
		err_set(&err, -EINVAL, "instance '%s' is %s: start it first", call->name, instance_state_names[next->status.state]);
		change_refuse(change, &err);
		return;
	}
	next->spec.power = (int)to;
	commit_if_changed(change, event);
}

void instance_pause(struct core *core, struct call *call)
{
	set_power(core, call, POWER_RUNNING, POWER_PAUSED, "pause");
}

void instance_resume(struct core *core, struct call *call)
{
	set_power(core, call, POWER_PAUSED, POWER_RUNNING, "resume");
}

/* ---- Clone and restore ---- */

/* Takes the mounts of volumes out of the list: those stay with the original. */
static struct field_list volume_mounts(struct field_list *mounts)
{
	struct field_list taken = { 0 }, left = { 0 };

	for (size_t i = 0; i < mounts->count; i++) {
		struct instance_mount *mount = field_list_at(mounts, struct instance_mount, i);

		*(struct instance_mount *)field_list_push(mount->kind == MOUNT_VOLUME ? &taken : &left, sizeof(*mount)) = *mount;
	}
	free(mounts->items);
	*mounts = left;
	return taken;
}

static void clear_lists(struct instance_spec *spec)
{
	struct instance_spec rest = { .nics = spec->nics, .publish = spec->publish, .volumes = spec->volumes,
				      .container.mounts = volume_mounts(&spec->container.mounts) };

	spec->nics = spec->publish = spec->volumes = (struct field_list){ 0 };
	field_done(kind->spec, &rest);
}

/* The same networks, with addresses of their own. */
static void copy_nics(const struct instance *from, struct instance *to)
{
	for (size_t i = 0; i < from->spec.nics.count; i++) {
		struct instance_nic *nic = field_list_push(&to->spec.nics, sizeof(*nic));

		nic->network = text_copy(field_list_at(&from->spec.nics, struct instance_nic, i)->network);
	}
}

static int fill_clone(struct core *core, struct call *call, struct change *change, struct err *err)
{
	const char *name = json_string(json_get(call->body, "name"), NULL);
	const char *snapshot_name = json_string(json_get(call->body, "snapshot"), NULL);
	struct instance *from, *next = change->next;
	struct snapshot *snapshot = NULL;
	int r = find_instance(core, call->name, &from, err);

	if (r == 0 && !name)
		r = err_set(err, -EINVAL, "name: is missing: give the clone a name");
	if (r == 0)
		r = name_check(name, err) < 0 ? err_prefix(err, "name") : 0;
	if (r == 0)
		r = check_name_free(core, kind, NULL, name, err);
	if (r == 0 && snapshot_name)
		r = find_snapshot(core, call->name, snapshot_name, &from, &snapshot, err);
	if (r < 0)
		return r;
	text_replace(&next->meta.name, name);
	field_done(kind->spec, &next->spec);
	field_copy(kind->spec, &from->spec, &next->spec);
	clear_lists(&next->spec);
	copy_nics(from, next);
	text_replace(&next->spec.source.instance, from->meta.uid);
	text_replace(&next->spec.source.snapshot, snapshot ? snapshot->meta.uid : NULL);
	text_replace(&next->spec.source.upload, NULL);
	text_replace(&next->spec.restore.snapshot, NULL);
	next->spec.move = (struct instance_move){ 0 };
	next->spec.restore.serial = next->spec.start_serial = next->spec.force_serial = 0;
	next->spec.power = POWER_STOPPED;
	return instance_fill(core, next, err);
}

void instance_clone(struct core *core, struct call *call)
{
	struct change *change = change_new(core, call, kind, NULL);
	struct err err = { 0 };

	if (fill_clone(core, call, change, &err) < 0) {
		change_refuse(change, &err);
		return;
	}
	change->is_leaders = true;
	guard_origin(change);
	change_commit(change);
}

static int check_restore(const struct instance *instance, const struct snapshot *snapshot, struct err *err)
{
	char memory[UNITS_TEXT_SIZE];

	if (snapshot->meta.deleted_at || snapshot->status.state != SNAPSHOT_READY)
		return err_set(err, -EBUSY, "snapshot '%s' is not ready: %s", snapshot->meta.name,
			       snapshot->status.reason ? snapshot->status.reason : "wait until it is");
	if (snapshot->status.has_memory &&
	    (snapshot->status.cpus != instance->spec.cpus || snapshot->status.memory != instance->spec.memory))
		return err_set(err, -EINVAL, "snapshot '%s' holds the memory of a machine with cpus=%" PRId64 " memory=%s: "
			       "set these first with 'strata set %s ...'", snapshot->meta.name, snapshot->status.cpus,
			       units_format_size(snapshot->status.memory, memory), instance->meta.name);
	return 0;
}

void instance_restore(struct core *core, struct call *call)
{
	struct instance *instance, *next;
	struct snapshot *snapshot;
	struct change *change;
	struct err err = { 0 };

	if (find_instance(core, call->name, &instance, &err) < 0 ||
	    find_snapshot(core, call->name, call->child, &instance, &snapshot, &err) < 0 ||
	    check_restore(instance, snapshot, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	change = change_new(core, call, kind, instance);
	next = change->next;
	text_replace(&next->spec.restore.snapshot, snapshot->meta.uid);
	next->spec.restore.serial++;
	change->event = "restore";
	change_commit(change);
}

/* ---- Volumes ---- */

void instance_attach(struct core *core, struct call *call)
{
	const char *name = json_string(json_get(call->body, "volume"), NULL);
	struct instance_volume *volume;
	struct instance *next;
	struct change *change = begin(core, call, &next);
	struct err err = { 0 };

	if (!change)
		return;
	for (size_t i = 0; name && i < next->spec.volumes.count; i++)
		if (text_equal(field_list_at(&next->spec.volumes, struct instance_volume, i)->volume, name)) {
			answer_object(core, call, 200, kind, next);
			change_free(change);
			return;
		}
	volume = field_list_push(&next->spec.volumes, sizeof(*volume));
	volume->volume = text_copy(name ? name : "");
	volume->read_only = json_bool(json_get(call->body, "read_only"), false);
	if (next->spec.volumes.count > LIMIT_DISKS_PER_INSTANCE) {
		err_set(&err, -ENOSPC, "instance '%s' has %d volumes, as many as it may", call->name, LIMIT_DISKS_PER_INSTANCE);
		change_refuse(change, &err);
	} else if (instance_fill_volumes(core, next, &err) < 0) {
		change_refuse(change, &err);
	} else {
		change->event = "attach";
		change_commit(change);
	}
}

static bool remove_volume(struct field_list *volumes, const char *name)
{
	struct instance_volume *items = volumes->items;

	for (size_t i = 0; i < volumes->count; i++) {
		if (!text_equal(items[i].volume, name))
			continue;
		free(items[i].volume);
		free(items[i].volume_uid);
		memmove(&items[i], &items[i + 1], (volumes->count - i - 1) * sizeof(items[0]));
		volumes->count--;
		return true;
	}
	return false;
}

void instance_detach(struct core *core, struct call *call)
{
	const char *name = json_string(json_get(call->body, "volume"), "");
	struct instance *next;
	struct change *change = begin(core, call, &next);
	struct err err = { 0 };

	if (!change)
		return;
	if (!remove_volume(&next->spec.volumes, name)) {
		err_set(&err, -ENOENT, "volume '%s' is not attached to instance '%s': see 'strata show %s'", shown(name), call->name, call->name);
		change_refuse(change, &err);
		return;
	}
	change->event = "detach";
	change_commit(change);
}

/* ---- Placement ---- */

void instance_placement(struct core *core, struct call *call)
{
	struct instance *instance;
	struct str json = { 0 };
	struct json_writer writer = { .out = &json };
	struct err err = { 0 };

	if (find_instance(core, call->name, &instance, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	load_look(core);
	placement_explain(core->placement, instance, &writer);
	answer_json(call, 200, &json);
}
