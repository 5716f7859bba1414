/*
 * init.c - a host by itself makes a cluster: its objects go from SQLite into an etcd.
 *
 * Everything is copied while the store is held still; then the file "cluster" appears. Before that the host is what it was: an etcd
 * that was begun goes at the next start, and in an etcd of others the next try uses the same prefix (kept in "cluster.new") and
 * empties it first.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "4-service/cluster/private.h"
#include "4-service/cluster/store_copy.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

struct init { char uid[37]; };

static char *kept_path(const struct way *way)
{
	return text_format("%s/cluster.new", way->directory);
}

/* The uid of a try that was cut off, else 'uid'. */
static int keep_uid(const struct way *way, char uid[37], struct err *err)
{
	auto_free char *path = kept_path(way);
	auto_str struct str text = { 0 };
	struct err ignored;

	if (file_read_all(path, 64, &text, &ignored) == 0 && text.size == 36 && strspn(text.data, "0123456789abcdef-") == 36) {
		memcpy(uid, text.data, 37);
		return 0;
	}
	return file_write_atomic(path, uid, 36, 0600, err);
}

static int make_certificates(struct way *way, struct err *err)
{
	auto_free char *folder = text_format("%s/tls", way->directory), *address = NULL, *listen = NULL;
	struct pki_host host = { .uid = way->node_uid, .name = way->settings.name, .address_count = 1 };
	int r = cluster_address_parse(way->settings.address, &address, &listen, err);

	if (r < 0)
		return r;
	host.addresses = (const char *const[]){ address };
	r = pki_make_ca(folder, err);
	if (r == 0)
		r = pki_prepare_host(folder, &host, err);
	return r;
}

static int found_etcd(struct way *way, struct err *err)
{
	struct cluster_place place = { 0 };
	char *url;
	int r = cluster_place_init(way->directory, way->node_uid, way->cluster->params->cgroup, way->settings.address, &place, err);

	if (r == 0)
		r = way->cluster->params->member->found(&place.params, way->settings.uid, err);
	if (r == 0) {
		url = member_client_url(&place.params);
		*(char **)field_list_push(&way->settings.endpoints, sizeof(char *)) = url;
		way->settings.member = true;
	}
	cluster_place_done(&place);
	return r;
}

static void remove_etcd(struct way *way)
{
	struct cluster_place place = { 0 };
	struct err ignored;

	if (!way->settings.external && cluster_place_init(way->directory, way->node_uid, way->cluster->params->cgroup, way->settings.address,
							  &place, &ignored) == 0)
		way->cluster->params->member->stop(&place.params, true, &ignored);
	cluster_place_done(&place);
}

static int put_list(struct store_copy *copy, const char *key, const char *name, const char *const *items, size_t count, struct err *err)
{
	auto_str struct str json = { 0 };

	list_write(name, items, count, &json);
	return store_copy_put(copy, key, json.data, json.size, err);
}

/* Last: where this key is, all others are. */
static int put_own(struct way *way, struct store_copy *copy, struct err *err)
{
	const struct cluster_settings *settings = &way->settings;
	int r = 0;

	if (!settings->external) {
		r = put_list(copy, NOTE_ENDPOINTS, "endpoints", settings->endpoints.items, settings->endpoints.count, err);
		if (r == 0)
			r = put_list(copy, NOTE_MEMBERS, "members", &way->node_uid, 1, err);
	}
	if (r == 0)
		r = store_copy_flush(copy, err);
	if (r == 0)
		r = store_copy_put(copy, NOTE_COMPLETE, settings->uid, strlen(settings->uid), err);
	return r < 0 ? r : store_copy_flush(copy, err);
}

static int copy_all(struct way *way, struct store_copy *copy, struct err *err)
{
	int r = store_copy_clear(copy, err);

	if (r == 0)
		r = store_tell(way->store, "", store_copy_put_kv, copy, err);
	if (r == 0)
		r = store_copy_flush(copy, err);
	if (r == 0)
		r = store_copy_verify(copy, err);
	return r < 0 ? r : put_own(way, copy, err);
}

