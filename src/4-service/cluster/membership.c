#include "4-service/cluster/membership.h"

#include <errno.h>
#include <string.h>

#include "4-service/cluster/private.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

/* ---- What is said of it ---- */

static void fill_status(struct membership *cluster, struct cluster_status *status)
{
	const struct cluster_settings *settings = &cluster->settings;
	struct core *core = cluster->core;

	status->state = cluster->state;
	status->uid = text_copy(settings->uid);
	status->node = text_copy(core->node->meta.name);
	status->address = text_copy(settings->address);
	status->nodes = (int64_t)objects_all(core->objects, KIND_NODE)->count;
	status->external = settings->external;
	for (size_t i = 0; i < settings->endpoints.count; i++)
		*(char **)field_list_push(&status->endpoints, sizeof(char *)) = text_copy(*field_list_at(&settings->endpoints, char *, i));
	if (cluster->state == CLUSTER_MOVING)
		status->step = text_copy(atomic_load(&cluster->step));
	status->error = text_copy(cluster->error);
}

static void answer_status(struct membership *cluster, struct call *call, int http_status, const struct member_list *members)
{
	struct cluster_status status = { 0 };
	struct str json = { 0 };
	struct json_writer writer = { .out = &json };

	fill_status(cluster, &status);
	for (size_t i = 0; members && i < members->items.count; i++) {
		const struct member_info *info = &members->items.items[i];
		const struct node *node = objects_get(cluster->core->objects, KIND_NODE, info->name);
		struct cluster_member *member = field_list_push(&status.members, sizeof(*member));

		member->node = text_copy(node ? node->meta.name : info->name ? info->name : info->peer_url);
		member->endpoint = text_copy(info->client_url);
		member->state = !info->answers ? CLUSTER_MEMBER_SILENT : info->is_learner ? CLUSTER_MEMBER_FOLLOWS : CLUSTER_MEMBER_SERVES;
	}
	field_encode(&cluster_status_table, &status, &writer, NULL);
	field_done(&cluster_status_table, &status);
	answer_json(call, http_status, &json);
}

struct asking {
	struct membership *cluster;
	struct call *call;
	struct cluster_settings settings;
	char *directory;
	struct member_list members;
	struct err err;
};

static void asking_free(void *data)
{
	struct asking *asking = data;

	field_done(&cluster_settings_table, &asking->settings);
	member_list_done(&asking->members);
	free(asking->directory);
	free(asking);
}

static void ask_members(void *data)
{
	struct asking *asking = data;
	struct cluster_access access;

	cluster_access_init(asking->directory, &asking->settings, "show", &access);
	if (asking->cluster->params->member->list(&access.door, true, &asking->members, &asking->err) == 0)
		asking->err.code = 0;
	cluster_access_done(&access);
}

static void members_asked(void *data)
{
	struct asking *asking = data;

	if (asking->err.code < 0)
		answer_err(asking->call, &asking->err);
	else
		answer_status(asking->cluster, asking->call, 200, &asking->members);
	asking_free(asking);
}

void cluster_show(struct core *core, struct call *call)
{
	struct membership *cluster = core->membership;
	struct asking *asking;

	if (cluster->state != CLUSTER_READY || cluster->settings.external) {
		answer_status(cluster, call, 200, NULL);
		return;
	}
	asking = alloc(sizeof(*asking));
	*asking = (struct asking){ .cluster = cluster, .call = call, .directory = text_copy(core->directory) };
	field_copy(&cluster_settings_table, &cluster->settings, &asking->settings);
	work_submit(core->params.work, ask_members, members_asked, asking_free, asking);
}

/* ---- Ways ---- */

void way_step(struct way *way, const char *step)
{
	atomic_store(&way->cluster->step, step);
}

static void way_free(void *data)
{
	struct way *way = data;

	if (way->done)
		way->done(way);
	field_done(&cluster_settings_table, &way->settings);
	free(way);
}

static void way_run(void *data)
{
	struct way *way = data;

	if (way->run(way, &way->err) == 0)
		way->err.code = 0;
}

