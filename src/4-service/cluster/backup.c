/*
 * backup.c - all objects of a cluster as one file, and back.
 *
 * The file is that of a host by itself (SQLite, driver/store/sqlite): 'strata backup' writes the same, 'strata restore' and
 * 'strata cluster import' take either.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "4-service/cluster/private.h"
#include "4-service/cluster/store_copy.h"
#include "base/mem.h"
#include "base/str.h"

int cluster_backup(const struct cluster_params *params, struct store *store, const char *path, struct err *err)
{
	struct store_copy copy = { 0 };
	int r = store_copy_open(params->file, &(struct store_params){ .path = path }, &copy, err);

	if (r == 0) {
		store_freeze(store);
		r = store_tell(store, "", store_copy_put_kv, &copy, err);
		store_release(store);
	}
	if (r == 0)
		r = store_copy_flush(&copy, err);
	store_copy_close(&copy);
	auto_free char *lock = text_format("%s.lock", path);
	unlink(lock);
	return r;
}

/* ---- Back ---- */

struct import { char *upload; };

/* The file takes the place of the store. */
static int import_to_file(struct way *way, const char *upload, struct err *err)
{
	auto_free char *next = text_format("%s/store.db.new-import", way->directory), *path = text_format("%s/store.db", way->directory);
	auto_free char *log = text_format("%s-wal", path), *index = text_format("%s-shm", path), *lock = text_format("%s.lock", next);
	struct store_copy copy = { 0 };
	int r;

	unlink(next);
	r = store_copy_open(way->cluster->params->file, &(struct store_params){ .path = next }, &copy, err);
	if (r == 0)
		r = store_copy_all_from(&copy, way->cluster->params->file, &(struct store_params){ .path = upload }, err);
	store_copy_close(&copy);
	unlink(lock);
	if (r < 0)
		return r;
	store_freeze(way->store);
	/* A log without its store would be taken for that of the new one. All objects of the old one may go: it is empty. */
	unlink(log);
	unlink(index);
	if (rename(next, path) == 0)
		return 0;
	store_release(way->store);
	return err_set(err, -errno, "rename '%s': %m", next);
}

static int import_to_etcd(struct way *way, const char *upload, struct err *err)
{
	struct cluster_access access;
	struct store_copy copy = { 0 };
	int r;

	cluster_access_init(way->directory, &way->settings, "import", &access);
	r = store_copy_open(way->cluster->params->shared, &(struct store_params){ .etcd = &access.etcd }, &copy, err);
	if (r == 0)
		r = store_copy_clear(&copy, err);
	if (r == 0)
		r = store_copy_all_from(&copy, way->cluster->params->file, &(struct store_params){ .path = upload }, err);
	store_copy_close(&copy);
	cluster_access_done(&access);
	return r;
}

static int run_import(struct way *way, struct err *err)
{
	const struct import *import = way->data;
	int r;

	way_step(way, "importing");
	r = way->settings.uid ? import_to_etcd(way, import->upload, err) : import_to_file(way, import->upload, err);
	unlink(import->upload);
	return r;
}

static void import_done(struct way *way)
{
	struct import *import = way->data;

	free(import->upload);
	free(import);
}

static int check(struct core *core, const char *upload, struct err *err)
{
	auto_free char *path = agent_staging_path(core->agent, upload);

	if (core->membership->state == CLUSTER_MOVING)
		return check_in_cluster(core->membership, err);
	if (!upload[0] || strspn(upload, "0123456789abcdefghijklmnopqrstuvwxyz-") != strlen(upload) || access(path, R_OK) < 0)
		return err_set(err, -EINVAL, "upload: '%s' is not the id of an upload: send the file to /v1/uploads first", shown(upload));
	return check_empty(core, "an import replaces everything; remove it first", err);
}

void cluster_import(struct core *core, struct call *call)
{
	const char *upload = json_string(json_get(call->body, "upload"), "");
	struct cluster_settings settings = { 0 };
	struct import *import;
	struct err err = { 0 };

	if (check(core, upload, &err) < 0) {
		answer_err(call, &err);
		return;
	}
	field_copy(&cluster_settings_table, &core->membership->settings, &settings);
	import = alloc(sizeof(*import));
	import->upload = agent_staging_path(core->agent, upload);
	way_begin(core->membership, call, &settings, run_import, import_done, import);
}
