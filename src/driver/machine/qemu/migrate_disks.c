/*
 * Theory of operation.
 *
 * A disk that is not shared is copied by a mirror job of the source's QEMU into the disk of the waiting machine, which that
 * one offers over NBD. Only the top layer is copied: what is below it is the same on both sides. The mirror is
 * active (write-blocking): once it has caught up, a guest's write ends when both disks have it, so that nothing is left to copy
 * when the guest stops. An error of the copy lets the job wait for us and is none of the guest's.
 *
 * Job and node of a copy are called "m-" and the disk's serial; so the next daemon finds them.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "driver/machine/qemu/disk.h"
#include "driver/machine/qemu/migrate.h"

enum { POLL_MS = 2 };

static void copy_name(const char *disk, char name[DISK_NAME_SIZE])
{
	char serial[DISK_NAME_SIZE];

	disk_serial(disk, serial);
	snprintf(name, DISK_NAME_SIZE, "m-%.20s", serial);
}

/* Checks */

static const struct json *find_node(const struct json *reply, const char *name)
{
	const struct json *nodes = json_get(reply, "return");

	for (size_t i = 0; i < json_count(nodes); i++)
		if (text_equal(json_string(json_get(json_at(nodes, i), "node-name"), NULL), name))
			return json_at(nodes, i);
	return NULL;
}

static int check_disk(const struct json *reply, const char *disk, struct err *err)
{
	const struct json *node;
	char name[DISK_NAME_SIZE];

	disk_node(disk, 0, name);
	node = find_node(reply, name);
	if (!node)
		return err_set(err, -ENOENT, "the machine has no disk '%s'", shown(disk));
	if (json_bool(json_get(node, "ro"), false))
		return err_set(err, -EOPNOTSUPP, "disk '%s' is read-only and cannot be copied live: bring its content to the destination before",
			       shown(disk));
	if (json_count(json_path(node, "image.snapshots")))
		return err_set(err, -EOPNOTSUPP, "disk '%s' has snapshots, which would be left behind: remove them, use a shared pool, "
			       "or move the instance while it is stopped", shown(disk));
	return 0;
}

int migrate_check_disks(struct qmp *qmp, const char *const *copied, struct err *err)
{
	auto_json struct json *reply = NULL;
	int r = migrate_call(qmp, "query-named-block-nodes", "{\"flat\":true}", &reply, err);

	if (r == 0 && json_count(json_path(find_node(reply, "nvram"), "image.snapshots")))
		return err_set(err, -EOPNOTSUPP, "the UEFI variables have snapshots, which would be left behind: "
			       "remove the snapshots with memory");
	for (; r == 0 && copied && *copied; copied++)
		r = check_disk(reply, *copied, err);
	return r;
}

/* Begin */

/* QEMU waits for the server's greeting while it holds everything else still: so it only gets a connection that has one. */
static int wait_for_greeting(int fd, struct err *err)
{
	struct pollfd waiting = { .fd = fd, .events = POLLIN };

	if (poll(&waiting, 1, MIGRATE_CONNECT_MS) > 0)
		return 0;
	return err_set(err, -ETIMEDOUT, "the destination does not offer its disks");
}

static int add_node(struct qmp *qmp, const char *disk, const char *name, const struct machine_migration *migration, struct err *err)
{
	auto_str struct str arguments = { 0 };
	struct json_writer writer = { .out = &arguments };
	char export[DISK_NAME_SIZE];
	struct err refusal;

	disk_node(disk, 0, export);
	json_write_object(&writer, NULL);
	json_write_string(&writer, "driver", "nbd");
	json_write_string(&writer, "node-name", name);
	json_write_string(&writer, "export", export);
	json_write_object(&writer, "server");
	json_write_string(&writer, "type", "fd");
	json_write_string(&writer, "str", name);
	json_write_end_object(&writer);
	if (migration->tls) {
		json_write_string(&writer, "tls-creds", MIGRATE_TLS);
		json_write_string(&writer, "tls-hostname", migration->server);
	}
	json_write_end_object(&writer);
	return migrate_call(qmp, "blockdev-add", arguments.data, NULL, &refusal) < 0 ? migrate_failure(refusal.msg, err) : 0;
}

static int add_job(struct qmp *qmp, const char *disk, const char *name, uint64_t bytes_per_s, struct err *err)
{
	auto_str struct str arguments = { 0 };
	struct json_writer writer = { .out = &arguments };
	char device[DISK_NAME_SIZE];

	disk_node(disk, 0, device);
	json_write_object(&writer, NULL);
	json_write_string(&writer, "job-id", name);
	json_write_string(&writer, "device", device);
	json_write_string(&writer, "target", name);
	json_write_string(&writer, "sync", "top");
	json_write_string(&writer, "copy-mode", "write-blocking");
	json_write_string(&writer, "on-target-error", "stop");
	json_write_bool(&writer, "auto-dismiss", false);
	json_write_uint(&writer, "speed", bytes_per_s);
	json_write_end_object(&writer);
	return migrate_call(qmp, "blockdev-mirror", arguments.data, NULL, err);
}

int migrate_start_disk(struct qmp *qmp, const char *disk, const struct machine_migration *migration, struct err *err)
{
	auto_close int fd = migrate_connect(migration->address, migration->ports.disks, err);
	char name[DISK_NAME_SIZE];
	int r = fd < 0 ? fd : wait_for_greeting(fd, err);

	copy_name(disk, name);
	if (r == 0)
		r = migrate_hand_socket(qmp, fd, name, err);
	if (r == 0)
		r = add_node(qmp, disk, name, migration, err);
	if (r == 0)
		r = add_job(qmp, disk, name, migration->bytes_per_s, err);
	return r < 0 ? err_prefix(err, "copy disk '%s'", shown(disk)) : 0;
}

