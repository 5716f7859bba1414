/* move_source.c - the node that has the instance hands it over, or takes the move back. */
#include "2-virtualization/agent/move.h"

#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/node.h"

static int64_t wall_ms(const struct item *item) { return loop_wall_ms(item->agent->params.loop); }

static struct instance_move_status *move_of(struct item *item) { return &item_instance(item)->move; }

static const char *node_name(struct agent *agent, const char *uid)
{
	const struct node *node = objects_get(agent->params.objects, KIND_NODE, uid);

	return node ? node->meta.name : uid;
}

static bool is_live(const struct item *item, const struct instance *instance)
{
	return instance->spec.move.live && item->world.state != MACHINE_ABSENT;
}

bool move_stops(struct item *item, const struct instance *instance)
{
	return text_equal(item_instance(item)->node, item->agent->node) && !text_equal(instance->spec.node, item->agent->node) &&
	       !instance->meta.deleted_at && !instance->spec.move.live && move_of(item)->phase == MOVE_STOPPING;
}

static void set_phase(struct item *item, enum move_phase phase)
{
	if (move_of(item)->phase == (int)phase)
		return;
	move_of(item)->phase = (int)phase;
	item_save(item, NULL, false, "%s", "");
}

/* ---- Taking it back ---- */

static void taken_back(struct item *item, const struct store_result *result)
{
	/* It is looked at as soon as it is idle: not before that. */
	if (result->err.code < 0)
		item_retry_in(item, MOVE_RETRY_MS);
	if (result->err.code < 0 && result->err.code != -ESTALE)
		log_line(LOG_WARNING, "a move could not be taken back, trying again: %s", result->err.msg);
}

static void take_back(struct item *item, const struct instance *instance, const char *why)
{
	struct agent *agent = item->agent;
	struct instance *next = kind_copy(item->kind, instance);
	struct store_txn *txn = store_txn_new();
	auto_free char *key = move_key(item->uid), *reason = text_copy(why);

	text_replace(&item->move.failure, NULL);
	move_of(item)->phase = MOVE_FAILED;
	move_of(item)->ended_at = wall_ms(item);
	text_replace(&move_of(item)->reason, reason);
	text_replace(&next->spec.node, agent->node);
	next->meta.generation++;
	agent_guard_alive(agent, txn);
	objects_guard(agent->params.objects, txn, item->kind, item->uid);
	objects_put_claims(txn, item->kind, instance, next);
	objects_put_desired(txn, item->kind, next);
	item_put_status(item, txn, next);
	store_txn_delete(txn, key);
	objects_put_event(agent->params.objects, txn, item->kind, &instance->meta, "move-failed", true, "'%s' stays where it is: %s",
			  instance->meta.name, reason);
	kind_free(item->kind, next);
	item_commit(item, txn, taken_back);
}

/* ---- Handing over ---- */

static uint64_t note_revision(const struct item *item)
{
	auto_free char *key = move_key(item->uid);
	const struct note *note = objects_note(item->agent->params.objects, key);

	return note ? note->revision : STORE_NO_REVISION;
}

/* 'revision': of the note after which the destination got what it has. */
static void put_hand_over(struct item *item, const struct instance *instance, uint64_t revision, struct store_txn *txn)
{
	struct agent *agent = item->agent;
	auto_free char *key = move_key(item->uid), *stuck = text_format("stuck/%s", item->uid);
	struct instance *next = kind_copy(item->kind, instance);
	struct instance_status *status = &next->status;
	bool runs = item->world.state != MACHINE_ABSENT;

	field_done(item->kind->status, status);
	field_copy(item->kind->status, item->status, status);
	text_replace(&status->node, instance->spec.node);
	text_replace(&status->boot_id, NULL);
	text_replace(&status->reason, NULL);
	status->state = runs ? INSTANCE_RUNNING : INSTANCE_STOPPED;
	status->pid = status->next_start_at = 0;
	status->move.phase = MOVE_DONE;
	status->move.ended_at = wall_ms(item);
	status->move.total = status->move.ended_at - status->move.began_at;
	agent_guard_alive(agent, txn);
	objects_guard(agent->params.objects, txn, item->kind, item->uid);
	store_txn_guard(txn, STORE_UNCHANGED, key, revision);
	/* Volumes first: what is to be removed here is looked at when the instance is seen to have left. */
	agent_put_volumes(agent->params.objects, txn, instance, instance->spec.node);
	objects_put_status(agent->params.objects, txn, item->kind, next, agent->node);
	store_txn_delete(txn, key);
	store_txn_delete(txn, stuck);
	objects_put_event(agent->params.objects, txn, item->kind, &instance->meta, "moved", false, "'%s' is at node '%s' now%s", instance->meta.name,
			  node_name(agent, instance->spec.node), runs ? ", and ran all the time" : "");
	kind_free(item->kind, next);
}

/*
 * ESTALE: the destination has given up, or people want something else by now, unless it is we who are taken for lost (the first guard).
 * What else is not known has to be asked again.
 */
