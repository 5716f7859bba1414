/* volumes.c - what requests about volumes and about snapshots mean. */
#include <errno.h>
#include <string.h>

#include "4-service/service.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

static const struct kind *const kind = &kinds[KIND_VOLUME];

/* ---- Who may have it ---- */

bool instance_uses_volume(const struct instance *instance, const char *uid, bool *ret_is_read_only)
{
	const struct field_list *volumes = &instance->spec.volumes, *mounts = &instance->spec.container.mounts;
	bool is_used = false, is_read_only = true;

	for (size_t i = 0; i < volumes->count; i++) {
		const struct instance_volume *volume = field_list_at(volumes, struct instance_volume, i);

		if (text_equal(volume->volume_uid, uid)) {
			is_used = true;
			is_read_only &= volume->read_only;
		}
	}
	for (size_t i = 0; i < mounts->count; i++) {
		const struct instance_mount *mount = field_list_at(mounts, struct instance_mount, i);

		if (text_equal(mount->volume_uid, uid)) {
			is_used = true;
			is_read_only &= mount->read_only;
		}
	}
	if (ret_is_read_only)
		*ret_is_read_only = is_read_only;
	return is_used;
}

/* A reader whose transaction is under way. */
static bool has_reserved_reader(struct core *core, const char *uid)
{
	auto_free char *prefix = text_format("claim/attachment/%s/", uid);

	for (size_t i = 0; i < core->reserved.count; i++)
		if (text_starts_with(core->reserved.entries[i].key, prefix))
			return true;
	return false;
}

int volume_check_use(struct core *core, const struct volume *volume, const char *self, bool is_read_only, struct err *err)
{
	const struct map *users = objects_users(core->objects, volume->meta.uid);
	auto_free char *writer = text_format("claim/attachment/%s", volume->meta.uid);

	for (size_t i = 0; i < users->count; i++) {
		const struct instance *instance = users->entries[i].value;
		bool reads;

		if (text_equal(instance->meta.uid, self) || !instance_uses_volume(instance, volume->meta.uid, &reads) || (reads && is_read_only))
			continue;
		return err_set(err, -EBUSY, "volume '%s' is used by instance '%s'%s: a volume has one writer or only readers, so %s",
			       volume->meta.name, instance->meta.name, reads ? " for reading" : "",
			       reads ? "take it read-only too" : "detach it there first");
	}
	if (is_read_only && map_get(&core->reserved, writer))
		return err_set(err, -EBUSY, "volume '%s' is just being given to a writer: a volume has one writer or only readers",
			       volume->meta.name);
	if (!is_read_only && has_reserved_reader(core, volume->meta.uid))
		return err_set(err, -EBUSY, "volume '%s' is just being given to a reader: take it read-only too", volume->meta.name);
	return 0;
}

static int find_usable(struct core *core, const char *name, int content, struct volume **ret_volume, struct err *err)
{
	struct volume *volume;
	void *found;
	int r = find_object(core, KIND_VOLUME, name, &found, err);

	if (r < 0)
		return r;
	volume = found;
	if (volume->meta.deleted_at || volume->status.state == VOLUME_FAILED)
		return err_set(err, -EBUSY, "volume '%s' cannot be used: %s", name,
			       volume->status.reason ? volume->status.reason : "it is being deleted");
	if (volume->spec.content != content)
		return err_set(err, -EINVAL, "volume '%s' is a %s: use one made %s", name,
			       content == VOLUME_CONTENT_BLOCK ? "file system, for containers" : "disk, for virtual machines",
			       content == VOLUME_CONTENT_BLOCK ? "without --filesystem" : "with --filesystem");
	*ret_volume = volume;
	return 0;
}

static const char *node_name(struct core *core, const char *uid)
{
	const struct node *node = objects_get(core->objects, KIND_NODE, uid);

	return node ? node->meta.name : uid;
}

/* An instance that has a place already: can it have the volume there? A new one is placed where its volumes are. */
static int check_place(struct core *core, const struct instance *instance, const struct volume *volume, struct err *err)
{
	const struct pool *pool = objects_get(core->objects, KIND_POOL, volume->spec.pool_uid);
	const char *at = instance->status.node, *has = volume->spec.node;

	if (!at || !has || text_equal(at, has) || (pool && pool->spec.shared))
		return 0;
	return err_set(err, -EBUSY, "volume '%s' is on node '%s', but instance '%s' on node '%s': move the instance there first "
		       "('strata move %s %s'), or use a volume in a shared pool", volume->meta.name, node_name(core, has), instance->meta.name,
		       node_name(core, at), instance->meta.name, node_name(core, has));
}

