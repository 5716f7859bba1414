#include "base/timer_heap.h"

#include <stdbool.h>

static bool is_earlier(const struct timer_node *a, const struct timer_node *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->sequence < b->sequence;
}

static void place(struct timer_heap *heap, size_t index, struct timer_node *node)
{
	heap->nodes.items[index] = node;
	node->index = index;
}

static void move_up(struct timer_heap *heap, struct timer_node *node)
{
	size_t index = node->index;

	while (index > 0) {
		size_t parent = (index - 1) / 2;

		if (!is_earlier(node, heap->nodes.items[parent]))
			break;
		place(heap, index, heap->nodes.items[parent]);
		index = parent;
	}
	place(heap, index, node);
}

static void move_down(struct timer_heap *heap, struct timer_node *node)
{
	struct timer_node **items = heap->nodes.items;
	size_t index = node->index, count = heap->nodes.count;

	for (;;) {
		size_t child = 2 * index + 1;

		if (child + 1 < count && is_earlier(items[child + 1], items[child]))
			child++;
		if (child >= count || !is_earlier(items[child], node))
			break;
		place(heap, index, items[child]);
		index = child;
	}
	place(heap, index, node);
}

void timer_heap_add(struct timer_heap *heap, struct timer_node *node)
{
	*vec_push(&heap->nodes) = node;
	node->index = heap->nodes.count - 1;
	move_up(heap, node);
}

void timer_heap_remove(struct timer_heap *heap, struct timer_node *node)
{
	struct timer_node *last = heap->nodes.items[--heap->nodes.count];

	if (last == node)
		return;
	place(heap, node->index, last);
	move_down(heap, last);
	move_up(heap, last);
}

struct timer_node *timer_heap_first(const struct timer_heap *heap)
{
	return heap->nodes.count ? heap->nodes.items[0] : NULL;
}

void timer_heap_done(struct timer_heap *heap)
{
	vec_done(&heap->nodes);
}
