#include "base/hash_set.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/map.h"
#include "base/mem.h"

static uint64_t hash_of(const struct hash_set *set, const char *text)
{
	uint64_t hash = map_hash(set->seed, text, strlen(text));

	return hash ? hash : 1;
}

/* Its slot, or the free one where it would go. */
static size_t find_slot(const struct hash_set *set, uint64_t hash)
{
	size_t slot = hash & (set->capacity - 1);

	while (set->slots[slot] && set->slots[slot] != hash)
		slot = (slot + 1) & (set->capacity - 1);
	return slot;
}

static void grow(struct hash_set *set)
{
	struct hash_set old = *set;

	if (set->capacity && set->count * 4 < set->capacity * 3)
		return;
	if (!set->capacity && getrandom(set->seed, sizeof(set->seed), 0) != sizeof(set->seed))
		abort();
	set->capacity = old.capacity ? old.capacity * 2 : 16;
	set->slots = alloc(set->capacity * sizeof(set->slots[0]));
	for (size_t i = 0; i < old.capacity; i++)
		if (old.slots[i])
			set->slots[find_slot(set, old.slots[i])] = old.slots[i];
	free(old.slots);
}

void hash_set_add(struct hash_set *set, const char *text)
{
	uint64_t hash;
	size_t slot;

	grow(set);
	hash = hash_of(set, text);
	slot = find_slot(set, hash);
	set->count += set->slots[slot] == 0;
	set->slots[slot] = hash;
}

/* The run after the gap is moved up (see map.c). */
void hash_set_remove(struct hash_set *set, const char *text)
{
	size_t mask = set->capacity - 1, gap;

	if (!set->count)
		return;
	gap = find_slot(set, hash_of(set, text));
	if (!set->slots[gap])
		return;
	set->count--;
	for (size_t slot = (gap + 1) & mask; set->slots[slot]; slot = (slot + 1) & mask) {
		size_t home = set->slots[slot] & mask;

		if (((slot - home) & mask) >= ((slot - gap) & mask)) {
			set->slots[gap] = set->slots[slot];
			gap = slot;
		}
	}
	set->slots[gap] = 0;
}

bool hash_set_has(const struct hash_set *set, const char *text)
{
	return set->count && set->slots[find_slot(set, hash_of(set, text))];
}

void hash_set_done(struct hash_set *set)
{
	free(set->slots);
	*set = (struct hash_set){ 0 };
}
