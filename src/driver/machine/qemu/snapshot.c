/*
 * Snapshots of a running machine are internal snapshots of its qcow2 disks: all at one instant
 * in a transaction, or together with the memory by a job that stops the guest meanwhile; the
 * memory then lies in the root disk.
 */
#include <errno.h>
#include <stdio.h>

#include "base/file.h"
#include "base/rng.h"
#include "driver/machine/common/run_folder.h"
#include "driver/machine/qemu/disk.h"
#include "driver/machine/qemu/guest_agent.h"
#include "driver/machine/qemu/qemu.h"
#include "driver/machine/qemu/run_dir.h"

struct nodes { VEC(char *) names; };

static void nodes_done(struct nodes *nodes)
{
	for (size_t i = 0; i < nodes->names.count; i++)
		free(nodes->names.items[i]);
	vec_done(&nodes->names);
}

/* The top nodes of all writable disks ("d-...", and "nvram" with the memory), the root disk first; with 'only' of that disk. */
static int find_nodes(struct qmp *qmp, bool has_nvram, const char *only, struct nodes *nodes, struct err *err)
{
	auto_json struct json *reply = NULL;
	const struct json *devices;
	int r = qmp_call(qmp, "query-block", NULL, &reply, err);

	if (r < 0)
		return r;
	devices = json_get(reply, "return");
	for (size_t i = 0; i < json_count(devices); i++) {
		const struct json *inserted = json_get(json_at(devices, i), "inserted");
		const char *name = json_string(json_get(inserted, "node-name"), "");

		if (json_bool(json_get(inserted, "ro"), true))
			continue;
		if (only && !text_equal(name, only))
			continue;
		if (!text_starts_with(name, "d-") && !(has_nvram && text_equal(name, "nvram")))
			continue;
		*vec_push(&nodes->names) = text_copy(name);
		if (text_equal(name, "d-root")) {
			char *last = nodes->names.items[nodes->names.count - 1];

			nodes->names.items[nodes->names.count - 1] = nodes->names.items[0];
			nodes->names.items[0] = last;
		}
	}
	if (!nodes->names.count && only)
		return err_set(err, -ENOENT, "the machine has no such disk, or may only read it");
	return nodes->names.count ? 0 : err_set(err, -EOPNOTSUPP, "this machine has no writable disk to snapshot");
}

/* Disks only */

static int snapshot_disks(struct qmp *qmp, const struct nodes *nodes, const char *snapshot, struct err *err)
{
	auto_str struct str arguments = { 0 };
	struct json_writer writer = { .out = &arguments };

	json_write_object(&writer, NULL);
	json_write_array(&writer, "actions");
	for (size_t i = 0; i < nodes->names.count; i++) {
		json_write_object(&writer, NULL);
		json_write_string(&writer, "type", "blockdev-snapshot-internal-sync");
		json_write_object(&writer, "data");
		json_write_string(&writer, "device", nodes->names.items[i]);
		json_write_string(&writer, "name", snapshot);
		json_write_end_object(&writer);
		json_write_end_object(&writer);
	}
	json_write_end_array(&writer);
	json_write_end_object(&writer);
	return qmp_call(qmp, "transaction", arguments.data, NULL, err);
}

/*
 * The guest's file systems are written out and held still meanwhile, when it has an agent that can. A daemon that
 * dies in between leaves the mark "frozen" in the run directory, and the next one thaws (qemu_thaw).
 */

int qemu_thaw(struct qemu *qemu, const char *uid)
{
	struct err err;
	auto_close int run_dir = run_folder_open(qemu->directory_fd, uid, &err);

	if (run_dir < 0 || !run_folder_is_marked(run_dir, "frozen"))
		return 0;
	/* An agent that is not there has nothing frozen: it is asked before anything is. */
	if (guest_agent_call(qemu, uid, "guest-fsfreeze-thaw", NULL, NULL, &err) < 0 && err.code == -ETIMEDOUT)
		return err.code;
	return run_dir_mark_frozen(run_dir, false, &err);
}

static void freeze(struct qemu *qemu, const char *uid)
{
	struct err ignored;
	auto_close int run_dir = run_folder_open(qemu->directory_fd, uid, &ignored);

	if (run_dir < 0 || guest_agent_check(qemu, uid, &ignored) < 0 || run_dir_mark_frozen(run_dir, true, &ignored) < 0)
		return;
	/* Not every guest can: then its disks are as after a power cut, which file systems survive. */
	guest_agent_call(qemu, uid, "guest-fsfreeze-freeze", NULL, NULL, &ignored);
}