/* What there was, for the day that somebody wants it back. */
static int keep_old_store(struct way *way, struct err *err)
{
	auto_free char *path = text_format("%s/store.db.before-cluster", way->directory), *next = text_format("%s.new", path);
	int r;

	unlink(next);
	r = store_backup(way->store, next, err);
	if (r == 0 && rename(next, path) < 0)
		r = err_set(err, -errno, "rename '%s': %m", next);
	return r;
}

static int move_store(struct way *way, struct err *err)
{
	struct cluster_access access;
	struct store_copy copy = { 0 };
	int r;

	cluster_access_init(way->directory, &way->settings, way->node_uid, &access);
	r = store_copy_open(way->cluster->params->shared, &(struct store_params){ .etcd = &access.etcd }, &copy, err);
	if (r == 0)
		r = copy_all(way, &copy, err);
	store_copy_close(&copy);
	cluster_access_done(&access);
	if (r == 0)
		r = keep_old_store(way, err);
	return r < 0 ? r : cluster_file_write(way->directory, &way->settings, err);
}

static int run_init(struct way *way, struct err *err)
{
	auto_free char *kept = kept_path(way);
	struct init *init = way->data;
	int r = keep_uid(way, init->uid, err);

	text_replace(&way->settings.uid, init->uid);
	free(way->settings.prefix);
	way->settings.prefix = text_format("/strata/%s/", init->uid);
	way_step(way, "making certificates");
	if (r == 0)
		r = make_certificates(way, err);
	if (r == 0 && !way->settings.external) {
		way_step(way, "starting etcd");
		r = found_etcd(way, err);
		if (r < 0)
			remove_etcd(way);
	}
	if (r < 0)
		return r;
	way_step(way, "moving the store into etcd");
	store_freeze(way->store);
	r = move_store(way, err);
	if (r == 0) {
		unlink(kept);
		return 0;
	}
	store_release(way->store);
	remove_etcd(way);
	return r;
}

static void init_done(struct way *way)
{
	free(way->data);
}

/* ---- The call ---- */

static void take_external(const struct json *etcd, struct cluster_settings *settings)
{
	const struct json *endpoints = json_get(etcd, "endpoints");

	for (size_t i = 0; i < json_count(endpoints); i++)
		*(char **)field_list_push(&settings->endpoints, sizeof(char *)) = text_copy(json_string(json_at(endpoints, i), ""));
	settings->external = settings->endpoints.count > 0;
	settings->etcd_ca = text_copy(json_string(json_get(etcd, "ca"), NULL));
	settings->etcd_certificate = text_copy(json_string(json_get(etcd, "certificate"), NULL));
	settings->etcd_key = text_copy(json_string(json_get(etcd, "key"), NULL));
}

static int take_request(struct core *core, const struct json *body, struct cluster_settings *settings, struct err *err)
{
	const char *address = json_string(json_get(body, "address"), NULL);
	auto_free char *guessed = NULL, *unused = NULL;
	int r = check_single(core->membership, err);

	settings->name = text_copy(core->node->meta.name);
	take_external(json_get(body, "etcd"), settings);
	if (r == 0 && !address)
		r = cluster_address_guess(NULL, &guessed, err);
	if (r == 0)
		r = cluster_address_parse(address ? address : guessed, &unused, &settings->address, err);
	return r < 0 ? r : cluster_address_check(settings->address, core->config.api.listen, err);
}

void cluster_init(struct core *core, struct call *call)
{
	struct cluster_settings settings = { 0 };
	struct init *init;
	struct err err = { 0 };

	if (take_request(core, call->body, &settings, &err) < 0) {
		field_done(&cluster_settings_table, &settings);
		answer_err(call, &err);
		return;
	}
	init = alloc(sizeof(*init));
	rng_uuid(core->params.rng, init->uid);
	way_begin(core->membership, call, &settings, run_init, init_done, init);
}
