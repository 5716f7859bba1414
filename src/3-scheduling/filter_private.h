/* filter_private.h - what places.c and filter.c share. */
#ifndef SCHEDULING_FILTER_PRIVATE_H
#define SCHEDULING_FILTER_PRIVATE_H

#include "3-scheduling/filter.h"

/* How many instances of one group run where. */
struct group_counts {
	uint16_t *by_node;		/* Null until the first. */
	uint32_t node_capacity;
	uint32_t *by_domain[DOMAIN_KINDS_MAX];
	uint32_t lowest[DOMAIN_KINDS_MAX];	/* Of the domains that have nodes; true when is_lowest_known. */
	bool is_lowest_known[DOMAIN_KINDS_MAX];
};

enum { LABEL_WORDS = LABELS_MAX / 64 };

static inline bool has_label(const struct places *places, uint32_t node, uint32_t label)
{
	return places->node_labels[(size_t)node * LABEL_WORDS + label / 64] >> (label % 64) & 1;
}

/* Of the group in the node's domain of that kind. */
static inline uint32_t group_count(const struct places *places, uint32_t group, uint8_t kind, uint32_t node)
{
	const struct group_counts *counts = &places->counts[group];

	if (kind == DOMAIN_SELF)
		return counts->by_node && node < counts->node_capacity ? counts->by_node[node] : 0;
	int16_t domain = places->domains[kind][node];

	return counts->by_domain[kind] && domain >= 0 ? counts->by_domain[kind][domain] : 0;
}

uint32_t group_lowest(const struct places *places, uint32_t group, uint8_t kind);

#endif