static int snapshot_frozen(struct qemu *qemu, const char *uid, struct qmp *qmp, const struct nodes *nodes, const char *snapshot,
			   struct err *err)
{
	int r;

	freeze(qemu, uid);
	r = snapshot_disks(qmp, nodes, snapshot, err);
	qemu_thaw(qemu, uid);
	return r;
}

/* With memory */

static void write_job(const char *job, const char *snapshot, const char *vmstate, const struct nodes *nodes, struct str *out)
{
	struct json_writer writer = { .out = out };

	json_write_object(&writer, NULL);
	json_write_string(&writer, "job-id", job);
	json_write_string(&writer, "tag", snapshot);
	if (vmstate)
		json_write_string(&writer, "vmstate", vmstate);
	json_write_array(&writer, "devices");
	for (size_t i = 0; i < nodes->names.count; i++)
		json_write_string(&writer, NULL, nodes->names.items[i]);
	json_write_end_array(&writer);
	json_write_end_object(&writer);
}

static int run_job(struct qmp *qmp, const char *command, const char *snapshot, const char *vmstate, const struct nodes *nodes, struct err *err)
{
	auto_str struct str arguments = { 0 };
	char job[37];
	struct rng rng;
	int r;

	/* A name of its own, because a daemon that died may have left a job behind. */
	rng_init_random(&rng);
	rng_uuid(&rng, job);
	job[0] = 's';			/* QEMU's ids begin with a letter. */
	write_job(job, snapshot, vmstate, nodes, &arguments);
	r = qmp_call(qmp, command, arguments.data, NULL, err);
	return r < 0 ? r : qmp_wait_job(qmp, job, err);
}

/* Operations */

int qemu_snapshot_load(struct qmp *qmp, const char *snapshot, struct err *err)
{
	struct nodes nodes = { 0 };
	int r = find_nodes(qmp, true, NULL, &nodes, err);

	if (r == 0)
		r = run_job(qmp, "snapshot-load", snapshot, nodes.names.items[0], &nodes, err);
	nodes_done(&nodes);
	return r < 0 ? r : qmp_call(qmp, "cont", NULL, NULL, err);
}

int qemu_snapshot_create(struct machine_driver *driver, const char *uid, const char *snapshot, bool has_memory, struct err *err)
{
	struct nodes nodes = { 0 };
	auto_qmp struct qmp qmp;
	int r = qemu_connect(qemu_of(driver), uid, QMP_JOB_TIMEOUT_MS, &qmp, err);

	if (r == 0)
		r = find_nodes(&qmp, has_memory, NULL, &nodes, err);
	if (r == 0 && has_memory)
		r = run_job(&qmp, "snapshot-save", snapshot, nodes.names.items[0], &nodes, err);
	else if (r == 0)
		r = snapshot_frozen(qemu_of(driver), uid, &qmp, &nodes, snapshot, err);
	nodes_done(&nodes);
	return r < 0 ? err_prefix(err, "snapshot '%s'", shown(snapshot)) : 0;
}

int qemu_disk_snapshot(struct machine_driver *driver, const char *uid, const char *disk, const char *snapshot, struct err *err)
{
	char node[DISK_NAME_SIZE];
	struct nodes nodes = { 0 };
	auto_qmp struct qmp qmp;
	int r = qemu_connect(qemu_of(driver), uid, QMP_JOB_TIMEOUT_MS, &qmp, err);

	disk_node(disk, 0, node);
	if (r == 0)
		r = find_nodes(&qmp, false, node, &nodes, err);
	if (r == 0)
		r = snapshot_frozen(qemu_of(driver), uid, &qmp, &nodes, snapshot, err);
	nodes_done(&nodes);
	return r < 0 ? err_prefix(err, "snapshot '%s' of disk '%s'", shown(snapshot), shown(disk)) : 0;
}

/* snapshot-delete takes what is there and ignores disks that lack it. */
int qemu_snapshot_remove(struct machine_driver *driver, const char *uid, const char *snapshot, struct err *err)
{
	struct nodes nodes = { 0 };
	auto_qmp struct qmp qmp;
	int r = qemu_connect(qemu_of(driver), uid, QMP_JOB_TIMEOUT_MS, &qmp, err);

	if (r == 0)
		r = find_nodes(&qmp, true, NULL, &nodes, err);
	if (r == 0)
		r = run_job(&qmp, "snapshot-delete", snapshot, NULL, &nodes, err);
	nodes_done(&nodes);
	return r < 0 ? err_prefix(err, "remove snapshot '%s'", shown(snapshot)) : 0;
}
