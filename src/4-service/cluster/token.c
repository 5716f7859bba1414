/*
 * token.c - what a host needs to join: made here, kept in the store as "token/<id>", used up by admit.c.
 *
 *	token/<id>	{"hash", "created_at", "expires_at"}	times in ms
 */
#include <errno.h>
#include <string.h>

#include "4-service/cluster/private.h"
#include "4-service/pki/join_token.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

enum { DEFAULT_TTL_MS = 3600 * 1000, MS_PER_S = 1000 };

static void write_token(const char *id, const char *text, int64_t created_at, int64_t expires_at, struct json_writer *writer)
{
	const struct cluster_token token = { .id = (char *)(uintptr_t)id, .token = (char *)(uintptr_t)text, .created_at = created_at,
					     .expires_at = expires_at };

	field_encode(&cluster_token_table, &token, writer, NULL);
}

struct making { struct call *call; struct str answer; };

static void made(void *data, const struct store_result *result)
{
	auto_free struct making *making = data;

	if (result->err.code < 0)
		answer_err(making->call, &result->err);
	else
		answer_json(making->call, 201, &making->answer);
	str_done(&making->answer);
}

/* This host first: it is known to answer. */
static size_t list_addresses(struct core *core, const char **addresses)
{
	const struct map *all = objects_all(core->objects, KIND_NODE);
	size_t count = 1;

	addresses[0] = core->membership->settings.address;
	for (size_t i = 0; i < all->count && count < JOIN_TOKEN_ADDRESSES_MAX; i++) {
		const struct node *node = all->entries[i].value;

		if (node->status.address && !text_equal(node->meta.uid, core->node_uid) && peers_is_ready(core->peers, node->meta.uid))
			addresses[count++] = node->status.address;
	}
	return count;
}

/* "1h", or ms. */
static int read_ttl(const struct json *body, int64_t *ret_ms, struct err *err)
{
	const struct json *ttl = json_get(body, "ttl");

	*ret_ms = json_int(ttl, DEFAULT_TTL_MS);
	return json_type(ttl) == JSON_STRING ? units_parse_duration(json_string(ttl, ""), ret_ms, err) : 0;
}

static int make(struct core *core, int64_t expires_at, struct join_token *token, struct err *err)
{
	const char *addresses[JOIN_TOKEN_ADDRESSES_MAX];
	size_t count = list_addresses(core, addresses);
	char fingerprint[PKI_FINGERPRINT_SIZE];
	int r = check_in_cluster(core->membership, err);

	if (r == 0)
		r = pki_fingerprint(core->membership->tls, fingerprint, err);
	return r < 0 ? r : join_token_make(addresses, count, fingerprint, expires_at / MS_PER_S, token, err);
}

void token_create(struct core *core, struct call *call)
{
	int64_t now_ms = loop_wall_ms(core->params.loop);
	int64_t ttl_ms, expires_at = 0;
	auto_str struct str json = { 0 }, text = { 0 };
	struct json_writer writer = { .out = &json };
	struct join_token token = { 0 };
	struct making *making;
	struct store_txn *txn;
	char hash[SHA256_TEXT_SIZE];
	struct err err = { 0 };

	if (read_ttl(call->body, &ttl_ms, &err) == 0)
		expires_at = now_ms + ttl_ms;
	if (!expires_at || make(core, expires_at, &token, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	join_token_hash(token.secret, hash);
	json_write_object(&writer, NULL);
	json_write_string(&writer, "hash", hash);
	json_write_int(&writer, "created_at", now_ms);
	json_write_int(&writer, "expires_at", expires_at);
	json_write_end_object(&writer);
	auto_free char *key = text_format("token/%s", token.id);
	txn = store_txn_new();
	store_txn_guard(txn, STORE_ABSENT, key, 0);
	store_txn_put(txn, key, json.data, json.size, 0);
	making = alloc(sizeof(*making));
	making->call = call;
	join_token_write(&token, &text);
	write_token(token.id, str_text(&text), now_ms, expires_at, &(struct json_writer){ .out = &making->answer });
	join_token_done(&token);
	store_submit(core->params.store, txn, made, making);
}

static void list_one(void *data, const char *key, const struct note *note)
{
	auto_json struct json *json = NULL;
	struct err ignored;

	if (json_parse(note->value, note->size, &json, &ignored) == 0)
		write_token(strchr(key, '/') + 1, NULL, json_int(json_get(json, "created_at"), 0), json_int(json_get(json, "expires_at"), 0), data);
}

void token_list(struct core *core, struct call *call)
{
	struct str body = { 0 };
	struct json_writer writer = { .out = &body };

	json_write_array(&writer, NULL);
	objects_each_note(core->objects, "token/", list_one, &writer);
	json_write_end_array(&writer);
	answer_json(call, 200, &body);
}

static void revoked(void *data, const struct store_result *result)
{
	struct call *call = data;
	struct str body = { 0 };

	str_append(&body, "{}");
	if (result->err.code < 0)
		answer_err(call, &result->err);
	else
		answer_json(call, 200, &body);
	str_done(&body);
}

void token_revoke(struct core *core, struct call *call)
{
	auto_free char *key = text_format("token/%s", call->name);
	struct store_txn *txn;
	struct err err = { 0 };

	if (!objects_note(core->objects, key)) {
		err_set(&err, -ENOENT, "token '%s' does not exist: it was used, or revoked; see 'strata cluster token ls'", shown(call->name));
		answer_err(call, &err);
		return;
	}
	txn = store_txn_new();
	store_txn_delete(txn, key);
	store_submit(core->params.store, txn, revoked, call);
}
