#include "3-scheduling/place.h"

#include <errno.h>

#include "base/units.h"

static int64_t left(const struct place_node *node)
{
	return (int64_t)(node->memory_bytes - node->promised_bytes);
}

int place_instance(uint64_t memory_bytes, const struct place_node *nodes, size_t count, size_t *ret_index, struct err *err)
{
	char wanted[UNITS_TEXT_SIZE], had[UNITS_TEXT_SIZE];
	uint64_t largest = 0;
	bool is_found = false, is_all_cordoned = true;
	size_t best = 0;

	for (size_t i = 0; i < count; i++) {
		largest = nodes[i].memory_bytes > largest ? nodes[i].memory_bytes : largest;
		is_all_cordoned &= nodes[i].is_cordoned;
		if (nodes[i].is_cordoned || nodes[i].memory_bytes < memory_bytes)
			continue;
		if (!is_found || left(&nodes[i]) > left(&nodes[best]))
			best = i;
		is_found = true;
	}
	if (is_found) {
		*ret_index = best;
		return 0;
	}
	if (count && is_all_cordoned)
		return err_set(err, -EAGAIN, "every node is cordoned: uncordon one");
	return err_set(err, -ENOSPC, "spec.memory: %s is more than the host has (%s): use less",
		       units_format_size(memory_bytes, wanted), units_format_size(largest, had));
}
