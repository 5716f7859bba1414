/* move_target.c - the node where the instance should be makes ready for it. */
#include "2-virtualization/agent/move.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/node.h"

/* ---- What is said ---- */

static void told(struct item *item, const struct store_result *result)
{
	if (result->err.code < 0 && !item->is_gone) {
		item->move.told = 0;
		item_retry_in(item, MOVE_RETRY_MS);
	}
}

static void tell(struct item *item, const struct instance *instance, struct move_note *note)
{
	struct agent *agent = item->agent;
	auto_free char *key = move_key(item->uid);
	auto_str struct str json = { 0 };
	struct json_writer writer = { .out = &json };
	struct store_txn *txn = store_txn_new();

	note->serial = instance->spec.move.serial;
	note->node = agent->node;
	field_encode(&move_note_table, note, &writer, NULL);
	item->move.told = note->serial;
	agent_guard_alive(agent, txn);
	objects_guard(agent->params.objects, txn, item->kind, item->uid);
	store_txn_put(txn, key, json.data, json.size, agent->alive_lease);
	item_commit(item, txn, told);
}

/* What an earlier life of this daemon said is not true any more; before it is taken back nothing of it may be touched. */
static void untold(struct item *item, const struct store_result *result)
{
	(void)result;
	item_wake(item);
}

static void untell(struct item *item)
{
	auto_free char *key = move_key(item->uid);
	struct store_txn *txn = store_txn_new();

	store_txn_delete(txn, key);
	item_commit(item, txn, untold);
}

/* ---- In a worker ---- */

int move_fetch(const struct instance_job *job, const char *query, const char *path, struct err *err)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	auto_str struct str url = { 0 };

	if (fd < 0)
		return err_set(err, -errno, "'%s': %m", path);
	str_append(&url, "/v1/instances/");
	str_append_url(&url, job->instance->meta.name);
	str_printf(&url, "/disk?%s", query);
	return job->peers->get(job->peers->data, &job->source, str_text(&url), fd, NULL, err);
}

int move_fetch_files(struct instance_job *job, struct err *err)
{
	static const char *const names[] = { "kernel", "initrd", "cmdline", "nvram", "console.log" };
	int r = file_make_dirs(job->folder, 0700, err);

	for (size_t i = 0; i < ARRAY_COUNT(names) && r == 0; i++) {
		auto_free char *path = text_format("%s/%s", job->folder, names[i]), *query = text_format("file=%s", names[i]);

		r = move_fetch(job, query, path, err);
		if (r < 0)
			unlink(path);
		if (r == -ENOENT)
			r = 0;			/* Not everything has these. */
	}
	return r;
}

/* {"size": bytes, "has_parent": bool} */
static int make_disk(struct instance_job *job, const struct move_disk *disk, struct err *err)
{
	auto_free char *path = text_format("%s/disk.json", job->folder), *query = text_format("disk=%s&part=info", disk->id);
	auto_json struct json *json = NULL;
	auto_str struct str text = { 0 };
	int64_t size;
	bool has_parent;
	int r = move_fetch(job, query, path, err);

	if (r == 0)
		r = file_read_all(path, LIMIT_TEXT_BYTES, &text, err);
	unlink(path);
	if (r == 0)
		r = json_parse(str_text(&text), text.size, &json, err);
	if (r == 0)
		r = disk->driver->ops->remove(disk->driver, disk->volume, err);
	if (r < 0)
		return r;
	size = json_int(json_get(json, "size"), 0);
	has_parent = json_bool(json_get(json, "has_parent"), false);
	return disk->driver->ops->create(disk->driver, disk->volume, VOLUME_BLOCK, has_parent ? job->image->meta.uid : NULL, (uint64_t)size, err);
}

int move_make_disks(struct instance_job *job, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < job->disks->items.count && r == 0; i++)
		r = make_disk(job, &job->disks->items.items[i], err);
	return r;
}

/* Snapshot by snapshot, each with what changed since the one before; the last is what the disk is now. */
static int fetch_disk(struct instance_job *job, const struct move_disk *disk, struct err *err)
{
	auto_free char *path = text_format("%s/disk.stream", job->folder);
	int r = disk->driver->ops->remove(disk->driver, disk->volume, err);

	for (unsigned part = 0; r == 0; part++) {
		auto_free char *query = text_format("disk=%s&part=%u", disk->id, part);
		auto_close int fd = -1;

		r = move_fetch(job, query, path, err);
		if (r == -ENOENT && part)
			break;
		fd = r < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (r == 0 && fd < 0)
			r = err_set(err, -errno, "'%s': %m", path);
		if (r == 0)
			r = disk->driver->ops->receive(disk->driver, disk->volume, fd, NULL, err);
	}
	unlink(path);
	if (r == -ENOENT)
		r = disk->driver->ops->snapshot_remove(disk->driver, disk->volume, MOVE_SNAPSHOT, err);
	return r < 0 ? err_prefix(err, "disk '%s'", disk->id) : 0;
}

