#include "base/ordered.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The last piece whose first key is not behind 'key'; 0 when there is none. */
static size_t find_piece(const struct ordered *ordered, const char *key)
{
	size_t low = 0, high = ordered->pieces.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(ordered->pieces.items[middle]->entries[0].key, key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : 0;
}

/* The first bytes of a text, so that heads are in the order of texts; of equal heads the texts decide. */
static uint64_t head_of(const char *text)
{
	uint64_t head = 0;

	for (int shift = 56; shift >= 0 && *text; shift -= 8)
		head |= (uint64_t)(unsigned char)*text++ << shift;
	return head;
}

static size_t common_length(const char *a, const char *b, size_t max)
{
	size_t length = 0;

	while (length < max && a[length] && a[length] == b[length])
		length++;
	return length;
}

static size_t find_in(const struct ordered_piece *piece, const char *key)
{
	int order = strncmp(key, piece->entries[0].key, piece->common);
	size_t low = 0, high = piece->count;
	uint64_t head;

	if (order != 0)
		return order < 0 ? 0 : piece->count;
	head = head_of(key + piece->common);
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (piece->heads[middle] < head || (piece->heads[middle] == head && strcmp(piece->entries[middle].key, key) < 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct ordered_entry *find(const struct ordered *ordered, const char *key, struct ordered_place *ret_place)
{
	struct ordered_piece *piece;

	*ret_place = (struct ordered_place){ find_piece(ordered, key), 0 };
	if (!ordered->count)
		return NULL;
	piece = ordered->pieces.items[ret_place->piece];
	ret_place->at = find_in(piece, key);
	if (ret_place->at == piece->count || strcmp(piece->entries[ret_place->at].key, key) != 0)
		return NULL;
	return &piece->entries[ret_place->at];
}

void *ordered_get(const struct ordered *ordered, const char *key)
{
	struct ordered_place place;
	const struct ordered_entry *entry = find(ordered, key, &place);

	return entry ? entry->value : NULL;
}

static void insert_piece(struct ordered *ordered, size_t at, struct ordered_piece *piece)
{
	vec_push(&ordered->pieces);
	memmove(&ordered->pieces.items[at + 1], &ordered->pieces.items[at], (ordered->pieces.count - 1 - at) * sizeof(ordered->pieces.items[0]));
	ordered->pieces.items[at] = piece;
}

static void set_common(struct ordered_piece *piece, size_t common)
{
	piece->common = common;
	for (size_t i = 0; i < piece->count; i++)
		piece->heads[i] = head_of(piece->entries[i].key + common);
}

/* What the first and the last begin with all between them do. */
static void find_common(struct ordered_piece *piece)
{
	if (piece->count)
		set_common(piece, common_length(piece->entries[0].key, piece->entries[piece->count - 1].key, SIZE_MAX));
}

/* A full piece becomes two. One that is filled from its end stays full, for keys often come in order. */
static void split(struct ordered *ordered, struct ordered_place *place)
{
	struct ordered_piece *piece = ordered->pieces.items[place->piece], *next = alloc(sizeof(*next));
	size_t stay = place->at == piece->count ? piece->count : piece->count / 2;

	next->count = piece->count - stay;
	memcpy(next->entries, piece->entries + stay, next->count * sizeof(next->entries[0]));
	piece->count = stay;
	find_common(piece);
	find_common(next);
	insert_piece(ordered, place->piece + 1, next);
	if (place->at > stay || next->count == 0)
		*place = (struct ordered_place){ place->piece + 1, place->at - stay };
}

static void insert_entry(struct ordered_piece *piece, size_t at, const char *key, void *value)
{
	size_t after = piece->count - at;
	size_t common = piece->count ? common_length(key, piece->entries[0].key, piece->common) : strlen(key);

	if (common < piece->common || !piece->count)
		set_common(piece, common);
	memmove(&piece->heads[at + 1], &piece->heads[at], after * sizeof(piece->heads[0]));
	memmove(&piece->entries[at + 1], &piece->entries[at], after * sizeof(piece->entries[0]));
	piece->heads[at] = head_of(key + common);
	piece->entries[at] = (struct ordered_entry){ key, value };
	piece->count++;
}

void *ordered_put(struct ordered *ordered, const char *key, void *value)
{
	struct ordered_place place;
	struct ordered_entry *entry = find(ordered, key, &place);

	if (entry) {
		void *old = entry->value;

		*entry = (struct ordered_entry){ key, value };
		return old;
	}
	if (!ordered->pieces.count)
		insert_piece(ordered, 0, alloc(sizeof(struct ordered_piece)));
	if (ordered->pieces.items[place.piece]->count == ORDERED_PIECE)
		split(ordered, &place);
	insert_entry(ordered->pieces.items[place.piece], place.at, key, value);
	ordered->count++;
	return NULL;
}

void *ordered_remove(struct ordered *ordered, const char *key)
{
	struct ordered_place place;
	struct ordered_entry *entry = find(ordered, key, &place);
	struct ordered_piece *piece;
	void *value;

	if (!entry)
		return NULL;
	value = entry->value;
	piece = ordered->pieces.items[place.piece];
	piece->count--;
	memmove(entry, entry + 1, (piece->count - place.at) * sizeof(*entry));
	memmove(&piece->heads[place.at], &piece->heads[place.at + 1], (piece->count - place.at) * sizeof(piece->heads[0]));
	ordered->count--;
	if (!piece->count) {
		free(piece);
		vec_remove(&ordered->pieces, place.piece);
	}
	return value;
}

void ordered_done(struct ordered *ordered)
{
	for (size_t i = 0; i < ordered->pieces.count; i++)
		free(ordered->pieces.items[i]);
	vec_done(&ordered->pieces);
	ordered->count = 0;
}

struct ordered_place ordered_from(const struct ordered *ordered, const char *key)
{
	struct ordered_place place;

	find(ordered, key, &place);
	if (ordered->count && place.at == ordered->pieces.items[place.piece]->count)
		return (struct ordered_place){ place.piece + 1, 0 };
	return place;
}

const struct ordered_entry *ordered_at(const struct ordered *ordered, struct ordered_place place)
{
	return place.piece < ordered->pieces.count ? &ordered->pieces.items[place.piece]->entries[place.at] : NULL;
}

struct ordered_place ordered_next(const struct ordered *ordered, struct ordered_place place)
{
	if (place.at + 1 < ordered->pieces.items[place.piece]->count)
		return (struct ordered_place){ place.piece, place.at + 1 };
	return (struct ordered_place){ place.piece + 1, 0 };
}