int instance_fill_volumes(struct core *core, struct instance *instance, struct err *err)
{
	for (size_t i = 0; i < instance->spec.volumes.count; i++) {
		struct instance_volume *item = field_list_at(&instance->spec.volumes, struct instance_volume, i);
		struct volume *volume;
		int r = find_usable(core, item->volume, VOLUME_CONTENT_BLOCK, &volume, err);

		if (r == 0)
			r = volume_check_use(core, volume, instance->meta.uid, item->read_only, err);
		if (r == 0)
			r = check_place(core, instance, volume, err);
		if (r < 0)
			return err_prefix(err, "spec.volumes.volume");
		text_replace(&item->volume_uid, volume->meta.uid);
	}
	return 0;
}

static int check_targets_differ(const struct field_list *mounts, size_t i, struct err *err)
{
	const struct instance_mount *mount = field_list_at(mounts, struct instance_mount, i);

	for (size_t k = 0; k < i; k++)
		if (text_equal(field_list_at(mounts, struct instance_mount, k)->target, mount->target))
			return err_set(err, -EINVAL, "spec.container.mounts.target: '%s' is there twice: give each mount a path of its own",
				       mount->target);
	return 0;
}

int instance_fill_mounts(struct core *core, struct instance *instance, struct err *err)
{
	const struct field_list *mounts = &instance->spec.container.mounts;

	for (size_t i = 0; i < mounts->count; i++) {
		struct instance_mount *mount = field_list_at(mounts, struct instance_mount, i);
		struct volume *volume;
		int r = check_targets_differ(mounts, i, err);

		if (r < 0)
			return r;
		if (mount->kind != MOUNT_VOLUME)
			continue;
		r = find_usable(core, mount->source, VOLUME_CONTENT_FILESYSTEM, &volume, err);
		if (r == 0)
			r = volume_check_use(core, volume, instance->meta.uid, mount->read_only, err);
		if (r == 0)
			r = check_place(core, instance, volume, err);
		if (r < 0)
			return err_prefix(err, "spec.container.mounts.source");
		text_replace(&mount->volume_uid, volume->meta.uid);
	}
	return 0;
}

/* ---- Create, change, delete ---- */

static int fill_volume(struct core *core, struct volume *next, struct err *err)
{
	const struct volume_spec *spec = &next->spec;
	int r = pool_find(core, spec->pool, &next->spec.pool_uid, err);

	if (r < 0)
		return err_prefix(err, "spec.pool");
	r = node_fill_by_pool(core, spec->pool_uid, &next->spec.node, err);
	if (r == 0 && spec->source.upload)
		r = node_fill_uploaded(core, &next->spec.node, err);
	if (r < 0)
		return r;
	if (spec->content == VOLUME_CONTENT_BLOCK && !spec->size && !spec->source.upload && !spec->source.volume)
		return err_set(err, -EINVAL, "spec.size: is missing: say how large the disk is (\"10GiB\")");
	return 0;
}

void volume_create(struct core *core, struct call *call)
{
	struct change *change = resource_decode_new(core, call, kind);
	struct err err = { 0 };
	struct volume *next;

	if (!change)
		return;
	next = change->next;
	if (next->spec.source.volume || next->spec.source.snapshot)
		err_set(&err, -EINVAL, "spec.source: is set by 'strata volume clone': leave it out");
	if (err.code < 0 || fill_volume(core, next, &err) < 0)
		change_refuse(change, &err);
	else
		change_commit(change);
}

void volume_update(struct core *core, struct call *call)
{
	struct change *change = resource_decode_patch(core, call, kind);
	char before[UNITS_TEXT_SIZE], after[UNITS_TEXT_SIZE];
	struct err err = { 0 };
	struct volume *old, *next;

	if (!change)
		return;
	old = change->old;
	next = change->next;
	if (next->spec.size < old->spec.size) {
		err_set(&err, -EINVAL, "spec.size: %s is smaller than it is (%s): a volume can only grow",
			units_format_size(next->spec.size, after), units_format_size(old->spec.size, before));
		change_refuse(change, &err);
		return;
	}
	change_commit(change);
}

static bool uses_volume(const struct instance *instance, const char *uid)
{
	return instance_uses_volume(instance, uid, NULL);
}

void volume_delete(struct core *core, struct call *call)
{
	resource_delete_unused(core, call, kind, uses_volume);
}

