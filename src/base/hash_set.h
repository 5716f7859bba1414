/*
 * hash_set.h - a set of texts of which only 64-bit hashes are kept: 16 bytes or so for each, however long it is.
 *
 * Two texts may have the same hash, among a million with a chance of 1 in 30 million; then the set takes one for the
 * other. So it is for hints, where another place decides. Hashing is seeded per set: nobody can choose texts that collide.
 *
 * Threads: one at a time per set.
 */
#ifndef BASE_HASH_SET_H
#define BASE_HASH_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_set {		/* { 0 } is an empty set. */
	uint64_t *slots;	/* 0 is free. */
	size_t count;
	size_t capacity;	/* Slots, a power of two. */
	uint64_t seed[2];
};

void hash_set_add(struct hash_set *set, const char *text);
void hash_set_remove(struct hash_set *set, const char *text);
bool hash_set_has(const struct hash_set *set, const char *text);
void hash_set_done(struct hash_set *set);

#endif
