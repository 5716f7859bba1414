/*
 * move.c - instances go to other nodes because people say so, or because their node is drained.
 *
 * Here only the place changes that is wanted; the two agents do the rest (2-virtualization/agent/move.h).
 */
#include <errno.h>

#include "4-service/cluster/peers.h"
#include "base/mem.h"
#include "base/str.h"

enum { DRAIN_AT_ONCE = 2 };

static const struct kind *const kind = &kinds[KIND_INSTANCE];

static bool is_on_its_way(const struct instance *instance)
{
	return instance->status.node && !text_equal(instance->status.node, instance->spec.node);
}

static bool runs(const struct instance *instance)
{
	int state = instance->status.state;

	return state == INSTANCE_RUNNING || state == INSTANCE_PAUSED;
}

static const char *name_of(struct core *core, const char *uid)
{
	const struct node *node = objects_get(core->objects, KIND_NODE, uid);

	return node ? node->meta.name : uid;
}

/* Who else has a volume of it that would have to go along? */
static int check_volumes(struct core *core, const struct instance *instance, struct err *err)
{
	const struct map *volumes = objects_all(core->objects, KIND_VOLUME), *instances = objects_all(core->objects, KIND_INSTANCE);

	for (size_t v = 0; v < volumes->count; v++) {
		const struct volume *volume = volumes->entries[v].value;
		const struct pool *pool = objects_get(core->objects, KIND_POOL, volume->spec.pool_uid);

		if (!instance_uses_volume(instance, volume->meta.uid, NULL) || (pool && pool->spec.shared))
			continue;
		if (pool && pool->spec.node)
			return err_set(err, -EBUSY, "its volume '%s' is in pool '%s', which only node '%s' has: detach it first", volume->meta.name,
				       pool->meta.name, name_of(core, pool->spec.node));
		for (size_t i = 0; i < instances->count; i++)
			if (!text_equal(instances->entries[i].key, instance->meta.uid) &&
			    instance_uses_volume(instances->entries[i].value, volume->meta.uid, NULL))
				return err_set(err, -EBUSY, "instance '%s' has its volume '%s' too: detach it from one of them first",
					       kind_meta(instances->entries[i].value)->name, volume->meta.name);
	}
	return 0;
}

static int check(struct core *core, const struct instance *instance, bool is_cold, struct err *err)
{
	const struct pool *pool = objects_get(core->objects, KIND_POOL, instance->spec.pool_uid);
	int state = instance->status.state;

	if (is_on_its_way(instance))
		return err_set(err, -EBUSY, "instance '%s' is on its way to node '%s': wait, or take that back with 'strata move %s --cancel'",
			       instance->meta.name, name_of(core, instance->spec.node), instance->meta.name);
	if (!instance->status.node || !instance->status.disk_ready)
		return err_set(err, -EAGAIN, "instance '%s' is %s: wait for it", instance->meta.name, instance_state_names[state]);
	if (state != INSTANCE_RUNNING && state != INSTANCE_STOPPED && state != INSTANCE_FAILED && !(is_cold && state == INSTANCE_PAUSED))
		return err_set(err, -EBUSY, "instance '%s' is %s: %s first", instance->meta.name, instance_state_names[state],
			       state == INSTANCE_PAUSED ? "resume it" : "wait until it is running or stopped");
	if (!peers_is_reachable(core->peers, instance->status.node))
		return err_set(err, -EHOSTUNREACH, "node '%s', which has instance '%s', is lost: see 'strata node ls'",
			       name_of(core, instance->status.node), instance->meta.name);
	if (pool && pool->spec.node)
		return err_set(err, -EBUSY, "the root of instance '%s' is in pool '%s', which only node '%s' has", instance->meta.name, pool->meta.name,
			       name_of(core, pool->spec.node));
	return check_volumes(core, instance, err);
}

/* 'to': uid, or null: where there is room. Takes the change. */
static int move(struct core *core, struct change *change, const char *to, bool is_cold, bool has_postcopy, struct err *err)
{
	const struct instance *instance = change->old;
	struct instance *next = change->next;
	int r = check(core, instance, is_cold, err);

	if (r == 0 && text_equal(to, instance->status.node))
		r = err_set(err, -EINVAL, "instance '%s' is at node '%s' already", instance->meta.name, name_of(core, to));
	if (r == 0 && next->spec.placement.node && to && !text_equal(next->spec.placement.node, name_of(core, to)))
		r = err_set(err, -EINVAL, "instance '%s' may run only on node '%s': change spec.placement.node first", instance->meta.name,
			    next->spec.placement.node);
	if (r == 0) {
		load_look(core);
		r = placement_admit_move(core->placement, next, to, err);
	}
	if (r < 0)
		return r;
	next->spec.move = (struct instance_move){ .serial = instance->spec.move.serial + 1, .postcopy = has_postcopy,
						  .live = instance->spec.kind == INSTANCE_VM && runs(instance) && !is_cold };
	change->is_leaders = true;
	change->event = "move";
	change->http_status = 202;
	change_commit(change);
	return 0;
}

