/*
 * schedule.c - snapshots of volumes by their schedules: taken when due, the oldest removed.
 *
 * Nothing is remembered: a snapshot of a tier has the label "schedule", and what is due follows from the newest
 * one.  There is a timer only when some volume has a schedule.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "4-service/service.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/schedule.h"

enum { LOOK_MS = 1000, LONGEST_MS = 3600000 };

static const char label[] = "schedule";

struct tier_state {
	int64_t newest_ms;
	int count;
	struct snapshot *oldest;
	bool is_pending;		/* One is being taken or removed: look again when it has been. */
};

static struct tier_state look(struct core *core, const struct volume *volume, const struct schedule_tier *tier)
{
	const struct map *all = objects_all(core->objects, KIND_SNAPSHOT);
	struct tier_state state = { 0 };

	for (size_t i = 0; i < all->count; i++) {
		struct snapshot *snapshot = all->entries[i].value;

		if (!text_equal(snapshot->meta.parent, volume->meta.uid) || !text_equal(field_map_get(&snapshot->meta.labels, label), tier->name))
			continue;
		if (snapshot->meta.created_at > state.newest_ms)
			state.newest_ms = snapshot->meta.created_at;
		state.is_pending |= snapshot->meta.deleted_at || snapshot->status.state == SNAPSHOT_PENDING;
		if (snapshot->meta.deleted_at || snapshot->status.state == SNAPSHOT_PENDING)
			continue;
		state.count++;
		if (!state.oldest || snapshot->meta.created_at < state.oldest->meta.created_at)
			state.oldest = snapshot;
	}
	return state;
}

static void take_snapshot(struct core *core, const struct volume *volume, const struct schedule_tier *tier, int64_t now_ms)
{
	struct change *change = change_new(core, NULL, &kinds[KIND_SNAPSHOT], NULL);
	struct meta *meta = kind_meta(change->next);
	time_t seconds = now_ms / 1000;
	struct tm when;
	char text[32];

	gmtime_r(&seconds, &when);
	strftime(text, sizeof(text), "%Y%m%d-%H%M%S", &when);
	meta->name = text_format("%s-%s", tier->name, text);
	meta->parent = text_copy(volume->meta.uid);
	field_map_set(&meta->labels, label, tier->name);
	auto_free char *key = text_format("desired/volume/%s", volume->meta.uid);
	store_txn_guard(change->txn, STORE_EXISTS, key, 0);
	change_commit(change);
}

/* Returns when the tier wants to be looked at again. */
static int64_t serve_tier(struct core *core, const struct volume *volume, const struct schedule_tier *tier, int64_t now_ms)
{
	struct tier_state state = look(core, volume, tier);
	int64_t due_ms = state.newest_ms ? state.newest_ms + tier->period_ms : 0;

	if (state.is_pending)
		return now_ms + tier->period_ms;	/* Its change wakes us. */
	if (due_ms <= now_ms) {
		take_snapshot(core, volume, tier, now_ms);
		return now_ms + tier->period_ms;
	}
	if (state.count > tier->keep)
		resource_delete(core, NULL, &kinds[KIND_SNAPSHOT], state.oldest);
	return due_ms;
}

static void run(void *data)
{
	struct core *core = data;
	const struct map *all = objects_all(core->objects, KIND_VOLUME);
	int64_t now_ms = loop_wall_ms(core->params.loop), next_ms = INT64_MAX, wait_ms;

	core->schedule_timer = NULL;
	for (size_t i = 0; i < all->count; i++) {
		const struct volume *volume = all->entries[i].value;
		struct schedule schedule;
		struct err ignored;

		/* Those of others are their node's business. */
		if (!objects_concern(core->objects, &kinds[KIND_VOLUME], volume, core->node_uid))
			continue;
		if (!volume->spec.snapshots || volume->meta.deleted_at || volume->status.state != VOLUME_READY ||
		    schedule_parse(volume->spec.snapshots, &schedule, &ignored) < 0)
			continue;
		for (unsigned t = 0; t < schedule.count; t++) {
			int64_t at_ms = serve_tier(core, volume, &schedule.tiers[t], now_ms);

			next_ms = at_ms < next_ms ? at_ms : next_ms;
		}
	}
	if (next_ms == INT64_MAX)
		return;
	/* The wall clock may be set meanwhile: look once an hour at least. */
	wait_ms = next_ms - now_ms < LONGEST_MS ? next_ms - now_ms : LONGEST_MS;
	loop_add_timer(core->params.loop, (uint64_t)(wait_ms > 0 ? wait_ms : 0), run, core, &core->schedule_timer);
}

void schedule_wake(struct core *core)
{
	const struct map *all = objects_all(core->objects, KIND_VOLUME);
	bool has_any = false;

	for (size_t i = 0; i < all->count && !has_any; i++)
		has_any = ((const struct volume *)all->entries[i].value)->spec.snapshots != NULL;
	if (!has_any)
		return;
	loop_remove(core->schedule_timer);
	core->schedule_timer = NULL;
	loop_add_timer(core->params.loop, LOOK_MS, run, core, &core->schedule_timer);
}

void schedule_start(struct core *core)
{
	schedule_wake(core);
}

void schedule_stop(struct core *core)
{
	loop_remove(core->schedule_timer);
	core->schedule_timer = NULL;
}