/* Watch */

int migrate_look_at_disks(struct qmp *qmp, const char *const *copied, uint64_t *ret_done, uint64_t *ret_total, struct err *err)
{
	auto_json struct json *reply = NULL;
	int r = migrate_call(qmp, "query-block-jobs", NULL, &reply, err), is_ready = 1;

	*ret_done = *ret_total = 0;
	for (; r == 0 && copied && *copied; copied++) {
		char name[DISK_NAME_SIZE], reason[160];
		enum migrate_job job;
		uint64_t done, total;

		copy_name(*copied, name);
		job = migrate_job_read(reply, name, &done, &total, reason);
		if (job == MIGRATE_JOB_GONE || job == MIGRATE_JOB_STUCK || job == MIGRATE_JOB_ENDED)
			return err_set(err, -EIO, "copy disk '%s': %s", shown(*copied), reason[0] ? reason : "the copy ended before its time");
		if (job != MIGRATE_JOB_READY)
			is_ready = 0;
		*ret_done += done;
		*ret_total += total;
	}
	return r < 0 ? r : is_ready;
}

/* End */

static int call_with_name(struct qmp *qmp, const char *command, const char *key, const char *name, struct err *err)
{
	auto_free char *arguments = text_format("{\"%s\":\"%s\"}", key, name);

	return migrate_call(qmp, command, arguments, NULL, err);
}

static int wait_for_job(struct qmp *qmp, const char *name, bool is_cancelled, struct err *err)
{
	struct deadline deadline = deadline_in(QMP_TIMEOUT_MS);
	enum migrate_job job = MIGRATE_JOB_READY;
	char reason[160] = "";

	for (;;) {
		auto_json struct json *reply = NULL;
		uint64_t done, total;
		int r = migrate_call(qmp, "query-block-jobs", NULL, &reply, err);

		if (r < 0)
			return r;
		job = migrate_job_read(reply, name, &done, &total, reason);
		if (job == MIGRATE_JOB_GONE)
			return 0;
		if (job == MIGRATE_JOB_STUCK && !is_cancelled)
			return err_set(err, -EIO, "%s", reason);
		if (job == MIGRATE_JOB_ENDED && call_with_name(qmp, "job-dismiss", "id", name, err) == 0)
			return reason[0] ? err_set(err, -EIO, "%s", reason) : 0;
		if (deadline_left_ms(deadline) == 0)
			return err_set(err, -ETIMEDOUT, "the copy does not end");
		poll(NULL, 0, POLL_MS);
	}
}

int migrate_finish_disks(struct qmp *qmp, const char *const *copied, struct err *err)
{
	char name[DISK_NAME_SIZE];
	int r = 0;

	for (size_t i = 0; r == 0 && copied && copied[i]; i++) {
		copy_name(copied[i], name);
		r = call_with_name(qmp, "block-job-cancel", "device", name, err);
	}
	for (size_t i = 0; r == 0 && copied && copied[i]; i++) {
		copy_name(copied[i], name);
		r = wait_for_job(qmp, name, false, err);
		if (r == 0)
			r = call_with_name(qmp, "blockdev-del", "node-name", name, err);
		if (r < 0)
			err_prefix(err, "copy disk '%s'", shown(copied[i]));
	}
	return r;
}

static int find_copies(struct qmp *qmp, struct json **ret_reply, struct err *err)
{
	return migrate_call(qmp, "query-named-block-nodes", "{\"flat\":true}", ret_reply, err);
}

/* The i-th node's name when it is a copy, or null. */
static const char *copy_at(const struct json *reply, size_t i)
{
	const char *name = json_string(json_get(json_at(json_get(reply, "return"), i), "node-name"), "");

	return text_starts_with(name, "m-") ? name : NULL;
}

int migrate_cut_disks(struct qmp *qmp, struct err *err)
{
	auto_json struct json *reply = NULL;
	int r = find_copies(qmp, &reply, err), count = 0;

	for (size_t i = 0; r == 0 && i < json_count(json_get(reply, "return")); i++) {
		const char *name = copy_at(reply, i);
		auto_free char *yank = text_format("{\"instances\":[{\"type\":\"block-node\",\"node-name\":\"%s\"}]}", name ? name : "");

		if (!name)
			continue;
		count++;
		migrate_call(qmp, "yank", yank, NULL, &(struct err){ 0 });
	}
	return r < 0 ? r : count;
}

int migrate_drop_disks(struct qmp *qmp, struct err *err)
{
	auto_json struct json *reply = NULL;
	int r = find_copies(qmp, &reply, err);

	for (size_t i = 0; i < json_count(json_get(reply, "return")); i++) {
		const char *name = copy_at(reply, i);
		auto_free char *cancel = text_format("{\"device\":\"%s\",\"force\":true}", name ? name : "");
		struct err ignored;

		if (!name)
			continue;
		migrate_call(qmp, "block-job-cancel", cancel, NULL, &ignored);
		wait_for_job(qmp, name, true, &ignored);
		if (call_with_name(qmp, "blockdev-del", "node-name", name, err) < 0)
			r = err->code;
	}
	return r;
}
