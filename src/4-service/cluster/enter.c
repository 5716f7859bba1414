/*
 * enter.c - this host joins a cluster: it asks one of the hosts that its token names, and takes what that answers.
 *
 * The key of its certificate is made here and stays here. What the host had by itself (the default network and pool) is
 * set aside: the cluster's are used.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "4-service/cluster/private.h"
#include "4-service/peer/peer.h"
#include "4-service/pki/join_token.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { ANSWER_MS = 30000 };

struct enter { struct join_token token; };

/* ---- In the worker ---- */

static void write_request(const struct way *way, const struct join_token *token, const char *request, const char *address, struct str *out)
{
	struct json_writer writer = { .out = out };

	json_write_object(&writer, NULL);
	json_write_string(&writer, "token_id", token->id);
	json_write_string(&writer, "secret", token->secret);
	json_write_string(&writer, "name", way->settings.name);
	json_write_string(&writer, "uid", way->node_uid);
	json_write_string(&writer, "csr", request);
	json_write_int(&writer, "time", clock_wall_ms());
	json_write_array(&writer, "addresses");
	json_write_string(&writer, NULL, address);
	json_write_end_array(&writer);
	json_write_end_object(&writer);
}

/* Could another host of the cluster do better? */
static bool is_unreached(int code)
{
	return code == -EHOSTUNREACH || code == -ETIMEDOUT || code == -ECONNREFUSED || code == -EAGAIN;
}

static int ask(const struct way *way, const char *request, struct json **ret_answer, struct err *err)
{
	const struct join_token *token = &((struct enter *)way->data)->token;
	auto_free char *address = NULL, *unused = NULL;
	auto_str struct str body = { 0 };
	int r = cluster_address_parse(way->settings.address, &address, &unused, err);

	if (r < 0)
		return r;
	write_request(way, token, request, address, &body);
	for (size_t i = 0; i < token->address_count; i++) {
		const struct peer_request ask = {
			.address = token->addresses[i], .method = "POST", .path = "/v1/cluster/join", .body = body.data,
			.ca_fingerprint = token->ca_fingerprint, .timeout_ms = ANSWER_MS,
		};

		r = peer_ask(&ask, ret_answer, err);
		if (r == 0 || !is_unreached(r))
			return r;
	}
	return r;
}

/* The files of an etcd that is not ours lie beside. */
static int store_external(const struct way *way, const struct json *answer, const char *key, char **ret_path, struct err *err)
{
	const char *text = json_string(json_get(answer, key), NULL);
	auto_free char *folder = text_format("%s/tls-etcd", way->directory), *path = text_format("%s/%s.pem", folder, key);
	int r;

	if (!text)
		return 0;
	r = file_make_dirs(folder, 0700, err);
	if (r == 0)
		r = file_write_atomic(path, text, strlen(text), 0600, err);
	if (r == 0)
		*ret_path = take(path);
	return r;
}

static int take_answer(struct way *way, const struct json *answer, struct err *err)
{
	struct cluster_settings *settings = &way->settings;
	const struct json *endpoints = json_get(answer, "endpoints");
	int r = 0;

	settings->uid = text_copy(json_string(json_get(answer, "cluster"), NULL));
	settings->prefix = text_copy(json_string(json_get(answer, "prefix"), NULL));
	settings->external = json_bool(json_get(answer, "external"), false);
	for (size_t i = 0; i < json_count(endpoints); i++)
		*(char **)field_list_push(&settings->endpoints, sizeof(char *)) = text_copy(json_string(json_at(endpoints, i), ""));
	if (!settings->uid || !settings->prefix || !settings->endpoints.count)
		return err_set(err, -EPROTO, "the answer lacks 'cluster', 'prefix' or 'endpoints': do both hosts run the same version of Strata?");
	r = store_external(way, answer, "etcd_ca", &settings->etcd_ca, err);
	if (r == 0)
		r = store_external(way, answer, "etcd_certificate", &settings->etcd_certificate, err);
	return r < 0 ? r : store_external(way, answer, "etcd_key", &settings->etcd_key, err);
}

