#include "base/map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

static uint64_t rotate(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

struct sip { uint64_t v0, v1, v2, v3; };

static inline __attribute__((always_inline)) void sip_round(struct sip *s)
{
	s->v0 += s->v1; s->v1 = rotate(s->v1, 13); s->v1 ^= s->v0; s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3; s->v3 = rotate(s->v3, 16); s->v3 ^= s->v2;
	s->v0 += s->v3; s->v3 = rotate(s->v3, 21); s->v3 ^= s->v0;
	s->v2 += s->v1; s->v1 = rotate(s->v1, 17); s->v1 ^= s->v2; s->v2 = rotate(s->v2, 32);
}

uint64_t map_hash(const uint64_t seed[2], const void *bytes, size_t size)
{
	const unsigned char *p = bytes;
	struct sip s = { seed[0] ^ 0x736f6d6570736575, seed[1] ^ 0x646f72616e646f6d,
			 seed[0] ^ 0x6c7967656e657261, seed[1] ^ 0x7465646279746573 };
	uint64_t last = (uint64_t)size << 56;
	size_t whole = size & ~(size_t)7;

	for (size_t i = 0; i < whole; i += 8) {
		uint64_t word;

		memcpy(&word, p + i, 8);
		s.v3 ^= word;
		sip_round(&s);
		sip_round(&s);
		s.v0 ^= word;
	}
	for (size_t i = whole; i < size; i++)
		last |= (uint64_t)p[i] << (8 * (i - whole));
	s.v3 ^= last;
	sip_round(&s);
	sip_round(&s);
	s.v0 ^= last;
	s.v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* The slot of 'key', or the free slot where it would go. */
static size_t find_slot(const struct map *map, const char *key, uint64_t hash)
{
	size_t slot = hash & (map->capacity - 1);

	while (map->slots[slot].entry) {
		if (map->slots[slot].tag == hash >> 32 && strcmp(map->entries[map->slots[slot].entry - 1].key, key) == 0)
			break;
		slot = (slot + 1) & (map->capacity - 1);
	}
	return slot;
}

static size_t slot_of_index(const struct map *map, size_t index)
{
	size_t slot = map->entries[index].hash & (map->capacity - 1);

	while (map->slots[slot].entry != index + 1)
		slot = (slot + 1) & (map->capacity - 1);
	return slot;
}

static void fill_slot(struct map *map, size_t slot, size_t index)
{
	map->slots[slot] = (struct map_slot){ (uint32_t)index + 1, (uint32_t)(map->entries[index].hash >> 32) };
}

static void grow(struct map *map)
{
	if (map->capacity && map->count * 4 < map->capacity * 3)
		return;
	if (!map->capacity && getrandom(map->seed, sizeof(map->seed), 0) != sizeof(map->seed))
		abort();
	map->capacity = map->capacity ? map->capacity * 2 : 16;
	free(map->slots);
	map->slots = alloc(map->capacity * sizeof(map->slots[0]));
	map->entries = alloc_array(map->entries, map->capacity, sizeof(map->entries[0]));
	for (size_t i = 0; i < map->count; i++)
		fill_slot(map, find_slot(map, map->entries[i].key, map->entries[i].hash), i);
}

void *map_get(const struct map *map, const char *key)
{
	size_t slot;

	if (!map->count)
		return NULL;
	slot = find_slot(map, key, map_hash(map->seed, key, strlen(key)));
	return map->slots[slot].entry ? map->entries[map->slots[slot].entry - 1].value : NULL;
}

void *map_put(struct map *map, const char *key, void *value)
{
	uint64_t hash;
	size_t slot;

	grow(map);
	hash = map_hash(map->seed, key, strlen(key));
	slot = find_slot(map, key, hash);
	if (map->slots[slot].entry) {
		struct map_entry *entry = &map->entries[map->slots[slot].entry - 1];
		void *old = entry->value;

		entry->value = value;
		return old;
	}
	map->entries[map->count] = (struct map_entry){ text_copy(key), value, hash };
	fill_slot(map, slot, map->count++);
	return NULL;
}

/* Linear probing needs no tombstones when the run after a gap is moved up. */
static void close_gap(struct map *map, size_t gap)
{
	size_t mask = map->capacity - 1;

	for (size_t slot = (gap + 1) & mask; map->slots[slot].entry; slot = (slot + 1) & mask) {
		size_t home = map->entries[map->slots[slot].entry - 1].hash & mask;

		if (((slot - home) & mask) >= ((slot - gap) & mask)) {
			map->slots[gap] = map->slots[slot];
			gap = slot;
		}
	}
	map->slots[gap] = (struct map_slot){ 0 };
}

void *map_remove(struct map *map, const char *key)
{
	size_t slot, index, last;
	void *value;

	if (!map->count)
		return NULL;
	slot = find_slot(map, key, map_hash(map->seed, key, strlen(key)));
	if (!map->slots[slot].entry)
		return NULL;
	index = map->slots[slot].entry - 1;
	last = map->count - 1;
	value = map->entries[index].value;
	if (index != last)
		map->slots[slot_of_index(map, last)].entry = (uint32_t)index + 1;
	free(map->entries[index].key);
	/* The gap is closed while every remaining slot still names a valid entry. */
	if (index != last)
		map->entries[index] = map->entries[last];
	map->count--;
	close_gap(map, slot);
	return value;
}

void map_done(struct map *map)
{
	for (size_t i = 0; i < map->count; i++)
		free(map->entries[i].key);
	free(map->entries);
	free(map->slots);
	*map = (struct map){ 0 };
}
