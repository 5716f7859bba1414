/*
 * vec.h - a growing array of any one type, written where it is used:
 *
 *	VEC(int) numbers = { 0 };      or    struct nics { VEC(struct nic *) list; };
 *	*vec_push(&numbers) = 7;
 *	for (size_t i = 0; i < numbers.count; i++) use(numbers.items[i]);
 *	vec_done(&numbers);
 *
 * vec_push returns the address of a new zeroed element; it is valid until
 * the next push.
 */
#ifndef BASE_VEC_H
#define BASE_VEC_H

#include <string.h>

#include "base/mem.h"

#define VEC(type) struct { type *items; size_t count, capacity; }

#define vec_push(vec) ({ \
	if ((vec)->count == (vec)->capacity) { \
		(vec)->capacity = (vec)->capacity ? 2 * (vec)->capacity : 8; \
		(vec)->items = alloc_array((vec)->items, (vec)->capacity, sizeof((vec)->items[0])); \
	} \
	memset(&(vec)->items[(vec)->count], 0, sizeof((vec)->items[0])); \
	&(vec)->items[(vec)->count++]; })

/* Removes element i; the order of the others stays. */
#define vec_remove(vec, i) ({ \
	size_t at_ = (i); \
	(vec)->count--; \
	memmove(&(vec)->items[at_], &(vec)->items[at_ + 1], ((vec)->count - at_) * sizeof((vec)->items[0])); })

#define vec_done(vec) ({ free((vec)->items); (vec)->items = NULL; (vec)->count = (vec)->capacity = 0; })

#endif