static int store_certificates(const struct way *way, const struct json *answer, const char *folder, struct err *err)
{
	struct pki_ca ca = { 0 };
	int r;

	str_append(&ca.certificate, json_string(json_get(answer, "ca"), ""));
	str_append(&ca.key, json_string(json_get(answer, "ca_key"), ""));
	r = pki_store_host(folder, way->node_uid, json_string(json_get(answer, "certificate"), ""), &ca, err);
	pki_ca_done(&ca);
	return r;
}

static int run_enter(struct way *way, struct err *err)
{
	auto_free char *folder = text_format("%s/tls", way->directory);
	auto_json struct json *answer = NULL;
	auto_str struct str request = { 0 };
	int r = pki_make_request(folder, &request, err);

	way_step(way, "asking the cluster");
	if (r == 0)
		r = ask(way, str_text(&request), &answer, err);
	if (r == 0)
		r = take_answer(way, answer, err);
	way_step(way, "taking its store");
	if (r == 0)
		r = store_certificates(way, answer, folder, err);
	return r < 0 ? r : cluster_file_write(way->directory, &way->settings, err);
}

static void enter_done(struct way *way)
{
	struct enter *enter = way->data;

	join_token_done(&enter->token);
	free(enter);
}

/* ---- The call ---- */

static int check_token(const struct join_token *token, struct err *err)
{
	if (token->expires_at_s >= clock_wall_ms() / 1000)
		return 0;
	return err_set(err, -EACCES, "this token has ended (by the clock of this host): make a new one with 'strata cluster token'");
}

/* Hosts that are all on this machine may be reached at its loopback address. */
static int check_reachable(const struct join_token *token, const char *address, struct err *err)
{
	auto_free char *theirs = NULL, *unused = NULL;
	int r = cluster_address_parse(token->addresses[0], &theirs, &unused, err);

	if (r < 0 || !cluster_address_is_loopback(address) || cluster_address_is_loopback(theirs))
		return r;
	return err_set(err, -EINVAL, "address: '%s' is no address that others can reach: name that of one interface", shown(address));
}

static int take_request(struct core *core, const struct json *body, struct join_token *token, struct cluster_settings *settings, struct err *err)
{
	const char *address = json_string(json_get(body, "address"), NULL), *name = json_string(json_get(body, "name"), core->node->meta.name);
	auto_free char *guessed = NULL, *numeric = NULL;
	int r = join_token_parse(json_string(json_get(body, "token"), ""), token, err);

	if (r == 0)
		r = check_single(core->membership, err);
	if (r == 0)
		r = check_token(token, err);
	if (r == 0)
		r = check_empty(core, "a host that joins takes over the store of the others; export what shall be kept "
				"('strata export', 'strata volume backup') and remove it", err);
	if (r == 0)
		r = name_check(name, err);
	if (r == 0 && !address)
		r = cluster_address_guess(token->addresses[0], &guessed, err);
	settings->name = text_copy(name);
	if (r == 0)
		r = cluster_address_parse(address ? address : guessed, &numeric, &settings->address, err);
	if (r == 0)
		r = check_reachable(token, numeric, err);
	return r < 0 ? r : cluster_address_check(settings->address, core->config.api.listen, err);
}

void cluster_enter(struct core *core, struct call *call)
{
	struct enter *enter = alloc(sizeof(*enter));
	struct cluster_settings settings = { 0 };
	struct err err = { 0 };

	if (take_request(core, call->body, &enter->token, &settings, &err) == 0) {
		way_begin(core->membership, call, &settings, run_enter, enter_done, enter);
		return;
	}
	field_done(&cluster_settings_table, &settings);
	join_token_done(&enter->token);
	free(enter);
	answer_err(call, &err);
}
