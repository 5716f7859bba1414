/*
 * remove.c - a host that is gone for good leaves the cluster.
 *
 *	gone/<uid>	{"name", "at", "left"}	its certificate is not accepted any more; should it come back, it is told so; left: it went by
 *					itself, and if it was killed on the way it goes the rest when it comes back (membership.c)
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "4-service/cluster/private.h"
#include "base/mem.h"
#include "base/str.h"

/* What is only there is lost with it. */
static void remove_objects(struct core *core, struct store_txn *txn, const struct node *node)
{
	static const enum kind_id kinds_of_hosts[] = { KIND_INSTANCE, KIND_VOLUME, KIND_SNAPSHOT, KIND_IMAGE, KIND_POOL };

	for (size_t i = 0; i < ARRAY_COUNT(kinds_of_hosts); i++) {
		const struct kind *kind = &kinds[kinds_of_hosts[i]];
		const struct map *all = objects_all(core->objects, kind->id);

		for (size_t at = 0; at < all->count; at++)
			if (text_equal(objects_owner(core->objects, kind, all->entries[at].value), node->meta.uid))
				objects_delete(core->objects, txn, kind, all->entries[at].value);
	}
}

void remove_node(struct core *core, struct store_txn *txn, const struct node *node)
{
	auto_free char *gone = text_format("gone/%s", node->meta.uid), *member = text_format("member/%s", node->meta.uid);
	auto_free char *joining = text_format("joining/%s", node->meta.uid);
	auto_str struct str json = { 0 };
	struct json_writer writer = { .out = &json };

	json_write_object(&writer, NULL);
	json_write_string(&writer, "name", node->meta.name);
	json_write_int(&writer, "at", loop_wall_ms(core->params.loop));
	json_write_bool(&writer, "left", text_equal(node->meta.uid, core->node_uid));
	json_write_end_object(&writer);
	remove_objects(core, txn, node);
	objects_guard(core->objects, txn, &kinds[KIND_NODE], node->meta.uid);
	objects_delete(core->objects, txn, &kinds[KIND_NODE], node);
	store_txn_put(txn, gone, json.data, json.size, 0);
	store_txn_delete(txn, member);
	store_txn_delete(txn, joining);
	objects_put_event(core->objects, txn, &kinds[KIND_NODE], &node->meta, "removed", false, "node '%s' was removed from the cluster", node->meta.name);
}

static int check_nothing_there(struct core *core, const struct node *node, struct err *err)
{
	static const enum kind_id kept[] = { KIND_INSTANCE, KIND_VOLUME };
	auto_str struct str names = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
		const struct map *all = objects_all(core->objects, kept[i]);

		for (size_t at = 0; at < all->count; at++) {
			if (!text_equal(objects_owner(core->objects, &kinds[kept[i]], all->entries[at].value), node->meta.uid))
				continue;
			if (count++ < 3)
				str_printf(&names, "%s%s '%s'", names.size ? ", " : "", kinds[kept[i]].name, kind_meta(all->entries[at].value)->name);
		}
	}
	if (!count)
		return 0;
	return err_set(err, -EBUSY, "node '%s' is not empty: %s%s: drain it first ('strata node drain'), or give them up with --force",
		       node->meta.name, names.data, count > 3 ? ", ..." : "");
}

static int check(struct core *core, const struct call *call, struct node **ret_node, struct err *err)
{
	bool is_forced = json_bool(json_get(call->body, "force"), false);
	void *found;
	int r = core->membership ? check_in_cluster(core->membership, err) : err_set(err, -EBUSY, "this host is in no cluster");

	if (r == 0)
		r = find_object(core, KIND_NODE, call->name, &found, err);
	if (r < 0)
		return r;
	*ret_node = found;
	if (text_equal((*ret_node)->meta.uid, core->node_uid))
		return err_set(err, -EINVAL, "node '%s' is this host: say so on another one, or let this one leave with 'strata cluster leave'",
			       (*ret_node)->meta.name);
	if (!is_forced && peers_is_ready(core->peers, (*ret_node)->meta.uid))
		return err_set(err, -EBUSY, "node '%s' is alive: let it leave by itself ('strata cluster leave' there), or remove it with --force",
			       (*ret_node)->meta.name);
	return is_forced ? 0 : check_nothing_there(core, *ret_node, err);
}

struct removal { struct call *call; struct str answer; };

static void removed(void *data, const struct store_result *result)
{
	auto_free struct removal *removal = data;

	if (result->err.code < 0)
		answer_err(removal->call, &result->err);
	else
		answer_json(removal->call, 202, &removal->answer);
	str_done(&removal->answer);
}

void node_remove(struct core *core, struct call *call)
{
	struct removal *removal;
	struct store_txn *txn;
	struct node *node;
	struct err err = { 0 };

	if (check(core, call, &node, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	removal = alloc(sizeof(*removal));
	removal->call = call;
	kind_encode(&kinds[KIND_NODE], node, &(struct json_writer){ .out = &removal->answer }, NULL);
	txn = store_txn_new();
	remove_node(core, txn, node);
	store_submit(core->params.store, txn, removed, removal);
}