static void way_ended(void *data)
{
	struct way *way = data;
	struct membership *cluster = way->cluster;

	if (way->err.code == 0) {
		cluster->params->restart(cluster->params->data);
	} else {
		log_line(LOG_ERROR, "cluster: %s", way->err.msg);
		cluster->state = cluster->settings.uid ? CLUSTER_READY : CLUSTER_SINGLE;
		text_replace(&cluster->error, way->err.msg);
	}
	way_free(way);
}

void way_begin(struct membership *cluster, struct call *call, struct cluster_settings *settings, int (*run)(struct way *, struct err *),
	       void (*done)(struct way *), void *data)
{
	struct core *core = cluster->core;
	struct way *way = alloc(sizeof(*way));

	*way = (struct way){ .cluster = cluster, .run = run, .done = done, .data = data, .directory = core->directory,
			     .node_uid = core->node_uid, .store = core->params.store, .settings = *settings };
	*settings = (struct cluster_settings){ 0 };
	cluster->state = CLUSTER_MOVING;
	text_replace(&cluster->error, NULL);
	way_step(way, "preparing");
	answer_status(cluster, call, 202, NULL);
	work_submit(core->params.work, way_run, way_ended, way_free, way);
}

static int check_idle(struct membership *cluster, struct err *err)
{
	return cluster->state == CLUSTER_MOVING ? err_set(err, -EBUSY, "this host is on its way into another store already: see 'strata cluster show'") : 0;
}

int check_single(struct membership *cluster, struct err *err)
{
	if (cluster->settings.uid)
		return err_set(err, -EBUSY, "this host is in a cluster already: see 'strata cluster show'; 'strata cluster leave' takes it out");
	if (store_is_shared(cluster->core->params.store))
		return err_set(err, -EBUSY, "the file of --config says 'store: etcd': take that away and start the daemon anew; "
			       "'strata cluster init --etcd' uses an etcd of yours");
	return check_idle(cluster, err);
}

int check_in_cluster(struct membership *cluster, struct err *err)
{
	if (!cluster->settings.uid)
		return err_set(err, -EBUSY, "this host is in no cluster: make one with 'strata cluster init', or join one with 'strata cluster join'");
	return check_idle(cluster, err);
}

int check_empty(struct core *core, const char *remedy, struct err *err)
{
	static const enum kind_id kept[] = { KIND_INSTANCE, KIND_VOLUME, KIND_IMAGE, KIND_NETWORK, KIND_POOL };
	auto_str struct str names = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
		const struct map *all = objects_all(core->objects, kept[i]);

		for (size_t at = 0; at < all->count; at++) {
			const struct meta *meta = kind_meta(all->entries[at].value);

			if (kept[i] >= KIND_NETWORK && text_equal(meta->name, "default"))
				continue;
			if (count++ < 3)
				str_printf(&names, "%s%s '%s'", names.size ? ", " : "", kinds[kept[i]].name, shown(meta->name));
		}
	}
	if (!count)
		return 0;
	return err_set(err, -EBUSY, "this host is not empty: %s%s: %s", names.data, count > 3 ? ", ..." : "", remedy);
}

/* ---- Notes ---- */

void list_write(const char *name, const char *const *items, size_t count, struct str *out)
{
	struct json_writer writer = { .out = out };

	json_write_object(&writer, NULL);
	json_write_array(&writer, name);
	for (size_t i = 0; i < count; i++)
		json_write_string(&writer, NULL, items[i]);
	json_write_end_array(&writer);
	json_write_end_object(&writer);
}

static void endpoints_changed(void *data, const char *key, const struct note *note)
{
	(void)key;
	if (note)
		members_endpoints_changed(data);
}

static void members_changed(void *data, const char *key, const struct note *note)
{
	(void)key, (void)note;
	members_look(data);
}

static void node_state_changed(void *data, const char *key, const struct note *note)
{
	(void)key, (void)note;
	membership_nodes_changed(data);
}

static char *gone_key(const struct core *core)
{
	return text_format("gone/%s", core->node_uid);
}

/* For the listeners: such a host is not let in by its certificate any more. */
static void publish_gone(void *data, const char *key, const struct note *note)
{
	struct membership *cluster = data;
	struct view *view = cluster->core->params.view;
	const char *uid = key + strlen("gone/");

	if (note)
		view_put(view, VIEW_GONE, uid, note->value, note->size);
	else
		view_remove(view, VIEW_GONE, uid);
}

