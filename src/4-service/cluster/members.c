/*
 * members.c - the members of the etcd that the hosts run: which hosts, and this host's own.
 *
 * Every daemon follows two notes. "cluster/members" is which hosts shall run one: chosen anew (roster.h) by whoever sees first
 * that hosts have come or gone, under the condition that nobody else has. A daemon that finds itself there becomes a member by
 * itself, one that does not, leaves. "cluster/endpoints" is where they answer: written by the members as etcd lists them.
 * Whatever fails is tried again, and looked at once a minute.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "4-service/cluster/private.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

enum { SOON_MS = 200, RETRY_MS = 2000, LOOK_MS = 60000 };

/* ---- Which hosts ---- */

static void read_list(const struct note *note, const char *name, struct roster *list)
{
	auto_json struct json *json = NULL;
	struct err ignored;

	if (!note || json_parse(note->value, note->size, &json, &ignored) < 0)
		return;
	for (size_t i = 0; i < json_count(json_get(json, name)); i++)
		roster_add(list, json_string(json_at(json_get(json, name), i), ""));
}

void roster_read(struct core *core, struct roster *ret_roster)
{
	*ret_roster = (struct roster){ 0 };
	read_list(objects_note(core->objects, NOTE_MEMBERS), "members", ret_roster);
}

static bool is_up(struct core *core, const char *uid)
{
	struct node_member member = { 0 };
	bool is_up;

	peers_member(core->peers, uid, &member);
	is_up = member.state == NODE_READY || member.state == NODE_DRAINING;
	field_done(&node_member_table, &member);
	return is_up;
}

static void choose(struct membership *cluster)
{
	struct core *core = cluster->core;
	const struct map *all = objects_all(core->objects, KIND_NODE);
	const struct note *note = objects_note(core->objects, NOTE_MEMBERS);
	auto_free struct roster_host *hosts = alloc((all->count + 1) * sizeof(*hosts));
	struct roster present, next;

	if (!note || !objects_get(core->objects, KIND_NODE, core->node_uid))
		return;
	for (size_t i = 0; i < all->count; i++) {
		const struct meta *meta = kind_meta(all->entries[i].value);

		hosts[i] = (struct roster_host){ meta->uid, meta->created_at, is_up(core, meta->uid) };
	}
	roster_read(core, &present);
	roster_make(hosts, all->count, &present, &next);
	cluster->is_unsettled = !roster_equal(&present, &next);
	if (cluster->is_unsettled) {
		struct store_txn *txn = store_txn_new();
		auto_str struct str json = { 0 };

		list_write("members", (const char *const *)next.uids.items, next.uids.count, &json);
		store_txn_guard(txn, STORE_UNCHANGED, NOTE_MEMBERS, note->revision);
		store_txn_put(txn, NOTE_MEMBERS, json.data, json.size, 0);
		store_submit(core->params.store, txn, NULL, NULL);
	}
	roster_done(&present);
	roster_done(&next);
}

/* ---- This host's own ---- */

struct host { char *uid, *address; };

struct look {
	struct membership *cluster;
	bool is_wanted, runs;
	struct cluster_settings settings;
	char *directory, *node_uid;
	VEC(struct host) hosts;
	struct member_list members;
	struct err err;
};

static void look_free(void *data)
{
	struct look *look = data;

	for (size_t i = 0; i < look->hosts.count; i++) {
		free(look->hosts.items[i].uid);
		free(look->hosts.items[i].address);
	}
	vec_done(&look->hosts);
	member_list_done(&look->members);
	field_done(&cluster_settings_table, &look->settings);
	free(look->directory);
	free(look->node_uid);
	free(look);
}

/* One that has not begun yet has no name: its address says whose it is. */
static bool has_host(const struct look *look, const struct member_info *info)
{
	for (size_t i = 0; i < look->hosts.count; i++) {
		const struct host *host = &look->hosts.items[i];
		auto_free char *door = host->address ? text_format("//%s:", host->address) : NULL;

		if (text_equal(info->name, host->uid) || (!info->name && door && strstr(info->peer_url, door)))
			return true;
	}
	return false;
}

/* Members of hosts that were removed from the cluster. */
static int drop_gone(const struct look *look, const struct member_ops *ops, const struct member_door *door, struct err *err)
{
	struct member_list list = { 0 };
	int r = ops->list(door, false, &list, err);

	for (size_t i = 0; i < list.items.count && r == 0; i++)
		if (!has_host(look, &list.items.items[i]))
			r = ops->drop(door, list.items.items[i].name ? list.items.items[i].name : list.items.items[i].peer_url, err);
	member_list_done(&list);
	return r;
}

