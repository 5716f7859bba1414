/*
 * ordered.h - a map from text to pointers that keeps its keys in byte order.
 *
 * A sorted array, cut into short pieces: finding is two binary searches, adding and removing move one piece. That is as quick as a
 * tree up to some millions of keys, and going through it touches memory in order. Keys that are neighbours begin alike: a piece
 * has what follows in each of them side by side, so that the search in it need not read the keys, which are elsewhere.
 *
 * Memory:  keys are borrowed: they belong to what the values are, and outlive their stay here.
 * Threads: one at a time per map.
 */
#ifndef BASE_ORDERED_H
#define BASE_ORDERED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"

enum { ORDERED_PIECE = 256 };

struct ordered_entry { const char *key; void *value; };

struct ordered_piece {
	size_t count;			/* At least 1. */
	size_t common;			/* So many bytes are the same in all keys at least; */
	uint64_t heads[ORDERED_PIECE];	/* the eight after them. */
	struct ordered_entry entries[ORDERED_PIECE];
};

struct ordered {			/* { 0 } is empty. */
	VEC(struct ordered_piece *) pieces;
	size_t count;
};

struct ordered_place { size_t piece, at; };

void *ordered_get(const struct ordered *ordered, const char *key);		/* Null when absent. */
/* Returns the value that was there before, or null; the new key takes the place of the old one's. 'value' must not be null. */
void *ordered_put(struct ordered *ordered, const char *key, void *value);
void *ordered_remove(struct ordered *ordered, const char *key);			/* Returns the value, or null. */
void ordered_done(struct ordered *ordered);					/* Keys and values are the caller's. */

/* for (struct ordered_place at = ordered_from(o, "a"); (entry = ordered_at(o, at)); at = ordered_next(o, at)) */
struct ordered_place ordered_from(const struct ordered *ordered, const char *key);	/* The first key that is not before 'key'. */
const struct ordered_entry *ordered_at(const struct ordered *ordered, struct ordered_place place);	/* Null: past the last. */
struct ordered_place ordered_next(const struct ordered *ordered, struct ordered_place place);

#endif
