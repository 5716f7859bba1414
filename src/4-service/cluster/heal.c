/*
 * heal.c - instances whose node was lost are started elsewhere.
 *
 * Only what asks for it (ha: restart) and only when the node is fenced: nothing of it runs there any more. Place, claims and status
 * change in one transaction, under the condition that the node still is fenced, for the same epoch, and that we lead.
 */
#include "4-service/cluster/peers.h"

#include "base/mem.h"
#include "base/str.h"

static const struct kind *const kind = &kinds[KIND_INSTANCE];

static void guard_member(struct core *core, struct store_txn *txn, const char *node)
{
	auto_free char *key = text_format("member/%s", node);
	const struct note *note = objects_note(core->objects, key);

	store_txn_guard(txn, STORE_UNCHANGED, key, note ? note->revision : 0);
	leader_guard_lost(txn, node);
}

/* What was true of its machine is not any more; its disks are as they were. */
static void reset_status(struct instance_status *status, const char *node)
{
	text_replace(&status->node, node);
	text_replace(&status->reason, NULL);
	text_replace(&status->boot_id, NULL);
	text_replace(&status->exit_reason, "its node was lost");
	status->state = status->disk_ready ? INSTANCE_STOPPED : INSTANCE_PENDING;
	status->pid = status->next_start_at = 0;
	status->agent = false;
	for (size_t i = 0; i < status->attached.count; i++)
		free(*field_list_at(&status->attached, char *, i));
	status->attached.count = 0;
}

/* Said once, for as long as it stays so. */
static void tell_why_not(struct core *core, const struct instance *instance, const char *node, const struct err *err)
{
	auto_free char *reason = text_format("its node was lost, and it cannot be started elsewhere: %s", err->msg);
	struct store_txn *txn;
	struct instance *next;

	if (text_equal(instance->status.reason, reason))
		return;
	txn = store_txn_new();
	next = kind_copy(kind, instance);
	text_replace(&next->status.reason, reason);
	peers_guard(core->peers, txn);
	guard_member(core, txn, node);
	objects_put_status(core->objects, txn, kind, next, node);
	objects_put_event(core->objects, txn, kind, &instance->meta, "not-restarted", true, "'%s': %s", instance->meta.name, reason);
	store_submit(core->params.store, txn, NULL, NULL);
	kind_free(kind, next);
}

static void heal(struct core *core, const struct instance *instance, const char *node)
{
	struct change *change = change_new(core, NULL, kind, instance);
	struct instance *next = change->next;
	struct err err = { 0 };

	text_replace(&next->spec.node, NULL);
	if (instance_place(core, next, &err) < 0) {
		tell_why_not(core, instance, node, &err);
		change_refuse(change, &err);
		return;
	}
	reset_status(&next->status, next->spec.node);
	peers_guard(core->peers, change->txn);
	guard_member(core, change->txn, node);
	agent_put_volumes(core->objects, change->txn, next, next->spec.node);	/* In shared pools, all of them. */
	objects_put_status(core->objects, change->txn, kind, next, node);
	change->event = "restarted elsewhere: its node was lost";
	change_commit(change);
}

void heal_node(struct peers *peers, const char *node)
{
	const struct map *lost = objects_at(peers->core->objects, node);

	for (size_t i = 0; i < lost->count; i++) {
		const struct instance *instance = lost->entries[i].value;

		if (instance->spec.ha == HA_RESTART && !instance->meta.deleted_at)
			heal(peers->core, instance, node);
	}
}
