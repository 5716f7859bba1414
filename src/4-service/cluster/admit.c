/*
 * admit.c - another host wants to join, and shows a token: this host of the cluster lets it in.
 *
 * The token is used up in the same transaction that enters the host, so it works once, whatever is lost on the way.
 *
 *	joining/<uid>	{"name", "at"}	until the host has announced itself
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "4-service/cluster/private.h"
#include "4-service/pki/join_token.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

enum { SKEW_MAX_MS = 30000, PEM_MAX_BYTES = 64 << 10, UID_LENGTH = 36 };

/* ---- Checks ---- */

static int check_token(struct core *core, const struct json *body, const char *key, uint64_t *ret_revision, struct err *err)
{
	const struct note *note = objects_note(core->objects, key);
	int64_t now_ms = loop_wall_ms(core->params.loop), expires_at;
	auto_json struct json *json = NULL;
	char text[UNITS_TEXT_SIZE];
	int r;

	if (!note)
		return err_set(err, -EACCES, "this token is not valid (any more): each lets in one host; make a new one with 'strata cluster token'");
	r = json_parse(note->value, note->size, &json, err);
	if (r < 0)
		return r;
	expires_at = json_int(json_get(json, "expires_at"), 0);
	if (!join_token_fits(json_string(json_get(body, "secret"), ""), json_string(json_get(json, "hash"), "")))
		return err_set(err, -EACCES, "this token is forged: its secret is not the one that was given out");
	if (expires_at <= now_ms)
		return err_set(err, -EACCES, "this token has ended %s ago: make a new one with 'strata cluster token'",
			       units_format_duration(now_ms - expires_at, text));
	*ret_revision = note->revision;
	return 0;
}

static int check_clock(struct core *core, const struct json *body, struct err *err)
{
	int64_t ours = loop_wall_ms(core->params.loop), theirs = json_int(json_get(body, "time"), ours), apart = llabs(ours - theirs);
	char text[UNITS_TEXT_SIZE];

	if (apart <= SKEW_MAX_MS)
		return 0;
	return err_set(err, -EINVAL, "the clock of this host is %s %s that of node '%s': set it (with chrony, ntpd or systemd-timesyncd) and join again",
		       units_format_duration(apart, text), theirs < ours ? "behind" : "ahead of", core->node->meta.name);
}

static int check_name(struct core *core, const char *name, const char *uid, struct err *err)
{
	const struct node *other = objects_find(core->objects, KIND_NODE, NULL, name);
	int r = name_check(name, err);

	if (r == 0 && other && !text_equal(other->meta.uid, uid))
		r = err_set(err, -EEXIST, "a host named '%s' is in the cluster already: give this one another name with --name", shown(name));
	return r;
}

static int check_uid(struct core *core, const char *uid, struct err *err)
{
	if (strlen(uid) != UID_LENGTH || strspn(uid, "0123456789abcdef-") != UID_LENGTH)
		return err_set(err, -EINVAL, "uid: '%s' is none", shown(uid));
	if (text_equal(uid, core->node_uid))
		return err_set(err, -EINVAL, "that is this host itself: its state folder seems to be a copy; remove the file 'node' from it");
	if (objects_get(core->objects, KIND_NODE, uid) && peers_is_ready(core->peers, uid))
		return err_set(err, -EEXIST, "this host is in the cluster already, and is alive: is its state folder a copy of another host's?");
	return 0;
}

/* ---- The answer ---- */

struct admission { struct core *core; struct call *call; struct str answer; };

static int write_file(struct json_writer *writer, const char *key, const char *path, struct err *err)
{
	auto_str struct str text = { 0 };
	int r = path ? file_read_all(path, PEM_MAX_BYTES, &text, err) : 0;

	if (r == 0 && path)
		json_write_string(writer, key, str_text(&text));
	return r;
}

