#include "driver/fabric/bridge/filter.h"

#include "base/str.h"
#include "driver/fabric/bridge/element.h"
#include "driver/fabric/bridge/nft.h"
#include "driver/fabric/bridge/rules.h"

/* 0 when it cannot be told. */
static uint32_t generation(struct bridge_driver *driver)
{
	uint32_t now = 0;
	struct err ignored;

	return element_generation(&driver->netfilter, &now, &ignored) == 0 ? now : 0;
}

/* One transaction of ours was made since 'before'. If the number moved on by more, somebody else's came between. */
static void note_generation(struct bridge_driver *driver, uint32_t before)
{
	uint32_t now = generation(driver);

	driver->filter.generation = now == before + 1 ? now : 0;
}

static uint64_t hash_of(const struct str *text)
{
	static const uint64_t seed[2] = { 0 };

	return map_hash(seed, text->data, text->size);
}

static bool is_current(struct bridge_driver *driver, uint64_t hash, uint32_t now)
{
	const struct filter *filter = &driver->filter;

	return filter->is_known && filter->networks_hash == hash && filter->generation && filter->generation == now;
}

int filter_apply(struct bridge_driver *driver, struct err *err)
{
	auto_str struct str rules = { 0 };
	uint32_t before = generation(driver);
	uint64_t hash;
	int r;

	rules_write_networks(driver, &rules);
	hash = hash_of(&rules);
	if (is_current(driver, hash, before))
		return 0;
	rules_write_nics(driver, &rules);
	r = nft_apply(str_text(&rules), err);
	driver->filter = (struct filter){ .is_known = r == 0, .networks_hash = hash };
	note_generation(driver, before);
	return r;
}

/* Those of 'elements' that are not in 'others'. */
static void push_difference(const struct elements *elements, const struct elements *others, struct elements *out)
{
	for (size_t i = 0; i < elements->items.count; i++) {
		bool is_in_both = false;

		for (size_t j = 0; j < others->items.count && !is_in_both; j++)
			is_in_both = element_equal(&elements->items.items[i], &others->items.items[j]);
		if (!is_in_both)
			*vec_push(&out->items) = elements->items.items[i];
	}
}

static int change_elements(struct bridge_driver *driver, const struct fabric_nic *old, const struct fabric_nic *nic, struct err *err)
{
	struct elements before = { 0 }, after = { 0 }, deleted = { 0 }, added = { 0 };
	uint32_t generation_before = driver->filter.generation;
	char table[RULES_TABLE_SIZE];
	int r;

	if (old)
		rules_push_nic(driver, old, &before);
	if (nic)
		rules_push_nic(driver, nic, &after);
	push_difference(&before, &after, &deleted);
	push_difference(&after, &before, &added);
	r = element_apply(&driver->netfilter, rules_table(driver, table), &deleted, &added, err);
	if (deleted.items.count || added.items.count)
		note_generation(driver, generation_before);
	vec_done(&before.items);
	vec_done(&after.items);
	vec_done(&deleted.items);
	vec_done(&added.items);
	return r;
}

int filter_change_nic(struct bridge_driver *driver, const struct fabric_nic *old, const struct fabric_nic *nic, struct err *err)
{
	if (driver->filter.is_known && change_elements(driver, old, nic, err) == 0)
		return 0;
	driver->filter.is_known = false;
	return filter_apply(driver, err);
}