static void handed_over(struct item *item, const struct store_result *result)
{
	if (result->err.code == 0)
		return;
	if (result->err.code == -ESTALE && result->failed_guard && !item->is_gone)
		text_replace(&item->move.failure, "the destination was lost in the last moment");
	item_retry_in(item, MOVE_RETRY_MS);
}

static void hand_over(struct item *item, const struct instance *instance, uint64_t revision)
{
	struct store_txn *txn = store_txn_new();

	put_hand_over(item, instance, revision, txn);
	item_commit(item, txn, handed_over);
}

/* ---- Live: in a worker ---- */

struct out_job {
	struct job job;
	struct loop *loop;
	struct machine_driver *machine;
	char uid[37];
	char *address, *server, *tls;
	struct machine_ports ports;
	struct move_disks disks;
	const char **copied;
	bool is_postcopy;
	bool *is_cancelled;
	struct machine_migration_result result;
	/* hand_over(): asked by the worker, answered by the loop. */
	sem_t answered;
	struct err answer;
};

struct out_progress { struct agent *agent; char uid[37]; uint64_t done, total; };

static void show_progress(void *data)
{
	auto_free struct out_progress *progress = data;
	struct item *item = item_get(progress->agent, progress->uid);
	struct instance_move_status *move = item && item->kind->id == KIND_INSTANCE ? move_of(item) : NULL;

	if (!move || move->phase != MOVE_COPYING)
		return;
	move->done_bytes = progress->done;
	move->total_bytes = progress->total;
	item_show(item);
	if (loop_now_ms(progress->agent->params.loop) < item->move.saved_ms + MOVE_SAVE_MS)
		return;
	item->move.saved_ms = loop_now_ms(progress->agent->params.loop);
	item_save(item, NULL, false, "%s", "");
}

static void report(void *data, const struct machine_migration_progress *progress)
{
	struct out_job *job = data;
	struct out_progress *message = alloc(sizeof(*message));

	*message = (struct out_progress){ .agent = job->job.item->agent, .done = progress->done_bytes, .total = progress->total_bytes };
	snprintf(message->uid, sizeof(message->uid), "%s", job->uid);
	loop_post(job->loop, show_progress, free, message);
}

static void post_copy_stored(void *data, const struct store_result *result)
{
	struct out_job *job = data;

	job->answer = result->err;
	sem_post(&job->answered);
}

static void post_copy(void *data)
{
	struct out_job *job = data;
	struct item *item = job->job.item;
	const struct instance *instance = item_object(item);
	struct store_txn *txn = store_txn_new();

	if (!instance) {
		store_txn_free(txn);
		err_set(&job->answer, -ECANCELED, "the instance is gone");
		sem_post(&job->answered);
		return;
	}
	put_hand_over(item, instance, item->move.note_revision, txn);
	store_submit(item->agent->params.store, txn, post_copy_stored, job);
}

static int ask_post_copy(void *data, struct err *err)
{
	struct out_job *job = data;

	loop_post(job->loop, post_copy, NULL, job);
	while (sem_wait(&job->answered) < 0)
		;
	*err = job->answer;
	return err->code;
}

static void out_run(struct job *base)
{
	struct out_job *job = container_of(base, struct out_job, job);
	struct machine_migration migration = {
		.address = job->address, .ports = job->ports, .tls = job->tls, .server = job->tls ? job->server : NULL, .copied = job->copied,
		.report = report, .hand_over = job->is_postcopy ? ask_post_copy : NULL, .data = job, .is_cancelled = job->is_cancelled,
	};

	if (job->machine->ops->migrate_out(job->machine, job->uid, &migration, &job->result, &base->err) == 0)
		base->err.code = 0;
}

static void out_done(struct job *base)
{
	struct out_job *job = container_of(base, struct out_job, job);
	struct item *item = base->item;

	item->move.is_going = false;
	if (base->err.code < 0) {
		text_replace(&item->move.failure, base->err.msg);
		item->world.is_known = false;
		return;
	}
	move_of(item)->downtime = (int64_t)job->result.downtime_ms;
	move_of(item)->done_bytes = move_of(item)->total_bytes = job->result.memory_bytes + job->result.disk_bytes;
	item->world.state = MACHINE_PAUSED;
	item->world.is_moved_out = true;
}

static void out_free(struct job *base)
{
	struct out_job *job = container_of(base, struct out_job, job);

	free(job->address);
	free(job->server);
	free(job->tls);
	free(job->copied);
	move_disks_done(&job->disks);
	sem_destroy(&job->answered);
	free(job);
}

static void run_out(struct item *item, const struct instance *instance, const struct move_note *note)
{
	struct agent *agent = item->agent;
	struct out_job *job = job_new(struct out_job);

	*job = (struct out_job){
		.job = { .item = item, .run = out_run, .done = out_done, .free = out_free }, .loop = agent->params.loop, .machine = item->machine,
		.address = text_copy(note->address), .server = text_copy(note->node), .tls = text_copy(agent->params.tls_folder),
		.ports = { (uint16_t)note->memory_port, (uint16_t)note->disk_port }, .is_postcopy = instance->spec.move.postcopy,
		.is_cancelled = &item->move.is_cancelled,
	};
	snprintf(job->uid, sizeof(job->uid), "%s", item->uid);
	sem_init(&job->answered, 0, 0);
	move_disks_of(agent, instance, &job->disks);
	job->copied = move_disk_ids(&job->disks);
	item->move.is_cancelled = false;
	item->move.is_going = true;
	item->move.note_revision = note_revision(item);
	set_phase(item, MOVE_COPYING);
	item_run(&job->job);
}