static int become(struct look *look, const struct member_ops *ops, const struct cluster_place *place, const struct member_door *door, struct err *err)
{
	int r = look->runs ? ops->start(&place->params, err) : 0;

	if (r == 0)
		r = drop_gone(look, ops, door, err);
	if (r == 0 && !look->runs)
		r = ops->join(&place->params, door, err);
	look->runs = look->runs || r == 0;
	return r < 0 ? r : ops->list(door, false, &look->members, err);
}

static int resign(struct look *look, const struct member_ops *ops, const struct cluster_place *place, const struct member_door *door, struct err *err)
{
	int r = ops->drop(door, look->node_uid, err);

	if (r == 0)
		r = ops->stop(&place->params, true, err);
	look->runs = look->runs && r < 0;
	/* The others are told at once where they are now. */
	return r < 0 ? r : ops->list(door, false, &look->members, err);
}

static void look_run(void *data)
{
	struct look *look = data;
	const struct cluster_params *params = look->cluster->params;
	struct cluster_access access;
	struct cluster_place place = { 0 };
	int r = cluster_place_init(look->directory, look->node_uid, params->cgroup, look->settings.address, &place, &look->err);

	cluster_access_init(look->directory, &look->settings, "members", &access);
	if (r == 0 && look->is_wanted)
		r = become(look, params->member, &place, &access.door, &look->err);
	else if (r == 0 && look->runs)
		r = resign(look, params->member, &place, &access.door, &look->err);
	if (r == 0)
		look->err.code = 0;
	cluster_access_done(&access);
	cluster_place_done(&place);
}

static void look_due(void *data)
{
	struct membership *cluster = data;

	cluster->timer = NULL;
	choose(cluster);
	members_look(cluster);
}

static void look_in(struct membership *cluster, uint64_t ms)
{
	loop_remove(cluster->timer);
	cluster->timer = NULL;
	loop_add_timer(cluster->core->params.loop, ms, look_due, cluster, &cluster->timer);
}

static void process_ended(void *data, int status)
{
	struct membership *cluster = data;

	(void)status;
	closep(&cluster->pidfd);
	cluster->pidfd = -1;
	log_line(LOG_WARNING, "etcd of this host has ended: it is started again");
	look_in(cluster, SOON_MS);
}

static void watch_process(struct membership *cluster)
{
	struct core *core = cluster->core;
	struct cluster_place place = { 0 };
	struct err err;

	if (cluster->pidfd >= 0 || cluster_place_init(core->directory, core->node_uid, cluster->params->cgroup, cluster->settings.address, &place, &err) < 0)
		return;
	cluster->pidfd = cluster->params->member->process(&place.params);
	if (cluster->pidfd >= 0 && loop_add_child(core->params.loop, cluster->pidfd, process_ended, cluster, &cluster->process, &err) < 0)
		log_line(LOG_WARNING, "etcd of this host is not watched: %s", err.msg);
	cluster_place_done(&place);
}

static void unwatch_process(struct membership *cluster)
{
	loop_remove(cluster->process);
	cluster->process = NULL;
	closep(&cluster->pidfd);
	cluster->pidfd = -1;
}

/* ---- Where they answer ---- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_endpoints(struct membership *cluster, const struct member_list *members)
{
	const struct note *note = objects_note(cluster->core->objects, NOTE_ENDPOINTS);
	auto_free const char **urls = alloc((members->items.count + 1) * sizeof(*urls));
	auto_str struct str json = { 0 };
	struct store_txn *txn;
	size_t count = 0;

	for (size_t i = 0; i < members->items.count; i++) {
		if (members->items.items[i].client_url && !members->items.items[i].is_learner)
			urls[count++] = members->items.items[i].client_url;
		cluster->is_unsettled |= members->items.items[i].is_learner;
	}
	qsort(urls, count, sizeof(*urls), compare_texts);
	list_write("endpoints", urls, count, &json);
	if (!count || !note || text_equal(note->value, json.data))
		return;
	cluster->is_unsettled = true;
	txn = store_txn_new();
	store_txn_guard(txn, STORE_UNCHANGED, NOTE_ENDPOINTS, note->revision);
	store_txn_put(txn, NOTE_ENDPOINTS, json.data, json.size, 0);
	store_submit(cluster->core->params.store, txn, NULL, NULL);
}

static void keep_settings(struct membership *cluster)
{
	struct err err;

	if (cluster->state == CLUSTER_READY && cluster_file_write(cluster->core->directory, &cluster->settings, &err) < 0)
		log_line(LOG_ERROR, "%s", err.msg);
}

void members_endpoints_changed(struct membership *cluster)
{
	struct field_list *endpoints = &cluster->settings.endpoints;
	struct roster next = { 0 }, present = { 0 };
	struct err err;

	read_list(objects_note(cluster->core->objects, NOTE_ENDPOINTS), "endpoints", &next);
	for (size_t i = 0; i < endpoints->count; i++)
		roster_add(&present, *field_list_at(endpoints, char *, i));
	if (next.uids.count && !roster_equal(&next, &present)) {
		for (size_t i = 0; i < endpoints->count; i++)
			free(*field_list_at(endpoints, char *, i));
		free(endpoints->items);
		*endpoints = (struct field_list){ 0 };
		for (size_t i = 0; i < next.uids.count; i++)
			*(char **)field_list_push(endpoints, sizeof(char *)) = text_copy(next.uids.items[i]);
		if (store_set_endpoints(cluster->core->params.store, endpoints->items, endpoints->count, &err) < 0)
			log_line(LOG_ERROR, "endpoints of etcd: %s", err.msg);
		keep_settings(cluster);
	}
	roster_done(&next);
	roster_done(&present);
}

/* ---- Looking ---- */