int move_fetch_disks(struct instance_job *job, struct err *err)
{
	/* It may have waited for a guest that was stopped instead. */
	int r = job->machine->ops->kill(job->machine, job->instance->meta.uid, err);

	if (r == 0)
		r = move_fetch_files(job, err);
	for (size_t i = 0; i < job->disks->items.count && r == 0; i++)
		r = fetch_disk(job, &job->disks->items.items[i], err);
	return r;
}

/* ---- In the loop ---- */

static void cannot(struct item *item, const struct instance *instance, const char *why)
{
	tell(item, instance, &(struct move_note){ .answer = MOVE_CANNOT, .reason = (char *)why });
}

/* What is to be told when the item is idle again. */
static void received(struct job *base)
{
	struct instance_job *job = container_of(base, struct instance_job, job);
	struct item *item = base->item;

	text_replace(&item->move.failure, base->err.code < 0 ? base->err.msg : NULL);
	item->move.ports = job->ports;
	item->move.pid = job->world.pid;
	item->move.received = job->instance->spec.move.serial;
	item->move.step = job->step;
}

/* "192.0.2.1" of "192.0.2.1:8443", "::1" of "[::1]:8443". */
static char *host_of(const char *address)
{
	const char *colon = address ? strrchr(address, ':') : NULL;
	bool has_brackets = address && address[0] == '[';

	if (!colon)
		return text_copy(address ? address : "127.0.0.1");
	return text_copy_length(address + has_brackets, (size_t)(colon - address) - 2 * has_brackets);
}

static char *own_address(struct agent *agent)
{
	const struct node *node = objects_get(agent->params.objects, KIND_NODE, agent->node);

	return host_of(node ? node->status.address : NULL);
}

static void run_step(struct item *item, const struct instance *instance, enum instance_step step)
{
	struct agent *agent = item->agent;
	struct instance_job *job = instance_job_new(item, instance, (struct instance_decision){ .step = step }, received);
	const struct node *from = objects_get(agent->params.objects, KIND_NODE, instance->status.node);

	/* The machine is what it is at the source. */
	field_done(item->kind->status, &job->instance->status);
	field_copy(item->kind->status, &instance->status, &job->instance->status);
	job->type = text_equal(instance->status.machine, "microvm") ? MACHINE_MICROVM : MACHINE_Q35;
	job->peers = &agent->params.peers;
	job->source = (struct peer){ text_copy(instance->status.node), text_copy(from ? from->meta.name : NULL),
				     text_copy(from ? from->status.address : NULL) };
	job->listen = own_address(agent);
	job->tls = text_copy(agent->params.tls_folder);
	job->disks = move_disks_new(agent, instance);
	item_run(&job->job);
}

/* Networks, pools, the image: what a start here would need too. */
static bool is_prepared(struct item *item, const struct instance *instance)
{
	struct item *image = image_to_wait_for(item->agent, instance_image(item, instance));

	if (!instance_may_start(item, instance) || instance_waits_for_pool(item, instance))
		return false;
	if (!image)
		return true;
	item_wait_for(item, image);
	item_wake(image);
	return false;
}

static void answer(struct item *item, const struct instance *instance)
{
	auto_free char *address = own_address(item->agent);
	struct move_note note = { .answer = item->move.step == STEP_FETCH ? MOVE_HAS_FETCHED : MOVE_IS_READY, .address = address,
				  .memory_port = item->move.ports.memory, .disk_port = item->move.ports.disks };

	item->move.received = 0;
	if (item->move.failure)
		cannot(item, instance, item->move.failure);
	else
		tell(item, instance, &note);
}

static bool is_resting(const struct instance *instance)
{
	return instance->status.move.serial == instance->spec.move.serial && instance->status.move.phase == MOVE_RESTING;
}

static void go_on(struct item *item, const struct instance *instance, bool is_said, const struct move_note *note)
{
	int64_t serial = instance->spec.move.serial;

	if (item->move.received == serial) {
		answer(item, instance);
	} else if (is_said && item->move.told != serial) {
		untell(item);
	} else if (is_said) {
		if (note->answer == MOVE_IS_READY && is_resting(instance))
			run_step(item, instance, STEP_FETCH);
	} else if (!is_prepared(item, instance)) {
		item_wake_in(item, MOVE_SAVE_MS);
	} else if (instance->spec.move.live) {
		run_step(item, instance, STEP_RECEIVE);
	} else {
		tell(item, instance, &(struct move_note){ .answer = MOVE_IS_READY });
	}
}

void move_here(struct item *item, const struct instance *instance)
{
	struct move_note note;
	bool is_said;

	/* The source begins: it may not have heard of it yet. */
	if (instance->meta.deleted_at || instance->status.move.serial != instance->spec.move.serial)
		return;
	if (!agent_may_write(item->agent)) {
		item_wake_in(item, MOVE_RETRY_MS);
		return;
	}
	is_said = move_read_note(item->agent, instance, &note);
	go_on(item, instance, is_said, &note);
	field_done(&move_note_table, &note);
}
