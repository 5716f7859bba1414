/*
 * map.h - a hash map from text to pointers.
 *
 * Keys are copied; values are borrowed.  Hashing is seeded per map, so names
 * chosen by an attacker cannot collide on purpose; iteration order is that
 * of insertion, so it does not depend on the seed (removal moves the last
 * entry into the gap).
 *
 * Threads: one at a time per map.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_entry {
	char *key;
	void *value;
	uint64_t hash;
};

/* The upper half of the hash is in the slot too: who looks for a key reads no other entry. */
struct map_slot { uint32_t entry /* Index plus one; 0 is free. */, tag; };

struct map {			/* { 0 } is an empty map. */
	struct map_entry *entries;	/* Dense, entries[0 .. count-1]: iterate over these. */
	size_t count;
	struct map_slot *slots;
	size_t capacity;		/* Slots, a power of two. */
	uint64_t seed[2];
};

void *map_get(const struct map *map, const char *key);	/* Null when absent. */
/* Returns the value that was there before, or null.  'value' must not be null. */
void *map_put(struct map *map, const char *key, void *value);
void *map_remove(struct map *map, const char *key);	/* Returns the value, or null. */
void map_done(struct map *map);				/* Values are the caller's. */

/* SipHash-2-4 (Aumasson, Bernstein 2012). */
uint64_t map_hash(const uint64_t seed[2], const void *bytes, size_t size);

#endif
