/* config.c - the daemon's settings: one object in the store under "config". */
#include <errno.h>
#include <string.h>

#include "4-service/service.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

static int load_kv(void *data, const struct store_kv *kv, struct err *err)
{
	struct core *core = data;
	auto_json struct json *json = NULL;
	int r = json_parse(kv->value, kv->value_size, &json, err);

	if (r == 0 && strcmp(kv->key, "config") == 0)
		r = field_decode(&config_table, json, FIELD_STORED, "", &core->config, err);
	return r < 0 ? err_prefix(err, "config") : 0;
}

static int decode_file(const struct core *core, struct config *config, struct err *err)
{
	field_defaults(&config_table, config);
	if (!core->params.config_defaults)
		return 0;
	return field_decode(&config_table, core->params.config_defaults, FIELD_PATCH, "", config, err);
}

int config_load(struct core *core, struct err *err)
{
	struct config file = { 0 };
	uint64_t revision;
	int r = decode_file(core, &core->config, err);

	if (r == 0)
		r = store_range(core->params.store, "config", load_kv, core, &revision, err);
	if (r == 0)
		r = decode_file(core, &file, err);
	if (r == 0) {
		/* What the store says about where it is may be older than the file. */
		core->config.store = file.store;
		field_done(&config_etcd_table, &core->config.etcd);
		field_copy(&config_etcd_table, &file.etcd, &core->config.etcd);
	}
	field_done(&config_table, &file);
	return r;
}

static int check_fixed(const struct config *now, const struct config *next, struct err *err)
{
	if (next->store == now->store && field_equal(&config_etcd_table, &now->etcd, &next->etcd))
		return 0;
	return err_set(err, -EINVAL, "'store' and 'etcd' cannot be set while the daemon runs: write them to the file of --config and start it anew");
}

static void encode(const struct config *config, struct str *out)
{
	struct json_writer writer = { .out = out };

	field_encode(&config_table, config, &writer, NULL);
}

void publish_config(struct core *core)
{
	auto_str struct str json = { 0 };

	encode(&core->config, &json);
	view_put(core->params.view, "", "config", json.data, json.size);
}

struct config_change {
	struct core *core;
	struct call *call;
	struct config next;
};

/* What had too little room may have enough now. */
static void place_anew(struct core *core)
{
	const struct map *all = objects_all(core->objects, KIND_INSTANCE);

	placement_configure(core->placement, &core->config);
	for (size_t i = 0; i < all->count; i++)
		placement_sync(core->placement, kind_meta(all->entries[i].value)->uid, all->entries[i].value);
}

static void go_by(struct core *core, struct config next)
{
	field_done(&config_table, &core->config);
	core->config = next;
	if (node_fill_address(core))
		node_announce(core);
	load_nodes_changed(core);
	place_anew(core);
	node_publish(core);
	publish_config(core);
}

static void stored(void *data, const struct store_result *result)
{
	auto_free struct config_change *change = data;
	struct core *core = change->core;
	struct str body = { 0 };

	if (result->err.code < 0) {
		field_done(&config_table, &change->next);
		answer_err(change->call, &result->err);
		return;
	}
	go_by(core, change->next);
	encode(&core->config, &body);
	answer_json(change->call, 200, &body);
}

/* ---- In a cluster: another host has changed them ---- */

static int decode_note(const struct core *core, const struct note *note, struct config *next, struct err *err)
{
	auto_json struct json *json = NULL;
	int r = json_parse(note->value, note->size, &json, err);

	if (r == 0)
		r = field_decode(&config_table, json, FIELD_STORED, "", next, err);
	if (r < 0)
		return r;
	next->store = core->config.store;
	field_done(&config_etcd_table, &next->etcd);
	field_copy(&config_etcd_table, &core->config.etcd, &next->etcd);
	return 0;
}

static void noted(void *data, const char *key, const struct note *note)
{
	struct core *core = data;
	struct config next = { 0 };
	struct err err = { 0 };
	int r;

	if (!note || !text_equal(key, "config"))
		return;
	field_defaults(&config_table, &next);
	r = decode_note(core, note, &next, &err);
	if (r == 0 && field_equal(&config_table, &core->config, &next)) {
		field_done(&config_table, &next);
		return;
	}
	if (r == 0 && core->params.apply_config)
		r = core->params.apply_config(core->params.data, &next, &err);
	if (r < 0) {
		log_line(LOG_ERROR, "settings of the cluster: %s", err.msg);
		field_done(&config_table, &next);
		return;
	}
	go_by(core, next);
}

void config_follow(struct core *core)
{
	objects_listen_notes(core->objects, "config", noted, core);
}

void config_update(struct core *core, struct call *call)
{
	struct config_change *change = alloc(sizeof(*change));
	auto_str struct str json = { 0 };
	struct store_txn *txn;
	struct err err = { 0 };
	int r;

	*change = (struct config_change){ .core = core, .call = call };
	field_copy(&config_table, &core->config, &change->next);
	r = field_decode(&config_table, call->body, FIELD_PATCH, "", &change->next, &err);
	if (r == 0)
		r = check_fixed(&core->config, &change->next, &err);
	if (r == 0 && core->params.apply_config)
		r = core->params.apply_config(core->params.data, &change->next, &err);
	if (r < 0) {
		field_done(&config_table, &change->next);
		free(change);
		answer_err(call, &err);
		return;
	}
	encode(&change->next, &json);
	txn = store_txn_new();
	store_txn_put(txn, "config", json.data, json.size, 0);
	store_submit(core->params.store, txn, stored, change);
}
