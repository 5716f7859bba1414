/* nodes.c - the noun node: this host tells what it is; people say what it should do. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "1-hardware/inventory/inventory.h"
#include "4-service/cluster/peers.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

enum { ANNOUNCE_DELAY_MS = 100 };

static const struct kind *const kind = &kinds[KIND_NODE];

/* A host's name as a name of ours: "Alpha.example.org" is "alpha". */
static char *name_from_host(const char *hostname)
{
	char *name = text_copy_length(hostname ? hostname : "", strcspn(hostname ? hostname : "", "."));
	struct err err;

	for (char *c = name; *c; c++)
		*c = isalnum((unsigned char)*c) ? (char)tolower((unsigned char)*c) : '-';
	if (name_check(name, &err) < 0)
		text_replace(&name, "node");
	return name;
}

void node_read(struct core *core)
{
	const struct cluster_settings *settings = core->params.cluster ? &core->params.cluster->settings : NULL;
	struct node_status *status;
	struct meta *meta;

	core->node = kind_new(kind);
	meta = &core->node->meta;
	status = &core->node->status;
	if (core->params.inventory)
		field_copy(kind->status, core->params.inventory, status);
	else
		inventory_read(core->directory, status);
	meta->uid = text_copy(core->node_uid);
	free(meta->name);
	meta->name = settings && settings->name ? text_copy(settings->name) : name_from_host(status->hostname);
	meta->created_at = status->started_at = loop_wall_ms(core->params.loop);
	meta->generation = 1;
	text_replace(&status->version, core->params.version);
	text_replace(&status->tag, core->node_tag);
	text_replace(&status->boot_id, core->boot_id);
	text_replace(&status->machine_driver, core->params.machines[INSTANCE_VM]->ops->name);
}

/* "0.0.0.0:8443" says nothing about where that is. */
static bool is_wildcard(const char *address)
{
	size_t length = (size_t)(strrchr(address, ':') - address);

	return length == strspn(address, "[]:0.*") && length <= strlen("0.0.0.0");
}

bool node_fill_address(struct core *core)
{
	const struct cluster_params *cluster = core->params.cluster;
	const char *address = cluster && cluster->settings.uid ? cluster->settings.address : core->config.api.listen;

	if (address && is_wildcard(address))
		address = NULL;
	if (text_equal(core->node->status.address, address))
		return false;
	text_replace(&core->node->status.address, address);
	return true;
}

/* What people said of this node, in 'stored', goes for what we keep of it. */
static void take_stored(struct core *core, const struct node *stored)
{
	struct node *node = core->node;

	field_done(&meta_table, &node->meta);
	field_done(kind->spec, &node->spec);
	field_copy(&meta_table, &stored->meta, &node->meta);
	field_copy(kind->spec, &stored->spec, &node->spec);
}

static void fill(struct core *core, struct node *node)
{
	placement_fill_node(core->placement, node);
	peers_fill_node(core->peers, node);
}

void node_publish(struct core *core)
{
	fill(core, core->node);
	publish_as(core, kind, core->node, "", "node");
	publish_as(core, kind, core->node, "nodes", core->node->meta.name);
}

static void place(struct core *core, const struct node *node)
{
	bool is_full = objects_at(core->objects, node->meta.uid)->count >= LIMIT_INSTANCES_PER_NODE;

	placement_set_node(core->placement, node, !node->spec.cordoned && !is_full && peers_is_ready(core->peers, node->meta.uid));
}

void node_has_instance(struct core *core, const char *node)
{
	size_t count = objects_at(core->objects, node)->count;
	struct node *stored = objects_get(core->objects, KIND_NODE, node);

	if (stored && (count == LIMIT_INSTANCES_PER_NODE || count == LIMIT_INSTANCES_PER_NODE - 1))
		place(core, stored);
}

void node_changed(struct core *core, struct node *stored)
{
	peers_look_at(core->peers, stored->meta.uid);
	if (!text_equal(stored->meta.uid, core->node_uid)) {
		place(core, stored);
		fill(core, stored);
		publish_as(core, kind, stored, "nodes", stored->meta.name);
		return;
	}
	take_stored(core, stored);
	place(core, core->node);
	fill(core, stored);			/* What a change of it is answered with. */
	node_publish(core);
}

void node_load(struct core *core)
{
	const struct map *all = objects_all(core->objects, KIND_NODE);
	const struct node *stored = objects_get(core->objects, KIND_NODE, core->node_uid);

	if (stored)
		take_stored(core, stored);
	place(core, core->node);
	for (size_t i = 0; i < all->count; i++)
		if (all->entries[i].value != stored)
			place(core, all->entries[i].value);
}

static void announced(void *data, const struct store_result *result)
{
	struct core *core = data;

	if (result->err.code == -ESTALE)
		log_line(LOG_ERROR, "a host named '%s' is in the cluster already: this one can do nothing there before it has another name",
			 core->node->meta.name);
	else if (result->err.code < 0)
		log_line(LOG_ERROR, "this node cannot be entered in the store: %s", result->err.msg);
}

void node_announce(struct core *core)
{
	struct store_txn *txn = store_txn_new();
	struct node_status status;

	if (!core->is_entered && !objects_get(core->objects, KIND_NODE, core->node_uid)) {
		core->is_entered = true;
		objects_put_claims(txn, kind, NULL, core->node);
		objects_put_desired(txn, kind, core->node);
	}
	status = core->node->status;
	core->node->status.state = NODE_READY;
	core->node->status.since = 0;
	core->node->status.reason = NULL;
	core->node->status.is_leader = false;	/* None of these is ours to say. */
	objects_put_status(core->objects, txn, kind, core->node, core->node_uid);
	core->node->status = status;
	txn->delay_ms = ANNOUNCE_DELAY_MS;
	store_submit(core->params.store, txn, announced, core);
}

void node_update(struct core *core, struct call *call)
{
	struct change *change = resource_decode_patch(core, call, kind);
	const struct node *old, *next;
	struct err err = { 0 };

	if (!change)
		return;
	old = change->old;
	next = change->next;
	if (!field_equal(&node_power_table, &old->spec.power, &next->spec.power) && power_check(core, &next->spec.power, &err) < 0) {
		change_refuse(change, &err);
		return;
	}
	if (old->spec.cordoned != next->spec.cordoned)
		change->event = next->spec.cordoned ? "cordoned" : "uncordoned";
	if (next->spec.draining != old->spec.draining)
		drain_forget(core->peers, next->meta.uid, change->txn);
	change_commit(change);
}

static const char *name_of_instance(void *data, const char *uid)
{
	struct core *core = data;
	const struct instance *instance = objects_get(core->objects, KIND_INSTANCE, uid);

	return instance ? instance->meta.name : uid;
}

void node_what_if_drain(struct core *core, struct call *call)
{
	struct str json = { 0 };
	struct json_writer writer = { .out = &json };
	struct err err = { 0 };
	void *found;

	if (find_object(core, KIND_NODE, call->name, &found, &err) < 0 ||
	    placement_what_if_drain(core->placement, ((struct node *)found)->meta.uid, name_of_instance, core, &writer, &err) < 0) {
		str_done(&json);
		answer_err(call, &err);
		return;
	}
	answer_json(call, 200, &json);
}
