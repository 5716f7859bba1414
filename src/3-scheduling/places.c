#include <errno.h>
#include <string.h>

#include "3-scheduling/filter_private.h"
#include "base/mem.h"

void places_init(struct places *places, const struct cluster *cluster)
{
	*places = (struct places){ .cluster = cluster };
}

static void names_done(struct names *names)
{
	for (uint32_t i = 0; i < names->count; i++)
		free(names->texts[i]);
	free(names->texts);
	map_done(&names->numbers);
}

void places_done(struct places *places)
{
	for (uint32_t i = 0; i < places->count_capacity; i++) {
		free(places->counts[i].by_node);
		for (int k = 0; k < DOMAIN_KINDS_MAX; k++)
			free(places->counts[i].by_domain[k]);
	}
	free(places->counts);
	for (int k = 0; k < DOMAIN_KINDS_MAX; k++) {
		free(places->domains[k]);
		free(places->domain_nodes[k]);
	}
	free(places->node_labels);
	free(places->node_taints);
	names_done(&places->labels);
	names_done(&places->taints);
	names_done(&places->groups);
	*places = (struct places){ 0 };
}

static int number_of(struct names *names, const char *what, uint32_t most, const char *text, uint32_t *ret_number, struct err *err)
{
	void *found = map_get(&names->numbers, text);

	if (found) {
		*ret_number = (uint32_t)((uintptr_t)found - 1);
		return 0;
	}
	if (!text[0] || strlen(text) > 255)
		return err_set(err, -EINVAL, "%s '%s' should have 1 to 255 bytes", what, shown(text));
	if (names->count == most)
		return err_set(err, -ENOSPC, "%s '%s' is one more than %u", what, shown(text), most);
	if (names->count == names->capacity) {
		names->capacity = names->capacity ? 2 * names->capacity : 16;
		names->texts = alloc_array(names->texts, names->capacity, sizeof(*names->texts));
	}
	names->texts[names->count] = text_copy(text);
	map_put(&names->numbers, text, (void *)(uintptr_t)(names->count + 1));
	*ret_number = names->count++;
	return 0;
}

int places_label(struct places *places, const char *text, uint32_t *ret_label, struct err *err)
{
	return number_of(&places->labels, "label", LABELS_MAX, text, ret_label, err);
}

int places_taint(struct places *places, const char *text, uint32_t *ret_taint, struct err *err)
{
	return number_of(&places->taints, "taint", TAINTS_MAX, text, ret_taint, err);
}

int places_group(struct places *places, const char *text, uint32_t *ret_group, struct err *err)
{
	int r = number_of(&places->groups, "group", GROUPS_MAX, text, ret_group, err);

	if (r == 0 && *ret_group >= places->count_capacity) {
		uint32_t capacity = places->count_capacity ? 2 * places->count_capacity : 16;

		places->counts = alloc_array(places->counts, capacity, sizeof(*places->counts));
		memset(places->counts + places->count_capacity, 0, (capacity - places->count_capacity) * sizeof(*places->counts));
		places->count_capacity = capacity;
	}
	return r;
}

static void grow_nodes(struct places *places, uint32_t count)
{
	uint32_t old = places->node_capacity, capacity = count + count / 4 + 16;

	places->node_labels = alloc_array(places->node_labels, (size_t)capacity * LABEL_WORDS, sizeof(uint64_t));
	places->node_taints = alloc_array(places->node_taints, capacity, sizeof(uint64_t));
	memset(places->node_labels + (size_t)old * LABEL_WORDS, 0, (size_t)(capacity - old) * LABEL_WORDS * sizeof(uint64_t));
	memset(places->node_taints + old, 0, (capacity - old) * sizeof(uint64_t));
	for (int k = 0; k < DOMAIN_KINDS_MAX; k++) {
		places->domains[k] = alloc_array(places->domains[k], capacity, sizeof(int16_t));
		memset(places->domains[k] + old, 0xff, (capacity - old) * sizeof(int16_t));
	}
	places->node_capacity = capacity;
}

static int check_node(struct places *places, uint32_t node, struct err *err)
{
	int r = cluster_check_node(places->cluster, node, err);

	if (r == 0 && places->cluster->node_end > places->node_capacity)
		grow_nodes(places, places->cluster->node_end);
	return r;
}

int places_set_label(struct places *places, uint32_t node, uint32_t label, bool is_set, struct err *err)
{
	int r = check_node(places, node, err);

	if (r < 0)
		return r;
	if (label >= places->labels.count)
		return err_set(err, -ENOENT, "label %u does not exist", label);
	uint64_t *word = &places->node_labels[(size_t)node * LABEL_WORDS + label / 64], bit = 1ull << (label % 64);

	*word = is_set ? *word | bit : *word & ~bit;
	return 0;
}