/* The volume that is not going away. */
static int find_volume(struct core *core, const char *name, struct volume **ret_volume, struct err *err)
{
	void *found;
	int r = find_object(core, KIND_VOLUME, name, &found, err);

	if (r < 0)
		return r;
	*ret_volume = found;
	if ((*ret_volume)->meta.deleted_at)
		return err_set(err, -EBUSY, "volume '%s' is being deleted", name);
	return 0;
}

/* Does an instance that runs have it? */
static int check_still(struct core *core, const struct volume *volume, struct err *err)
{
	const struct map *all = objects_all(core->objects, KIND_INSTANCE);

	for (size_t i = 0; i < all->count; i++) {
		const struct instance *instance = all->entries[i].value;

		if (instance_uses_volume(instance, volume->meta.uid, NULL) && instance->status.pid)
			return err_set(err, -EBUSY, "volume '%s' is used by instance '%s', which runs: stop it first", volume->meta.name,
				       instance->meta.name);
	}
	return 0;
}

static int fill_clone(struct core *core, struct call *call, struct volume *next, struct change *change, struct err *err)
{
	const char *name = json_string(json_get(call->body, "name"), NULL), *from = json_string(json_get(call->body, "snapshot"), NULL);
	struct snapshot *snapshot = NULL;
	struct volume *volume;
	int r = from ? find_volume_snapshot(core, call->name, from, &volume, &snapshot, err) : find_volume(core, call->name, &volume, err);

	if (r == 0 && !from)
		r = check_still(core, volume, err);
	if (r < 0)
		return r;
	if (!name)
		return err_set(err, -EINVAL, "name: is missing: give the new volume's name");
	if (name_check(name, err) < 0)
		return err_prefix(err, "name");
	r = check_name_free(core, kind, NULL, name, err);
	if (r < 0)
		return r;
	text_replace(&next->meta.name, name);
	next->spec.content = volume->spec.content;
	next->spec.size = volume->spec.size;
	text_replace(&next->spec.node, volume->spec.node);
	text_replace(&next->spec.pool, volume->spec.pool);
	text_replace(&next->spec.pool_uid, volume->spec.pool_uid);
	text_replace(&next->spec.source.volume, volume->meta.uid);
	text_replace(&next->spec.source.snapshot, snapshot ? snapshot->meta.uid : NULL);
	auto_free char *key = text_format("desired/volume/%s", volume->meta.uid);
	store_txn_guard(change->txn, STORE_EXISTS, key, 0);
	return 0;
}

void volume_clone(struct core *core, struct call *call)
{
	struct change *change = change_new(core, call, kind, NULL);
	struct err err = { 0 };

	if (fill_clone(core, call, change->next, change, &err) < 0)
		change_refuse(change, &err);
	else
		change_commit(change);
}

/* ---- Back to a snapshot, on to a backup ---- */