static void cancel(struct core *core, struct call *call, const struct instance *instance)
{
	struct change *change;
	struct err err = { 0 };

	if (!is_on_its_way(instance)) {
		err_set(&err, -EINVAL, "instance '%s' is not on its way anywhere", instance->meta.name);
		answer_err(call, &err);
		return;
	}
	change = change_new(core, call, kind, instance);
	text_replace(&((struct instance *)change->next)->spec.node, instance->status.node);
	change->is_leaders = true;
	change->event = "move taken back";
	change_commit(change);
}

void instance_move(struct core *core, struct call *call)
{
	const char *to = json_string(json_get(call->body, "node"), NULL);
	struct change *change;
	struct err err = { 0 };
	void *found, *node = NULL;

	if (find_object(core, KIND_INSTANCE, call->name, &found, &err) < 0 || (to && find_object(core, KIND_NODE, to, &node, &err) < 0)) {
		answer_err(call, &err);
		return;
	}
	if (json_bool(json_get(call->body, "cancel"), false)) {
		cancel(core, call, found);
		return;
	}
	change = change_new(core, call, kind, found);
	if (move(core, change, node ? kind_meta(node)->uid : NULL, json_bool(json_get(call->body, "cold"), false),
		 json_bool(json_get(call->body, "postcopy"), false), &err) < 0)
		change_refuse(change, &err);
}

/* ---- Draining ---- */

/* Said once, for as long as it stays so. */
static void tell_why_not(struct core *core, const struct instance *instance, const struct err *err)
{
	struct store_txn *txn;
	auto_free char *key = text_format("stuck/%s", instance->meta.uid);
	const struct note *note = objects_note(core->objects, key);

	if (note && text_equal(note->value, err->msg))
		return;
	txn = store_txn_new();
	peers_guard(core->peers, txn);
	store_txn_put(txn, key, err->msg, strlen(err->msg), 0);
	objects_put_event(core->objects, txn, kind, &instance->meta, "cannot-move", true, "'%s' cannot leave its node: %s", instance->meta.name, err->msg);
	store_submit(core->params.store, txn, NULL, NULL);
}

static void drain(struct core *core, const struct instance *instance, int64_t since)
{
	const struct instance_move_status *last = &instance->status.move;
	struct change *change;
	struct err err = { 0 };

	/* Once in a drain: what has failed is not tried again by itself. */
	if (last->phase == MOVE_FAILED && last->ended_at >= since) {
		err_set(&err, -EIO, "%s", last->reason ? last->reason : "its move has failed");
		tell_why_not(core, instance, &err);
		return;
	}
	change = change_new(core, NULL, kind, instance);
	if (move(core, change, NULL, false, false, &err) < 0) {
		tell_why_not(core, instance, &err);
		change_refuse(change, &err);
	}
}

void drain_forget(struct peers *peers, const char *node, struct store_txn *txn)
{
	struct core *core = peers->core;
	const struct map *all = objects_all(core->objects, KIND_INSTANCE);

	for (size_t i = 0; i < all->count; i++) {
		auto_free char *key = text_format("stuck/%s", all->entries[i].key);

		if (text_equal(((const struct instance *)all->entries[i].value)->status.node, node) && objects_note(core->objects, key))
			store_txn_delete(txn, key);
	}
}

void drain_node(struct peers *peers, const char *node, int64_t since)
{
	struct core *core = peers->core;
	const struct map *all = objects_all(core->objects, KIND_INSTANCE);
	size_t under_way = 0;

	for (size_t i = 0; i < all->count; i++)
		under_way += is_on_its_way(all->entries[i].value);
	for (size_t i = 0; i < all->count && under_way < DRAIN_AT_ONCE; i++) {
		const struct instance *instance = all->entries[i].value;

		if (!text_equal(instance->status.node, node) || is_on_its_way(instance) || instance->meta.deleted_at)
			continue;
		drain(core, instance, since);
		under_way++;
	}
}