int places_set_taint(struct places *places, uint32_t node, uint32_t taint, bool is_set, struct err *err)
{
	int r = check_node(places, node, err);

	if (r < 0)
		return r;
	if (taint >= places->taints.count)
		return err_set(err, -ENOENT, "taint %u does not exist", taint);
	uint64_t bit = 1ull << taint;

	places->node_taints[node] = is_set ? places->node_taints[node] | bit : places->node_taints[node] & ~bit;
	return 0;
}

/* What runs there moves with the node from one domain to the other. */
static void move_counts(struct places *places, uint32_t node, uint8_t kind, int16_t from, int16_t to)
{
	for (uint32_t g = 0; g < places->groups.count; g++) {
		struct group_counts *counts = &places->counts[g];
		uint32_t count = group_count(places, g, DOMAIN_SELF, node);

		counts->is_lowest_known[kind] = false;
		if (!count)
			continue;
		if (!counts->by_domain[kind])
			counts->by_domain[kind] = alloc(DOMAINS_MAX * sizeof(uint32_t));
		if (from >= 0)
			counts->by_domain[kind][from] -= count;
		if (to >= 0)
			counts->by_domain[kind][to] += count;
	}
}

int places_set_domain(struct places *places, uint32_t node, uint8_t kind, int16_t domain, struct err *err)
{
	int r = check_node(places, node, err);

	if (r < 0)
		return r;
	if (kind >= DOMAIN_KINDS_MAX || domain < -1 || domain >= DOMAINS_MAX)
		return err_set(err, -EINVAL, "domain %d of kind %u: 0 to %d of kinds 0 to %d are possible", domain, kind, DOMAINS_MAX - 1,
			       DOMAIN_KINDS_MAX - 1);
	int16_t *slot = &places->domains[kind][node];

	if (!places->domain_nodes[kind])
		places->domain_nodes[kind] = alloc(DOMAINS_MAX * sizeof(uint32_t));
	move_counts(places, node, kind, *slot, domain);
	if (*slot >= 0)
		places->domain_nodes[kind][*slot]--;
	if (domain >= 0)
		places->domain_nodes[kind][domain]++;
	if (domain >= places->domain_count[kind])
		places->domain_count[kind] = (int16_t)(domain + 1);
	*slot = domain;
	return 0;
}

void places_forget(struct places *places, uint32_t node)
{
	if (node >= places->node_capacity)
		return;
	memset(places->node_labels + (size_t)node * LABEL_WORDS, 0, LABEL_WORDS * sizeof(uint64_t));
	places->node_taints[node] = 0;
	for (uint8_t k = 0; k < DOMAIN_KINDS_MAX; k++) {
		if (places->domains[k][node] < 0)
			continue;
		places->domain_nodes[k][places->domains[k][node]]--;
		move_counts(places, node, k, places->domains[k][node], -1);
		places->domains[k][node] = -1;
	}
}

static void grow_by_node(struct group_counts *counts, uint32_t count)
{
	uint32_t capacity = count + count / 4 + 16;

	counts->by_node = alloc_array(counts->by_node, capacity, sizeof(*counts->by_node));
	memset(counts->by_node + counts->node_capacity, 0, (capacity - counts->node_capacity) * sizeof(*counts->by_node));
	counts->node_capacity = capacity;
}

int places_count(struct places *places, uint32_t group, uint32_t node, int change, struct err *err)
{
	int r = check_node(places, node, err);

	if (r < 0)
		return r;
	if (group >= places->groups.count)
		return err_set(err, -ENOENT, "group %u does not exist", group);
	struct group_counts *counts = &places->counts[group];
	int64_t after = (int64_t)group_count(places, group, DOMAIN_SELF, node) + change;

	if (after < 0 || after > UINT16_MAX)
		return err_set(err, -EINVAL, "group '%s' would have %lld instances on node '%s'", places->groups.texts[group], (long long)after,
			       cluster_node_name(places->cluster, node));
	if (node >= counts->node_capacity)
		grow_by_node(counts, places->cluster->node_end);
	counts->by_node[node] = (uint16_t)after;
	for (int k = 0; k < DOMAIN_KINDS_MAX; k++) {
		if (places->domains[k][node] < 0)
			continue;
		if (!counts->by_domain[k])
			counts->by_domain[k] = alloc(DOMAINS_MAX * sizeof(uint32_t));
		counts->by_domain[k][places->domains[k][node]] += (uint32_t)change;
		counts->is_lowest_known[k] = false;
	}
	return 0;
}

uint32_t group_lowest(const struct places *places, uint32_t group, uint8_t kind)
{
	struct group_counts *counts = &places->counts[group];	/* What it remembers is no part of the answer. */
	uint32_t lowest = UINT32_MAX;

	if (counts->is_lowest_known[kind])
		return counts->lowest[kind];
	for (int i = 0; i < places->domain_count[kind]; i++) {
		uint32_t count = counts->by_domain[kind] ? counts->by_domain[kind][i] : 0;

		if (places->domain_nodes[kind][i] && count < lowest)
			lowest = count;
	}
	counts->lowest[kind] = lowest == UINT32_MAX ? 0 : lowest;
	counts->is_lowest_known[kind] = true;
	return counts->lowest[kind];
}
