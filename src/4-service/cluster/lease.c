#include "4-service/cluster/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "port/fence.h"

#define NS_PER_MS UINT64_C(1000000)

static const struct note *member_note(struct objects *objects, const char *node)
{
	auto_free char *key = text_format("member/%s", node);

	return objects_note(objects, key);
}

void lease_member(struct objects *objects, const char *node, struct node_member *ret_member)
{
	const struct note *note = member_note(objects, node);
	auto_json struct json *json = NULL;
	struct err ignored;

	field_defaults(&node_member_table, ret_member);
	if (note && json_parse(note->value, note->size, &json, &ignored) == 0)
		field_decode(&node_member_table, json, FIELD_STORED, "", ret_member, &ignored);
}

static char *alive_key(const struct lease *lease) { return text_format("alive/%s", lease->params.node); }

/* ---- Its end ---- */

static void lose(struct lease *lease, const char *why)
{
	lease->id = 0;
	loop_remove(lease->end_timer);
	if (!lease->is_alive)
		return;
	log_line(LOG_ERROR, "this node is cut off from the others (%s): its instances with 'ha: restart' end here", why);
	lease->is_alive = false;
	agent_set_alive(lease->params.agent, 0, 0);
	lease->params.changed(lease->params.data);
}

static void time_is_over(void *data)
{
	lose(data, "its lease was not renewed in time");
}

/* ---- Asking ---- */

struct asking {
	struct lease *lease;
	struct store *store;
	struct fence_driver *fence;
	uint64_t id;			/* 0: a new one. */
	uint64_t sent_ms, sent_ns;	/* By the loop's clock and the watchdog's. */
	struct err err;
};

static void ask(void *data);

static void ask_in(struct lease *lease, uint64_t ms)
{
	loop_remove(lease->renew_timer);
	loop_add_timer(lease->params.loop, ms, ask, lease, &lease->renew_timer);
}

struct telling { struct lease *lease; uint64_t id, sent_ns; };

/* The watchdog's time counts from when the renewal was sent: the store counts from later. */
static void renew_fence(struct fence_driver *fence, uint64_t sent_ns)
{
	struct err err = { 0 };

	if (fence && fence->ops->renew(fence, sent_ns + LEASE_MS * NS_PER_MS, &err) < 0)
		log_line(LOG_ERROR, "instances with 'ha: restart' cannot be started here: %s", err.msg);
}

static void told(void *data, const struct store_result *result)
{
	auto_free struct telling *telling = data;
	struct lease *lease = telling->lease;
	auto_free char *key = alive_key(lease);
	const struct note *note = objects_note(lease->params.objects, key);

	lease->is_asking = false;
	/*
	 * Others have decided about us in between: their changes are in the cache now. While something of what they took over is still
	 * here we are not back, and above all the watchdog is not told so: a start that was late must not succeed now.
	 */
	if (result->err.code < 0 || !note || lease->id != telling->id || agent_is_leaving(lease->params.agent)) {
		lease->id = lease->id == telling->id ? 0 : lease->id;
		ask_in(lease, LEASE_RETRY_MS);
		return;
	}
	renew_fence(lease->params.fence, telling->sent_ns);
	lease->is_alive = true;
	agent_set_alive(lease->params.agent, note->revision, lease->id);
	lease->params.changed(lease->params.data);
	ask_in(lease, LEASE_RENEW_MS);
}

/* Under the condition that nobody has raised our epoch meanwhile. */
static void tell_alive(struct lease *lease, uint64_t sent_ns)
{
	const struct lease_params *params = &lease->params;
	const struct note *note = member_note(params->objects, params->node);
	struct telling *telling = alloc(sizeof(*telling));
	struct store_txn *txn = store_txn_new();
	auto_free char *key = alive_key(lease), *member_key = text_format("member/%s", params->node);
	auto_str struct str json = { 0 };
	struct json_writer writer = { .out = &json };
	struct node_member member = { 0 };

	lease_member(params->objects, params->node, &member);
	*telling = (struct telling){ lease, lease->id, sent_ns };
	field_encode(&node_alive_table, &(struct node_alive){ (char *)params->boot_id, member.epoch }, &writer, NULL);
	store_txn_guard(txn, STORE_UNCHANGED, member_key, note ? note->revision : 0);
	store_txn_put(txn, key, json.data, json.size, lease->id);
	field_done(&node_member_table, &member);
	lease->is_asking = true;
	store_submit(params->store, txn, told, telling);
}

static void ask_run(void *data)
{
	struct asking *asking = data;
	bool is_new = !asking->id;
	int r = is_new ? store_lease_grant(asking->store, LEASE_MS, &asking->id, &asking->err) :
		store_lease_renew(asking->store, asking->id, &asking->err);

	if (r < 0)
		return;
	asking->err.code = 0;
	if (!is_new)
		renew_fence(asking->fence, asking->sent_ns);
}

static void ask_done(void *data)
{
	auto_free struct asking *asking = data;
	struct lease *lease = asking->lease;
	uint64_t now_ms = loop_now_ms(lease->params.loop), end_ms = asking->sent_ms + LEASE_MS;
	bool is_new = !lease->id;

	lease->is_asking = false;
	if (asking->err.code < 0) {
		if (asking->err.code == -ENOENT)
			lose(lease, asking->err.msg);
		ask_in(lease, LEASE_RETRY_MS);
		return;
	}
	/* Renewed, but so late that it may have been given up meanwhile: it is asked for anew. */
	if (end_ms <= now_ms || (!is_new && lease->id != asking->id)) {
		ask_in(lease, LEASE_RETRY_MS);
		return;
	}
	lease->id = asking->id;
	loop_remove(lease->end_timer);
	loop_add_timer(lease->params.loop, end_ms - now_ms, time_is_over, lease, &lease->end_timer);
	if (!is_new)
		ask_in(lease, LEASE_RENEW_MS);
	else
		tell_alive(lease, asking->sent_ns);
}

static void ask(void *data)
{
	struct lease *lease = data;
	const struct lease_params *params = &lease->params;
	struct asking *asking;

	if (lease->is_asking)
		return;
	/* What others took over must have gone before we say that we are back. */
	if (!lease->id && agent_is_leaving(params->agent)) {
		ask_in(lease, LEASE_RETRY_MS);
		return;
	}
	asking = alloc(sizeof(*asking));
	lease->is_asking = true;
	*asking = (struct asking){
		.lease = lease, .store = params->store, .fence = params->fence, .id = lease->id, .sent_ms = loop_now_ms(params->loop),
		.sent_ns = params->fence ? params->fence->ops->now_ns(params->fence) : 0,
	};
	work_submit(params->work, ask_run, ask_done, free, asking);
}

void lease_init(struct lease *lease, const struct lease_params *params)
{
	*lease = (struct lease){ .params = *params };
}

void lease_join(struct lease *lease)
{
	ask(lease);
}

void lease_done(struct lease *lease)
{
	loop_remove(lease->renew_timer);
	loop_remove(lease->end_timer);
}