static void node_gone(void *data, const char *key, const struct note *note)
{
	struct membership *cluster = data;
	auto_free char *ours = gone_key(cluster->core);

	publish_gone(cluster, key, note);
	if (!note || !text_equal(key, ours) || cluster->state == CLUSTER_MOVING)
		return;
	log_line(LOG_ERROR, "this host was removed from its cluster");
	cluster->params->restart(cluster->params->data);
}

/* ---- Life ---- */

static bool has_left(const struct note *gone)
{
	auto_json struct json *json = NULL;
	struct err ignored;

	return json_parse(gone->value, gone->size, &json, &ignored) == 0 && json_bool(json_get(json, "left"), false);
}

static int check_gone(struct core *core, struct err *err)
{
	const struct cluster_params *params = core->params.cluster;
	auto_free char *key = gone_key(core);
	const struct note *gone = params->settings.uid ? objects_note(core->objects, key) : NULL;
	int r;

	if (!gone)
		return 0;
	if (!has_left(gone))
		return err_set(err, -EACCES, "this host was removed from its cluster: what runs here is left as it is; "
			       "'strata cluster forget --state %s' makes it a host by itself, which may join anew", core->directory);
	r = cluster_file_remove(core->directory, err);
	if (r < 0)
		return r;
	log_line(LOG_NOTICE, "this host was leaving its cluster when its daemon ended: now it has left");
	params->restart(params->data);
	return err_set(err, -ECANCELED, "this host has left its cluster");
}

int membership_new(struct core *core, struct membership **ret_cluster, struct err *err)
{
	const struct cluster_params *params = core->params.cluster;
	struct membership *cluster;
	int r;

	*ret_cluster = NULL;
	if (!params)
		return 0;
	r = check_gone(core, err);
	if (r < 0)
		return r;
	cluster = alloc(sizeof(*cluster));
	*cluster = (struct membership){ .core = core, .params = params, .tls = text_format("%s/tls", core->directory), .pidfd = -1,
				     .state = params->settings.uid ? CLUSTER_READY : CLUSTER_SINGLE, .step = "" };
	field_copy(&cluster_settings_table, &params->settings, &cluster->settings);
	*ret_cluster = cluster;
	if (cluster->state == CLUSTER_SINGLE)
		return 0;
	objects_listen_notes(core->objects, NOTE_ENDPOINTS, endpoints_changed, cluster);
	objects_listen_notes(core->objects, NOTE_MEMBERS, members_changed, cluster);
	objects_listen_notes(core->objects, "member/", node_state_changed, cluster);
	objects_listen_notes(core->objects, "gone/", node_gone, cluster);
	objects_each_note(core->objects, "gone/", publish_gone, cluster);
	return 0;
}

void membership_start(struct membership *cluster)
{
	struct core *core = cluster ? cluster->core : NULL;
	auto_free char *key = core ? text_format("joining/%s", core->node_uid) : NULL;

	if (!core || cluster->state == CLUSTER_SINGLE)
		return;
	if (objects_note(core->objects, key)) {
		struct store_txn *txn = store_txn_new();

		store_txn_delete(txn, key);
		store_submit(core->params.store, txn, NULL, NULL);
	}
	members_endpoints_changed(cluster);
	members_start(cluster);
}

void membership_free(struct membership *cluster)
{
	if (!cluster)
		return;
	members_stop(cluster);
	field_done(&cluster_settings_table, &cluster->settings);
	free(cluster->tls);
	free(cluster->error);
	free(cluster->complaint);
	free(cluster);
}

/* What reads only, or goes past the store. */
static bool is_harmless(enum call_op op)
{
	switch (op) {
	case CALL_CLUSTER_SHOW:
	case CALL_CONSOLE:
	case CALL_LOGS:
	case CALL_ATTACH_STREAM:
	case CALL_EXEC:
	case CALL_FILE_READ:
	case CALL_FILE_WRITE:
	case CALL_DOCTOR: return true;
	default: return false;
	}
}

bool membership_admits(struct membership *cluster, struct call *call)
{
	struct err err;

	if (!cluster || cluster->state != CLUSTER_MOVING || is_harmless(call->op))
		return true;
	err_set(&err, -EAGAIN, "the store of this host is being moved: try again in some seconds, see 'strata cluster show'");
	answer_err(call, &err);
	return false;
}
