#include "3-scheduling/cow.h"

#include <string.h>

#include "base/mem.h"

static size_t page_size(const struct cow *column)
{
	size_t size = sizeof(struct cow_page) + (size_t)COW_PAGE_ELEMENTS * column->element_size_bytes;

	return (size + 63) / 64 * 64;
}

static struct cow_page *page_new(const struct cow *column)
{
	struct cow_page *page = aligned_alloc(64, page_size(column));

	if (!page)
		abort();
	memset(page, 0, page_size(column));
	page->references = 1;
	return page;
}

static void page_unref(struct cow_page *page)
{
	if (--page->references == 0)
		free(page);
}

void cow_init(struct cow *column, size_t element_size_bytes)
{
	*column = (struct cow){ .element_size_bytes = (uint32_t)element_size_bytes };
}

void cow_done(struct cow *column)
{
	for (uint32_t i = 0; i < column->page_count; i++)
		page_unref(column->pages[i]);
	free(column->pages);
	*column = (struct cow){ 0 };
}

void cow_share(struct cow *ret_column, const struct cow *column)
{
	*ret_column = *column;
	ret_column->page_capacity = column->page_count;
	ret_column->pages = alloc_array(NULL, column->page_count ? column->page_count : 1, sizeof(struct cow_page *));
	for (uint32_t i = 0; i < column->page_count; i++) {
		ret_column->pages[i] = column->pages[i];
		column->pages[i]->references++;
	}
}

void cow_grow(struct cow *column, uint32_t count)
{
	uint32_t needed = (count >> COW_PAGE_BITS) + ((count & (COW_PAGE_ELEMENTS - 1)) != 0);

	if (needed > column->page_capacity) {
		column->page_capacity = needed > 2 * column->page_capacity ? needed : 2 * column->page_capacity;
		column->pages = alloc_array(column->pages, column->page_capacity, sizeof(struct cow_page *));
	}
	while (column->page_count < needed)
		column->pages[column->page_count++] = page_new(column);
}

void cow_own_page(struct cow *column, uint32_t i)
{
	struct cow_page **slot = &column->pages[i >> COW_PAGE_BITS], *copy = page_new(column);

	memcpy(copy->bytes, (*slot)->bytes, (size_t)COW_PAGE_ELEMENTS * column->element_size_bytes);
	page_unref(*slot);
	*slot = copy;
}