static void complain(struct membership *cluster, const struct err *err)
{
	/* -EBUSY: another host is just becoming a member. */
	if (err->code != -EBUSY && !text_equal(cluster->complaint, err->msg))
		log_line(LOG_WARNING, "etcd of this host: %s: it is tried again", err->msg);
	text_replace(&cluster->complaint, err->msg);
}

static void look_done(void *data)
{
	struct look *look = data;
	struct membership *cluster = look->cluster;
	bool has_failed = look->err.code < 0;

	cluster->is_looking = false;
	if (has_failed)
		complain(cluster, &look->err);
	else
		text_replace(&cluster->complaint, NULL);
	if (cluster->settings.member != look->runs) {
		cluster->settings.member = look->runs;
		log_line(LOG_NOTICE, look->runs ? "this host runs a member of etcd now" : "this host does not run a member of etcd any more");
		keep_settings(cluster);
	}
	if (!has_failed)
		write_endpoints(cluster, &look->members);
	if (look->runs)
		watch_process(cluster);
	look_free(look);
	look_in(cluster, has_failed ? RETRY_MS : cluster->must_look ? SOON_MS : cluster->is_unsettled ? RETRY_MS : LOOK_MS);
}

static void add_hosts(struct look *look, struct core *core)
{
	const struct map *all = objects_all(core->objects, KIND_NODE);

	for (size_t i = 0; i < all->count; i++) {
		const struct node *node = all->entries[i].value;
		struct host *host = vec_push(&look->hosts);
		auto_free char *unused = NULL;
		struct err ignored;

		host->uid = text_copy(node->meta.uid);
		if (node->status.address)
			cluster_address_parse(node->status.address, &host->address, &unused, &ignored);
	}
}

void members_look(struct membership *cluster)
{
	struct core *core = cluster->core;
	struct roster roster;
	struct look *look;

	/* Who does not see itself would take itself for removed. */
	if (cluster->state != CLUSTER_READY || cluster->settings.external || !objects_note(core->objects, NOTE_MEMBERS) ||
	    !objects_get(core->objects, KIND_NODE, core->node_uid))
		return;
	cluster->must_look = cluster->is_looking;
	if (cluster->is_looking)
		return;
	roster_read(core, &roster);
	look = alloc(sizeof(*look));
	*look = (struct look){ .cluster = cluster, .is_wanted = roster_has(&roster, core->node_uid), .runs = cluster->settings.member,
			       .directory = text_copy(core->directory), .node_uid = text_copy(core->node_uid) };
	roster_done(&roster);
	field_copy(&cluster_settings_table, &cluster->settings, &look->settings);
	add_hosts(look, core);
	if (!look->is_wanted)
		unwatch_process(cluster);
	cluster->is_looking = true;
	work_submit(core->params.work, look_run, look_done, look_free, look);
}

void membership_nodes_changed(struct membership *cluster)
{
	if (cluster && cluster->state == CLUSTER_READY && !cluster->settings.external)
		look_in(cluster, SOON_MS);
}

void members_start(struct membership *cluster)
{
	if (!cluster->settings.external)
		look_in(cluster, SOON_MS);
}

void members_stop(struct membership *cluster)
{
	loop_remove(cluster->timer);
	cluster->timer = NULL;
	unwatch_process(cluster);
}