static int write_answer(struct core *core, const char *certificate, const struct pki_ca *ca, struct str *out, struct err *err)
{
	const struct cluster_settings *settings = &core->membership->settings;
	struct json_writer writer = { .out = out };
	int r;

	json_write_object(&writer, NULL);
	json_write_string(&writer, "certificate", certificate);
	json_write_string(&writer, "ca", str_text(&ca->certificate));
	json_write_string(&writer, "ca_key", str_text(&ca->key));
	json_write_string(&writer, "cluster", settings->uid);
	json_write_string(&writer, "prefix", settings->prefix);
	json_write_bool(&writer, "external", settings->external);
	json_write_array(&writer, "endpoints");
	for (size_t i = 0; i < settings->endpoints.count; i++)
		json_write_string(&writer, NULL, *field_list_at(&settings->endpoints, char *, i));
	json_write_end_array(&writer);
	r = write_file(&writer, "etcd_ca", settings->etcd_ca, err);
	if (r == 0)
		r = write_file(&writer, "etcd_certificate", settings->etcd_certificate, err);
	if (r == 0)
		r = write_file(&writer, "etcd_key", settings->etcd_key, err);
	json_write_end_object(&writer);
	return r;
}

static int sign(struct core *core, const struct json *body, struct str *ret_answer, struct err *err)
{
	const struct json *addresses = json_get(body, "addresses");
	const char *request = json_string(json_get(body, "csr"), ""), *list[PKI_ADDRESSES_MAX];
	struct pki_host host = { .uid = json_string(json_get(body, "uid"), ""), .name = json_string(json_get(body, "name"), NULL), .addresses = list };
	auto_str struct str certificate = { 0 };
	struct pki_ca ca = { 0 };
	int r;

	for (size_t i = 0; i < json_count(addresses) && i < PKI_ADDRESSES_MAX; i++)
		list[host.address_count++] = json_string(json_at(addresses, i), "");
	r = pki_sign_host(core->membership->tls, request, strlen(request), &host, &certificate, err);
	if (r == 0)
		r = pki_get_ca(core->membership->tls, &ca, err);
	if (r == 0)
		r = write_answer(core, str_text(&certificate), &ca, ret_answer, err);
	pki_ca_done(&ca);
	return r;
}

static void admitted(void *data, const struct store_result *result)
{
	auto_free struct admission *admission = data;
	struct err err = result->err;

	if (err.code == -ESTALE)
		err_set(&err, -EACCES, "this token has just been used by another host: make a new one with 'strata cluster token'");
	if (err.code < 0)
		answer_err(admission->call, &err);
	else
		answer_json(admission->call, 200, &admission->answer);
	str_done(&admission->answer);
}

static int check(struct core *core, const struct json *body, const char *key, uint64_t *ret_revision, struct err *err)
{
	const char *uid = json_string(json_get(body, "uid"), "");
	int r = check_in_cluster(core->membership, err);

	if (r == 0)
		r = check_token(core, body, key, ret_revision, err);
	if (r == 0)
		r = check_clock(core, body, err);
	if (r == 0)
		r = check_uid(core, uid, err);
	return r < 0 ? r : check_name(core, json_string(json_get(body, "name"), ""), uid, err);
}

void cluster_admit(struct core *core, struct call *call)
{
	const char *name = json_string(json_get(call->body, "name"), ""), *uid = json_string(json_get(call->body, "uid"), "");
	auto_free char *key = text_format("token/%s", json_string(json_get(call->body, "token_id"), ""));
	auto_free char *joining = text_format("joining/%s", uid), *gone = text_format("gone/%s", uid);
	struct admission *admission = alloc(sizeof(*admission));
	auto_str struct str json = { 0 };
	struct json_writer writer = { .out = &json };
	struct store_txn *txn;
	uint64_t revision = 0;
	struct err err = { 0 };

	*admission = (struct admission){ .core = core, .call = call };
	if (check(core, call->body, key, &revision, &err) < 0 || sign(core, call->body, &admission->answer, &err) < 0) {
		str_done(&admission->answer);
		free(admission);
		answer_err(call, &err);
		return;
	}
	json_write_object(&writer, NULL);
	json_write_string(&writer, "name", name);
	json_write_int(&writer, "at", loop_wall_ms(core->params.loop));
	json_write_end_object(&writer);
	txn = store_txn_new();
	store_txn_guard(txn, STORE_UNCHANGED, key, revision);
	store_txn_delete(txn, key);
	store_txn_put(txn, joining, json.data, json.size, 0);
	store_txn_delete(txn, gone);
	objects_put_event(core->objects, txn, &kinds[KIND_NODE], &core->node->meta, "joined", false, "node '%s' joins the cluster", name);
	store_submit(core->params.store, txn, admitted, admission);
}
