/*
 * When the history was compacted before we could read it - we were cut off for long, others wrote much - nobody can say
 * any more what has happened, but what is can be read, and what was told before is known.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "port/store_private.h"

struct present {
	struct store *store;
	struct map keys;
	struct store_events events;
};

static int take_present(void *data, const struct store_kv *kv, struct err *err)
{
	struct present *present = data;

	(void)err;
	map_put(&present->keys, kv->key, present);
	if (kv->mod_revision > present->store->posted_revision)
		store_events_add(&present->events, false, kv);
	return 0;
}

static int compare_events(const void *a, const void *b)
{
	const struct store_kv *left = &((const struct store_event *)a)->kv, *right = &((const struct store_event *)b)->kv;

	if (left->mod_revision != right->mod_revision)
		return left->mod_revision < right->mod_revision ? -1 : 1;
	return strcmp(left->key, right->key);
}

/* When they were deleted is not known: at the latest at 'revision'. */
static void add_deleted(struct present *present, uint64_t revision)
{
	const struct map *told = &present->store->told;

	for (size_t i = 0; i < told->count; i++)
		if (!map_get(&present->keys, told->entries[i].key))
			store_events_add(&present->events, true,
					 &(struct store_kv){ .key = told->entries[i].key, .mod_revision = revision });
}

int store_resync(struct store *store, struct store_events *events, struct err *err)
{
	struct present present = { .store = store };
	uint64_t revision;
	int r = store->ops->range(store->driver, "", take_present, &present, &revision, err);

	if (r == 0) {
		if (present.events.items.count)
			qsort(present.events.items.items, present.events.items.count, sizeof(present.events.items.items[0]), compare_events);
		add_deleted(&present, revision);
		store->posted_revision = revision;
		*events = present.events;
		present.events = (struct store_events){ 0 };
	}
	store_events_done(&present.events);
	map_done(&present.keys);
	return r;
}

void store_note_told(struct store *store, bool is_delete, const char *key)
{
	if (!store_is_shared(store))
		return;
	if (is_delete)
		map_remove(&store->told, key);
	else
		map_put(&store->told, key, store);
}