static void restore(struct core *core, struct call *call, const struct volume *volume, const char *snapshot, const char *upload)
{
	struct change *change;
	struct volume *next;
	struct err err = { 0 };

	if (volume->status.state != VOLUME_READY)
		err_set(&err, -EAGAIN, "volume '%s' is not ready: see 'strata volume show %s'", volume->meta.name, volume->meta.name);
	if (err.code < 0 || check_still(core, volume, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	change = change_new(core, call, kind, volume);
	next = change->next;
	next->spec.restore.serial++;
	text_replace(&next->spec.restore.snapshot, snapshot);
	text_replace(&next->spec.restore.upload, upload);
	change->event = "restore";
	change->http_status = 202;
	change_commit(change);
}

void volume_snapshot_restore(struct core *core, struct call *call)
{
	struct volume *volume;
	struct snapshot *snapshot;
	struct err err = { 0 };

	if (find_volume_snapshot(core, call->name, call->child, &volume, &snapshot, &err) < 0)
		answer_err(call, &err);
	else if (snapshot->status.state != SNAPSHOT_READY) {
		err_set(&err, -EAGAIN, "snapshot '%s' is not ready", call->child);
		answer_err(call, &err);
	} else
		restore(core, call, volume, snapshot->meta.uid, NULL);
}

static void receive(struct core *core, struct call *call, const struct volume *volume, const char *upload)
{
	auto_free char *node = text_copy(volume->spec.node);
	struct err err = { 0 };

	if (node_fill_uploaded(core, &node, &err) < 0)
		answer_err(call, &err);
	else
		restore(core, call, volume, NULL, upload);
}

void volume_receive(struct core *core, struct call *call)
{
	const char *upload = json_string(json_get(call->body, "upload"), NULL);
	struct volume *volume = NULL;
	struct err err = { 0 };

	if (!upload || strspn(upload, "0123456789abcdefghijklmnopqrstuvwxyz-") != strlen(upload))
		err_set(&err, -EINVAL, "upload: is missing or not the id of an upload: send the backup to /v1/uploads first");
	else
		find_volume(core, call->name, &volume, &err);
	if (err.code < 0)
		answer_err(call, &err);
	else
		receive(core, call, volume, upload);
}

/* ---- Snapshots of instances and of volumes ---- */

/* What the snapshot is of, by the call. */
static int find_parent(struct core *core, const struct call *call, const struct meta **ret_parent, const char **ret_kind, struct err *err)
{
	bool is_of_volume = call->op == CALL_VOLUME_SNAPSHOT || call->op == CALL_VOLUME_UNSNAPSHOT;
	enum kind_id of = is_of_volume ? KIND_VOLUME : KIND_INSTANCE;
	void *found;
	int r = find_object(core, of, call->name, &found, err);

	if (r < 0)
		return r;
	*ret_parent = kind_meta(found);
	*ret_kind = kinds[of].name;
	return 0;
}

void snapshot_create(struct core *core, struct call *call)
{
	const struct kind *snapshots = &kinds[KIND_SNAPSHOT];
	const struct map *all = objects_all(core->objects, KIND_SNAPSHOT);
	struct change *change = change_new(core, call, snapshots, NULL);
	struct meta *meta = kind_meta(change->next);
	const struct meta *parent;
	const char *of;
	struct err err = { 0 };
	size_t count = 0;

	if (find_parent(core, call, &parent, &of, &err) < 0 ||
	    kind_decode(snapshots, call->body, FIELD_CREATE, change->next, &err) < 0) {
		change_refuse(change, &err);
		return;
	}
	for (size_t i = 0; i < all->count; i++)
		count += text_equal(kind_meta(all->entries[i].value)->parent, parent->uid);
	if (parent->deleted_at)
		err_set(&err, -EBUSY, "%s '%s' is being deleted", of, call->name);
	else if (count >= LIMIT_SNAPSHOTS_PER_INSTANCE)
		err_set(&err, -ENOSPC, "%s '%s' has %zu snapshots, as many as it may: remove some", of, call->name, count);
	else
		check_name_free(core, snapshots, parent->uid, meta->name, &err);
	if (err.code < 0) {
		change_refuse(change, &err);
		return;
	}
	meta->parent = text_copy(parent->uid);
	auto_free char *key = text_format("desired/%s/%s", of, parent->uid);
	store_txn_guard(change->txn, STORE_EXISTS, key, 0);
	change_commit(change);
}

static bool is_being_restored(const struct instance *instance, const struct volume *volume, const char *uid)
{
	if (instance)
		return instance->spec.restore.serial > instance->status.restore_serial && text_equal(instance->spec.restore.snapshot, uid);
	return volume->spec.restore.serial > volume->status.restore_serial && text_equal(volume->spec.restore.snapshot, uid);
}

/* A volume that is just being copied from it. */
static bool is_being_cloned(struct core *core, const char *uid)
{
	const struct map *all = objects_all(core->objects, KIND_VOLUME);

	for (size_t i = 0; i < all->count; i++) {
		const struct volume *volume = all->entries[i].value;

		if (text_equal(volume->spec.source.snapshot, uid) && volume->status.state == VOLUME_PENDING && !volume->meta.deleted_at)
			return true;
	}
	return false;
}

void snapshot_delete(struct core *core, struct call *call)
{
	struct instance *instance = NULL;
	struct volume *volume = NULL;
	struct snapshot *snapshot;
	struct err err = { 0 };
	int r = call->op == CALL_VOLUME_UNSNAPSHOT ? find_volume_snapshot(core, call->name, call->child, &volume, &snapshot, &err) :
		find_snapshot(core, call->name, call->child, &instance, &snapshot, &err);

	if (r == 0 && is_being_restored(instance, volume, snapshot->meta.uid))
		r = err_set(&err, -EBUSY, "snapshot '%s' is being restored: wait until it is", call->child);
	if (r == 0 && is_being_cloned(core, snapshot->meta.uid))
		r = err_set(&err, -EBUSY, "snapshot '%s' is being cloned: wait until it is", call->child);
	if (r < 0)
		answer_err(call, &err);
	else
		resource_delete(core, call, &kinds[KIND_SNAPSHOT], snapshot);
}