/* ---- Not live: its disks come to rest ---- */

struct rest_job { struct job job; struct move_disks disks; };

static int rest(struct rest_job *job, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < job->disks.items.count && r == 0; i++) {
		const struct move_disk *disk = &job->disks.items.items[i];

		if (!disk->driver)
			return err_set(err, -EAGAIN, "the pool of disk '%s' is not there: see 'strata pool ls'", disk->id);
		r = disk->driver->ops->snapshot_remove(disk->driver, disk->volume, MOVE_SNAPSHOT, err);
		if (r == 0)
			r = disk->driver->ops->snapshot_create(disk->driver, disk->volume, MOVE_SNAPSHOT, err);
	}
	return r;
}

static void rest_run(struct job *base)
{
	if (rest(container_of(base, struct rest_job, job), &base->err) == 0)
		base->err.code = 0;
}

static void rest_done(struct job *base)
{
	if (base->err.code < 0)
		text_replace(&base->item->move.failure, base->err.msg);
	else
		set_phase(base->item, MOVE_RESTING);
}

static void rest_free(struct job *base)
{
	struct rest_job *job = container_of(base, struct rest_job, job);

	move_disks_done(&job->disks);
	free(job);
}

static bool move_stopped(struct item *item, const struct instance *instance, const struct move_note *note)
{
	struct rest_job *job;

	if (item->world.state != MACHINE_ABSENT) {
		set_phase(item, MOVE_STOPPING);
		return false;			/* The next step stops it. */
	}
	if (item->world.has_leftovers || !item_instance(item)->disk_ready)
		return false;
	/* Also when no disk has to be copied: there are files beside them. */
	if (move_of(item)->phase == MOVE_RESTING) {
		if (note->answer == MOVE_HAS_FETCHED)
			hand_over(item, instance, note_revision(item));
		return true;
	}
	job = job_new(struct rest_job);
	*job = (struct rest_job){ .job = { .item = item, .run = rest_run, .done = rest_done, .free = rest_free } };
	move_disks_of(item->agent, instance, &job->disks);
	item_run(&job->job);
	return true;
}

/* ---- Which of these ---- */

static void begin(struct item *item, const struct instance *instance)
{
	struct instance_move_status *move = move_of(item);

	text_replace(&move->reason, NULL);
	text_replace(&item->move.failure, NULL);
	item->move.note_revision = 0;
	*move = (struct instance_move_status){ .serial = instance->spec.move.serial, .phase = MOVE_PREPARING, .began_at = wall_ms(item) };
	item_save(item, "moving", false, "'%s' goes to node '%s'", instance->meta.name, node_name(item->agent, instance->spec.node));
}

/* Why nothing can come of it, or null. */
static const char *find_failure(struct item *item, const struct instance *instance, bool is_answered, const struct move_note *note)
{
	auto_free char *alive = text_format("alive/%s", instance->spec.node);

	if (item->move.failure)
		return item->move.failure;
	if (is_answered && note->answer == MOVE_CANNOT)
		return note->reason;
	if (!objects_note(item->agent->params.objects, alive))
		return "the node it should go to is lost";
	if (item->world.is_moved_out && !item->move.note_revision)
		return "the daemon of its node died in the last moment";
	if (!is_answered && wall_ms(item) > move_of(item)->began_at + MOVE_READY_TIMEOUT_MS)
		return "the node it should go to did not get ready within 10 minutes";
	return NULL;
}

static bool go_on(struct item *item, const struct instance *instance, bool is_answered, const struct move_note *note)
{
	const char *failure = find_failure(item, instance, is_answered, note);

	if (failure) {
		take_back(item, instance, failure);
		return true;
	}
	if (!is_answered) {
		item_wake_in(item, MOVE_SAVE_MS);
		return false;			/* Meanwhile it lives on here. */
	}
	if (item->world.is_moved_out) {
		hand_over(item, instance, item->move.note_revision);
		return true;
	}
	if (!is_live(item, instance))
		return move_stopped(item, instance, note);
	if (item->world.state != MACHINE_RUNNING)
		return false;
	run_out(item, instance, note);
	return true;
}

bool move_away(struct item *item, const struct instance *instance)
{
	struct move_note note;
	bool is_answered, is_handled;

	if (!item->world.is_known || instance->meta.deleted_at)
		return false;
	if (!agent_may_write(item->agent)) {
		item_wake_in(item, MOVE_RETRY_MS);
		return true;
	}
	if (move_of(item)->serial != instance->spec.move.serial)
		begin(item, instance);
	is_answered = move_read_note(item->agent, instance, &note);
	is_handled = go_on(item, instance, is_answered, &note);
	field_done(&move_note_table, &note);
	return is_handled;
}
