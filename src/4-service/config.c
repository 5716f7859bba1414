/* config.c - the daemon's settings: one object in the store under "config". */
#include <errno.h>
#include <string.h>

#include "4-service/service.h"
#include "base/mem.h"

static int load_kv(void *data, const struct store_kv *kv, struct err *err)
{
	struct core *core = data;
	auto_json struct json *json = NULL;
	int r = json_parse(kv->value, kv->value_size, &json, err);

	if (r == 0 && strcmp(kv->key, "config") == 0)
		r = field_decode(&config_table, json, FIELD_STORED, "", &core->config, err);
	return r < 0 ? err_prefix(err, "config") : 0;
}

int config_load(struct core *core, struct err *err)
{
	uint64_t revision;
	int r = 0;

	field_defaults(&config_table, &core->config);
	if (core->params.config_defaults)
		r = field_decode(&config_table, core->params.config_defaults, FIELD_PATCH, "", &core->config, err);
	if (r < 0)
		return r;
	return store_range(core->params.store, "config", load_kv, core, &revision, err);
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
	field_done(&config_table, &core->config);
	core->config = change->next;
	placement_configure(core->placement, &core->config);
	node_publish(core);
	publish_config(core);
	encode(&core->config, &body);
	answer_json(change->call, 200, &body);
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
