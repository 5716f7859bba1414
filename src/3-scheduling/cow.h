/*
 * cow.h - a column: a growing array of equal elements in pages that copies share until one of them writes.
 *
 * cow_share() costs one pointer per page of 1,024 elements; the first write to a shared page copies that page
 * alone. Pages are aligned to a cache line and zeroed beyond the last element, so that a vector unit may read
 * past the end.
 *
 * Memory: allocation failure aborts. Threads: columns that share pages belong to one thread together, for the
 * counts of references are plain integers.
 */
#ifndef SCHEDULING_COW_H
#define SCHEDULING_COW_H

#include <stddef.h>
#include <stdint.h>

enum { COW_PAGE_BITS = 10, COW_PAGE_ELEMENTS = 1 << COW_PAGE_BITS };

struct cow_page {
	uint32_t references;
	_Alignas(64) unsigned char bytes[];
};

struct cow {
	struct cow_page **pages;
	uint32_t page_count, page_capacity;
	uint32_t element_size_bytes;
};

void cow_init(struct cow *column, size_t element_size_bytes);
void cow_done(struct cow *column);
void cow_share(struct cow *ret_column, const struct cow *column);
/* Makes elements 0 .. count-1 exist; new ones are zero. */
void cow_grow(struct cow *column, uint32_t count);
/* Copies the page of element i if others have it too. */
void cow_own_page(struct cow *column, uint32_t i);

static inline const void *cow_at(const struct cow *column, uint32_t i)
{
	return column->pages[i >> COW_PAGE_BITS]->bytes + (size_t)(i & (COW_PAGE_ELEMENTS - 1)) * column->element_size_bytes;
}

/* For writing: the page is this column's alone afterwards. Valid until the next cow_share(). */
static inline void *cow_edit(struct cow *column, uint32_t i)
{
	if (column->pages[i >> COW_PAGE_BITS]->references > 1)
		cow_own_page(column, i);
	return column->pages[i >> COW_PAGE_BITS]->bytes + (size_t)(i & (COW_PAGE_ELEMENTS - 1)) * column->element_size_bytes;
}

#endif
